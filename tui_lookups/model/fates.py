"""Why a file, a key or a tensor of a model folder is refused, and the sentence that says so.

Everything a folder holds is judged once (config_keys.py, tensor_places.py, inventory.py): `doctor` lists the
judgements, and loading raises the first that is a refusal. So the two cannot say different things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.checkpoint import MERGE_HINT
from tui_lookups.model.families import SUPPORTED
from tui_lookups.results.inventory import EntryKind, FileEntry


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is refused: in a few words, in a sentence of `name`, `what` and `owner`, with a hint."""

    note: str
    sentence: str
    hint: str


_OTHER_CONFIG = "config.json and the weights do not belong together: fetch the model again."

QUANTISED = Reason(
    "of quantised weights",
    "{name} is quantised ({what}), and only unquantised weights can be taken apart.",
    "Point --model at the unquantised weights that it was made from.",
)
ADAPTER = Reason(
    "of an adapter",
    "{name} holds an adapter ({what}), which no figure would include.",
    f"{MERGE_HINT[:-1]}; or move it away to see the model without it.",
)
OTHER_WEIGHTS = Reason(
    "weights that transformers does not read",
    "{name} holds {what} beside the weights that are read, and no figure would include it.",
    "Move away what is no part of the model.",
)
NO_PLACE = Reason(
    "no place in the model",
    "{name} holds {what}, for which {owner} has no place.",
    "Either config.json is not the one of these weights, or the model is of another family than it says.",
)
TWICE = Reason("its place is taken", "{name} holds {what} under two names.", "Fetch the model again.")
ANOTHER_SHAPE = Reason(
    "another shape than config.json says",
    "{name} holds {what} in another shape than its configuration says.",
    _OTHER_CONFIG,
)
CONVERTED = Reason(
    "joined or split before it is used",
    "{name} holds {what} in a layout that transformers converts, which cannot be held to the file.",
    SUPPORTED,
)
LACKING = Reason("not in the files", "{name} is incomplete: its files lack {what}.", "Fetch the model again.")
NOT_APPLIED = Reason(
    "changes the computation, and is not applied",
    "The configuration of {name} has {what}, which {owner} does not apply.",
    "The model is of another family than its config.json says, or needs code of its own.",
)
UNKNOWN = Reason(
    "transformers cannot make the model",
    "{name} is of a family that transformers does not know, and {what} cannot be judged.",
    SUPPORTED,
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one thing, and why it is refused, if it is."""

    entry: FileEntry
    reason: Reason | None = None


def applied(name: str, kind: EntryKind, note: str) -> Judged:
    return Judged(FileEntry(name, kind, "applied", note))


def harmless(name: str, kind: EntryKind, note: str) -> Judged:
    return Judged(FileEntry(name, kind, "harmless", note))


def refused(name: str, kind: EntryKind, reason: Reason, note: str = "") -> Judged:
    return Judged(FileEntry(name, kind, "refused", note or reason.note), reason)


def require_none_refused(judged: Iterable[Judged], name: str, owner: str = "the model") -> None:
    """Raise ModelLoadError for the first refusal; it counts the others of the same reason.

    Args:
        name: of the model.
        owner: what has no place for it, or does not apply it: a class of transformers.
    """
    of_one_kind = [tensor for tensor in judged if tensor.reason is not None]
    if not of_one_kind:
        return
    reason = of_one_kind[0].reason
    assert reason is not None
    names = [tensor.entry.name for tensor in of_one_kind if tensor.reason is reason]
    raise ModelLoadError(reason.sentence.format(name=name, what=some(names), owner=owner), reason.hint)


def some(names: list[str], of: str = "") -> str:
    """The first of the names, and how many more there are (`of` which kind)."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more{of and ' ' + of}"
