"""No text names a key that is not in force."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tui_lookups.tui
from tests.tui.canned import CannedExplorer
from tests.tui.driving import press, rest, settle, type_text
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.options import Options

OWN = {
    "walk.token": "f5", "walk.back": "f6", "walk.tour": "f7", "walk.filter": "u", "walk.before": "G",
    "walk.heads": "J", "walk.mark": "_", "neurons.open": "f8", "neurons.layer": "$", "neurons.own": "Q",
    "prompts.open": "f8", "prompts.find": "=", "prompts.match": ";", "prompts.match-back": "U",
    "heads.open": "f8", "heads.all": "$", "detail.open": "f8", "explained.open": "f8",
    "explained.search": "=", "head.ablate": "&", "head.explain": "f9",
    "head.write": "(", "head.score": "r", "head.all_heads": "H", "app.export": "^", "app.help": "`",
    "app.basket": ")", "ablation.method": "$", "ablation.positions": "Q", "ablation.close": "f6",
    "basket.open": "f8", "basket.remove": ";", "basket.export": "^", "basket.close": "f6",
    "explained.close": "f6",
    "explained.scope": "Q", "help.close": "f6", "path.close": "f6", "write.close": "f6", "send.send": "f8",
    "send.close": "f6", "all-heads.explain": "f9", "all-heads.score": "r", "all-heads.stop": "$",
    "all-heads.close": "f6", "all-heads.open": "f8",
    "walk.why": "f12", "why.close": "f6", "why.ask": "f8", "why.remove": "&", "inputs.close": "f6",
    "walk.trace": "f3", "trace.close": "f6", "trace.open": "f8", "trace.more": "U", "trace.export": "^",
    "inputs.all": "$", "components.open": "f8",
    "playground.close": "f6", "playground.heads": "f8", "atlas.close": "f6", "token.enter": "f8",
    "app.undo": "~", "app.tasks": "'", "token.leave": "f6",
    "walk.shared-heads": "|", "line.enter": "f8", "line.leave": "f6", "app.plain": "f4",
}  # fmt: skip
_VERBS = (
    "next|before|ends|explains|exports|lists|asks|writes|shows|stops|scores|goes|leaves|layer|own|text|method"
    "|positions|remove|export|close|closes|another|type|opens|marks|on a"
)
_BEFORE = r"(?<![\w.'’])"
_LETTER = rf"{_BEFORE}[a-zA-Z?/\[](?=: (?:another|type|one))|{_BEFORE}[b-zA-Z?/\[](?= (?:{_VERBS})\b)"
OLD = re.compile(rf"\b(?:[Ee]nter|[Ee]sc|[Ee]scape)\b|{_LETTER}")
"""A key in a sentence."""
STAYS = re.compile(r"enter (?:go on|keep)\b|p before")
"""Enter in a line that is typed on stays what it is; a probability is no key."""


def on_screen(app: LookupsApp) -> str:
    """All that is painted."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def check(app: LookupsApp, *keys: str) -> None:
    text = on_screen(app)
    assert not set(OLD.findall(STAYS.sub("", text))) - set(OWN.values()), text
    for key in keys:
        assert key in text, f"{key}\n{text}"


async def test_keys_of_ones_own_are_the_ones_that_every_text_names(tmp_path: Path) -> None:
    app = LookupsApp(CannedExplorer(hostile=False), options=Options(keys=OWN))
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        for following in ("f5: another", "f7 next", "f6 leaves", "f8 opens it", "f9 explains the head"):
            await press(pilot, "f7")
            await rest(pilot)
            await check(app, following)
        await press(pilot, "f7", "1", "u")
        await type_text(pilot, "nothing like it")
        await check(app, "f6 ends the filter", "f5, then its name")
        await press(pilot, "f6", "2", "equals_sign")
        await type_text(pilot, "road")
        await press(pilot, "f8")
        await check(app, "; next, U before, f6 ends it")
        await press(pilot, "f6", "3", "dollar_sign", "4")
        await check(app)
        await press(pilot, "3", "dollar_sign", "ampersand")
        await check(app, "$ method   Q positions   space mark   f6 close")
        await press(pilot, "f6", "left_parenthesis")
        await check(app, "enter keep   f6 close")
        await press(pilot, "f6", "f9")
        await check(app, "f8 send   f6 close")
        await press(pilot, "f6", "H")
        await check(app, "f9 explains them all, r scores them all")
        await press(pilot, "dollar_sign")
        await check(app)
        await press(pilot, "f6" if app.screen is not app.walk_screen else "f7")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("underscore", "right_parenthesis"), "n note   ; remove   u undo   ^ export   f6 close"),
        (("underscore", "circumflex_accent"), "enter go on   f6 close"),
        (("grave_accent",), "f6 closes"),
        (("i",), "f9 on a head asks for words, ( writes your own"),
        (("i", "Q"), "Q shows everything explained so far"),
        (("P", "f8"), "f8 shows the heads"),
        (("A",), "f6 back"),
        (("f12", "ampersand", "down"), "& removes the one under the cursor"),
        (("I", "Z"), "f6 back"),
        (("f3", "down"), "f8 opens it"),
        (("R",), ""),
        (("f5", "t", "i", "m", "e"), "f8"),
    ],
)
async def test_so_do_dialogs_and_screens(keys: tuple[str, ...], said: str) -> None:
    app = LookupsApp(CannedExplorer(hostile=False), options=Options(keys=OWN))
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        await press(pilot, *keys)
        await check(app, said)


async def test_nor_while_there_is_nothing_to_show() -> None:
    app = LookupsApp(CannedExplorer(), token=" nothing like it", options=Options(keys=OWN))
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        await press(pilot, "f6")
        await check(
            app,
            "f5: type a token",
            "Press f5 and type a token",
            "f8 on a neuron",
            "f8 on a prompt",
            "f8 on a head",
        )
        await press(pilot, "H")
        await check(app, "Open a neuron first (f8)")
        await press(pilot, "f9")
        await check(app, "then a head (3)")


async def test_a_key_of_what_is_not_open_can_be_named_too() -> None:
    app = LookupsApp(CannedExplorer(), options=Options(keys={"playground.pin": "f9"}))
    async with app.run_test(size=(80, 24)):
        assert app.key_of("playground.heads") == "enter"
        assert app.key_of("playground.pin") == "f9"
        with pytest.raises(KeyError):
            app.key_of("playground.nothing")


# --- in the sources ---

_KEY_WORDS = re.compile(r"\b(?:enter|escape|esc|[Pp]ress [a-zA-Z?/])\b")
_MAY = {
    "keymap.py": "names keys in errors about keys",
    "path_dialog.py": "enter in a line that is typed on",
    "write.py": "enter in a line that is typed on",
    "one_line.py": "enter in a line that is typed on",
    "load_problem.py": "enter in a line that is typed on",
    "export.py": "enter in a line that is typed on",
}


def _sentences(source: str) -> list[str]:
    """The strings of a module that hold a space: no docstring, no argument of a Binding."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Binding":
            skipped |= {id(argument) for argument in node.args[:2]}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped
        and " " in node.value
    ]  # fmt: skip


def test_no_sentence_in_the_sources_names_a_key() -> None:
    folder = Path(tui_lookups.tui.__file__).parent
    found = {
        f"{path.name}: {text}"
        for path in folder.rglob("*.py")
        if path.name not in _MAY
        for text in _sentences(path.read_text("utf-8"))
        if _KEY_WORDS.search(text)
    }
    assert not found
