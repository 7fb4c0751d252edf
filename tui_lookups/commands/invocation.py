"""One invocation of the command line: the flags every command shares, and how an answer is printed.

1. The common flags are on every command, before and after the subcommand; they land in the
   `Invocation`, and the later one counts. A flag of value None was not given (see settings.py).
2. `Invocation.answer` opens the Explorer, asks it one question, narrates on stderr, and closes it.
3. `Invocation.emit` writes to stdout: a table for people, exactly one JSON document, or records
   (exports/tables.py) or a figure (exports/figures.py), as --format says.
4. `run` is the boundary: it turns every way a command can end into an exit status.

Nothing heavy is imported before it is needed: `--help` loads neither torch, NumPy nor Textual.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click
from click.utils import PacifyFlushWrapper

from tui_lookups.commands.flags import NAME, Format, Subcommand, common_flags
from tui_lookups.commands.signals import handled_signals
from tui_lookups.commands.streams import ReaderLeft, answering, refused_by_stdout, write
from tui_lookups.errors import Cancelled, FlagError, SettingsError, as_lookups_error, is_defect
from tui_lookups.exports.formats import RecordFormat
from tui_lookups.results import AblationMethod, AblationPositions

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import NeuronId
    from tui_lookups.settings import Settings

C = TypeVar("C", bound=Callable[..., Any])
R = TypeVar("R")
Rows = list[tuple[str, ...]]

_TERMINAL_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

FAILED, WRONG_USAGE, INTERRUPTED, READER_LEFT = 1, 2, 130, 141


class FilePath(click.Path):
    """A path as a person types it. Wrong usage is one at which the system's functions raise ValueError."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except ValueError:  # a NUL, or half of a character
            self.fail("there can be no such path.", param, ctx)


@dataclass
class Invocation:
    """What one command line asked for: settings given by flag, and how to answer."""

    flags: dict[str, Any] = field(default_factory=dict)
    format: Format = "table"
    debug: bool = False
    logs_to_stderr: bool = False
    answered: tuple[str, ...] = ()
    """Problems of the cache that are part of the answer, and need not be said beside it."""
    explorer: Explorer | None = None
    """The one that is open."""

    @property
    def json(self) -> bool:
        """Whether the answer is one JSON document."""
        return self.format == "json"

    @property
    def record_format(self) -> RecordFormat | None:
        """The format of records that was asked for, if it is one."""
        return cast(RecordFormat, self.format) if self.format in get_args(RecordFormat) else None

    def settings(self) -> Settings:
        """The settings, applied to this process. Raises SettingsError."""
        from tui_lookups.settings import load_settings

        settings = load_settings(**self.flags)
        if settings.offline:
            os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        _log_to(settings.log, self.debug)
        self.logs_to_stderr = self.debug and settings.log is None
        return settings

    def neuron(self, text: str) -> NeuronId:
        """The neuron of a name; where a dictionary is open "9.1985" is its unit. Raises BadIdError."""
        from tui_lookups.settings import load_settings

        return load_settings(**self.flags).neuron_id.parse(text)

    @contextmanager
    def exploring(self) -> Iterator[Explorer]:
        """An Explorer with these settings, closed at the end whatever happens."""
        explorer = self.explorer = open_explorer(self.settings())
        # Imported here: what the program starts with is not narrated as part of an answer.
        import tui_lookups.answering.engine  # noqa: F401

        try:
            yield explorer
        finally:
            self.explorer = None
            lost = explorer.close()
            for sentence in (lost, *explorer.problems):
                if sentence and sentence not in self.answered:
                    _print_visible(sentence)

    def request_checkpoint(self) -> None:
        """Have the scan, where one runs, write a checkpoint soon."""
        if self.explorer is not None:
            self.explorer.request_checkpoint()

    def answer(self, ask: Callable[[Explorer, Narrator], R], rows: Callable[[R], Rows] | None = None) -> None:
        """Ask one question, narrating on stderr, and print the dataclass it answers with."""
        from tui_lookups.commands.narration import Narrator

        with self.exploring() as explorer:
            with Narrator(explorer.status, sys.stderr) as narrator:
                result = ask(explorer, narrator)
            problems = getattr(result, "problems", ())
            self.answered = problems if isinstance(problems, tuple) else ()
            self.emit(result, None if rows is None else rows(result))

    def emit(self, result: object, rows: Rows | None = None) -> None:
        """Print a dataclass to stdout in the format asked for; its table is `rows` where it has none."""
        with answering():
            if (form := self.record_format) is not None:
                from tui_lookups.exports.tables import encode

                write(encode(result, form, terminal=sys.stdout.isatty()))
            elif self.format == "svg":
                from tui_lookups.exports.figures import svg

                write(svg(result).encode("utf-8"))
            else:
                write(_json(result) if self.json else _table(result, rows))

    def tell(self, sentence: str) -> None:
        """Say something beside the answer, on stderr."""
        _print_visible(sentence)

    def emit_bytes(self, data: bytes) -> None:
        """Print bytes to stdout as they are."""
        with answering():
            write(data)


def open_explorer(settings: Settings) -> Explorer:
    """The Explorer of this invocation; imported late, so that --help stays light."""
    from tui_lookups.explorer import Explorer

    return Explorer(settings)


def _json(result: object) -> bytes:
    from tui_lookups.storage.codec import document

    text = json.dumps(document(result), ensure_ascii=False, allow_nan=False)
    # JSON leaves DEL, the C1 controls (U+009B starts a terminal's sequences as ESC [ does) and the marks that
    # reorder or break a line as they are; escaped, they read back as themselves
    text = _TERMINAL_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    # JSON is UTF-8 on any locale; a lone surrogate becomes the \udcxx that JSON reads back as itself
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _table(result: object, rows: Rows | None) -> bytes:
    from tui_lookups.commands import (
        tables,
        tables_analysis,  # noqa: F401 - registers renderers
        tables_explanation,  # noqa: F401 - registers renderers
        tables_revisions,  # noqa: F401 - registers renderers
        tables_sums,  # noqa: F401 - registers renderers
        tables_traces,  # noqa: F401 - registers renderers
        tables_verification,  # noqa: F401 - registers renderers
    )

    text = tables.to_text(tables.render(result) if rows is None else tables.facts(rows), sys.stdout)
    return text.encode(sys.stdout.encoding, "backslashreplace")


def _log_to(path: Path | None, debug: bool) -> None:
    """Send what the libraries log and warn of to the log file; to stderr only with --debug."""
    from tui_lookups.visible import visible

    class VisibleFormatter(logging.Formatter):
        """Foreign text in a message as text: logs are read on terminals."""

        def format(self, record: logging.LogRecord) -> str:
            return "\n".join(map(visible, super().format(record).splitlines()))

    handler: logging.Handler = logging.StreamHandler(sys.stderr) if debug else logging.NullHandler()
    if path is not None:
        try:
            handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise SettingsError(
                f"The log {path} cannot be written: {getattr(error, 'strerror', None) or error}.",
                "Choose another file with --log.",
            ) from error
    handler.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


# --- common flags ---


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep a flag that was given; a subcommand's comes after, and outranks, one before it."""
    if value is None or param.name is None:
        return
    invocation = ctx.ensure_object(Invocation)
    if param.name == "json":
        invocation.format = "json"
    elif param.name in ("format", "debug"):
        setattr(invocation, param.name, value)
    else:
        invocation.flags[param.name] = value


def _flags_of(ctx: click.Context) -> dict[str, Any]:
    return ctx.ensure_object(Invocation).flags


G = TypeVar("G", bound=click.Command)


def with_ablation_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Put the flags that say how heads are ablated on a command's function."""
    methods, places = click.Choice(get_args(AblationMethod)), click.Choice(get_args(AblationPositions))
    what = "What is put in place of the head's z."
    where = "Where (at the peak, by default; preset paper: at all positions)."
    for option in (
        click.option("--trimmed/--full", default=None, help="Run the trimmed prompts."),
        click.option("--positions", type=places, help=where),
        click.option("--method", type=methods, default="zero", show_default=True, help=what),
    ):
        command = option(command)
    return command


def with_common_flags(command: G) -> G:
    """Put the common flags on a command, but for those that it has of its own."""
    own = {name for param in command.params for name in param.opts}
    command.params.extend(flag for flag in common_flags(_remember, _flags_of) if not own & set(flag.opts))
    return command


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


SUBCOMMANDS = click.Group("subcommands")
"""Every subcommand whose module was imported; the app looks them up here."""


def command(
    parent: click.Group = SUBCOMMANDS, name: str | None = None
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a subcommand: the common flags are its too, and it gets the Invocation first."""

    def make(function: Callable[..., None]) -> click.Command:
        with_invocation = click.make_pass_decorator(Invocation, ensure=True)(function)
        make_command = parent.command(name, cls=Subcommand, context_settings=CONTEXT)
        return with_common_flags(make_command(with_invocation))

    return make


def check_place(prompt: int | None, text: str | None, trimmed: bool | None) -> None:
    """Raise click.UsageError where a prompt and a text are both named, or a text is to be trimmed."""
    if prompt is not None and text is not None:
        raise click.UsageError("--prompt and --text cannot be combined.")
    if text is not None and trimmed:
        raise click.UsageError("--trimmed is about prompts; it does not go with --text.")


def top_option(default: int | None, what: str) -> Callable[[C], C]:
    """`--top K`, K from 1."""
    shown = default is not None
    return click.option(
        "--top", type=click.IntRange(min=1), default=default, show_default=shown, metavar="K", help=what
    )


# --- how it ends ---


def run(app: click.Group, arguments: list[str]) -> int:
    """Run one command line and return its exit status; says on stderr what went wrong.

    0 done, 1 failed, 2 wrong usage, 130 interrupted, 128 + n ended by signal n (141: the reader of our
    pipe left, which is nothing to complain of).
    """
    invocation = Invocation()
    logging.basicConfig(handlers=[logging.NullHandler()])  # without one, logging's own writes to stderr
    try:
        with handled_signals(invocation.request_checkpoint):
            result = app.main(args=arguments, prog_name=NAME, standalone_mode=False, obj=invocation)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        _show_usage(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort, Cancelled):
        _show_traceback(invocation)
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (ReaderLeft, BrokenPipeError):
        return READER_LEFT
    except SystemExit as error:
        if type(sys.stdout) is PacifyFlushWrapper:  # click's, for a --help that nobody reads
            return READER_LEFT
        return error.code if isinstance(error.code, int) else FAILED
    except Exception as error:  # noqa: BLE001 - the boundary: everything ends in a sentence and a status
        if not (invocation.logs_to_stderr and is_defect(error)):  # `_failed` logs defects
            _show_traceback(invocation)
        return _failed(refused_by_stdout(error) or error)


def _show_traceback(invocation: Invocation) -> None:
    if invocation.debug:
        _print_visible(traceback.format_exc())


def _print_visible(text: str) -> None:
    """Lines to stderr, foreign text in them as text: no escape sequence of data reaches a terminal."""
    from tui_lookups.visible import visible

    for line in text.splitlines():
        print(visible(line), file=sys.stderr)


def _show_usage(error: click.ClickException) -> None:
    text = io.StringIO()
    error.show(text)
    _print_visible(text.getvalue())


def _failed(error: Exception) -> int:
    """Say what went wrong in one sentence and one hint; the exit status."""
    from tui_lookups.visible import visible

    said = as_lookups_error(error)
    print(f"Error: {visible(said.message)}", file=sys.stderr)
    if said.hint:
        print(f"Hint: {visible(said.hint)}", file=sys.stderr)
    return WRONG_USAGE if isinstance(error, FlagError) else FAILED
