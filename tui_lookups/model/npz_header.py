"""Where the arrays of a .npz file lie, without reading them.

1. A .npz file is a ZIP archive of .npy files, as numpy.savez writes it: stored, not compressed, so that each
   array lies in it as it is.
2. An entry's local header, then the header of the .npy format, stand in front of the numbers. That header is
   read by NumPy's own parser of literals; arrays of objects, which would have to be unpickled, are refused.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from tui_lookups.errors import ModelLoadError

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz_header(
    path: Path, file: io.FileIO
) -> dict[str, tuple[np.dtype[np.generic], tuple[int, ...], int]]:
    """The type, shape and offset of each array, by its name.

    Raises ModelLoadError for a file that is damaged, compressed, or holds what is no plain array.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return {
                entry.filename.removesuffix(".npy"): _placed(path, file, archive, entry)
                for entry in archive.infolist()
            }
    except (zipfile.BadZipFile, struct.error, ValueError, KeyError, EOFError, RecursionError) as error:
        raise ModelLoadError(
            f"{path} is damaged: its arrays cannot be found.", "Fetch the file again."
        ) from error


def _placed(
    path: Path, file: io.FileIO, archive: zipfile.ZipFile, entry: zipfile.ZipInfo
) -> tuple[np.dtype[np.generic], tuple[int, ...], int]:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ModelLoadError(
            f"{path} is compressed, so that no part of it can be read alone.",
            "Write it again with numpy.savez, which stores arrays as they are.",
        )
    with archive.open(entry) as array:
        version = npy.read_magic(array)
        shape, is_fortran, dtype = _READ_HEADER[version](array)
        before = array.tell()
    if dtype.hasobject or (is_fortran and len(shape) > 1):
        raise ModelLoadError(
            f"{entry.filename} in {path} is no plain array of numbers in rows.",
            "Write it again with numpy.savez.",
        )
    file.seek(entry.header_offset)
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if magic != b"PK\x03\x04":
        raise ValueError("an entry has no header")
    begin = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length + before
    if begin + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > file.seek(0, io.SEEK_END):
        raise ValueError("an array lies outside the file")
    return dtype, shape, begin
