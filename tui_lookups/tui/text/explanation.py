"""Sentences about explanations, scores, plans and ablations, as paragraphs for the screen. Pure.

What a model or a person wrote is hostile text: it leaves here visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from tui_lookups.tui.paint.head_rows import plain, signed
from tui_lookups.tui.text.attribution import signed_bar, text_of, texts_of
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.progress import Progress
    from tui_lookups.results import (
        AblationMean,
        Explained,
        Explanation,
        ExplanationScore,
        Figures,
        HeadAblation,
        KolmogorovSmirnov,
        Plan,
        Summary,
        Usage,
    )
    from tui_lookups.tui.state.head_explanations import HeadExplanations, Job
    from tui_lookups.tui.state.head_run import HeadRun
    from tui_lookups.tui.text.key_labels import KeyOf

Tone = Literal["plain", "strong", "dim", "error"]


class Paragraph(NamedTuple):
    """One visible text and how it is painted."""

    text: str
    tone: Tone = "plain"


# --- a head's panel ---


def head_paragraphs(
    words: HeadExplanations, neuron: NeuronId, head: HeadId, stop: str
) -> tuple[Paragraph, ...]:
    """What the panel of a head says: the request under way, else what went wrong, else what is known.

    `stop` is the key that stops a request.
    """
    job = words.job_for(neuron, head)
    explained = words.newest(neuron, head)
    error = words.error(neuron, head)
    lines: list[Paragraph] = []
    if job is not None and job.task == "explain":
        writes = f"the explainer is writing; {stop} stops it"
        return (Paragraph(visible(job.text) + "…"), Paragraph(writes, "dim"))
    if error is not None:
        lines.append(Paragraph(visible(error[0]), "error"))
        lines.append(Paragraph(visible(error[1]), "dim"))
    if explained is not None:
        said = explained_paragraphs(explained)
        # Below figures and above tokens it has no heading: it says itself what it is.
        lines += [said[0]._replace(text=f"explained: {said[0].text}"), *said[1:]]
    if job is not None:
        lines.append(Paragraph(job_text(job, stop), "strong"))
    return tuple(lines)


def job_text(job: Job, stop: str) -> str:
    """How far a request is, in one line, and the key that stops it."""
    if job.task == "explain":
        return f"explaining {job.head} of {job.neuron}; {stop} stops it"
    return f"scoring {job.head} of {job.neuron}{_progress(job.progress)}; {stop} stops it"


def _progress(progress: Progress | None) -> str:
    return "" if progress is None else f" {progress.bar()} {progress.how_far}"


def explained_paragraphs(explained: Explained) -> tuple[Paragraph, ...]:
    """An explanation, who wrote it and when, and its score."""
    about = explained.explanation
    words = [line for line in about.explanation.splitlines() if line.strip()]
    lines = [*(Paragraph(visible(line)) for line in words), Paragraph(origin(about), "dim")]
    lines += [Paragraph(visible(note), "dim") for note in about.notes]
    if explained.score is not None:
        lines += score_paragraphs(explained.score)
    return tuple(lines)


def origin(about: Explanation) -> str:
    """Who wrote an explanation, when, from how many prompts."""
    day = about.created[:10]
    if about.author == "person":
        return f"written by hand, {day}"
    by = visible(about.model or "")
    if about.answered_by and about.answered_by != about.model:
        by += f" (answered by {visible(about.answered_by)})"
    cached = ", cached" if about.cached else ""
    seen = f"from {about.active} active and {about.inactive} inactive prompts"
    return f"{by}, {day}{cached}, {seen}"


def score_paragraphs(score: ExplanationScore) -> list[Paragraph]:
    """A score with its confusion counts, its baselines, and who gave it."""
    counts = f"{score.active} active and {score.inactive} inactive held-out prompts"
    if score.single_class:
        return [Paragraph(f"no score: {counts} are all one class; no requests were sent", "strong")]
    figures = score.score
    lines = [
        Paragraph(f"score {figure(figures.head_explanation_score)} on {counts}", "strong"),
        Paragraph(_confusion(figures)),
        Paragraph(_baselines(score), "dim"),
    ]
    cached = ", cached" if score.cached else ""
    lines.append(
        Paragraph(
            f"scored by {visible(score.model)}, {score.created[:10]}{cached}; {usage(score.usage)}", "dim"
        )
    )
    lines += [Paragraph(visible(note), "dim") for note in score.notes]
    return lines


def _confusion(figures: Figures) -> str:
    auc = "" if figures.roc_auc is None else f"  AUC {figures.roc_auc:.2f}"
    return (
        f"tp {figures.tp}  fp {figures.fp}  tn {figures.tn}  fn {figures.fn}  unanswered {figures.unanswered}"
        f"  F1 {figure(figures.f1)}"
        f"  precision {figure(figures.precision)}  recall {figure(figures.recall)}{auc}"
    )


def _baselines(score: ExplanationScore) -> str:
    parts = []
    if score.shuffled is not None:
        shuffled = score.shuffled
        parts.append(
            f"shuffled labels {shuffled.mean:.2f} ± {shuffled.standard_deviation:.2f}"
            f" ({shuffled.at_least:.1%} as high)"
        )
    if score.control is not None:
        value = figure(score.control.score.head_explanation_score)
        parts.append(f"control ({visible(score.control.origin)}) {value}")
    return "baseline: " + ("; ".join(parts) or "none")


def figure(value: float | None) -> str:
    """A score with two decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def usage(used: Usage) -> str:
    """What answers took, in a few words."""
    about = "about " if used.estimated else ""
    cost = "" if used.cost is None else f", cost {used.cost:.4f}"
    return f"{used.calls} calls, {about}{used.input_tokens + used.output_tokens:,} tokens{cost}"


# --- all heads of a neuron ---


def run_paragraphs(run: HeadRun, key: KeyOf) -> tuple[Paragraph, ...]:
    """How far a run is, or what came of it; and the means over the heads that are scored."""
    lines: list[Paragraph] = []
    if run.task is not None:
        what = "explaining" if run.task == "explain" else "explaining and scoring"
        lines.append(
            Paragraph(f"{what}{_progress(run.progress)}; {key('all-heads.stop')} stops it", "strong")
        )
    if run.error is not None:
        lines += [Paragraph(visible(run.error[0]), "error"), Paragraph(visible(run.error[1]), "dim")]
    if run.table is not None:
        report = run.table.report
        means = [
            f"{name} {summary_text(summary)}"
            for name, summary in (
                ("head explanation score", report.head_explanation_score),
                ("F1", report.f1),
                ("control", report.control),
            )
        ]
        if report.head_explanation_score.count:
            lines.append(Paragraph("; ".join(means), "strong"))
        elif run.task is None and run.table.heads:
            keys = f"{key('all-heads.explain')} explains them all, {key('all-heads.score')} scores them all"
            lines.append(Paragraph(f"Nothing is scored yet: {keys}.", "dim"))
    if run.used is not None:
        lines.append(Paragraph(f"this time {usage(run.used)}, {run.used.cached} cached", "dim"))
    return tuple(lines)


def summary_text(summary: Summary) -> str:
    """A mean with its standard deviation and number."""
    spread = "" if summary.standard_deviation is None else f" ± {summary.standard_deviation:.2f}"
    named = " (population)" if spread and summary.deviation_of == "population" else ""
    return f"{figure(summary.mean)}{spread}{named} over {summary.count}"


# --- before sending ---


def plan_paragraphs(plan: Plan) -> tuple[Paragraph, ...]:
    """What a request would send and cost, before anything is."""
    calls = "1 call" if plan.calls == 1 else f"{plan.calls} calls"
    cached = f"; {plan.cached} more are answered from the cache" if plan.cached else ""
    lines = [
        Paragraph(f"{calls} to {visible(plan.model)} at {visible(plan.endpoint)}{cached}", "strong"),
        Paragraph(
            f"about {plan.input_tokens:,} tokens sent ({visible(plan.counting)}),"
            f" at most {plan.output_tokens:,} received"
        ),
    ]
    if plan.cost is not None:
        lines.append(Paragraph(f"at most {plan.cost:.4f} at the prices that are set"))
    if plan.budget_left is not None:
        lines.append(Paragraph(f"{plan.budget_left:,} tokens are left of the session's budget"))
    lines += [Paragraph(visible(note), "error") for note in plan.notes]
    if plan.problem:
        lines += [Paragraph(visible(plan.problem), "error"), Paragraph(visible(plan.hint))]
        lines.append(Paragraph("Nothing can be sent until that is fixed; everything else works.", "dim"))
    return tuple(lines)


# --- ablation ---


def ablation_paragraphs(ablation: HeadAblation) -> tuple[Paragraph, ...]:
    """The summary of an ablation: changes on prompts with the head active and not, and their distance."""
    summary = ablation.summary
    activation, probability = summary.activation_distance, summary.probability_distance
    if activation is None or probability is None:
        distance = "no KS distance: one of the two groups is empty"
    else:
        distance = f"KS distance: activation {_distance(activation)}, p(token) {_distance(probability)}"
    return (
        _group("head active  ", summary.active),
        _group("head inactive", summary.inactive),
        Paragraph(distance),
    )


def before_and_after(ablation: HeadAblation, bar_width: int) -> tuple[Paragraph, ...]:
    """The activation with and without the head, the mean over the prompts, each with its bar.

    Counted in the direction in which the neuron fires: below zero a bar is hatched.
    """
    rows = ablation.prompts
    if not rows:
        return ()
    before = sum(row.sign * row.activation_before for row in rows) / len(rows)
    after = sum(row.sign * row.activation_after for row in rows) / len(rows)
    top = max(abs(before), abs(after))
    bar_width = bar_width if plain(top) != "0.00" else 0  # of nothing there is no bar
    return tuple(
        Paragraph(f"{name} {plain(value):>7}{signed_bar(value, top, bar_width)}")
        for name, value in (("with it   ", before), ("without it", after))
    )


def _group(name: str, mean: AblationMean) -> Paragraph:
    if mean.mean_activation_change is None or mean.mean_probability_drop is None:
        return Paragraph(f"{name}   0 prompts", "dim")
    return Paragraph(
        f"{name} {mean.prompts:3d} prompts: activation {signed(mean.mean_activation_change)}, "
        f"p(token) {percent(-mean.mean_probability_drop)}",
        "strong",
    )


def percent(change: float) -> str:
    """A change of a probability in percentage points."""
    text = f"{100 * change:+.1f}"
    return ("+0.0" if text == "-0.0" else text) + " points"


def _distance(distance: KolmogorovSmirnov) -> str:
    return f"{distance.statistic:.2f} (p {distance.p_value:.2g})"


def conditions(ablation: HeadAblation, text: str) -> str:
    """Method, positions and text of an ablation."""
    where = "at the peak" if ablation.positions == "peak" else "at all positions"
    return f"({ablation.method} ablation {where}, {text})"


def total_effect(ablation: HeadAblation | None, prompt_ids: Iterable[int] | None) -> tuple[str, ...]:
    """The total effect beside the direct one, on one prompt or (None) the mean over all; how it was taken."""
    if ablation is None:
        return ()
    wanted = None if prompt_ids is None else set(prompt_ids)
    rows = [p for p in ablation.prompts if wanted is None or p.prompt_id in wanted]
    if not rows:
        return ()
    change = sum(row.activation_change for row in rows) / len(rows)
    text = texts_of(ablation.context) if wanted is None else text_of(ablation.context)
    return f"{signed(change)} without it, total effect", conditions(ablation, text)
