"""What transformers, TransformerLens and torch would write to a terminal that the app owns."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tui_lookups.model.first_import import import_transformers


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers, TransformerLens and torch from writing to a terminal the app owns."""
    import_transformers()
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


@contextmanager
def tensors_counted(told: Callable[[int, int], None]) -> Iterator[None]:
    """Tell how many of how many tensors transformers has read; versions without the hook tell nothing."""
    import_transformers()
    from transformers.utils import logging as transformers_logging

    def counted(tensors: Iterable[Any], total: int) -> Iterator[Any]:
        for done, tensor in enumerate(tensors):
            told(done, total)
            yield tensor

    def hook(bar: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if options.get("desc") == "Loading weights" and args:
            return counted(args[0], len(args[0]))
        return bar(*args, **options)

    set_hook = getattr(transformers_logging, "set_tqdm_hook", lambda _: None)
    before = set_hook(hook)
    try:
        yield
    finally:
        set_hook(before)


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
