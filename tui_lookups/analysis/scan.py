"""The one-pass scan: every neuron of the asked-for layers over the whole corpus (METHOD 3).

1. A batch plan is fixed for the corpus (batch_plan.py): what a resumed scan does next is what the killed
   one would have done.
2. Per batch, one forward pass; each layer's activations are reduced as they appear (reductions.py) and let
   go. Only when the whole batch is through is anything merged (scan_state.py), so an interrupted batch
   leaves no trace and is done again.
3. Every `checkpoint_seconds` the whole state is committed to the folder, as a whole (storage/arrays.py).
   After a kill at any moment `resume` finds the last commit; the result is bit-identical to that of an
   uninterrupted scan on the same machine.
4. The last commit replaces the checkpoint by the index (storage/index.py).

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
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from tui_lookups.analysis.batch_plan import BatchPlan, plan_batches, sample_prompts
from tui_lookups.analysis.reductions import BatchReducer, Piece, state_device
from tui_lookups.analysis.scan_state import ScanState, histogram_edges, sample_slots
from tui_lookups.analysis.top_k import MAX_PROMPTS
from tui_lookups.errors import BadIdError, CacheError, Cancelled, CorpusError
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel, Poll, no_poll
from tui_lookups.results import CorpusInfo, ScanProgress
from tui_lookups.storage.arrays import ArrayFolder, ArrayWriter
from tui_lookups.storage.files import reason
from tui_lookups.storage.index import (
    COMMON,
    FORMAT_VERSION,
    NeuronRecord,
    ScanIndex,
    ScanManifest,
    covers,
    layer_block,
)

_STATE = "state"
_CHECK_EVERY = 16
"""Batches between looks for NaN where looking makes the host wait for the device."""


class Windows(Protocol):
    """What a scan needs of a corpus; `Corpus` has it."""

    @property
    def info(self) -> CorpusInfo: ...

    def lengths(self) -> npt.NDArray[np.int64]: ...

    def parts(self) -> npt.NDArray[np.uint8]: ...

    def window_tokens(self, prompt_id: int) -> npt.NDArray[np.int64]: ...


class ScanBusyError(CacheError):
    """Another scan, of this process or another, holds the folder."""


class Scan:
    """A scan in steps. One thread owns it: the one that owns the model.

    Args:
        folder: where checkpoints and then the index go; for this model, corpus and settings alone.
        layers: the layers asked for.
        top: prompts kept per neuron, sign and part of the corpus.
        batch_tokens: padded tokens in a batch. A checkpoint's own value is kept when one is resumed.
        checkpoint_seconds: time between checkpoints.
        seed: of the order of batches and of the random sample; a checkpoint's own is kept.
        sample: size of the uniform random sample of prompts.

    `resume` comes first, then `step` until it returns False, then `finish`; `close` gives the folder up.
    """

    def __init__(
        self,
        model: LookupModel,
        corpus: Windows,
        folder: Path,
        *,
        layers: Sequence[int],
        top: int = 20,
        batch_tokens: int = 4096,
        checkpoint_seconds: float = 60.0,
        seed: int = 0,
        sample: int = 40,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not layers or top < 1 or batch_tokens < 1 or sample < 1:
            raise ValueError("layers, top, batch_tokens and sample must not be empty or below 1")
        if not set(layers) <= set(range(model.info.n_layers)):
            raise BadIdError(
                f"{model.info.name} has no such layers.", f"They run from 0 to {model.info.n_layers - 1}."
            )
        if len(corpus.lengths()) >= MAX_PROMPTS:
            raise CorpusError("The corpus has too many prompts for one index.", "Scan it in parts.")
        self.folder = folder
        self.resumed_from = 0
        self.problems: tuple[str, ...] = ()
        """Sentences about a checkpoint that was found and could not be used."""
        self._model, self._corpus = model, corpus
        self._checkpoint_seconds, self._clock = checkpoint_seconds, clock
        self._manifest = ScanManifest(
            kind="checkpoint",
            format=FORMAT_VERSION,
            model=model.info.fingerprint,
            corpus=corpus.info.fingerprint,
            basis=model.basis,
            dtype=str(model.dtype).removeprefix("torch."),
            device=str(model.device.type),
            layers=tuple(sorted(set(layers))),
            d_mlp=model.info.d_mlp,
            signs=(1, -1) if model.architecture.gated else (1,),
            top=top,
            sample=sample,
            batch_tokens=batch_tokens,
            seed=seed,
            plan="",
            next_batch=0,
            prompts=0,
            tokens=0,
            positions=0,
            seconds=0.0,
            forward=model.forward_path,
        )
        self._resources = ExitStack()
        self._committing, self._closed = threading.Lock(), threading.Event()
        # Also when the interpreter ends while nobody has closed the scan.
        weakref.finalize(self, _give_back, self._resources, self._committing)
        self._writer: ArrayWriter | None = None
        self._state: ScanState | None = None
        self._index: ScanIndex | None = None
        self._committed_batch = 0
        self._last_commit = 0.0
        self._run_seconds, self._run_tokens = 0.0, 0
        self._reducer = BatchReducer(
            model,
            corpus.window_tokens,
            self._manifest.layers,
            both_signs=len(self._manifest.signs) == 2,
        )
        self._plan_for(batch_tokens, seed)

    def _plan_for(self, batch_tokens: int, seed: int) -> None:
        lengths, parts = self._corpus.lengths(), self._corpus.parts()
        self.plan: BatchPlan = plan_batches(lengths, parts, batch_tokens=batch_tokens, seed=seed)
        if self.plan.prompts == 0:
            raise CorpusError(
                "The corpus has no prompt of two tokens or more.", "Name a file with more text."
            )
        self._sample = sample_prompts(self.plan, self._manifest.sample, seed)
        self._manifest = replace(
            self._manifest, batch_tokens=batch_tokens, seed=seed, plan=self.plan.digest()
        )

    # --- life ---

    def resume(self) -> int:
        """Take the folder's lock and whatever a killed scan left; the number of prompts found there.

        What cannot be used is told in `problems` and overwritten. Raises ScanBusyError, CacheError.
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
        found = ScanManifest.from_plain(committed.description)
        if not found.same_scan(self._manifest):
            raise CacheError(f"{self.folder} holds another scan.")
        asked = self._manifest
        self._plan_for(found.batch_tokens, found.seed)
        if found.plan != self._manifest.plan or not 0 <= found.next_batch <= len(self.plan):
            self._plan_for(asked.batch_tokens, asked.seed)
            raise CacheError(f"{self.folder} holds a scan with another batch plan.")
        if found.kind == "index":
            self._manifest, self._index = found, ScanIndex(self.folder, found)
        else:
            self._start_anew()
            self._need_state().load_arrays(ArrayFolder(self.folder).open(_STATE))
            self._manifest = replace(found, device=self._manifest.device)
            self._committed_batch = found.next_batch
        self.resumed_from = found.prompts

    def _start_anew(self) -> None:
        manifest = self._manifest
        self._state = ScanState.empty(
            len(manifest.layers),
            manifest.d_mlp,
            signs=len(manifest.signs),
            top=manifest.top,
            sample=len(self._sample),
            device=state_device(self._model.device),
        )

    def close(self) -> None:
        """Give the lock back, now or after the commit in progress. Safe from any thread, never waits.

        What is not in a checkpoint is lost.
        """
        self._closed.set()
        _give_back(self._resources, self._committing)

    # --- work ---

    def step(self, poll: Poll = no_poll) -> bool:
        """Scan one batch; False when no batch is left.

        Whatever it raises, the state is that of a whole number of batches, and it may be called again:
        Cancelled from `poll` (called between blocks), CacheError when a checkpoint cannot be written.
        NumericalError (NaN or infinite activations) is final.
        """
        if self.finished:
            return False
        state, manifest = self._need_state(), self._manifest
        number = manifest.next_batch
        if number == len(self.plan):
            return False
        started = self._clock()
        ids = self.plan.batch(number)
        part, tokens = int(self.plan.parts[number]), int(np.diff(self.plan.tokens)[number])
        self._merge(state, part, self._reducer(ids, poll))
        self._manifest = replace(
            manifest,
            next_batch=number + 1,
            prompts=manifest.prompts + len(ids),
            tokens=manifest.tokens + tokens,
            positions=manifest.positions + tokens - len(ids),
            seconds=manifest.seconds + self._clock() - started,
        )
        self._run_seconds += self._clock() - started
        self._run_tokens += tokens
        if state.keys.device.type == "cpu" or (number + 1) % _CHECK_EVERY == 0:
            state.require_finite(manifest.layers)
        if self._clock() - self._last_commit >= self._checkpoint_seconds:
            self.checkpoint()
        return number + 1 < len(self.plan)

    @torch.inference_mode()
    def _merge(self, state: ScanState, part: int, pieces: list[Piece]) -> None:
        for piece in pieces:
            on_device = torch.from_numpy(piece.prompt_ids).to(state_device(self._model.device))
            sampled = sample_slots(self._sample, piece.prompt_ids)
            for place, found in enumerate(piece.layers):
                state.merge(place, part, on_device, found, sampled)

    # --- disk ---

    def checkpoint(self) -> None:
        """Commit the state, if it has grown since the last commit. Raises CacheError, NumericalError."""
        manifest = self._manifest
        if self._index is not None or manifest.next_batch == self._committed_batch:
            return
        state = self._need_state()
        state.require_finite(manifest.layers)
        with self._writing() as writer:
            writer.write(_STATE, state.to_arrays())
            # Left by a `finish` that could not be completed, or by another scan.
            for block in (COMMON, *map(layer_block, range(self._model.info.n_layers))):
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
                for layer in set(range(self._model.info.n_layers)) - set(manifest.layers):
                    writer.remove(layer_block(layer))
                for place, layer in enumerate(manifest.layers):
                    arrays = state.index_arrays(
                        place, positions=manifest.positions, corpus_prompts=corpus_prompts
                    )
                    writer.write(layer_block(layer), arrays)
                writer.write(COMMON, {"edges": histogram_edges(), "sample": self._sample})
                writer.remove(_STATE)
                writer.commit(manifest.to_plain())
            self._manifest, self._index, self._state = manifest, ScanIndex.open(self.folder), None
        self.close()
        return self._index

    @contextmanager
    def _writing(self) -> Iterator[ArrayWriter]:
        if self._writer is None or self._closed.is_set():
            raise RuntimeError("resume() comes first, close() last")
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
        manifest, total = self._manifest, int(self.plan.tokens[-1])
        state: Literal["waiting", "running", "done"] = "running" if manifest.tokens else "waiting"
        # The speed of this run tells best how long the rest takes; before its first batch, that of all.
        spent, done = (
            (self._run_seconds, self._run_tokens) if self._run_tokens else (manifest.seconds, manifest.tokens)
        )
        speed = done / spent if spent > 0 else 0.0
        return ScanProgress(
            state="done" if self.finished else state,
            prompts=manifest.prompts,
            total_prompts=self.plan.prompts,
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
                covers(manifest),
            )
        return self._need_state().record(
            manifest.layers.index(neuron.layer),
            neuron,
            signs=manifest.signs,
            sample_prompts=self._sample,
            prompts=manifest.prompts,
            positions=manifest.positions,
        )


def _give_back(resources: ExitStack, committing: threading.Lock) -> None:
    """Release the folder unless a commit is in progress: its files must not be swept away under it."""
    if committing.acquire(blocking=False):
        try:
            resources.close()
        finally:
            committing.release()


def run_scan(
    scan: Scan,
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
