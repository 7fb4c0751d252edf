"""Two models of one architecture, each behind an engine of its own (method.md, section 13).

1. `of_one_architecture` holds them to each other: sizes, family, and what each token id is.
2. `on_matrices` gives a function both models' matrices: from their files where the family is known, else from
   the loaded models, on both model threads at once. The first model's thread waits for the second's, never
   the other way round.
3. Keys of answers hold both fingerprints.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from tui_lookups.answering.doing import Doing
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.progress import Progress, tell
from tui_lookups.results import ModelInfo
from tui_lookups.settings import Settings
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.corpus.corpus import Corpus
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.model.matrices import FileMatrices, Matrices

T = TypeVar("T")

_SAME: dict[str, str] = {
    "family": "of different families",
    "n_layers": "of different depths: n_layers",
    "d_model": "of different widths: d_model",
    "d_mlp": "of different MLP widths: d_mlp",
    "n_heads": "of different numbers of heads: n_heads",
    "d_head": "of different head widths: d_head",
    "gated": "not both gated: gated",
    "own_layer": "wired differently: attention before the MLP",
}
"""What two models of one architecture have in common, and how it is said that two do not."""


class DifferentModelsError(LookupsError):
    """Two models that cannot be compared neuron by neuron."""


class _Heard(Doing):
    """What is done to make a model ready, told to whoever listens to the question that needs it."""

    def say(self, news: Progress | str) -> None:
        super().say(news)
        tell(self.progress)


class TwoModels:
    """The model of an engine, and another one. Thread-safe; nothing is opened before it is needed.

    Args:
        first: the engine of the first model; its settings, but for the model, are those of the second.
        other: the second model, as the setting `model` names one.
        results: as `Engine` has it.
    """

    def __init__(self, first: Engine, other: str, results: Path | None = None) -> None:
        self.first = first
        self._settings: Settings = structs.replace(first.settings, model=other)
        self._results = results
        self._making = threading.Lock()
        self._second: Engine | None = None

    @property
    def second(self) -> Engine:
        """The engine of the second model."""
        with self._making:
            if self._second is None:
                doing = _Heard(compiles=self._settings.compile)
                self._second = Engine(self._settings, self._results, doing=doing)
            return self._second

    def infos(self) -> tuple[ModelInfo, ModelInfo]:
        """What the two are. Raises LookupsError where units of a dictionary take the place of neurons."""
        if self._settings.units is not None:
            raise LookupsError(
                "Two models are compared by their MLP neurons, not by the units of a dictionary.",
                "Leave out --units.",
            )
        return self.first.model_info(), self.second.model_info()

    def of_one_architecture(self) -> None:
        """Raise DifferentModelsError unless neurons of one name are the same neuron of the architecture."""
        before, after = self.infos()
        for name in _SAME:
            self._hold(name, before, after)
        self.of_one_vocabulary()

    @staticmethod
    def _hold(name: str, before: ModelInfo, after: ModelInfo) -> None:
        values = getattr(before, name), getattr(after, name)
        if values[0] != values[1]:
            raise DifferentModelsError(
                f"{before.name} and {after.name} are {_SAME[name]} {values[0]} and {values[1]}.",
                "Compare two models of one architecture: a base model and a tuned one, or two steps.",
            )

    def of_one_width(self) -> None:
        """Raise DifferentModelsError unless the neurons of both are of a kind and of one width."""
        before, after = self.infos()
        for name in ("d_model", "gated"):
            self._hold(name, before, after)

    def of_one_vocabulary(self) -> None:
        """Raise DifferentModelsError unless a token id is the same token in both."""
        ours, theirs = self.first.vocabulary(), self.second.vocabulary()
        if ours.fingerprint == theirs.fingerprint:
            return
        rows = min(ours.head.named, theirs.head.named)
        for token_id, pair in enumerate(zip(ours.texts[:rows], theirs.texts[:rows], strict=True)):
            if pair[0] != pair[1]:
                before, after = self.infos()
                raise DifferentModelsError(
                    f"{before.name} and {after.name} do not share a tokenizer: token #{token_id} is "
                    f"{visible_token(pair[0])} in one and {visible_token(pair[1])} in the other.",
                    "Compare two models that were trained on the same tokens.",
                )

    def shared_corpus(self) -> Corpus:
        """The first model's windows, which the second reads as they are. Raises LookupsError."""
        self.of_one_vocabulary()
        corpus = self.first.corpus(arrays=True)
        _, after = self.infos()
        longest = int(corpus.lengths().max(initial=0))
        if longest > after.n_ctx:
            raise DifferentModelsError(
                f"{after.name} reads at most {after.n_ctx} tokens, and the corpus has windows of {longest}.",
                f"Give both shorter ones: --window {after.n_ctx}.",
            )
        corpus.require_rows(after, self.second.vocabulary().token)
        return corpus

    def key(self, kind: str, *, corpus: bool = False, **parts: Any) -> str:
        """The cache key of a question about both."""
        against = self.second.key_parts(kind, None, corpus=False)
        return self.first.key(kind, corpus=corpus, against=against, **parts)

    def on_matrices(self, work: Callable[[Matrices, Matrices, Poll], T]) -> T:
        """Run `work` with both models' matrices: from the files where these give them, else loaded."""
        files = [_of_files(engine) for engine in (self.first, self.second)]
        before, after = files
        if before is None or after is None:
            from tui_lookups.model.loaded_matrices import LoadedMatrices

            return self.on_both(lambda a, b, poll: work(LoadedMatrices(a), LoadedMatrices(b), poll))
        answer = work(before, after, self.first.poll_asker)
        for each in (before, after):
            each.writes.require_unchanged()
        return answer

    def on_both(self, work: Callable[[LookupModel, LookupModel, Poll], T]) -> T:
        """Run `work` with both loaded models, while each one's thread does nothing else."""

        def with_first(first: LookupModel, poll: Poll) -> T:
            def with_second(second: LookupModel, poll_second: Poll) -> T:
                def poll_both() -> None:
                    poll()
                    poll_second()

                return work(first, second, poll_both)

            return self.second.on_model(with_second)

        return self.first.on_model(with_first)

    def close(self) -> None:
        """Let go of the second model; the first one's engine is not this one's to close."""
        with self._making:
            if self._second is not None:
                self._second.close(None)


def _of_files(engine: Engine) -> FileMatrices | None:
    """The matrices in an engine's files; None where they have to be loaded."""
    from tui_lookups.model.matrices import FileMatrices
    from tui_lookups.model.tensor_files import NotInFilesError

    weights = engine.file_weights()
    if weights is None:
        return None
    try:
        return FileMatrices(weights)
    except NotInFilesError:
        return None
