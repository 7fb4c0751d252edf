"""Notes as the cache keeps them: what is written goes there, and comes back with what is marked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.results import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Item, Note, Selection, Subject
    from tui_lookups.tui.state.queries import Queries


class Notes:
    """The notes on the open model, in step with the basket."""

    def __init__(self, explorer: Explorer, queries: Queries, failed: Callable[[BaseException], None]) -> None:
        """`failed` is told what keeps them from being read or kept."""
        self._explorer, self._queries, self._failed = explorer, queries, failed
        self._known: dict[Subject, Note] = {}

    def look_up(self) -> None:
        """Ask for what was written before."""

        def done(notes: tuple[Note, ...]) -> None:
            self._known = {note.subject: note for note in notes} | self._known

        self._queries.ask("notes", self._explorer.notes, done, self._failed)

    def on(self, item: Item) -> Note | None:
        """The note on something, marked or not."""
        note = self._known.get(subject_of(item))
        return note if note is not None and note.text else None

    def come_with(self, before: Selection, after: Selection) -> Selection:
        """`after`, where what was not marked before has the note that was written on it once."""
        notes = [note for item in after.items if item not in before.items and (note := self.on(item))]
        return after.noted((*notes, *after.notes)) if notes else after

    def follow(self, before: Selection, after: Selection) -> None:
        """Keep what was written on the basket, and take away what was taken off something still marked."""
        marked = set(map(subject_of, after.items))
        left = {note.subject for note in after.notes}
        gone = (note for note in before.notes if note.subject in marked and note.subject not in left)
        for note in (*after.notes, *(replace(note, text="") for note in gone)):
            self.keep(note)

    def keep(self, note: Note) -> None:
        """Keep a note; one without text takes it away."""
        if self._known.get(note.subject) == note:
            return
        self._known[note.subject] = note
        kind = " ".join(["note on", *(str(part) for part in note.subject if part is not None)])
        self._queries.ask(kind, lambda: self._explorer.keep_note(note), lambda _: None, self._failed)
