"""The keys of the list of prompts."""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding

from tui_lookups.tui.widgets.bindings import SORT_KEY, hidden

PROMPT_KEYS: tuple[Binding, ...] = (
    Binding("enter", "open", "heads", id="prompts.open", tooltip="The heads behind this prompt's peak"),
    Binding("down,j", "prompt(1)", "prompt", id="prompts.next", key_display="↑↓", tooltip="The next prompt"),
    hidden("up,k,p", "prompt(-1)", "back", "prompts.previous", "The prompt before"),
    Binding(
        "right,l", "token(1)", "token", id="prompts.token-right", key_display="←→", tooltip="The next token"
    ),
    hidden("left,h", "token(-1)", "token ←", "prompts.token-left", "The token before"),
    Binding("m", "peak", "to peak", id="prompts.peak", tooltip="The token cursor back to the peak"),
    Binding("slash", "find", "find", id="prompts.find", tooltip="Find text in the prompts"),
    hidden(
        "n",
        "match(1)",
        "next match",
        "prompts.match",
        "The next place the text is found; else the next prompt",
    ),
    hidden("N", "match(-1)", "match back", "prompts.match-back", "The place before; else the prompt before"),
    Binding("z", "more", "more text", id="prompts.more", tooltip="Closed prompts: one or four lines"),
    Binding(
        "K",
        "kind",
        "kind",
        id="prompts.kind",
        tooltip="The highest prompts, random ones, or one of each decile",
    ),
    replace(SORT_KEY, tooltip="Prompts by their peak, the longest first, or as they stand in the corpus"),
    hidden("pagedown", "prompt(10)", "+10", "prompts.page-down", "Ten prompts on"),
    hidden("pageup", "prompt(-10)", "-10", "prompts.page-up", "Ten prompts back"),
    hidden("home", "edge(0)", "first", "prompts.first", "The first prompt"),
    hidden("end", "edge(-1)", "last", "prompts.last", "The last prompt"),
)
