"""Errors that people see: one sentence of what went wrong, one hint of what to do.

Everything the tool refuses on purpose is a `LookupsError`; the command line prints its two lines and
exits 1, the app shows them in place. Anything else that escapes is a defect.
"""

from __future__ import annotations


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


class CorpusError(LookupsError):
    """A corpus that is missing, empty, binary or undecodable."""


class CacheError(LookupsError):
    """The cache folder cannot be created, read or written."""


class SettingsError(LookupsError):
    """A setting with a value outside what is allowed."""


class FlagError(SettingsError):
    """A setting given by a flag with a value outside what is allowed: wrong usage, not a failure."""


class ExportError(LookupsError):
    """An export that cannot be written, or a file that is no export."""


class NumericalError(LookupsError):
    """NaN or infinite values where numbers were expected, located by layer."""


class Cancelled(Exception):
    """Raised inside a job whose answer nobody waits for any more."""
