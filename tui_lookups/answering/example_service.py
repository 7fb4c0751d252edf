"""The prompts that explanations are written from and scored on, labelled (method.md, sections 4 and 5).

Examples are a neuron's top prompts of one part of the corpus, trimmed, with all the heads that are active
at each peak: worked out once a neuron for all of its heads, and kept in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.checks import check_firing_sign
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.overviews import HeadOverviews
from tui_lookups.answering.peak_inputs import PARTS, top_entries, why_silent
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import HeadId, NeuronId, left_out_by_paper, out_of_reach
from tui_lookups.results import Example, NeuronExamples, Part, Provenance

if TYPE_CHECKING:
    from tui_lookups.corpus.corpus import Corpus
    from tui_lookups.model.lookup_model import LookupModel


class Labelled(NamedTuple):
    """Examples, and whether the head in question is active on each."""

    examples: tuple[Example, ...]
    active: tuple[bool, ...]


class ExampleService:
    """The examples of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession, overviews: HeadOverviews) -> None:
        self._engine = engine
        self._scan = scan
        self._overviews = overviews

    def provenance(self) -> Provenance:
        """Where examples and labels come from, everything included that can change them."""
        conventions = self._engine.conventions(trimmed=True)
        return self._engine.provenance(
            corpus=True,
            top=self._scan.top,
            context=conventions.context,
            seed=conventions.seed,
            **choices("examples", conventions),
        )

    def examples(self, neuron: NeuronId, part: Part) -> NeuronExamples:
        """The neuron's top prompts in a part of the corpus, with the heads active on each trimmed text.

        Of the scoring part, only texts that are no copies of explaining ones. Scans the corpus to its end
        first. Raises LookupsError for a neuron that never fires.
        """
        self._engine.check_neuron(neuron)
        conventions = self._engine.conventions(trimmed=True)
        sign = conventions.sign
        check_firing_sign(sign, gated=self._engine.model_info().gated)
        self._scan.wait()
        provenance = self.provenance()

        def work(model: LookupModel, poll: Poll, corpus: Corpus) -> NeuronExamples:
            from tui_lookups.answering import answers

            record = self._scan.require(neuron)
            silent = why_silent(record, conventions)
            if silent:
                raise LookupsError(silent, "There is nothing to explain; ask about another neuron.")
            entries = top_entries(record, self._scan.top, sign, PARTS.index(part))
            if part == "scoring":
                shown = {entry.text for entry in top_entries(record, self._scan.top, sign, 0)}
                entries = [entry for entry in entries if entry.text not in shown]
            preset = conventions.preset
            prompts = answers.build_prompts(model, corpus, neuron, entries, preset=preset, poll=poll)
            heads, examples = answers.examples(model, neuron, prompts, conventions=conventions, poll=poll)
            return NeuronExamples(neuron, part, heads, conventions.activity_rule, examples, provenance)

        def produce() -> NeuronExamples:
            # Not on the model thread, where tokenising a damaged corpus anew would hold up every question.
            corpus = self._engine.corpus(arrays=True)
            return self._engine.on_model(lambda model, poll: work(model, poll, corpus))

        key = self._engine.key(
            "examples", conventions, corpus=True, neuron=str(neuron), part=part, index=self._scan.key()
        )
        return self._engine.cached(key, NeuronExamples) or self._engine.keep(key, produce())

    def labelled(self, neuron: NeuronId, head: HeadId, part: Part) -> Labelled:
        """Examples of a part and whether the head is active on each.

        Raises LookupsError when there is none, or the head does not reach the neuron.
        """
        self._engine.check_head(head)
        examples = self.examples(neuron, part)
        if not examples.examples:
            raise LookupsError(
                f"{neuron} has no prompts in the {part} half of the corpus.",
                "Explanations need a corpus of several documents.",
            )
        reaching = examples.heads // self._engine.model_info().n_heads
        if self._engine.conventions().preset == "paper" and head.layer == neuron.layer:
            raise left_out_by_paper(head, neuron)
        if head.layer >= reaching:
            raise out_of_reach(head, neuron, reaching - 1)
        return Labelled(examples.examples, tuple(head in example.active for example in examples.examples))

    def worth_explaining(self, neuron: NeuronId) -> tuple[HeadId, ...]:
        """The heads worth explaining on the neuron's trimmed prompts (method.md, section 4).

        Raises LookupsError for a neuron that never fires.
        """
        overview = self._overviews.overview(neuron, trimmed=True)
        if overview.note:
            raise LookupsError(overview.note, "There is nothing to explain; ask about another neuron.")
        return tuple(mean.head for mean in overview.heads if mean.worth_explaining)
