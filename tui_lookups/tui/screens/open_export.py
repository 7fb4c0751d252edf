"""Opening an export again: what it holds is added to the basket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.reopened import Reopened, reopened
from tui_lookups.tui.screens.path_dialog import PathDialog

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.tui.door import Door


class OpenExportScreen(PathDialog[Reopened]):
    """Returns what the document marks on the model and corpus that are open."""

    def __init__(self, door: Door) -> None:
        super().__init__(door, "Open an export", "Mark what this export holds", "lookups-export-")

    def submit(self, path: Path) -> None:
        self.working("Reading…")

        def done(found: Reopened) -> None:
            self.dismiss(found)

        def question() -> Reopened:
            return reopened(self.door.open_export(path), self.door.model_info(), self.door.corpus_info())

        self.asks.ask("open", question, done, self.failed)
