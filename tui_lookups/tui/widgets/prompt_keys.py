"""The keys of the list of prompts."""

from __future__ import annotations

from textual.binding import Binding


def _hidden(key: str, action: str, words: str, name: str, tip: str) -> Binding:
    return Binding(key, action, words, id=f"prompts.{name}", tooltip=tip, show=False)


PROMPT_KEYS: tuple[Binding, ...] = (
    Binding("enter", "open", "heads", id="prompts.open", tooltip="The heads behind this prompt's peak"),
    Binding("down,j", "prompt(1)", "prompt", id="prompts.next", key_display="↑↓", tooltip="The next prompt"),
    _hidden("up,k,p", "prompt(-1)", "back", "previous", "The prompt before"),
    Binding(
        "right,l", "token(1)", "token", id="prompts.token-right", key_display="←→", tooltip="The next token"
    ),
    _hidden("left,h", "token(-1)", "token ←", "token-left", "The token before"),
    Binding("m", "peak", "to peak", id="prompts.peak", tooltip="The token cursor back to the peak"),
    Binding("slash", "find", "find", id="prompts.find", tooltip="Find text in the prompts"),
    _hidden("n", "match(1)", "next match", "match", "The next place the text is found; else the next prompt"),
    _hidden("N", "match(-1)", "match back", "match-back", "The place before; else the prompt before"),
    Binding("z", "more", "more text", id="prompts.more", tooltip="Closed prompts: one or four lines"),
    Binding(
        "K",
        "kind",
        "kind",
        id="prompts.kind",
        tooltip="The highest prompts, random ones, or one of each decile",
    ),
    _hidden("pagedown", "prompt(10)", "+10", "page-down", "Ten prompts on"),
    _hidden("pageup", "prompt(-10)", "-10", "page-up", "Ten prompts back"),
    _hidden("home", "edge(0)", "first", "first", "The first prompt"),
    _hidden("end", "edge(-1)", "last", "last", "The last prompt"),
)
