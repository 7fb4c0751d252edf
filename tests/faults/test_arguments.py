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
from tui_lookups.corpus.readers import open_source
from tui_lookups.errors import CorpusError, ModelLoadError
from tui_lookups.explorer import Explorer
from tui_lookups.model.sources import find_model
from tui_lookups.storage.files import file_digest

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
    "L1.N5",
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
    "~no\x00body",
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


KNOWN = st.sampled_from(["the", "cat", "#5", "L1.N5", "L0.N0", "L2.N1", "L0.H1"])


def values_of(parameter: click.Parameter) -> st.SearchStrategy[str]:
    """What is given for a parameter: every other time what click lets through, to reach the command."""
    if isinstance(parameter.type, click.Choice):
        return st.sampled_from([*map(str, parameter.type.choices), "", "none"])
    if isinstance(parameter.type, click.types.IntParamType):
        return st.sampled_from(["1", "2", "3", "8", "999999999", "0", "-1", "9" * 5000, "x"])
    if isinstance(parameter.type, click.types.FloatParamType):
        return st.sampled_from(["0", "1e-5", "0.5", "1e400", "nan", "-1", "x"])
    return st.one_of(KNOWN, values) if isinstance(parameter, click.Argument) else values


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command, its arguments, and up to three options, the common ones among them."""
    path, command = draw(st.sampled_from(COMMANDS))
    positional: list[str] = []
    required, optional = [], []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            several = st.lists(values_of(parameter), min_size=1, max_size=3)
            positional += draw(several) if parameter.nargs < 0 else [draw(values_of(parameter))]
        elif isinstance(parameter, click.Option):
            (required if parameter.required else optional).append(parameter)
    options: list[str] = []
    for option in [*required, *draw(st.lists(st.sampled_from(optional), max_size=3, unique=True))]:
        options.append(draw(st.sampled_from([*option.opts, *option.secondary_opts])))
        if not option.is_flag:
            options.append(draw(values_of(option)))
    how = draw(st.integers(0, 19))
    if how == 0:
        positional += draw(st.lists(values, max_size=2))
    elif how == 1:
        del positional[:1], options[:1]
    guarded = ["--", *positional] if draw(st.integers(0, 3)) else positional
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


@pytest.mark.parametrize(
    "value", ["\0", "a\0b/c", "x" * 300, "~nobody/x", "~no\0body", "\ud800", "/dev/null/x"]
)
def test_paths_that_cannot_be(
    shared: Explorer, tmp_path: Path, capfd: pytest.CaptureFixture[str], value: str
) -> None:
    """Each place where a path is named: refused in a sentence, whatever the system's functions raise."""
    for arguments in (
        ["export", "L1.N5", "-o", value], ["export", "L1.N5", "--force", "-o", value], ["verify", value],
        ["atlas", "--reject-file", value], ["neurons", "the", "--log", value],
    ):  # fmt: skip
        with tried(Row.ARGUMENTS):
            check(arguments, capfd)
            assert not list(tmp_path.glob("home/*.json"))
    with tried(Row.ARGUMENTS, 2):
        with pytest.raises(CorpusError):
            open_source(value)
        with pytest.raises(ModelLoadError):
            find_model(value, cache_dir=tmp_path, digest=file_digest, offline=True)
