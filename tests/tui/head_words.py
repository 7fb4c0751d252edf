"""What tests of explanations look at: the chosen head's words, an open dialog's, and what was asked."""

from __future__ import annotations

from tests.tui.canned import CannedExplorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.tui.widgets.paragraphs import Paragraphs

NEURON, HEAD = NeuronId(5, 371), HeadId(3, 2)


def panel(app: object) -> str:
    return app.walk_screen.query_one("#head-words", Paragraphs).text  # type: ignore[attr-defined, no-any-return]


def dialog(app: object) -> str:
    return app.screen.query_one(Paragraphs).text  # type: ignore[attr-defined, no-any-return]


def asked(explorer: CannedExplorer, what: str) -> list[object]:
    return [argument for name, argument in explorer.calls if name == what]
