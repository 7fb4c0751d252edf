"""The texts and the wrapped lines of prompts, kept for those that were on screen lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.paint import prompt_lines
from tui_lookups.tui.paint.text_layout import Span, wrap_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.results import Prompt
    from tui_lookups.tui.paint.text_layout import Line

_KEPT = 64


class PromptLayouts:
    """Caches by prompt and width; a prompt is laid out when it is painted, never before."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, int], tuple[Line, ...]] = {}
        self._texts: dict[int, tuple[str, ...]] = {}

    def forget(self) -> None:
        """The prompts are others, or the width is."""
        self._lines.clear()
        self._texts.clear()

    def texts(self, prompt: Prompt) -> tuple[str, ...]:
        """The tokens as they are painted."""
        texts = self._texts.get(prompt.prompt_id)
        if texts is None:
            if len(self._texts) > _KEPT:
                self._texts.clear()
            texts = self._texts[prompt.prompt_id] = prompt_lines.texts_of(prompt)
        return texts

    def lines(self, prompt: Prompt, width: int) -> tuple[Line, ...]:
        """The text in lines of at most `width` cells and the divider."""
        key = (prompt.prompt_id, width)
        lines = self._lines.get(key)
        if lines is None:
            if len(self._lines) > _KEPT:
                self._lines.clear()
            wrapped = wrap_tokens(list(self.texts(prompt)), width)
            lines = self._lines[key] = tuple(_with_divider(line, prompt) for line in wrapped)
        return lines


def _with_divider(line: Line, prompt: Prompt) -> Line:
    """The line with a divider after the last piece of the peak, if that is on it."""
    last = max((i for i, span in enumerate(line) if span.token == prompt.peak.position), default=None)
    if last is None:
        return line
    divider = Span(-1, prompt_lines.DIVIDER, 1)
    return (*line[: last + 1], divider, *line[last + 1 :])


def scrolled_to(top: int, height: int, prompt: range, token: Sequence[int]) -> int:
    """The line at the top of `height` lines that shows a token, scrolled as little from `top` as does.

    Args:
        prompt: the lines of the open prompt, its heading the first: that is shown, too, where both fit.
        token: the lines of the token.
    """
    if len(prompt) <= height:
        return min(max(top, prompt.stop - height), prompt.start)
    wanted = top if top <= prompt.start else min(top, token[0])
    wanted = max(wanted, token[-1] - height + 1)
    return prompt.start if token[-1] - prompt.start < height and wanted > prompt.start else wanted
