"""An explorer with fixed answers: 6 layers x 6 heads x 768 neurons, no model and no torch.

Figures come from a small hash, so they differ from place to place and never from run to run. Texts hold
what breaks terminals and markup parsers.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, Literal, TypeVar

from tests.tui import canned_diff, canned_heads, canned_survey, canned_trace, canned_why
from tests.tui.canned_explanations import CannedExplanations, CannedScores
from tui_lookups.errors import BadIdError, Cancelled, LookupsError, UnknownTokenError
from tui_lookups.explorer import Explorer, Question
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.spelling import by_length, similar
from tui_lookups.model_thread import CancelToken
from tui_lookups.results import (
    AblationMethod,
    AblationPositions,
    ActivationDiff,
    Activations,
    AsOne,
    Atlas,
    AtlasNeuron,
    CorpusHit,
    CorpusHits,
    CorpusInfo,
    FirstView,
    HeadAblation,
    HeadAttribution,
    HeadAttributions,
    HeadMean,
    HeadOverview,
    HeadReads,
    HeadsDiff,
    Histogram,
    InputsOverview,
    MemberScore,
    ModelInfo,
    NeuronDiff,
    NeuronInputs,
    NeuronOverRevisions,
    NeuronPrompts,
    NeuronScore,
    NeuronStats,
    NeuronTokens,
    Note,
    OtherComponents,
    Peak,
    PeakFigures,
    PositionPredictions,
    Prediction,
    Prompt,
    PromptFigures,
    PromptKind,
    PromptPredictions,
    Provenance,
    Removed,
    SavedSession,
    ScanProgress,
    ServedNeurons,
    SessionState,
    SetNeurons,
    SetScore,
    SharedHeads,
    SourceToken,
    Status,
    Survey,
    SurveyPlan,
    SurveyProgress,
    Target,
    Token,
    TokenCongruence,
    TokenMatch,
    TokenNeurons,
    Trace,
    TraceRoot,
    Trim,
    WeightDiff,
    Why,
)
from tui_lookups.results.matches import spans_of
from tui_lookups.settings import Settings

T = TypeVar("T")
LAYERS, HEADS, NEURONS = 6, 6, 768

HOSTILE = (
    "[/INST]",
    "[red]x",
    "[bold",
    "\x1b[31mred\x1b[0m",
    "\x1b]52;c;aGk=\x07",
    "\n",
    "\n\n",
    "\t",
    "\r",
    "\x00",
    "\x9b2J",
    "漢字",
    "전각",
    "👩‍🔬",
    "❤️",
    "🇫🇷",
    "é" + "\u0301" * 12,
    "\u0301",
    "שלום",
    "\u202eevil\u202c",
    "\u200b",
    "\ufeff",
    "",
    "\ud800",
    " ",
)
_TEXT = (
    "because since although while time Time the and but he she it was not asked go went so that rain "
    "came down house light over river said had been would could never always often perhaps old long "
    "road night"
)
WORDS = tuple(_TEXT.split())
VOCABULARY: tuple[Token, ...] = tuple(
    Token(number, text)
    for number, text in enumerate(
        ["<|endoftext|>", *(" " + word for word in WORDS), *WORDS, ",", ".", "(", "/", "ing", "ly", *HOSTILE]
    )
)
BOS = VOCABULARY[0]
BECAUSE = next(token for token in VOCABULARY if token.text == " because")

MODEL = ModelInfo(
    name="demo",
    source="demo",
    fingerprint="0" * 16,
    family="gpt2",
    n_layers=LAYERS,
    n_heads=HEADS,
    d_model=192,
    d_head=32,
    d_mlp=NEURONS,
    d_vocab=len(VOCABULARY),
    n_ctx=256,
    parameters=5_000_000,
    gated=False,
    own_layer=True,
    bos=BOS,
)
CORPUS = CorpusInfo("demo passages", "demo", "1" * 16, 506, 506, 60_000, 128)


@cache
def noise(*key: object) -> float:
    """A fixed number in [0, 1) for a key."""
    state = 2166136261
    for byte in repr(key).encode("utf-8", "surrogatepass"):
        state = (state ^ byte) * 16777619 & 0xFFFFFFFF
    state = (state ^ (state >> 15)) * 2246822519 & 0xFFFFFFFF
    return (state ^ (state >> 13)) / 2**32


@cache
def _prompt(neuron: NeuronId, n: int, usual_length: int, hostile: bool) -> Prompt:
    words = len(WORDS)
    length = max(4, int(usual_length * (0.5 + noise("length", n))))
    tokens = [BOS]
    for position in range(1, length):
        place = noise(neuron, n, position)
        if hostile and place < 0.12:
            tokens.append(VOCABULARY[len(VOCABULARY) - 1 - int(place / 0.12 * len(HOSTILE))])
        else:
            tokens.append(VOCABULARY[1 + int(place * words)])
    peak = max(2, int(length * 0.7))
    tokens[peak] = next(t for t in VOCABULARY if t.text == " but")
    if peak + 1 < length:
        tokens[peak + 1] = BECAUSE
    phi = 4.31 / (1 + 0.03 * n)
    values = [0.9 * phi * max(0.0, noise("a", neuron, n, p) - 0.55) ** 1.5 - 0.05 for p in range(length)]
    values[peak] = phi
    following = tokens[peak + 1] if peak + 1 < length else None
    trim = Trim(max(1, peak - 6), phi * 0.86, True, "")
    return Prompt(
        n + 1,
        1000 + n,
        1,
        tuple(tokens),
        tuple(values),
        Peak(peak, tokens[peak], phi, following),
        trim,
    )


class CannedExplorer(Explorer):
    """An Explorer of fixed answers. `threads`: answer on threads, as the real one does.

    `scanned`: how far the scan is said to be; `hostile`: put hostile tokens into the prompts;
    `hold`: questions wait until `release()`.
    """

    def __init__(
        self,
        *,
        threads: bool = False,
        scanned: int = 506,
        hostile: bool = True,
        n_prompts: int = 20,
        length: int = 60,
        model: ModelInfo = MODEL,
        hold: bool = False,
    ) -> None:
        super().__init__(Settings(top=n_prompts))
        super().close()  # a question that is not answered here opens nothing
        self.threads = threads
        self.scanned = scanned
        self.hostile = hostile
        self.n_prompts = n_prompts
        self.length = length
        self.model = model
        self.held: list[Callable[[], None]] | None = [] if hold else None
        self.calls: list[tuple[str, Any]] = []
        self.closed = 0
        self.checkpoints = 0
        self.started = 0
        self.failure: tuple[str, str] | None = None
        self.fail: dict[str, BaseException] = {}
        self.named: dict[str, SessionState] = {}
        self.elsewhere: tuple[str, ...] = ()  # sessions that another process has open
        self.written: dict[tuple[object, ...], Note] = {}
        self._words = CannedExplanations(self)
        self._scores = CannedScores(self._words)

    problems: tuple[str, ...] = ()
    cached: frozenset[NeuronId] = frozenset()
    """Neurons whose prompts are said to be in the cache."""

    @property
    def explaining(self) -> CannedExplanations:
        return self._words

    @property
    def head_scores(self) -> CannedScores:
        return self._scores

    # --- non-blocking ---

    def status(self) -> Status:
        if self.failure is not None:
            return Status("failed", " ".join(self.failure), "", "", None, None, None)
        if self.held is not None:
            return Status("loading", "weights", "cpu", "float32", None, None, None)
        state = "done" if self.scanned >= CORPUS.prompts else "running"
        left = None if state == "done" else 7.0
        scan = ScanProgress(state, self.scanned, CORPUS.prompts, 0, 0, 11.0, left, 5000.0)
        return Status("ready", "", "cpu", "float32", self.model, CORPUS, scan, problems=self.problems)

    def start(self) -> None:
        self.started += 1

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Question:
        token = CancelToken()

        def work() -> None:
            try:
                result = question()
            except Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - the contract: every error goes to `failed`
                if not token.cancelled:
                    failed(error)
                return
            if not token.cancelled:
                done(result)

        if self.held is not None:
            self.held.append(work)
        elif self.threads:
            threading.Thread(target=work, daemon=True).start()
        else:
            work()
        return Question(token)

    def release(self) -> None:
        """Answer everything that was held back, and hold nothing from now on."""
        held, self.held = self.held or [], None
        for work in held:
            work()

    def request_checkpoint(self) -> None:
        self.checkpoints += 1

    def close(self) -> str:
        self.closed += 1
        return ""

    def model_info(self) -> ModelInfo:
        return self.model

    def corpus_info(self) -> CorpusInfo:
        return CORPUS

    # --- vocabulary ---

    def resolve_token(self, text: str) -> TokenMatch:
        self._called("resolve_token", text)
        if text.startswith("#"):
            number = int(text[1:]) if text[1:].isdigit() else -1
            if not 0 <= number < len(VOCABULARY):
                raise UnknownTokenError(
                    f"{text} is no token id.", f"They run from 0 to {len(VOCABULARY) - 1}."
                )
            return TokenMatch(text, VOCABULARY[number], (), ())
        token = next((t for t in VOCABULARY if t.text == text), None)
        if token is not None:
            return TokenMatch(text, token, (token,), ())
        pieces = _pieces(text)
        words: dict[str, list[int]] = {}
        for known in VOCABULARY:
            words.setdefault(known.text.strip().casefold(), []).append(known.id)
        alike = similar(text.strip().casefold(), by_length(words), 5)
        close = tuple(VOCABULARY[number] for word in alike for number in words[word])
        return TokenMatch(text, None, pieces, close)

    def complete_token(self, text: str, limit: int = 20) -> tuple[Token, ...]:
        return tuple(t for t in VOCABULARY if text and t.text.startswith(text))[:limit]

    def first_view(self) -> FirstView:
        self._called("first_view", None)
        story = "L5.N371 writes “ because” and fires after a reason was asked for."
        return FirstView(BECAUSE, NeuronId(5, 371), story)

    def search_corpus(
        self, text: str, *, most: int = 200, so_far: Callable[[CorpusHits], None] = lambda _: None
    ) -> CorpusHits:
        self._called("search_corpus", text)
        hits = []
        for number in range(40):
            tokens = self.prompt(NeuronId(5, 371), number).tokens
            if spans := spans_of(text, [token.text for token in tokens]):
                hits.append(CorpusHit(number, tokens, spans))
        so_far(CorpusHits(text, tuple(hits[:1]), 10, 40, most))
        return CorpusHits(text, tuple(hits[:most]), 40, 40, most)

    # --- questions ---

    def neurons(
        self,
        token: str | int,
        *,
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        next_token_only: bool = False,
        **_: Any,
    ) -> TokenNeurons:
        self._called("neurons", (token, layers, next_token_only))
        asked = VOCABULARY[int(token)] if isinstance(token, int) else BECAUSE
        rows = []
        for n in range(top):
            neuron = NeuronId(5, 371) if n == 0 else NeuronId(int(noise(token, n) * LAYERS), 17 + n * 3)
            own = noise("own", token, n) < 0.4 or n == 0
            best = asked if own else VOCABULARY[int(noise("top", n) * len(VOCABULARY))]
            value = 6.12 / (1 + 0.12 * n)
            rows.append(
                NeuronScore(
                    neuron, neuron.layer, neuron.index, value, 0.71 / (1 + 0.05 * n), 1 + n, best, value * 1.1
                )
            )
        kept = [
            row
            for row in rows
            if (layers is None or row.layer in layers) and (not next_token_only or row.top_token == asked)
        ]
        return TokenNeurons(asked, "folded", "+", tuple(kept), self.provenance())

    def neurons_of_set(
        self, tokens: Sequence[str | int], *, as_one: AsOne = "mean", **asked: Any
    ) -> SetNeurons:
        self._called("neurons_of_set", (tuple(tokens), as_one))
        members = tuple(VOCABULARY[int(token)] for token in tokens)
        found = self.neurons(members[0].id, **asked)
        rows = []
        for place, row in enumerate(found.neurons):
            scores = tuple(
                MemberScore(member, row.congruence - n, row.cosine, row.token_rank + 40 * n)
                for n, member in enumerate(members)
            )
            plain = [getattr(row, field.name) for field in fields(row)]
            rows.append(SetScore(*plain, members[place % len(members)], scores))
        return SetNeurons(members[0], "folded", "+", tuple(rows), self.provenance(), members, as_one)

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens:
        self._called("tokens", neuron)
        promoted = [BECAUSE, *VOCABULARY[5:12], *VOCABULARY[-len(HOSTILE) :]]
        return NeuronTokens(
            neuron,
            "folded",
            tuple(TokenCongruence(t.id, t.text, 6.1 - 0.4 * n) for n, t in enumerate(promoted[:top])),
            tuple(
                TokenCongruence(t.id, t.text, -4.0 + 0.3 * n) for n, t in enumerate(VOCABULARY[20 : 20 + top])
            ),
            self.provenance(),
        )

    def prompts(self, neuron: NeuronId, **_: Any) -> NeuronPrompts:
        self._called("prompts", neuron)
        if neuron.layer >= LAYERS or neuron.index >= NEURONS:
            raise BadIdError(f"{neuron} does not exist.", f"The model has {LAYERS} layers of {NEURONS}.")
        count = self.n_prompts if self.scanned >= CORPUS.prompts else self.n_prompts * self.scanned // 506
        # as the scan goes on, better prompts come in above the ones that were there
        first = max(0, self.n_prompts - count)
        found = [self.prompt(neuron, first + n) for n in range(count)]
        ranked = tuple(replace(p, rank=rank) for rank, p in enumerate(found, 1))
        stats = NeuronStats(
            0.02,
            0.1,
            0.031,
            4.31,
            -0.17,
            60_000,
            self.scanned,
            Histogram(
                tuple(n * 4.31 / 20 for n in range(21)), tuple(int(300 / (1 + n) ** 1.4) for n in range(20))
            ),
        )
        return NeuronPrompts(
            neuron, BECAUSE, 6.7, stats, ranked, self.scanned, CORPUS.prompts, self.provenance(), ""
        )

    def cached_prompts(self, neuron: NeuronId) -> NeuronPrompts | None:
        self._called("cached_prompts", neuron)
        return self.prompts(neuron) if neuron in self.cached else None

    def stats(self, neurons: Sequence[NeuronId]) -> tuple[NeuronStats, ...]:
        self._called("stats", neurons)
        shown = self.prompts(NeuronId(5, 371)).stats
        return tuple(replace(shown, fraction_positive=noise("active", neuron)) for neuron in neurons)

    def predictions(
        self,
        prompt_id: int | None = None,
        position: int | None = None,
        *,
        text: str | None = None,
        top: int = 5,
    ) -> PromptPredictions:
        self._called("predictions", (prompt_id if text is None else text, position))
        position = position or 0
        rows = []
        for at in range(position - position % 32, position - position % 32 + 32):
            guesses = [VOCABULARY[1 + (at * 7 + n * 3) % len(WORDS)] for n in range(top)]
            odds = tuple(Prediction(token, 0.4 / 2**n) for n, token in enumerate(guesses))
            rows.append(PositionPredictions(at, odds, BECAUSE, 0.012))
        return PromptPredictions(prompt_id, tuple(rows), self.provenance())

    def prompt(self, neuron: NeuronId, n: int) -> Prompt:
        """The n-th prompt of a neuron, best first when everything is scanned."""
        return _prompt(neuron, n, self.length, self.hostile)

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | None = None,
        sources: HeadId | None = None,
        trimmed: bool | None = None,
    ) -> HeadAttributions:
        self._called("heads", (neuron, prompt_id, sources, trimmed))
        if text is not None:
            return self._heads_of_text(neuron, text, position, sources)
        listed = self.prompts(neuron, wait=False).prompts
        found = next((p for p in listed if p.prompt_id == prompt_id), listed[(prompt or 1) - 1])
        return self._attributions(neuron, found, sources, bool(trimmed))

    def _attributions(
        self, neuron: NeuronId, found: Prompt, sources: HeadId | None, trimmed: bool
    ) -> HeadAttributions:
        scores = []
        for layer in range(min(LAYERS, neuron.layer + 1)):
            for index in range(HEADS):
                value = 2.2 * (noise("head", neuron, found.prompt_id, layer, index) - 0.42) ** 3
                value = 1.92 if (layer, index) == (3, 2) else value
                both = (value * 0.6, value * 0.4) if self.model.gated else (None, None)
                scores.append(HeadAttribution(HeadId(layer, index), layer, index, value, value > 0.6, *both))
        other = OtherComponents(0.1, 0.9, 0.02, 0.2)
        total = sum(s.attribution for s in scores) + 0.1 + 0.9 + 0.02 + 0.2
        position = found.peak.position
        tokens, shift = found.tokens, 0
        if trimmed:
            assert found.trimmed is not None
            shift = found.trimmed.start - 1
            tokens = (BOS, *found.tokens[found.trimmed.start : position + 1])
        read: tuple[SourceToken, ...] = ()
        if sources is not None:
            size = position - shift + 1
            read = tuple(
                SourceToken(p, tokens[p], 1.92 * (noise("source", sources, p) - 0.3) ** 3, 2 / 3 / 2**p)
                for p in range(size)
            )
        return HeadAttributions(
            neuron,
            found.prompt_id,
            found.rank,
            "trimmed" if trimmed else "full",
            tokens,
            position - shift,
            found.peak.activation,
            total,
            Target("activation" if self.model.gated else "pre_activation", total),
            tuple(scores),
            other,
            total,
            0.0,
            "2sd",
            0.61,
            sources,
            read,
            self.provenance(),
        )

    def _heads_of_text(
        self, neuron: NeuronId, text: str, position: int | None, sources: HeadId | None
    ) -> HeadAttributions:
        given = self.activations(neuron, text)
        if position is None:
            position = max(range(len(given.tokens)), key=lambda p: given.activations[p])
        listed = replace(self.prompt(neuron, 0), tokens=given.tokens, activations=given.activations)
        peak = Peak(position, given.tokens[position], given.activations[position], None)
        found = self._attributions(neuron, replace(listed, peak=peak), sources, False)
        return replace(found, prompt_id=None, rank=None, context="text")

    def heads_overview(self, neuron: NeuronId, *, trimmed: bool | None = None, **_: Any) -> HeadOverview:
        self._called("heads_overview", neuron)
        heads = tuple(
            HeadMean(
                HeadId(layer, index),
                layer,
                index,
                1.6 * (noise("mean", neuron, layer, index) - 0.4) ** 3,
                noise("active", layer, index),
                0.25 <= noise("active", layer, index) <= 0.75,
            )
            for layer in range(neuron.layer + 1)
            for index in range(HEADS)
        )
        context: Literal["full", "trimmed"] = "trimmed" if trimmed else "full"
        return HeadOverview(neuron, 20, context, "2sd", heads, self.provenance())

    # --- atlas, ablation, other prompts, texts ---

    def atlas(
        self,
        *,
        per_layer: int = 20,
        read: Callable[[int, int], None] = lambda done, layers: None,
        **_: Any,
    ) -> Atlas:
        self._called("atlas", per_layer)
        read(1, LAYERS)
        return canned_heads.atlas(VOCABULARY, LAYERS, per_layer, self.provenance())

    # --- surveys ---

    surveyed = 0
    """How many of the neurons are said to be in the cache."""

    def before_neuron(self, done: int) -> None:
        """Called before each neuron of a survey: tests wait here."""

    def survey_plan(
        self, *, per_layer: int = 20, layers: Sequence[int] | None = None, **_: Any
    ) -> SurveyPlan:
        self._called("survey_plan", (per_layer, layers))
        listed = canned_survey.neurons(self.atlas(per_layer=per_layer), layers)
        there = tuple(range(LAYERS)) if layers is None else tuple(layers)
        pairs = sum(HEADS * (found.neuron.layer + 1) for found in listed)
        return SurveyPlan(there, len(listed), min(self.surveyed, len(listed)), self.n_prompts, pairs)

    def survey(
        self,
        *,
        per_layer: int = 20,
        layers: Sequence[int] | None = None,
        progress: Callable[[SurveyProgress], None] = lambda _: None,
        so_far: Callable[[Survey], None] | None = None,
        **_: Any,
    ) -> Survey:
        self._called("survey", (per_layer, layers))
        listed = canned_survey.neurons(self.atlas(per_layer=per_layer), layers)
        rows: list[tuple[AtlasNeuron, HeadOverview]] = []
        for done, found in enumerate(listed):
            progress(SurveyProgress(done, len(listed), float(done), 2.0 * (len(listed) - done)))
            self.before_neuron(done)
            rows.append((found, self.heads_overview(found.neuron)))
            self.surveyed = max(self.surveyed, len(rows))
            if so_far is not None:
                so_far(canned_survey.survey(rows, per_layer, layers or range(LAYERS), self.provenance()))
        return canned_survey.survey(rows, per_layer, layers or range(LAYERS), self.provenance())

    def served_by(
        self,
        head: HeadId,
        *,
        per_layer: int = 20,
        layers: Sequence[int] | None = None,
        progress: Callable[[SurveyProgress], None] = lambda _: None,
        so_far: Callable[[ServedNeurons], None] | None = None,
        **_: Any,
    ) -> ServedNeurons:
        self._called("served_by", (head, per_layer, layers))

        def part(found: Survey) -> None:
            served = canned_survey.served(found, head)
            if so_far is not None and served is not None:
                so_far(served)

        whole = self.survey(per_layer=per_layer, layers=layers, progress=progress, so_far=part)
        found = canned_survey.served(whole, head)
        if found is None:
            raise LookupsError(f"{head} reaches none of the surveyed neurons.", "Survey later layers.")
        return found

    def shared_heads(self, neurons: Sequence[NeuronId], *, trimmed: bool | None = None) -> SharedHeads:
        self._called("shared_heads", tuple(neurons))
        from tui_lookups.analysis.neuron_groups import shared_heads  # with NumPy: not before a first paint

        overviews = [
            replace(self.heads_overview(neuron), mean_target=canned_survey.TARGET) for neuron in neurons
        ]
        return shared_heads(overviews, least_share=0.25, provenance=self.provenance())

    def head_reads(self, neuron: NeuronId, head: HeadId, *, top: int = 10, **_: Any) -> HeadReads:
        self._called("head_reads", (neuron, head))
        tokens = [*VOCABULARY[3:8], *VOCABULARY[-3:]] if self.hostile else VOCABULARY[3:11]
        return canned_survey.reads(neuron, head, tokens[:top], self.n_prompts, self.provenance())

    def ablate(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: AblationMethod = "zero",
        positions: AblationPositions | None = None,
        trimmed: bool | None = None,
        text: str | None = None,
        **_: Any,
    ) -> HeadAblation:
        self._called("ablate", (neuron, head, method, positions))
        prompts = self.prompts(neuron).prompts
        if text is not None:
            given = canned_heads.ablation(
                neuron, head, method, positions or "peak", prompts[:2], self.provenance()
            )
            only = replace(given.prompts[0], rank=None, prompt_id=None)
            return replace(given, context="text", prompts=(only,))
        found = canned_heads.ablation(neuron, head, method, positions or "peak", prompts, self.provenance())
        return replace(found, context="trimmed") if trimmed else found

    def sampled_prompts(self, neuron: NeuronId, kind: PromptKind, **_: Any) -> NeuronPrompts:
        self._called("sampled_prompts", (neuron, kind))
        found = self.prompts(neuron)
        if kind == "top":
            return found
        kept = found.prompts[5:15] if kind == "deciles" else found.prompts[3:]
        return replace(found, prompts=tuple(replace(p, rank=n) for n, p in enumerate(kept, 1)))

    def peak_figures(
        self,
        neuron: NeuronId,
        token: Token | None = None,
        *,
        kind: PromptKind = "top",
        **_: Any,
    ) -> PeakFigures:
        self._called("peak_figures", (neuron, kind))
        listed = self.prompts(neuron) if kind == "top" else self.sampled_prompts(neuron, kind)
        rows = tuple(
            PromptFigures(
                p.rank, p.prompt_id, 1, BECAUSE, p.peak.activation, 6.7, p.peak.activation * 0.6, 11.2, 0.412,
                p.peak.next_token, None if p.peak.next_token is None else 0.25,
            )
            for p in listed.prompts
        )  # fmt: skip
        return PeakFigures(neuron, kind, token, rows, self.provenance())

    def activations(self, neuron: NeuronId, text: str) -> Activations:
        self._called("activations", text)
        words = re.findall(r"\s?\S+|\s+", text)
        known = {token.text: token for token in VOCABULARY}
        tokens = (BOS, *(known.get(word, Token(n, word)) for n, word in enumerate(words, 1)))
        values = tuple(4.31 * (noise("text", t.text) - 0.3) if t != BOS else -0.1 for t in tokens)
        return Activations(neuron, text, tokens, values, self.provenance())

    # --- why a token, and inputs ---

    def why(
        self,
        text: str | None = None,
        *,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        top: int = 50,
    ) -> Why:
        self._called("why", (text, prompt_id, position, token, foil))
        neuron = NeuronId(5, 371)
        if text is None:
            tokens = next(p for p in self.prompts(neuron).prompts if p.prompt_id == prompt_id).tokens
        else:
            tokens = self.activations(neuron, text).tokens
        at = len(tokens) - 1 if position is None else position
        guesses = (VOCABULARY[1 + (at * 7 + n * 3) % len(WORDS)] for n in range(1, 9))
        likely = tuple(dict.fromkeys((BECAUSE, *guesses, VOCABULARY[-4])))
        asked, against = (None if t is None else VOCABULARY[int(t)] for t in (token, foil))
        return canned_why.why(tokens, at, likely, asked, against, top, self.provenance())

    def removed(
        self,
        component: HeadId | NeuronId,
        text: str | None = None,
        *,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        method: Literal["zero", "mean"] = "zero",
    ) -> Removed:
        self._called("removed", (component, method))
        found = self.why(text, prompt_id=prompt_id, position=position, token=token, foil=foil)
        return canned_why.removed(component, method, found, self.provenance())

    def inputs(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | None = None,
        trimmed: bool | None = None,
        top: int = 50,
    ) -> NeuronInputs:
        self._called("inputs", (neuron, prompt_id, text, position))
        heads = self.heads(
            neuron, prompt=prompt, prompt_id=prompt_id, text=text, position=position, trimmed=trimmed
        )
        peak = Peak(heads.position, heads.tokens[heads.position], heads.activation, None)
        number = -1 if heads.prompt_id is None else heads.prompt_id
        shown = replace(self.prompt(neuron, 0), prompt_id=number, rank=heads.rank or 0)
        at = replace(shown, tokens=heads.tokens, peak=peak)
        return canned_why.inputs(neuron, at, heads.context, top, self.provenance())

    def cached_inputs(self, neuron: NeuronId, **asked: Any) -> NeuronInputs | None:
        self._called("cached_inputs", neuron)
        return self.inputs(neuron, **asked) if neuron in self.cached else None

    def inputs_overview(self, neuron: NeuronId, *, top: int = 50, **_: Any) -> InputsOverview:
        self._called("inputs_overview", neuron)
        return canned_why.inputs_overview(neuron, top, self.provenance())

    def trace(
        self,
        text: str | None = None,
        *,
        neuron: NeuronId | None = None,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        node: str = "root",
        depth: int = 3,
        width: int = 8,
        **_: Any,
    ) -> Trace:
        self._called("trace", (text, neuron, prompt_id, position, token, foil, node, depth, width))
        if neuron is None:
            why = self.why(text, prompt_id=prompt_id, position=position, token=token, foil=foil)
            value, odds = why.contributions.target, why.probability
            root = TraceRoot(why.token, why.foil, None, "logit", value, odds, None, None)
            tokens, at = why.tokens, why.position
        else:
            inputs = self.inputs(neuron, prompt_id=prompt_id, text=text, position=position)
            target = inputs.contributions.target
            root = TraceRoot(None, None, neuron, "pre_activation", target, None, inputs.activation, None)
            tokens, at = inputs.tokens, inputs.position
        context: Literal["full", "text"] = "text" if prompt_id is None else "full"
        return canned_trace.trace(
            root, tokens[: at + 1], prompt_id, context, node, depth, width, self.provenance()
        )

    # --- two models, revisions ---

    def diff(self, other: str, *, top: int = 20) -> WeightDiff:
        self._called("diff", (other, top))
        return canned_diff.weights(other, top, VOCABULARY[1:], self.provenance(), noise)

    def diff_activations(self, other: str, *, top: int = 20) -> ActivationDiff:
        self._called("diff_activations", (other, top))
        return canned_diff.activations(other, top, VOCABULARY[1:], self.provenance(), noise)

    def diff_neuron(self, other: str, neuron: NeuronId, *, top: int = 5) -> NeuronDiff:
        self._called("diff_neuron", (other, neuron))
        return canned_diff.neuron(other, neuron, self.prompts(neuron).prompts, self.provenance(), noise)

    def diff_heads(self, other: str, neuron: NeuronId, *, top: int = 20) -> HeadsDiff:
        self._called("diff_heads", (other, neuron))
        return canned_diff.heads(other, neuron, self.heads_overview(neuron), self.provenance())

    def over_revisions(
        self, neuron: NeuronId, names: tuple[str, ...], *, token: str | None = None, prompts: bool = False
    ) -> NeuronOverRevisions:
        self._called("over_revisions", (neuron, names, token, prompts))
        overview = self.heads_overview(neuron) if prompts else None
        return canned_diff.over_revisions(neuron, names, BECAUSE, overview, self.provenance())

    # --- tour ---

    tour_unseen = False

    def offer_tour(self) -> bool:
        self._called("offer_tour", None)
        offered, self.tour_unseen = self.tour_unseen, False
        return offered

    # --- session ---

    def save_session(self, session: SessionState, name: str = "") -> SavedSession:
        self._called("save_session", session)
        kept = name if name not in self.elsewhere else f"{name or 'last'}-2"
        self.named[kept] = session
        return SavedSession(kept, "2026-11-30T07:00:00+00:00", session.neuron, len(session.basket))

    def load_session(self, name: str = "") -> SessionState | None:
        self._called("load_session", None)
        return self.named.get(name)

    def claim_session(self, name: str = "") -> bool:
        return name not in self.elsewhere

    def sessions(self) -> tuple[SavedSession, ...]:
        when = "2026-11-30T07:00:00+00:00"
        return tuple(
            SavedSession(name, when, state.neuron, len(state.basket), len(state.basket.notes))
            for name, state in self.named.items()
        )

    def delete_session(self, name: str) -> None:
        self._called("delete_session", name)
        del self.named[name]

    @property
    def session(self) -> SessionState | None:
        """The last session."""
        return self.named.get("")

    @session.setter
    def session(self, session: SessionState) -> None:
        self.named[""] = session

    def keep_note(self, note: Note) -> None:
        self._called("keep_note", note)
        self.written[note.subject] = note

    def notes(self) -> tuple[Note, ...]:
        return tuple(self.written.values())

    # --- what an export is made of ---

    def provenance(self) -> Provenance:
        return Provenance(self.model, CORPUS, "folded", "cpu", "float32", {"top": 20})

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        return NeuronScore(neuron, neuron.layer, neuron.index, 6.12, 0.71, 1, token, 6.12)

    def _called(self, name: str, argument: object) -> None:
        self.calls.append((name, argument))
        if name in self.fail:
            raise self.fail[name]


def _pieces(text: str) -> tuple[Token, ...]:
    pieces: list[Token] = []
    while text:
        best = max(
            (t for t in VOCABULARY if t.text and text.startswith(t.text)),
            key=lambda t: len(t.text),
            default=None,
        )
        if best is None:
            return tuple(pieces)
        pieces.append(best)
        text = text[len(best.text) :]
    return tuple(pieces)
