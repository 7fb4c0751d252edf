"""The place a person left, kept beside the cache: `session-<model fingerprint>.json`, or `...-NAME.json`.

1. Saving stamps the state with the fingerprints of model and corpus and replaces the file at once, readable
   by its owner only, with a checksum beside the state. A model that was never identified has no place to
   save.
2. Loading refuses, with a sentence, a file that is damaged, which is set aside under another name, or
   another model's; prompts of another corpus are left out, since their numbers mean other texts there. A file
   without a checksum (they had none before) is held to its fields alone.
3. A session is a process's own from when it opens it until it ends (a lock beside the file). What another one
   would save under the same name goes under that name with a number, so that nothing is overwritten.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path

from tui_lookups.errors import CacheError, LookupsError
from tui_lookups.results import SavedSession, Selection, SessionState
from tui_lookups.results.session import checked_name
from tui_lookups.storage.codec import DecodeError, from_json_bytes, to_json_bytes
from tui_lookups.storage.files import make_private_directory, reason, waiting_lock, write_atomically

_NAME_DIGITS = 16
_TOUR = "tour-given"
_MOST_DAMAGED = 99
_MOST_BYTES = 16 << 20
_FRAME = re.compile(rb'\{"sha256":"([0-9a-f]{64})","session":(.*)\}\n', re.DOTALL)


def session_path(cache_dir: Path, model: str, name: str = "") -> Path:
    """Where the session of this name, or the last one, of the model with this fingerprint lies.

    Raises LookupsError for a name that is no file name everywhere.
    """
    ending = f"-{checked_name(name)}" if name else ""
    return cache_dir / f"session-{model[:_NAME_DIGITS]}{ending}.json"


def claim_tour(cache_dir: Path) -> bool:
    """Whether nobody claimed the tour in this cache folder before; it is claimed then.

    A folder that cannot be written keeps no claim, so the tour is not offered there: it would be every time.
    """
    make_private_directory(cache_dir, tighten=False)
    try:
        os.close(os.open(cache_dir / _TOUR, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    return True


def save_session(
    cache_dir: Path, session: SessionState, *, model: str, corpus: str | None, name: str = ""
) -> Path:
    """Write `session`; returns its path. Raises CacheError when it cannot be written."""
    path = session_path(cache_dir, model, name)
    state = to_json_bytes(replace(session, model=model, corpus=corpus))
    data = b'{"sha256":"%s","session":%s}\n' % (hashlib.sha256(state).hexdigest().encode(), state)
    make_private_directory(cache_dir, tighten=False)
    try:
        write_atomically(path, data, private=True)
    except OSError as error:
        raise CacheError(f"The session cannot be saved: {reason(error)}.", f"It goes to {path}.") from error
    return path


def load_session(cache_dir: Path, *, model: str, corpus: str | None, name: str = "") -> SessionState | None:
    """The session of this model by its name, or the last one; None where none was saved.

    Raises LookupsError, with what is wrong with the file, when it cannot be used.
    """
    path = session_path(cache_dir, model, name)
    hint = f"It is ignored; quitting the app overwrites {path}."
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LookupsError(f"The saved session cannot be read: {reason(error)}.", hint) from error
    if len(data) > _MOST_BYTES:
        raise LookupsError("The saved session is too large to be a session file.", hint)
    try:
        session = from_json_bytes(SessionState, _checked(data))
    except DecodeError as error:
        raise LookupsError("The saved session is damaged.", _set_aside(path) or hint) from error
    if session.model != model:
        raise LookupsError("The saved session is of another model.", hint)
    return session if session.corpus == corpus else _without_prompts(session)


def _set_aside(path: Path) -> str:
    """Give a damaged session another name; a sentence that says it, empty where it keeps its own."""
    numbers = (free for n in range(1, _MOST_DAMAGED) if not (free := Path(f"{path}.damaged-{n}")).exists())
    free = next(numbers, Path(f"{path}.damaged-{_MOST_DAMAGED}"))
    try:
        path.rename(free)
    except OSError:
        return ""
    return f"It was set aside as {free}."


class Sessions:
    """The sessions of a folder as one process has them open. Thread-safe."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._lock = threading.Lock()
        self._own: dict[Path, ExitStack] = {}

    def claim(self, model: str, name: str) -> bool:
        """Make a session this process's own; False where another one has it open.

        Where no lock can be made there is nothing to protect: saving says why it cannot.
        """
        path = session_path(self._cache_dir, model, name)
        with self._lock:
            if path in self._own:
                return True
            held = ExitStack()
            try:
                make_private_directory(self._cache_dir, tighten=False)
                held.enter_context(waiting_lock(Path(f"{path}.lock"), 0.0))
            except TimeoutError:
                return False
            except (OSError, CacheError):
                return True
            self._own[path] = held
            return True

    def save(self, session: SessionState, *, model: str, corpus: str | None, name: str) -> SavedSession:
        """Save under `name`, or under it with a number where another process has it open."""
        own = next(free for free in self._names(model, name) if self.claim(model, free))
        path = save_session(self._cache_dir, session, model=model, corpus=corpus, name=own)
        return _described(path, own, session)

    def _names(self, model: str, name: str) -> Iterator[str]:
        """The name, and then it with the numbers that no session has yet."""
        yield name
        for number in count(2):
            other = f"{name or 'last'}-{number}"
            path = session_path(self._cache_dir, model, other)
            if path in self._own or not path.exists():
                yield other

    def saved(self, *, model: str, corpus: str | None) -> tuple[SavedSession, ...]:
        """Every session of this model, newest first; one that cannot be opened says why."""
        stem = session_path(self._cache_dir, model).stem
        sessions = []
        for path in self._cache_dir.glob(f"{stem}*.json"):
            name = path.stem.removeprefix(stem).removeprefix("-")
            try:
                state = load_session(self._cache_dir, model=model, corpus=corpus, name=name)
                if state is not None:  # it was deleted meanwhile
                    sessions.append(_described(path, name, state))
            except LookupsError as error:
                sessions.append(SavedSession(name, "", problem=str(error)))
        return tuple(sorted(sessions, key=lambda each: each.saved, reverse=True))

    def delete(self, *, model: str, name: str) -> None:
        """Delete a session. Raises LookupsError where it cannot be, or another process has it open."""
        path = session_path(self._cache_dir, model, name)
        if not self.claim(model, name):
            raise LookupsError(f"{_in_words(name)} is open in another process.", "Close it there first.")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(f"The session cannot be deleted: {reason(error)}.", f"It is {path}.") from error

    def close(self) -> None:
        """Let go of every session."""
        with self._lock:
            while self._own:
                self._own.popitem()[1].close()


def _in_words(name: str) -> str:
    return f"Session “{name}”" if name else "The last session"


def _described(path: Path, name: str, state: SessionState) -> SavedSession:
    saved = datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(timespec="seconds")
    return SavedSession(name, saved, state.neuron, len(state.basket), len(state.basket.notes))


def _checked(data: bytes) -> bytes:
    """The state in a session file. Raises DecodeError when it is not what its checksum says."""
    framed = _FRAME.fullmatch(data)
    if framed is None:
        return data
    if hashlib.sha256(framed[2]).hexdigest().encode() != framed[1]:
        raise DecodeError("The checksum of the session does not match.")
    return framed[2]


def _without_prompts(session: SessionState) -> SessionState:
    basket = session.basket
    heads = tuple(head for head in basket.heads if head.prompt_id is None)
    kept = Selection(basket.neurons, (), heads).noted(basket.notes)
    return replace(session, prompt_id=None, head=None, basket=kept)
