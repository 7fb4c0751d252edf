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
from pathlib import Path
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
        ExportDocument,
        FileEntry,
        Reproduction,
        RequestProgress,
        ScanProgress,
        Selection,
        SelfCheck,
        SessionState,
        Verification,
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
        from tui_lookups.model.library_output import quiet_libraries

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

    # --- export and cache ---

    def export(self, selection: Selection, path: Path, *, overwrite: bool = False) -> Path:
        """Write the selection, with everything known about it, as one JSON document; returns its path."""
        from tui_lookups.answering.export_document import build_export
        from tui_lookups.storage.export import check_name, write_export

        check_name(path)  # before minutes of work
        provenance = self._engine.provenance(
            corpus=True,
            top=self._scan.top,
            preset=self.settings.preset,
            activity_rule=self.settings.activity_rule,
            sign=self._sign(None),
            trimmed=self.settings.trimmed,
            seed=self.settings.seed,
        )
        return write_export(build_export(self, selection, provenance), path, overwrite)

    def open_export(self, path: Path) -> ExportDocument:
        """An export written earlier; `.selection()` is the basket it was made from. Raises ExportError."""
        from tui_lookups.storage.export import read_export

        return read_export(path)

    def verify(
        self,
        path: Path,
        *,
        tolerance: float = 1e-5,
        model: str | None = None,
        corpus: str | None = None,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> Verification:
        """Recompute every figure of an export and say what differs, and by how much.

        Model, corpus, basis, dtype and parameters are those the export names, not this Explorer's; device,
        threads and cache folder are its own. Nothing cached is believed: the corpus is scanned again.

        Args:
            tolerance: relative difference at which two numbers count as equal (answering/comparison.py).
            model, corpus: where they lie now, where that is elsewhere than the export says.
            progress: told how far the scan is.
        Raises:
            ExportError: no export, or one that names what cannot be opened.
            OtherSourceError: the model or corpus that opens has another content.
        """
        from tui_lookups.answering import verifying
        from tui_lookups.explanation.store import ExplainedStore
        from tui_lookups.storage.export import read_export

        document = read_export(path)
        store = ExplainedStore(self._engine.cache)
        with verifying.fresh_folder(self.settings.cache_dir) as folder:
            return verifying.verify(
                document,
                path,
                lambda settings: Explorer(settings, results=folder),
                store,
                base=self.settings,
                tolerance=tolerance,
                model=model,
                corpus=corpus,
                progress=progress,
            )

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
