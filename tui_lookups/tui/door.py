"""What the app needs of the explorer, as a protocol: the app works with whatever answers like it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    ExportDocument,
    FirstView,
    HeadAttributions,
    HeadOverview,
    NeuronPrompts,
    NeuronTokens,
    Selection,
    Sign,
    Status,
    Token,
    TokenMatch,
    TokenNeurons,
)

T = TypeVar("T")


class Cancellable(Protocol):
    """A question that was put."""

    def cancel(self) -> None:
        """Nobody waits any more: no callback is called afterwards."""


class Door(Protocol):
    """The part of `Explorer` the app uses. All but `status`, `start`, `ask` and `close` block."""

    def status(self) -> Status: ...

    def start(self) -> None: ...

    def ask(
        self,
        question: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
    ) -> Cancellable: ...

    def close(self) -> None: ...

    def resolve_token(self, text: str) -> TokenMatch: ...

    def complete_token(self, text: str, limit: int = 20) -> tuple[Token, ...]: ...

    def first_view(self) -> FirstView: ...

    def neurons(
        self,
        token: str | int,
        *,
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        sign: Sign | None = None,
        next_token_only: bool = False,
    ) -> TokenNeurons: ...

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens: ...

    def prompts(self, neuron: NeuronId, *, top: int = 20, wait: bool = True) -> NeuronPrompts: ...

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        sources: HeadId | None = None,
        trimmed: bool | None = None,
    ) -> HeadAttributions: ...

    def heads_overview(
        self, neuron: NeuronId, *, trimmed: bool | None = None, wait: bool = True
    ) -> HeadOverview: ...

    def export(self, selection: Selection, path: Path) -> Path: ...

    def open_export(self, path: Path) -> ExportDocument: ...
