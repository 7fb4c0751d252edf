"""`lookups-tui trace`: a token's logit or a neuron, followed back; as a table, JSON, a graph file, a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui_lookups.commands.invocation import FilePath, Invocation, check_place, command
from tui_lookups.results import Trace

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer

_FROM_ZERO, _FROM_ONE = click.IntRange(min=0), click.IntRange(min=1)


@command()
@click.argument("text", required=False)
@click.option("--neuron", metavar="NEURON", help="Begin from what this neuron reads, not from a token.")
@click.option("--token", metavar="TOKEN", help="The token asked about; the most probable one.")
@click.option("--foil", metavar="TOKEN", help="Count its logit against this token's.")
@click.option("--prompt", type=_FROM_ONE, metavar="RANK", help="With --neuron: rank of a prompt of its own.")
@click.option("--prompt-id", type=_FROM_ZERO, metavar="N", help="A prompt of the corpus instead of TEXT.")
@click.option("--trimmed/--full", default=None, help="With --prompt: the trimmed prompt.")
@click.option("--position", type=_FROM_ZERO, metavar="P", help="Of the token read last; a neuron's its peak.")
@click.option("--node", default="root", metavar="NODE", help="Open this node of the trace alone.")
@click.option("--depth", type=_FROM_ONE, default=3, show_default=True, metavar="D", help="Levels opened.")
@click.option("--width", type=_FROM_ONE, default=8, show_default=True, metavar="W", help="Parts of each.")
@click.option("--graph", type=FilePath(), metavar="FILE", help="Write the pruned graph for front ends too.")
@click.option(
    "--nodes", type=_FROM_ONE, default=60, show_default=True, metavar="N", help="Components in the graph."
)
@click.option("--html", type=FilePath(), metavar="FILE", help="Write the trace as a web page too.")
@click.option("--force", is_flag=True, help="Overwrite these files.")
def trace(
    invocation: Invocation,
    text: str | None,
    neuron: str | None,
    token: str | None,
    foil: str | None,
    prompt: int | None,
    prompt_id: int | None,
    trimmed: bool | None,
    position: int | None,
    node: str,
    depth: int,
    width: int,
    graph: Path | None,
    nodes: int,
    html: Path | None,
    force: bool,
) -> None:
    """Where the logit of a token after TEXT comes from, node by node.

    Or what a neuron reads. Every node is the sum of its parts: neurons, heads, the positions that heads read,
    and so on down to embeddings and biases; what is not told apart is one rest a node. --graph writes what
    circuit-tracer's and Neuronpedia's front ends read, --html one page that needs nothing else."""
    check_place(prompt, text, trimmed)
    if neuron is None:
        if (text is None) is (prompt_id is None):
            raise click.UsageError("Give a TEXT, or a prompt of the corpus with --prompt-id.")
        if prompt is not None or trimmed is not None:
            raise click.UsageError("--prompt and --trimmed go with --neuron.")
    elif token is not None or foil is not None:
        raise click.UsageError("A trace begins from a neuron or from a token, not from both.")
    name = None if neuron is None else invocation.neuron(neuron)
    asked: dict[str, Any] = {
        "neuron": name, "prompt": prompt, "prompt_id": prompt_id, "trimmed": trimmed,
        "position": position, "token": token, "foil": foil,
    }  # fmt: skip
    written: list[str] = []

    def question(explorer: Explorer, narrator: Narrator) -> Trace:
        from tui_lookups.exports.graph_file import told_of, write_graph
        from tui_lookups.exports.trace_page import write_page
        from tui_lookups.exports.writing import check_free

        for path in filter(None, (graph, html)):
            check_free(path, force)  # before minutes of work
        answer = explorer.trace(text, node=node, depth=depth, width=width, **asked)
        if graph is not None:
            pruned = explorer.trace_graph(text, nodes=nodes, **asked)
            written.append(f"{write_graph(pruned, graph, force)}: {told_of(pruned)}")
        if html is not None:
            written.append(str(write_page(answer, html, force)))
        return answer

    invocation.answer(question)
    for line in written:
        invocation.tell(f"Written: {line}.")
