"""Results with a value in every field: one written out, and a strategy drawn from the field types."""

from __future__ import annotations

import types
import typing
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tui_lookups.exports.document import (
    EXPORT_VERSION,
    ExportDocument,
    ExportedHead,
    ExportedNeuron,
    ExportedPrompt,
)
from tui_lookups.ids import ComponentId, HeadId, NeuronId
from tui_lookups.results import (
    AblatedPrompt,
    AblationMean,
    AblationSummary,
    Control,
    CorpusInfo,
    ExampleAnswer,
    Explanation,
    ExplanationScore,
    Figures,
    HeadAblation,
    HeadAttribution,
    HeadAttributions,
    HeadMean,
    Histogram,
    KolmogorovSmirnov,
    ModelInfo,
    NeuronScore,
    NeuronStats,
    Note,
    OtherComponents,
    Peak,
    Prompt,
    Provenance,
    Shuffled,
    SourceToken,
    Target,
    Token,
    TokenCongruence,
    TokenNeurons,
    Trim,
    Usage,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 10**6),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: _TEXT,
    bool: st.booleans(),
    type(None): st.none(),
    NeuronId: st.builds(NeuronId, st.integers(0, 99), st.integers(0, 9999)),
    HeadId: st.builds(HeadId, st.integers(0, 99), st.integers(0, 99)),
}
_PLAIN[ComponentId] = _PLAIN[NeuronId] | _PLAIN[HeadId]


@cache  # the parts of a result are those of many others, and a strategy is looked over once
def strategy_for(type_: Any) -> st.SearchStrategy[Any]:
    """Values of a results type: dataclasses, tuples, unions, literals, dicts of plain values."""
    if type_ in _PLAIN:
        return _PLAIN[type_]
    if is_dataclass(type_):
        hints = typing.get_type_hints(type_)
        return st.builds(type_, **{name: strategy_for(hint) for name, hint in hints.items()})
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(strategy_for, arguments))
    if origin is tuple:
        return st.lists(strategy_for(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(_TEXT, strategy_for(arguments[1]), max_size=2)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(strategy_for(each) for each in arguments))
    raise AssertionError(f"no strategy for {type_}")


TOKEN = Token(1093, " because")
BOS = Token(0, "<|endoftext|>")
NEURON = NeuronId(5, 371)
HEAD = HeadId(3, 2)
PROVENANCE = Provenance(
    ModelInfo("demo", "demo", "ab" * 32, "gpt2", 6, 6, 192, 32, 768, 8192, 256, 10**7, False, True, BOS),
    CorpusInfo("demo", "demo", "cd" * 32, 506, 520, 60_000, 256),
    "folded",
    "cpu",
    "float32",
    {"top": 20, "trimmed": False, "preset": "default", "seed": None, "threshold": 0.8},
)


def token_neurons(congruence: float = 6.12) -> TokenNeurons:
    """A ranking of one neuron."""
    score = NeuronScore(NEURON, 5, 371, congruence, 0.71, 1, TOKEN, 6.12)
    return TokenNeurons(TOKEN, "folded", "+", (score,), PROVENANCE)


USAGE = Usage(3, 1, 0, 900, 12, False, 0.01)


def explanation() -> Explanation:
    """An explanation by a model."""
    return Explanation(
        NEURON, HEAD, "After “not”.", "model", "gpt-4", "gpt-4-0613", "https://x.invalid/v1", 1,
        "2026-11-22T10:00:00+00:00", False, 8, 12, ("It was cut at 200 tokens.",), USAGE, PROVENANCE,
    )  # fmt: skip


def score() -> ExplanationScore:
    """Its score, one prompt answered and one not."""
    figures = Figures(None, 1.0, 1.0, 1.0, 1, 0, 0, 0, 1, None)
    answers = (ExampleAnswer(3, True, "yes", 0.75, None), ExampleAnswer(4, False, None, None, "failed"))
    return ExplanationScore(
        NEURON, HEAD, "After “not”.", "model", "gpt-4", "gpt-4", "https://x.invalid/v1", 1,
        "2026-11-22T10:00:00+00:00", False, 1, 1, False, figures, Shuffled(200, 0, 0.5, 0.1, 0.25),
        Control("Anything.", "generic", figures, answers), answers, ("No log-probabilities.",), USAGE,
        PROVENANCE,
    )  # fmt: skip


def export_document() -> ExportDocument:
    """A document with every optional part given once and left out once."""
    stats = NeuronStats(0.1, 0.2, 0.3, 4.31, -0.17, 60_000, 520, Histogram((0.0, 1.0, 2.0), (500, 20)))
    tokens = (BOS, Token(7, "He[/INST]\x1b[31m"), TOKEN)
    prompt = Prompt(1, 12, 1, tokens, (0.0, -0.1, 4.31), Peak(2, TOKEN, 4.31, None), Trim(1, 4.0, True, ""))
    heads = (
        HeadAttribution(HEAD, 3, 2, 1.92, True),
        HeadAttribution(HeadId(3, 3), 3, 3, -0.5, False, 0.25, -0.75),
    )
    attributions = HeadAttributions(
        NEURON,
        12,
        1,
        "full",
        tokens,
        2,
        4.31,
        4.31,
        Target("pre_activation", 4.31),
        heads,
        OtherComponents(0.1, 0.9, 0.2, 1.69),
        4.31,
        0.0,
        "2sd",
        1.5,
        HEAD,
        (SourceToken(1, tokens[1], 1.1),),
        PROVENANCE,
    )
    promoted = (TokenCongruence(1093, " because", 6.12),)
    return ExportDocument(
        EXPORT_VERSION,
        "lookups-tui 0.1.0",
        "2026-11-22T10:00:00+00:00",
        PROVENANCE,
        (
            ExportedNeuron(NEURON, TOKEN, 6.12, 0.71, 1, promoted, promoted, stats),
            ExportedNeuron(NeuronId(0, 0), None, None, None, None, (), (), None),
        ),
        (ExportedPrompt(NEURON, prompt),),
        (
            ExportedHead(NEURON, HEAD, 12, attributions, None),
            ExportedHead(
                NEURON, HEAD, None, None, HeadMean(HEAD, 3, 2, 1.5, 0.65, True), explanation(), score()
            ),
        ),
        (ablation(),),
        (Note(NEURON, "fires on \x1b[31m causes", "2026-11-22T09:00:00+00:00"),),
    )


def ablation() -> HeadAblation:
    """On two prompts: one with a donor, one without."""
    rows = (
        AblatedPrompt(1, 12, 1, 2, True, 1.92, TOKEN, 4.31, 2.25, 0.5, 0.125, 13),
        AblatedPrompt(2, 13, -1, 2, False, 0.1, TOKEN, -4.0, -4.1, 0.25, 0.25, None),
    )
    summary = AblationSummary(
        AblationMean(1, -2.06, 0.375), AblationMean(1, 0.1, 0.0), AblationMean(0, None, None),
        KolmogorovSmirnov(1.0, 0.5), None,
    )  # fmt: skip
    return HeadAblation(NEURON, HEAD, "resample", "peak", "full", "2sd", 0, 0, rows, summary, PROVENANCE)
