"""Tables of surveys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from tui_lookups.commands.tables import (
    cells_of,
    facts,
    kind_of,
    more_of,
    render,
    source_of,
    summary_text,
    table_of,
    title_of,
    token_text,
)
from tui_lookups.results import (
    ServedNeurons,
    Survey,
    SurveyedHead,
    SurveyedLayer,
    SurveyedPair,
    SurveyPlan,
)

PAIRS_SHOWN, HEADS_SHOWN = 30, 15


@render.register
def _(result: SurveyPlan) -> RenderableType:
    left, then = result.neurons - result.done, result.follow_up
    rows = [
        ("layers", ", ".join(map(str, result.layers))),
        ("neurons", f"{result.neurons:,}, {result.done:,} of them in the cache"),
        ("pairs", f"{result.pairs:,} of a neuron and a head that reaches it"),
        ("texts to run", f"at most {left * result.prompts:,}: {result.prompts} for each neuron left"),
        ("worth explaining", f"{result.worth_explaining:,} pairs of {result.with_pairs:,} neurons so far"),
    ]
    if then is not None:
        rows.append(("for these pairs", f"{then.texts:,} texts more, of about {then.pairs:,} pairs"))
        if then.calls:
            cost = "" if then.cost is None else f", {then.cost:.2f} at the prices set"
            tokens = f"{then.input_tokens:,} tokens and {then.output_tokens:,} back"
            rows.append(("requests", f"at most {then.calls:,}: {tokens}{cost}"))
    return facts(rows)


@render.register
def _(result: Survey) -> RenderableType:
    silent, kind = sum(not neuron.prompts for neuron in result.neurons), result.provenance.model.kind
    title = title_of(
        f"{len(result.neurons)} next-token {kind}s, {len(result.pairs)} pairs worth explaining",
        f"({result.context})",
        source_of(result.provenance),
    )
    serving = sorted((head for head in result.heads if head.serves), key=lambda head: -head.serves)
    return Group(
        title,
        *([Text(f"{silent} of the {kind}s never fire on this corpus.")] if silent else []),
        _pairs(result.pairs[:PAIRS_SHOWN], kind),
        *more_of(min(len(result.pairs), PAIRS_SHOWN), len(result.pairs), "pairs"),
        Text(""),
        _heads(serving[:HEADS_SHOWN]),
        *more_of(min(len(serving), HEADS_SHOWN), len(serving), "heads"),
        *([Text(""), _layers(result.by_layer, kind)] if result.by_layer else []),
        *(Text(line) for line in (*_shares(result), *_scores(result))),
        *([Text(""), render(result.ablation)] if result.ablation is not None else []),
    )


def _shares(result: Survey) -> list[str]:
    every = sum(share.pairs for share in result.active_shares)
    if not every:
        return []
    steps = ", ".join(f"{share.pairs:,} from {share.least:.0%}" for share in result.active_shares)
    return [
        "",
        f"Of {every:,} heads that reach a neuron so many are active on so much of its prompts: {steps}.",
    ]


def _scores(result: Survey) -> list[str]:
    out = [row for row in result.explained if row.left_out]
    lines = [f"{len(result.explained) - len(out)} pairs explained, {len(out)} left out."] * bool(
        result.explained
    )
    if result.scores is not None:
        means = result.scores
        lines += [
            f"Head explanation score: {summary_text(means.head_explanation_score)}; "
            f"F1: {summary_text(means.f1)}; of something else: {summary_text(means.control)}."
        ]
    return ["", *lines] if lines else []


@render.register
def _(result: ServedNeurons) -> RenderableType:
    head, kind = result.head, result.provenance.model.kind
    carries = "" if head.carries is None else f", and carries {head.carries:.1%} of what fires them"
    title = title_of(
        f"{head.head} serves {head.serves} of the {head.reaches} surveyed {kind}s it reaches{carries}",
        source_of(result.provenance),
    )
    none = Text("It is worth explaining for none.")
    return Group(title, _pairs(result.pairs, kind) if result.pairs else none)


@dataclass(frozen=True)
class ServedPicture:
    """A head's neurons, and beside it every head of a survey as layers x heads.

    Attributes:
        n_heads: of a layer.
    """

    served: ServedNeurons
    heads: tuple[SurveyedHead, ...]
    n_heads: int


@render.register
def _(result: ServedPicture) -> RenderableType:
    def served(head: SurveyedHead) -> str:
        return str(head.serves) if head.serves else "."

    def carried(head: SurveyedHead) -> str:
        return "" if head.carries is None else str(round(100 * head.carries))

    kinds = kind_of(result.served.provenance)
    return Group(
        render(result.served),
        Text(""),
        Text(f"{kinds} that each head serves; . where it serves none"),
        _Grid(result, served),
        Text(""),
        Text(f"Percent that each head carries of what fires the {kinds.lower()} it reaches"),
        _Grid(result, carried),
        Text(f"* {result.served.head.head}"),
    )


@dataclass(frozen=True)
class _Grid:
    """Layers x heads, as many heads side by side as there is room for; the others stand below."""

    picture: ServedPicture
    words: Callable[[SurveyedHead], str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        picture, named = self.picture, self.picture.served.head.head
        cells = {
            (row.head.layer, row.head.index): self.words(row) + ("*" if row.head == named else " ")
            for row in picture.heads
        }
        layers = sorted({layer for layer, _ in cells})
        label = 1 + len(f"L{layers[-1]}") if layers else 0
        width = 1 + max(len(f"H{picture.n_heads - 1} "), *map(len, cells.values())) if cells else 1
        beside = max(1, (options.max_width - label) // width)
        for start in range(0, picture.n_heads if cells else 0, beside):
            heads = range(start, min(start + beside, picture.n_heads))
            yield Text(" " * label + "".join(f"H{n} ".rjust(width) for n in heads), style="bold")
            for layer in layers:
                row = "".join(cells.get((layer, n), "").rjust(width) for n in heads)
                yield Text(f"L{layer}".ljust(label) + row)


def _pairs(pairs: Iterable[SurveyedPair], kind: str) -> RenderableType:
    table = table_of(
        kind, "its token", "congruence", "head", "mean attribution", "active on",
        numbers=("congruence", "mean attribution", "active on"),
    )  # fmt: skip
    for pair in pairs:
        table.add_row(
            Text(str(pair.neuron)),
            token_text(pair.token),
            *cells_of(
                f"{pair.congruence:.3f}",
                str(pair.head),
                f"{pair.mean_attribution:+.3f}",
                f"{pair.active_fraction:.0%}",
            ),
        )
    return table


def _heads(heads: Iterable[SurveyedHead]) -> RenderableType:
    table = table_of(
        "head", "serves", "of", "mean attribution", "carries",
        numbers=("serves", "of", "mean attribution", "carries"),
    )  # fmt: skip
    for head in heads:
        mean = "" if head.mean_attribution is None else f"{head.mean_attribution:+.3f}"
        carries = "" if head.carries is None else f"{head.carries:.1%}"
        table.add_row(*cells_of(str(head.head), str(head.serves), str(head.reaches), mean, carries))
    return table


def _layers(layers: Iterable[SurveyedLayer], kind: str) -> RenderableType:
    names = (f"{kind}s", "fire", "with a pair", "pairs", "heads that serve", "their pairs")
    table = table_of("layer", *names, numbers=("layer", *names))
    for row in layers:
        counts = (row.layer, row.neurons, row.fire, row.explained, row.pairs, row.serving, row.served)
        table.add_row(*cells_of(*map(str, counts)))
    return table
