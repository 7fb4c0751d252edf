"""Models of the Hugging Face hub as folders of its local cache; every way this can fail as one sentence.

A model is named OWNER/NAME, or OWNER/NAME@REVISION for a branch, a tag or a commit of it. A fetch goes on in
a thread, while the caller's thread tells how much of it has arrived and may give it up:

1. The hub is asked which files there are, how large each is, and the name of its blob in the local cache.
2. The hub's own client fetches them; what has arrived is the size of those blobs on the disk, whole or not.
3. A large file's blob is named by its SHA-256, against which `require_whole` holds the file itself.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from tui_lookups.errors import LookupsError, ModelLoadError, first_line
from tui_lookups.progress import Count, Say, megabytes

OWN_NAMES = "demo or smollm2"
"""Models that are on no hub by these names; `demo` comes with the package."""
_HTTP_LIBRARIES = ("httpx", "httpcore", "requests", "urllib3")
_SHA256_NAME = re.compile(r"[0-9a-f]{64}")
_TELL_SECONDS = 0.2


def hub_folder(
    name: str,
    patterns: Sequence[str],
    other_weights: Sequence[str],
    *,
    local_only: bool,
    say: Say = lambda _: None,
    poll: Callable[[], None] = lambda: None,
) -> Path | None:
    """The snapshot folder of a hub model; None when it is not in the local cache (`local_only`).

    Args:
        name: as above.
        patterns: the files wanted.
        other_weights: wanted too where the model has no safetensors.
        say: told how far a fetch is.
        poll: called several times a second during a fetch; raises Cancelled to stop it.
    Raises:
        ModelLoadError: no such model or revision, gated, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo, revision = _named(name)
    try:
        with _quiet():
            if local_only:
                folder = snapshot_download(
                    repo, revision=revision, allow_patterns=list(patterns), local_files_only=True
                )
                return Path(folder)
            _require_name_service(name)
            return _fetch(name, patterns, other_weights, say, poll)
    except LookupsError:
        raise
    except GatedRepoError as error:
        raise ModelLoadError(
            f"{name} is gated: its terms must be accepted on the hub.",
            "Accept them there and set HF_TOKEN.",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelLoadError(
            f"{repo} has no branch, tag or commit {revision!r} on the hub.",
            "Check its name on the model's page, under its files.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelLoadError(
            f"The hub has no model called {repo!r} (or it is private).",
            f"Check the name; for a private one set HF_TOKEN; or give a folder, or {OWN_NAMES}.",
        ) from error
    except HFValidationError as error:
        raise ModelLoadError(
            f"{name!r} is not a hub name.", "Write it like gpt2 or EleutherAI/pythia-160m."
        ) from error
    except ValueError as error:  # such as a file too large for the client without its extension
        raise ModelLoadError(
            f"The hub's client cannot fetch {name}: {first_line(error).rstrip('.')}.",
            "Or fetch it by other means, and point --model at its folder.",
        ) from error
    except Exception as error:
        if not _is_about_the_network(error):
            raise
        if local_only:
            return None
        raise _unreachable(name) from error


def _named(name: str) -> tuple[str, str | None]:
    """The model, and its branch, tag or commit; None stands for the main branch."""
    repo, _, revision = name.partition("@")
    return repo, revision or None


def require_whole(files: Sequence[Path], digest: Callable[[Path], str]) -> None:
    """Hold files of a snapshot against the SHA-256 that the hub gave for each (it gives it for large ones).

    Raises ModelLoadError: a file is not what the hub has.
    """
    for path in files:
        blob = path.resolve()
        if blob.parent.name == "blobs" and _SHA256_NAME.fullmatch(blob.name) and digest(path) != blob.name:
            raise ModelLoadError(
                f"{path.name} in the hub's local cache is not what the hub has (its SHA-256 differs).",
                f"Delete {blob}, and it is fetched anew.",
            )


def _fetch(
    name: str,
    patterns: Sequence[str],
    other_weights: Sequence[str],
    say: Say,
    poll: Callable[[], None],
) -> Path:
    """Fetch the files and tell how far it is; one that is given up ends with the next piece that arrives."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils.tqdm import tqdm as hub_bar

    repo, revision = _named(name)
    files = HfApi().model_info(repo, revision=revision, files_metadata=True).siblings or []
    wanted = list(patterns)
    if not any(file.rfilename.endswith(".safetensors") for file in files):
        wanted += other_weights
    blobs = {
        (file.lfs.sha256 if file.lfs else file.blob_id) or "": file.size or 0
        for file in files
        if any(fnmatch(file.rfilename, pattern) for pattern in wanted)
    }
    given_up = threading.Event()

    class Stoppable(hub_bar):  # the client has no other way of being stopped
        def update(self, n: float | None = 1) -> Any:
            if given_up.is_set():
                raise InterruptedError("given up")
            return super().update(n)

    count = Count(f"fetching {name} from the hub", sum(blobs.values()))
    where = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    answer: Future[str] = Future()

    def work() -> None:
        try:
            folder = snapshot_download(repo, revision=revision, allow_patterns=wanted, tqdm_class=Stoppable)
            answer.set_result(folder)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
            answer.set_exception(error)

    threading.Thread(target=work, name="hub-fetch", daemon=True).start()
    try:
        while True:
            poll()
            arrived = _arrived_of(blobs, where)
            say(count.at(arrived, megabytes(arrived, count.total)))
            try:
                return Path(answer.result(timeout=_TELL_SECONDS))
            except TimeoutError:
                # Of the wait, or of the fetch itself; what arrived in between is the answer.
                if answer.done():
                    return Path(answer.result())
    finally:
        given_up.set()


def _arrived_of(blobs: Mapping[str, int], where: Path) -> int:
    """Bytes of the blobs, of these sizes (0: not known), in the folder `where`."""
    return sum(min(size, _arrived(where, blob)) for blob, size in blobs.items())


def _arrived(where: Path, blob: str) -> int:
    """Bytes of a blob on the disk; the client adds to the name of one that is not whole yet."""
    sizes = [0]
    for path in where.glob(f"{blob}*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # renamed meanwhile; the next look counts it
    return max(sizes)


def _is_about_the_network(error: Exception) -> bool:
    """Connection errors come from several libraries; "not in the local cache" is one of them, too."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    errors = (HfHubHTTPError, LocalEntryNotFoundError, OSError)
    return isinstance(error, errors) or type(error).__module__.startswith(_HTTP_LIBRARIES)


def _require_name_service(name: str) -> None:
    """Fail at once where the hub's name does not resolve; the client would retry for half a minute.

    Behind a proxy the proxy resolves names, so nothing is asked here.
    """
    from huggingface_hub import constants

    where = urlsplit(constants.ENDPOINT)
    if getproxies() or not where.hostname:
        return
    try:
        socket.getaddrinfo(where.hostname, where.port or 443)
    except OSError as error:
        raise _unreachable(name) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The client logs its retries to stderr through a handler of its own."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def unnamed_snapshot(name: str) -> ModelLoadError | None:
    """The error for a model of which the local cache has snapshots but no `refs/main`, which names the
    current one: caches that were copied, or fetched at a fixed commit. None where it has none."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    repo, revision = _named(name)
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    snapshots = sorted(path.parent for path in folder.glob("snapshots/*/config.json"))
    if revision is not None or not snapshots or (folder / "refs" / "main").is_file():
        return None
    return ModelLoadError(
        f"{name} is in the local Hugging Face cache, without the refs/main that names the current snapshot.",
        f"Point --model at a snapshot: {snapshots[0]}",
    )


def _unreachable(name: str) -> ModelLoadError:
    return unnamed_snapshot(name) or ModelLoadError(
        f"{name} is not on this machine and the model hub cannot be reached.",
        "Point --model at a local Hugging Face folder (config.json, weights, tokenizer.json) or .gguf file, "
        f"or name {OWN_NAMES}.",
    )
