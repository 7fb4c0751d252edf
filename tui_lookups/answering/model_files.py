"""The files of one Explorer's model: found once, and what can be answered from them alone.

1. `local` finds them, fetched or de-quantised first where needed; `vocabulary` reads the tokenizer.
2. `weights` gives what congruence needs (model/file_weights.py). Before they are used, the files must still
   be those that were found: an answer is kept under their fingerprint.
3. A loaded model is held to them (`hold`). Where it differs, the files answer no further question.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.answering import model_loader
from tui_lookups.answering.cached_vocabulary import cached_vocabulary
from tui_lookups.errors import ModelLoadError, Poll
from tui_lookups.model.configuration import read_config
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.progress import Say
from tui_lookups.results import Basis
from tui_lookups.settings import Settings
from tui_lookups.storage.cache import ResultCache

if TYPE_CHECKING:
    from tui_lookups.model.file_weights import FileWeights
    from tui_lookups.model.lookup_model import LookupModel

_log = logging.getLogger(__name__)


class ModelFiles:
    """What the settings' model is on this disk. Thread-safe; nothing is read before it is asked for.

    Args:
        digest: SHA-256 of a file, or what is remembered of it.
        say, poll: as `model_loader.find` takes them.
    """

    def __init__(
        self,
        settings: Settings,
        cache: ResultCache,
        digest: Callable[[Path], str],
        basis: Basis,
        *,
        say: Say,
        poll: Poll,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._digest = digest
        self._basis: Basis = basis
        self._say = say
        self._poll = poll
        self._lock = threading.RLock()
        self._local: LocalModel | None = None
        self._vocabulary: Vocabulary | None = None
        self._weights: FileWeights | None = None
        self.note = ""
        """Why the files alone do not answer, where they do not."""

    def local(self) -> LocalModel:
        with self._lock:
            if self._local is None:
                self._local = self._find()
            return self._local

    def vocabulary(self) -> Vocabulary:
        with self._lock:
            if self._vocabulary is None:
                rule = model_loader.bos_rule(self._settings)
                self._vocabulary = cached_vocabulary(self.local(), self._cache, rule)
            return self._vocabulary

    def weights(self) -> FileWeights | None:
        """What congruence needs, from the files alone; None where they have to be loaded for it."""
        with self._lock:
            if self._weights is None and not self.note:
                self._weights = self._open()
            return self._weights

    def _open(self) -> FileWeights | None:
        from tui_lookups.model.file_weights import FileWeights
        from tui_lookups.model.tensor_files import NotInFilesError
        from tui_lookups.model.unit_files import UnitFileWeights

        local = self.local()
        try:
            config = read_config(local.folder, local.name)
            given = local, config, self.vocabulary(), self._settings.dtype, self._basis
            weights = FileWeights(*given) if local.units is None else UnitFileWeights(*given, local.units)
        except NotInFilesError as error:
            self.note = str(error)
            _log.info("%s is loaded to be read: %s", local.name, error)
            return None
        self.require_unchanged()
        return weights

    def require_unchanged(self) -> None:
        """Raise ModelLoadError when the files are no longer those that were found.

        Answers would be kept under the name of files that were not what was read.
        """
        local = self.local()
        if self._find().fingerprint != local.fingerprint:
            raise ModelLoadError(
                f"The files of {local.name} changed while they were loaded.",
                "Start again once they are all in place.",
            )

    def _find(self) -> LocalModel:
        return model_loader.find(self._settings, self._digest, say=self._say, poll=self._poll)

    def hold(self, model: LookupModel) -> None:
        """Raise ModelLoadError unless a loaded model gives what the files gave: a layout is only a table."""
        weights = self.weights()
        if weights is None:
            return
        from tui_lookups.model.file_weights import require_same_writes

        try:
            require_same_writes(weights, model, model.info, exact=model.dtype == model.compute_dtype)
        except ModelLoadError as error:
            with self._lock:
                self.note, self._weights = error.message, None
            raise

    def close(self) -> None:
        """Let go of what was opened."""
        self._weights = None
