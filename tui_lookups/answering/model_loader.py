"""How the settings load a model: the one way, for this process and for workers of Ray.

1. `find` makes a local folder of what was named.
2. `load` reads it with the dtype, device and basis of the settings, and compiles the forward pass where that
   is asked for.

How many threads torch may use is the caller's business: a worker shares its machine, an app has it alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.errors import Poll
from tui_lookups.model.collecting import uncollected
from tui_lookups.model.sources import LocalModel, find_model
from tui_lookups.progress import Say
from tui_lookups.results import BosRule
from tui_lookups.settings import Settings

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel


def find(settings: Settings, digest: Callable[[Path], str], *, say: Say, poll: Poll) -> LocalModel:
    """The files of the settings' model, fetched or de-quantised first where needed. Raises LookupsError.

    Args:
        digest: SHA-256 of a file, or what is remembered of it.
        poll: called meanwhile; raises Cancelled to stop.
    """
    local = find_model(
        settings.model,
        cache_dir=settings.cache_dir,
        digest=digest,
        offline=settings.offline,
        trust_remote_code=settings.trust_remote_code,
        say=say,
        poll=poll,
    )
    if settings.units is None:
        return local
    from tui_lookups.model.dictionaries.folders import find_dictionary  # with NumPy

    return local.with_units(find_dictionary(settings.units, digest))


def bos_rule(settings: Settings) -> BosRule:
    """Whether begin-of-text is put in front of texts. The paper's authors scan with it.

    See method.md, section 3.
    """
    return "defined" if settings.bos == "auto" and settings.preset == "paper" else settings.bos


def load(
    settings: Settings,
    local: LocalModel,
    *,
    say: Say,
    poll: Poll = lambda: None,
    once_read: Callable[[], None] = lambda: None,
) -> LookupModel:
    """Load the model of `local`. Raises LookupsError, and what `poll` and `once_read` raise.

    Args:
        once_read: called when the weights are in memory, before anything is computed with them.
    """
    with uncollected():
        from tui_lookups.model.loading import load_model

        model = load_model(
            local.folder,
            name=local.name,
            source=local.source,
            fingerprint=local.fingerprint,
            device=settings.device,
            dtype=settings.dtype,
            folded=not settings.raw_weights,
            bos=bos_rule(settings),
            trust_remote_code=settings.trust_remote_code,
            spread=settings.device_map == "auto",
            units=local.units,
            say=say,
        )
    once_read()
    if settings.compile:
        say("compiling the forward pass")
        model.compile_forward()
    return model
