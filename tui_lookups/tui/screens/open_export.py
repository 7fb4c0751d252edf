"""Opening an export again: what it holds is added to the basket."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.tui.screens.path_dialog import PathDialog
from tui_lookups.tui.state.reopened import Reopened, reopened

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer


def newest_export() -> Path | None:
    """The newest export in the current folder, by the names that exports are given."""
    exports: list[tuple[float, Path]] = []
    with suppress(OSError):  # the folder is gone, or may not be looked at: then nothing is offered
        for path in Path().glob("lookups-export-*.json"):
            with suppress(OSError):  # it was taken away meanwhile
                exports.append((path.stat().st_mtime, path))
    return max(exports)[1] if exports else None


class OpenExportScreen(PathDialog[Reopened]):
    """Returns what the document marks on the model and corpus that are open."""

    def __init__(self, explorer: Explorer, path: str) -> None:
        """`path` is what the line begins with."""
        super().__init__(explorer, "Open an export", "Mark what this export holds", path)

    def submit(self, path: Path) -> None:
        def done(found: Reopened) -> None:
            self.dismiss(found)

        def question() -> Reopened:
            from tui_lookups.exports.reading import read_export

            return reopened(read_export(path), self.explorer.model_info(), self.explorer.corpus_info())

        self.queries.ask("open", question, done, self.failed)
        self.working("Reading…")
