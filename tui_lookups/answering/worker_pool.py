"""Workers of Ray for the scan and the surveys of one Explorer: what they load, and when they go.

1. `LoadRequest` is all that is sent to a worker: names, paths and choices from the settings, no secret. A
   worker loads the model with them by the loader that every other way of loading takes.
2. The first worker says what the model is; that is remembered, so that this process needs no model to
   tokenise the corpus and to write the index.
3. The scan lets go of them when it is done; a survey borrows them, and then they stay until it is done, too.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui_lookups.answering import model_loader
from tui_lookups.errors import Poll
from tui_lookups.model.sources import LocalModel
from tui_lookups.model_thread import CURRENT_TOKEN
from tui_lookups.progress import Say
from tui_lookups.settings import Settings
from tui_lookups.storage.files import file_digest

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results import ModelInfo
    from tui_lookups.scan.ray.workers import RayWorkers, WorkerReport

_ENDING_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What a worker loads; called in its process."""

    settings: Settings

    @classmethod
    def of(cls, settings: Settings) -> LoadRequest:
        """The part of the settings that loading depends on, with paths that do not depend on a folder."""
        model, units = settings.model, settings.units
        kept = Settings(
            model=os.path.abspath(model) if os.path.exists(model) else model,
            units=None if units is None else os.path.abspath(os.path.expanduser(units)),
            device="cuda" if settings.device.startswith("cuda") else settings.device,
            device_map="auto" if settings.gpus_per_worker > 1 else settings.device_map,
            dtype=settings.dtype,
            raw_weights=settings.raw_weights,
            preset=settings.preset,
            bos=settings.bos,
            trust_remote_code=settings.trust_remote_code,
            offline=settings.offline,
            threads=settings.threads,
            compile=settings.compile,
            cache_dir=settings.cache_dir.absolute(),
        )
        return cls(kept)

    def __call__(self) -> LookupModel:
        """Load the model in this process, which has no other business. Raises LookupsError.

        Files are hashed anew: what the cache remembers lies in a database that several machines must not
        open on a network file system.
        """
        os.environ.update(TQDM_DISABLE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
        settings = self.settings
        if settings.offline:
            os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        import torch

        local = model_loader.find(settings, file_digest, say=_log.info, poll=lambda: None)
        torch.set_num_threads(settings.threads or int(os.environ.get("OMP_NUM_THREADS", "1")))
        return model_loader.load(settings, local, say=_log.info)


class WorkerPool:
    """Opens workers when they are needed, and lets go of them. Hold `lock` while opening.

    Args:
        local: finds the model's files.
        learn: told what the first worker says the model is, and on what device it runs.
        say: told each slow stage in a few words.
        poll: called meanwhile; raises Cancelled to stop.
    """

    def __init__(
        self,
        settings: Settings,
        local: Callable[[], LocalModel],
        learn: Callable[[ModelInfo, str], None],
        *,
        say: Say,
        poll: Poll,
    ) -> None:
        self.lock = threading.RLock()
        self._settings = settings
        self._local, self._learn, self._say, self._poll = local, learn, say, poll
        self._workers: RayWorkers | None = None
        self._borrowed, self._count = 0, threading.Lock()
        self._report: WorkerReport | None = None

    def open(self) -> tuple[RayWorkers, WorkerReport]:
        """Workers of which one has loaded the model, and what it says. Blocks.

        Raises LookupsError, and Cancelled when nobody waits any more.
        """
        with self.lock:
            if self._workers is not None and self._report is not None and not self._workers.closed:
                return self._workers, self._report
            return self._open()

    def _open(self) -> tuple[RayWorkers, WorkerReport]:
        settings, say, token = self._settings, self._say, CURRENT_TOKEN.get()

        def poll() -> None:
            self._poll()
            if token is not None:
                token.raise_if_cancelled()

        local = self._local()  # fetched once, before every worker would do it
        address = settings.ray_address or os.environ.get("RAY_ADDRESS") or None
        say("importing torch")
        from tui_lookups.scan.ray.cluster import RayCluster
        from tui_lookups.scan.ray.workers import RayWorkers

        self.close(_ENDING_SECONDS)
        say("starting workers" if address is None else f"joining the cluster at {address}")
        self._workers = workers = RayWorkers(
            RayCluster(address, processors=max(os.cpu_count() or 1, settings.ray_workers or 1)),
            LoadRequest.of(settings),
            count=settings.ray_workers,
            processors=settings.threads,
            gpus_each=settings.gpus_per_worker * (settings.device.startswith(("auto", "cuda"))),
            fingerprint=local.fingerprint,
        )
        try:
            self._report = report = workers.open(poll)
        except BaseException:
            self.close()
            raise
        self._learn(report.scanned.info, report.scanned.device)
        say(f"working with {workers.count} workers")
        return workers, report

    @contextmanager
    def borrowed(self) -> Iterator[tuple[RayWorkers, WorkerReport]]:
        """As `open`; meanwhile they stay, and afterwards they go if nobody else has borrowed them."""
        with self._count:
            self._borrowed += 1
        seconds = 0.0
        try:
            yield self.open()
            seconds = _ENDING_SECONDS
        finally:
            with self._count:
                self._borrowed -= 1
            self.release(seconds)

    def release(self, seconds: float) -> None:
        """Let go of the workers as `close` does, unless somebody has borrowed them."""
        if not self._borrowed:
            self.close(seconds)

    def close(self, seconds: float = 0.0) -> None:
        """Let go of the workers, waiting for the end of Ray at most so long. Safe from any thread."""
        if self._workers is not None:
            self._workers.close(seconds)
