"""The place a person left, kept beside the cache, one file a model: `session-<model fingerprint>.json`.

1. Saving stamps the state with the fingerprints of model and corpus and replaces the file at once, readable
   by its owner only, with a checksum beside the state. A model that was never identified has no place to
   save.
2. Loading refuses, with a sentence, a file that is damaged or another model's; prompts of another corpus
   are left out, since their numbers mean other texts there. A file without a checksum (they had none
   before) is held to its fields alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

from tui_lookups.errors import CacheError, LookupsError
from tui_lookups.results import Selection, SessionState
from tui_lookups.storage.codec import DecodeError, from_json_bytes, to_json_bytes
from tui_lookups.storage.files import make_private_directory, reason, write_atomically

_NAME_DIGITS = 16
_TOUR = "tour-given"
_MOST_BYTES = 16 << 20
_FRAME = re.compile(rb'\{"sha256":"([0-9a-f]{64})","session":(.*)\}\n', re.DOTALL)


def session_path(cache_dir: Path, model: str) -> Path:
    """Where the session of the model with this fingerprint lies."""
    return cache_dir / f"session-{model[:_NAME_DIGITS]}.json"


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


def save_session(cache_dir: Path, session: SessionState, *, model: str, corpus: str | None) -> Path:
    """Write `session`; returns its path. Raises CacheError when it cannot be written."""
    path = session_path(cache_dir, model)
    state = to_json_bytes(replace(session, model=model, corpus=corpus))
    data = b'{"sha256":"%s","session":%s}\n' % (hashlib.sha256(state).hexdigest().encode(), state)
    make_private_directory(cache_dir, tighten=False)
    try:
        write_atomically(path, data, private=True)
    except OSError as error:
        raise CacheError(f"The session cannot be saved: {reason(error)}.", f"It goes to {path}.") from error
    return path


def load_session(cache_dir: Path, *, model: str, corpus: str | None) -> SessionState | None:
    """The session of this model, None where none was saved.

    Raises LookupsError, with what is wrong with the file, when it cannot be used.
    """
    path = session_path(cache_dir, model)
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
        raise LookupsError("The saved session is damaged.", hint) from error
    if session.model != model:
        raise LookupsError("The saved session is of another model.", hint)
    return session if session.corpus == corpus else _without_prompts(session)


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
