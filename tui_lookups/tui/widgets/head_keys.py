"""The keys for the chosen head: the same wherever a head is shown."""

from __future__ import annotations

from textual.binding import Binding


def head_keys(*, namespace: str = "screen.", show: bool = True) -> tuple[Binding, ...]:
    """The screen does something with the chosen head; without `show` the bottom line does not say so."""
    keys = (
        ("d", "ablate", "ablate", "Ablate the head: its total effect on the neuron and its token"),
        ("e", "explain", "explain", "Ask a language model when the head is active"),
        ("s", "score", "score", "Score the explanation on prompts its author never saw"),
        ("E", "write", "write", "Write an explanation of your own"),
        ("W", "all_heads", "all heads", "Explain and score every head worth explaining; the table of scores"),
    )
    return tuple(
        Binding(
            key, f"{namespace}chosen_head('{action}')", words, id=f"head.{action}", tooltip=tip, show=show
        )
        for key, action, words, tip in keys
    )
