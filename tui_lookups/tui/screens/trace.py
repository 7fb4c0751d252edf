"""A trace: a token's logit, or what fires a neuron, opened node by node (method.md, section 9).

1. The root is opened first. Enter opens a node: it becomes the sum of its parts, which stand below it.
2. Nodes are opened one question each, none waiting for another; what has been opened stays known.
3. Another key goes on with the neuron or head under the cursor, on the text up to where it is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from tui_lookups.ids import HeadId, NeuronId, parse_component
from tui_lookups.results.trace import ROOT
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.given_text import given_up_to
from tui_lookups.tui.state.left_screens import Door
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.state.trace_tree import TraceTree
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.trace import node_name, row_words, trace_sum, trace_title
from tui_lookups.tui.text.waiting import wait_words
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.tui.widgets.trace_rows import TraceRows
from tui_lookups.tui.widgets.trace_text import TraceText
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Trace, TraceNode
    from tui_lookups.tui.state.left_screens import TracePlace
    from tui_lookups.tui.state.trace_tree import TraceRow

_LEVELS = 3
"""How far the key opens that opens several levels at once."""
_TOLD = 8
"""Parts of a node that are told apart at first."""
_TOLD_OF_ROOT = ((70, 32), (40, 16), (0, _TOLD))
"""Of the root, on a screen of at least so many lines: it stands alone at first."""
_WITH_TEXT = 240
"""Cells from which the text stands beside the tree."""


class TraceScreen(QueryScreen[Door]):
    """Returns the neuron or head that was gone on with, None on escape; `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "deeper", "deeper", id="trace.deeper", tooltip="Open a node three levels deep"),
        Binding("plus", "more", "more parts", id="trace.more", tooltip="Tell twice as many parts apart",
                key_display="+"),
        Binding("x", "export", "export", id="trace.export", tooltip="Write it: a web page, JSON or a graph"),
        *COPY_AS_KEYS,
        Binding("escape,q", "close", "back", id="trace.close", tooltip="Stop opening nodes, or go back"),
    ]  # fmt: skip
    AUTO_FOCUS = "#trace"

    def __init__(self, explorer: Explorer, place: TracePlace) -> None:
        super().__init__(explorer)
        self.place = place
        self.found: TraceTree | None = place.tree
        self._opening: dict[str, str] = {}
        """The names of nodes that are being opened, by the kind of the question."""
        self._far = ""

    def compose(self) -> ComposeResult:
        yield TextLines(id="trace-title", classes="title")
        yield PackedText(id="trace-sum", bold_first=True)
        with Horizontal(id="trace-body"):
            yield TraceRows(id="trace")
            yield TraceText(id="trace-text")
        yield PackedText(id="trace-node")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._title("Trace")
        self._arrange()
        if self.found is None:
            told = next(parts for least, parts in _TOLD_OF_ROOT if self.app.size.height >= least)
            self.queries.ask("root", self._question(ROOT, 1, told), self._began, self._failed)
            self.wait_for("root", self._wait)
        else:
            self._show(self._rows_of(self.place.cursor))
            self._open_wanted()

    def _wait(self, far: str) -> None:
        doing = "Running the text, and opening\nwhat it comes from…"
        self._rows.show_empty(wait_words(doing, far, key_of(self.app, "trace.close")))

    # --- questions ---

    def _question(self, node: str, depth: int, told: int = _TOLD) -> Callable[[], Trace]:
        return partial(
            self.explorer.trace, self.place.text, **self.place.asked, node=node, depth=depth, width=told
        )

    def _began(self, answer: Trace) -> None:
        self.found = TraceTree.of(answer)
        self._show(0)
        self._open_wanted()

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self._rows.show_empty(visible(message) + "\n" + visible(hint))

    def _open_wanted(self) -> None:
        """Open the node that this was opened for, and put the cursor on it."""
        name = self.place.wanted
        if name is None or self.found is None:
            return
        if name in self.found.told:
            self.found = self.found.opened(name)
            self._show(self._rows_of(name))
        else:
            self._ask(name, 1, go_there=True)

    def _ask(self, name: str, depth: int, told: int = _TOLD, *, go_there: bool = False) -> None:
        """Ask for the parts of a node, unless that is under way; `go_there`: then put the cursor on it."""
        kind = f"open {name}"
        if self.queries.waiting(kind):
            return

        def done(answer: Trace) -> None:
            self._opening.pop(kind, None)
            assert self.found is not None
            self.found = self.found.grown(answer).opened(name)
            self._show(self._rows_of(name) if go_there else None)

        def failed(error: BaseException) -> None:
            self._opening.pop(kind, None)
            self._show(None)
            self.show_message(" ".join(explain_error(error)))

        self._opening[kind] = name
        self.queries.ask(kind, self._question(name, depth, told), done, failed)
        self.wait_for(kind, self._show_opening)

    # --- showing ---

    @property
    def _rows(self) -> TraceRows:
        return self.query_one(TraceRows)

    def _rows_of(self, name: str | None) -> int:
        """The row of a node in the tree as it is now."""
        rows = () if self.found is None else self.found.rows
        return next((n for n, row in enumerate(rows) if row.node.id == name), 0)

    def _title(self, text: str) -> None:
        self.query_one("#trace-title", TextLines).show_words(text)

    def _show(self, cursor: int | None) -> None:
        """Show the tree as it is; without a place the cursor stays on its node."""
        if self.found is None:
            return
        self._title(trace_title(self.found, self.app.size.width))
        self.query_one("#trace-sum", PackedText).show_parts(trace_sum(self.found))
        self._rows.show_tree(self.found, cursor)
        self._show_node()

    @on(TraceRows.Moved)
    def _show_node(self) -> None:
        """What is under the cursor in full, or that it is being opened."""
        rows, tree = self._rows, self.found
        rows.show_waiting(frozenset(self._opening.values()))
        row = rows.current
        if row is None or tree is None:
            return
        words = row_words(row, tree, key_of(self.app, "trace.open"))
        if self._opening:
            opening = ", ".join(name.rpartition("/")[2] for name in self._opening.values())
            stop = key_of(self.app, "trace.close")
            words = (wait_words(f"Opening {opening}…", self._far, stop, "  "), *words)
        self.query_one("#trace-node", PackedText).show_parts(words)
        self.query_one(TraceText).show_row(tree, row)

    def _show_opening(self, far: str) -> None:
        self._far = far
        self._show_node()

    def _arrange(self) -> None:
        self.set_class(self.app.size.width >= _WITH_TEXT, "-with-text")

    def on_resize(self) -> None:
        self._arrange()
        if self.found is not None:
            self._title(trace_title(self.found, self.app.size.width))

    # --- opening and closing ---

    @on(TraceRows.Asked)
    def _asked(self, event: TraceRows.Asked) -> None:
        {"open": self._open, "close": self._shut, "go on": self._go_on}[event.what](event.row)

    def _open(self, row: TraceRow) -> None:
        assert self.found is not None
        if row.rest is not None:
            self.show_message(f"{key_of(self.app, 'trace.more')} tells more of them apart.")
        elif not row.node.openable:
            self.show_message("It has no parts: the trace ends here.")
        elif row.node.id in self.found.told:
            self.found = self.found.opened(row.node.id)
            self._show(None)
        else:
            self._ask(row.node.id, 1)

    def _shut(self, row: TraceRow) -> None:
        assert self.found is not None
        self.found = self.found.shut(row.node.id)
        self._show(None)

    def action_deeper(self) -> None:
        """Open the node under the cursor, its parts and theirs."""
        row = self._rows.current
        if row is None or row.rest is not None or not row.node.openable:
            self.show_message("Put the cursor on a node that has parts.")
            return
        self._ask(row.node.id, _LEVELS)

    def action_more(self) -> None:
        """Tell twice as many parts of the node under the cursor apart; on a part without any, of its node."""
        row, tree = self._rows.current, self.found
        if row is None or tree is None:
            return
        node = row.node if row.rest is not None or row.node.id in tree.told else row.above
        rest = None if node is None else tree.rest(node)
        if node is None or rest is None or not rest.parts:
            self.show_message("All parts are told apart.")
            return
        self._ask(node.id, 1, 2 * len(tree.told[node.id]))

    # --- going on ---

    def _go_on(self, row: TraceRow) -> None:
        door = self._door(row) if row.rest is None else None
        if door is not None:
            self.dismiss(door)
        elif row.rest is None and row.node.kind in ("head", "source"):
            self.show_message(f"No neuron reads {node_name(row.node)} there: its pane is about one.")
        else:
            self.show_message("Only a neuron or a head can be gone on with.")

    def _door(self, row: TraceRow) -> Door | None:
        tree, node = self.found, row.node
        assert tree is not None
        root = tree.first.root
        if node.kind == "source":
            node = tree.known[node.parent or ROOT]
        neuron, head = self._neuron(node), None
        if node.kind == "head":
            parsed = parse_component(node.component)
            assert isinstance(parsed, HeadId)
            neuron, head = self._reader(node, parsed), parsed
            if neuron is not None and neuron == root.neuron:
                return Door(neuron, head, None)
        if neuron is None:
            return None
        text = given_up_to(tree.first.tokens, node.position, tree.first.provenance.model)
        return Door(neuron, head, text, root.token)

    def _neuron(self, node: TraceNode) -> NeuronId | None:
        """The neuron that a node is."""
        if node.parent is None and self.found is not None:
            return self.found.first.root.neuron
        return NeuronId.parse(node.component) if node.kind == "neuron" else None

    def _reader(self, node: TraceNode, head: HeadId) -> NeuronId | None:
        """The neuron that reads a head: the node above; of a token the largest known one that it reaches."""
        tree = self.found
        assert tree is not None
        above = tree.known[node.parent or ROOT]
        if above.parent is not None or tree.first.root.neuron is not None:
            return self._neuron(above)
        reaches = tree.first.provenance.model.last_head_layer
        neurons = (self._neuron(part) for part in tree.parts(above.id))
        return next((each for each in neurons if each and reaches(each.layer) >= head.layer), None)

    # --- copying and writing ---

    def _here(self) -> TracePlace:
        row = self._rows.current
        cursor = None if row is None else row.node.id
        return replace(self.place, wanted=None, tree=self.found, cursor=cursor)

    def action_copy_as(self, what: str) -> None:
        from tui_lookups.tui.text.continuing import continued_trace

        text = continued_trace(what, self._here(), self.explorer.settings)
        if text:
            self.app.copy_to_clipboard(text)
        else:
            self.show_message("Nothing here that could be asked so.")

    def action_export(self) -> None:
        tree = self.found
        if tree is None:
            self.show_message("Nothing to write yet.")
            return
        from tui_lookups.tui.screens.trace_export import TraceExportScreen

        def written(said: str | None) -> None:
            if said:
                self.show_message(said)

        trace = self._question(ROOT, tree.depth, tree.width)
        graph = partial(self.explorer.trace_graph, self.place.text, **self.place.asked)
        self.app.push_screen(TraceExportScreen(self.explorer, trace, graph, tree), written)

    # --- leaving ---

    def dismiss(self, result: Door | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            self.place = self._here()
        return super().dismiss(result)

    def action_close(self) -> None:
        if not self._opening:
            self.dismiss(None)
            return
        self.queries.cancel(*self._opening)
        self._opening.clear()
        self._show_node()
        self.show_message("Stopped: what was open stays.")
