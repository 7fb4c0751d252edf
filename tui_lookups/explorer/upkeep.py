"""Questions that files answer (model, corpus, cache, exports, what a person left open), and closing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.errors import LookupsError, Poll

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.settings import Settings


class Upkeep:
    """The part of an Explorer that is about files, and lets go of them."""

    settings: Settings
    _services: Services

    def close(self) -> str:
        """Checkpoint the scan, stop all work, let go of model and cache, in well under a second.

        Returns:
            What of the scan's work could not be kept, in a sentence; empty where nothing was lost.
        """
        return self._services.close()

    # --- model, corpus, vocabulary ---

    def model_info(self) -> answer.ModelInfo:
        return self._services.engine.model_info()

    def model_fingerprint(self) -> str:
        """Content hash of the model's files; loads no weights."""
        return self._services.engine.local().fingerprint

    def corpus_info(self) -> answer.CorpusInfo:
        return self._services.engine.corpus().info

    def resolve_token(self, text: str) -> answer.TokenMatch:
        """What a typed text is in the vocabulary; "#123" is a token id."""
        return self._services.engine.vocabulary().match(text)

    def complete_token(self, text: str, limit: int = 20) -> tuple[answer.Token, ...]:
        """Tokens that begin with `text`."""
        return self._services.engine.vocabulary().complete(text, limit)

    def search_corpus(
        self,
        text: str,
        *,
        most: int = 200,
        so_far: Callable[[answer.CorpusHits], None] = lambda _: None,
    ) -> answer.CorpusHits:
        """The prompts of the corpus that hold a text, whichever its case, in the corpus' order.

        Args:
            most: it ends with so many; the answer says how many prompts it looked at.
            so_far: told, on this thread, what there is so far.
        Raises:
            LookupsError: the text is empty.
        """
        from tui_lookups.answering.corpus_search import search_corpus

        return search_corpus(self._services.engine, text, most, so_far)

    def self_check(self) -> answer.SelfCheck:
        """How the model is wired, and how far the decomposition of a few of its neurons is from closing."""

        def work(model: LookupModel, poll: Poll) -> answer.SelfCheck:
            from tui_lookups.analysis.self_check import self_check

            return self_check(model, poll=poll)

        return self._services.engine.on_model(work)

    def inventory(self) -> tuple[answer.FileEntry, ...]:
        """Every file, key and tensor of the model and what became of it, also where it is refused.

        Raises LookupsError where its files are not found or cannot be read.
        """
        from tui_lookups.home import expanded
        from tui_lookups.model.inventory import folder_inventory
        from tui_lookups.model.library_output import quiet_libraries

        try:
            local = self._services.engine.local()
            path = local.inventory_of or local.folder
        except LookupsError:
            path = expanded(self.settings.model)
            if not path.exists():
                raise
        if path.is_file():
            from tui_lookups.model import gguf

            return gguf.inventory(path)
        with quiet_libraries():
            return folder_inventory(path, trust_remote_code=self.settings.trust_remote_code)

    def reproduce(self, name: str) -> answer.Reproduction:
        """The published figures of the model `name` beside those of this Explorer's model."""
        from tui_lookups.answering.reproducing import NOTHING_SCORED, means_of, reproduce

        reproduction = reproduce(self._services.engine, name)
        return replace(
            reproduction, means=means_of(name, self._services.head_scores.scored(), NOTHING_SCORED)
        )

    # --- the cache ---

    @property
    def problems(self) -> tuple[str, ...]:
        """What the cache refused, dropped or could not keep so far: the first sentence of each kind.

        May wait while the cache is opened; `status` has what was known when the last `ask` was answered.
        """
        return self._services.problems

    def cache_info(self) -> answer.CacheInfo:
        return self._services.engine.cache.info()

    def cache_stale(self) -> tuple[str, ...]:
        """Sentences about what the cache holds in a format that this version does not read."""
        return self._services.engine.cache.stale()

    def cache_verify(self) -> tuple[str, ...]:
        """Hold every cached entry to its checksum; sentences about what was damaged and dropped."""
        return self._services.engine.cache.verify()

    def cache_clear(self) -> answer.CacheInfo:
        """Empty the cache and say what is left: what another process is writing to, say."""
        return self._services.engine.cache.clear()

    # --- exports and sessions ---

    def offer_tour(self) -> bool:
        """Whether the app should give its tour unasked: once in a cache folder, on the packaged model."""
        from tui_lookups.answering import sessions

        return self.settings.model == "demo" and sessions.claim_tour(self.settings.cache_dir)

    def keep_note(self, note: answer.Note) -> None:
        """Keep a note on something of the open model, in place of an earlier one; one without text takes it
        away. It may wait for the corpus where it is about a prompt."""
        from tui_lookups.answering import notes

        notes.keep(self._services.engine, note)

    def notes(self) -> tuple[answer.Note, ...]:
        """The notes on what the open model and corpus have, oldest first."""
        from tui_lookups.answering import notes

        return notes.kept(self._services.engine)

    def save_session(self, session: answer.SessionState, name: str = "") -> answer.SavedSession | None:
        """Keep where a person is, for `load_session`; None where the model is not known yet.

        Under `name`, or as the last session; where another process has that open, under a name of its own,
        which the answer says. Never waits for the model or the corpus. Raises CacheError when it cannot be
        written, LookupsError for a name that cannot be one.
        """
        info, corpus, _ = self._services.engine.opened_so_far()
        if info is None:
            return None
        fingerprint = None if corpus is None else corpus.info.fingerprint
        return self._services.sessions.save(session, model=info.fingerprint, corpus=fingerprint, name=name)

    def load_session(self, name: str = "") -> answer.SessionState | None:
        """What was saved under `name`, or last, for this model, None where nothing was; without its prompts
        where the corpus is another. Raises LookupsError for a file that cannot be used."""
        from tui_lookups.answering import sessions

        model, corpus = self._of_sessions()
        return sessions.load_session(self.settings.cache_dir, model=model, corpus=corpus, name=name)

    def claim_session(self, name: str = "") -> bool:
        """Make a session this process's own until it is closed; False where another one has it open."""
        return self._services.sessions.claim(self._of_sessions()[0], name)

    def sessions(self) -> tuple[answer.SavedSession, ...]:
        """Every saved session of this model, newest first."""
        model, corpus = self._of_sessions()
        return self._services.sessions.saved(model=model, corpus=corpus)

    def delete_session(self, name: str) -> None:
        """Delete a session. Raises LookupsError where another process has it open."""
        self._services.sessions.delete(model=self._of_sessions()[0], name=name)

    def _of_sessions(self) -> tuple[str, str]:
        """The fingerprints of model and corpus."""
        engine = self._services.engine
        return engine.model_info().fingerprint, engine.corpus().info.fingerprint
