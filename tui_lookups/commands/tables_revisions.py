"""Tables of a token's neurons, and of one neuron, over the revisions of a model.

Importing this module adds its renderers to `tables.render`; see tables.py for the rules they keep.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import cells_of, facts, render, source_of, table_of, title_of, token_text
from tui_lookups.exports.courses import courses_of, largest_heads, sparkline
from tui_lookups.results import NeuronOverRevisions, NeuronsOverRevisions
from tui_lookups.visible import visible, visible_token


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
    attributions = largest_heads(result.revisions)
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
    sparks = facts((name, sparkline(values)) for name, values in courses_of(result).items())
    of = "on the text" if result.firing == "text" else "their means over its prompts"
    note = f"Heads: the {len(attributions)} of largest attribution at any revision, {of}."
    return Group(title, table, Text(""), sparks, *([Text(note, style="dim")] if attributions else []))


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.3f}"
