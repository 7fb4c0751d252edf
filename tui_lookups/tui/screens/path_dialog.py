"""A dialog that asks for a path and does something with it off the event loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui_lookups.tui.paint.text_layout import fit_middle
from tui_lookups.tui.screens.query_screen import QueryDialog
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.tui.widgets.typed_line import TypedLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer

R = TypeVar("R")


class PathDialog(QueryDialog[R]):
    """An input and a message; subclasses say what enter does in `submit`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "close", id="path.close", tooltip="Back to the walk"),
    ]
    AUTO_FOCUS = "#path"

    def __init__(self, explorer: Explorer, title: str, note: str, path: str) -> None:
        super().__init__(explorer)
        self._title, self._note, self._path = title, note, path

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = Content(f"enter go on   {key_of(self.app, 'path.close')} close")
            yield WrappedText(id="note", classes="note")
            yield TypedLine(self._path, id="path", compact=True, select_on_focus=False)
            yield WrappedText(id="problem", classes="problem")

    def on_mount(self) -> None:
        self.query_one("#note", WrappedText).show_text(self._note)

    @on(Input.Changed, "#path")
    def _path_changed(self) -> None:
        self.show_problem("")  # it was about another path

    @on(Input.Submitted, "#path")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            return
        try:
            path = Path(event.value.strip()).expanduser()
            path.exists()
        except (OSError, RuntimeError, ValueError) as error:  # no such user's home, a name too long
            self.show_problem(f"That path does not work: {error}")
            return
        self.submit(path)

    def submit(self, path: Path) -> None:
        """Enter on a path that can be looked at."""
        raise NotImplementedError

    def show_problem(self, text: str) -> None:
        """A message below the path."""
        self.query_one("#problem", WrappedText).show_text(visible(text))

    def working(self, text: str) -> None:
        """Say what was asked for with the path, which cannot be changed until it is done or `failed`."""
        self.query_one(TypedLine).hold()
        for kind in self.queries.open_kinds:
            self.wait_for(kind, lambda far: self.show_problem(f"{text} {far}".strip()))

    def failed(self, error: BaseException) -> None:
        """Show an error; the dialog stays open."""
        self.show_problem(" ".join(explain_error(error)).strip())
        self.query_one(TypedLine).give_back()

    def action_give_up(self) -> None:
        self.dismiss(None)


class FileDialog(PathDialog[R]):
    """A path to write to: asks again before it replaces a file. Subclasses write in `write`."""

    def __init__(self, explorer: Explorer, title: str, note: str, path: str) -> None:
        super().__init__(explorer, title, note, path)
        self._replace: Path | None = None

    @on(Input.Changed, "#path")
    def _typed(self) -> None:
        self._replace = None

    def submit(self, path: Path) -> None:
        if path.exists() and path != self._replace:
            self._replace = path
            self.show_problem("That file exists. Press enter again to replace it, or type another name.")
            return
        self.write(path, path == self._replace)
        self.working("Writing…")

    def write(self, path: Path, overwrite: bool) -> None:
        """Ask for the file to be written."""
        raise NotImplementedError


class WriteDialog(FileDialog[str]):
    """Writes a file, as subclasses do in `write_file`; returns a sentence saying what was written where."""

    def write(self, path: Path, overwrite: bool) -> None:
        self.queries.ask("export", lambda: self.write_file(path, overwrite), self._written, self.failed)

    def write_file(self, path: Path, overwrite: bool) -> str:
        """Write it, off the event loop; the path, visible, and what else is to be said."""
        raise NotImplementedError

    def _written(self, where: str) -> None:
        self.dismiss("Written: " + fit_middle(where, self.app.size.width - 10))
