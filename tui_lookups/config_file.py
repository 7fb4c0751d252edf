"""config.toml as a file: where it lies, how it is read, and how a value is spelled in it.

What its keys mean is the business of settings.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import platformdirs

from tui_lookups.errors import SettingsError
from tui_lookups.home import expanded

APP = "lookups-tui"
PREFIX = "LOOKUPS_"
CONFIG_VARIABLE = PREFIX + "CONFIG"


def config_path() -> Path:
    """Where config.toml is looked for; whether it exists is another matter."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    if chosen:
        return expanded(chosen)
    return platformdirs.user_config_path(APP, appauthor=False) / "config.toml"


def read(path: Path) -> dict[str, Any]:
    """What config.toml says; {} where there is no file and none was named. Raises SettingsError."""
    try:
        data = path.read_bytes()
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
    return _parsed(data, path) if data.strip() else {}


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    import tomllib  # only who has a config.toml pays for its parser

    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, a nest of lists
        raise SettingsError(
            f"{path} is not valid TOML: {error}.", 'Write settings as name = "value", one per line.'
        ) from error


def line_of(name: str) -> str:
    """ ", line N" of a key in config.toml; "" where it is spelled in some other way."""
    lines = config_path().read_text(encoding="utf-8").splitlines()
    wanted = re.compile(rf"""\s*(["']?){re.escape(name)}\1\s*=""")
    return next((f", line {n}" for n, line in enumerate(lines, 1) if wanted.match(line)), "")


def config_text(value: str | int | float | bool) -> str:
    """A value as it stands in config.toml."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'
    return str(value)
