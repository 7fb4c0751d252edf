"""What empty panes say: what they wait for, which filters are on, and what to do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.ids import HeadId
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import ModelInfo
    from tui_lookups.tui.state.walk import Part, Walk
    from tui_lookups.tui.text.key_labels import KeyOf


_WORKING: dict[Part, str] = {
    "neurons": "Ranking the neurons…",
    "prompts": "Working out the prompts…",
    "heads": "Attributing the peak to the heads…",
    "overview": "Attributing all its prompts to the heads…",
    "sources": "Working out what the head reads…",
}


def nothing(
    walk: Walk, part: Part, otherwise: str, key: KeyOf, *, reopens: bool, counts: bool = False
) -> str:
    """What an empty pane says: the error, what it waits for, or what to do.

    `reopens`: whether another model can be opened; `counts`: whether to say for how many seconds it waits.
    """
    error, status = walk.errors.get(part), walk.status
    if error is not None:
        return visible(error[0]) + "\n" + visible(error[1])
    if status is not None and status.stage == "failed":
        said = "Nothing could be loaded: see above."
        return f"{said}\nTo continue: {key('app.palette')}, then “Open another model”." if reopens else said
    if walk.waiting(part) or (part == "neurons" and (walk.waiting("story") or walk.given_token is not None)):
        return "\n".join(filter(None, (_waits_for(walk, part), _how_far(walk, part, key, counts=counts))))
    return otherwise


def _loading(walk: Walk) -> bool:
    return walk.status is not None and walk.status.stage in ("starting", "loading")


def _waits_for(walk: Walk, part: Part) -> str:
    token = walk.given_token if walk.token is None else walk.token.text
    if part == "neurons" and token is not None and _loading(walk):
        return f"{visible_token(token)}: waiting for the weights"
    return "Loading the model…" if _loading(walk) else _WORKING.get(part, "Working…")


def _how_far(walk: Walk, part: Part, key: KeyOf, *, counts: bool) -> str:
    """The stage of loading, the seconds so far, the key that stops it; as far as there are any."""
    if walk.status is not None and _loading(walk):
        seconds = max(map(walk.waited, (part, "story") if part == "neurons" else (part,)))
        since = f"{seconds} s" if counts and seconds else ""
        far = ", ".join(filter(None, (visible(walk.status.message), since)))
    else:
        far = walk.how_far(part, counts=counts)
    stop = f"{key('walk.back')} stops it" if part == "overview" else ""
    if not stop and counts and walk.waited(part):
        stop = f"{key('app.tasks')} can stop it"
    return ", ".join(filter(None, (far, stop)))


def missing(model: ModelInfo | None, named: NeuronId | HeadId) -> str:
    """Why a neuron or head cannot be opened; empty where it can, or the model is not known yet."""
    if model is None:
        return ""
    a_head = isinstance(named, HeadId)
    size, what = (model.n_heads, "heads") if a_head else (model.d_mlp, f"{model.kind}s")
    if named.layer < model.n_layers and named.index < size:
        if a_head or type(named) is model.neuron_id:
            return ""
        return f"{named} is no {model.kind}: write {model.neuron_id(named.layer, named.index)}."
    return f"{named} does not exist: the model has {model.n_layers} layers of {size} {what}."


def filters_on(walk: Walk) -> str:
    """The filters that ask for other neurons, by name; empty where none is on."""
    on = [] if walk.layer is None else [f"layer {walk.layer}"]
    return ", ".join([*on, "own token only"] if walk.own_only else on)


def why_no_row(walk: Walk, total: int, named: NeuronId | None, key: KeyOf) -> str:
    """What the neurons' pane says without a row, of `total`; `named`: the neuron the text filter names."""
    ends = key("walk.back")
    if not total and not filters_on(walk):
        return f"No {walk.neuron_id.kind} in the selected layers promotes this token."
    if not total:
        return f"No {walk.neuron_id.kind} passes the filters:\n{filters_on(walk)}.\n{ends} drops them."
    looked = (
        f"None of the {total} strongest has that text."
        if total > 1
        else "The one neuron there is does not have that text."
    )
    if named is not None:
        return f"{looked}\n{key('line.enter')} opens {named}."
    others = f"{key('walk.token')}, then its name, opens any {walk.neuron_id.kind}"
    return f"{looked}\n{ends} ends the filter;\n{others}."


def why_no_neuron(walk: Walk, key: KeyOf) -> str:
    """What the prompts' pane says while no neuron is open."""
    on = filters_on(walk)
    if walk.ranking is not None and not walk.ranking.neurons and on and walk.token is not None:
        token = visible_token(walk.token.text)
        drops = f"{key('walk.back')} drops them, in the neurons."
        return f"No {walk.neuron_id.kind} of {token} passes the filters:\n{on}.\n{drops}"
    return f"{key('neurons.open')} on a {walk.neuron_id.kind}\nshows the text that fires it."
