"""Two models run on the same tokens, a layer of both at a time (method.md, section 13).

Each pass hands its activations out on the way and keeps none. The first one runs on a thread of its own and
waits, at each layer asked for, until the second one's has been taken with it: one layer of each is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread

from torch import Tensor

from tui_lookups.errors import Cancelled, Poll
from tui_lookups.model.lookup_model import LookupModel

Meet = Callable[[int, Tensor, Tensor], None]
"""Is handed a layer and its activations in both models, [batch, pos, d_mlp] each, each on its device."""


def activations_side_by_side(
    first: LookupModel, second: LookupModel, tokens: Tensor, layers: Iterable[int], meet: Meet, poll: Poll
) -> None:
    """Hand every neuron's activation in both models to `meet`, layer by layer.

    The caller owns both models. What either pass raises is raised here.

    Args:
        tokens: [batch, pos], on any device.
        poll: called before each block of the second model.
    """
    wanted = tuple(layers)
    offered: SimpleQueue[Tensor | BaseException] = SimpleQueue()
    goes_on: SimpleQueue[bool] = SimpleQueue()

    def offer(layer: int, activation: Tensor) -> None:
        offered.put(activation)
        if not goes_on.get():
            raise Cancelled

    def run_first() -> None:
        try:
            first.mlp_activations(tokens.to(first.device), wanted, offer)
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: raised where the second one runs
            offered.put(error)

    def take(layer: int, activation: Tensor) -> None:
        found = offered.get()
        if isinstance(found, BaseException):
            raise found
        meet(layer, found, activation)
        del found
        goes_on.put(True)

    running = Thread(target=run_first, name="lookups-first-model", daemon=True)
    running.start()
    try:
        second.mlp_activations(tokens.to(second.device), wanted, take, poll=poll)
    finally:
        goes_on.put(False)  # where the second one ended early, the first one does with its next layer
        running.join()
