"""Examples and labels without a model: a head is active where the text has a "not"."""

from __future__ import annotations

from dataclasses import replace

from tests.fake_answers import PROVENANCE
from tui_lookups.answering.example_service import Labelled
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Example, Part, Provenance

NEURON, OTHER = NeuronId(5, 371), NeuronId(5, 88)
HEAD, SECOND = HeadId(3, 1), HeadId(2, 0)
NEVER, ALWAYS, SILENT = HeadId(0, 0), HeadId(0, 1), HeadId(1, 1)
"""Never active; always active; active in the explaining part and nowhere in the scoring part."""

PROMPTS = 8


def examples(part: Part) -> tuple[Example, ...]:
    """Eight prompts, every second one with a "not"; prompt ids and texts of the parts are disjoint."""
    first = 100 if part == "explaining" else 200
    found = []
    for number in range(first, first + PROMPTS):
        word = "not" if number % 2 else "so"
        active = [ALWAYS, *([HEAD] if number % 2 else []), *([SECOND] if number % 4 == 0 else [])]
        if part == "explaining":
            active.append(SILENT)
        follows = None if number == first else " because"
        found.append(Example(number, f' He "went" {word} there at {number},\nbut', follows, tuple(active)))
    return tuple(found)


class FakeExamples:
    """Stands in for an ExampleService; its attributes may be changed."""

    def __init__(self) -> None:
        self.provenance_ = PROVENANCE
        self.shown_too = 0
        self.worth: dict[NeuronId, tuple[HeadId, ...]] = {NEURON: (HEAD, SECOND, NEVER, SILENT)}

    def provenance(self) -> Provenance:
        return self.provenance_

    def another_corpus(self) -> None:
        """From now on everything is about another corpus."""
        corpus = self.provenance_.corpus
        assert corpus is not None
        self.provenance_ = replace(self.provenance_, corpus=replace(corpus, fingerprint="c1"))

    def labelled(self, neuron: NeuronId, head: HeadId, part: Part) -> Labelled:
        if head.layer > neuron.layer:
            raise LookupsError(f"{head} does not reach {neuron}.", "Choose another.")
        found = examples(part)
        if part == "scoring":  # the first few read like prompts of the explaining part
            texts = [each.text.strip() + " " for each in examples("explaining")]
            found = tuple(
                replace(each, text=texts[place]) if place < self.shown_too else each
                for place, each in enumerate(found)
            )
        return Labelled(found, tuple(head in example.active for example in found))

    def worth_explaining(self, neuron: NeuronId) -> tuple[HeadId, ...]:
        return self.worth[neuron]
