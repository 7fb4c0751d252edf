"""What was measured of the packaged model, and what to open the first screen with because of it.

`measured.json`, written by tools/demo_model/measure.py, names the model it was measured on by fingerprint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tui_lookups.ids import NeuronId
from tui_lookups.visible import visible_token

MEASURED = Path(__file__).resolve().parent / "measured.json"
PASSAGES = MEASURED.parent / "passages.jsonl"


@dataclass(frozen=True, slots=True)
class WordMeasure:
    """A word's best neuron, and what follows the peaks of its first prompts.

    `precision` is the share of the neuron's first ten prompts in the packaged passages whose peak is followed
    by the word; `own` says that the word is the neuron's top token.
    """

    token_id: int
    word: str
    neuron: NeuronId
    cosine: float
    own: bool
    precision: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """`random_precision` is the same share for neurons drawn at random, over all samples."""

    model_fingerprint: str
    random_precision: float
    words: tuple[WordMeasure, ...]

    def opening(self) -> WordMeasure | None:
        """The word to open with: of those that are their neuron's top token, the largest precision.

        Among equals the largest cosine. None where no word is the top token of its best neuron.
        """
        own = [word for word in self.words if word.own]
        return max(own, key=lambda word: (word.precision, word.cosine), default=None)

    def story(self, word: WordMeasure) -> str:
        """One line for a newcomer, with the figures the word was chosen for."""
        share = f"{round(10 * word.precision)} of the ten texts that fire it most go on with that word"
        return (
            f"{word.neuron} writes towards “{visible_token(word.word)}”: {share} "
            f"(at random: {self.random_precision:.1%}). Which heads look that up? T: a tour."
        )


def read_measurements(path: Path = MEASURED) -> Measurements:
    """The packaged measurements.

    Raises:
        OSError, ValueError, KeyError: the package is damaged; the file ships with it.
    """
    measurements = json.loads(path.read_text(encoding="utf-8"))
    samples = measurements["precision"]["samples"]
    return Measurements(
        model_fingerprint=measurements["model"],
        random_precision=sum(sample["random"] for sample in samples) / len(samples),
        words=tuple(
            WordMeasure(
                token_id=word["token_id"],
                word=word["word"],
                neuron=NeuronId.parse(word["neuron"]),
                cosine=word["cosine"],
                own=word["own"],
                precision=word["precision"],
            )
            for word in measurements["words"]
        ),
    )
