"""The command line: streams, exit statuses and documents, against an Explorer with fixed answers."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fake_answers import BECAUSE, HOSTILE, NEURON, FakeExplorer
from tui_lookups import __version__, cli
from tui_lookups.commands import invocation
from tui_lookups.commands.flags import CommonFlag
from tui_lookups.errors import Cancelled, ModelLoadError
from tui_lookups.exports import writing
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    CacheInfo,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    TokenNeurons,
)
from tui_lookups.settings import Settings

HEAVY = ("torch", "numpy", "textual", "transformers", "transformer_lens", "pydantic", "rich", "openai")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings from outside, and the environment and logging as before once the test is over."""
    import logging

    for name in list(os.environ):
        if name.upper().startswith("LOOKUPS_"):
            monkeypatch.delenv(name)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "")
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


class Shell:
    """Runs command lines in this process; `explorer` is the one the last of them opened."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capfdbinary
        self.explorer: FakeExplorer | None = None
        self.raises: BaseException | None = None

    def open(self, settings: Settings) -> FakeExplorer:
        self.explorer = FakeExplorer(settings, self.raises)
        return self.explorer

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capture.readouterr()
        status = invocation.run(cli.app, list(arguments))
        out, err = self._capture.readouterr()
        return status, out.decode("utf-8"), err.decode("utf-8")

    def document(self, *arguments: str) -> dict[str, Any]:
        status, out, err = self(*arguments, "--json")
        assert (status, err) == (0, "")
        document, end = json.JSONDecoder().raw_decode(out)
        assert out[end:] == "\n"
        assert document["schema_version"] == 1
        assert document["generator"] == f"lookups-tui {__version__}"
        return document


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    made = Shell(capfdbinary)
    monkeypatch.setattr(invocation, "open_explorer", made.open)
    return made


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Selection]:
    """What `export` was given to write."""
    given: list[Selection] = []

    def export(explorer: FakeExplorer, selection: Selection, path: Path, *, overwrite: bool) -> Path:
        given.append(selection)
        path.write_text("{}", encoding="utf-8")
        return path

    monkeypatch.setattr(writing, "export", export)
    return given


# --- answers ---


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["neurons", " because"], {"token", "basis", "neurons", "provenance"}),
        (["tokens", "5.371"], {"neuron", "tokens", "provenance"}),
        (
            ["scan"],
            {"prompts", "tokens", "neurons", "seconds", "tokens_per_second", "resumed_from", "index_path"},
        ),
        (["prompts", "L5.N371"], {"neuron", "stats", "prompts", "provenance"}),
        (["activations", "5.371", "--text", "x"], {"tokens", "activations", "provenance"}),
        (
            ["heads", "5.371", "--sources", "L3.H1"],
            {"neuron", "position", "activation", "pre_activation", "context", "target", "heads", "other"}
            | {"sum", "remainder", "sources", "provenance"},
        ),
        (["heads", "5.371", "--all-prompts"], {"heads", "provenance"}),
        (["cache", "info"], {"path", "entries", "bytes", "problems"}),
        (["cache", "clear"], {"path", "entries", "bytes"}),
    ],
)
def test_json_is_one_document_and_the_table_goes_to_stdout_too(
    shell: Shell, arguments: list[str], keys: set[str]
) -> None:
    assert keys <= set(shell.document(*arguments))
    assert shell.explorer is not None
    assert shell.explorer.closed
    status, table, err = shell(*arguments)
    assert (status, err) == (0, "")
    assert len(table.splitlines()) >= 3


def test_names_and_tokens_in_json(shell: Shell) -> None:
    row = shell.document("neurons", " because", "--top", "1")["neurons"][0]
    assert row == {
        "neuron": "L5.N371", "layer": 5, "index": 371, "congruence": 6.125, "cosine": 0.71, "token_rank": 1,
        "top_token": {"id": 7, "text": HOSTILE.text}, "top_congruence": 6.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "question", "parameters"),
    [
        (["neurons", " a", "--top", "3"], "neurons", {"token": " a", "top": 3, "next_token_only": False}),
        (
            ["neurons", "#5", "--next-token-only"],
            "neurons",
            {"token": "#5", "top": 20, "next_token_only": True},
        ),
        (["tokens", "(9, 1)", "--top", "7"], "tokens", {"neuron": NeuronId(9, 1), "top": 7}),
        (["prompts", "5.371"], "prompts_with_figures", {"neuron": NEURON, "kind": "top", "top": None}),
        (
            ["prompts", "5.371", "--top", "2", "--kind", "random"],
            "prompts_with_figures",
            {"neuron": NEURON, "kind": "random", "top": 2},
        ),
        (["activations", "5.371", "--text", "a b"], "activations", {"neuron": NEURON, "text": "a b"}),
        (
            ["heads", "5.371"],
            "heads",
            {"neuron": NEURON, "prompt": 1, "text": None, "sources": None, "trimmed": None},
        ),
        (
            ["heads", "5.371", "--prompt", "4", "--sources", "3.1", "--trimmed"],
            "heads",
            {"neuron": NEURON, "prompt": 4, "text": None, "sources": HeadId(3, 1), "trimmed": True},
        ),
        (
            ["heads", "5.371", "--text", "a b"],
            "heads",
            {"neuron": NEURON, "prompt": None, "text": "a b", "sources": None, "trimmed": None},
        ),
        (
            ["heads", "5.371", "--all-prompts", "--full"],
            "heads_overview",
            {"neuron": NEURON, "trimmed": False},
        ),
    ],
)
def test_what_the_explorer_is_asked(
    shell: Shell, arguments: list[str], question: str, parameters: dict[str, Any]
) -> None:
    shell(*arguments)
    assert shell.explorer is not None
    assert shell.explorer.calls == [(question, parameters)]


def test_what_the_cache_could_not_keep_is_said_at_the_end(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = "A result was not kept: the disk is full \x1b[31m."
    monkeypatch.setattr(FakeExplorer, "problems", (lost,))
    status, out, err = shell("neurons", " because", "--json")
    assert status == 0
    assert json.loads(out)
    assert "A result was not kept: the disk is full" in err
    assert "\x1b" not in err
    found = CacheInfo("/c", 0, 0, {}, 0, (lost,))
    monkeypatch.setattr(FakeExplorer, "cache_info", lambda self: found)
    status, out, err = shell("cache", "info", "--json")
    assert json.loads(out)["problems"] == [lost]
    assert "not kept" not in err, "what is in the answer is not said beside it"


def test_asking_for_more_prompts_than_are_kept_is_refused_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By the explorer, before it loads or scans anything; the command adds nothing to what it says."""
    asked = ["prompts", "5.371", "--top", "99", "--cache-dir", str(tmp_path)]
    assert invocation.run(cli.app, asked) == 1
    said = capsys.readouterr().err
    assert said.count("99") == 1, said
    assert said.count("LOOKUPS_TOP") == 1, said


def test_hostile_text_reaches_no_terminal(shell: Shell) -> None:
    lines = [
        ["neurons", " because"],
        ["tokens", "5.371"],
        ["prompts", "5.371"],
        ["heads", "5.371", "--sources", "3.1"],
        ["activations", "5.371", "--text", HOSTILE.text],
    ]
    for arguments in lines:
        status, out, _ = shell(*arguments)
        assert status == 0
        assert "[/INST]␛[31m⏎\\u202e" in out
        assert not set("\x1b\u202e") & set(out)


def test_a_token_that_is_another_one_with_its_space_is_said_beside_the_table(shell: Shell) -> None:
    status, table, err = shell("neurons", "time")
    assert (status, err) == (0, "`␣time` (#583) is another token.\n")
    assert "␣time" not in table
    assert shell("neurons", " time")[2] == "`time` (#2435) is another token.\n"
    shell.document("neurons", "time")  # says nothing on stderr


def test_spaces_of_a_token_are_visible(shell: Shell) -> None:
    assert "␣because #1093" in shell("neurons", " because")[1]


def test_tables_survive_a_stdout_that_is_not_unicode(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert invocation.run(cli.app, ["neurons", " because"]) == 0
    assert b"\\u2423because" in raw.getvalue()


def test_json_is_utf8_on_any_locale_and_keeps_lone_surrogates(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    assert invocation.run(cli.app, ["activations", "5.371", "--text", "é\udcff→", "--json"]) == 0
    assert json.loads(raw.getvalue().decode("utf-8"))["text"] == "é\udcff→"


# --- flags and settings ---


def test_flags_count_before_and_after_the_subcommand_and_the_later_one_wins(shell: Shell) -> None:
    shell("--model", "a", "--offline", "scan", "--model", "b", "--layers", "1-2", "--sign", "-")
    assert shell.explorer is not None
    settings = shell.explorer.settings
    assert (settings.model, settings.offline, settings.layers, settings.sign) == ("b", True, (1, 2), "-")
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"


def test_json_may_stand_first_and_a_group_takes_flags_too(shell: Shell) -> None:
    status, out, _ = shell("--json", "cache", "--cache-dir", "/x/y", "info")
    assert (status, json.loads(out)["entries"]) == (0, 3)
    assert shell.explorer is not None
    assert shell.explorer.settings.cache_dir == Path("/x/y")


def test_every_common_flag_is_a_setting_or_how_to_answer() -> None:
    names = {flag.name for flag in cli.app.params if isinstance(flag, CommonFlag)}
    assert names - set(Settings.__struct_fields__) == {"format", "json", "debug"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        yield (*path, name), command


@pytest.mark.parametrize(("path", "command"), list(commands(cli.app)), ids=lambda value: str(value)[:20])
def test_every_command_has_the_common_flags(path: tuple[str, ...], command: Any) -> None:
    own = {parameter.name for parameter in command.params}
    assert {flag.name for flag in cli.app.params if isinstance(flag, CommonFlag)} <= own


# --- exit statuses ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["neurosn"],
        ["neurons"],
        ["neurons", "a", "b"],
        ["neurons", "a", "--top", "0"],
        ["neurons", "a", "--dtype", "float64"],
        ["neurons", "a", "--layers", "11-9"],
        ["neurons", "a", "--threads", "0"],
        ["neurons", "a", "--window", "many"],
        ["neurons", "a", "--no-such-flag"],
        ["--token", "a", "scan"],
        ["--json"],
        ["cache"],
        ["activations", "5.371"],
        ["heads", "5.371", "--prompt", "1", "--text", "a"],
        ["heads", "5.371", "--all-prompts", "--prompt", "1"],
        ["heads", "5.371", "--all-prompts", "--sources", "1.1"],
        ["heads", "5.371", "--prompt", "0"],
        ["heads", "5.371", "--text", "a", "--trimmed"],
        ["export", " a"],
    ],
)
def test_wrong_usage_is_2_and_leaves_stdout_empty(shell: Shell, arguments: list[str]) -> None:
    status, out, err = shell(*arguments)
    assert (status, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_a_token_where_a_subcommand_goes_is_told_where_tokens_go(shell: Shell) -> None:
    status, out, err = shell("time\x1b[2J")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == (
        'Hint: A token goes by `--token "time\\u001b[2J"` for the app, or `neurons "time\\u001b[2J"`.'
    )
    for arguments in (["--tme"], ["cache", "time"], ["neurons"]):
        assert "Hint" not in shell(*arguments)[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["neurons", "qqq"], "Error: 'qqq' is not one token.\nHint: Close: ' q'.\n"),
        (["tokens", "99.1"], "Error: The model has no neuron L99.N1.\nHint: Layers are 0 to 5.\n"),
        (["tokens", "nonsense"], "Error: 'nonsense' is not the name of a neuron."),
        (["heads", "5.371", "--sources", "x"], "Error: 'x' is not the name of a head."),
    ],
)
def test_failure_is_1_with_a_sentence_and_a_hint(shell: Shell, arguments: list[str], says: str) -> None:
    for extra in ([], ["--json"]):
        status, out, err = shell(*arguments, *extra)
        assert (status, out) == (1, "")
        assert err.startswith(says)
        assert "Hint: " in err


def test_a_wrong_setting_from_the_environment_is_a_failure(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKUPS_WINDOW", "1")
    status, _, err = shell("scan")
    assert status == 1
    assert "window cannot be '1' (environment LOOKUPS_WINDOW)" in err


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (Cancelled(), 130, "Interrupted."),
        (ModelLoadError("No model.", "Name another."), 1, "Error: No model.\nHint: Name another."),
        (ZeroDivisionError("by zero\nsecond line"), 1, "Error: internal error: ZeroDivisionError: by zero\n"),
        (KeyError(), 1, "Error: internal error: KeyError\n"),
        (MemoryError(), 1, "Error: There is not enough memory"),
        (OutOfMemoryError("CUDA out of memory"), 1, "Error: There is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "Error: There is not enough memory"),
        (ModelLoadError("\x1b[2J[/x]", ""), 1, "Error: ␛[2J[/x]"),
        (SystemExit(143), 143, ""),
    ],
)
def test_every_end_has_its_status_and_closes_the_explorer(
    shell: Shell, error: BaseException, status: int, says: str
) -> None:
    shell.raises = error
    got, out, err = shell("scan")
    assert (got, out) == (status, "")
    assert says in err
    assert "Traceback" not in err
    assert shell.explorer is not None
    assert shell.explorer.closed


@pytest.mark.parametrize("with_log", [False, True])
def test_debug_shows_the_traceback_once(shell: Shell, tmp_path: Path, with_log: bool) -> None:
    shell.raises = ZeroDivisionError("by zero")
    log = tmp_path / "log.txt"
    status, _, err = shell("scan", "--debug", *(("--log", str(log)) if with_log else ()))
    assert status == 1
    assert err.count("Traceback") == 1
    assert not with_log or log.read_text().count("Traceback") == 1
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" not in err


def test_a_defect_before_the_settings_are_read_shows_no_traceback() -> None:
    """In a process of its own: pytest's log handlers would take what logging's own writes to stderr."""
    lines = (
        "import sys",
        "from tui_lookups import cli",
        "from tui_lookups.commands import invocation",
        "cli.app.main = lambda **_: 1 / 0",
        "sys.exit(invocation.run(cli.app, []))",
    )
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: internal error: ZeroDivisionError")
    assert "Traceback" not in ended.stderr


def test_the_app_refuses_to_open_without_a_terminal(shell: Shell) -> None:
    status, out, err = shell()
    assert (status, out) == (1, "")
    assert "needs a terminal" in err
    assert "--json" in err
    assert shell.explorer is None


# --- export ---


def test_export_gathers_neurons_prompts_and_heads(
    shell: Shell, written: list[Selection], tmp_path: Path
) -> None:
    target = tmp_path / "out.json"
    document = shell.document("export", " because", "4.19", "0.1", "--top", "2", "-o", str(target))
    assert {key: document[key] for key in ("path", "neurons", "prompts", "heads")} == {
        "path": str(target), "neurons": 3, "prompts": 9, "heads": 9,
    }  # fmt: skip
    (selection,) = written
    found, other = NeuronId(4, 19), NeuronId(0, 1)
    assert selection.neurons == (
        SelectedNeuron(NEURON, BECAUSE), SelectedNeuron(found, BECAUSE), SelectedNeuron(other),
    )  # fmt: skip
    assert selection.prompts[:3] == tuple(SelectedPrompt(NEURON, 100 + rank) for rank in (1, 2, 3))
    assert selection.heads[:3] == tuple(
        SelectedHead(NEURON, head, 101) for head in (HeadId(0, 1), HeadId(3, 1), HeadId(3, 0))
    )


@pytest.mark.usefixtures("written")
def test_export_keeps_a_file_unless_forced_and_asks_nothing_before_it_knows(
    shell: Shell, tmp_path: Path
) -> None:
    target = tmp_path / "out.json"
    target.write_text("mine", encoding="utf-8")
    status, _, err = shell("export", "4.19", "-o", str(target))
    assert (status, target.read_text(encoding="utf-8")) == (1, "mine")
    assert "--force" in err
    assert shell.explorer is None
    assert shell("export", "4.19", "-o", str(target), "--force")[0] == 0
    assert target.read_text(encoding="utf-8") == "{}"


def test_export_into_a_missing_folder_fails_at_once(shell: Shell, tmp_path: Path) -> None:
    assert shell("export", "4.19", "-o", str(tmp_path / "no" / "out.json"))[0] == 1
    assert shell.explorer is None


def test_export_under_another_formats_name_fails_at_once(shell: Shell, tmp_path: Path) -> None:
    status, out, err = shell("export", "4.19", "-o", str(tmp_path / "out.csv"))
    assert (status, out) == (1, "")
    assert "out.csv" in err
    assert ".json" in err
    assert not (tmp_path / "out.csv").exists()
    assert shell.explorer is None


# --- config ---


def test_config_init_show_and_path(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "config.toml"
    status, out, _ = shell("config", "path", "--json")
    assert (status, json.loads(out)["exists"]) == (0, False)
    monkeypatch.setenv("LOOKUPS_CONFIG", str(path))
    assert shell("config", "path") == (0, f"{path}\n", "")
    assert shell("config", "init")[0] == 0
    assert shell("config", "init")[0] == 1
    path.write_text('model = "mine"\n', encoding="utf-8")
    rows = {row["name"]: row for row in shell.document("config", "show", "--offline")["settings"]}
    assert rows["model"] == {"name": "model", "value": "mine", "source": f"file {path}"}
    assert rows["offline"] == {"name": "offline", "value": True, "source": "flag --offline"}
    assert "mine" in shell("config", "show")[1]
    path.write_text("model = ", encoding="utf-8")
    assert shell("config", "show")[0] == 1
    assert shell("config", "init", "--force")[0] == 0
    assert shell("config", "show")[0] == 0


def test_a_format_is_a_flag_of_every_command_and_the_last_one_counts(shell: Shell) -> None:
    status, out, err = shell("neurons", " because", "--json", "--format", "csv")
    assert (status, err) == (0, "")
    assert out.startswith("token.id,token.text,neuron,")
    assert json.loads(shell("--format", "csv", "neurons", " because", "--json")[1])["neurons"]
    assert shell("--format", "csv")[0] == 2


def test_neurons_of_a_file_of_tokens(shell: Shell, tmp_path: Path) -> None:
    listed = tmp_path / "tokens.txt"
    listed.write_text(" because\n\n because\r\n", encoding="utf-8")
    found = shell.document("neurons", "--tokens-file", str(listed))
    assert [each["token"]["text"] for each in found["tokens"]] == [BECAUSE.text] * 2
    status, out, _ = shell("neurons", "--tokens-file", str(listed))
    assert status == 0
    assert out.count("Neurons that promote") == 2
    assert shell("neurons")[0] == shell("neurons", " because", "--tokens-file", str(listed))[0] == 2
    status, _, err = shell("neurons", "--tokens-file", str(tmp_path / "none"))
    assert status == 1
    assert "cannot be read" in err


def test_neurons_in_another_order(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = FakeExplorer.neurons

    def differing(self: FakeExplorer, *given: Any, **named: Any) -> TokenNeurons:
        found = answer(self, *given, **named)
        figures = ((0.2, 3), (0.7, 9), (0.5, 1))
        rows = tuple(
            replace(row, cosine=cosine, token_rank=rank)
            for row, (cosine, rank) in zip(found.neurons, figures, strict=True)
        )
        return replace(found, neurons=rows)

    monkeypatch.setattr(FakeExplorer, "neurons", differing)
    names = ["L5.N371", "L4.N19", "L5.N88"]
    orders = {"congruence": (0, 1, 2), "cosine": (1, 2, 0), "rank": (2, 0, 1)}
    for order, places in orders.items():
        expected = [names[place] for place in places]
        found = shell.document("neurons", " because", "--sort", order)
        assert [row["neuron"] for row in found["neurons"]] == expected


def test_help_has_a_commands_own_options_first_and_names_the_rest(shell: Shell) -> None:
    _, out, _ = shell("heads", "--help")
    assert out.index("--sources") < out.index("Common options:") < out.index("--model")
    assert "--ray-address," in out
    assert "A running Ray cluster" not in out
    assert "A running Ray cluster" in shell("--help")[1]


def test_config_schema_is_the_file_that_ships(shell: Shell) -> None:
    shipped = (Path(cli.__file__).parent / "config.schema.json").read_text(encoding="utf-8")
    assert shell("config", "schema") == (0, shipped, "")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: Shell, name: str) -> None:
    status, out, _ = shell("completion", name)
    assert status == 0
    assert "_LOOKUPS_TUI_COMPLETE=" + name in out.replace("env ", "")


def test_what_the_completion_script_asks_is_answered() -> None:
    words = {"COMP_WORDS": "lookups-tui con", "COMP_CWORD": "1", "_LOOKUPS_TUI_COMPLETE": "bash_complete"}
    line = [sys.executable, "-m", "tui_lookups"]
    done = subprocess.run(
        line, text=True, capture_output=True, env={**os.environ, **words}, timeout=60, check=False
    )
    assert "config" in done.stdout


def test_log_gets_what_libraries_say(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging
    import warnings

    def scan(self: FakeExplorer, progress: object = None) -> None:
        logging.getLogger("some.library").warning("a log line")
        warnings.warn("a warning", stacklevel=1)
        raise ModelLoadError("no")

    monkeypatch.setattr(FakeExplorer, "scan", scan)
    status, out, err = shell("scan", "--log", str(tmp_path / "log"))
    assert (status, out, err) == (1, "", "Error: no\n")
    assert "a log line" in (tmp_path / "log").read_text(encoding="utf-8")
    assert shell("scan", "--log", str(tmp_path / "no" / "log"))[0] == 1


# --- the process ---


def python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code, *arguments]
    return subprocess.run(line, text=True, capture_output=True, timeout=120, check=False, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["heads", "--help"], ["--version"], ["config", "path"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    heavy = set(HEAVY) - ({"rich"} if arguments[0] == "config" else set())
    code = (
        "import sys\nfrom tui_lookups import cli\nfrom tui_lookups.commands import invocation\n"
        f"status = invocation.run(cli.app, {arguments!r})\n"
        f"print(status, sorted(set({sorted(heavy)!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = python(code)
    assert done.stderr == "0 []\n"
    assert done.stdout


def test_settings_import_nothing_of_the_model_or_the_app() -> None:
    done = python(
        "import sys, tui_lookups.settings\n"
        "print(sorted({'torch', 'numpy', 'textual', 'transformers', 'click', 'pydantic'} & set(sys.modules)))"
    )
    assert done.stdout == "[]\n"


def test_the_module_and_its_version() -> None:
    line = [sys.executable, "-m", "tui_lookups", "--version"]
    done = subprocess.run(line, text=True, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"lookups-tui {__version__}\n", "")


FAKE = """
import sys, time
from tests.fake_answers import FakeExplorer
from tui_lookups import __main__
from tui_lookups.commands import invocation
from tui_lookups.commands.flags import CommonFlag
{patch}
invocation.open_explorer = FakeExplorer
__main__.main()
"""

SLOW = FAKE.format(
    patch="""
def scan(self, progress=None):
    print("scanning now", file=sys.stderr, flush=True)
    time.sleep(60)
FakeExplorer.scan = scan
def close(self):
    print("closed", file=sys.stderr, flush=True)
FakeExplorer.close = close
"""
)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_scan_with_its_status_after_closing(number: signal.Signals, status: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW, "scan"], stdout=-1, stderr=-1, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "scanning now\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "closed" in err
    assert "Traceback" not in err


def test_ctrl_c_during_the_imports_is_quiet() -> None:
    code = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from tui_lookups.__main__ import main
main()
"""
    done = python(code, "--help")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_reader_that_leaves_is_nothing_to_complain_of() -> None:
    big = FAKE.format(
        patch="""
from tests.fake_answers import BECAUSE, PROVENANCE, NEURON
from tui_lookups.results import Activations
FakeExplorer.activations = lambda self, neuron, text: Activations(
    NEURON, text, (BECAUSE,) * 3_000, (0.5,) * 3_000, PROVENANCE)
"""
    )
    for extra in ([], ["--json"]):
        line = [sys.executable, "-c", big, "activations", "5.371", "--text", "x", *extra]
        process = subprocess.Popen(line, stdout=-1, stderr=-1, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence() -> None:
    for extra in ([], ["--json"]):
        with open("/dev/full", "w") as full:
            line = [sys.executable, "-c", FAKE.format(patch=""), "scan", *extra]
            done = subprocess.run(line, stdout=full, stderr=-1, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: The answer cannot be written: No space left on device.")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("asked", "redirected", "status", "said"),
    [
        ("cache info", ">&-", 1, "The answer cannot be written: Bad file descriptor."),
        ("cache info --json", ">&-", 1, "The answer cannot be written: Bad file descriptor."),
        ("--help", ">&-", 1, "The answer cannot be written: Bad file descriptor."),
        ("cache info", "<&-", 0, ""),
        ("cache info", "2>&-", 0, ""),
        ("", "<&- >&- 2>&-", 1, ""),
    ],
)
def test_closed_streams(tmp_path: Path, asked: str, redirected: str, status: int, said: str) -> None:
    """A sentence where an answer goes nowhere; and no file ever gets the number of a closed stream."""
    line = f'exec "$0" -m tui_lookups {asked} --cache-dir "$1" {redirected}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status
    assert done.stderr == (f"Error: {said}\nHint: Check where stdout goes.\n" if said else "")


def test_help_for_a_reader_that_left() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = [sys.executable, "-m", "tui_lookups", "--help"]
    done = subprocess.run(line, stdout=writing, stderr=-1, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("file", ["", "results"], ids=["the folder", "its results"])
@pytest.mark.parametrize("asked", ["info", "verify", "clear"])
def test_a_cache_folder_that_is_a_file(tmp_path: Path, file: str, asked: str) -> None:
    folder = tmp_path / "cache"
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"mine")
    line = [sys.executable, "-m", "tui_lookups", "cache", asked, "--cache-dir", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The cache file ")
    assert "cannot be reached: not a directory.\nHint: " in done.stderr
    assert (folder / file).read_bytes() == b"mine"


def test_the_progress_line_of_a_terminal_leaves_stdout_alone() -> None:
    code = FAKE.format(
        patch="""
from tests.fake_answers import progress
plain = FakeExplorer.scan
def scan(self, progress=None, fake=progress):
    progress(fake(300))
    time.sleep(1.0)
    return plain(self, progress)
FakeExplorer.scan = scan
"""
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    line = [sys.executable, "-c", code, "scan", "--json"]
    process = subprocess.Popen(line, stdout=-1, stderr=theirs, text=True, env=environment)
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    said = _drain(ours)
    assert process.returncode == 0
    assert json.loads(out)["prompts"] == 506
    assert "scanning: 300 of 506 prompts (59%)" in said
    assert said.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))


def _drain(descriptor: int) -> str:
    data = b""
    try:
        while chunk := os.read(descriptor, 65536):
            data += chunk
    except OSError:  # Linux says EIO where the other side has closed
        pass
    finally:
        os.close(descriptor)
    return data.decode("utf-8")


APP = """
import sys
import tui_lookups.tui
from tests.fake_answers import FakeExplorer
from tui_lookups import __main__
from tui_lookups.commands import invocation
from tui_lookups.commands.flags import CommonFlag
def run_app(explorer, token=None, options=None, opening=None):
    assert "tui_lookups.answering" not in sys.modules, "what answers is imported behind the first paint"
    print("app", repr(token), explorer.settings.model)
    print("against", options.against, options.revisions)
    other = opening.open("another", "mine.txt").settings
    print("then", other.model, other.corpus)
    return 7
tui_lookups.tui.run_app = run_app
invocation.open_explorer = FakeExplorer
__main__.main()
"""


def test_the_app_opens_on_a_terminal_and_gives_the_exit_status() -> None:
    ours, theirs = pty.openpty()
    line = [sys.executable, "-c", APP, "--token", " time", "--model", "m", "--against", "tuned"]
    line += ["--revisions", "step0, main"]
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert process.wait(timeout=60) == 7
    said = _drain(ours)
    assert "app ' time' m" in said
    assert "against tuned ('step0', 'main')" in said
    assert "then another mine.txt" in said


def test_leaving_never_waits_for_a_daemon_thread_inside_a_library() -> None:
    code = FAKE.format(
        patch="""
import threading
threading.Thread(target=time.sleep, args=(300,), daemon=False).start()
"""
    )
    assert python(code, "scan", "--json").returncode == 0  # its timeout is shorter than that sleep
