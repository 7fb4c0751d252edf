"""Explorer: the only way from the outside (command line, app, notebooks) to everything below.

    from tui_lookups import Explorer
    from tui_lookups.settings import load_settings

    explorer = Explorer(load_settings(model="demo"))
    best = explorer.neurons(" because").neurons[0].neuron
    print(explorer.prompts(best).prompts[0].peak, explorer.heads(best, prompt=1).remainder)

Every method may be called from any thread and blocks until it has the answer, except `status`, `start`,
`ask` and `close`. Each question is answered from the cache where it can be, without importing torch;
otherwise on the one model thread, before the background scan goes on. What a person can mend is raised as
a LookupsError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.errors import LookupsError, Poll
from tui_lookups.explorer.walk import Walk
from tui_lookups.home import expanded
from tui_lookups.ids import HeadId, NeuronId

if TYPE_CHECKING:
    from tui_lookups.answering.explaining import Explaining
    from tui_lookups.answering.head_scores import HeadScores
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results import (
        ExplainedList,
        Explanation,
        ExplanationScore,
        FileEntry,
        Provenance,
        Reproduction,
        RequestProgress,
        SelfCheck,
        SessionState,
    )


class Explorer(Walk):
    """Answers questions about one model and one corpus. Cheap to make: nothing is opened or imported yet."""

    @property
    def explaining(self) -> Explaining:
        """Explanations of heads (method.md, section 5)."""
        return self._services.explaining

    @property
    def head_scores(self) -> HeadScores:
        """Scores of explanations (method.md, section 5)."""
        return self._services.head_scores

    # --- published figures (method.md, section 7) ---

    def reproduce(self, name: str) -> Reproduction:
        """The published figures of the model `name` beside those of this Explorer's model."""
        from tui_lookups.answering.reproducing import reproduce

        return reproduce(self._engine, name)

    # --- explanations and their scores (method.md, section 5); more in `explaining` and `head_scores` ---

    def explain(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        fresh: bool = False,
        on_text: Callable[[str], None] | None = None,
        api_key: str | None = None,
    ) -> Explanation:
        """In what contexts a head is active, in words; see `Explaining.explain`."""
        return self.explaining.explain(neuron, head, fresh=fresh, on_text=on_text, api_key=api_key)

    def score_explanation(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
        progress: Callable[[RequestProgress], None] | None = None,
        api_key: str | None = None,
    ) -> ExplanationScore:
        """How well words predict a head's activity on held-out prompts; see `HeadScores.score`."""
        return self.head_scores.score(
            neuron, head, explanation=explanation, control=control, fresh=fresh, progress=progress,
            api_key=api_key,
        )  # fmt: skip

    def explanations(self, query: str = "") -> ExplainedList:
        """Everything explained so far that every word of `query` is found in, newest first."""
        return self.explaining.explanations(query)

    def self_check(self) -> SelfCheck:
        """How the model is wired, and how far the decomposition of a few of its neurons is from closing."""

        def work(model: LookupModel, poll: Poll) -> SelfCheck:
            from tui_lookups.analysis.self_check import self_check

            return self_check(model, poll=poll)

        return self._engine.on_model(work)

    def inventory(self) -> tuple[FileEntry, ...]:
        """Every file, key and tensor of the model and what became of it, also where it is refused.

        Raises LookupsError where its files are not found or cannot be read.
        """
        from tui_lookups.model.inventory import folder_inventory
        from tui_lookups.model.loading import quiet_libraries

        try:
            local = self._engine.local()
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

    def provenance(self) -> Provenance:
        """What an export is made with: model, corpus and every parameter its answers depend on."""
        return self._engine.provenance(
            corpus=True,
            top=self._scan.top,
            preset=self.settings.preset,
            activity_rule=self.settings.activity_rule,
            sign=self._sign(None),
            trimmed=self.settings.trimmed,
            seed=self.settings.seed,
        )

    # --- the app's session ---

    def offer_tour(self) -> bool:
        """Whether the app should give its tour unasked: once in a cache folder, on the packaged model."""
        from tui_lookups.answering import sessions

        return self.settings.model == "demo" and sessions.claim_tour(self.settings.cache_dir)

    def save_session(self, session: SessionState) -> bool:
        """Keep where a person is, for `load_session`; False where the model is not known yet.

        Never waits for the model or the corpus. Raises CacheError when it cannot be written.
        """
        from tui_lookups.answering import sessions

        info, corpus, _ = self._engine.known()
        if info is None:
            return False
        known = None if corpus is None else corpus.info.fingerprint
        sessions.save_session(self.settings.cache_dir, session, model=info.fingerprint, corpus=known)
        return True

    def load_session(self) -> SessionState | None:
        """What was saved last for this model, None where nothing was; without its prompts where the corpus
        is another. Raises LookupsError for a file that cannot be used."""
        from tui_lookups.answering import sessions

        model, corpus = self._engine.model_info().fingerprint, self.corpus_info().fingerprint
        return sessions.load_session(self.settings.cache_dir, model=model, corpus=corpus)
