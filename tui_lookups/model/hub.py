"""Models of the Hugging Face hub as folders of its local cache; every way this can fail as one sentence."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from tui_lookups.errors import ModelLoadError

_HTTP_LIBRARIES = ("httpx", "httpcore", "requests", "urllib3")


def hub_folder(
    name: str, patterns: Sequence[str], other_weights: Sequence[str], *, local_only: bool
) -> Path | None:
    """The snapshot folder of a hub model; None when it is not in the local cache (`local_only`).

    Args:
        patterns: the files wanted.
        other_weights: wanted too where the model has no safetensors.
    Raises:
        ModelLoadError: no such model, gated, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    wanted = list(patterns)
    try:
        with _quiet():
            if not local_only:
                _require_name_service(name)
                if not any(file.endswith(".safetensors") for file in HfApi().list_repo_files(name)):
                    wanted += other_weights
            return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=local_only))
    except GatedRepoError as error:
        raise ModelLoadError(
            f"{name} is gated: the hub wants to know who asks.",
            "Accept its terms on the hub and set HF_TOKEN.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelLoadError(
            f"The hub has no model called {name!r} (or it is private).",
            "Check the name; for a private one set HF_TOKEN; or point --model at a folder.",
        ) from error
    except HFValidationError as error:
        raise ModelLoadError(
            f"{name!r} is not a hub name.", "Write it like gpt2 or EleutherAI/pythia-160m."
        ) from error
    except Exception as error:
        if not _is_about_the_network(error):
            raise
        if local_only:
            return None
        raise _unreachable(name) from error


def _is_about_the_network(error: Exception) -> bool:
    """Connection errors come from several libraries; "not in the local cache" is one of them, too."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    known = (HfHubHTTPError, LocalEntryNotFoundError, OSError)
    return isinstance(error, known) or type(error).__module__.startswith(_HTTP_LIBRARIES)


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


def _unreachable(name: str) -> ModelLoadError:
    return ModelLoadError(
        f"{name} is not on this machine and the model hub cannot be reached.",
        "Point --model at a local Hugging Face folder (config.json, weights, tokenizer.json) or .gguf file.",
    )
