"""Writing a trace: as a web page, as JSON, or its pruned graph for front ends, by the name of the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tui_lookups.tui.screens.path_dialog import WriteDialog
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Trace, TraceGraph
    from tui_lookups.tui.state.trace_tree import TraceTree

_GRAPH, _JSON, _PAGE = ".graph.json", ".json", ".html"


class TraceExportScreen(WriteDialog):
    """The trace of a screen, as a file."""

    def __init__(
        self,
        explorer: Explorer,
        trace: Callable[[], Trace],
        graph: Callable[[], TraceGraph],
        tree: TraceTree,
    ) -> None:
        """`trace` and `graph` ask for what is written, `tree` is how far it is open on screen."""
        note = (
            f"Write {tree.depth} levels from the root, the {tree.width} largest parts of each node, as a "
            f"page ({_PAGE}) or {_JSON}; or the pruned graph for front ends ({_GRAPH}) to"
        )
        super().__init__(explorer, "Export the trace", note, f"lookups-trace{_PAGE}")
        self._trace, self._graph = trace, graph

    def submit(self, path: Path) -> None:
        if not path.name.endswith((_PAGE, _JSON)):
            self.show_problem(f"Name a file that ends in {_PAGE}, {_JSON} or {_GRAPH}.")
            return
        super().submit(path)

    def write_file(self, path: Path, overwrite: bool) -> str:
        from tui_lookups.exports.graph_file import told_of, write_graph
        from tui_lookups.exports.trace_page import write_page
        from tui_lookups.exports.writing import check_free, write_bytes
        from tui_lookups.storage.codec import document

        check_free(path, overwrite)  # before minutes of work
        if path.name.endswith(_GRAPH):
            graph = self._graph()
            write_graph(graph, path, overwrite)
            return f"{visible(str(path.absolute()))}: {told_of(graph)}"
        if path.suffix == _PAGE:
            write_page(self._trace(), path, overwrite)
        else:
            data = json.dumps(document(self._trace()), allow_nan=False, indent=1)
            write_bytes(path, data.encode("ascii") + b"\n", overwrite)
        return visible(str(path.absolute()))
