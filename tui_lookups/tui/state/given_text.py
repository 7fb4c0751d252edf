"""A text that is no prompt of the corpus, opened on the walk as if it were one: what a neuron was met on.

It stands before the neuron's prompts, without a rank, under a number that no prompt has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tui_lookups import results
from tui_lookups.results.firing import STRENGTH, firing_sign

if TYPE_CHECKING:
    from tui_lookups.results import Activations, ModelInfo, Prompt, SignSetting, Token

GIVEN = -1
"""In place of a prompt's number in the corpus."""


class GivenText(NamedTuple):
    """The tokens of a text, begin-of-text left out; `at` is the one that was asked about, None the last."""

    tokens: tuple[Token, ...]
    at: int | None = None

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


def given_up_to(tokens: tuple[Token, ...], position: int, model: ModelInfo) -> GivenText:
    """The text that ends with the token at `position`."""
    first = 1 if model.bos is not None and tokens[:1] == (model.bos,) else 0
    return GivenText(tokens[first : position + 1])


def given_around(tokens: tuple[Token, ...], position: int, model: ModelInfo) -> GivenText:
    """The whole text, asked about at `position`."""
    whole = given_up_to(tokens, len(tokens) - 1, model)
    return GivenText(whole.tokens, position - len(tokens) + len(whole.tokens))


def as_prompt(found: Activations, setting: SignSetting, given: GivenText | None = None) -> Prompt:
    """The text as a prompt without a rank: what stands for its peak is the token that is asked about.

    That is the last one, too, where the text by itself falls into other tokens than those `given`.
    """
    position = len(found.tokens) - 1
    if given is not None and given.at is not None and found.tokens[-len(given.tokens) :] == given.tokens:
        position += given.at + 1 - len(given.tokens)
    value = found.activations[position]
    following = found.tokens[position + 1] if position + 1 < len(found.tokens) else None
    sign = firing_sign(setting, gated=found.provenance.model.gated)
    flipped = value < 0 <= STRENGTH[sign](value)
    peak = results.Peak(position, found.tokens[position], value, following, position in found.special)
    return results.Prompt(0, GIVEN, -1 if flipped else 1, found.tokens, found.activations, peak, None)


def given_note(given: GivenText, prompt: Prompt) -> str:
    """That the text is not read as it was where the neuron was met; empty where it is."""
    if prompt.tokens[-len(given.tokens) :] == given.tokens:
        return ""
    return "Read by itself this text falls into other tokens: figures differ from those it came from."
