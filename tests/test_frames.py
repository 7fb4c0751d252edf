"""How many frames of this package lie between a key and a formula.

A question hops from thread to thread and from message to message; each hop remembers where it was made, and
the count goes on there. Textual's and the standard library's frames are not counted, nor comprehensions.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from textual.message_pump import MessagePump

import tui_lookups
from tests.tui.driving import until
from tui_lookups.analysis import congruence
from tui_lookups.explorer import Explorer
from tui_lookups.model_thread import ModelThread
from tui_lookups.settings import load_settings
from tui_lookups.tui.app import LookupsApp

PACKAGE = str(Path(tui_lookups.__file__).parent)
AT_MOST = 14
ON_THE_MODEL = 4
"""More where the model is loaded already: the model thread is asked, and the weights are on it."""
_UNNAMED = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")


class Way:
    """Frames of the package from the key to where it is asked, innermost first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._made: dict[int, tuple[object, list[str]]] = {}  # by hop, which is kept: ids are used again
        start, submit, post = threading.Thread.start, ModelThread.submit, MessagePump.post_message

        def starting(thread: threading.Thread) -> None:
            self._hop(thread)
            start(thread)

        def submitting(thread: ModelThread, work: Any, *more: Any) -> Any:
            self._hop(work)
            return submit(thread, work, *more)

        def posting(pump: MessagePump, message: Any) -> bool:
            self._hop(message)
            return post(pump, message)

        monkeypatch.setattr(threading.Thread, "start", starting)
        monkeypatch.setattr(ModelThread, "submit", submitting)
        monkeypatch.setattr(MessagePump, "post_message", posting)

    def _hop(self, made: object) -> None:
        self._made[id(made)] = (made, self.frames(sys._getframe(2)))

    def frames(self, frame: FrameType | None) -> list[str]:
        """Those from `frame` outwards, through every hop."""
        found: list[str] = []
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(PACKAGE) and code.co_name not in _UNNAMED:
                found.append(f"{code.co_filename.removeprefix(PACKAGE)[1:]} {code.co_qualname}")
            hop = {
                "_dispatch_message": frame.f_locals.get("message"),
                "_bootstrap_inner": frame.f_locals.get("self"),
                "_run_job": getattr(frame.f_locals.get("job"), "work", None),
            }.get(code.co_name)
            if id(hop) in self._made and self._made[id(hop)][0] is hop:
                return found + self._made[id(hop)][1]
            frame = frame.f_back
        return found


async def test_few_frames_lie_between_a_key_and_the_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, max_documents=12, device="cpu", threads=1))
    monkeypatch.setattr(LookupsApp, "begin_loading", lambda app: None)
    monkeypatch.setattr(LookupsApp, "on_walk_screen_first_answer", lambda app: None)
    app = LookupsApp(explorer, theme="lookups-dark")
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            walk = app.walk_screen.walk
            await until(lambda: walk.ranking is not None, pilot)
            way, rank, found = Way(monkeypatch), congruence.rank_neurons, []

            def ranking(*given: Any, **named: Any) -> Any:
                found.append(way.frames(sys._getframe(1)))
                return rank(*given, **named)

            monkeypatch.setattr(congruence, "rank_neurons", ranking)
            await pilot.press("t", "space", *"time", "enter")
            await until(lambda: found, pilot)
            monkeypatch.undo()
    finally:
        explorer.close()
    print(*reversed(found[0]), sep="\n")
    on_the_model = any(frame.startswith("model_thread.py") for frame in found[0])
    assert len(found[0]) <= AT_MOST + ON_THE_MODEL * on_the_model, "\n".join(found[0])
