"""What is said of the heads of a walk: their figures, what these sum to, and the titles. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT
from tui_lookups.tui.paint.head_rows import Attends, Cell, attends_words
from tui_lookups.tui.text.attribution import (
    decomposition,
    direction_share,
    preset_of,
    text_of,
    texts_of,
    why_no_head,
)
from tui_lookups.tui.text.empty import missing
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.text.key_labels import KeyOf


def cells_of(walk: Walk) -> dict[HeadId, Cell]:
    """The figure of every head that is on screen."""
    if walk.over_all:
        means = () if walk.overview is None else walk.overview.heads
        return {
            m.head: Cell(
                m.mean_attribution, m.worth_explaining, f"active on {m.active_fraction:.0%} of the prompts"
            )
            for m in means
        }
    if walk.heads is None:
        return {}
    whole = walk.heads.target.value
    return {
        s.head: Cell(
            walk.score(s),
            s.active,
            f"{walk.score(s) / whole:.0%} of {whole:.2f}" if whole else "",
            attends=_attends(walk, s.head),
        )
        for s in walk.heads.heads
    }


def _attends(walk: Walk, head: HeadId) -> Attends:
    source = walk.attended.get(head)
    return Attends() if source is None else Attends(visible_token(source.token.text), source.weight)


def attention_of_chosen(walk: Walk) -> str:
    """What the chosen head attends to most on the open prompt; empty where that is not known."""
    if walk.head is None or walk.heads is None or walk.over_all or not walk.reaches(walk.head):
        return ""
    words = attends_words(_attends(walk, walk.head))
    return f"{walk.head} {words}" if words else ""


def sum_parts(walk: Walk, scale: tuple[str, ...], key: KeyOf, bar_width: int = 0) -> tuple[str, ...]:
    """What the figures sum to, and what shades (`scale`) and the star mean; nothing without figures."""
    if walk.heads is not None and not walk.over_all:
        star, both = f"* {active_words(walk)}", decomposition(walk.heads, bar_width)
        both = tuple(_with_key(part, key) for part in both)
        share = direction_share(walk.heads, walk.shown_direction)
        if share:
            return (*share, *scale, star, "both directions:", *both)
        return (*both, *scale, star)  # everything is of one thing: the sum comes first
    if walk.over_all and walk.overview is not None:
        return ("mean direct attribution", *scale, *_worth(walk.overview.context, key))
    return ()


def _with_key(part: str, key: KeyOf) -> str:
    """Beside the term that can be opened the key that opens it."""
    return part.replace("mlps ", f"mlps ({key('walk.inputs')}) ", 1) if part.startswith("mlps ") else part


def active_words(walk: Walk) -> str:
    """What the star means on one prompt: whichever direction is shown, it goes by both together."""
    return "active" if walk.shown_direction == "both" else "active by both"


def _worth(context: str, key: KeyOf) -> tuple[str, ...]:
    """What the star means over all prompts: by which texts, which need not be those of explanations."""
    share = f"(active on {LEAST_PERCENT} % to {MOST_PERCENT} %)"
    if context == "trimmed":
        return "* worth explaining, on the trimmed prompts that explanations use", share
    others = f"{key('head.all_heads')} and {key('head.explain')} go by the trimmed ones"
    return f"* worth explaining, on {texts_of(context)} {share}", others


def heads_title(walk: Walk) -> str:
    """What the pane of heads is about."""
    if walk.neuron is None:
        return "Heads"
    words = f"Heads that fire {walk.neuron}"
    if walk.over_all:
        if walk.overview is None:
            return f"{words} over its prompts, direct"
        return f"{words} over its {walk.overview.prompts} prompts, direct, {texts_of(walk.overview.context)}"
    prompt = walk.prompt
    if prompt is not None:
        words += f" on prompt {prompt.rank}" if prompt.rank else " on the text"
    if walk.shown_direction != "both":  # before what a narrow pane cuts off
        words += f", by {walk.shown_direction}"
    if walk.heads is not None:
        words += f", direct, {text_of(walk.heads.context)}"
    return words


def heads_tab(walk: Walk) -> str:
    """As the title, in as few words as a tab has room for; the full window is not named."""
    words, shown = ["Heads"], walk.shown_heads
    if walk.over_all:
        words = ["Heads,", "all prompts" if walk.overview is None else f"all {walk.overview.prompts}"]
    elif walk.prompt is not None:
        words = ["Heads,", f"prompt {walk.prompt.rank}" if walk.prompt.rank else "the text"]
    if shown is not None and shown.context == "trimmed":
        words.append("trimmed")
    if walk.shown_direction != "both":
        words.append(walk.shown_direction)
    return " ".join(words)


def why_not_named(walk: Walk, head: HeadId, key: KeyOf) -> str:
    """Why a head that was named cannot be shown behind the open neuron; empty where it can."""
    if walk.neuron is None:
        enter = key("neurons.open")
        return f"Open a neuron first ({enter} on one, or type its name): heads are behind one."
    model = walk.model
    preset = "default" if walk.prompts is None else preset_of(walk.prompts.provenance)
    gone = missing(model, head)
    return gone if gone or model is None else why_no_head(model, walk.neuron, head, preset)


def why_one_direction(walk: Walk, key: KeyOf) -> str:
    """Why the read directions cannot be shown one at a time; empty where they can."""
    if walk.gated is None:
        return f"Open a prompt first ({key('prompts.open')}): the model is not known yet."
    if not walk.gated:
        return "This model's MLPs are not gated: there is one read direction."
    if walk.over_all:
        return f"Means over all prompts are of both directions; {key('heads.all')}: one prompt again."
    return ""
