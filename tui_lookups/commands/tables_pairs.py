"""The table of ablated (neuron, head) pairs; see tables.py for the rules it keeps."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import cells_of, render, source_of, table_of, title_of
from tui_lookups.results import PairComparison


@render.register
def _(result: PairComparison) -> RenderableType:
    title = title_of(
        f"Drop in the probability of each neuron's token ({result.method} at {result.positions})",
        source_of(result.provenance),
    )
    columns = ("head active", "head inactive")
    table = table_of("neuron", "head", *columns, numbers=columns)
    for pair in result.pairs:
        drops = f"{pair.drop_active:+.5f}", f"{pair.drop_inactive:+.5f}"
        table.add_row(*cells_of(str(pair.neuron), str(pair.head), *drops))
    table.add_row(
        *cells_of("mean", "", f"{result.mean_drop_active:+.5f}", f"{result.mean_drop_inactive:+.5f}")
    )
    found = result.distance
    lines = [f"Kolmogorov-Smirnov distance {found.statistic:.3f} (p {found.p_value:.2g})"]
    if result.left_out:
        lines.append(f"{result.left_out} left out: active on all prompts, or on none")
    return Group(title, table, *(Text(line) for line in lines))
