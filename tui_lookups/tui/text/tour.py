"""The tour: five sentences that walk once from a token to the token a head looked up.

1. Each step names a pane and says, with the figures on screen, what stands there; the step's pane is shown.
   Where the person moved there themselves, it speaks of what they chose.
2. A step whose figures are still on their way says so, and is worded again when they arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.results import HeadAttributions, SourceToken
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.text.key_labels import KeyOf

STEPS: tuple[PaneName, ...] = ("neurons", "neurons", "prompts", "heads", "detail")


class TourStep(NamedTuple):
    """What one step shows: its pane and its sentence, counted from 1."""

    number: int
    pane: PaneName
    text: str


def tour_step(number: int, walk: Walk, key: KeyOf) -> TourStep:
    """The step's sentence about the walk as it is; `number` is 1 to 5."""
    told = (_token, _neuron, _prompt, _heads, _source)[number - 1](walk, key)
    following = "next" if number < len(STEPS) else "ends the tour"
    keys = f"[{key('walk.tour')} {following}, {key('walk.back')} leaves]"
    return TourStep(number, STEPS[number - 1], f"Tour {number}/{len(STEPS)}: {told} {keys}")


def _token(walk: Walk, key: KeyOf) -> str:
    if walk.token is None:
        return f"everything starts at a token. Press {key('walk.token')} and type one."
    word, another = _quoted(walk.token.text), f"{key('walk.token')}: another."
    return f"everything starts at a token, here {word}. Below: the neurons that write towards it. {another}"


def _neuron(walk: Walk, key: KeyOf) -> str:
    if walk.neuron is None or walk.token is None:
        return f"{key('neurons.open')} opens a neuron of the list."
    rows = () if walk.ranking is None else walk.ranking.neurons
    row = next((row for row in rows if row.neuron == walk.neuron), None)
    if row is not None:
        does = f"{_verb(row.congruence)} {_quoted(walk.token.text)}"
        score = f" (congruence {row.congruence:.2f}, cosine {row.cosine:.2f})"
        return f"when {walk.neuron.kind} {walk.neuron} fires, it {does}{score}. What makes it fire?"
    # Opened by its name, or of another token: what it does to this one is not on screen.
    if walk.promoted is None or not walk.promoted.tokens:
        return f"here {walk.neuron.kind} {walk.neuron} is open. What makes it fire?"
    best = _quoted(walk.promoted.tokens[0].text)
    return f"when {walk.neuron.kind} {walk.neuron} fires, it raises {best} most. What makes it fire?"


def _prompt(walk: Walk, key: KeyOf) -> str:
    prompt = walk.prompt
    if prompt is None:
        return "the text that fires the neuron hardest; the scan is still finding it."
    peak = prompt.peak
    follows = ""
    if peak.next_token is not None:
        follows = f", and {_quoted(peak.next_token.text)} comes next: {key('walk.why')} asks why"
    hardest = prompt.rank == 1 and walk.kind == "top"
    what = f"the text that fires {walk.neuron} hardest" if hardest else f"one text of {walk.neuron}"
    return f"{what}. Shading is activation: {peak.activation:.2f} at {_quoted(peak.token.text)}{follows}."


def _heads(walk: Walk, key: KeyOf) -> str:
    if walk.heads is None or not walk.heads.heads:
        return "the attention heads behind that peak; they are still being worked out."
    if walk.over_all:
        return _means(walk, key)
    top = max(walk.heads.heads, key=lambda row: abs(row.attribution))
    size, whole = signed(top.attribution), f"{walk.heads.target.value:.2f}"
    brings = (top.attribution > 0) != _fires_below_zero(walk.heads)
    does = f"brings {size} of {whole}" if brings else f"takes {size} from {whole}"
    return (
        f"a neuron reads what attention heads wrote. {top.head} {does} here. "
        f"Move to a head; {key('heads.open')} opens it."
    )


def _means(walk: Walk, key: KeyOf) -> str:
    return f"here are the heads over all prompts of {walk.neuron}; {key('heads.all')}: one prompt again."


def _source(walk: Walk, key: KeyOf) -> str:
    if walk.over_all:
        return _means(walk, key)
    source = None if walk.sources is None else _strongest(walk.sources)
    if source is None and walk.waiting("sources"):
        return "where the head looked it up; that is being worked out."
    if source is None or walk.sources is None:
        return f"where the head looked it up: open a head with {key('heads.open')}."
    does = f"{_verb(source.attribution)} the neuron"
    if _fires_below_zero(walk.sources):
        does = "makes the neuron fire" if source.attribution < 0 else "keeps the neuron from firing"
    return (
        f"{walk.sources.source_head} reads {_quoted(source.token.text)} most, which "
        f"{does} ({signed(source.attribution)}): that is what it looked up. "
        f"{key('head.explain')} explains the head in words, {key('app.export')} exports, "
        f"{key('app.help')} lists keys."
    )


def _fires_below_zero(heads: HeadAttributions) -> bool:
    """Whether what is attributed is firing below zero, as only a gated neuron does: there a negative share
    adds to it."""
    return heads.target.name == "activation" and heads.target.value < 0


def _strongest(heads: HeadAttributions) -> SourceToken | None:
    return max(heads.sources, key=lambda source: abs(source.attribution), default=None)


def _verb(value: float) -> str:
    return "raises" if value > 0 else "lowers"


def _quoted(text: str) -> str:
    return f"“{visible_token(text)}”"
