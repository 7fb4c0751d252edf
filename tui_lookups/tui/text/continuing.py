"""What a pane shows as a command line and as Python: to go on in a shell or a notebook. Pure.

1. A pane is one question: a token's neurons, a neuron's prompts, its heads on one prompt or over all, what
   one head reads, what fires the neuron. The choices it was asked with are in it.
2. Of the settings those are in it that are not the defaults and that answers depend on; on a command line
   those without a flag stand before it, as environment variables.
3. A command names a prompt by its rank among the highest: one of a sample has none, and Python takes its
   number.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from msgspec import structs

from tui_lookups.config_file import PREFIX
from tui_lookups.results.base import TokenSet
from tui_lookups.settings import Settings
from tui_lookups.settings_values import format_layers
from tui_lookups.tui.state.token_sets import members_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.left_screens import DiffView, RevisionsPlace, TracePlace
    from tui_lookups.tui.state.walk import Walk

_FLAGS = (
    "model", "corpus", "max_documents", "text_field", "dtype", "layers", "preset", "bos", "raw_weights",
    "sign", "window", "keep_copies", "cache_dir", "units",
)  # fmt: skip
_NO_FLAG = ("top", "activity_rule")


class _Question(NamedTuple):
    """Words of a command line, none where no command asks this, and the same as a line of Python."""

    words: tuple[str, ...]
    python: str


def continued(what: str, walk: Walk, pane: PaneName, settings: Settings) -> str:
    """What `pane` shows as a "command" or for a "notebook"; empty where there is none."""
    question = _question(walk, pane)
    return "" if question is None else _written_out(what, question, settings)


def continued_survey(
    what: str, head: HeadId | None, per_layer: int, layers: tuple[int, ...] | None, settings: Settings
) -> str:
    """A survey, or the neurons that a head serves, likewise."""
    words, python = ["survey"], f"per_layer={per_layer}"
    if head is not None:
        words, python = ["served-by", str(head)], f"HeadId({head.layer}, {head.index}), {python}"
    words += ["--per-layer", str(per_layer)]
    if layers is not None:
        words += ["--layers", format_layers(layers)]
        python += f", layers={layers!r}"
    asked = "survey" if head is None else "served_by"
    return _written_out(what, _Question(tuple(words), f"explorer.{asked}({python})"), settings)


def continued_shared(what: str, neurons: Sequence[NeuronId], settings: Settings) -> str:
    """The heads that neurons share, likewise."""
    named = ", ".join(map(_in_python, neurons))
    question = _Question(("shared-heads", *map(str, neurons)), f"explorer.shared_heads([{named}])")
    return _written_out(what, question, settings)


def continued_diff(
    what: str,
    against: str,
    shown: DiffView | Literal["neuron", "heads"],
    neuron: NeuronId | None,
    settings: Settings,
) -> str:
    """Two models compared: by weights, by activations, or one neuron in both and its heads, likewise."""
    words, asked = ["diff", settings.model, against], repr(against)
    if neuron is not None:
        words += ["--neuron", str(neuron), *(["--heads"] if shown == "heads" else [])]
        asked += f", {_in_python(neuron)}"
    elif shown == "activations":
        words.append("--activations")
    name = "diff" if shown == "weights" else f"diff_{shown}"
    return _written_out(what, _Question(tuple(words), f"explorer.{name}({asked})"), settings)


def continued_revisions(what: str, place: RevisionsPlace, settings: Settings) -> str:
    """A neuron over revisions, likewise."""
    words = ["revisions", str(place.neuron), "--revisions", ",".join(place.names)]
    python = f"{_in_python(place.neuron)}, {place.names!r}"
    if place.asked_token is not None:
        words += ["--token", place.asked_token]
        python += f", token={place.asked_token!r}"
    if place.found is not None and place.found.firing:
        words.append("--prompts")
        python += ", prompts=True"
    base = structs.replace(settings, model=settings.model.partition("@")[0])
    return _written_out(what, _Question(tuple(words), f"explorer.over_revisions({python})"), base)


def _in_python(neuron: NeuronId) -> str:
    return f"{type(neuron).__name__}({neuron.layer}, {neuron.index})"


def _written_out(what: str, question: _Question, settings: Settings) -> str:
    return _command(question, settings) if what == "command" else _notebook(question, settings)


def _question(walk: Walk, pane: PaneName) -> _Question | None:
    neuron = walk.neuron
    if pane == "neurons":
        return _ranking(walk)
    if neuron is None:
        return None
    python = _in_python(neuron)
    if pane == "prompts":
        if walk.kind == "top":
            return _Question(("prompts", str(neuron)), f"explorer.prompts({python})")
        kind = f"explorer.sampled_prompts({python}, {walk.kind!r})"
        return _Question(("prompts", str(neuron), "--kind", walk.kind), kind)
    shown = walk.heads if pane == "inputs" else walk.shown_heads
    if shown is None:
        return None
    text, trimmed = ("--trimmed", True) if shown.context == "trimmed" else ("--full", False)
    if walk.over_all and pane != "inputs":
        overview = f"explorer.heads_overview({python}, trimmed={trimmed})"
        return _Question(("heads", str(neuron), "--all-prompts", text), overview)
    if walk.prompt is None:
        return None
    asked = "inputs" if pane == "inputs" else "heads"
    words = [asked, str(neuron), "--prompt", str(walk.prompt.rank), text]
    more = f"prompt_id={walk.prompt_id}, trimmed={trimmed}"
    if walk.on_given_text and walk.given is not None:  # which no command asks at a position of its own
        more = f"text={walk.given.text!r}, position={walk.prompt.peak.position}"
    if pane == "detail" and walk.head is not None:
        words += ["--sources", str(walk.head)]
        more += f", sources=HeadId({walk.head.layer}, {walk.head.index})"
    by_rank = walk.kind == "top" and not walk.on_given_text
    return _Question(tuple(words) if by_rank else (), f"explorer.{asked}({python}, {more})")


def _ranking(walk: Walk) -> _Question | None:
    if walk.token is None or walk.ranking is None:
        return None
    top = len(walk.ranking.neurons)
    members = members_of(walk.token)
    words = ["neurons", *(f"#{member.id}" for member in members), "--top", str(max(1, top))]
    more = f"top={max(1, top)}"
    if walk.layer is not None:
        words += ["--layers", str(walk.layer)]
        more += f", layers=({walk.layer},)"
    if walk.own_only:
        words.append("--next-token-only")
        more += ", next_token_only=True"
    if isinstance(walk.token, TokenSet):
        words += ["--as-one", walk.token.as_one]
        ids, texts = [member.id for member in members], [member.text for member in members]
        python = f"explorer.neurons_of_set({ids}, as_one={walk.token.as_one!r}, {more})  # {texts!a}"
        return _Question(tuple(words), python)
    return _Question(tuple(words), f"explorer.neurons({walk.token.id}, {more})  # {walk.token.text!a}")


def continued_trace(what: str, place: TracePlace, settings: Settings) -> str:
    """A trace, as far as it is open, as a "command" or for a "notebook"; empty where there is none."""
    tree = place.tree
    if tree is None:
        return ""
    asked = {name: value for name, value in place.asked.items() if value is not None}
    asked |= {"position": tree.first.position, "depth": tree.depth, "width": tree.width}
    neuron = asked.pop("neuron", None)
    texts = [] if place.text is None else [repr(place.text)]
    if neuron is not None:
        texts.append(f"neuron={_in_python(neuron)}")
    python = f"explorer.trace({', '.join([*texts, *(f'{name}={value!r}' for name, value in asked.items())])})"
    words = ["trace", *([] if place.text is None else [place.text])]
    words += [] if neuron is None else ["--neuron", str(neuron)]
    if (trimmed := asked.pop("trimmed", None)) is not None:
        words.append("--trimmed" if trimmed else "--full")
    for name, value in asked.items():
        words += [f"--{name.replace('_', '-')}", f"#{value}" if name in ("token", "foil") else str(value)]
    question = _Question(() if (place.text or "").startswith("-") else tuple(words), python)
    return _command(question, settings) if what == "command" else _notebook(question, settings)


def _other(settings: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of these settings that are not the defaults."""
    plain = Settings()
    values = {name: getattr(settings, name) for name in names}
    return {name: value for name, value in values.items() if value != getattr(plain, name)}


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _command(question: _Question, settings: Settings) -> str:
    if not question.words:
        return ""
    words = ["lookups-tui", *question.words]
    for name, value in _other(settings, _FLAGS).items():
        if (name == "layers" and "--layers" in words) or (name == "model" and words[1] == "diff"):
            continue  # the pane has fewer; both models are named
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [flag, _written(value)]
    before = [
        f"{PREFIX}{name.upper()}={shlex.quote(_written(v))}" for name, v in _other(settings, _NO_FLAG).items()
    ]
    return " ".join([*before, shlex.join(words)])


def _notebook(question: _Question, settings: Settings) -> str:
    values = _other(settings, (*_FLAGS, *_NO_FLAG))
    given = ", ".join(f"{name}={v if isinstance(v, int) else _written(v)!r}" for name, v in values.items())
    names = "HeadId, NeuronId" if settings.units is None else "FeatureId, HeadId"
    return "\n".join(
        (
            "from tui_lookups import Explorer",
            f"from tui_lookups.ids import {names}",
            "from tui_lookups.settings import load_settings",
            "",
            f"explorer = Explorer(load_settings({given}))",
            f"found = {question.python}",
            "found",
        )
    )
