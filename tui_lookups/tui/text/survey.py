"""What is said of surveys and of the neurons that a head serves: plans, progress, titles, figures. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.settings_values import format_layers, parse_layers
from tui_lookups.tui.paint.head_rows import Cell, plain, signed
from tui_lookups.tui.paint.text_layout import quoted
from tui_lookups.tui.text.explanation import Paragraph
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tui_lookups.ids import HeadId
    from tui_lookups.results import (
        HeadReads,
        ScanProgress,
        ServedNeurons,
        Survey,
        SurveyedHead,
        SurveyedPair,
        SurveyPlan,
        SurveyProgress,
    )
    from tui_lookups.tui.state.left_screens import Measure
    from tui_lookups.tui.state.survey_run import SurveyRun
    from tui_lookups.tui.text.key_labels import KeyOf


def share_text(value: float | None) -> str:
    """A share with one decimal below ten per cent, none of them -0.0 %; a dash where there is none."""
    if value is None:
        return "–"
    return f"{plain(100 * value, 0 if abs(value) >= 0.0995 else 1)}%"


def time_left(seconds: float | None) -> str:
    """About how long it still takes, to be said after how far it is; empty where nobody knows."""
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f", {max(0, round(seconds))} s left"
    hours, rest = divmod(minutes, 60)
    return f", {hours} h {rest} min left" if hours else f", {minutes} min left"


def progress_words(progress: SurveyProgress | None, scan: ScanProgress | None) -> str:
    """How far a survey is; the scan that it waits for comes first."""
    if scan is not None and scan.state == "running":
        left = time_left(scan.seconds_left)
        return f"first the scan: {scan.prompts:,} of {scan.total_prompts:,} prompts{left}"
    if progress is None:
        return "Looking at the neurons…"
    return f"{progress.done:,} of {progress.total:,} neurons{time_left(progress.seconds_left)}"


# --- the survey ---


def survey_title(survey: Survey | None) -> str:
    """The top line of the survey."""
    if survey is None:
        return "Survey: every head over the prompts of every next-token neuron"
    silent = sum(not neuron.prompts for neuron in survey.neurons)
    never = f", {silent:,} never fire" if silent else ""
    return (
        f"Survey: {len(survey.neurons):,} neurons{never}; {len(survey.pairs):,} pairs worth explaining"
        f" ({survey.context})"
    )


def survey_parts(run: SurveyRun, scan: ScanProgress | None, key: KeyOf) -> tuple[str, ...]:
    """The plan, how far it is, and the key that starts or stops it."""
    if run.planning:
        return ("Working out the plan…",)
    if run.whole and run.survey is not None:
        layers, neurons = format_layers(run.survey.layers), len(run.survey.neurons)
        return (f"layers {layers}: all {neurons:,} neurons are worked out",)
    said = [visible(text) for text in run.error or ()]
    if run.plan is not None:
        said += plan_parts(run.plan)
    if run.running:
        said += [progress_words(run.progress, scan), f"{key('survey.stop')} stops it; leaving does not"]
    elif run.plan is not None:
        begun = "goes on where it was" if run.plan.done else "starts it"
        said.append(f"{key('survey.start')} {begun}")
    return tuple(said)


def plan_parts(plan: SurveyPlan) -> list[str]:
    """What a survey costs."""
    left = plan.neurons - plan.done
    parts = [
        f"layers {format_layers(plan.layers)}:",
        f"{plan.neurons:,} neurons, {plan.done:,} of them in the cache",
        f"{plan.pairs:,} pairs",
    ]
    if left:
        parts.append(
            f"at most {plan.texts:,} texts to run, for {left:,} neurons of {plan.prompts} prompts each"
        )
    return parts


# --- layers x heads ---


def cells_of(heads: Iterable[SurveyedHead], measure: Measure) -> dict[HeadId, Cell]:
    """The picture's figure of every head that reaches a neuron."""
    return {
        head.head: Cell(
            float(head.serves) if measure == "serves" else head.carries or 0.0,
            False,
            head_words(head),
            (str(head.serves) if head.serves else ".",)
            if measure == "serves"
            else (share_text(head.carries), f"{plain(100 * (head.carries or 0.0), 0)}%"),
        )
        for head in heads
    }


def head_words(head: SurveyedHead) -> str:
    """One head of the picture in words."""
    mean = "" if head.mean_attribution is None else f", mean attribution {signed(head.mean_attribution)}"
    carries = "" if head.carries is None else f", carries {share_text(head.carries)}"
    return f"serves {head.serves} of {head.reaches}{mean}{carries}"


def folded_words(layers: range, heads: Iterable[SurveyedHead], measure: Measure) -> str:
    """What layers of the picture come to in which no head stands out."""
    mine = [head for head in heads if head.head.layer in layers]
    name = f"L{layers[0]}-L{layers[-1]}"
    if measure == "serves":
        return f"{name}: {sum(head.serves for head in mine):,} together"
    return f"{name}: at most {share_text(max((head.carries or 0.0 for head in mine), default=0.0))} each"


def legend_words(measure: Measure) -> str:
    """What the figures of the picture are."""
    if measure == "serves":
        return "neurons for which the head is worth explaining"
    return "share of what fires the neurons that the head reaches"


# --- a head's side ---


def served_title(head: HeadId, served: ServedNeurons | None) -> str:
    """The top line of a head's side."""
    if served is None:
        return f"The neurons that {head} serves"
    row = served.head
    carries = "" if row.carries is None else f"; carries {share_text(row.carries)} of what fires them"
    return f"{head} serves {row.serves} of the {row.reaches} neurons it reaches{carries}"


def pair_paragraphs(pair: SurveyedPair, reads: HeadReads | None, *, asked: bool) -> tuple[Paragraph, ...]:
    """A neuron that a head serves: the figures, and what the head reads; `asked`: that is on its way."""
    figures = (
        f"{pair.head} for {pair.neuron} {quoted(pair.token.text)}: mean attribution"
        f" {signed(pair.mean_attribution)}, {share_text(pair.share)} of what fires it,"
        f" active on {pair.active_fraction:.0%} of its prompts"
    )
    said = (Paragraph(figures, "strong"),)
    if reads is None:
        return (*said, Paragraph("Looking at what it reads…", "dim")) if asked else said
    tokens = (
        f"{_unbroken(quoted(row.token.text))} {signed(row.mean_attribution)} ({row.prompts})"
        for row in reads.tokens
    )
    read = f"reads (mean over {reads.prompts} prompts, and on how many): {', '.join(tokens)}"
    return (*said, Paragraph(f"{read}, all other tokens {signed(reads.rest)}"))


def _unbroken(text: str) -> str:
    """With spaces at which no line ends."""
    return text.replace(" ", "\u00a0")


def reads_words(reads: HeadReads | None) -> str:
    """What a head reads most, in a few words."""
    tokens = () if reads is None else reads.tokens
    return " ".join(quoted(row.token.text) for row in tokens if row.mean_attribution > 0)


def layers_wanted(text: str) -> tuple[int, ...] | None:
    """The layers of a typed text; None for "all". Raises ValueError for a text that names none."""
    return None if text.strip().casefold() in ("", "all") else parse_layers(text)
