"""Tables of a token's neurons, and of one neuron, over the revisions of a model.

Importing this module adds its renderers to `tables.render`; see tables.py for the rules they keep.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import cells_of, facts, render, source_of, table_of, title_of, token_text
from tui_lookups.results import NeuronAtRevision, NeuronOverRevisions, NeuronsOverRevisions
from tui_lookups.visible import visible, visible_token

HEADS_SHOWN = 3
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None]) -> str:
    """A block for each value, from the smallest to the largest; a blank for one that is not there."""
    numbers = [value for value in values if value is not None]
    low, span = min(numbers, default=0.0), max(numbers, default=0.0) - min(numbers, default=0.0)

    def block(value: float | None) -> str:
        if value is None:
            return " "
        return _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1)) if span > 0 else 0]

    return "".join(map(block, values))


@render.register
def _(result: NeuronsOverRevisions) -> RenderableType:
    first, last = result.revisions[0], result.revisions[-1]
    title = title_of(
        f"Neurons that promote {visible_token(result.token.text)} #{result.token.id} at {last.revision}, "
        f"over {len(result.revisions)} revisions",
        source_of(result.provenance),
    )
    at_first, at_last = f"at {visible(first.revision)}", f"at {visible(last.revision)}"
    numbers = (at_first, at_last, f"rank {at_first}", f"rank {at_last}")
    table = table_of("neuron", "congruence", *numbers, f"its top token {at_last}", numbers=numbers)
    for scores in zip(*(at.neurons for at in result.revisions), strict=True):
        before, after = scores[0], scores[-1]
        table.add_row(
            *cells_of(
                str(after.neuron), sparkline([score.congruence for score in scores]),
                f"{before.congruence:.3f}", f"{after.congruence:.3f}",
                str(before.token_rank), str(after.token_rank),
            ),
            token_text(after.top_token),
        )  # fmt: skip
    return Group(title, table if last.neurons else Text("No neuron fits."))


@render.register
def _(result: NeuronOverRevisions) -> RenderableType:
    title = title_of(
        f"{result.neuron} and {visible_token(result.token.text)} #{result.token.id} "
        f"over {len(result.revisions)} revisions",
        source_of(result.provenance),
    )
    attributions = _largest_heads(result.revisions)
    # Beside peak and heads a terminal of 80 columns has no room for these two; --json and --format have them.
    more = ["peak", *attributions] if result.firing else ["cosine", "top congruence"]
    table = table_of(
        "revision", "congruence", "rank", "its top token", *more, numbers=("congruence", "rank", *more)
    )
    for index, row in enumerate(result.revisions):
        heads = [_number(values[index], "+") for values in attributions.values()]
        plain = [_number(row.cosine), _number(row.top_congruence)]
        table.add_row(
            *cells_of(visible(row.revision), f"{row.congruence:.3f}", str(row.token_rank)),
            token_text(row.top_token),
            *cells_of(*([_number(row.peak), *heads] if result.firing else plain)),
        )
    courses: dict[str, list[float | None]] = {"congruence": [row.congruence for row in result.revisions]}
    if result.firing:
        courses["peak"] = [row.peak for row in result.revisions]
    sparks = facts((name, sparkline(values)) for name, values in (courses | attributions).items())
    of = "on the text" if result.firing == "text" else "their means over its prompts"
    note = f"Heads: the {len(attributions)} of largest attribution at any revision, {of}."
    return Group(title, table, Text(""), sparks, *([Text(note, style="dim")] if attributions else []))


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.3f}"


def _largest_heads(revisions: Sequence[NeuronAtRevision]) -> dict[str, list[float | None]]:
    """The attributions, over the revisions, of the heads whose largest is largest."""
    by_head = [{str(row.head): row.attribution for row in at.heads} for at in revisions]
    largest: dict[str, float] = {}
    for heads in by_head:
        for head, value in heads.items():
            largest[head] = max(abs(value), largest.get(head, 0.0))
    shown = sorted(largest, key=lambda head: -largest[head])[:HEADS_SHOWN]
    return {head: [heads.get(head) for heads in by_head] for head in shown}
