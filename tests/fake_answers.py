"""Fixed answers and an Explorer that gives them: what the command line is tested with, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from tui_lookups.errors import BadIdError, UnknownTokenError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    AblatedPair,
    AblatedPrompt,
    AblationMean,
    AblationMethod,
    AblationPositions,
    AblationSummary,
    Activations,
    Atlas,
    AtlasLayer,
    AtlasNeuron,
    CacheInfo,
    CorpusInfo,
    FollowUpPlan,
    HeadAblation,
    HeadAttribution,
    HeadAttributions,
    HeadMean,
    HeadOverview,
    Histogram,
    KolmogorovSmirnov,
    ModelInfo,
    NearBy,
    NearestNeurons,
    NearNeuron,
    NeuronPrompts,
    NeuronScore,
    NeuronStats,
    NeuronTokens,
    Note,
    OtherComponents,
    PairComparison,
    Part,
    Peak,
    Prompt,
    PromptFigures,
    PromptKind,
    PromptsWithFigures,
    Provenance,
    RankedPeak,
    ReproducedFigure,
    Reproduction,
    ScanProgress,
    ScanSummary,
    ServedNeurons,
    SourceToken,
    Status,
    Survey,
    SurveyedHead,
    SurveyedNeuron,
    SurveyedPair,
    SurveyPlan,
    Target,
    Token,
    TokenCongruence,
    TokenMatch,
    TokenNeurons,
    Trim,
)
from tui_lookups.settings import Settings

BECAUSE = Token(1093, " because")
HOSTILE = Token(7, "[/INST]\x1b[31m\n\u202e")
NEURON = NeuronId(5, 371)

MODEL = ModelInfo(
    name="demo", source="demo", fingerprint="m0", family="gpt2", n_layers=6, n_heads=2, d_model=8, d_head=4,
    d_mlp=768, d_vocab=2000, n_ctx=256, parameters=1234, gated=False, own_layer=True, bos=None,
)  # fmt: skip
CORPUS = CorpusInfo("demo", "demo", "c0", documents=10, prompts=506, tokens=9000, window=256)
PROVENANCE = Provenance(MODEL, CORPUS, "folded", "cpu", "float32", {"top": 20})
STATS = NeuronStats(0.1, 0.2, 0.25, 4.3, -0.2, 9000, 506, Histogram((0.0, 1.0, 2.0), (500, 6)))
TOKENS = (Token(1, "He"), Token(2, " went"), HOSTILE, BECAUSE, Token(5, " he"))


def prompt(rank: int) -> Prompt:
    return Prompt(
        rank, 100 + rank, 1, TOKENS, (0.0, 0.1, 0.2, 4.25, 0.0),
        Peak(3, BECAUSE, 4.25, TOKENS[4]), Trim(1, 4.0, True, ""),
    )  # fmt: skip


def head_rows() -> tuple[HeadAttribution, ...]:
    values = {HeadId(0, 0): 0.1, HeadId(0, 1): -2.5, HeadId(3, 0): 0.2, HeadId(3, 1): 1.92}
    return tuple(HeadAttribution(h, h.layer, h.index, value, value > 1) for h, value in values.items())


def progress(prompts: int) -> ScanProgress:
    return ScanProgress("running", prompts, 506, prompts * 20, 9000, 3.0, 7.2, 1234.5)


class FakeExplorer:
    """Answers at once; `calls` records what was asked, `raises` is raised by the next question."""

    problems: tuple[str, ...] = ()

    def notes(self) -> tuple[Note, ...]:
        return ()

    def __init__(self, settings: Settings, raises: BaseException | None = None) -> None:
        self.settings = settings
        self.raises = raises
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.closed = False
        self.explaining = SimpleNamespace(cached=list)

    def _asked(self, name: str, **parameters: Any) -> None:
        self.calls.append((name, parameters))
        if self.raises is not None:
            raise self.raises

    def status(self) -> Status:
        return Status("ready", "", "cpu", "float32", MODEL, CORPUS, None)

    def close(self) -> str:
        self.closed = True
        return ""

    def neurons(self, token: str, *, top: int = 50, next_token_only: bool = False) -> TokenNeurons:
        self._asked("neurons", token=token, top=top, next_token_only=next_token_only)
        if token == "qqq":
            raise UnknownTokenError("'qqq' is not one token.", "Close: ' q'.")
        ids = [NEURON, NeuronId(4, 19), NeuronId(5, 88)]
        rows = tuple(NeuronScore(n, n.layer, n.index, 6.125, 0.71, 1, HOSTILE, 6.5) for n in ids)
        return TokenNeurons(BECAUSE, "folded", "+", rows[:top], PROVENANCE)

    def scores(self, neurons: Sequence[NeuronId], token: Token) -> tuple[NeuronScore, ...]:
        """They differ from revision to revision of the model."""
        self._asked("scores", neurons=tuple(neurons), token=token)
        congruence = float(len(self.settings.model))
        return tuple(NeuronScore(n, n.layer, n.index, congruence, 0.5, 2, HOSTILE, 6.5) for n in neurons)

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        return self.scores((neuron,), token)[0]

    def model_fingerprint(self) -> str:
        return f"of {self.settings.model}"

    def resolve_token(self, text: str) -> TokenMatch:
        """The tokens "time" and " time"; anything else is BECAUSE, which is like no other."""
        both = {"time": Token(2435, "time"), " time": Token(583, " time")}
        if text not in both:
            return TokenMatch(text, BECAUSE, (), ())
        return TokenMatch(text, both[text], (), tuple(other for key, other in both.items() if key != text))

    def nearest(
        self, neuron: NeuronId, *, by: NearBy = "writes", top: int = 20, other: str | None = None
    ) -> NearestNeurons:
        self._asked("nearest", neuron=str(neuron), by=by, top=top, other=other)
        rows = (NearNeuron(NeuronId(4, 2), 0.625, BECAUSE), NearNeuron(NeuronId(3, 1), -0.25, HOSTILE))
        against = None if other is None else replace(MODEL, name=other)
        return NearestNeurons(neuron, by, "folded", rows, PROVENANCE, against)

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens:
        self._asked("tokens", neuron=neuron, top=top)
        if neuron.layer >= MODEL.n_layers:
            raise BadIdError(f"The model has no neuron {neuron}.", "Layers are 0 to 5.")
        promoted = (TokenCongruence(1093, " because", 6.125), TokenCongruence(7, HOSTILE.text, 3.5))
        return NeuronTokens(neuron, "folded", promoted, (TokenCongruence(9, " so", -4.25),), PROVENANCE)

    def scan(self, progress: Callable[[ScanProgress], None] | None = None) -> ScanSummary:
        self._asked("scan", progress=progress)
        return ScanSummary(506, 9000, 4608, 3.25, 2769.0, 0, "/c/index", PROVENANCE)

    def prompts(self, neuron: NeuronId, *, top: int | None = None, trim: bool = True) -> NeuronPrompts:
        self._asked("prompts", neuron=neuron, top=top, **({} if trim else {"trim": False}))
        found = tuple(prompt(rank) for rank in range(1, min(top or 20, 4) + 1))
        return NeuronPrompts(neuron, BECAUSE, 6.125, STATS, found, 506, 506, PROVENANCE, "")

    def peaks(self, neuron: NeuronId) -> tuple[RankedPeak, ...]:
        return tuple(map(RankedPeak.of, self.prompts(neuron).prompts))

    def prompts_with_figures(
        self, neuron: NeuronId, *, kind: PromptKind = "top", top: int | None = None
    ) -> PromptsWithFigures:
        self._asked("prompts_with_figures", neuron=neuron, kind=kind, top=top)
        shown = tuple(prompt(rank) for rank in range(1, min(top or 20, 4) + 1))
        figures = tuple(
            PromptFigures(
                p.rank, p.prompt_id, 1, HOSTILE, 4.25, 6.125, 3.5, 7.4375, 0.25, p.peak.next_token, 0.5
            )
            for p in shown
        )
        return PromptsWithFigures(
            neuron, BECAUSE, 6.125, STATS, shown, 506, 506, PROVENANCE, "", kind, figures, ""
        )

    def atlas(self, *, per_layer: int = 20, reject: Sequence[str] = ()) -> Atlas:
        self._asked("atlas", per_layer=per_layer, reject=list(reject))
        first = (AtlasNeuron(NEURON, BECAUSE, 6.125), AtlasNeuron(NeuronId(5, 88), HOSTILE, 5.5))
        layers = (AtlasLayer(4, (), 0), AtlasLayer(5, first[:per_layer], 1234))
        return Atlas("folded", "+", per_layer, 1234, (HOSTILE,) if reject else (), layers, PROVENANCE)

    def survey_plan(
        self,
        *,
        per_layer: int = 20,
        trimmed: bool | None = None,
        explain: bool = False,
        score: bool = False,
        control: bool = True,
        ablate: bool = False,
    ) -> SurveyPlan:
        self._asked("survey_plan", per_layer=per_layer, trimmed=trimmed)
        asked = FollowUpPlan(30, 1200, 1230, 90_000, 6_000, 1.5) if explain or score or ablate else None
        return SurveyPlan((4, 5), 40, 12, 20, 310, 440, 9, 6, asked)

    def survey(
        self, *, per_layer: int = 20, trimmed: bool | None = None, progress: Callable[[Any], None]
    ) -> Survey:
        self._asked("survey", per_layer=per_layer, trimmed=trimmed)
        neurons = (
            SurveyedNeuron(NEURON, BECAUSE, 6.125, 20, 4.0, 12, 1, ""),
            SurveyedNeuron(NeuronId(5, 88), HOSTILE, 5.5, 0, None, 0, 0, "It never fires."),
        )
        pairs = (SurveyedPair(NEURON, BECAUSE, 6.125, HeadId(3, 1), 1.5, 0.35, 0.375),)
        heads = (
            SurveyedHead(HeadId(3, 0), 1, 0, None, 0.05),
            SurveyedHead(HeadId(3, 1), 1, 1, 1.5, 0.375),
        )
        return Survey((4, 5), per_layer, "+", "full", "2sd", neurons, pairs, heads, PROVENANCE)

    def ablate_survey(
        self,
        survey: Survey,
        *,
        method: AblationMethod = "zero",
        positions: AblationPositions | None = None,
        progress: Callable[[Any], None],
    ) -> Survey:
        self._asked("ablate_survey", method=method, positions=positions)
        pair = AblatedPair(NEURON, HeadId(3, 1), 0.25, 0.125)
        distance = KolmogorovSmirnov(1.0, 1.0)
        found = PairComparison(method, "peak", (pair,), 0, 0.25, 0.125, distance, PROVENANCE)
        return replace(survey, ablation=found)

    def prepare_report(self, survey: Survey, *, prompts: int, told: Any) -> None:
        told(1.0)

    def served_by(
        self,
        head: HeadId,
        *,
        per_layer: int = 20,
        trimmed: bool | None = None,
        progress: Callable[[Any], None],
    ) -> ServedNeurons:
        self._asked("served_by", head=str(head), per_layer=per_layer, trimmed=trimmed)
        found = self.survey(per_layer=per_layer, progress=progress)
        return ServedNeurons(found.heads[1], found.pairs, PROVENANCE)

    def ablate(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: AblationMethod = "zero",
        positions: AblationPositions | None = None,
        trimmed: bool | None = None,
        part: Part | None = None,
    ) -> HeadAblation:
        named = {} if part is None else {"part": part}
        self._asked(
            "ablate", neuron=neuron, head=head, method=method, positions=positions, trimmed=trimmed, **named
        )
        rows = (
            AblatedPrompt(1, 101, 1, 3, True, 1.92, HOSTILE, 4.25, 2.25, 0.5, 0.125, 102),
            AblatedPrompt(2, 102, 1, 3, False, 0.1, HOSTILE, 4.0, 4.125, 0.25, 0.25, 101),
        )
        summary = AblationSummary(
            AblationMean(1, -2.0, 0.375), AblationMean(1, 0.125, 0.0), AblationMean(2, -0.9375, 0.1875),
            KolmogorovSmirnov(1.0, 1.0), None,
        )  # fmt: skip
        return HeadAblation(
            neuron, head, method, positions or "peak", "full", "2sd", 0, 0, rows, summary, PROVENANCE
        )

    # --- exact sums ---

    def why(self, text: str | None = None, *, top: int = 50, **asked: Any) -> Any:
        from tests import fake_sums

        self._asked("why", text=text, top=top, **asked)
        return fake_sums.why(asked["foil"], top)

    def removed(
        self, component: HeadId | NeuronId, text: str | None = None, *, method: str, **asked: Any
    ) -> Any:
        from tests import fake_sums

        self._asked("removed", component=component, text=text, method=method, **asked)
        return fake_sums.removed(component, method)

    def inputs(self, neuron: NeuronId, *, text: str | None = None, **asked: Any) -> Any:
        from tests import fake_sums

        self._asked("inputs", neuron=neuron, text=text, **asked)
        return fake_sums.inputs(neuron, text is not None)

    def inputs_overview(self, neuron: NeuronId, *, trimmed: bool | None = None, top: int = 50) -> Any:
        from tests import fake_sums

        self._asked("inputs_overview", neuron=neuron, trimmed=trimmed, top=top)
        return fake_sums.overview(neuron, top)

    def cut_edge(self, neuron: NeuronId, component: HeadId | NeuronId, **asked: Any) -> Any:
        from tests import fake_sums

        self._asked("cut_edge", neuron=neuron, component=component, **asked)
        return fake_sums.edge_cut(neuron, component)

    def carries(self, neuron: NeuronId | None, head: HeadId, source: int | str, **asked: Any) -> Any:
        from tests import fake_sums

        self._asked("carries", neuron=neuron, head=head, source=source, **asked)
        return fake_sums.carried(neuron, head)

    def attends(self, head: HeadId, **asked: Any) -> Any:
        from tests import fake_sums

        self._asked("attends", head=head, **asked)
        return fake_sums.attends(head)

    def reproduce(self, name: str) -> Reproduction:
        self._asked("reproduce", model=name)
        close = ReproducedFigure(NEURON, BECAUSE, 14.865, 14.864, 1, 1, BECAUSE, True, "a source")
        far = ReproducedFigure(NeuronId(4, 19), HOSTILE, 13.0, 12.0, 2, 3, BECAUSE, False, "a source")
        figures = (close,) if self.settings.model == "agreeing" else (close, far)
        return Reproduction(name, 0.01, figures, len(figures) == 1, "", PROVENANCE)

    def activations(self, neuron: NeuronId, text: str) -> Activations:
        self._asked("activations", neuron=neuron, text=text)
        return Activations(neuron, text, TOKENS, (0.0, 0.1, -0.2, 4.25, 0.0), PROVENANCE)

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
        named = {} if prompt_id is None else {"prompt_id": prompt_id}
        self._asked(
            "heads", neuron=neuron, prompt=prompt, text=text, sources=sources, trimmed=trimmed, **named
        )
        read = (SourceToken(2, HOSTILE, 1.125), SourceToken(0, TOKENS[0], -0.5)) if sources else ()
        return HeadAttributions(
            neuron, None if text else 101, prompt, "text" if text else "full", TOKENS, 3, 4.25, 4.25,
            Target("pre_activation", 4.25), head_rows(), OtherComponents(0.1, 4.0, 0.2, 0.23), 4.25, 0.0,
            "2sd", 1.0, sources, read, PROVENANCE,
        )  # fmt: skip

    def heads_overview(
        self, neuron: NeuronId, *, trimmed: bool | None = None, part: Part | None = None
    ) -> HeadOverview:
        named = {} if part is None else {"part": part}
        self._asked("heads_overview", neuron=neuron, trimmed=trimmed, **named)
        means = tuple(HeadMean(s.head, s.layer, s.index, s.attribution, 0.5, s.active) for s in head_rows())
        return HeadOverview(neuron, 20, "full", "2sd", means, PROVENANCE)

    def cache_info(self) -> CacheInfo:
        self._asked("cache_info")
        return CacheInfo("/c", 3, 1_500_000_000, {"index": 1_500_000_000}, 1, ("one entry is damaged",))

    def cache_clear(self) -> CacheInfo:
        self._asked("cache_clear")
        return CacheInfo("/c", 0, 0, {}, 0, ())
