"""The lines above and below the prompts: what a neuron promotes, its figures, what a token leads to. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from tui_lookups.tui.paint.head_rows import plain, signed
from tui_lookups.tui.paint.shading import sparkline
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.results import (
        NeuronStats,
        PositionPredictions,
        Prompt,
        PromptFigures,
        Token,
        TokenCongruence,
    )

_BOLD = Style(bold=True)
_DIM = Style(dim=True)
_SHOWN_TOKENS = 8
_SPARK = 12


def token_line(label: str, tokens: tuple[TokenCongruence, ...]) -> tuple[Segment, ...]:
    """The first tokens a neuron promotes or suppresses."""
    segments = [Segment(label, _DIM)]
    for token in tokens[:_SHOWN_TOKENS]:
        segments += [Segment(visible_token(token.text), _BOLD), Segment(f" {token.congruence:.1f}  ", _DIM)]
    return tuple(segments)


def peak_line(figures: PromptFigures) -> tuple[Segment, ...]:
    """Logit contribution to the neuron's token, its probability, and that of what really follows."""
    line = [
        Segment("at the peak ", _DIM),
        Segment(f"{signed(figures.logit_contribution)} logit", _BOLD),
        Segment(" direct to ", _DIM),
        Segment(visible_token(figures.token.text), _BOLD),
        Segment(f" (p {figures.probability:.1%})", _DIM),
    ]
    if figures.next_token is not None and figures.next_probability is not None:
        line += [
            Segment("; next ", _DIM),
            Segment(visible_token(figures.next_token.text), _BOLD),
            Segment(f" (p {figures.next_probability:.1%})", _DIM),
        ]
    return tuple(line)


def against_line(token: Token, congruence: float, prompts: Sequence[Prompt]) -> tuple[Segment, ...] | None:
    """How many prompts fire the neuron so that it lowers the token; None where none does.

    See method.md, section 2, Sign.

    A neuron of positive congruence promotes the token where its activation is above zero, one of negative
    congruence where it is below.
    """
    against = sum(prompt.sign * congruence < 0 for prompt in prompts)
    if not against:
        return None
    where = "below" if congruence > 0 else "above"
    return (
        Segment(f"{against} of {len(prompts)}", _BOLD),
        Segment(" fire against ", _DIM),
        Segment(visible_token(token.text), _BOLD),
        Segment(f": activation {where} zero, congr. {signed(congruence)}", _DIM),
    )


def predictions_line(found: PositionPredictions) -> tuple[Segment, ...]:
    """What really follows and how probable it was; then, as far as there is room, what was most probable."""
    line: list[Segment] = []
    if found.next_token is not None and found.next_probability is not None:
        line.append(
            Segment(f"then {visible_token(found.next_token.text)} {found.next_probability:.1%}  ", _DIM)
        )
    line.append(Segment("expects ", _DIM))
    for guess in found.top:
        true = found.next_token is not None and guess.token.id == found.next_token.id
        mark = Style(bold=True, underline=True) if true else _BOLD
        line += [Segment(visible_token(guess.token.text), mark), Segment(f" {guess.probability:.1%}  ", _DIM)]
    return tuple(line)


def after_line(position: int, token: Token, found: PositionPredictions | None) -> tuple[Segment, ...]:
    """The token under the cursor, and what the model expects after it once that is known."""
    expected = (Segment("running the model…", _DIM),) if found is None else predictions_line(found)
    return (Segment(f"after {position} {visible_token(token.text)}: "), *expected)


def stats_line(stats: NeuronStats, *, picture: bool = True) -> str:
    """A neuron in figures, and the histogram of its peak (phi) in each prompt; without `picture` only where
    that ends."""
    edges = stats.histogram.edges
    spark = sparkline(stats.histogram.counts, _SPARK) if picture else "to"
    span = f"peaks per prompt {plain(edges[0], 1)} {spark} {plain(edges[-1], 1)}  " if edges else ""
    figures = (
        f"mean {plain(stats.mean, 3)}  above zero {stats.fraction_positive:.1%}  max {stats.maximum:.2f}"
    )
    return f"{span}{figures}"
