"""Subcommands of the wider analysis: atlas, ablate, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tui_lookups.commands.invocation import FilePath, Invocation, check_place, command, with_ablation_flags
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId
from tui_lookups.results import AblationMethod, AblationPositions, Atlas, HeadAblation, Reproduction

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer


@command()
@click.option(
    "--per-layer",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="K",
    help="Neurons per layer.",
)
@click.option("--reject", multiple=True, metavar="TOKEN", help='A token to leave out; "#640" is a token id.')
@click.option(
    "--reject-file",
    type=FilePath(),
    metavar="FILE",
    help="Tokens to leave out, one per line, spaces as in the vocabulary.",
)
def atlas(invocation: Invocation, per_layer: int, reject: tuple[str, ...], reject_file: Path | None) -> None:
    """The next-token neurons of every layer.

    Those whose top token begins with a space and is longer than one letter after it; and where the best
    neurons of such tokens live. One pass over the weights, kept in the cache."""

    def question(explorer: Explorer, narrator: Narrator) -> Atlas:
        from tui_lookups.answering.atlas_service import read_tokens

        listed = reject_file or explorer.settings.atlas_reject
        rejected = [*reject, *(() if listed is None else read_tokens(listed))]
        return explorer.atlas(per_layer=per_layer, reject=rejected)

    invocation.answer(question)


@command()
@click.argument("neuron")
@click.argument("head")
@with_ablation_flags
@click.option("--edge", is_flag=True, help="Cut HEAD, or an earlier neuron, off from NEURON's input alone.")
@click.option("--prompt", type=click.IntRange(min=1), metavar="RANK", help="With --edge: rank of the prompt.")
@click.option("--text", help="With --edge: a text instead of a prompt.")
@click.pass_context
def ablate(
    ctx: click.Context,
    invocation: Invocation,
    neuron: str,
    head: str,
    method: AblationMethod,
    positions: AblationPositions | None,
    trimmed: bool | None,
    edge: bool,
    prompt: int | None,
    text: str | None,
) -> None:
    """What NEURON and its token do without HEAD.

    On each of the neuron's prompts, everything downstream responding; prompts on which the head is active
    against those on which it is not. With --edge on one prompt or text: the neuron alone, the norm's scale
    held, and free."""
    name = invocation.neuron(neuron)
    if edge:
        if positions is not None or ctx.get_parameter_source("method") is not ParameterSource.DEFAULT:
            raise click.UsageError("An edge is cut, not ablated: leave --method and --positions out.")
        check_place(prompt, text, trimmed)
        cut = invocation.neuron(head) if {"N", "F"} & set(head.upper()) else HeadId.parse(head)
        invocation.answer(
            lambda explorer, _: explorer.cut_edge(name, cut, prompt=prompt, text=text, trimmed=trimmed)
        )
        return
    if prompt is not None or text is not None:
        raise click.UsageError("--prompt and --text go with --edge; heads are ablated on all prompts.")
    ablated = HeadId.parse(head)

    def question(explorer: Explorer, narrator: Narrator) -> HeadAblation:
        return explorer.ablate(name, ablated, method=method, positions=positions, trimmed=trimmed)

    invocation.answer(question)


@command()
@click.argument("published", metavar="MODEL")
def reproduce(invocation: Invocation, published: str) -> None:
    """Published figures of MODEL beside ours.

    MODEL is gpt2, gpt2-medium, gpt2-large, EleutherAI/pythia-160m or EleutherAI/pythia-1.4b, from the local
    Hugging Face cache, where nothing is fetched; --model names a folder with its weights instead. Means of
    scores stand beside those of a survey, where there is one. Exit status 1 where a congruence differs."""
    from tui_lookups.answering.reproducing import published_of, skipped

    published_of(published)
    if invocation.flags.get("model") is None:
        from tui_lookups.model.sources import in_hub_cache

        if not in_hub_cache(published):
            why = f"{published} is not in the local Hugging Face cache, so nothing was worked out."
            invocation.emit(skipped(published, why))
            return
        invocation.flags["model"] = published
    results: list[Reproduction] = []

    def question(explorer: Explorer, narrator: Narrator) -> Reproduction:
        results.append(explorer.reproduce(published))
        return results[0]

    invocation.answer(question)
    differing = [row for row in results[0].figures if not row.agrees]
    if differing:
        raise LookupsError(
            f"{len(differing)} of {len(results[0].figures)} figures differ from the published ones.",
            "They are of float32 and folded weights; a converted or quantised copy has others.",
        )
