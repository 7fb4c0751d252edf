"""What of a record is its text: one rule for every format that has records (.jsonl, tables, hub streams).

1. The field is `text`, or the one `--text-field` names: a key of the record or, with dots, the way to one
   through nested objects.
2. A string that is not blank is the text. Where a field was named, a conversation in it (a list of
   {role, content}, or ShareGPT's {from, value}) is made text by the model's chat template.
3. A record with anything else there (null, blank, a number, a list, ...), with nothing there, or with a
   conversation that the template refuses, is left out and counted.
4. Two things are refused, with the fields that the records have: a file in which no record has the field,
   and a corpus in which no record has a text. `MOST_WITHOUT` records without one are enough to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tui_lookups.corpus.documents import cut_text
from tui_lookups.errors import CorpusError, first_line

DEFAULT_FIELD = "text"
MOST_WITHOUT = 10_000
"""Records read in search of the first that has the field, or a text."""

Messages = list[dict[str, Any]]
Render = Callable[[Messages], str]
"""A conversation as text. Raises ValueError where the template refuses it, CorpusError without one."""

_MISSING = object()
_SHOWN = 12
_ROLES = {"human": "user", "gpt": "assistant"}
"""What ShareGPT calls the two who speak, as chat templates call them."""


@dataclass(frozen=True, slots=True)
class TextField:
    """A field that was named. `template` is a digest of what `render` depends on."""

    name: str
    render: Render
    template: str

    @property
    def key(self) -> str:
        """What texts depend on besides the records: a part of the corpus' fingerprint."""
        return f"field {self.name}\n{self.template}\n"


class Records:
    """One pass over the records of a source: takes the text out of each, and counts.

    Attributes:
        field: the one that was named; None takes `text`, or a table's only column of strings.
        bytes_read: bytes read from the disk so far.
        left_out: records without a text so far.
    """

    def __init__(self, field: TextField | None = None) -> None:
        self.field = field
        self.bytes_read = 0
        self.left_out = 0
        self._any_text = False
        self._refusal = ""  # why the chat template refused the first conversation that it did
        self.begin_file("")

    def count(self, n_bytes: int) -> None:
        """Note bytes that were read."""
        self.bytes_read += n_bytes

    def begin_file(self, where: str, column: str = "", fields: Iterable[str] = ()) -> None:
        """Records of another file follow. Of a table is known which `column` is read, and what others are."""
        self._where, self._fields = where, tuple(fields)
        self._name = self.field.name if self.field else column or DEFAULT_FIELD
        self._lacking, self._has_field = 0, False

    def texts(self, record: Mapping[str, object]) -> Iterator[str]:
        """The parts of a record's text; none where it is left out.

        Raises CorpusError where too many records before had none.
        """
        value = value_at(record, self._name)
        self._has_field |= value is not _MISSING
        text = self._text(value)
        if text:
            self._any_text = True
            yield from cut_text(text)
            return
        self.left_out += 1
        self._lacking += value is _MISSING
        self._fields = self._fields or tuple(record)
        if self._lacking >= MOST_WITHOUT:
            self.end_file()
        if self.left_out >= MOST_WITHOUT:
            self.end(self._where)

    def end_file(self) -> None:
        """Raise CorpusError where the file had records, and none of them the field."""
        if self._lacking and not self._has_field:
            raise no_field(self._where, "field", self._name, self._fields)

    def end(self, where: str) -> None:
        """Raise CorpusError where there were records, and none of them had a text."""
        if self.left_out and not self._any_text:
            why = f" (a conversation is refused by the chat template: {self._refusal})" * bool(self._refusal)
            raise CorpusError(
                f"{where} has no text: `{self._name}` is null, blank or of another kind in all of "
                f"{self.left_out:,} records{why}; their fields are {listed(self._fields)}.",
                _NAME_ONE,
            )

    def _text(self, value: object) -> str:
        """The text in a field's value, "" where there is none."""
        if isinstance(value, str):
            return value if value.strip() else ""
        messages = conversation(value)
        if self.field is None or messages is None:
            return ""
        try:
            text = self.field.render(messages)
        except ValueError as error:
            self._refusal = self._refusal or first_line(error)[:200].rstrip(".")
            return ""
        return text if text.strip() else ""


_NAME_ONE = "Name the field that holds the texts with --text-field, or call it `text`."


def no_field(where: str, kind: str, name: str, fields: Iterable[str]) -> CorpusError:
    """Records without the field that holds the text; `kind` is "field", or "column" in a table."""
    return CorpusError(f"{where} has no {kind} `{name}`; its {kind}s are {listed(fields)}.", _NAME_ONE)


def listed(names: Iterable[str]) -> str:
    """The first names of many."""
    columns = list(names)
    return ", ".join(columns[:_SHOWN]) + ", ..." * (len(columns) > _SHOWN) or "none"


def value_at(record: Mapping[str, object], name: str) -> object:
    """What a record has under a key or, with dots, along a way through nested objects."""
    if name in record:
        return record[name]
    value: object = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def conversation(value: object) -> Messages | None:
    """The messages of a conversation as chat templates take them; None for what is none."""
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        return None
    if all(isinstance(turn.get("role"), str) and "content" in turn for turn in value):
        return value
    if all(isinstance(turn.get("from"), str) and isinstance(turn.get("value"), str) for turn in value):
        return [{"role": _ROLES.get(turn["from"], turn["from"]), "content": turn["value"]} for turn in value]
    return None
