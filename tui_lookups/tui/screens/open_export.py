"""Opening an export again: what it holds is added to the basket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.reopened import Reopened, reopened
from tui_lookups.tui.screens.path_dialog import PathDialog

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.tui.explorer_protocol import ExplorerLike


class OpenExportScreen(PathDialog[Reopened]):
    """Returns what the document marks on the model and corpus that are open."""

    def __init__(self, explorer: ExplorerLike) -> None:
        super().__init__(explorer, "Open an export", "Mark what this export holds", "lookups-export-")

    def submit(self, path: Path) -> None:
        self.working("Reading…")

        def done(found: Reopened) -> None:
            self.dismiss(found)

        def question() -> Reopened:
            return reopened(
                self.explorer.open_export(path), self.explorer.model_info(), self.explorer.corpus_info()
            )

        self.queries.ask("open", question, done, self.failed)
