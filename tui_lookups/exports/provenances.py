"""Provenances of an export and of its recomputation, made alike before they are compared. Pure.

1. Where a model or corpus lies, what it is called there, what else lies there, and the device are no figures.
2. An earlier version named fewer parameters and did not count special tokens: what it did not say is not
   compared. How its parameters are understood is `Provenance.all_parameters`.
"""

from __future__ import annotations

from typing import Any

_PLACES = ("name", "source", "left_out", "other_files")

Plain = dict[str, Any]


def source_of(provenance: Plain) -> Plain:
    """A provenance as plain JSON, less the device and where model and corpus lie."""
    source = {key: value for key, value in provenance.items() if key != "device"}
    for part in ("model", "corpus"):
        if source[part] is not None:
            source[part] = {key: value for key, value in source[part].items() if key not in _PLACES}
    return source


def alike(exported: Plain, made: Plain) -> tuple[Plain, Plain]:
    """Two provenances as plain JSON: where they come from, as far as the exported one says it."""
    exported, made = source_of(exported), source_of(made)
    named = exported["parameters"]
    made["parameters"] = {key: value for key, value in made["parameters"].items() if key in named}
    there, here = exported["corpus"], made["corpus"]
    if there is not None and here is not None and there["special_tokens"] is None:
        here["special_tokens"] = None
    return exported, made


def with_sources_alike(exported: Plain, made: Plain) -> tuple[Plain, Plain]:
    """Two results as plain JSON, their own provenances and those of their attributions made alike."""
    exported, made = dict(exported), dict(made)
    if exported.get("attributions") and made.get("attributions"):
        both = with_sources_alike(exported["attributions"], made["attributions"])
        exported["attributions"], made["attributions"] = both
    if exported.get("provenance") and made.get("provenance"):
        exported["provenance"], made["provenance"] = alike(exported["provenance"], made["provenance"])
    return exported, made
