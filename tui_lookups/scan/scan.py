"""The one-pass scan: every neuron of the asked-for layers over the whole corpus (method.md, section 3).

1. The batch plan, the state, checkpoints and the index are the ledger's (ledger.py).
2. Per batch, one forward pass; each layer's activations are reduced as they appear (reductions.py) and let
   go. Only when the whole batch is through is anything merged (state.py), so an interrupted batch
   leaves no trace and is done again.
3. After a kill at any moment the result is bit-identical to that of an uninterrupted scan on the same
   machine.

Many workers do the same through ray/scan.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from tui_lookups.errors import Cancelled, Poll, no_poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import ScanProgress
from tui_lookups.scan.ledger import ScanLedger
from tui_lookups.scan.reductions import BatchReducer, state_device
from tui_lookups.scan.state import merge_batch
from tui_lookups.scan.subject import ScanBusyError, ScannedModel, ScanOptions, Windows
from tui_lookups.storage.index import ScanIndex


class Scan(ScanLedger):
    """A scan in steps, one batch a step. One thread owns it: the one that owns the model.

    Args: as `ScanLedger`, whose model is `model` and whose state lies beside it.
    """

    def __init__(
        self, model: LookupModel, corpus: Windows, folder: Path, **options: Unpack[ScanOptions]
    ) -> None:
        state_on = state_device(model.device)
        super().__init__(ScannedModel.of(model), corpus, folder, state_on=state_on, **options)
        self._reducer = BatchReducer(
            model,
            corpus.window_tokens,
            self._manifest.layers,
            both_signs=len(self._manifest.signs) == 2,
        )

    def resume(self) -> int:
        """See `ScanLedger.resume`; batches are cut to what fitted into memory before."""
        resumed_at = super().resume()
        self._reducer.limit = self._manifest.cut_to or None
        return resumed_at

    def step(self, poll: Poll = no_poll) -> bool:
        """Scan one batch; False when no batch is left.

        Whatever it raises, the state is that of a whole number of batches, and it may be called again:
        Cancelled from `poll` (called between blocks), CacheError when a checkpoint cannot be written.
        NumericalError (NaN or infinite activations) is final.
        """
        if self.finished:
            return False
        number = self._manifest.next_batch
        if number == len(self.plan):
            return False
        started = self._clock()
        part = int(self.plan.parts[number])
        pieces = self._reducer(self.plan.batch(number), poll, self._need_state().floors(part))
        with self._merging() as state:
            merge_batch(state, part, pieces, self._sample, self._texts)
            if self.plan.ends_block(number + 1):
                state.close_block()
        self._advance(number + 1, self._clock() - started, cut_to=self._reducer.limit or 0)
        return number + 1 < len(self.plan)


def run_scan(
    scan: ScanLedger,
    *,
    poll: Poll = no_poll,
    progress: Callable[[ScanProgress], None] | None = None,
    busy: Callable[[], None] | None = None,
) -> ScanIndex:
    """Take a scan to its end.

    Args:
        poll: raises Cancelled to stop; a checkpoint is written first, also on Ctrl-C.
        progress: told after every batch.
        busy: called while another scan holds the folder; it sleeps, or raises. Without it ScanBusyError.
    """
    while True:
        try:
            scan.resume()
            break
        except ScanBusyError:
            if busy is None:
                raise
            busy()
    try:
        more = not scan.finished
        while more:
            more = scan.step(poll)
            if progress is not None:
                progress(scan.progress())
        return scan.finish()
    except (Cancelled, KeyboardInterrupt):
        scan.checkpoint()
        raise
    finally:
        scan.close()
