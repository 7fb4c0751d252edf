"""A scan's plan, state and folder: everything about it but who runs its batches.

1. A batch plan is fixed for the corpus (plan.py): what a resumed scan does next is what the killed
   one would have done, whichever engine resumes it.
2. The state is always that of the plan's first `next_batch` batches, no more and no less, so what is
   committed is complete in itself.
3. A checkpoint commits the whole state to the folder at once (storage/arrays.py). After a kill at any moment
   `resume` finds the last commit. The last commit replaces the checkpoint by the index (storage/index.py).

A scan holds its folder's lock (released by the system when the process dies): a second scan of the same
folder, in this process or another, is refused with ScanBusyError, and may wait for the first one's index.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tui_lookups.errors import BadIdError, CacheError, Cancelled, CorpusError, Poll, UnavailableError, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import ScanProgress
from tui_lookups.scan.copies import Copies
from tui_lookups.scan.extension import EarlierIndexes, state_of
from tui_lookups.scan.plan import BatchPlan, plan_batches, sample_ids
from tui_lookups.scan.state import ScanState, TextTable, histogram_edges
from tui_lookups.scan.subject import ScanBusyError, ScannedModel, Windows, first_manifest
from tui_lookups.scan.top_k import MAX_PROMPTS
from tui_lookups.storage.arrays import ArrayFolder, ArrayWriter
from tui_lookups.storage.files import reason
from tui_lookups.storage.index import COMMON, ScanIndex, ScanManifest, copies_arrays, coverage, layer_block
from tui_lookups.storage.neuron_record import NeuronRecord

_STATE = "state"
_CHECK_EVERY = 16
"""Batches between looks for NaN where looking makes the host wait for the device."""


class ScanLedger:
    """Plan, state, checkpoints and index of a scan. One thread owns it.

    Args:
        scanned: the model that runs, here or elsewhere.
        state_on: where the state lives.
        folder: where checkpoints and then the index go; for this model, corpus and settings alone.
        The others: `ScanOptions`.

    `resume` comes first, then `step` until it returns False, then `finish`; `close` gives the folder up.
    """

    def __init__(
        self,
        scanned: ScannedModel,
        corpus: Windows,
        folder: Path,
        *,
        state_on: torch.device,
        layers: Sequence[int],
        top: int = 20,
        batch_tokens: int = 4096,
        checkpoint_seconds: float = 60.0,
        seed: int = 0,
        sample: int = 40,
        clock: Callable[[], float] = time.monotonic,
        earlier: EarlierIndexes | None = None,
        copies: Copies | None = None,
    ) -> None:
        if not layers or top < 1 or batch_tokens < 1 or sample < 1:
            raise ValueError("layers, top, batch_tokens and sample must not be empty or below 1")
        info = scanned.info
        if not set(layers) <= set(range(info.n_layers)):
            raise BadIdError(f"{info.name} has no such layers.", f"They run from 0 to {info.n_layers - 1}.")
        if len(corpus.lengths()) >= MAX_PROMPTS:
            raise CorpusError("The corpus has too many prompts for one index.", "Scan it in parts.")
        self.folder = folder
        self.resumed_from = 0
        self.problems: tuple[str, ...] = ()
        """Sentences about a checkpoint, or an earlier index, that was found and could not be used."""
        self._earlier = earlier
        self._copies = copies
        self._texts = None if copies is None else TextTable.of(copies, state_on)
        self._corpus, self._n_layers, self._state_on = corpus, info.n_layers, state_on
        self._checkpoint_seconds, self._clock = checkpoint_seconds, clock
        self._manifest = first_manifest(
            scanned,
            corpus.info,
            layers=layers,
            top=top,
            sample=sample,
            content="" if earlier is None else earlier.corpus.content(),
            keep_copies=copies is None,
        )
        self._resources = ExitStack()
        self._committing, self._closed = threading.Lock(), threading.Event()
        # Also when the interpreter ends and the scan was not closed.
        weakref.finalize(self, _give_back, self._resources, self._committing)
        self._writer: ArrayWriter | None = None
        self._state: ScanState | None = None
        self._index: ScanIndex | None = None
        self._torn = False
        self._committed_batch = 0
        self._last_commit = 0.0
        self._run_seconds, self._run_tokens = 0.0, 0
        self._plan_for(batch_tokens, seed)

    def _plan_for(self, batch_tokens: int, seed: int, extended_from: int = 0) -> None:
        """Plan the prompts from `extended_from` on; the sample is of all."""
        lengths, parts = self._corpus.lengths(), self._corpus.parts()
        usable = np.flatnonzero(lengths >= 2)
        if len(usable) == 0:
            raise CorpusError(
                "The corpus has no prompt of two tokens or more.", "Name a file with more text."
            )
        planned = np.where(np.arange(len(lengths)) < extended_from, 0, lengths)
        self.plan: BatchPlan = plan_batches(planned, parts, batch_tokens=batch_tokens, seed=seed)
        self._sample = sample_ids(usable, self._manifest.sample, seed)
        self._earlier_tokens = int(lengths[usable[usable < extended_from]].sum())
        self._manifest = replace(
            self._manifest,
            batch_tokens=batch_tokens,
            seed=seed,
            plan=self.plan.digest(),
            extended_from=extended_from,
        )

    # --- life ---

    def resume(self) -> int:
        """Take the folder's lock and whatever a killed scan left; the number of prompts found there.

        What cannot be used is told in `problems` and overwritten. Raises ScanBusyError, CacheError;
        UnavailableError when what is there cannot be read now.
        """
        if self._writer is None and self._index is None:
            writer = self._resources.enter_context(ArrayFolder(self.folder).writing())
            if writer is None:
                self._resources.close()
                raise ScanBusyError(
                    f"Another scan is writing to {self.folder}.", "Wait for it, or end the other program."
                )
            self._writer = writer
            self._last_commit = self._clock()
            try:
                self._take_over()
            except CacheError as error:
                self.problems = (f"{error.message} The scan starts anew.",)
                self._start_anew()
        return self.resumed_from

    def _take_over(self) -> None:
        committed = ArrayFolder(self.folder).manifest()
        if committed is None:
            self._start_anew()
            return
        committed_manifest = ScanManifest.from_plain(committed.description)
        if not committed_manifest.same_scan(self._manifest):
            raise CacheError(f"{self.folder} holds another scan.")
        asked = self._manifest
        self._plan_for(
            committed_manifest.batch_tokens, committed_manifest.seed, committed_manifest.extended_from
        )
        if committed_manifest.plan != self._manifest.plan or not 0 <= committed_manifest.next_batch <= len(
            self.plan
        ):
            self._plan_for(asked.batch_tokens, asked.seed)
            raise CacheError(f"{self.folder} holds a scan with another batch plan.")
        if committed_manifest.kind == "index":
            self._manifest, self._index = committed_manifest, ScanIndex(self.folder, committed_manifest)
        else:
            self._state = self._empty_state()
            self._state.load_arrays(ArrayFolder(self.folder).open(_STATE))
            self._manifest = replace(
                committed_manifest,
                device=self._manifest.device,
                content=self._manifest.content or committed_manifest.content,
            )
            self._committed_batch = committed_manifest.next_batch
        self.resumed_from = committed_manifest.prompts

    def _start_anew(self) -> None:
        """From the longest earlier index that is sound and can be read now, else from nothing."""
        asked = self._manifest
        for base in self._earlier.find(asked) if self._earlier is not None else ():
            self._plan_for(asked.batch_tokens, asked.seed, base.manifest.prompts)
            try:
                self._state = state_of(base, asked.layers, asked.top, self._sample, self._state_on)
            except (CacheError, UnavailableError) as error:
                self.problems += (f"The index of an earlier corpus cannot be used: {error.message}",)
                continue
            self._manifest = replace(
                self._manifest,
                prompts=base.manifest.prompts,
                tokens=base.manifest.tokens,
                positions=base.manifest.positions,
            )
            return
        self._plan_for(asked.batch_tokens, asked.seed)
        self._state = self._empty_state()

    def _empty_state(self) -> ScanState:
        manifest = self._manifest
        return ScanState.empty(
            len(manifest.layers),
            manifest.d_mlp,
            signs=len(manifest.signs),
            top=manifest.top,
            sample=len(self._sample),
            device=self._state_on,
        )

    def close(self) -> None:
        """Give the lock back, now or after the commit in progress. Safe from any thread, never waits.

        What is not in a checkpoint is lost.
        """
        self._closed.set()
        _give_back(self._resources, self._committing)

    # --- work ---

    def step(self, poll: Poll = no_poll) -> bool:
        """Do some of the work, merge what is complete; False when no batch is left."""
        raise NotImplementedError

    @contextmanager
    def _merging(self) -> Iterator[ScanState]:
        """The state while a batch or a shard is merged; `_advance` says that it is whole again.

        Ctrl-C meanwhile leaves a state that is never committed: the last checkpoint stands.
        """
        self._torn = True
        yield self._need_state()

    def _advance(self, end: int, seconds: float, *, cut_to: int = 0) -> None:
        """The plan's batches up to `end` are in the state now; writes a checkpoint when one is due.

        Args:
            seconds: what they took.
            cut_to: padded tokens a batch had to be cut to for want of memory; 0 when it fitted.
        """
        manifest = self._manifest
        prompts = int(self.plan.offsets[end] - self.plan.offsets[manifest.next_batch])
        tokens = int(self.plan.tokens[end] - self.plan.tokens[manifest.next_batch])
        limits = [limit for limit in (manifest.cut_to, cut_to) if limit]
        self._manifest = replace(
            manifest,
            next_batch=end,
            prompts=manifest.prompts + prompts,
            tokens=manifest.tokens + tokens,
            positions=manifest.positions + tokens - prompts,
            seconds=manifest.seconds + seconds,
            cut_to=min(limits, default=0),
        )
        self._torn = False
        self._run_seconds += seconds
        self._run_tokens += tokens
        self._require_finite(end)
        if self._clock() - self._last_commit >= self._checkpoint_seconds:
            self.checkpoint()

    def _require_finite(self, end: int) -> None:
        state = self._need_state()
        if state.keys.device.type == "cpu" or end % _CHECK_EVERY == 0:
            state.require_finite(self._manifest.layers)

    # --- disk ---

    def checkpoint(self) -> None:
        """Commit the state, if it has grown since the last commit. Raises CacheError, NumericalError."""
        manifest = self._manifest
        if self._torn or self._index is not None or manifest.next_batch == self._committed_batch:
            return
        state = self._need_state()
        state.require_finite(manifest.layers)
        with self._writing() as writer:
            writer.write(_STATE, state.to_arrays())
            # Left by a `finish` that could not be completed, or by another scan.
            for block in (COMMON, *map(layer_block, range(self._n_layers))):
                writer.remove(block)
            writer.commit(manifest.to_plain())
        self._committed_batch = manifest.next_batch
        self._last_commit = self._clock()

    def finish(self) -> ScanIndex:
        """Write the index in place of the checkpoint and give the lock back.

        Raises CacheError when it cannot be written; it may then be called again.
        """
        if self._index is None:
            state, manifest = self._need_state(), replace(self._manifest, kind="index")
            if manifest.next_batch != len(self.plan):
                raise RuntimeError("finish() before step() has returned False")
            state.require_finite(manifest.layers)
            corpus_prompts = len(self._corpus.lengths())
            with self._writing() as writer:
                for layer in set(range(self._n_layers)) - set(manifest.layers):
                    writer.remove(layer_block(layer))
                for slot, layer in enumerate(manifest.layers):
                    arrays = state.index_arrays(
                        slot, positions=manifest.positions, corpus_prompts=corpus_prompts
                    )
                    writer.write(layer_block(layer), arrays)
                copies = {} if self._copies is None else copies_arrays(self._copies.originals)
                writer.write(COMMON, {"edges": histogram_edges(), "sample": self._sample, **copies})
                writer.remove(_STATE)
                writer.commit(manifest.to_plain())
            self._manifest, self._index, self._state = manifest, ScanIndex.open(self.folder), None
        self.close()
        return self._index

    @contextmanager
    def _writing(self) -> Iterator[ArrayWriter]:
        if self._closed.is_set():
            raise Cancelled  # closed from another thread during a step
        if self._writer is None:
            raise RuntimeError("resume() comes first")
        try:
            with self._committing:
                yield self._writer
        except OSError as error:
            self._writer.abandon()
            raise CacheError(
                f"The scan could not be saved to {self.folder}: {reason(error)}.",
                "Make room, or name another folder with --cache-dir; the scan itself goes on.",
            ) from error
        finally:
            self._last_commit = self._clock()
            if self._closed.is_set():
                self.close()

    # --- looks ---

    def _need_state(self) -> ScanState:
        if self._state is None:
            raise RuntimeError("resume() comes first, and there are no steps after finish()")
        return self._state

    @property
    def finished(self) -> bool:
        """Whether the index is written."""
        return self._index is not None

    def progress(self) -> ScanProgress:
        """How far the scan is; `seconds` and speed count the time spent in steps, by killed scans too."""
        manifest, total = self._manifest, int(self.plan.tokens[-1]) + self._earlier_tokens
        state: Literal["waiting", "running", "done"] = "running" if manifest.tokens else "waiting"
        # The speed of this run tells best how long the rest takes; before its first batch, that of all.
        scanned = manifest.tokens - self._earlier_tokens
        spent, done = (
            (self._run_seconds, self._run_tokens) if self._run_tokens else (manifest.seconds, scanned)
        )
        speed = done / spent if spent > 0 else 0.0
        return ScanProgress(
            state="done" if self.finished else state,
            prompts=manifest.prompts,
            total_prompts=self.plan.prompts + manifest.extended_from,
            tokens=manifest.tokens,
            total_tokens=total,
            seconds=manifest.seconds,
            seconds_left=(total - manifest.tokens) / speed if speed else None,
            tokens_per_second=speed,
            message=" ".join(self.problems),
        )

    def peek(self, neuron: NeuronId) -> NeuronRecord:
        """What is known of a neuron so far. Raises BadIdError when the scan does not cover it."""
        if self._index is not None:
            return self._index.record(neuron)
        manifest = self._manifest
        if neuron.layer not in manifest.layers or neuron.index >= manifest.d_mlp:
            raise BadIdError(
                f"The scan has no neuron {neuron}.",
                coverage(manifest),
            )
        return self._need_state().record(
            manifest.layers.index(neuron.layer),
            neuron,
            signs=manifest.signs,
            sample_prompts=self._sample,
            prompts=manifest.prompts,
            positions=manifest.positions,
            copies=self._copies,
        )


def _give_back(resources: ExitStack, committing: threading.Lock) -> None:
    """Release the folder unless a commit is in progress: its files must not be swept away under it."""
    if committing.acquire(blocking=False):
        try:
            resources.close()
        finally:
            committing.release()
