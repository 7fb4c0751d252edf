"""What the Explorer works with: the cache, the model's files, the corpus, the one model thread.

1. `local` and `vocabulary` answer from files and the cache, without torch; `model_info` too, once the
   model has been loaded on this machine before.
2. `on_model` runs a function with the loaded model on the one model thread; the first call loads it.
3. `key` makes the cache key of a question: everything that can change its answer is a part of it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tui_lookups.answering import model_loader
from tui_lookups.answering.cache_keys import (
    ANSWER_VERSION,
    INFO_VERSION,
    RANKS_TOKENS,
    convention_parts,
    ranked_otherwise,
)
from tui_lookups.answering.checks import check_sign
from tui_lookups.answering.doing import Doing
from tui_lookups.answering.model_files import ModelFiles
from tui_lookups.answering.worker_pool import WorkerPool
from tui_lookups.errors import Cancelled, LoadingStoppedError, LookupsError, Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.model_thread import CURRENT_TOKEN, ModelThread, Priority
from tui_lookups.results import Basis, ModelInfo, Provenance, Sign
from tui_lookups.results.conventions import Conventions
from tui_lookups.results.firing import firing_sign
from tui_lookups.settings import Settings
from tui_lookups.storage.cache import ResultCache
from tui_lookups.storage.files import FingerprintMemory

if TYPE_CHECKING:
    from tui_lookups.corpus.corpus import Corpus
    from tui_lookups.model.file_weights import FileWeights, Writes
    from tui_lookups.model.lookup_model import LookupModel

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Engine:
    """Owns everything with a lifetime but the scan. Thread-safe; nothing is opened before it is needed.

    `results` is a folder for results, indexes and corpora in place of the cache folder's own.
    """

    def __init__(
        self, settings: Settings, results: Path | None = None, *, doing: Doing | None = None
    ) -> None:
        self.settings = settings
        self.basis: Basis = "raw" if settings.raw_weights else "folded"
        self.cache = ResultCache(results or settings.cache_dir, settings.cache_size_limit)
        self.thread = ModelThread()
        self.device = settings.device
        self.doing = doing or Doing(compiles=settings.compile)
        self.tokenising = False
        self.error: LookupsError | None = None
        """What the start in the background stumbled over, for the status."""
        self.closing = False
        self._digest = FingerprintMemory(self.cache)
        stage = self.doing.stage(1)
        self._files = ModelFiles(settings, self.cache, self._digest, self.basis, say=stage, poll=self.poll)
        self._corpus_lock = threading.Lock()  # never held while the model thread is waited for
        self._info: ModelInfo | None = None
        self._corpus: Corpus | None = None
        self._model: LookupModel | None = None  # used on the model thread only
        self._load_error: LookupsError | None = None
        self._asking_lock = threading.Lock()
        self._asking = 0  # questions on the model thread or on their way there

    @cached_property
    def workers(self) -> WorkerPool:
        """Workers of Ray, for a scan; none is started yet."""
        return WorkerPool(self.settings, self.local, self.take_over, say=self.doing.say, poll=self.poll)

    def poll(self) -> None:
        """Raises Cancelled once the tool is closing."""
        if self.closing:
            raise Cancelled

    # --- model files, vocabulary, corpus ---

    def local(self) -> LocalModel:
        """The model's files, fetched or de-quantised first where needed."""
        return self._files.local()

    def vocabulary(self) -> Vocabulary:
        return self._files.vocabulary()

    def file_weights(self) -> FileWeights | None:
        """What congruence needs, from the model's files alone; None where they have to be loaded for it."""
        return self._files.weights()

    def model_info(self) -> ModelInfo:
        """What the model is: remembered from the last time it was loaded, else by loading it."""
        if self._info is None:
            local = self.local()
            remembered = self.cache.get_result("model_info", self._info_key(local), ModelInfo)
            if remembered is not None:
                # The same content may have been known under another name: say the one asked for.
                self._info = replace(remembered, name=local.name, source=local.source)
                ran_on = self.cache.get("model_device", self._device_key(local))
                if ran_on is not None and self._model is None:
                    self.device = ran_on.decode("ascii")
        if self._info is None:
            weights = self.file_weights()
            if weights is not None:
                self._info = weights.info
        if self._info is not None:
            return self._info
        if self.settings.engine == "ray" and "workers" in vars(self):  # a scan has them load it
            return self.workers.open()[1].scanned.info
        return self.on_model(lambda model, _: model.info)

    def take_over(self, info: ModelInfo, device: str) -> None:
        """Take from who has loaded the same files elsewhere what the model is, and where it runs."""
        local = self.local()
        self._remember(local, info, device)
        self._info = replace(info, name=local.name, source=local.source)
        if self._model is None:
            self.device = device

    def _remember(self, local: LocalModel, info: ModelInfo, device: str) -> None:
        self.cache.put_result("model_info", self._info_key(local), info)
        self.cache.put("model_device", self._device_key(local), device.encode("ascii"))

    def _device_key(self, local: LocalModel) -> str:
        """Where "auto" was, the last time the model was loaded: what is answered from the cache says so."""
        return self.cache.key(
            "model_device", model=local.fingerprint, asked=self.settings.device, version=ANSWER_VERSION
        )

    def _info_key(self, local: LocalModel) -> str:
        variant = self.vocabulary().head.variant
        tokens = {"tokens": variant} if variant else {}
        return self.cache.key("model_info", model=local.fingerprint, version=INFO_VERSION, **tokens)

    def corpus(self, *, arrays: bool = False) -> Corpus:
        """The corpus as token windows, tokenised first where needed.

        With `arrays` its token arrays are held to their checksums first, and made again when damaged.
        """
        vocabulary, info = self.vocabulary(), self.model_info()
        with self._corpus_lock:
            if self._corpus is None:
                self._corpus = self._build_corpus(vocabulary, info)
            if arrays and not self._corpus.is_sound():
                _log.warning("the tokenised corpus is damaged and is made again")
                self._corpus.drop()
                self._corpus = self._build_corpus(vocabulary, info)
            return self._corpus

    def _build_corpus(self, vocabulary: Vocabulary, info: ModelInfo) -> Corpus:
        from tui_lookups.answering.corpus_of_model import corpus_of_model

        self.tokenising = True
        try:
            return corpus_of_model(
                self.settings,
                self.local(),
                vocabulary,
                info,
                self.cache,
                self._digest,
                say=self.doing.stage(2),
                should_stop=lambda: self.closing,
            )
        finally:
            self.tokenising = False

    def opened_so_far(self) -> tuple[ModelInfo | None, Corpus | None, bool]:
        """Model and corpus as far as they are known, and whether the model is loaded; never blocks."""
        return self._info, self._corpus, self._model is not None

    # --- what is asked for ---

    def layers(self) -> tuple[int, ...]:
        """The layers asked for, all by default. Raises LookupsError for one the model does not have."""
        n_layers = self.model_info().n_layers
        asked = self.settings.layers
        if asked is None:
            return tuple(range(n_layers))
        missing = [layer for layer in asked if layer >= n_layers]
        if missing:
            raise LookupsError(
                f"{self.local().name} has no layer {missing[0]}.", f"Its layers run from 0 to {n_layers - 1}."
            )
        return asked

    def conventions(self, *, sign: Sign | None = None, trimmed: bool | None = None) -> Conventions:
        """What counts, by the settings and the model, but for what was asked for."""
        check_sign(sign)
        settings = self.settings
        if sign is None:
            gated = settings.sign == "auto" and self.model_info().gated
            sign = firing_sign(settings.sign, gated=gated)
        return Conventions(
            preset=settings.preset,
            activity_rule=settings.activity_rule,
            sign=sign,
            trimmed=settings.trimmed if trimmed is None else trimmed,
            seed=settings.seed,
            keep_copies=settings.keep_copies,
            encoding=self.vocabulary().head.variant,
        )

    def ranking_sign(self, sign: Sign | None = None) -> Sign:
        """The sign of congruence that is ranked by: "+" unless asked for otherwise."""
        check_sign(sign)
        return sign or ("+" if self.settings.sign == "auto" else self.settings.sign)

    def check_neuron(self, neuron: NeuronId) -> None:
        """Raise BadIdError when the model has no such neuron."""
        self.model_info().check_neuron(neuron)

    def check_head(self, head: HeadId) -> None:
        """Raise BadIdError when the model has no such head."""
        self.model_info().check_head(head)

    def provenance(self, *, corpus: bool, **parameters: str | int | float | bool | None) -> Provenance:
        """Where an answer comes from: model, corpus, basis, device, dtype and the question's parameters.

        Among these `bos` says what was done: "always" where begin-of-text, `model.bos`, was put in front of
        texts, "never" where nothing was.
        """
        return Provenance(
            model=self.model_info(),
            corpus=self.corpus().info if corpus else None,
            basis=self.basis,
            device=self.device,
            dtype=self.settings.dtype,
            parameters={
                **parameters,
                "bos": "never" if self.vocabulary().bos_id is None else "always",
                **({"keep_copies": self.settings.keep_copies} if corpus else {}),
            },
        )

    # --- cached answers ---

    def key(self, kind: str, conventions: Conventions | None = None, *, corpus: bool, **parts: Any) -> str:
        """The cache key of a question: everything that can change its answer is a part of it."""
        return self.cache.key(kind, **self.key_parts(kind, conventions, corpus=corpus, **parts))

    def key_parts(
        self, kind: str, conventions: Conventions | None, *, corpus: bool, **parts: Any
    ) -> dict[str, Any]:
        """The parts of a question's key; the conventions are those of the settings unless they are given."""
        ranked = (
            ranked_otherwise(self.vocabulary().head, self.model_info(), self.basis)
            if kind in RANKS_TOKENS
            else {}
        )
        return {
            "version": ANSWER_VERSION,
            "model": self.local().fingerprint,
            "basis": self.basis,
            "dtype": self.settings.dtype,
            "corpus": self.corpus().info.fingerprint if corpus else None,
            **ranked,
            **convention_parts(kind, conventions or self.conventions()),
            **parts,
        }

    def cached(self, key: str, type_: type[T]) -> T | None:
        """The answer kept under a key, None where there is none."""
        return self.cache.get_result(key.partition(":")[0], key, type_)

    def keep(self, key: str, answer: T) -> T:
        """Keep an answer under its key, and return it."""
        self.cache.put_result(key.partition(":")[0], key, answer)
        return answer

    # --- the model thread ---

    def on_writes(self, work: Callable[[Writes, Poll], T]) -> T:
        """Run `work` with what congruence needs of the model, at the first of three places that has it.

        The loaded model, on its thread; the files alone, on this thread; the model, loaded for it.
        """
        weights = self.file_weights() if self._model is None else None
        if weights is None:
            return self.on_model(work)
        answer = work(weights, self.poll_asker)
        weights.require_unchanged()
        return answer

    def poll_asker(self) -> None:
        """Raises Cancelled when nobody waits for this thread's question any more."""
        self.poll()
        token = CURRENT_TOKEN.get()
        if token is not None:
            token.raise_if_cancelled()

    def on_model(self, work: Callable[[LookupModel, Poll], T], *, loading: bool = False) -> T:
        """Run `work(model, poll)` on the model thread and wait for it. Raises what it raises."""
        priority = Priority.STARTUP if loading else Priority.INTERACTIVE
        with self._asking_lock:
            self._asking += not loading
        try:
            return self.thread.run(lambda poll: work(self._loaded(poll), poll), priority, CURRENT_TOKEN.get())
        finally:
            with self._asking_lock:
                self._asking -= not loading

    @property
    def awaited(self) -> bool:
        """Whether a question, not the start alone, waits for the model to be loaded."""
        return self._asking > 0 and self._model is None

    def _loaded(self, poll: Poll) -> LookupModel:
        if self._model is not None:
            return self._model
        if self._load_error is not None:
            raise self._load_error
        self.doing.require_going()
        try:
            model = self._load(self.local(), poll)
        except LoadingStoppedError:
            raise
        except LookupsError as error:
            self.error = self._load_error = error
            raise
        self.poll()  # closed meanwhile: nothing holds on to the weights
        self._model = model
        return model

    @property
    def loadable(self) -> bool:
        """Whether loading the model has not failed so far."""
        return self._load_error is None

    def _load(self, local: LocalModel, poll: Poll) -> LookupModel:
        say = self.doing.stage(4, self.doing.stages, stops=True)
        say("importing torch")
        # OpenMP's threads spin while they wait, at the cost of other work: read once, as torch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        poll()
        # From here on only closing, or the person, stops it: a question that is given up must not take the
        # model with it.
        model = model_loader.load(
            self.settings,
            local,
            say=say,
            poll=self.poll,
            once_read=self._files.require_unchanged,
        )
        self._files.hold(model)
        self.device = str(model.device)
        self._remember(local, model.info, self.device)
        self._info = model.info
        return model

    # --- the end ---

    def close(self, last: Callable[[], None] | None, timeout: float = 0.8) -> str:
        """Run `last`, if any, on the model thread, stop it, let go of the model and close the cache.

        Takes about `timeout`. A forward pass is interrupted between two blocks; work inside native code,
        such as an import or a load, is left behind: without `last` there is nothing to wait for.

        Returns:
            What `last` could not do, in a sentence; empty where nothing was lost.
        """
        lost = ""
        self.closing = True
        deadline = time.monotonic() + timeout
        self.thread.set_background(None)
        if last is not None:
            future = self.thread.submit(lambda _: last(), Priority.URGENT)
            try:
                future.result(timeout)
            except (TimeoutError, Cancelled):
                _log.info("closed inside a batch: the last checkpoint stands")
            except (LookupsError, OSError) as error:
                _log.warning("the last checkpoint could not be written: %s", error)
                lost = f"What was scanned since the last checkpoint is lost: {error}"
        self.thread.close(max(0.05, deadline - time.monotonic()) if last is not None else 0.05)
        self._files.close()
        self._model = None  # who keeps a closed Explorer, as a notebook may, does not keep its weights
        self.cache.close()
        return lost
