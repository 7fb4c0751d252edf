"""Explorer: the only way from the outside (command line, app, notebooks) to everything below.

    from tui_lookups import Explorer
    from tui_lookups.settings import load_settings

    explorer = Explorer(load_settings(model="demo"))
    best = explorer.neurons(" because").neurons[0].neuron
    print(explorer.prompts(best).prompts[0].peak, explorer.heads(best, prompt=1).remainder)

Every method may be called from any thread and blocks until it has the answer, except `status`, `start`,
`ask`, `request_checkpoint` and `close`. Each question is answered from the cache where it can be, without
importing torch; otherwise on the one model thread, before the background scan goes on. What a person can
mend is raised as a LookupsError.

Nothing is opened, and nothing of what answers is imported, before the first question: an app is painted
meanwhile.
"""

from __future__ import annotations

from tui_lookups.explorer.explorer import Explorer
from tui_lookups.explorer.services import Question

__all__ = ["Explorer", "Question"]
