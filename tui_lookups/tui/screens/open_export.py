"""Opening an export again: what it holds is added to the basket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.results import Selection
from tui_lookups.tui.screens.path_dialog import PathDialog

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.results import ExportDocument
    from tui_lookups.tui.door import Door


class OpenExportScreen(PathDialog[Selection]):
    """Returns the selection of the document."""

    def __init__(self, door: Door) -> None:
        super().__init__(door, "Open an export", "Mark what this export holds", "lookups-export-")

    def submit(self, path: Path) -> None:
        self.working("Reading…")

        def done(document: ExportDocument) -> None:
            self.dismiss(document.selection())

        self.asks.ask("open", lambda: self.door.open_export(path), done, self.failed)
