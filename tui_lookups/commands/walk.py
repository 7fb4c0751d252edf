"""Subcommands of the walk: token -> neurons -> prompts -> heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from tui_lookups.commands.each_revision import answer_over, revisions_option
from tui_lookups.commands.invocation import FilePath, Invocation, check_place, command, top_option
from tui_lookups.ids import HeadId
from tui_lookups.results import AsOne, NeuronsOfTokens
from tui_lookups.results.congruence import NearBy
from tui_lookups.results.peaks import PromptKind
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import HeadAttributions, HeadOverview, NeuronScore, Token, TokenNeurons

_ORDERS: dict[str, Callable[[NeuronScore], float] | None] = {
    "congruence": None,  # as it is answered, by the sign that counts
    "cosine": lambda row: -row.cosine,
    "rank": lambda row: row.token_rank,
}


@command()
@click.argument("tokens", nargs=-1, metavar="[TOKEN]...")
@click.option("--tokens-file", type=FilePath(), metavar="FILE", help="The tokens of a file, one a line.")
@top_option(20, "How many neurons.")
@click.option(
    "--as-one",
    type=click.Choice(get_args(AsOne)),
    help="Several TOKENs as one: by the mean of their congruences, the largest (any) or the smallest (all).",
)
@click.option("--next-token-only", is_flag=True, help="Only neurons whose own top token is this one.")
@click.option(
    "--sort",
    type=click.Choice(tuple(_ORDERS)),
    default="congruence",
    show_default=True,
    help="In which order the K of largest congruence are listed.",
)
@revisions_option()
def neurons(
    invocation: Invocation,
    tokens: tuple[str, ...],
    tokens_file: Path | None,
    top: int,
    as_one: AsOne | None,
    next_token_only: bool,
    sort: str,
    revisions: str | None,
) -> None:
    """The neurons that promote TOKEN.

    " time" and "time" are different tokens; "#640" is the token with that id. With --as-one several tokens,
    such as the spellings of a word, or those of a file, are ranked for together. With --revisions those of
    the last revision, and what they are at each."""
    if bool(tokens) is (tokens_file is not None):
        raise click.UsageError("Name a TOKEN, or a file with --tokens-file.")
    if revisions is not None:
        if len(tokens) != 1 or as_one is not None or sort != "congruence":
            raise click.UsageError("--revisions is about one TOKEN, alone, in the order of congruence.")
        answer_over(
            invocation,
            revisions,
            lambda every: every.neurons(tokens[0], top=top, next_token_only=next_token_only),
        )
        return
    if len(tokens) > 1 and as_one is None:
        raise click.UsageError("Several tokens are ranked for with --as-one mean, any or all.")
    others: tuple[Token, ...] = ()

    def question(explorer: Explorer, narrator: Narrator) -> TokenNeurons | NeuronsOfTokens:
        from tui_lookups.answering.atlas_service import read_tokens
        from tui_lookups.commands import tables_groups  # noqa: F401 - registers its renderers

        def of(text: str) -> TokenNeurons:
            return _sorted(explorer.neurons(text, top=top, next_token_only=next_token_only), sort)

        named = tokens if tokens_file is None else read_tokens(tokens_file)
        if as_one is not None:
            ranking_of_set = explorer.neurons_of_set(
                named, as_one=as_one, top=top, next_token_only=next_token_only
            )
            return _sorted(ranking_of_set, sort)
        if tokens_file is not None:
            return NeuronsOfTokens(tuple(map(of, named)))
        nonlocal others
        (token,) = named
        ranking = of(token)
        others = explorer.resolve_token(token).close if invocation.format == "table" else ()
        return ranking

    invocation.answer(question)
    for other in others:
        click.echo(f"`{visible_token(other.text)}` (#{other.id}) is another token.", err=True)


def _sorted(ranking: TokenNeurons, sort: str) -> TokenNeurons:
    order = _ORDERS[sort]
    if order is None:
        return ranking
    return replace(ranking, neurons=tuple(sorted(ranking.neurons, key=order)))


@command()
@click.argument("neuron")
@top_option(20, "How many tokens.")
def tokens(invocation: Invocation, neuron: str, top: int) -> None:
    """The tokens NEURON promotes most.

    NEURON is written L9.N1985 or 9.1985. Also the tokens it suppresses most."""
    name = invocation.neuron(neuron)
    invocation.answer(lambda explorer, _: explorer.tokens(name, top=top))


@command()
@click.argument("neuron")
@top_option(20, "How many neurons.")
@click.option(
    "--by",
    type=click.Choice(get_args(NearBy)),
    default="writes",
    show_default=True,
    help="Compare what neurons write, what they read, or their activations over the corpus.",
)
@click.option("--in", "other", metavar="MODEL", help="Search another model instead.")
def nearest(invocation: Invocation, neuron: str, top: int, by: NearBy, other: str | None) -> None:
    """The neurons of other layers most like NEURON, or those of another model."""
    name = invocation.neuron(neuron)
    invocation.answer(lambda explorer, _: explorer.nearest(name, by=by, top=top, other=other))


@command()
def scan(invocation: Invocation) -> None:
    """Find the top prompts of every neuron.

    One pass over the corpus; it goes on where an earlier scan stopped."""
    invocation.answer(lambda explorer, narrator: explorer.scan(progress=narrator.hear))


@command()
@click.argument("neuron")
@top_option(None, "How many prompts (all that are kept, by default).")
@click.option(
    "--kind",
    type=click.Choice(get_args(PromptKind)),
    default="top",
    show_default=True,
    help="Those that fire it most, a random sample, or one of each decile of their peaks.",
)
def prompts(invocation: Invocation, neuron: str, top: int | None, kind: PromptKind) -> None:
    """The prompts that fire NEURON most.

    With logit contribution and probabilities at each peak. Scans the corpus first where needed."""
    name = invocation.neuron(neuron)

    invocation.answer(lambda explorer, _: explorer.prompts_with_figures(name, kind=kind, top=top))


@command()
@click.argument("neuron")
@click.option("--text", required=True, help="The text to run.")
def activations(invocation: Invocation, neuron: str, text: str) -> None:
    """How NEURON fires on a text."""
    name = invocation.neuron(neuron)
    invocation.answer(lambda explorer, _: explorer.activations(name, text))


@command()
@click.argument("neuron")
@click.option(
    "--prompt", type=click.IntRange(min=1), metavar="RANK", help="Rank of the prompt, 1 by default."
)
@click.option("--text", help="A text instead of a prompt.")
@click.option("--sources", metavar="HEAD", help="Split this head's attribution over the tokens it reads.")
@click.option("--trimmed/--full", default=None, help="Attribute on the trimmed prompt.")
@click.option("--all-prompts", is_flag=True, help="Over all prompts of the neuron.")
def heads(
    invocation: Invocation,
    neuron: str,
    prompt: int | None,
    text: str | None,
    sources: str | None,
    trimmed: bool | None,
    all_prompts: bool,
) -> None:
    """The attention heads that fire NEURON.

    On one prompt or text, with everything else that adds up to its activation, or over all prompts."""
    check_place(prompt, text, trimmed)
    if all_prompts and any(given is not None for given in (prompt, text, sources)):
        raise click.UsageError("--all-prompts cannot be combined with --prompt, --text and --sources.")
    name, head = invocation.neuron(neuron), None if sources is None else HeadId.parse(sources)

    def question(explorer: Explorer, narrator: Narrator) -> HeadAttributions | HeadOverview:
        if all_prompts:
            return explorer.heads_overview(name, trimmed=trimmed)
        rank = 1 if prompt is None and text is None else prompt
        return explorer.heads(name, prompt=rank, text=text, sources=head, trimmed=trimmed)

    invocation.answer(question)
