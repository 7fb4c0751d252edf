"""`lookups-tui`: opens the app, or answers one question on the command line.

A subcommand is a function under `@command(app)` that asks the Explorer one question through
`Invocation.answer`. What it shares with the others (flags, output, exit status) is in invocation.py, the
renderer of its result in tables.py, and its JSON are the fields of the result's dataclass.

`--help` and `--version` import neither torch, NumPy, Textual nor pydantic.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

import click

from tui_lookups.commands.analysis import ANALYSIS
from tui_lookups.commands.explanation import EXPLANATION
from tui_lookups.commands.invocation import (
    CONTEXT,
    NAME,
    Invocation,
    command,
    leave,
    run,
    top_option,
    with_common_flags,
)
from tui_lookups.commands.upkeep import CACHE_UPKEEP, UPKEEP
from tui_lookups.errors import BadIdError, ExportError, LookupsError, SettingsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    CacheInfo,
    HeadAttributions,
    HeadOverview,
    PromptKind,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
)
from tui_lookups.version import __version__

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer

QUIET_ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TEXTUAL_ANIMATIONS": "none",
}
"""Keeps the libraries below from writing to a terminal that is not theirs; the person's own values win."""

EXPORT_NEURONS, EXPORT_PROMPTS, EXPORT_HEADS = 5, 3, 3


def main() -> NoReturn:
    """The console script."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    leave(run(app, sys.argv[1:]))


@with_common_flags
@click.group(invoke_without_command=True, context_settings=CONTEXT)
@click.option("--token", help="Token to open the app with.")
@click.version_option(__version__, prog_name=NAME, message="%(prog)s %(version)s")
@click.pass_context
def app(ctx: click.Context, token: str | None) -> int | None:
    """Which neurons promote a token, what text fires them, which heads look that context up.

    Without a subcommand the app opens. Flags may stand before or after the subcommand.
    """
    invocation = ctx.ensure_object(Invocation)
    if ctx.invoked_subcommand is None:
        return _open_app(invocation, token)
    if token is not None:
        raise click.UsageError("--token opens the app; it does not go with a subcommand.", ctx)
    return None


def _open_app(invocation: Invocation, token: str | None) -> int:
    if invocation.json:
        raise click.UsageError("--json needs a subcommand.")
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr)):
        if not stream.isatty():
            raise LookupsError(
                f"The app needs a terminal, and {name} is none.",
                f"For scripts use a subcommand, such as `{NAME} neurons TOKEN --json`.",
            )
    with invocation.exploring() as explorer:
        from tui_lookups.tui import run_app

        status: int = run_app(explorer, token=token)
        return status


# --- subcommands: token -> neurons -> prompts -> heads ---


@command(app)
@click.argument("token")
@top_option(20, "How many neurons.")
@click.option("--next-token-only", is_flag=True, help="Only neurons whose own top token is this one.")
def neurons(invocation: Invocation, token: str, top: int, next_token_only: bool) -> None:
    """The neurons that promote TOKEN.

    " time" and "time" are different tokens; "#640" is the token with that id."""
    invocation.answer(lambda explorer, _: explorer.neurons(token, top=top, next_token_only=next_token_only))


@command(app)
@click.argument("neuron")
@top_option(20, "How many tokens.")
def tokens(invocation: Invocation, neuron: str, top: int) -> None:
    """The tokens NEURON promotes most.

    NEURON is written L9.N1985 or 9.1985. Also the tokens it suppresses most."""
    name = NeuronId.parse(neuron)
    invocation.answer(lambda explorer, _: explorer.tokens(name, top=top))


@command(app)
def scan(invocation: Invocation) -> None:
    """Find the top prompts of every neuron.

    One pass over the corpus; it goes on where an earlier scan stopped."""
    invocation.answer(lambda explorer, narrator: explorer.scan(progress=narrator.hear))


@command(app)
@click.argument("neuron")
@top_option(None, "How many prompts (all that are kept, by default).")
@click.option(
    "--kind",
    type=click.Choice(get_args(PromptKind)),
    default="top",
    show_default=True,
    help="Those that fire it most, a random sample, or one of each decile of their peaks.",
)
def prompts(invocation: Invocation, neuron: str, top: int | None, kind: PromptKind) -> None:
    """The prompts that fire NEURON most.

    With what it comes to at each peak. Scans the corpus first when that has not been done."""
    name = NeuronId.parse(neuron)

    def ask(explorer: Explorer, narrator: Narrator) -> object:
        kept = explorer.settings.top
        if kind == "top" and top is not None and top > kept:
            print(f"The index keeps {kept} prompts a neuron; LOOKUPS_TOP={top} keeps more.", file=sys.stderr)
        return explorer.prompts_with_figures(name, kind=kind, top=top or kept)

    invocation.answer(ask)


@command(app)
@click.argument("neuron")
@click.option("--text", required=True, help="The text to run.")
def activations(invocation: Invocation, neuron: str, text: str) -> None:
    """How NEURON fires on a text."""
    name = NeuronId.parse(neuron)
    invocation.answer(lambda explorer, _: explorer.activations(name, text))


@command(app)
@click.argument("neuron")
@click.option(
    "--prompt", type=click.IntRange(min=1), metavar="RANK", help="Rank of the prompt, 1 by default."
)
@click.option("--text", help="A text instead of a prompt.")
@click.option("--sources", metavar="HEAD", help="Split this head's attribution over the tokens it reads.")
@click.option("--trimmed/--full", default=None, help="Attribute on the trimmed prompt.")
@click.option("--all-prompts", is_flag=True, help="Over all prompts of the neuron.")
def heads(
    invocation: Invocation,
    neuron: str,
    prompt: int | None,
    text: str | None,
    sources: str | None,
    trimmed: bool | None,
    all_prompts: bool,
) -> None:
    """The attention heads that fire NEURON.

    On one prompt or text, with everything else that adds up to its activation, or over all prompts."""
    if prompt is not None and text is not None:
        raise click.UsageError("--prompt and --text exclude each other.")
    if all_prompts and any(given is not None for given in (prompt, text, sources)):
        raise click.UsageError("--all-prompts goes with none of --prompt, --text and --sources.")
    if text is not None and trimmed:
        raise click.UsageError("--trimmed is about prompts; it does not go with --text.")
    name, head = NeuronId.parse(neuron), None if sources is None else HeadId.parse(sources)

    def ask(explorer: Explorer, narrator: Narrator) -> HeadAttributions | HeadOverview:
        if all_prompts:
            return explorer.heads_overview(name, trimmed=trimmed)
        rank = 1 if prompt is None and text is None else prompt
        return explorer.heads(name, prompt=rank, text=text, sources=head, trimmed=trimmed)

    invocation.answer(ask)


for _command in (*ANALYSIS.commands.values(), *EXPLANATION.commands.values(), *UPKEEP.commands.values()):
    app.add_command(_command)


# --- export ---


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote, and where."""

    path: str
    neurons: int
    prompts: int
    heads: int


def _is_neuron(text: str) -> bool:
    try:
        NeuronId.parse(text)
    except BadIdError:
        return False
    return True


def gather_selection(explorer: Explorer, names: tuple[str, ...], top: int) -> Selection:
    """The basket for tokens and neurons by name, each thing once, in the order it is met.

    A token brings its `top` neurons; every neuron brings its first prompts, and of the first prompt the
    heads of largest absolute attribution.
    """
    chosen: dict[NeuronId, SelectedNeuron] = {}
    for name in names:
        if _is_neuron(name):
            neuron = NeuronId.parse(name)
            chosen.setdefault(neuron, SelectedNeuron(neuron))
            continue
        ranking = explorer.neurons(name, top=top)
        for row in ranking.neurons:
            chosen.setdefault(row.neuron, SelectedNeuron(row.neuron, ranking.token))
    prompts: list[SelectedPrompt] = []
    heads: list[SelectedHead] = []
    for neuron in chosen:
        found = explorer.prompts(neuron, top=EXPORT_PROMPTS).prompts
        prompts += (SelectedPrompt(neuron, prompt.prompt_id) for prompt in found)
        if found:
            scores = explorer.heads(neuron, prompt=1).heads
            largest = sorted(scores, key=lambda score: -abs(score.attribution))[:EXPORT_HEADS]
            heads += (SelectedHead(neuron, score.head, found[0].prompt_id) for score in largest)
    return Selection(tuple(chosen.values()), tuple(prompts), tuple(heads))


@command(app)
@click.argument("names", nargs=-1, required=True, metavar="TOKEN_OR_NEURON...")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@top_option(EXPORT_NEURONS, "How many neurons a token brings.")
def export(invocation: Invocation, names: tuple[str, ...], output: Path, force: bool, top: int) -> None:
    """Write neurons, prompts and heads to a file.

    A token brings its first neurons; what reads as a neuron is one, and "#640" is a token id."""
    # before minutes of scanning, not after them
    if output.exists() and not force:
        raise ExportError(f"{output} exists already.", "Choose another file, or overwrite it with --force.")
    if not output.absolute().parent.is_dir():
        raise ExportError(f"The folder of {output} does not exist.", "Make it first, or choose another file.")

    def ask(explorer: Explorer, narrator: Narrator) -> Exported:
        selection = gather_selection(explorer, names, top)
        path = explorer.export(selection, output, overwrite=force)
        return Exported(str(path), len(selection.neurons), len(selection.prompts), len(selection.heads))

    invocation.answer(
        ask,
        rows=lambda done: [
            ("written", done.path),
            ("neurons", f"{done.neurons}"),
            ("prompts", f"{done.prompts}"),
            ("heads", f"{done.heads}"),
        ],
    )


# --- cache and config ---


@with_common_flags
@app.group(context_settings=CONTEXT)
def cache() -> None:
    """What is kept on disk."""


@command(cache)
def info(invocation: Invocation) -> None:
    """What the cache holds and how large it is."""
    invocation.answer(lambda explorer, _: explorer.cache_info())


@command(cache)
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(invocation: Invocation, yes: bool) -> None:
    """Empty the cache; scans start over."""

    def ask(explorer: Explorer, narrator: Narrator) -> CacheInfo:
        return explorer.cache_clear()

    # a script has said what it wants; a person may have typed it by mistake
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if asks and not click.confirm("Empty the cache?", err=True):
        raise LookupsError("Nothing was cleared.", "Confirm with y, or give --yes.")
    invocation.answer(ask)


for _command in CACHE_UPKEEP.commands.values():
    cache.add_command(_command)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Where config.toml lies."""

    path: str
    exists: bool


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """A setting, and where its value came from."""

    name: str
    value: str | int | float | bool
    source: str


@dataclass(frozen=True, slots=True)
class ConfigValues:
    """Every setting."""

    path: str
    settings: tuple[ConfigValue, ...]


@with_common_flags
@app.group(context_settings=CONTEXT)
def config() -> None:
    """Settings, and where they come from.

    A flag outranks the environment (LOOKUPS_*), which outranks config.toml."""


@command(config, "path")
def config_path_(invocation: Invocation) -> None:
    """Where config.toml is looked for."""
    from tui_lookups.settings import config_path

    path = config_path()
    invocation.emit(ConfigFile(str(path), path.exists()), rows=[(str(path),)])


@command(config)
def show(invocation: Invocation) -> None:
    """Every setting with its value and where it came from."""
    from tui_lookups.settings import config_path, config_text

    rows = invocation.settings().describe()
    values = ConfigValues(str(config_path()), tuple(ConfigValue(*row) for row in rows))
    invocation.emit(values, rows=[(row.name, config_text(row.value), row.source) for row in rows])


@command(config)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init(invocation: Invocation, force: bool) -> None:
    """Write a config.toml that lists every setting at its default."""
    from tui_lookups.settings import config_path, default_config_text

    path = config_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(default_config_text())
    except FileExistsError:
        raise SettingsError(f"{path} exists already.", "Edit it, or overwrite it with --force.") from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror or error}.", "Set LOOKUPS_CONFIG to another place."
        ) from error
    invocation.emit(ConfigFile(str(path), True), rows=[("written", str(path))])
