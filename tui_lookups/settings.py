"""Every setting once: flag > environment (LOOKUPS_*) > config.toml > preset > default.

1. `config_path()` is where config.toml lies: LOOKUPS_CONFIG, else the user's configuration folder.
2. `Settings(**flags)` merges the sources in that order, checks every value and is frozen from then on.
3. A value outside what is allowed, or a key nobody knows, is a `SettingsError` that names the setting,
   the value, what is allowed and where it came from. A flag's is a `FlagError`: wrong usage.
4. `Settings.describe()` lists name, value and source of each; `default_config_text()` is a config.toml
   that says everything and changes nothing.

Secrets (HF_TOKEN, OPENAI_API_KEY) are no settings: whoever needs one reads it from the environment, and
nothing here can print it. No setting is read anywhere else.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_args

import platformdirs
from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tui_lookups.errors import FlagError, SettingsError
from tui_lookups.results import ActivityRule, Dtype, Preset, SignSetting
from tui_lookups.settings_values import (
    NONE_WORDS,
    Address,
    AutoCount,
    Budget,
    Count,
    Device,
    Folder,
    Layers,
    OptionalFile,
    Price,
    Seconds,
    Size,
    Text,
)
from tui_lookups.settings_values import format_layers as format_layers
from tui_lookups.settings_values import parse_layers as parse_layers
from tui_lookups.settings_values import parse_size as parse_size

APP = "lookups-tui"
PREFIX = "LOOKUPS_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
PRESETS: Mapping[str, Mapping[str, Any]] = {"default": {}, "paper": {"trimmed": True}}
"""What a preset puts in place of the defaults; what is said by flag, environment or file outranks it."""

_NOT_IN_FILE = frozenset({"trust_remote_code"})  # a file copied from elsewhere must not run code


def _default_cache_dir() -> Path:
    return platformdirs.user_cache_path(APP, appauthor=False)


def config_path() -> Path:
    """Where config.toml is looked for; whether it exists is another matter."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_config_path(APP, appauthor=False) / "config.toml"


def read_config(path: Path) -> dict[str, Any]:
    """The keys of config.toml; {} where there is no file and none was named.

    Raises SettingsError for a file that was named and is missing, cannot be read, is not TOML, or has a
    key that is no setting.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get(CONFIG_VARIABLE):
            raise SettingsError(
                f"{CONFIG_VARIABLE} names {path}, which does not exist.",
                f"Unset {CONFIG_VARIABLE}, or write the file with `{APP} config init`.",
            ) from None
        return {}
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror or error}.",
            f"Make it a readable file, or set {CONFIG_VARIABLE}.",
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}.", 'Write settings as name = "value", one a line.'
        ) from error
    for key in values:
        if key in _NOT_IN_FILE:
            raise SettingsError(
                f"{key} cannot be set in {path}.",
                f"Give {_flag(key)} or {PREFIX}{key.upper()} when you mean it.",
            )
        if key not in Settings.model_fields:
            raise SettingsError(f"{path} has the unknown setting {key!r}.", _close_to(key))
    return values


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _close_to(key: str) -> str:
    known = [name for name in Settings.model_fields if name not in _NOT_IN_FILE]
    close = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Settings are {', '.join(known)}."


def _setting(default: Any, description: str, allowed: str, **limits: Any) -> Any:
    """A field with its description and, in words, what is allowed."""
    if callable(default):
        limits["default_factory"] = default
    else:
        limits["default"] = default
    return Field(description=description, json_schema_extra={"allowed": allowed}, **limits)


def _choices(literal: Any) -> str:
    return ", ".join(get_args(literal))


class SettingRow(NamedTuple):
    """One line of `config show`: `value` as config.toml would say it, `source` in words."""

    name: str
    value: str | int | float | bool
    source: str


class Settings(BaseSettings):
    """All settings, merged and checked. `Settings(**flags)` reads the environment and config.toml.

    Raises SettingsError (FlagError for a keyword's own value), never pydantic's ValidationError.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, allow_inf_nan=False
    )

    model: Text = _setting("demo", "The model.", "demo, smollm2, a hub name, a folder or a .gguf file")
    corpus: Text = _setting(
        "demo", "The texts that are scanned.", "demo, a .txt, .jsonl or .parquet file, a folder, or hub:NAME"
    )
    device: Device = _setting("auto", "Where the model runs.", "auto, cpu, cuda, cuda:N, mps")
    dtype: Dtype = _setting("float32", "Number format of weights and activations.", _choices(Dtype))
    layers: Layers = _setting(
        None,
        "Layers whose neurons are ranked.",
        "all, or layers from 0 like 9-11, 3 or 0,2,5-7",
        min_length=1,
    )
    preset: Preset = _setting(
        "default", "Conventions: this tool's, or those of the paper's released code.", _choices(Preset)
    )
    raw_weights: bool = _setting(
        False, "Congruence in the raw weights instead of the folded ones.", "true, false"
    )
    trimmed: bool = _setting(
        False, "Attribute heads on the trimmed prompt instead of the full window.", "true, false"
    )
    sign: SignSetting = _setting(
        "auto",
        "Sign of firing that counts; auto is + for plain and both for gated MLPs.",
        _choices(SignSetting),
    )
    activity_rule: ActivityRule = _setting(
        "2sd",
        "When a head is active on a prompt: 2 deviations above the mean, or in the top 3.",
        _choices(ActivityRule),
    )
    cache_dir: Folder = _setting(_default_cache_dir, "Folder of the cache.", "a folder that can be written")
    cache_size_limit: Size = _setting(
        None, "Most bytes the cache keeps.", "none, or a size like 20GB or 512MiB", gt=0
    )
    threads: AutoCount = _setting(None, "CPU threads of the model.", "auto, or a number from 1", ge=1)
    offline: bool = _setting(False, "Never reach for the network.", "true, false")
    trust_remote_code: bool = _setting(
        False, "Run code that comes with a model (flag or environment only).", "true, false"
    )
    window: Count = _setting(
        256, "Most tokens a prompt has, begin-of-text included.", "a number from 2", ge=2
    )
    top: Count = _setting(20, "Prompts kept per neuron.", "a number from 1", ge=1)
    batch_tokens: AutoCount = _setting(
        None, "Most tokens in a batch of the scan, padding included.", "auto, or a number from 1", ge=1
    )
    checkpoint_seconds: Seconds = _setting(
        10.0, "Seconds between two checkpoints of the scan.", "a number above 0", gt=0
    )
    explainer_model: Text = _setting(
        "gpt-4.1", "Model that explains heads and scores explanations.", "a name the endpoint knows"
    )
    base_url: Address = _setting(
        None,
        "Where the explainer is; auto is OPENAI_BASE_URL or OpenAI.",
        "auto, or a URL like http://127.0.0.1:8000/v1",
    )
    explainer_timeout: Seconds = _setting(
        60.0, "Seconds an explainer may be silent.", "a number above 0", gt=0
    )
    explainer_retries: Count = _setting(
        3, "Times a request to the explainer is repeated.", "0 to 10", ge=0, le=10
    )
    explainer_concurrency: Count = _setting(
        8, "Requests to the explainer under way at once.", "1 to 256", ge=1, le=256
    )
    token_budget: Budget = _setting(
        None, "Most tokens a session may use.", "none, or a number like 200000 or 2M", gt=0
    )
    price_per_million_input: Price = _setting(
        None, "Price of a million tokens sent.", "none, or a number from 0", ge=0
    )
    price_per_million_output: Price = _setting(
        None, "Price of a million tokens received.", "none, or a number from 0", ge=0
    )
    theme: Text = _setting("auto", "Theme of the app.", "auto, or a theme the command palette lists")
    atlas_reject: OptionalFile = _setting(
        None, "Tokens the atlas leaves out, one a line.", "none, or a text file"
    )
    log: OptionalFile = _setting(None, "File that gets a log.", "none, or a file that can be written")
    seed: Count = _setting(0, "Seed of everything that is drawn at random.", "a number from 0", ge=0)

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **flags: Any) -> None:
        sources = _sources_of(flags)
        try:
            super().__init__(**flags)
        except ValidationError as error:
            raise _explain(error, sources) from error
        self._sources = sources

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then config.toml; no .env, no secrets folder."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_config(config_path()))

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        return {**PRESETS[preset], **values} if isinstance(preset, str) and preset in PRESETS else values

    def describe(self) -> tuple[SettingRow, ...]:
        """Every setting with its value and where it came from, in the order of the class."""
        preset = PRESETS[self.preset]
        return tuple(
            SettingRow(
                name,
                _plain(name, getattr(self, name)),
                self._sources.get(name) or (f"preset {self.preset}" if name in preset else "default"),
            )
            for name in type(self).model_fields
        )


def load_settings(**flags: Any) -> Settings:
    """Settings with these flags on top; a flag of value None was not given. Raises SettingsError."""
    return Settings(**{name: value for name, value in flags.items() if value is not None})


def _sources_of(flags: Mapping[str, Any]) -> dict[str, str]:
    """In words, where each setting that is not at its default comes from."""
    path = config_path()
    sources = dict.fromkeys(read_config(path), f"file {path}")
    for variable, value in os.environ.items():
        name = variable.lower().removeprefix(PREFIX.lower())
        if value and variable.lower().startswith(PREFIX.lower()) and name in Settings.model_fields:
            sources[name] = f"environment {variable}"
    return sources | {name: f"flag {_flag(name)}" for name in flags}


def _explain(error: ValidationError, sources: Mapping[str, str]) -> SettingsError:
    """The first thing pydantic objects to, as one sentence and one hint."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    source = sources.get(name, "default")
    kind = FlagError if source.startswith("flag ") else SettingsError
    if name not in Settings.model_fields:
        return kind(f"{name!r} is not a setting ({source}).", _close_to(name))
    extra = Settings.model_fields[name].json_schema_extra
    allowed = extra["allowed"] if isinstance(extra, dict) else first["msg"]
    return kind(f"{name} cannot be {first['input']!r} ({source}).", f"Allowed: {allowed}.")


def _plain(name: str, value: Any) -> str | int | float | bool:
    """A setting's value as config.toml would say it."""
    if value is None:
        return NONE_WORDS[name]
    if name == "layers":
        return format_layers(value)
    if isinstance(value, bool | int | float):
        return value
    return str(value)


def config_text(value: str | int | float | bool) -> str:
    """A value as it stands in config.toml."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'
    return str(value)


def default_config_text() -> str:
    """A config.toml with every setting at its default, commented out."""
    lines = [
        "# Settings of lookups-tui. A flag outranks the environment (LOOKUPS_MODEL, ...), which outranks",
        "# this file. Take the # off a line to change it.",
    ]
    for name, field in Settings.model_fields.items():
        if name in _NOT_IN_FILE:
            continue
        extra = field.json_schema_extra
        allowed = extra["allowed"] if isinstance(extra, dict) else ""
        default = field.get_default(call_default_factory=True, validated_data={})
        lines += [
            "",
            f"# {field.description} Allowed: {allowed}.",
            f"# {name} = {config_text(_plain(name, default))}",
        ]
    return "\n".join(lines) + "\n"
