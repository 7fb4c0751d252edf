"""One explanation about to be scored: what it is scored on, its control, and its answers once they are in.

Pure: nothing here asks anybody or keeps anything. Scoring them is in head_scores.py (method.md, section 5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tui_lookups.explanation.reading import answer_probability, read_yes_no
from tui_lookups.explanation.request_runner import RequestOutcome
from tui_lookups.explanation.requests import (
    GENERIC_EXPLANATION,
    ChatAnswer,
    ChatRequest,
    score_request,
)
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Example, ExampleAnswer, Explained, Explanation


@dataclass(frozen=True)
class Trial:
    """An explanation about to be scored, what it is scored on, and its control: words and their origin.

    `left_out` counts prompts that read like one the explainer was shown.
    """

    explanation: Explanation
    examples: tuple[Example, ...]
    labels: tuple[bool, ...]
    control: tuple[str, str] | None
    left_out: int

    @property
    def single_class(self) -> bool:
        return len(set(self.labels)) < 2

    def requests(self, text: str) -> list[ChatRequest]:
        """One request an example; none where the labels hold only one class."""
        return [] if self.single_class else [score_request(text, example) for example in self.examples]

    @property
    def all_requests(self) -> list[ChatRequest]:
        control = [] if self.control is None else self.requests(self.control[0])
        return self.requests(self.explanation.explanation) + control

    def answers(self, text: str, found: dict[ChatRequest, RequestOutcome]) -> tuple[ExampleAnswer, ...]:
        """The answers to one text, an example each."""
        asked = [found[request] for request in self.requests(text)]
        return tuple(map(example_answer, self.examples, self.labels, asked))


@dataclass(frozen=True)
class Controls:
    """Where controls come from: everything explained so far of this model and corpus."""

    entries: tuple[Explained, ...]
    model: str
    seed: int

    def of(self, neuron: NeuronId, head: HeadId, text: str) -> tuple[str, str]:
        """An explanation of something else, and of what.

        The one these words were scored against before; else one drawn, by a hash with the seed, from what
        the same explainer wrote of other heads, of other neurons if it can be; else a generic one.
        """
        written = []
        for entry in self.entries:
            about, score = entry.explanation, entry.score
            if (about.neuron, about.head) != (neuron, head):
                if about.model == self.model and about.explanation != text:
                    written.append(about)
            elif about.explanation == text and score is not None and score.control is not None:
                return score.control.explanation, score.control.origin
        apart = [about for about in written if about.neuron != neuron] or written
        if not apart:
            return GENERIC_EXPLANATION, "generic"
        drawn = min(apart, key=lambda about: self._lot(neuron, head, about))
        return drawn.explanation, f"{drawn.head} of {drawn.neuron}"

    def _lot(self, neuron: NeuronId, head: HeadId, other: Explanation) -> str:
        parts = (self.seed, neuron, head, other.neuron, other.head, other.explanation)
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def example_answer(example: Example, label: bool, asked: RequestOutcome) -> ExampleAnswer:
    if asked.answer is None:
        return ExampleAnswer(example.prompt_id, label, None, None, asked.problem)
    said = read_yes_no(asked.answer.text)
    if said is None:
        problem = f"It is neither Yes nor No: {asked.answer.text.strip()[:80]!r}."
        return ExampleAnswer(example.prompt_id, label, None, None, problem)
    probability = answer_probability(asked.answer.text, asked.answer.alternatives)
    return ExampleAnswer(example.prompt_id, label, said, probability, None)


def score_notes(answers: Sequence[ChatAnswer], left_out: int) -> tuple[str, ...]:
    """What the answers' notes say, each once; of how many there is no probability; prompts left out."""
    notes = list(dict.fromkeys(note for answer in answers for note in answer.notes))
    usable = [answer for answer in answers if read_yes_no(answer.text) is not None]
    unread = sum(answer_probability(answer.text, answer.alternatives) is None for answer in usable)
    if unread and any(answer.alternatives is not None for answer in usable):
        of = f"{unread} of {len(usable)} answers"
        notes.append(f"The probability of Yes cannot be read from {of}, and there is no AUC over them.")
    elif unread and not notes:
        notes.append("The endpoint gave no log-probabilities.")
    if left_out:
        notes.append(f"Left out were {left_out} prompts that, trimmed, read like one the explainer saw.")
    return tuple(notes)
