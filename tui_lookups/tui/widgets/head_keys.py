"""The keys for the chosen head: the same wherever a head is shown."""

from __future__ import annotations

from textual.binding import Binding


def head_keys(*, namespace: str = "screen.", show: bool = True) -> tuple[Binding, ...]:
    """Bindings for actions of the walk screen; without `show` they work but do not fill the bottom line."""
    keys = (
        ("d", "ablate", "ablate", "Ablate the head: its total effect on the neuron and its token"),
        ("e", "explain", "explain", "Ask a language model when the head is active"),
        ("s", "score", "score", "Score the explanation on prompts its author never saw"),
        ("E", "write", "write", "Write an explanation of your own"),
        ("W", "all_heads", "all heads", "Explain and score every head worth explaining; the table of scores"),
    )
    return tuple(
        Binding(key, namespace + action, words, id=f"head.{action}", tooltip=tip, show=show)
        for key, action, words, tip in keys
    )
