"""`doctor`: what this machine, this terminal, this cache and this model allow; what is wrong and what to do.

Each check is a small function that returns findings and raises nothing for a state it is there to find.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tui_lookups.config_file import config_path
from tui_lookups.errors import LookupsError, SettingsError
from tui_lookups.results.checkup import Checkup, Finding, SelfCheck
from tui_lookups.results.inventory import FileEntry
from tui_lookups.settings import Settings, read_config
from tui_lookups.storage.files import filesystem_type, is_network_filesystem

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer

_PACKAGES = (
    "textual",
    "torch",
    "transformer_lens",
    "transformers",
    "tokenizers",
    "numpy",
    "diskcache",
    "openai",
)
_REACH_SECONDS = 3.0
_TMUX_SECONDS = 3.0
_SMALL_DISK = 2 * 10**9
_NVIDIA_TRACES = ("/dev/nvidia0", "/proc/driver/nvidia/version")
"""What a driver leaves on Linux, also where its tools are not installed, as in many containers."""


def examine(explorer: Explorer, *, model: bool = True) -> Checkup:
    """Look at everything; with `model` also load it and check that its decomposition closes."""
    settings = explorer.settings
    findings = [*versions(), *torch_build(), *terminal(os.environ, sys.stdout.isatty()), *configuration()]
    findings += [*cache_folder(settings), *cache_entries(explorer), *network(settings), *keys(os.environ)]
    self_check: SelfCheck | None = None
    entries: tuple[FileEntry, ...] = ()
    if model:
        model_findings, self_check = model_check(explorer)
        listed, entries = contents(explorer)
        findings += [*model_findings, *listed, *(corpus_check(explorer) if self_check else ())]
    return Checkup(tuple(findings), sum(f.state == "problem" for f in findings), self_check, entries)


def versions() -> Iterator[Finding]:
    """Python and the packages the tool stands on."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        try:
            yield Finding(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, "problem", "not installed", f"Install it: pip install {package}")


def torch_build() -> Iterator[Finding]:
    """The devices torch can use, and a GPU that is there but cannot be used."""
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    yield Finding("devices", "ok", ", ".join(devices))
    traces = [trace for trace in _NVIDIA_TRACES if os.path.exists(trace)]
    if torch.cuda.is_available() or not (traces or shutil.which("nvidia-smi")):
        return
    there = f"there is an NVIDIA GPU ({traces[0]})" if traces else "there is an NVIDIA driver (nvidia-smi)"
    if torch.version.cuda:
        build = f"built for CUDA {torch.version.cuda}"
        hint = "Check CUDA_VISIBLE_DEVICES, and that the driver is new enough for that CUDA version."
    else:
        build = f"built for ROCm {torch.version.hip}" if torch.version.hip else "a CPU build"
        hint = "Install a CUDA build of torch (pytorch.org names the command for this driver)."
    yield Finding("gpu", "problem", f"{there}, but torch {torch.__version__} ({build}) sees no GPU", hint)


def terminal(environment: Mapping[str, str], is_terminal: bool) -> Iterator[Finding]:
    """What colours and what copying the app will have here."""
    term, depth = environment.get("TERM", ""), environment.get("COLORTERM", "")
    if not is_terminal:
        yield Finding("terminal", "note", "stdout is not a terminal: subcommands work, the app does not open")
    elif term in ("", "dumb"):
        yield Finding(
            "terminal", "problem", f"TERM is {term!r}: the app cannot draw", "Set TERM, e.g. xterm-256color."
        )
    elif environment.get("NO_COLOR"):
        yield Finding("terminal", "note", "NO_COLOR is set: sign and size are told by glyphs")
    elif depth in ("truecolor", "24bit"):
        yield Finding("terminal", "ok", f"{term}, 16 million colours")
    elif "256" in term:
        yield Finding(
            "terminal",
            "note",
            f"{term}, 256 colours (COLORTERM is not forwarded)",
            "For finer shading, if your terminal has it: export COLORTERM=truecolor",
        )
    else:
        yield Finding(
            "terminal", "note", f"{term}, 16 colours", "Most terminals do better with TERM=xterm-256color."
        )
    if is_terminal or environment.get("TMUX"):
        yield copying(environment)


def copying(environment: Mapping[str, str]) -> Finding:
    """Where what the app copies goes: a terminal that takes the OSC 52 sequence does not say so."""
    if environment.get("TMUX"):
        passes = tmux_says("show-options", "-gsv", "set-clipboard")
        if passes is None:
            hint = "Start the app in a pane of a running tmux."
            return Finding("copy", "note", "TMUX is set, but no tmux answers: OSC 52 is what is left", hint)
        if passes == "off":
            hint = "`set -g set-clipboard external` in tmux.conf also passes it to the clipboard."
            return Finding("copy", "note", "into tmux's buffer (prefix ] pastes), no further", hint)
        return Finding(
            "copy", "ok", f"into tmux's buffer (prefix ] pastes); set-clipboard {passes} passes it on"
        )
    if environment.get("STY"):
        hint = "Run the app outside of screen, or in tmux."
        return Finding("copy", "note", "GNU screen does not pass OSC 52 on", hint)
    if environment.get("TERM_PROGRAM") == "Apple_Terminal":
        return Finding(
            "copy", "note", "Apple's Terminal takes no OSC 52", "Run tmux in it, or another terminal."
        )
    return Finding("copy", "ok", "by OSC 52, where the terminal takes it: most do, some after a setting")


def tmux_says(*arguments: str) -> str | None:
    """What tmux answers; None where it does not."""
    try:
        asked = subprocess.run(
            ["tmux", *arguments], capture_output=True, text=True, timeout=_TMUX_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def configuration() -> Iterator[Finding]:
    """The config file."""
    path = config_path()
    try:
        values = read_config(path)
    except SettingsError as error:
        yield Finding("config", "problem", error.message, error.hint)
        return
    yield Finding("config", "ok", f"{path} ({len(values)} settings)" if path.exists() else f"none at {path}")


def cache_folder(settings: Settings) -> Iterator[Finding]:
    """Whether the cache folder can be used, where it lies, and how much room there is."""
    folder = settings.cache_dir
    # Not Path.exists, which before Python 3.14 raises for what lies in a folder that may not be entered.
    existing = next(p for p in (folder, *folder.parents) if os.path.exists(p))
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "cache", "problem", f"{folder} cannot be written", "Name another folder with --cache-dir."
        )
        return
    if is_network_filesystem(existing):
        kind = filesystem_type(existing) or "network"
        yield Finding(
            "cache",
            "problem",
            f"{folder} is on a network file system ({kind}), where SQLite is not safe",
            "Name a folder on a local disk with --cache-dir.",
        )
    free = shutil.disk_usage(existing).free
    room = f"{free / 1e9:.1f} GB free"
    yield Finding("disk", "note" if free < _SMALL_DISK else "ok", f"{room} at {existing}")


def cache_entries(explorer: Explorer) -> Iterator[Finding]:
    """What the cache holds and what of it is damaged or stale."""
    try:
        info = explorer.cache_info()
    except LookupsError as error:
        yield Finding("cache", "problem", error.message, error.hint)
        return
    yield Finding(
        "cache",
        "ok",
        f"{info.path}: {info.entries} results, {info.indexes} indexes, {info.bytes / 1e6:.1f} MB",
    )
    for problem in info.problems:
        yield Finding("cache", "note", problem)
    for sentence in explorer.cache_stale():
        yield Finding("cache format", "note", sentence, "`lookups-tui cache clear` makes room.")


def network(settings: Settings) -> Iterator[Finding]:
    """Whether the model hub can be reached."""
    if settings.offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield Finding("hub", "note", "offline by setting: models come from folders and the local cache")
        return
    from huggingface_hub import constants

    where = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((where.hostname or "", where.port or 443), _REACH_SECONDS):
            yield Finding("hub", "ok", "the model hub can be reached")
    except OSError as error:
        yield Finding(
            "hub",
            "note",
            f"the model hub cannot be reached ({error.strerror or error})",
            "Point --model at a Hugging Face folder or a .gguf file.",
        )


def keys(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether secrets are set; never what they are."""
    for name, use in (("OPENAI_API_KEY", "explanations"), ("HF_TOKEN", "gated models")):
        if environment.get(name):
            yield Finding(name, "ok", f"set, for {use}")
        else:
            yield Finding(name, "note", f"not set: no {use}", f"Set {name} to use them.")


def contents(explorer: Explorer) -> tuple[list[Finding], tuple[FileEntry, ...]]:
    """Every file, key and tensor of the model, and how many of them are applied, harmless, refused."""
    try:
        entries = explorer.inventory()
    except LookupsError as error:
        return [Finding("model files", "note", f"not listed: {error.message}", error.hint)], ()
    counts = Counter(entry.fate for entry in entries)
    said = ", ".join(f"{counts[fate]} {fate}" for fate in ("applied", "harmless", "refused"))
    state: Literal["ok", "note"] = "note" if counts["refused"] else "ok"
    return [Finding("model files", state, f"{len(entries)} files, keys and tensors: {said}")], entries


def model_check(explorer: Explorer) -> tuple[list[Finding], SelfCheck | None]:
    """Load the model and check that the decomposition of a few of its neurons closes."""
    try:
        check = explorer.self_check()
    except LookupsError as error:
        return [Finding("model", "problem", error.message, error.hint)], None
    info = explorer.model_info()
    wiring = ", ".join(
        (
            "gated MLP" if check.gated else "plain MLP",
            "own-layer heads reach it" if check.own_layer else "own-layer heads do not reach it",
            f"norm {check.mlp_norm}"
            + (" and post-norms" if check.post_norms else "")
            + (", Post-LN" if info.post_ln else ""),
        )
    )
    family = check.family if check.listed else f"{check.family} (not a listed family)"
    closing = (
        f"remainder {check.relative_remainder:.1e} of the components at {check.neuron}, "
        f"{check.bound:.0e} allowed"
    )
    return [
        Finding("model", "ok", f"{info.name}: {family}, {wiring}"),
        Finding("decomposition", "ok" if check.closes else "problem", closing),
    ], check


def corpus_check(explorer: Explorer) -> Iterator[Finding]:
    """Read and tokenise the corpus, if that was not done before, and say what of it was left out."""
    try:
        info = explorer.corpus_info()
    except LookupsError as error:
        yield Finding("corpus", "problem", error.message, error.hint)
        return
    counted = f"{info.documents:,} documents, {info.prompts:,} prompts, {info.tokens:,} tokens"
    yield Finding("corpus", "ok", f"{info.name}: {counted}")
    for remark in filter(None, (info.other_files, info.spelled_out)):  # the name says what was left out
        yield Finding("corpus", "note", remark)
    if info.left_out is None:
        yield Finding(
            "corpus",
            "note",
            "an earlier version tokenised it, and counted neither records without a text nor special tokens",
        )
