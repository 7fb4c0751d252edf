"""Writing what a pane of the walk shows as a figure for a paper, as `--format svg` does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tui_lookups.tui.screens.path_dialog import WriteDialog
from tui_lookups.visible import SPACE, visible, visible_token

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.walk import Walk

_ENDING = ".svg"


def shown_in(pane: PaneName, walk: Walk) -> object | None:
    """The answer that a pane shows; None while there is none."""
    if pane == "neurons":
        return walk.ranking
    if pane == "prompts":
        return walk.prompts
    return walk.sources if pane == "detail" and walk.sources is not None else walk.shown_heads


def figure_name(pane: PaneName, walk: Walk) -> str:
    """A file name for a pane's figure, with nothing in it a shell or file system minds."""
    token = "" if walk.token is None else visible_token(walk.token.text).replace(SPACE, " ")
    about = token if pane == "neurons" else f"{walk.neuron} {walk.head}" if pane == "detail" else walk.neuron
    bare = re.sub(r"[^\w.-]+", "-", str(about)).strip("-.")
    return f"lookups-{pane}-{bare[:40]}".rstrip("-") + _ENDING


class FigureScreen(WriteDialog):
    """The figure of an answer, as an SVG file."""

    def __init__(self, explorer: Explorer, answer: object, name: str) -> None:
        super().__init__(
            explorer, "Write a figure", f"Write what the pane shows as a figure ({_ENDING}) to", name
        )
        self._answer = answer

    def submit(self, path: Path) -> None:
        if path.suffix != _ENDING:
            self.show_problem(f"Name a file that ends in {_ENDING}.")
            return
        super().submit(path)

    def write_file(self, path: Path, overwrite: bool) -> str:
        from tui_lookups.exports.figures import svg
        from tui_lookups.exports.writing import write_bytes

        write_bytes(path, svg(self._answer).encode("utf-8"), overwrite)
        return visible(str(path.absolute()))
