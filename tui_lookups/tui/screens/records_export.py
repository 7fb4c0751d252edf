"""Writing an answer to a file: as JSON, or its list as rows, by the name of the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tui_lookups.exports.formats import ENDINGS
from tui_lookups.tui.screens.path_dialog import WriteDialog
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.screens.query_screen import QueryScreen

_FORMS = {f".{ending}": form for form, ending in ENDINGS.items()}
_JSON = ".json"


class RecordsScreen(WriteDialog):
    """An answer, as a file."""

    def __init__(self, explorer: Explorer, answer: object, name: str) -> None:
        note = f"Write the whole answer ({_JSON}), or the list as rows ({', '.join(_FORMS)}), to"
        super().__init__(explorer, "Export the list", note, f"{name}.csv")
        self._answer = answer

    @classmethod
    def open_over(
        cls, screen: QueryScreen[Any], explorer: Explorer, answer: object | None, name: str
    ) -> None:
        """Open it over a screen, which says what was written; where there is no answer, that."""
        if answer is None:
            screen.show_message("There is nothing to write yet.")
            return
        screen.app.push_screen(
            cls(explorer, answer, name), lambda said: screen.show_message(said) if said else None
        )

    def submit(self, path: Path) -> None:
        if path.suffix not in (_JSON, *_FORMS):
            self.show_problem(f"Name a file that ends in {_JSON}, {', '.join(_FORMS)}.")
            return
        super().submit(path)

    def write_file(self, path: Path, overwrite: bool) -> str:
        from tui_lookups.exports.tables import encode
        from tui_lookups.exports.writing import write_bytes
        from tui_lookups.storage.codec import document

        if path.suffix == _JSON:
            data = json.dumps(document(self._answer), allow_nan=False, indent=1).encode("ascii") + b"\n"
        else:
            data = encode(self._answer, _FORMS[path.suffix])
        write_bytes(path, data, overwrite)
        return visible(str(path.absolute()))
