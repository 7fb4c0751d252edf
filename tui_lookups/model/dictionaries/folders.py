"""What `--units` names, as a dictionary's folder with a fingerprint; and its files, opened.

1. The layout is told by what the folder holds: config.yaml is circuit-tracer's, a cfg.json in the folder or
   below it SAELens', a params.npz below it Gemma Scope's.
2. The fingerprint is a hash of the names and the contents of the files that the layout reads, so that another
   dictionary, or a changed one, is another model to every key, index and export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tui_lookups.errors import DictionaryError
from tui_lookups.home import expanded
from tui_lookups.model.dictionaries import circuit_tracer, gemma_scope, saelens
from tui_lookups.model.dictionaries.dictionary import Dictionary
from tui_lookups.model.dictionaries.layout import Described
from tui_lookups.storage.files import Digest, reason

_LAYOUTS: tuple[tuple[Callable[[Path], list[Path]], Callable[[Path, Sequence[Path]], Described]], ...] = (
    (circuit_tracer.files, circuit_tracer.describe),
    (saelens.files, saelens.describe),
    (gemma_scope.files, gemma_scope.describe),
)
"""What a layout reads of a folder, nothing where the folder has another layout; and what it says."""


@dataclass(frozen=True, slots=True)
class LocalDictionary:
    """A dictionary's folder on this machine; `fingerprint` is a hash of what it holds."""

    name: str
    folder: Path
    fingerprint: str


def find_dictionary(spec: str, digest: Digest) -> LocalDictionary:
    """The folder that `--units` names. Raises DictionaryError where it is none of a dictionary."""
    folder = expanded(spec)
    try:
        if not folder.is_dir():
            raise DictionaryError(
                f"There is no folder {spec!r} of a dictionary.",
                "Point --units at the folder that holds its transcoders.",
            )
        folder = folder.resolve()
        whole = hashlib.sha256()
        for path in sorted(_layout(folder)[0]):
            whole.update(f"{path.relative_to(folder).as_posix()}\0{digest(path)}\n".encode())
    except OSError as error:
        raise DictionaryError(
            f"The dictionary {spec} cannot be read: {reason(error)}.", "Check its permissions."
        ) from error
    return LocalDictionary(folder.name, folder, whole.hexdigest())


def open_dictionary(local: LocalDictionary, dtype: str) -> Dictionary:
    """A dictionary's files, opened; no matrix is read.

    Args:
        dtype: "float32" or "float64": what its figures are computed in.
    Raises:
        DictionaryError: a file that is missing, damaged or of another kind; an architecture, an activation
            or a hook point that is not read here.
    """
    files, describe = _layout(local.folder)
    described = describe(local.folder, files)
    layers = described.open(dtype)
    widths = sorted({transcoder.d_sae for transcoder in layers})
    if len(widths) > 1:
        raise DictionaryError(
            f"{local.name} has transcoders of {widths[0]} and of {widths[-1]} units.",
            "All layers need as many units as each other.",
        )
    return Dictionary(local.name, local.fingerprint, layers, described.reads, described.writes)


def _layout(folder: Path) -> tuple[list[Path], Callable[[Path, Sequence[Path]], Described]]:
    for files, describe in _LAYOUTS:
        listed = files(folder)
        if listed:
            return listed, describe
    raise DictionaryError(
        f"{folder} holds no dictionary: neither config.yaml, nor a folder with cfg.json, nor params.npz.",
        "SAELens', circuit-tracer's and Gemma Scope's layouts are read.",
    )
