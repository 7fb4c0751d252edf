"""What transformers, TransformerLens and torch would write to a terminal that the app owns."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers, TransformerLens and torch from writing to a terminal the app owns."""
    from transformers.utils import logging as transformers_logging

    bars_shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [
            logging.getLogger(name)
            for name in ("transformers", "transformer_lens", "huggingface_hub", "torch")
        ]
        before = [(logger, logger.level, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # TransformerLens also warns through the root logger, which would install a handler on stderr.
        root, silent = logging.getLogger(), logging.NullHandler()
        root.addHandler(silent)
        root.addFilter(_errors_only)
        try:
            yield
        finally:
            if bars_shown:
                transformers_logging.enable_progress_bar()
            root.removeFilter(_errors_only)
            root.removeHandler(silent)
            for logger, level, propagate in before:
                logger.setLevel(level)
                logger.propagate = propagate


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
