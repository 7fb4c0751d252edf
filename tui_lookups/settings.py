"""Every setting once: flag > environment (LOOKUPS_*) > config.toml > preset > default.

1. `config_path()` is where config.toml lies: LOOKUPS_CONFIG, else the user's configuration folder.
2. `load_settings(**flags)` merges the sources in that order, reads and checks every value that was given,
   and returns `Settings`, frozen. `Settings()` are the plain defaults.
3. A value outside what is allowed, or a key nobody knows, is a `SettingsError` that names the setting,
   the value, what is allowed and where it came from. A flag's is a `FlagError`: wrong usage.
4. `describe_settings(**flags)` lists name, value and source of each. What a config.toml looks like is in
   settings_file.py.

Secrets (HF_TOKEN, OPENAI_API_KEY) are no settings: whoever needs one reads it from the environment, and
nothing here can print it. No setting is read anywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import platformdirs

from tui_lookups import config_file
from tui_lookups.config_file import APP, PREFIX
from tui_lookups.errors import FlagError, SettingsError
from tui_lookups.ids import FeatureId, NeuronId
from tui_lookups.results.base import (
    ActivityRule,
    BosSetting,
    DeviceMap,
    Dtype,
    Preset,
    ScanEngine,
    SignSetting,
)
from tui_lookups.settings_values import (
    Above0,
    Amount,
    DeviceName,
    From0,
    From1,
    From2,
    LayerNumbers,
    Plain,
    Reader,
    Text,
    Url,
    Writer,
    amount,
    choice,
    key_table,
    layer_list,
    number,
    path,
    switch,
    text,
    word,
)

PRESETS: Mapping[str, Mapping[str, Any]] = {"default": {}, "paper": {"trimmed": True}}
"""What a preset puts in place of the defaults; what is set by flag, environment or file outranks it."""

NOT_IN_FILE = frozenset({"trust_remote_code"})
"""Settings that config.toml may not have: a file copied from elsewhere must not run code."""


def _default_cache_dir() -> Path:
    return platformdirs.user_cache_path(APP, appauthor=False)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. The functions in the annotations are explained in settings_values.py."""

    model: Annotated[Text, text("The model.", "demo, smollm2, a hub name, a folder or a .gguf file")] = "demo"
    corpus: Annotated[
        Text,
        text(
            "The texts that are scanned.",
            "demo, a .txt, .jsonl (also .gz, .zst) or .parquet file, a folder, or hub:OWNER/NAME",
        ),
    ] = "demo"
    units: Annotated[
        Text | None,
        text(
            "Dictionary of transcoders whose units take the place of neurons.",
            "none, or a folder in SAELens', circuit-tracer's or Gemma Scope's layout",
            none="none",
        ),
    ] = None
    device: Annotated[DeviceName, word("Where the model runs.", "auto, cpu, cuda, cuda:N, mps")] = "auto"
    device_map: Annotated[
        DeviceMap,
        choice("Blocks of a model larger than one GPU: on all GPUs (auto), or not spread.", DeviceMap),
    ] = "none"
    dtype: Annotated[Dtype, choice("Number format of weights and activations.", Dtype)] = "float32"
    layers: Annotated[LayerNumbers | None, layer_list("Layers whose neurons are ranked.")] = None
    preset: Annotated[
        Preset, choice("Conventions: this tool's, or those of the paper's released code.", Preset)
    ] = "default"
    bos: Annotated[BosSetting, choice("Begin-of-text in front; auto: as the files say.", BosSetting)] = "auto"
    raw_weights: Annotated[bool, switch("Congruence in the raw weights instead of the folded ones.")] = False
    trimmed: Annotated[bool, switch("Attribute heads on the trimmed prompt instead of the full window.")] = (
        False
    )
    sign: Annotated[
        SignSetting,
        choice(
            "Which sign of activation counts as firing; auto: + (plain MLPs) or both (gated).", SignSetting
        ),
    ] = "auto"
    activity_rule: Annotated[
        ActivityRule,
        choice(
            "When a head is active on a prompt: 2 deviations above the mean, or in the top 3.", ActivityRule
        ),
    ] = "2sd"
    cache_dir: Annotated[Path, path("Folder of the cache.", "a folder that can be written")] = msgspec.field(
        default_factory=_default_cache_dir
    )
    cache_size_limit: Annotated[
        From1 | None,
        amount("Most bytes the cache keeps.", "none, or a size like 20GB or 512MiB", none="none"),
    ] = None
    threads: Annotated[
        From1 | None, number("CPU threads of the model.", "auto, or a number from 1", none="auto")
    ] = None
    offline: Annotated[bool, switch("Never reach for the network.")] = False
    trust_remote_code: Annotated[
        bool, switch("Run code that comes with a model (flag or environment only).")
    ] = False
    window: Annotated[
        From2, number("Maximum prompt length in tokens, begin-of-text included.", "a number from 2")
    ] = 256
    max_documents: Annotated[
        From1 | None,
        number(
            "Most documents taken of the corpus; auto is all, and the first 10,000 of a hub data set.",
            "auto, or a number from 1",
            none="auto",
        ),
    ] = None
    text_field: Annotated[
        Text | None,
        text(
            "Field of the corpus' records that holds the texts; auto is text.",
            "auto, or a field's name, with dots into nested objects",
            none="auto",
        ),
    ] = None
    top: Annotated[From1, number("Prompts kept per neuron.", "a number from 1")] = 20
    keep_copies: Annotated[
        bool, switch("List every copy of a repeated text, instead of the best of each text.")
    ] = False
    batch_tokens: Annotated[
        From1 | None,
        number(
            "Maximum number of tokens in a batch of the scan, padding included.",
            "auto, or a number from 1",
            none="auto",
        ),
    ] = None
    checkpoint_seconds: Annotated[
        Above0, number("Seconds between two checkpoints of the scan.", "a number above 0")
    ] = 10.0
    engine: Annotated[ScanEngine, choice("What runs the scan: this process or Ray workers.", ScanEngine)] = (
        "local"
    )
    ray_address: Annotated[
        Text | None,
        text(
            "Ray cluster that scans; auto is RAY_ADDRESS, or workers on this machine.",
            "auto, HOST:PORT, or ray://HOST:PORT",
            none="auto",
        ),
    ] = None
    ray_workers: Annotated[
        From1 | None,
        number(
            "Ray workers; auto means one per GPU, or one per four CPUs.",
            "auto, or a number from 1",
            none="auto",
        ),
    ] = None
    gpus_per_worker: Annotated[
        From1, number("GPUs per Ray worker; a model is spread over several.", "a number from 1")
    ] = 1
    compile: Annotated[
        bool, switch("Have torch compile the attention of the scan's forward pass; needs a C++ compiler.")
    ] = False
    explainer_model: Annotated[
        Text, text("Model that explains heads and scores explanations.", "a name the endpoint knows")
    ] = "gpt-4.1"
    base_url: Annotated[
        Url | None,
        text(
            "Where the explainer is; auto is OPENAI_BASE_URL or OpenAI.",
            "auto, or a URL like http://127.0.0.1:8000/v1",
            none="auto",
        ),
    ] = None
    explainer_thinking_tokens: Annotated[
        From0,
        number("Tokens an explainer that reasons may think before each answer.", "a number from 0"),
    ] = 8192
    explainer_timeout: Annotated[
        Above0, number("Seconds an explainer may be silent.", "a number above 0")
    ] = 60.0
    explainer_retries: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=10)],
        number("Times a request to the explainer is repeated.", "0 to 10"),
    ] = 3
    explainer_concurrency: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)],
        number("Requests to the explainer under way at once.", "1 to 256"),
    ] = 8
    token_budget: Annotated[
        From1 | None,
        amount(
            "Maximum number of tokens a session may use.", "none, or a number like 200000 or 2M", none="none"
        ),
    ] = None
    price_per_million_input: Annotated[
        Amount | None, number("Price of a million tokens sent.", "none, or a number from 0", none="none")
    ] = None
    price_per_million_output: Annotated[
        Amount | None, number("Price of a million tokens received.", "none, or a number from 0", none="none")
    ] = None
    theme: Annotated[Text, text("Theme of the app.", "auto, or a theme the command palette lists")] = "auto"
    keys: Annotated[
        dict[str, str], key_table("Custom key bindings by action id; ? and the command palette list the ids.")
    ] = msgspec.field(default_factory=dict)
    plain: Annotated[bool, switch("The app as lines of plain text from the start, for a screen reader.")] = (
        False
    )
    low_bandwidth: Annotated[
        bool, switch("As few bytes as possible: ASCII frames, few shades, rare updates.")
    ] = False
    atlas_reject: Annotated[
        Path | None,
        path("Tokens the atlas leaves out, one a line.", "none, or a text file", none="none"),
    ] = None
    log: Annotated[
        Path | None, path("File that gets a log.", "none, or a file that can be written", none="none")
    ] = None
    seed: Annotated[From0, number("Seed of everything that is drawn at random.", "a number from 0")] = 0

    @property
    def neuron_id(self) -> type[NeuronId]:
        """What a name without a letter, like 9.1985, is of: a FeatureId where a dictionary is open."""
        return NeuronId if self.units is None else FeatureId


class SettingRow(NamedTuple):
    """One line of `config show`: `value` as config.toml would say it, `source` in words."""

    name: str
    value: Plain
    source: str


class SettingField(NamedTuple):
    """What is known of one setting: its type as msgspec checks it, and what its kind says."""

    name: str
    type: Any
    what: str
    allowed: str
    read: Reader
    write: Writer
    none: str | None
    also: tuple[dict[str, Any], ...]


@cache
def setting_fields() -> Mapping[str, SettingField]:
    """Every setting by name, in the order of the class."""
    return {
        field.name: SettingField(field.name, field.type, meta.description, **meta.extra)
        for field in msgspec.structs.fields(Settings)
        for meta in field.type.__metadata__[-1:]
    }


def load_settings(**flags: Any) -> Settings:
    """Settings with these flags on top; a flag of value None was not given. Raises SettingsError."""
    return _merged(flags)[0]


def describe_settings(**flags: Any) -> tuple[SettingRow, ...]:
    """Every setting with its value and where it came from, in the order of the class."""
    settings, sources = _merged(flags)
    preset = PRESETS[settings.preset]
    return tuple(
        SettingRow(
            field.name,
            plain_value(field, getattr(settings, field.name)),
            sources.get(field.name) or (f"preset {settings.preset}" if field.name in preset else "default"),
        )
        for field in setting_fields().values()
    )


def _merged(flags: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    """The settings, and in words where each that is not at its default comes from."""
    names = setting_fields()
    config = config_file.config_path()
    values = read_config(config)
    sources = dict.fromkeys(values, f"file {config}")
    for variable, value in os.environ.items():
        name = variable.lower().removeprefix(PREFIX.lower())
        if value and variable.lower().startswith(PREFIX.lower()) and name in names:
            values[name], sources[name] = value, f"environment {variable}"
    for name, value in flags.items():
        if value is not None:
            values[name], sources[name] = value, f"flag {_flag(name)}"
            if name not in names:
                raise FlagError(f"{name!r} is not a setting (flag {_flag(name)}).", _close_to(name))
    checked = {name: _checked(names[name], value, sources[name]) for name, value in values.items()}
    return Settings(**{**PRESETS[checked.get("preset", "default")], **checked}), sources


def _checked(field: SettingField, value: object, source: str) -> Any:
    """`value` as the field's type. Raises SettingsError, FlagError where it was a flag."""
    if field.none is not None and isinstance(value, str) and value.strip().lower() == field.none:
        return None
    try:
        return msgspec.convert(field.read(value), field.type)
    except ValueError as error:  # msgspec's ValidationError is one
        kind = FlagError if source.startswith("flag ") else SettingsError
        where = source + config_file.line_of(field.name) if source.startswith("file ") else source
        message = f"{field.name} cannot be {value!r} ({where})."
        raise kind(message, f"Allowed: {field.allowed}.") from error


# --- config.toml ---


def read_config(path: Path) -> dict[str, Any]:
    """The keys of config.toml; {} where there is no file and none was named.

    Raises SettingsError for a file that was named and is missing, cannot be read, is not TOML, or has a
    key that is no setting.
    """
    values = config_file.read(path)
    for key in values:
        if key in NOT_IN_FILE:
            raise SettingsError(
                f"{key} cannot be set in {path}.",
                f"Give {_flag(key)} or {PREFIX}{key.upper()} when you mean it.",
            )
        if key not in setting_fields():
            raise SettingsError(f"{path} has the unknown setting {key!r}.", _close_to(key))
    return values


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _close_to(key: str) -> str:
    import difflib

    names = [name for name in setting_fields() if name not in NOT_IN_FILE]
    close = difflib.get_close_matches(key.replace("-", "_"), names, n=1)
    return f"Did you mean {close[0]}?" if close else f"Settings are {', '.join(names)}."


def plain_value(field: SettingField, value: Any) -> Plain:
    """A setting's value as config.toml would say it."""
    return field.none or "" if value is None else field.write(value)
