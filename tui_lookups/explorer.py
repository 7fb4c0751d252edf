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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from tui_lookups.engine import CURRENT_TOKEN, Engine
from tui_lookups.errors import Cancelled, LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model_thread import CancelToken
from tui_lookups.places import place_in_text, place_of
from tui_lookups.prompt_book import PromptBook
from tui_lookups.results import (
    Activations,
    CacheInfo,
    CorpusInfo,
    ExportDocument,
    FirstView,
    HeadAttributions,
    HeadOverview,
    ModelInfo,
    NeuronPrompts,
    NeuronScore,
    NeuronTokens,
    Prompt,
    ScanProgress,
    ScanSummary,
    Selection,
    Sign,
    Status,
    Token,
    TokenMatch,
    TokenNeurons,
)
from tui_lookups.scan_session import ScanSession
from tui_lookups.settings import Settings

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel, Poll
    from tui_lookups.places import Place

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """A question that was put with `Explorer.ask`."""

    token: CancelToken

    def cancel(self) -> None:
        """Nobody waits any more: no callback is called afterwards, and work for it stops soon."""
        self.token.cancel()


class Explorer:
    """Answers questions about one model and one corpus. Cheap to make: nothing is opened or imported yet."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._engine = Engine(settings)
        self._scan = ScanSession(self._engine)
        self._book = PromptBook(self._engine, self._scan)

    # --- not blocking ---

    def status(self) -> Status:
        """What is being done, for a header: never blocks, never computes."""
        engine = self._engine
        info, corpus, loaded = engine.known()
        scan = self._scan.progress
        stage: Literal["loading", "ready", "failed"] = "failed" if engine.error else "loading"
        if stage == "loading" and (loaded or (scan is not None and scan.state == "done")):
            stage = "ready"
        message = str(engine.error) if engine.error else engine.message if stage == "loading" else ""
        known = None if corpus is None else corpus.info
        return Status(stage, message, engine.device, self.settings.dtype, info, known, scan)

    def start(self) -> None:
        """Load the model and scan the corpus in the background; what goes wrong appears in `status`."""

        def work() -> None:
            try:
                self._scan.start()
                self._engine.on_model(lambda model, poll: None, loading=True)
            except Cancelled:
                return
            except LookupsError as error:
                self._engine.error = error
            except Exception as error:  # noqa: BLE001 - a thread's boundary: said in the status
                self._engine.error = LookupsError(
                    f"internal error: {type(error).__name__}: {error}.", "Run it again with --debug."
                )

        threading.Thread(target=work, name="lookups-start", daemon=True).start()

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Question:
        """Run a blocking question on a thread of its own; one of the callbacks is called on that thread.

        After `Question.cancel()` neither is, model work for it that waits is dropped, and a forward pass
        for it is interrupted between blocks.
        """
        token = CancelToken()

        def work() -> None:
            CURRENT_TOKEN.set(token)
            try:
                answer = question()
            except Cancelled:
                return
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: handed to the asker
                if not token.cancelled:
                    failed(error)
                return
            if not token.cancelled:
                done(answer)

        threading.Thread(target=work, name="lookups-question", daemon=True).start()
        return Question(token)

    def close(self) -> None:
        """Checkpoint the scan, stop all work and close the cache, in well under a second."""
        self._engine.close(self._scan.checkpoint)

    # --- model, corpus, vocabulary ---

    def model_info(self) -> ModelInfo:
        return self._engine.model_info()

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
        layers = self._engine.layers()

        def work(model: LookupModel, poll: Poll) -> FirstView:
            from tui_lookups import answers

            return answers.first_view(model, layers, poll)

        return self._engine.remembered("first_view", FirstView, work, corpus=False, layers=list(layers))

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
        by = sign or ("+" if self.settings.sign == "auto" else self.settings.sign)

        def work(model: LookupModel, poll: Poll) -> TokenNeurons:
            from tui_lookups.analysis import congruence

            rows = congruence.rank_neurons(
                model, found.id, top=top, layers=chosen, sign=by, next_token_only=next_token_only, poll=poll
            )
            provenance = self._engine.provenance(
                corpus=False, top=top, layers=_numbers(chosen), sign=by, next_token_only=next_token_only
            )
            return TokenNeurons(found, self._engine.basis, by, rows, provenance)

        return self._engine.remembered(
            "neurons", TokenNeurons, work, corpus=False,
            token=found.id, top=top, layers=list(chosen), sign=by, next_token_only=next_token_only,
        )  # fmt: skip

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens:
        """The tokens a neuron promotes and suppresses most."""
        self._engine.check_neuron(neuron)

        def work(model: LookupModel, poll: Poll) -> NeuronTokens:
            from tui_lookups.analysis import congruence

            promoted, suppressed = congruence.neuron_tokens(model, neuron, top)
            provenance = self._engine.provenance(corpus=False, top=top)
            return NeuronTokens(neuron, self._engine.basis, promoted, suppressed, provenance)

        return self._engine.remembered(
            "tokens", NeuronTokens, work, corpus=False, neuron=str(neuron), top=top
        )

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        """One neuron's row in a token's ranking, wherever it ranks."""
        self._engine.check_neuron(neuron)

        def work(model: LookupModel, poll: Poll) -> NeuronScore:
            from tui_lookups.analysis import congruence

            return congruence.score_neurons(model, [neuron], token.id)[0]

        return self._engine.remembered(
            "score", NeuronScore, work, corpus=False, neuron=str(neuron), token=token.id
        )

    # --- highest-activating prompts (METHOD 3) ---

    def scan(self, progress: Callable[[ScanProgress], None] | None = None) -> ScanSummary:
        """Scan the corpus to the end, resuming where an earlier scan stopped."""
        engine = self._engine
        info = engine.corpus().info
        known = self._scan.index() is not None
        index = self._scan.wait(progress)
        done = self._scan.progress
        return ScanSummary(
            prompts=info.prompts,
            tokens=info.tokens,
            neurons=len(engine.layers()) * engine.model_info().d_mlp,
            seconds=0.0 if known or done is None else done.seconds,
            tokens_per_second=0.0 if known or done is None else done.tokens_per_second,
            resumed_from=info.prompts if known else self._scan.resumed_from,
            index_path=str(index.folder),
            provenance=engine.provenance(corpus=True, top=self._scan.top, layers=_numbers(engine.layers())),
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

    def activations(self, neuron: NeuronId, text: str) -> Activations:
        """The neuron's activation on every token of a text, begin-of-text in front."""
        self._engine.check_neuron(neuron)

        def work(model: LookupModel, poll: Poll) -> Activations:
            from tui_lookups import answers

            ids = model.encode_prompt(text)
            values = answers.text_activations(model, neuron, ids, poll)
            provenance = self._engine.provenance(corpus=False)
            return Activations(neuron, text, model.vocabulary.tokens(ids), tuple(values), provenance)

        return self._engine.remembered(
            "activations", Activations, work, corpus=False, neuron=str(neuron), text=text
        )

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
        self._engine.check_neuron(neuron)
        if sources is not None:
            self._engine.check_head(sources)
        cut = self.settings.trimmed if trimmed is None else trimmed
        shown: Prompt | None = None
        if text is not None:
            given = self.activations(neuron, text)
            ids = [token.id for token in given.tokens]
            place = place_in_text(given.activations, ids, both_signs=self._sign(None) == "both")
            context = "text"
        else:
            shown = self._book.prompt(neuron, prompt, prompt_id, sign=self._sign(None))
            place = place_of(self._engine.vocabulary().bos_id, shown, trimmed=cut)
            context = "trimmed" if cut else "full"
        found = self._heads_at(neuron, place, shown, context, sources)
        return replace(found, rank=None if shown is None else shown.rank)

    def _heads_at(
        self, neuron: NeuronId, place: Place, shown: Prompt | None, context: str, sources: HeadId | None
    ) -> HeadAttributions:
        rule, preset = self.settings.activity_rule, self.settings.preset
        question = {
            "context": context,
            "activity_rule": rule,
            "preset": preset,
            "sources": None if sources is None else str(sources),
        }

        def work(model: LookupModel, poll: Poll) -> HeadAttributions:
            from tui_lookups import answers

            return answers.head_attributions(
                model,
                neuron,
                place,
                prompt=shown,
                context=context,
                sources=sources,
                rule=rule,
                preset=preset,
                provenance=self._engine.provenance(corpus=shown is not None, **question),
                poll=poll,
            )

        return self._engine.remembered(
            "heads",
            HeadAttributions,
            work,
            corpus=shown is not None,
            neuron=str(neuron),
            prompt_id=None if shown is None else shown.prompt_id,
            ids=list(place.ids),
            position=place.position,
            sign=place.sign,
            **question,
        )

    def heads_overview(self, neuron: NeuronId, *, trimmed: bool | None = None) -> HeadOverview:
        """Every head over all of the neuron's prompts: mean attribution and how often it is active."""
        sign = self._sign(None)
        prompts = self.prompts(neuron, top=self._scan.top, sign=sign).prompts
        rule, preset = self.settings.activity_rule, self.settings.preset
        cut = self.settings.trimmed if trimmed is None else trimmed
        question = {"trimmed": cut, "activity_rule": rule, "preset": preset, "sign": sign}

        def work(model: LookupModel, poll: Poll) -> HeadOverview:
            from tui_lookups import answers

            provenance = self._engine.provenance(corpus=True, prompts=len(prompts), **question)
            return answers.head_overview(
                model,
                neuron,
                prompts,
                trimmed=cut,
                rule=rule,
                preset=preset,
                provenance=provenance,
                poll=poll,
            )

        return self._engine.remembered(
            "overview",
            HeadOverview,
            work,
            corpus=True,
            neuron=str(neuron),
            index=self._scan.key(),
            **question,
        )

    # --- export and cache ---

    def export(self, selection: Selection, path: Path, *, overwrite: bool = False) -> Path:
        """Write the selection, with everything known about it, as one JSON document; returns its path."""
        from tui_lookups.gathering import gather
        from tui_lookups.storage.export import write_export

        provenance = self._engine.provenance(
            corpus=True,
            top=self._scan.top,
            preset=self.settings.preset,
            activity_rule=self.settings.activity_rule,
        )
        return write_export(gather(self, selection, provenance), path, overwrite)

    def open_export(self, path: Path) -> ExportDocument:
        """An export written earlier; `.selection()` is the basket it was made from. Raises ExportError."""
        from tui_lookups.storage.export import read_export

        return read_export(path)

    def cache_info(self) -> CacheInfo:
        return self._engine.cache.info()

    def cache_clear(self) -> CacheInfo:
        """Empty the cache and say what it held."""
        return self._engine.cache.clear()

    # --- helpers ---

    def _sign(self, sign: Sign | None) -> Sign:
        """The sign of firing that counts."""
        if sign is not None:
            return sign
        if self.settings.sign != "auto":
            return self.settings.sign
        return "both" if self._engine.model_info().gated else "+"


def _numbers(layers: tuple[int, ...]) -> str:
    return ",".join(map(str, layers))
