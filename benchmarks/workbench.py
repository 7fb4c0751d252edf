"""What rows measure with: the model, the plain Hugging Face model, and the first batches of the corpus.

Everything is made on first use, so that a row that needs little costs little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tui_lookups.corpus.corpus import Corpus, build_corpus
from tui_lookups.corpus.readers import open_source
from tui_lookups.model.sources import LocalModel, find_model
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.results import CorpusInfo
from tui_lookups.storage.files import file_digest

if TYPE_CHECKING:
    from torch import Tensor

    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.scan.plan import BatchPlan

WINDOW = 128


@dataclass(frozen=True)
class Bench:
    """What is measured, and how thoroughly.

    Attributes:
        model_name: as `--model` of the tool.
        cache_dir: a folder that rows may fill; not the tool's own.
        pairs: repetitions.
        batches: batches of the corpus that a run of the scan takes.
        batch_tokens: padded tokens in a batch.
        neurons: that a survey looks at.
        device, threads: where the model runs; None leaves torch's own choice of threads.
    """

    model_name: str
    cache_dir: Path
    pairs: int = 7
    batches: int = 4
    batch_tokens: int = 4096
    neurons: int = 20
    device: str = "cpu"
    threads: int | None = None

    @cached_property
    def local(self) -> LocalModel:
        return find_model(
            self.model_name,
            cache_dir=self.cache_dir,
            digest=file_digest,
            offline=False,
            say=lambda _: None,
            poll=lambda: None,
        )

    @cached_property
    def model(self) -> LookupModel:
        import torch

        from tui_lookups.model.loading import load_model

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        local = self.local
        return load_model(
            local.folder,
            name=local.name,
            source=local.source,
            fingerprint=local.fingerprint,
            device=self.device,
        )

    @cached_property
    def bare(self) -> Any:
        """Hugging Face's own model as it is loaded by default: fused attention, logits."""
        import torch
        from transformers import AutoModelForCausalLM

        loaded = AutoModelForCausalLM.from_pretrained(
            str(self.local.folder), dtype=torch.float32, local_files_only=True
        )
        return loaded.eval().to(self.model.device)

    @cached_property
    def bridge(self) -> Any:
        """TransformerLens' bridge in compatibility mode, as users load it: what the baselines hook."""
        import torch
        from transformer_lens.model_bridge import TransformerBridge

        from tui_lookups.model.library_output import quiet_libraries

        with quiet_libraries():
            bridge = TransformerBridge.boot_transformers(
                str(self.local.folder), device=str(self.model.device), dtype=torch.float32
            )
            bridge.enable_compatibility_mode()
        return bridge

    def corpus(self, spec: str = "demo") -> Corpus:
        vocabulary = read_vocabulary(self.local.folder)
        bos = vocabulary.bos_id
        return build_corpus(
            open_source(spec),
            vocabulary.encode_batch,
            bos,
            WINDOW,
            vocabulary.fingerprint,
            self.cache_dir / "corpora",
            d_vocab=len(vocabulary),
        )

    @cached_property
    def part(self) -> PartOfCorpus:
        """The first batches of the demo corpus, in the order of the scan's plan."""
        from tui_lookups.scan.plan import plan_batches

        corpus = self.corpus()
        plan = plan_batches(corpus.lengths(), corpus.parts(), batch_tokens=self.batch_tokens, seed=0)
        ids = np.concatenate([plan.batch(number) for number in range(min(self.batches, len(plan)))])
        return PartOfCorpus(corpus, np.sort(ids))

    @cached_property
    def plan(self) -> BatchPlan:
        """The batches that every way of scanning runs."""
        from tui_lookups.scan.plan import plan_batches

        return plan_batches(self.part.lengths(), self.part.parts(), batch_tokens=self.batch_tokens, seed=0)

    def token_batches(self) -> Iterator[Tensor]:
        """Token ids of each batch: [batch, pos], padded on the right."""
        from tui_lookups.model.lookup_model import pad

        for number in range(len(self.plan)):
            windows = [self.part.window_tokens(int(prompt)) for prompt in self.plan.batch(number)]
            yield pad(windows).to(self.model.device)

    @property
    def tokens(self) -> int:
        """Tokens in the batches, padding not counted."""
        return int(self.plan.tokens[-1])


class PartOfCorpus:
    """Some windows of a corpus, numbered anew; what a scan needs of a corpus."""

    def __init__(self, corpus: Corpus, ids: npt.NDArray[np.int64]) -> None:
        self._corpus, self._ids = corpus, ids
        self.info: CorpusInfo = replace(
            corpus.info,
            fingerprint=f"{corpus.info.fingerprint}, {len(ids)} windows",
            prompts=len(ids),
            tokens=int(corpus.lengths()[ids].sum()),
        )

    def lengths(self) -> npt.NDArray[np.int64]:
        return self._corpus.lengths()[self._ids]

    def parts(self) -> npt.NDArray[np.uint8]:
        return self._corpus.parts()[self._ids]

    def window_tokens(self, prompt_id: int) -> npt.NDArray[np.int64]:
        return self._corpus.window_tokens(int(self._ids[prompt_id]))
