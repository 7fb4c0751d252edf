"""Tables about explanations: one renderer a result type, registered with `tables.render`.

What an endpoint answered is as foreign as corpus text: it goes through `visible` into a `Text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import facts, render, summary_text, table_of
from tui_lookups.results import (
    ExplainedList,
    Explanation,
    ExplanationScore,
    Figures,
    LeftOut,
    NeuronExplanations,
    Plan,
    ScoreReport,
    Usage,
)
from tui_lookups.visible import visible


def figure(value: float | None) -> str:
    """A score with three places; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def usage_text(usage: Usage) -> str:
    """What answers took, in words."""
    parts = [f"{usage.calls} asked"]
    if usage.cached:
        parts.append(f"{usage.cached} cached")
    if usage.failed:
        parts.append(f"{usage.failed} failed")
    about = "about " if usage.estimated else ""
    parts.append(f"{about}{usage.input_tokens:,} tokens sent, {usage.output_tokens:,} received")
    if usage.cost is not None:
        parts.append(f"cost {usage.cost:.4f}")
    return ", ".join(parts)


def _words(text: str, style: str = "") -> Text:
    return Text(visible(text), style=style, overflow="fold")


def _by(model: str | None, cached: bool) -> str:
    return (model or "a person") + (" (cached)" if cached else "")


@render.register
def _(result: Plan) -> RenderableType:
    return facts(
        [
            ("model", result.model),
            ("endpoint", result.endpoint),
            ("requests", f"{result.calls:,}"),
            ("in the cache", f"{result.cached:,}"),
            ("tokens sent", f"{result.input_tokens:,} ({result.counting})"),
            ("tokens received", f"at most {result.output_tokens:,}"),
            ("cost", "no price is set" if result.cost is None else f"at most {result.cost:.4f}"),
            ("budget left", "no budget is set" if result.budget_left is None else f"{result.budget_left:,}"),
            *(("note", note) for note in result.notes),
            *([("problem", result.problem), ("", result.hint)] if result.problem else []),
        ]
    )


@render.register
def _(result: Explanation) -> RenderableType:
    return Group(
        _words(f"When {result.head} is active for {result.neuron}", "bold"),
        _words(result.explanation),
        facts(
            [
                ("by", _by(result.model, result.cached)),
                ("written", result.created),
                ("from", f"{result.active} prompts where it is active and {result.inactive} where it is not"),
                ("usage", usage_text(result.usage)),
                *(("note", note) for note in result.notes),
            ]
        ),
    )


def _answered(scores: Sequence[ExplanationScore]) -> str:
    """Of how many prompts there is an answer, in words."""
    answered, asked = sum(score.answered for score in scores), sum(len(score.answers) for score in scores)
    return f"{answered} of {asked} prompts" + ("" if answered else ": nothing was scored")


def _figures(name: str, score: Figures) -> list[str]:
    counts = (score.tp, score.fp, score.tn, score.fn, score.unanswered)
    return [
        name,
        *map(figure, (score.head_explanation_score, score.f1, score.precision, score.recall, score.roc_auc)),
        *map(str, counts),
    ]


@render.register
def _(result: ExplanationScore) -> RenderableType:
    names = ("score", "F1", "precision", "recall", "AUC", "tp", "fp", "tn", "fn", "unanswered")
    table = table_of("", *names, numbers=names)
    table.add_row(*map(_words, _figures("this explanation", result.score)))
    if result.control is not None:
        table.add_row(*map(_words, _figures(f"control: {result.control.origin}", result.control.score)))
    luck = "no score: only one class"
    if result.shuffled is not None:
        drawn = result.shuffled
        luck = (
            f"mean {drawn.mean:.3f}, standard deviation {drawn.standard_deviation:.3f}; "
            f"{drawn.at_least:.1%} of {drawn.shuffles} score as high"
        )
    return Group(
        _words(f"How well this says when {result.head} is active for {result.neuron}", "bold"),
        _words(result.explanation),
        table,
        facts(
            [
                ("shuffled labels", luck),
                ("on", f"{result.active} prompts where it is active and {result.inactive} where it is not"),
                *([("answered", _answered([result]))] if result.answers else []),
                ("explained by", result.explanation_model or "a person"),
                ("scored by", _by(result.model, result.cached)),
                ("usage", usage_text(result.usage)),
                *(("note", note) for note in result.notes),
            ]
        ),
    )


def _left_out(left_out: Iterable[LeftOut]) -> list[RenderableType]:
    return [_words(f"{head.head} of {head.neuron} is left out. {head.reason}", "dim") for head in left_out]


@render.register
def _(result: NeuronExplanations) -> RenderableType:
    table = table_of("head", "by", "active when")
    for each in result.explanations:
        table.add_row(*map(_words, (str(each.head), _by(each.model, each.cached), each.explanation)))
    return Group(
        _words(f"Heads worth explaining for {result.neuron}", "bold"),
        table if result.explanations else Text("No head is worth explaining, or none could be explained."),
        *_left_out(result.left_out),
        facts([("usage", usage_text(result.usage))]),
    )


@render.register
def _(result: ScoreReport) -> RenderableType:
    numbers = ("score", "F1", "AUC", "control", "unanswered")
    table = table_of("neuron", "head", *numbers, "explanation", numbers=numbers)
    for each in result.scores:
        control = None if each.control is None else each.control.score.head_explanation_score
        figures = map(figure, (each.score.head_explanation_score, each.score.f1, each.score.roc_auc, control))
        table.add_row(
            *map(_words, (str(each.neuron), str(each.head), *figures, str(each.score.unanswered))),
            _words(each.explanation),
        )
    return Group(
        _words("Scores of explanations", "bold"),
        table if result.scores else Text("No pair has a score."),
        *_left_out(result.left_out),
        facts(
            [
                ("head explanation score", summary_text(result.head_explanation_score)),
                ("F1", summary_text(result.f1)),
                ("control", summary_text(result.control)),
                *([("answered", _answered(result.scores))] if result.scores else []),
                ("usage", usage_text(result.usage)),
            ]
        ),
    )


@render.register
def _(result: ExplainedList) -> RenderableType:
    table = table_of("model", "neuron", "head", "score", "by", "active when", numbers=("score",))
    for entry in result.explained:
        about, score = entry.explanation, entry.score
        table.add_row(
            *map(
                _words,
                (
                    about.provenance.model.name,
                    str(about.neuron),
                    str(about.head),
                    figure(None if score is None else score.score.head_explanation_score),
                    about.model or "a person",
                    about.explanation,
                ),
            )
        )
    none = "Nothing has been explained yet." if not result.query else "Nothing that was explained fits."
    return table if result.explained else Text(none)
