"""Questions that files answer: the model's, the corpus, the cache, exports and what a person left open."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.errors import LookupsError, Poll

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.settings import Settings


class Upkeep:
    """The part of an Explorer that is about files."""

    settings: Settings
    _services: Services

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

        found = reproduce(self._services.engine, name)
        return replace(found, means=means_of(name, self._services.head_scores.scored(), NOTHING_SCORED))

    # --- the cache ---

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

    def save_session(self, session: answer.SessionState) -> bool:
        """Keep where a person is, for `load_session`; False where the model is not known yet.

        Never waits for the model or the corpus. Raises CacheError when it cannot be written.
        """
        from tui_lookups.answering import sessions

        info, corpus, _ = self._services.engine.known()
        if info is None:
            return False
        known = None if corpus is None else corpus.info.fingerprint
        sessions.save_session(self.settings.cache_dir, session, model=info.fingerprint, corpus=known)
        return True

    def load_session(self) -> answer.SessionState | None:
        """What was saved last for this model, None where nothing was; without its prompts where the corpus
        is another. Raises LookupsError for a file that cannot be used."""
        from tui_lookups.answering import sessions

        model, corpus = (
            self._services.engine.model_info().fingerprint,
            self._services.engine.corpus().info.fingerprint,
        )
        return sessions.load_session(self.settings.cache_dir, model=model, corpus=corpus)
