"""Workers as Ray actors: each loads the model once and does the tasks it is given.

A task is a shard of a scan, or another piece of work with the model, such as a forward pass of a survey.

1. `ModelWorker` is what an actor holds. It is lazy: an actor that Ray has started again, on this machine or
   another, loads the model when it is given the task that its predecessor died with.
2. Every task says which model it is for; a worker that has loaded another one, or runs other versions,
   refuses. What must agree is everything that decides a bit of the results.
3. `RayWorkers` starts the actors, gives tasks to those that have loaded the model, and hands results on. A
   worker that dies is started again by Ray, and its task with it, a few times.
4. What Ray cannot start again in time, with a machine that is gone before Ray has noticed, is lost to the
   others: its tasks are given to them, and it is asked every few seconds whether it is back. A task has one
   reference whose result is taken; what a lost worker may still say of it is dropped. A worker that dies
   again and again while it first loads the model is left out, if there is another.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from tui_lookups.errors import LookupsError, Poll, kind_and_line, no_poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.scan.batch_size import Room
from tui_lookups.scan.ray.cluster import RayCluster, RayError
from tui_lookups.scan.shards import Shard, ShardResult, scan_shard
from tui_lookups.scan.subject import ScannedModel

Load = Callable[[], LookupModel]
"""Loads the model in the worker's process; a function of a module that can be imported there."""

Work = Callable[[LookupModel, Poll], Any]
"""Something to do with the model, in a form that can be sent to a worker: a frozen dataclass, say."""

QUEUED = 2
"""Tasks before a worker: the second is sent while it does the first."""

RETRIES = 3
"""Times a task is done again by Ray after the death of its worker, and then by this process elsewhere."""

_BACK_SECONDS = 5.0
"""Between two questions whether a lost worker is back."""

_PATIENCE_SECONDS, _LOADING_SECONDS = 120.0, 900.0
"""How long nobody may be there to work: Ray needs half a minute to see that a machine is gone. The second
while one that was lost is being started again, with its model."""

_VERSIONS = ("lookups-tui", "torch", "transformers", "transformer_lens")
_LOOK_SECONDS = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker holds, where it runs, and the room it has."""

    scanned: ScannedModel
    room: Room
    versions: tuple[str, ...]
    host: str
    process: int

    def differs_from(self, other: WorkerReport) -> str:
        """In words, what keeps this worker's results from going with the other's; "" when nothing does."""
        ours, theirs = self.scanned, other.scanned
        pairs = [
            ("the model", ours.info.fingerprint[:12], theirs.info.fingerprint[:12]),
            ("the kind of device", ours.device, theirs.device),
            ("the dtype", ours.dtype, theirs.dtype),
            ("the basis", ours.basis, theirs.basis),
            ("the forward pass", ours.forward, theirs.forward),
            ("the versions", ", ".join(self.versions), ", ".join(other.versions)),
        ]
        return "; ".join(f"{what} ({a} against {b})" for what, a, b in pairs if a != b)


class ModelWorker:
    """What an actor holds: a model, loaded when it is first needed.

    Args:
        sharing: workers that share the memory of this machine.
    """

    def __init__(self, load: Load, sharing: int = 1) -> None:
        self._load, self._sharing = load, sharing
        self._model: LookupModel | None = None
        self._report: WorkerReport | None = None
        self._fits = 0

    def report(self) -> WorkerReport:
        """Load the model and say what it is. Raises LookupsError when it cannot be loaded."""
        if self._report is None:
            self._model = self._load()
            versions = tuple(f"{name} {_version(name)}" for name in _VERSIONS)
            scanned = ScannedModel.of(self._model)
            room = Room.of(self._model, self._sharing)
            self._report = WorkerReport(scanned, room, versions, platform.node(), os.getpid())
        return self._report

    def scan(self, expected: WorkerReport, shard: Shard, layers: Sequence[int], top: int) -> ShardResult:
        """Scan a shard. Raises LookupsError, also when another model than `expected` is loaded."""
        result = scan_shard(self._checked(expected), shard, layers=layers, top=top, fits=self._fits)
        self._fits = result.cut_to
        return result

    def run(self, expected: WorkerReport, work: Work) -> Any:
        """Do any other piece of work. Raises LookupsError as `scan` does, and what the work raises."""
        return work(self._checked(expected), no_poll)

    def _checked(self, expected: WorkerReport) -> LookupModel:
        report = self.report()
        difference = report.differs_from(expected)
        if difference:
            raise refusal(report, difference)
        assert self._model is not None
        return self._model


def refusal(report: WorkerReport, difference: str) -> RayError:
    """What is said of a worker that does not go with the others."""
    return RayError(
        f"The worker on {report.host} does not match the others: {difference}.",
        "Give all machines the same model files and the same versions, and name --device.",
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"


class _LostError(RayError):
    """A worker does not answer, and Ray has given up on it."""


@dataclass(slots=True)
class _Task:
    """What was handed out. `reference` is None while no worker is there to take it.

    Attributes:
        what: it is, at the beginning of a sentence.
        method: of the worker, called with what it is to expect and with `given`.
    """

    what: str
    method: str
    given: tuple[Any, ...]
    worker: Any = None
    reference: Any = None
    losses: int = 0


class RayWorkers:
    """Actors that hold one model. Every method but `close` on one thread at a time.

    Args:
        cluster: not opened yet.
        count: how many workers; None is as many as there are GPUs for, or without GPUs one for every four
            processors.
        processors: CPUs of each; None divides what there is.
        gpus_each: how many each is to have, where there are any; 0 for none.
        fingerprint: of the model as this process knows it; "" when it does not.
    """

    def __init__(
        self,
        cluster: RayCluster,
        load: Load,
        *,
        count: int | None,
        processors: int | None,
        gpus_each: int,
        fingerprint: str = "",
    ) -> None:
        self._fingerprint = fingerprint
        self._cluster, self._load = cluster, load
        self._count, self._processors, self._gpus_each = count, processors, gpus_each
        self._ray: Any = None
        self._loading: dict[Any, Any] = {}  # reference of the report: actor
        self._queues: dict[Any, list[Any]] = {}  # actor: references of the tasks before it
        self._tasks: dict[Hashable, _Task] = {}  # of a shard: by its first batch
        self._lost: dict[Any, float] = {}  # actor: when to ask it again
        self._coming_back: set[Any] = set()  # those of `_loading` that were lost
        self._last_seen = 0.0
        self._expected: WorkerReport | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether they have been let go."""
        return self._closed

    @property
    def count(self) -> int:
        """Workers that were started."""
        return len(self._queues) + len(self._loading) + len(self._lost)

    def open(self, poll: Poll) -> WorkerReport:
        """Start Ray and the workers, and wait for the first to have loaded the model.

        Raises RayError, what loading raises, and what `poll` raises.
        """
        self._ray = self._cluster.open(poll)
        resources = self._ray.cluster_resources()
        processors, gpus_each = int(resources.get("CPU", 1)), self._gpus_each
        gpus = int(resources.get("GPU", 0)) if gpus_each else 0
        if gpus_each > 1 and not gpus:
            raise RayError("The cluster has no GPUs for its workers.", "Leave --gpus-per-worker out.")
        room = gpus // gpus_each if gpus else processors
        count = self._count or max(1, room if gpus else processors // 4)
        if count > room:
            has = f"{gpus} GPUs, not {count * gpus_each}" if gpus else f"{processors} processors, not {count}"
            hint = f"Ask for at most {room} with --ray-workers."
            fewer = f"Give each worker at most {gpus} with --gpus-per-worker."
            raise RayError(f"The cluster has {has}.", hint if room else fewer)
        actor = self._ray.remote(
            num_cpus=self._processors or max(1, processors // count if not gpus else 1),
            num_gpus=gpus_each if gpus else 0,
            max_restarts=-1,
            max_task_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )(ModelWorker)
        nodes = sum(bool(node["Alive"]) for node in self._ray.nodes())
        for _ in range(count):
            made = actor.remote(self._load, -(-count // max(1, nodes)))
            self._loading[made.report.remote()] = made
        while self._expected is None:
            poll()
            self._welcome(_LOOK_SECONDS)
        return self._expected

    def _welcome(self, seconds: float) -> None:
        """Take in the workers that have loaded the model within so many seconds."""
        self._ask_the_lost()
        if not self._loading:
            return
        there, _ = self._ray.wait(list(self._loading), num_returns=1, timeout=seconds)
        for reference in there:
            worker = self._loading[reference]
            try:
                report: WorkerReport = self._get(reference, "A worker died while it loaded the model")
            except _LostError as error:
                again = worker in self._coming_back
                if not again and not self._queues and len(self._loading) == 1:
                    raise
                del self._loading[reference]
                if again:
                    self._lost[worker] = time.monotonic() + _BACK_SECONDS
                else:
                    _log.warning("%s It is left out. %s", error.message, error.hint)
                    self._kill(worker)
                continue
            if self._expected is None:
                self._expected = report
            difference = report.differs_from(self._expected)
            if self._fingerprint and report.scanned.info.fingerprint != self._fingerprint:
                difference = "its model files are not those of this machine"
            if difference:
                raise refusal(report, difference)
            _log.info("a worker is ready: %s, process %d", report.host, report.process)
            del self._loading[reference]
            self._coming_back.discard(worker)
            self._queues[worker] = []
        for task in self._tasks.values():
            if task.reference is None and self._queues:
                self._give(task)

    def _ask_the_lost(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker, moment in self._lost.items() if moment <= now]:
            del self._lost[worker]
            self._coming_back.add(worker)
            self._loading[worker.report.remote()] = worker

    # --- Workers ---

    def ready(self) -> int:
        """How many have loaded the model."""
        self._welcome(0)
        return len(self._queues)

    def room(self) -> int:
        """How many more tasks they would take now."""
        waiting = [reference for queue in self._queues.values() for reference in queue]
        if waiting:
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
            for queue in self._queues.values():
                queue[:] = [reference for reference in queue if reference not in set(done)]
        return sum(max(0, QUEUED - len(queue)) for queue in self._queues.values())

    def submit(self, shard: Shard, layers: Sequence[int], top: int) -> None:
        """Put a shard before the worker that has fewest."""
        given = (shard, tuple(layers), top)
        self._put(shard.first, _Task(f"The shard at batch {shard.first}", "scan", given))

    def submit_work(self, key: Hashable, work: Work) -> None:
        """Put another piece of work before the worker that has fewest; `take` it by its key."""
        self._put(key, _Task("A piece of work", "run", (work,)))

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Nobody takes the results of these tasks any more."""
        for key in keys:
            self._tasks.pop(key, None)

    def _put(self, key: Hashable, task: _Task) -> None:
        self._tasks[key] = task
        self._give(task)

    def _give(self, task: _Task) -> None:
        task.worker, queue = min(self._queues.items(), key=lambda item: len(item[1]))
        task.reference = getattr(task.worker, task.method).remote(self._expected, *task.given)
        queue.append(task.reference)

    def take(self, key: Hashable, seconds: float) -> Any:
        """The result of a task, a shard's by its first batch; None if it does not come in so many seconds."""
        self._require_somebody()
        task = self._tasks.get(key)
        if task is None or task.reference is None:
            return None
        there, _ = self._ray.wait([task.reference], timeout=seconds)
        if not there:
            return None
        try:
            result = self._get(task.reference, f"{task.what} lost its worker")
        except _LostError:
            task.losses += 1
            if task.losses > RETRIES:
                raise
            self._lose(task.worker)
            return None
        del self._tasks[key]
        return result

    def _require_somebody(self) -> None:
        now = time.monotonic()
        if self._queues:
            self._last_seen = now
            return
        patience = _LOADING_SECONDS if self._loading else _PATIENCE_SECONDS
        if self._tasks and now - self._last_seen > patience:
            raise RayError(
                f"All workers have been lost for {patience:.0f} s.",
                "Check that the machines of the cluster are up, then ask again: what was done is kept.",
            )

    def _lose(self, worker: Any) -> None:
        """Give what lies before a worker that does not answer to the others, and ask it again later."""
        _log.warning("a worker is lost; its tasks go to the others")
        if self._queues.pop(worker, None) is not None:
            self._lost[worker] = time.monotonic() + _BACK_SECONDS
        for task in self._tasks.values():
            if task.worker is worker:
                task.worker = task.reference = None
                if self._queues:
                    self._give(task)

    def _get(self, reference: Any, lost: str) -> Any:
        """What a task returned. Raises LookupsError."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, LookupsError):
                raise error.cause from error
            why = kind_and_line(error.cause).rstrip(".")
            raise RayError(f"A worker failed: {why}.", "Run with --debug for the rest.") from error
        except errors.RayError as error:
            raise _LostError(
                f"{lost}, {RETRIES + 1} times.",
                "It may have run out of memory: try fewer --ray-workers or a smaller LOOKUPS_BATCH_TOKENS.",
            ) from error

    def _kill(self, worker: Any) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(worker)

    def close(self, seconds: float = 0.0) -> None:
        """Stop the workers and let go of Ray; what is under way is dropped. Safe from any thread."""
        if not self._closed and self._ray is not None and self._ray.is_initialized():
            # On a cluster that others use, too, the actors would outlive this process for a while.
            for worker in [*self._queues, *self._loading.values(), *self._lost]:
                self._kill(worker)
        self._closed = True
        self._cluster.close(seconds)
