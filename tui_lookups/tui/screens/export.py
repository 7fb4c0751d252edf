"""Writing the basket as one JSON document: asks where to, and before it replaces a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len

from tui_lookups.errors import ExportError
from tui_lookups.tui.paint.text_layout import fit_middle
from tui_lookups.tui.screens.path_dialog import FileDialog
from tui_lookups.visible import SPACE, visible

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Selection


def default_name(subject: str) -> str:
    """A file name for an export about `subject`, with nothing in it a shell or file system minds."""
    bare = re.sub(r"[^\w.-]+", "-", subject.replace(SPACE, " ").strip()).strip("-.")
    return f"lookups-export-{bare[:40] or 'selection'}.json"


class ExportScreen(FileDialog[str]):
    """Returns a sentence saying where the export went."""

    def __init__(self, explorer: Explorer, selection: Selection, name: str) -> None:
        count = len(selection)
        super().__init__(
            explorer, "Export", f"Write {count} marked thing{'s' * (count > 1)} as JSON to", name
        )
        self._selection = selection
        self.written: Path | None = None
        """Where it went."""

    def submit(self, path: Path) -> None:
        from tui_lookups.exports import writing

        try:
            writing.check_name(path)
        except ExportError as error:
            self.show_problem(str(error))
            return
        super().submit(path)

    def write(self, path: Path, overwrite: bool) -> None:
        from tui_lookups.exports import writing

        selection = self._selection

        def done(written: Path) -> None:
            self.written = written
            said, path = "Exported to ", visible(str(written.absolute()))
            room = self.app.size.width - len(said) - 1  # on the bottom line
            self.dismiss(said + fit_middle(path, room, cell_len(visible(written.name)) + 1))

        def question() -> Path:
            return writing.export(self.explorer, selection, path, overwrite=overwrite)

        self.queries.ask("export", question, done, self.failed)
