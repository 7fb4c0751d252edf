"""Writing an export: one JSON file, all of it or nothing.

1. The name is looked at before anything is worked out, and the selection filled (filling.py).
2. Dataclass -> plain JSON -> schema -> a temporary file beside the target -> rename. Without `overwrite` a
   file that exists is never replaced.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.errors import ExportError
from tui_lookups.exports.schema import first_problem
from tui_lookups.home import expanded
from tui_lookups.storage import codec
from tui_lookups.storage.files import reason, write_atomically
from tui_lookups.storage.leftovers import sweep

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.exports.document import ExportDocument
    from tui_lookups.results.selection import Selection


def export(explorer: Explorer, selection: Selection, path: Path, *, overwrite: bool = False) -> Path:
    """Write the selection, with everything known about it, as one JSON document; returns its path.

    Raises as `check_name`, `filling.filled` and `write_export` do.
    """
    from tui_lookups.exports.filling import filled

    check_name(path)  # before minutes of work
    return write_export(filled(explorer, selection), path, overwrite)


def check_name(path: Path) -> None:
    """Raise ExportError for a name that promises another format than JSON, such as out.csv."""
    if path.suffix.casefold() not in ("", ".json"):
        raise ExportError(
            f"An export is a JSON document, but {path.name} names another format.",
            "Name a file that ends in .json; `lookups-tui export --format` writes pages and tables.",
        )


def write_export(document: ExportDocument, path: Path, overwrite: bool = False) -> Path:
    """Write `document` to `path` as indented JSON, all of it or nothing; returns the path written.

    Raises ExportError when the name is another format's, the document does not fit the schema, the place
    cannot be written, or the file exists and `overwrite` is False; NumericalError for a NaN or infinity.
    """
    check_name(expanded(path))
    plain = codec.to_plain(document)
    for key in ("ablations", "notes"):
        if not plain[key]:
            del plain[key]
    for neuron in plain["neurons"]:
        if neuron["token_set"] is None:
            del neuron["token_set"]
    problem = first_problem(plain)
    if problem is not None:
        raise ExportError(
            f"The selection cannot be exported: {problem}.", "Please report this: it is a defect."
        )
    data = json.dumps(plain, allow_nan=False, ensure_ascii=True, indent=1).encode("ascii") + b"\n"
    return write_bytes(path, data, overwrite)


def write_bytes(path: Path, data: bytes, overwrite: bool = False) -> Path:
    """Write a file, all of it or nothing; returns the path written.

    Raises ExportError when the place cannot be written, or the file exists and `overwrite` is False.
    """
    path = expanded(path)
    try:
        _check_place(path)
        # Of a link, the file it names is replaced, not the link.
        target = path.resolve() if path.is_symlink() else path
        write_atomically(target, data, overwrite=overwrite)
        sweep(target.parent)  # what an export that was killed has left there
    except FileExistsError as error:
        raise ExportError(f"{path} exists already.", "Name another file, or ask to overwrite it.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ExportError(
            f"{path} could not be written: {reason(error)}.", "Name a file elsewhere, or make room."
        ) from error
    return path


@contextmanager
def refusing(problem: str, hint: str) -> Iterator[None]:
    """Where the system refuses to write, raise ExportError with the problem and its reason."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{problem}: {reason(error)}.", hint) from error


def check_free(path: Path, overwrite: bool) -> None:
    """Raise ExportError, before there is anything to write, where `write_bytes` would."""
    path = expanded(path)
    try:
        _check_place(path)
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be written: {reason(error)}.", "Choose another file.") from error
    if exists and not overwrite:
        raise ExportError(f"{path} exists already.", "Choose another file, or overwrite it with --force.")


def check_folder(path: Path, overwrite: bool) -> None:
    """Raise ExportError, before there is anything to write, for a folder that cannot be written into.

    One that has files in it is taken with `overwrite` only.
    """
    path = expanded(path)
    try:
        if path.exists() and not path.is_dir():
            raise ExportError(f"{path} is a file.", "Name a folder: there are several tables.")
        if not overwrite and path.is_dir() and any(path.iterdir()):
            raise ExportError(
                f"There are files in {path}.", "Choose another folder, or overwrite with --force."
            )
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be written: {reason(error)}.", "Choose another folder.") from error


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ExportError(f"{path} is a folder.", "Name a file in it, such as lookups.json.")
    if not path.parent.is_dir():
        raise ExportError(f"There is no folder {path.parent}.", "Make it first, or name another file.")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ExportError(f"{path} is not a regular file.", "Name another file.")
