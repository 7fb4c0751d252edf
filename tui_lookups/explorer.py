"""Explorer: the one door between the outside (command line, app, notebooks) and everything below.

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

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from tui_lookups import results
from tui_lookups.answering.atlas_book import AtlasBook, read_tokens
from tui_lookups.answering.background import Question, ask, begin
from tui_lookups.answering.congruence_book import CongruenceBook
from tui_lookups.answering.engine import Engine
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import Settings

if TYPE_CHECKING:
    from tui_lookups.answering.books import Books
    from tui_lookups.answering.explaining import Explaining
    from tui_lookups.answering.head_book import HeadBook
    from tui_lookups.answering.head_scores import HeadScores
    from tui_lookups.answering.prediction_book import PredictionBook
    from tui_lookups.answering.prompt_book import PromptBook
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.model.lookup_model import LookupModel, Poll
    from tui_lookups.results import (
        AblationMethod,
        AblationPositions,
        Activations,
        Atlas,
        CacheInfo,
        CorpusInfo,
        ExplainedList,
        Explanation,
        ExplanationScore,
        ExportDocument,
        FirstView,
        HeadAblation,
        HeadAttributions,
        HeadOverview,
        ModelInfo,
        NeuronPrompts,
        NeuronScore,
        NeuronTokens,
        PeakFigures,
        PromptKind,
        PromptPredictions,
        PromptsWithFigures,
        Reproduction,
        RequestProgress,
        ScanProgress,
        ScanSummary,
        Selection,
        SelfCheck,
        SessionState,
        Sign,
        Status,
        Token,
        TokenMatch,
        TokenNeurons,
        Verification,
    )

T = TypeVar("T")


class Explorer:
    """Answers questions about one model and one corpus. Cheap to make: nothing is opened or imported yet."""

    def __init__(self, settings: Settings, *, results: Path | None = None) -> None:
        """`results`: a folder for everything that is worked out, in place of the cache folder's own."""
        self.settings = settings
        self._engine = Engine(settings, results)
        self._atlas = AtlasBook(self._engine)
        self._congruence = CongruenceBook(self._engine, self._atlas)
        self._books_lock = threading.Lock()
        self._made_books: Books | None = None

    @property
    def _books(self) -> Books:
        """What is not about congruence: made, and imported, when it is first needed.

        A token's neurons come from the cache within a second of the launch; NumPy alone would take a good
        part of it.
        """
        with self._books_lock:
            if self._made_books is None:
                from tui_lookups.answering.books import Books

                self._made_books = Books(
                    self._engine,
                    sign=lambda: self._sign(None),
                    overview=lambda neuron: self.heads_overview(neuron, trimmed=True),
                )
            return self._made_books

    @property
    def _scan(self) -> ScanSession:
        return self._books.scan

    @property
    def _book(self) -> PromptBook:
        return self._books.prompts

    @property
    def _heads(self) -> HeadBook:
        return self._books.heads

    @property
    def _predictions(self) -> PredictionBook:
        return self._books.predictions

    @property
    def explaining(self) -> Explaining:
        """Explanations of heads (METHOD 5)."""
        return self._books.explaining

    @property
    def head_scores(self) -> HeadScores:
        """Scores of explanations (METHOD 5)."""
        return self._books.head_scores

    # --- not blocking ---

    def status(self) -> Status:
        """What is being done, for a header: never blocks, never computes."""
        engine = self._engine
        info, corpus, loaded = engine.known()
        scan = None if self._made_books is None else self._made_books.scan.progress
        stage: Literal["loading", "ready", "failed"] = "failed" if engine.error else "loading"
        if stage == "loading" and (loaded or (scan is not None and scan.state == "done")):
            stage = "ready"
        busy = stage == "loading" or engine.tokenising  # a long corpus, with the model ready
        message = str(engine.error) if engine.error else engine.message if busy else ""
        known = None if corpus is None else corpus.info
        return results.Status(stage, message, engine.device, self.settings.dtype, info, known, scan)

    def start(self) -> None:
        """Load the model and scan the corpus in the background; what goes wrong appears in `status`."""

        def work() -> None:
            self._scan.start()
            self._engine.on_model(lambda model, poll: None, loading=True)

        begin(self._engine, work)

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Question:
        """Run a blocking question on a thread of its own; one of the callbacks is called on that thread.

        After `Question.cancel()` neither is, model work for it that waits is dropped, and a forward pass
        for it is interrupted between blocks.
        """
        return ask(question, done, failed)

    def close(self) -> None:
        """Checkpoint the scan, stop all work and close the cache, in well under a second."""
        books = self._made_books
        self._engine.close(books.scan.checkpoint if books is not None and books.scan.unsaved else None)
        if books is not None:
            books.scan.close()

    # --- model, corpus, vocabulary ---

    def model_info(self) -> ModelInfo:
        return self._engine.model_info()

    def model_fingerprint(self) -> str:
        """Content hash of the model's files; loads no weights."""
        return self._engine.local().fingerprint

    def corpus_info(self) -> CorpusInfo:
        return self._engine.corpus().info

    def resolve_token(self, text: str) -> TokenMatch:
        """What a typed text is in the vocabulary; "#123" is a token id."""
        return self._engine.vocabulary().match(text)

    def complete_token(self, text: str, limit: int = 20) -> tuple[Token, ...]:
        """Tokens that begin with `text`."""
        return self._engine.vocabulary().complete(text, limit)

    def first_view(self) -> FirstView:
        """The token and neuron to open with when nothing was asked for (the rule: answers.first_view)."""
        return self._congruence.first_view()

    # --- congruence (METHOD 2) ---

    def neurons(
        self,
        token: str | int,
        *,
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        sign: Sign | None = None,
        next_token_only: bool = False,
    ) -> TokenNeurons:
        """A token's neurons by congruence.

        Args:
            token: the text exactly as in the vocabulary, or an id.
            layers: the layers ranked together; those of the settings by default.
            sign: "+" ranks by congruence, "-" by its negative, "both" by its size; "+" by default.
            next_token_only: only neurons whose own top token is this token.
        Raises:
            UnknownTokenError: not one token of the vocabulary; close ones are named.
        """
        vocabulary = self._engine.vocabulary()
        found = vocabulary.token(token) if isinstance(token, int) else vocabulary.find(token)
        chosen = self._engine.layers() if layers is None else layers
        by = self._ranking_sign(sign)
        return self._congruence.neurons(
            found, top=top, layers=chosen, sign=by, next_token_only=next_token_only
        )

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens:
        """The tokens a neuron promotes and suppresses most."""
        return self._congruence.tokens(neuron, top)

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        """One neuron's row in a token's ranking, wherever it ranks."""
        return self._congruence.score(neuron, token)

    def atlas(
        self, *, per_layer: int = 20, reject: Sequence[str] | None = None, sign: Sign | None = None
    ) -> Atlas:
        """The model's next-token neurons, layer by layer, and where tokens' best neurons live.

        A layer's pass over the vocabulary is kept in the cache: other counts, signs and reject lists are
        answered without the model.

        Args:
            per_layer: neurons a layer.
            reject: tokens left out by hand, exactly as in the vocabulary, or "#id"; by default those of
                the file in the setting `atlas_reject`.
            sign: as in `neurons`; "-" and "both" read neurons flipped.
        Raises:
            UnknownTokenError: a rejected text is not one token.
        """
        if reject is None:
            listed = self.settings.atlas_reject
            reject = () if listed is None else read_tokens(listed)
        return self._atlas.atlas(per_layer, reject, self._ranking_sign(sign))

    # --- highest-activating prompts (METHOD 3) ---

    def scan(self, progress: Callable[[ScanProgress], None] | None = None) -> ScanSummary:
        """Scan the corpus to the end, resuming where an earlier scan stopped."""

        engine = self._engine
        info = engine.corpus().info
        known = self._scan.index() is not None
        index = self._scan.wait(progress)
        done = self._scan.progress
        return results.ScanSummary(
            prompts=info.prompts,
            tokens=info.tokens,
            neurons=len(engine.layers()) * engine.model_info().d_mlp,
            seconds=0.0 if known or done is None else done.seconds,
            tokens_per_second=0.0 if known or done is None else done.tokens_per_second,
            resumed_from=info.prompts if known else self._scan.resumed_from,
            index_path=str(index.folder),
            provenance=engine.provenance(corpus=True, top=self._scan.top, layers=_numbers(engine.layers())),
            extended_from=index.manifest.extended_from,
        )

    def prompts(
        self, neuron: NeuronId, *, top: int = 20, sign: Sign | None = None, wait: bool = True
    ) -> NeuronPrompts:
        """A neuron's highest-activating prompts, with every token's activation and the trimmed context.

        Args:
            top: number of prompts, at most the number the index keeps (setting `top`).
            sign: "+" by activation, "-" by its negative, "both" by the larger of the two; "+" for plain and
                "both" for gated MLPs by default (METHOD 2, Sign).
            wait: scan to the end first; otherwise answer with what the running scan has so far.
        """
        return self._book.prompts(neuron, top=top, sign=self._sign(sign), wait=wait)

    def sampled_prompts(self, neuron: NeuronId, kind: PromptKind, *, top: int = 20) -> NeuronPrompts:
        """What the neuron does when it is not at its maximum: "random" prompts, or one of each "deciles"."""
        if kind == "top":
            return self.prompts(neuron, top=top)
        return self._book.sampled(neuron, kind, top=top)

    def peak_figures(
        self,
        neuron: NeuronId,
        token: Token | None = None,
        *,
        kind: PromptKind = "top",
        top: int = 20,
        sign: Sign | None = None,
    ) -> PeakFigures:
        """At the peak of each of the neuron's prompts: logit contribution, what follows, probabilities.

        Args:
            token: the token looked at; by default the one the neuron, firing as it does, promotes most.
            kind, top, sign: which prompts; `sign` counts for kind "top" only.
        Raises:
            UnsupportedModelError: the raw basis, in which congruence is not what a logit gets.
        """
        return self._book.figures(self._listed(neuron, kind, top, sign), kind, token)

    def prompts_with_figures(
        self, neuron: NeuronId, *, kind: PromptKind = "top", top: int = 20, sign: Sign | None = None
    ) -> PromptsWithFigures:
        """Prompts and their figures in one answer; in the raw basis a note stands in for the figures."""
        return self._book.with_figures(self._listed(neuron, kind, top, sign), kind)

    def _listed(self, neuron: NeuronId, kind: PromptKind, top: int, sign: Sign | None) -> NeuronPrompts:
        if kind == "top":
            return self.prompts(neuron, top=top, sign=sign)
        return self.sampled_prompts(neuron, kind, top=top)

    def activations(self, neuron: NeuronId, text: str) -> Activations:
        """The neuron's activation on every token of a text, begin-of-text in front."""

        self._engine.check_neuron(neuron)

        def work(model: LookupModel, poll: Poll) -> Activations:
            from tui_lookups.answering import answers

            ids = model.encode_prompt(text)
            values = answers.text_activations(model, neuron, ids, poll)
            provenance = self._engine.provenance(corpus=False)
            return results.Activations(neuron, text, model.vocabulary.tokens(ids), tuple(values), provenance)

        return self._engine.remembered(
            "activations", results.Activations, work, corpus=False, neuron=str(neuron), text=text
        )

    def predictions(self, prompt_id: int, position: int, *, top: int = 5) -> PromptPredictions:
        """The most probable next tokens after a position of a prompt, and after its neighbours.

        Args:
            prompt_id: the prompt by its number in the corpus.
            top: tokens a position.
        Raises:
            LookupsError: the prompt has no such position.
        """
        return self._predictions.predictions(prompt_id, position, top=top)

    # --- head attribution (METHOD 4) ---

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        sources: HeadId | None = None,
        trimmed: bool | None = None,
    ) -> HeadAttributions:
        """Which heads, directly, made the neuron fire at the peak of one prompt or of a text.

        Args:
            prompt: rank (from 1) among the neuron's prompts; rank 1 by default.
            prompt_id: the prompt by its number in the corpus, for a list that still changes.
            text: a text instead of a prompt; its peak is the position of the largest activation.
            sources: also split this head's attribution over source tokens.
            trimmed: run the trimmed context instead of the full window; the setting `trimmed` by default.
        """
        sign = self._sign(None)
        if text is not None:
            given = self.activations(neuron, text)
            return self._heads.on_text(neuron, given, sources=sources, sign=sign)
        cut = self.settings.trimmed if trimmed is None else trimmed
        return self._heads.on_prompt(neuron, prompt, prompt_id, sources=sources, trimmed=cut, sign=sign)

    def heads_overview(
        self, neuron: NeuronId, *, trimmed: bool | None = None, wait: bool = True
    ) -> HeadOverview:
        """Every head over all of the neuron's prompts: mean attribution and how often it is active.

        Without `wait` over the prompts the running scan has so far.
        """
        cut = self.settings.trimmed if trimmed is None else trimmed
        return self._heads.overview(neuron, trimmed=cut, sign=self._sign(None), wait=wait)

    # --- ablation (METHOD 6) ---

    def ablate(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: AblationMethod = "zero",
        positions: AblationPositions | None = None,
        trimmed: bool | None = None,
    ) -> HeadAblation:
        """What the neuron and its token do without a head, on each of the neuron's prompts.

        Args:
            method: "zero", the head's "mean" over a corpus sample, or "resample" from another prompt.
            positions: at the "peak" (default), or at "all" positions (default of preset paper).
            trimmed: run the trimmed context instead of the full window; the setting `trimmed` by default.
        Raises:
            LookupsError: the head does not reach the neuron.
            UnsupportedModelError: the raw basis, in which no attribution says where a head is active.
        """
        cut = self.settings.trimmed if trimmed is None else trimmed
        sign = self._sign(None)
        return self._heads.ablate(neuron, head, method=method, positions=positions, trimmed=cut, sign=sign)

    # --- published figures (METHOD 7) ---

    def reproduce(self, name: str) -> Reproduction:
        """The published figures of the model `name` beside those of this Explorer's model."""
        from tui_lookups.answering.reproducing import reproduce

        return reproduce(self._engine, name)

    # --- explanations and their scores (METHOD 5); more in `explaining` and `head_scores` ---

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

    # --- export and cache ---

    def export(self, selection: Selection, path: Path, *, overwrite: bool = False) -> Path:
        """Write the selection, with everything known about it, as one JSON document; returns its path."""
        from tui_lookups.answering.gathering import gather
        from tui_lookups.storage.export import write_export

        provenance = self._engine.provenance(
            corpus=True,
            top=self._scan.top,
            preset=self.settings.preset,
            activity_rule=self.settings.activity_rule,
            sign=self._sign(None),
            trimmed=self.settings.trimmed,
            seed=self.settings.seed,
        )
        return write_export(gather(self, selection, provenance), path, overwrite)

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
            tolerance: relative difference at which two numbers count as equal (answering/differing.py).
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
        shelf = ExplainedStore(self._engine.cache)
        with verifying.fresh_folder(self.settings.cache_dir) as folder:
            return verifying.verify(
                document,
                path,
                lambda settings: Explorer(settings, results=folder),
                shelf,
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

    def cache_info(self) -> CacheInfo:
        return self._engine.cache.info()

    def cache_stale(self) -> tuple[str, ...]:
        """Sentences about what the cache holds in a format that this version does not read."""
        return self._engine.cache.stale()

    def cache_verify(self) -> tuple[str, ...]:
        """Hold every cached entry to its checksum; sentences about what was damaged and dropped."""
        return self._engine.cache.verify()

    def cache_clear(self) -> CacheInfo:
        """Empty the cache and say what it held."""
        return self._engine.cache.clear()

    # --- helpers ---

    def _ranking_sign(self, sign: Sign | None) -> Sign:
        """The sign of congruence that is ranked by: "+" unless asked for otherwise."""
        return sign or ("+" if self.settings.sign == "auto" else self.settings.sign)

    def _sign(self, sign: Sign | None) -> Sign:
        """The sign of firing that counts."""
        if sign is not None:
            return sign
        if self.settings.sign != "auto":
            return self.settings.sign
        return "both" if self._engine.model_info().gated else "+"


def _numbers(layers: tuple[int, ...]) -> str:
    return ",".join(map(str, layers))
