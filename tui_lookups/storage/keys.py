"""Keys of the result cache: SHA-256 over canonical JSON of what was asked.

The kind, every part (model and corpus fingerprints, parameters) and the format version go into it, so that a
change in any of them gives another key. What JSON would spell in two ways, or not at all, is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from tui_lookups.storage import envelope

_KIND = re.compile(r"[a-z][a-z0-9_]{0,40}")


def make_key(kind: str, parts: Mapping[str, object]) -> str:
    """The key of a question: "kind:sha256". `parts` are plain JSON values (mapping keys are text).

    Raises TypeError or ValueError for a part that JSON would spell ambiguously or not at all.
    """
    check_kind(kind)
    _check_plain(parts)
    text = json.dumps([envelope.FORMAT_VERSION, kind, parts], sort_keys=True, allow_nan=False)
    return f"{kind}:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def check_kind(kind: str) -> None:
    """Raise ValueError for what is not the name of a kind of result."""
    if _KIND.fullmatch(kind) is None:
        raise ValueError(f"{kind!r} is not the name of a kind of result")


def _check_plain(value: object) -> None:
    """Raise TypeError unless JSON spells `value` in one way: mapping keys that are not text would merge."""
    if isinstance(value, dict):
        for key, part in value.items():
            if type(key) is not str:
                raise TypeError(f"a part of a cache key has the mapping key {key!r}, which is not text")
            _check_plain(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_plain(part)
    elif value is not None and type(value) not in (str, int, float, bool):
        raise TypeError(f"a part of a cache key is a {type(value).__name__}, which is not plain JSON")
