"""Errors that people see: one sentence of what went wrong, one hint of what to do.

Everything the tool refuses on purpose is a `LookupsError`; the command line prints its two lines and
exits 1, the app shows them in place. Anything else that escapes is a defect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)


class LookupsError(Exception):
    """What went wrong, in one sentence (`message`), and what the person can do (`hint`)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class BadIdError(LookupsError):
    """Text that is not a neuron or head name, or names one the model does not have."""


class UnknownTokenError(LookupsError):
    """Text that is not one token of the model's vocabulary."""


class ModelLoadError(LookupsError):
    """The model cannot be found, read, or fitted into memory."""


class UnsupportedModelError(LookupsError):
    """The model has no MLP neurons in the sense of this tool, or its decomposition does not close."""


class DictionaryError(LookupsError):
    """A dictionary of transcoders that is missing or damaged, or does not fit the model."""


class CorpusError(LookupsError):
    """A corpus that is missing, empty, binary or undecodable."""


class CacheError(LookupsError):
    """The cache folder cannot be created, read or written."""


class UnavailableError(LookupsError):
    """Files of the cache that cannot be read now: no damage is known of, so they are not dropped."""


class SettingsError(LookupsError):
    """A setting with a value outside what is allowed."""


class FlagError(SettingsError):
    """A setting given by a flag with a value outside what is allowed: wrong usage, not a failure."""


class ExportError(LookupsError):
    """An export that cannot be written, or a file that is no export."""


class NumericalError(LookupsError):
    """NaN or infinite values where numbers were expected, located by layer."""

    @classmethod
    def of_layer(cls, layer: int) -> NumericalError:
        """That of a layer's activations."""
        return cls(
            f"Activations of layer {layer} are NaN or infinite.",
            "Try --dtype float32; if it persists, the weights of that layer are damaged.",
        )


class Cancelled(Exception):
    """Raised inside a job whose answer nobody waits for any more."""


Poll = Callable[[], None]
"""Called between pieces of work; raises Cancelled when nobody waits for the answer any more."""


def no_poll() -> None:
    """For callers that never interrupt."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip() if text else type(error).__name__


def kind_and_line(error: BaseException) -> str:
    """The name of an error's type and the first line of its message, if it has one."""
    kind = type(error).__name__
    return f"{kind}: {first_line(error)}" if str(error).strip() else kind


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "bad_alloc",
)
"""What torch says in a plain RuntimeError, and the system in an OSError, when memory runs out."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out (torch's own by its name: torch is not imported here)."""
    of_torch = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    if of_torch or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def is_defect(error: BaseException) -> bool:
    """Whether an error is a defect: neither a LookupsError nor out of memory."""
    return not isinstance(error, LookupsError) and not is_out_of_memory(error)


def as_lookups_error(error: BaseException) -> LookupsError:
    """Any error as a sentence and a hint: a LookupsError as it is, out of memory, or a defect (logged)."""
    if isinstance(error, LookupsError):
        return error
    if is_out_of_memory(error):
        return LookupsError(
            "There is not enough memory for this.",
            "Try a smaller model, --dtype bfloat16, a shorter --window or a smaller LOOKUPS_BATCH_TOKENS.",
        )
    _log.error("a defect", exc_info=error)
    return LookupsError(
        f"internal error: {kind_and_line(error)}",
        "This is a defect of lookups-tui; its log (--log FILE) shows where.",
    )
