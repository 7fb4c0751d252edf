"""The subcommand that ablates many heads: the paper's comparison over (neuron, head) pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import Invocation, command, with_ablation_flags
from tui_lookups.results import AblationMethod, AblationPositions, PairComparison
from tui_lookups.results.conventions import ablated_on, chosen_on

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer


@command()
@click.argument("neurons", nargs=-1, required=True, metavar="NEURON...")
@with_ablation_flags
def ablate_pairs(
    invocation: Invocation,
    neurons: tuple[str, ...],
    method: AblationMethod,
    positions: AblationPositions | None,
    trimmed: bool | None,
) -> None:
    """Every head worth explaining of each NEURON, ablated.

    Mean drops in the probability of the neuron's token where the head is active, against those where it is
    not, with the Kolmogorov-Smirnov distance between the two sets. Preset paper chooses heads on the prompts
    of one part of the corpus and ablates them on those of the other."""
    names = [invocation.neuron(neuron) for neuron in neurons]

    def question(explorer: Explorer, narrator: Narrator) -> PairComparison:
        from tui_lookups.analysis.pairs import compare_pairs
        from tui_lookups.commands import tables_pairs  # noqa: F401 - registers its renderer

        preset = explorer.settings.preset
        return compare_pairs(
            [
                explorer.ablate(
                    name,
                    mean.head,
                    method=method,
                    positions=positions,
                    trimmed=trimmed,
                    part=ablated_on(preset),
                )
                for name in dict.fromkeys(names)
                for mean in explorer.heads_overview(name, trimmed=trimmed, part=chosen_on(preset)).heads
                if mean.worth_explaining
            ]
        )

    invocation.answer(question)
