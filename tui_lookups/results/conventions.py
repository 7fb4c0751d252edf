"""The conventions that figures rest on: which texts, heads and neurons count, and how much.

One object holds them all, from the settings to the formula. Cache keys name what an answer rests on
(answering/cache_keys.py), and provenance the choices among it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from tui_lookups.results.base import ActivityRule, Preset, Sign

if TYPE_CHECKING:
    from tui_lookups.results.explanation import Part

CONVENTIONS_VERSION = 1
"""Raised when a convention comes to mean something else without a choice or a number below changing."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """Choices of the person, then the numbers of the rules (method.md, sections 3, 4 and 6).

    Attributes:
        preset: this tool's conventions, or those of the paper's released code.
        activity_rule: when a head is active on a prompt.
        sign: which sign of activation counts as firing.
        trimmed: heads are looked at on the trimmed contexts rather than the full windows.
        seed: of everything that is drawn at random.
        keep_copies: whether every copy of a repeated text is listed.
        encoding: how texts are encoded otherwise than the tokenizer's files say, for instance whether
            begin-of-text is put in front; "" where they are not.
        active_deviations: "2sd": active is an attribution above the mean by so many sample standard
            deviations, over the heads that reach the neuron.
        active_highest: "top3": active are so many of the largest.
        few_heads: where fewer reach the neuron, "top3" applies whatever the rule.
        least_share, most_share: a head that is active on a share of the prompts between these, both included,
            is worth explaining.
        fires_above: a neuron fires where sign * a is above this: at or below it stand activations of zero,
            what GELU and SiLU leave of a negative input, and rounding.
        kept_share: the share of the peak activation that a trimmed context has to keep.
        paper_limit: preset "paper" drops trimmed contexts of so many tokens or more.
        mean_sample: prompts of the corpus that the mean z of a head is taken over.
    """

    preset: Preset = "default"
    activity_rule: ActivityRule = "2sd"
    sign: Sign = "+"
    trimmed: bool = False
    seed: int = 0
    keep_copies: bool = False
    encoding: str = ""
    active_deviations: float = 2.0
    active_highest: int = 3
    few_heads: int = 12
    least_share: float = 0.25
    most_share: float = 0.75
    fires_above: float = 1e-6
    kept_share: float = 0.8
    paper_limit: int = 100
    mean_sample: int = 64

    @property
    def context(self) -> Literal["full", "trimmed"]:
        """What of a prompt is run, as results name it."""
        return "trimmed" if self.trimmed else "full"

    def worth_explaining(self, share: float) -> bool:
        """Whether a head is that is active on this share of the prompts."""
        return self.least_share <= share <= self.most_share


def chosen_on(preset: Preset) -> Part | None:
    """The part of the corpus on whose prompts heads are chosen; None is all of it."""
    return "explaining" if preset == "paper" else None


def ablated_on(preset: Preset) -> Part | None:
    """The part on whose prompts they are ablated: the authors' are those that they were not chosen on."""
    return "scoring" if preset == "paper" else None


DEFAULTS = Conventions()
CHOICES = ("preset", "activity_rule", "sign", "trimmed", "seed", "keep_copies")
NUMBERS = tuple(field.name for field in fields(Conventions) if field.name not in (*CHOICES, "encoding"))
LEAST_PERCENT, MOST_PERCENT = f"{100 * DEFAULTS.least_share:g}", f"{100 * DEFAULTS.most_share:g}"
"""The shares of `worth_explaining`, for sentences."""
