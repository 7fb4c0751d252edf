"""The scan as the Explorer sees it: found finished, resumed, run in the background, waited for.

1. A finished index is opened from the cache without torch.
2. Otherwise `start` makes the scan the background work of the model thread: one batch at a time, behind
   every question; it writes checkpoints and resumes from them.
3. `require` answers from the index, or from the running scan as far as it has come.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_lookups.answering.engine import Engine
from tui_lookups.answering.scan_elsewhere import progress_elsewhere
from tui_lookups.errors import CacheError, Cancelled, LookupsError, Poll, as_lookups_error
from tui_lookups.ids import NeuronId
from tui_lookups.model_thread import CURRENT_TOKEN, Priority
from tui_lookups.progress import tell
from tui_lookups.results import ScanProgress, ScanSummary
from tui_lookups.storage.arrays import MANIFEST, ArrayFolder
from tui_lookups.storage.index import ScanIndex, holds_index
from tui_lookups.storage.neuron_record import NeuronRecord

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.scan.batch_size import Room
    from tui_lookups.scan.copies import Copies
    from tui_lookups.scan.ledger import ScanLedger
    from tui_lookups.scan.subject import ScannedModel, ScanOptions

_LOOK_AGAIN_SECONDS = 1.0
_LEAVING_SECONDS, _ENDING_SECONDS = 0.5, 10.0
"""How long Ray may take to end when the program is left, and when a scan is done."""

_log = logging.getLogger(__name__)


class ScanSession:
    """One corpus scanned by one model, in the life of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.top = engine.settings.top
        self.progress: ScanProgress | None = None
        self.resumed_from = 0
        self._index: ScanIndex | None = None
        self._scan: ScanLedger | None = None  # its steps run on the model thread only
        self._ended = threading.Event()
        self._stop_wanted = False
        self._checkpoint_wanted = False  # no Event: a signal's handler sets it, and must take no lock
        self._error: LookupsError | None = None
        self._key: str | None = None
        self._watching = False
        self._workers = engine.workers
        self._copies: Copies | None = None
        self._copies_lock = threading.Lock()

    def key(self) -> str:
        """Name of the index: model, corpus, dtype, basis, layers, prompts and copies kept, seed, hashed."""
        if self._key is None:
            self._key = self.engine.cache.key("index", **self._key_parts()).rpartition(":")[2]
        return self._key

    def earlier_key(self) -> str:
        """Its name by an earlier version, which knew no copies."""
        parts = self._key_parts()
        del parts["keep_copies"]
        return self.engine.cache.key("index", **parts).rpartition(":")[2]

    def _key_parts(self) -> dict[str, Any]:
        layers = list(self.engine.layers())
        return self.engine.key_parts("index", None, corpus=True, layers=layers, top=self.top)

    def index(self) -> ScanIndex | None:
        """The finished index, None while there is none. A damaged one is dropped, to be made again."""
        if self._index is None:
            folder = self.engine.cache.folder("indexes") / self.key()
            try:
                self._index = ScanIndex.find(folder)
            except CacheError as error:
                self._forget_damaged(folder, error)
        if self._index is not None and (self.progress is None or self.progress.state == "waiting"):
            info = self.engine.corpus().info
            self.progress = ScanProgress(
                "done", info.prompts, info.prompts, info.tokens, info.tokens, 0.0, 0.0, 0.0
            )
        return self._index

    def _forget_damaged(self, folder: Path, error: CacheError) -> None:
        """Forget the index, and drop its folder unless another process is making it again already."""
        _log.warning("the index is damaged and is made again: %s", error)
        self.engine.doing.say("the index was damaged; scanning again")
        if holds_index(folder) and not ArrayFolder(folder).drop():
            _log.info("another process is scanning into %s already", folder)
        self._index = None
        self.progress = None
        self._ended.clear()

    def require(self, neuron: NeuronId) -> NeuronRecord:
        """What is known of a neuron now. Call on the model thread.

        Raises CacheError, after dropping the index, when its files turn out damaged.
        """
        if self._index is not None:
            try:
                return self._index.record(neuron)
            except CacheError as error:
                self._forget_damaged(self._index.folder, error)
                raise CacheError(
                    "The index of this corpus is damaged and was dropped.",
                    "Ask again: the corpus is scanned anew.",
                ) from error
        if self._scan is None:
            waiting = self.progress.message if self.progress is not None else "the scan has not begun"
            raise self._error or LookupsError(
                f"{waiting[:1].upper()}{waiting[1:]}.", "Its results appear when it is done."
            )
        return self._scan.peek(neuron)

    def start(self) -> None:
        """Make the scan the background work of the model thread, unless it is done, under way or stopped."""
        if self._stopped is not None:
            return
        if self._ended.is_set() or self.index() is not None:
            self._ended.set()
            return
        if self.engine.settings.engine == "ray":
            self._start_workers()
            return
        self._find_copies()
        self.engine.on_model(lambda model, poll: self._begin(model), loading=True)

    @property
    def _stopped(self) -> ScanLedger | None:
        """The scan, where the person stopped it."""
        return self._scan if self.progress is not None and self.progress.state == "stopped" else None

    def go_on(self) -> None:
        """Go on with a scan that was stopped, from where it was; else as `start`."""
        self._stop_wanted = False
        if (scan := self._stopped) is None:
            self.start()
        else:
            self.progress = scan.progress()
            self.engine.thread.set_background(self._step, self.failed)

    def _find_copies(self) -> None:
        """Before the model thread is needed: other questions need not wait for it."""
        corpus = self.engine.corpus(arrays=True)
        with self._copies_lock:
            if self._copies is None and not self.engine.conventions().keep_copies:
                from tui_lookups.scan.copies import find_copies

                self._copies = find_copies(corpus, self._poll, self.engine.doing.stage(3))

    def _poll(self) -> None:
        """Raises Cancelled once the tool is closing, or whoever waits is not waiting any more."""
        self.engine.poll()
        token = CURRENT_TOKEN.get()
        if token is not None:
            token.raise_if_cancelled()

    def _start_workers(self) -> None:
        """As `start`, by workers of Ray: the model is not loaded here."""
        with self._workers.lock:
            if self._scan is not None or self._ended.is_set():
                return
            workers, report = self._workers.open()
            self._find_copies()
            corpus = self.engine.corpus()

            def begin() -> None:
                from tui_lookups.scan.ray.scan import RayScan

                self._run(
                    RayScan(
                        workers,
                        report.scanned,
                        corpus,
                        self.engine.cache.folder("indexes") / self.key(),
                        **self._options(report.scanned, report.room),
                    )
                )

            self.engine.thread.run(lambda _: begin(), Priority.STARTUP, CURRENT_TOKEN.get())

    def _begin(self, model: LookupModel) -> None:
        if self._scan is not None or self._ended.is_set():
            return
        from tui_lookups.scan.batch_size import Room
        from tui_lookups.scan.scan import Scan
        from tui_lookups.scan.subject import ScannedModel

        self._run(
            Scan(
                model,
                self.engine.corpus(),
                self.engine.cache.folder("indexes") / self.key(),
                **self._options(ScannedModel.of(model), Room.of(model)),
            )
        )

    def _options(self, scanned: ScannedModel, room: Room) -> ScanOptions:
        """What the settings say of a scan, and where it may find the beginning of its corpus scanned.

        Args:
            room: of the process that scans, for the size of its batches.
        """
        from tui_lookups.scan.batch_size import automatic_batch_tokens
        from tui_lookups.scan.extension import EarlierIndexes

        settings, layers = self.engine.settings, self.engine.layers()
        window = min(settings.window, scanned.info.n_ctx)
        return {
            "layers": layers,
            "top": self.top,
            "batch_tokens": settings.batch_tokens
            or automatic_batch_tokens(scanned, room, layers=layers, top=self.top, window=window),
            "checkpoint_seconds": settings.checkpoint_seconds,
            "seed": self.engine.conventions().seed,
            "earlier": EarlierIndexes(self.engine.cache.folder("indexes"), self.engine.corpus()),
            "copies": self._copies,
        }

    def _run(self, scan: ScanLedger) -> None:
        """Resume a scan and make it the background work."""
        from tui_lookups.scan.subject import ScanBusyError

        try:
            self.resumed_from = scan.resume()
        except ScanBusyError:
            scan.close()
            self._follow(scan.folder)
            return
        except BaseException:
            scan.close()  # else the next scan would wait for ever on a lock of our own
            raise
        if not self.resumed_from and (scan.folder.parent / self.earlier_key() / MANIFEST).is_file():
            scan.problems += (
                "An earlier version has scanned this, but did not tell copies of a text apart: it is scanned "
                "again.",
            )
        for problem in scan.problems:
            _log.warning("%s", problem)
        self._scan = scan
        self.progress = scan.progress()
        self.engine.thread.set_background(self._step, self.failed)

    def _follow(self, folder: Path) -> None:
        """Another process scans the very same thing: wait for its index, or take over if it ends without."""
        self.progress = progress_elsewhere(folder, self.engine.corpus().info)
        if self._watching:
            return
        self._watching = True

        def watch() -> None:
            try:
                while (
                    self._scan is None
                    and not self._ended.wait(_LOOK_AGAIN_SECONDS)
                    and not self.engine.closing
                ):
                    # Before a scan is planned anew, which for a large corpus takes the model thread's time.
                    if ArrayFolder(folder).held():
                        self.progress = progress_elsewhere(folder, self.engine.corpus().info)
                    else:
                        self.start()
            except Cancelled:
                pass
            except Exception as error:  # noqa: BLE001 - a thread's boundary: told to who waits
                self.failed(error)
            finally:
                self._watching = False

        threading.Thread(target=watch, name="lookups-watch", daemon=True).start()

    def _step(self, poll: Poll) -> bool:
        scan = self._scan
        if scan is None:
            return False
        stops = self._stop_wanted  # asked for later, it is seen to at the next step
        try:
            if self._checkpoint_wanted or stops:
                self._checkpoint_wanted = False
                scan.checkpoint()
            more, trouble = stops or scan.step(poll), ""
        except CacheError as error:
            # A checkpoint that cannot be written does not end the scan: the next one may succeed.
            _log.warning("%s", error)
            more, trouble = True, str(error)
        if more:
            now = scan.progress()
            now = replace(now, message=trouble) if trouble else now
            self.progress = replace(now, state="stopped", seconds_left=None) if stops else now
            return not stops
        self._index = scan.finish()
        self.progress = scan.progress()
        self._scan = None
        self._ended.set()
        return False

    def failed(self, error: BaseException) -> None:
        """The scan ended with `error`: the status shows it, and who waits is told. From any thread."""
        _log.error("the scan stopped", exc_info=error)
        scan, self._scan = self._scan, None
        if scan is not None:
            if isinstance(error, LookupsError):  # workers were lost, say: what was merged before is whole
                with suppress(LookupsError, OSError, Cancelled):
                    scan.checkpoint()
            scan.close()
        self._error = as_lookups_error(error)
        if self.progress is not None:
            self.progress = replace(
                self.progress, state="failed", seconds_left=None, message=str(self._error)
            )
        self._ended.set()

    def wait(self, hear: Callable[[ScanProgress], None] | None = None) -> ScanIndex:
        """Scan to the end, or join the scan under way, and return its index. Raises what stopped it."""
        if self._error is not None:
            self._error = None
            self._ended.clear()
        self.go_on()
        while not self._ended.wait(0.1):
            self._poll()
            self._tell(hear)
        if self._error is not None:
            raise self._error
        self._workers.release(_ENDING_SECONDS)
        index = self.index()
        if self.engine.loadable:  # what once stood in the scan's way is mended
            self.engine.error = None
        if index is None:
            raise CacheError(
                "The finished index cannot be opened.", "Run `lookups-tui cache clear` and scan again."
            )
        self._tell(hear)
        return index

    def _tell(self, hear: Callable[[ScanProgress], None] | None) -> None:
        if self.progress is None:
            return
        if (under_way := self.progress.under_way) is not None:
            tell(under_way)
        if hear is not None:
            hear(self.progress)

    def summary(self, hear: Callable[[ScanProgress], None] | None = None) -> ScanSummary:
        """Scan to the end, resuming where an earlier scan stopped, and say what that was."""
        engine = self.engine
        info = engine.corpus().info
        indexed = self.index() is not None
        index = self.wait(hear)
        done = self.progress
        return ScanSummary(
            prompts=info.prompts,
            tokens=info.tokens,
            neurons=len(engine.layers()) * engine.model_info().d_mlp,
            seconds=0.0 if indexed or done is None else done.seconds,
            tokens_per_second=0.0 if indexed or done is None else done.tokens_per_second,
            resumed_from=info.prompts if indexed else self.resumed_from,
            index_path=str(index.folder),
            provenance=engine.provenance(
                corpus=True, top=self.top, layers=",".join(map(str, engine.layers()))
            ),
            extended_from=index.manifest.extended_from,
        )

    @property
    def unsaved(self) -> bool:
        """Whether a scan is under way, which a checkpoint would save."""
        return self._scan is not None

    def close(self) -> None:
        """Let go of the scan's folder, and of Ray's workers: what they have not handed in is lost."""
        scan, self._scan = self._scan, None
        if scan is not None:
            scan.close()
        self._workers.close(_LEAVING_SECONDS)

    def stop(self) -> None:
        """Have a running scan write what it has after the batch under way, and rest until `go_on`."""
        self._stop_wanted = True

    def request_checkpoint(self) -> None:
        """Have a running scan write what it has after the batch under way. At once, from any thread."""
        self._checkpoint_wanted = True

    def checkpoint(self) -> None:
        """Write what the running scan has. Call on the model thread."""
        if self._scan is not None:
            self._scan.checkpoint()
