"""Command lines nobody meant: every command with hostile arguments, against a real Explorer.

Exit status 0, 1 or 2, one sentence and one hint where it failed; never a traceback, never "internal error".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.scene import Scene
from tests.faults.tally import Row, tried
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.explorer import Explorer

ODD = [
    "",
    " ",
    "the",
    " the",
    "#5",
    "#-1",
    "#99999999999999999999",
    "#" + "9" * 5000,
    "#٣",
    "L1.N3",
    "1.3",
    "(1, 3)",
    "L99.N0",
    "L0.H1",
    "0.1",
    "L0.N999999999",
    "L" * 5000,
    "9" * 5000,
    "-1",
    "0",
    "1e9",
    "nan",
    "inf",
    "-inf",
    "1.5",
    "--",
    "-",
    "---",
    "=",
    "--=",
    "a\nb",
    "a\tb",
    "\x1b[31m",
    "\x00",
    "\udc80",
    "\ud800",
    "💥",
    "\u202e",
    "%s%n",
    "{0.__class__}",
    "[/bold]",
    "~",
    "~nobody/x",
    "..",
    "../../x",
    "/",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "/proc/1/environ",
    "x" * 300,
    "a/" * 200,
    "$HOME",
    "http://[",
    "http://127.0.0.1:9",
    "hub:",
    "hub:../x",
    "9-",
    "-9",
    "3-1",
    "0,,1",
    "0-999999999",
    "cuda:99",
    "true",
    "None",
    "[]",
    "{}",
    "'",
    '"',
    "\\",
    "@x",
    "top",
]
values = st.one_of(st.sampled_from(ODD), st.text(max_size=30), st.integers().map(str), st.floats().map(str))


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = sorted(commands(cli.app), key=lambda pair: pair[0])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command, most of its arguments, some of its options and the common ones, in any order of options."""
    path, command = draw(st.sampled_from(COMMANDS))
    options: list[str] = []
    positional: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            positional += draw(st.lists(values, max_size=3)) if parameter.nargs < 0 else [draw(values)]
        elif isinstance(parameter, click.Option):
            wanted = 0.8 if parameter.required else 0.25
            if draw(st.floats(0, 1)) < wanted:
                options.append(draw(st.sampled_from([*parameter.opts, *parameter.secondary_opts])))
                if not parameter.is_flag:
                    options.append(draw(values))
    if draw(st.integers(0, 9)) == 0:
        positional += draw(st.lists(values, max_size=2))
    guarded = ["--", *positional] if draw(st.booleans()) else positional
    return [*path, *options, *guarded]


@pytest.fixture
def shared(
    scene: Scene, tmp_path: Path, once_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Explorer]:
    """One Explorer for all command lines; files they write land in a folder of their own."""
    explorer = scene.explorer(scene.copied(tmp_path / "cache"))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("LOOKUPS_CONFIG", str(home / "config.toml"))
    (home / "config.toml").write_text("")
    monkeypatch.setenv("LOOKUPS_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("LOOKUPS_OFFLINE", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(Explorer, "close", lambda self: None)
    monkeypatch.setattr(invocation, "open_explorer", lambda given: explorer)
    yield explorer
    monkeypatch.undo()
    explorer.close()


def check(arguments: list[str], capture: pytest.CaptureFixture[str]) -> None:
    capture.readouterr()
    status = invocation.run(cli.app, arguments)
    out, err = capture.readouterr()
    assert status in (0, 1, 2), (status, err)
    assert "internal error" not in err, err
    if "--debug" not in arguments:
        assert "Traceback" not in out + err
    if status == 1:
        lines = err.splitlines()
        assert sum(line.startswith("Error: ") for line in lines) == 1, err
        assert sum(line.startswith("Hint: ") for line in lines) == 1, err


def fuzz(examples: int, capture: pytest.CaptureFixture[str]) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(command_lines())
    def every(arguments: list[str]) -> None:
        with tried(Row.ARGUMENTS):
            check(arguments, capture)

    every()


def test_command_lines(shared: Explorer, capfd: pytest.CaptureFixture[str]) -> None:
    fuzz(120, capfd)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_command_lines_long(shared: Explorer, capfd: pytest.CaptureFixture[str]) -> None:
    fuzz(5000, capfd)


@pytest.mark.parametrize("value", ODD)
def test_odd_tokens_and_names(shared: Explorer, capfd: pytest.CaptureFixture[str], value: str) -> None:
    for arguments in (["neurons", "--", value], ["tokens", "--", value], ["heads", "--", value]):
        with tried(Row.ARGUMENTS):
            check(arguments, capfd)
