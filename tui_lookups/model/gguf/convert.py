"""A .gguf file as a float32 Hugging Face folder in the cache, written tensor by tensor.

1. Everything in the file is decided first (examine.py); a file of which anything would be lost is refused
   before a byte is written.
2. What it takes is said before it starts: bytes and about how long; a disk without that much room is refused.
3. The weights go to one safetensors file. Its header comes first, since all shapes are known; then each
   tensor is read, put back into the order of the Hugging Face module, de-quantised and written in portions.
4. The folder gets its name when it is whole, with a note of the digests of its files.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tui_lookups.errors import ModelLoadError, Poll
from tui_lookups.model.fits import size
from tui_lookups.model.gguf.examine import Plan, make_plan
from tui_lookups.model.gguf.header import shard_paths
from tui_lookups.model.gguf.values import dequantised, dequantised_blocks
from tui_lookups.model.gguf.weights import Placed
from tui_lookups.progress import Count, Say
from tui_lookups.storage.files import Digest, create_private, make_private_directory, reason, write_atomically
from tui_lookups.storage.leftovers import working_folder

_FORMAT = 2
_EARLIER_FORMATS = (1,)
_NOTE = "dequantised.json"
_WEIGHTS = "model.safetensors"
_BYTES_A_SECOND = 150e6
"""Written, roughly, on one core: for the estimate that people are given."""
_SPARE_BYTES = 64 << 20
_TOLD_FROM = 64 << 20
"""Bytes from which on progress is told: less is there in a moment."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The folder made of a .gguf file; `fingerprint` is the file's, whatever the folder holds."""

    folder: Path
    fingerprint: str


def converted(path: Path, *, cache_dir: Path, digest: Digest, say: Say, poll: Poll) -> Converted:
    """The folder of a .gguf file, made unless it is there.

    Args:
        digest: sha256 of a file, possibly remembered.
        say: told what it takes, and then how far it is.
        poll: called between portions; raises Cancelled to stop.
    Raises:
        ModelLoadError: damaged, of parts that cannot be used, or no room for the folder.
        UnsupportedModelError: of a family that is not known.
    """
    shards = shard_paths(path)
    try:
        content = " ".join(digest(shard) for shard in shards)
        fingerprint = _fingerprint(_FORMAT, content)
        folder = _folder(cache_dir, fingerprint)
        whole = _is_whole(folder, fingerprint, digest)
        plan = None if whole else make_plan(path)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {reason(error)}.", "Check its permissions.") from error
    if plan is not None:
        _write(plan, path, folder, fingerprint, digest, say, poll)
        for earlier in _EARLIER_FORMATS:
            old = _folder(cache_dir, _fingerprint(earlier, content))
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
                say(f"removed the copy of {path.name} that an earlier version made: it may have been wrong")
    return Converted(folder, fingerprint)


def _fingerprint(version: int, content: str) -> str:
    return hashlib.sha256(f"gguf {version} {content}".encode()).hexdigest()


def _folder(cache_dir: Path, fingerprint: str) -> Path:
    return cache_dir / "models" / fingerprint[:32]


def _is_whole(folder: Path, fingerprint: str, digest: Digest) -> bool:
    """Whether a folder holds the very files that the note, written last, gives digests of.

    The fingerprint of the model is the .gguf file's: without this a damaged copy would pass for it.
    """
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        if note["fingerprint"] != fingerprint:
            return False
        there = {path.name for path in folder.iterdir() if path.name != _NOTE}
        return there == note["sha256"].keys() and all(
            digest(folder / name) == sha256 for name, sha256 in note["sha256"].items()
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return False


def _write(
    plan: Plan, path: Path, folder: Path, fingerprint: str, digest: Digest, say: Say, poll: Poll
) -> None:
    n_bytes = sum(4 * math.prod(placed.shape) for placed in plan.weights)
    try:
        make_private_directory(folder.parent.parent, tighten=False)
        make_private_directory(folder.parent)
        _require_room(path, folder.parent, n_bytes)
        seconds = max(1, round(n_bytes / _BYTES_A_SECOND))
        say(f"de-quantising {path.name} (once): {size(n_bytes)} in the cache, about {seconds} s")
        with working_folder(folder.parent, "dequantising") as temporary:
            texts = {
                "config.json": json.dumps(plan.config, indent=2),
                "tokenizer.json": plan.tokenizer,
                "tokenizer_config.json": plan.tokenizer_config,
            }
            digests = {}
            for name, text in texts.items():
                write_atomically(temporary / name, text.encode(), private=True)
                digests[name] = hashlib.sha256(text.encode()).hexdigest()
            count = Count(f"de-quantising {path.name}", n_bytes)

            def told(done: int, tensor: int) -> None:
                poll()
                if n_bytes >= _TOLD_FROM:
                    say(count.at(done, f"tensor {tensor} of {len(plan.weights)}"))

            digests[_WEIGHTS] = _write_weights(temporary / _WEIGHTS, plan.weights, told)
            note = {"fingerprint": fingerprint, "sha256": digests}
            write_atomically(temporary / _NOTE, json.dumps(note).encode("ascii"), private=True)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
    except OSError as error:
        if _is_whole(folder, fingerprint, digest):
            return  # another process finished the same file first
        raise ModelLoadError(
            f"The de-quantised copy of {path.name} cannot be written: {reason(error)}.",
            f"It takes {size(n_bytes)} below the cache folder; name another with --cache-dir.",
        ) from error


def _require_room(path: Path, folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < n_bytes + _SPARE_BYTES:
        raise ModelLoadError(
            f"De-quantising {path.name} takes {size(n_bytes)} below {folder}, and {size(free)} are free.",
            "Make room there, or name another cache folder with --cache-dir.",
        )


def _write_weights(path: Path, weights: tuple[Placed, ...], told: Callable[[int, int], None]) -> str:
    """Write a safetensors file of float32; returns its sha256.

    `told`: how many bytes of values are written, and of which tensor (from 1) the last ones are.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for placed in weights:
        start, end = end, end + 4 * math.prod(placed.shape)
        header[placed.parameter] = {
            "dtype": "F32",
            "shape": list(placed.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    sha256 = hashlib.sha256()
    done = 0
    with create_private(path) as file:
        _append(file, sha256, len(text).to_bytes(8, "little") + text)
        for tensor, placed in enumerate(weights, 1):
            for block in _blocks(placed):
                _append(file, sha256, block)
                done += block.nbytes
                told(done, tensor)
        file.flush()
    return sha256.hexdigest()


def _append(file: BinaryIO, sha256: Any, data: bytes | np.ndarray) -> None:
    view = data if isinstance(data, bytes) else data.reshape(-1).view(np.uint8).data
    file.write(view)
    sha256.update(view)


def _blocks(placed: Placed) -> Iterator[np.ndarray]:
    """The values of a parameter in portions, little-endian float32."""
    if placed.tensor is None:
        yield np.zeros(placed.shape, "<f4")
    elif placed.transposed:
        yield np.ascontiguousarray(dequantised(placed.tensor).T, "<f4")
    else:
        for block in dequantised_blocks(placed.tensor, placed.rows):
            yield np.ascontiguousarray(block - np.float32(placed.added) if placed.added else block, "<f4")
