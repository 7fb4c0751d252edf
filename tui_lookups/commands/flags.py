"""The flags of every command, and how --help shows them.

1. A subcommand's help has its own options first, then the common ones that are used often; the others are
   only named. `lookups-tui --help` has all of them, by section.
2. What is done with a flag that was given is for invocation.py to say (`remember`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from textwrap import wrap
from typing import Any, Literal, get_args

import click

from tui_lookups.commands.completing import offering, offering_layers
from tui_lookups.exports.formats import RecordFormat
from tui_lookups.results import BosSetting, DeviceMap, Dtype, Preset, ScanEngine, SignSetting

NAME = "lookups-tui"

Format = Literal["table", "json", RecordFormat, "svg"]

Remember = Callable[[click.Context, click.Parameter, Any], None]
"""Is told the value of each common flag; None where it was not given."""


def _choice(literal: Any) -> click.Choice[str]:
    return click.Choice(get_args(literal))


class CommonFlag(click.Option):
    """A flag of every command.

    Attributes:
        section: where `lookups-tui --help` has it.
        often: whether the help of every subcommand has it; the others it only names.
    """

    def __init__(
        self,
        remember: Remember,
        names: Sequence[str],
        section: str,
        *,
        often: bool = False,
        **attributes: Any,
    ) -> None:
        super().__init__(names, default=None, expose_value=False, callback=remember, **attributes)
        self.section = section
        self.often = often


_MODEL, _RULES, _MACHINE, _EXPLAINER, _OUTPUT = (
    "Model and texts", "What counts", "Machine and cache", "Explainer", "Output",
)  # fmt: skip


def common_flags(
    remember: Remember, flags_of: Callable[[click.Context], Mapping[str, Any]]
) -> list[CommonFlag]:
    """The flags of every command; all but the last three name a field of Settings."""
    flag = partial(CommonFlag, remember)
    kinds = "demo, a .txt, .jsonl (also .gz, .zst) or .parquet file, a folder, or hub:OWNER/NAME."
    return [
        flag(
            ["--model"], _MODEL, metavar="MODEL", often=True,
            shell_complete=offering("demo", "smollm2", paths="file"),
            help="demo, smollm2, a hub name (NAME@REVISION), a folder or a .gguf file.",
        ),
        flag(
            ["--units"], _MODEL, metavar="FOLDER", often=True,
            help="A dictionary of transcoders: its units take the place of neurons.",
            shell_complete=offering(paths="dir"),
        ),
        flag(
            ["--corpus"], _MODEL, metavar="CORPUS", often=True, help=kinds,
            shell_complete=offering("demo", paths="file"),
        ),
        flag(["--max-documents"], _MODEL, type=int, metavar="N", help="Most documents taken of the corpus."),
        flag(
            ["--text-field"], _MODEL, metavar="NAME",
            help="Field of the corpus' records that holds the texts.",
        ),
        flag(["--window"], _MODEL, type=int, metavar="N", help="Maximum prompt length in tokens."),
        flag(["--bos"], _MODEL, type=_choice(BosSetting), help="Begin-of-text in front of every text."),
        flag(["--trust-remote-code/--no-remote-code"], _MODEL, help="Run code that comes with a model."),
        flag(["--offline/--online"], _MODEL, help="Never reach for the network."),
        flag(
            ["--layers"], _RULES, metavar="LAYERS", often=True,
            help="Layers whose neurons are ranked, like 9-11 or 0,2,5-7.",
            shell_complete=offering_layers(flags_of),
        ),
        flag(
            ["--preset"], _RULES, type=_choice(Preset), help="paper: the conventions of the authors' code."
        ),
        flag(["--raw-weights/--folded-weights"], _RULES, help="Congruence in the raw weights."),
        flag(
            ["--sign"], _RULES, type=_choice(SignSetting), help="Which sign of activation counts as firing."
        ),
        flag(["--keep-copies/--distinct-texts"], _RULES, help="List every copy of a repeated text."),
        flag(
            ["--device"], _MACHINE, metavar="DEVICE", help="auto, cpu, cuda:1, mps.",
            shell_complete=offering("auto", "cpu", "cuda", "mps"),
        ),
        flag(
            ["--device-map"], _MACHINE, type=_choice(DeviceMap), help="Spread a large model over all GPUs."
        ),
        flag(["--dtype"], _MACHINE, type=_choice(Dtype), help="Number format of the model."),
        flag(["--threads"], _MACHINE, type=int, metavar="N", help="CPU threads of the model."),
        flag(["--compile/--no-compile"], _MACHINE, help="Have torch compile the scan's attention."),
        flag(
            ["--engine"], _MACHINE, type=_choice(ScanEngine),
            help="What runs the scan: this process or Ray workers.",
        ),
        flag(
            ["--ray-address"], _MACHINE, metavar="ADDRESS",
            help="A running Ray cluster; default: RAY_ADDRESS.",
        ),
        flag(
            ["--ray-workers"], _MACHINE, type=int, metavar="N", help="Ray workers; one per GPU by default."
        ),
        flag(["--gpus-per-worker"], _MACHINE, type=int, metavar="N", help="GPUs per Ray worker."),
        flag(
            ["--cache-dir"], _MACHINE, metavar="FOLDER", help="Folder of the cache.",
            shell_complete=offering(paths="dir"),
        ),
        flag(
            ["--explainer-model"], _EXPLAINER, metavar="NAME",
            help="Model that explains heads and scores explanations.",
        ),
        flag(
            ["--base-url"], _EXPLAINER, metavar="URL",
            help="Where the explainer is: any OpenAI-compatible server.",
        ),
        flag(
            ["--format"], _OUTPUT, type=_choice(Format), often=True,
            help="How an answer is printed; parquet needs a file or a pipe, svg is its figure.",
        ),
        flag(["--json"], _OUTPUT, is_flag=True, often=True, help="Print one JSON document: --format json."),
        flag(
            ["--log"], _OUTPUT, metavar="FILE", help="Write a log to this file.",
            shell_complete=offering(paths="file"),
        ),
        flag(["--debug"], _OUTPUT, is_flag=True, help="Print a traceback when something fails."),
    ]  # fmt: skip


def write_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter, *, all_of_them: bool
) -> None:
    """A command's own options, then the common ones: by section, or the usual ones and the others' names."""
    own, common = [], []
    for param in command.get_params(ctx):
        if isinstance(param, CommonFlag):
            common.append(param)
        elif isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
            own.append(record)
    with formatter.section("Options"):
        formatter.write_dl(own)

    def write_section(title: str, flags: list[CommonFlag]) -> None:
        with formatter.section(title):
            formatter.write_dl([record for flag in flags if (record := flag.get_help_record(ctx))])

    if all_of_them:
        for section in dict.fromkeys(flag.section for flag in common):
            write_section(section, [flag for flag in common if flag.section == section])
        return
    write_section("Common options", [flag for flag in common if flag.often])
    others = ", ".join(flag.opts[0] for flag in common if not flag.often)
    formatter.write_paragraph()
    text = f"Also {others}: see `{NAME} --help`."
    for line in wrap(text, formatter.width - 4, break_on_hyphens=False):
        formatter.write(f"  {line}\n")


class Subcommand(click.Command):
    """Help with its own options first, and of the common ones those that are used often."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        write_options(self, ctx, formatter, all_of_them=False)
