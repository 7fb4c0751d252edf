"""Scores of an explanation from Yes and No answers (method.md, section 5). Pure functions.

1. A prompt is a positive when the head is active on it; a "yes" claims that. Prompts without an answer are
   counted as unanswered and enter no other figure.
2. Head explanation score = (tp / (tp + fn) + tn / (tn + fp)) / 2. It is None when the answered prompts hold
   only one class: such pairs are left out of every mean.
3. Shuffled labels say what the same answers score by luck: their mean is 1/2 in expectation, and the
   spread says how far from 1/2 means something with this few prompts.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Sequence

from tui_lookups.results import DeviationOf, ExampleAnswer, Figures, Shuffled, Summary

SHUFFLES = 200


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def figures(answers: Iterable[ExampleAnswer]) -> Figures:
    """All figures over these answers; see `Figures` for what is None when."""
    listed = list(answers)
    answered = [answer for answer in listed if answer.answer is not None]
    tp = sum(answer.active and answer.answer == "yes" for answer in answered)
    fp = sum(not answer.active and answer.answer == "yes" for answer in answered)
    tn = sum(not answer.active and answer.answer == "no" for answer in answered)
    fn = sum(answer.active and answer.answer == "no" for answer in answered)
    positive, negative = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    balanced = None if positive is None or negative is None else (positive + negative) / 2
    return Figures(
        head_explanation_score=balanced,
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        precision=_ratio(tp, tp + fp),
        recall=positive,
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        unanswered=len(listed) - len(answered),
        roc_auc=_auc_of(answered),
    )


def _auc_of(answered: Sequence[ExampleAnswer]) -> float | None:
    scores = [answer.probability for answer in answered if answer.probability is not None]
    if len(scores) < len(answered):
        return None
    return roc_auc([answer.active for answer in answered], scores)


def roc_auc(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """The probability that a positive scores above a negative, ties counting half; None for one class.

    Args: labels, scores: one of each a prompt, same length.
    """
    positives = [score for label, score in zip(labels, scores, strict=True) if label]
    negatives = [score for label, score in zip(labels, scores, strict=True) if not label]
    if not positives or not negatives:
        return None
    won = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return won / (len(positives) * len(negatives))


def shuffled(answers: Sequence[ExampleAnswer], seed: int, shuffles: int = SHUFFLES) -> Shuffled | None:
    """The head explanation score under permuted labels; None where the true labels have no score."""
    true = figures(answers).head_explanation_score
    if true is None:
        return None
    answered = [answer for answer in answers if answer.answer is not None]
    yes = [answer.answer == "yes" for answer in answered]
    labels = [answer.active for answer in answered]
    drawn = random.Random(seed)
    values = []
    for _ in range(shuffles):
        drawn.shuffle(labels)
        values.append(_balanced(labels, yes))
    return Shuffled(
        shuffles=shuffles,
        seed=seed,
        mean=statistics.fmean(values),
        standard_deviation=statistics.stdev(values),
        at_least=sum(value >= true - 1e-12 for value in values) / shuffles,
    )


def _balanced(labels: Sequence[bool], yes: Sequence[bool]) -> float:
    positives = sum(labels)
    tp = sum(label and said for label, said in zip(labels, yes, strict=True))
    tn = sum(not label and not said for label, said in zip(labels, yes, strict=True))
    return (tp / positives + tn / (len(labels) - positives)) / 2


def summary(values: Iterable[float | None], *, of: DeviationOf = "sample") -> Summary:
    """Mean and standard deviation of the values that are not None.

    Args:
        of: the sample's deviation (over n - 1), or the population's (over n), which the authors print.
    """
    numbers = [value for value in values if value is not None]
    if not numbers:
        return Summary(0, None, None, of)
    deviate = statistics.pstdev if of == "population" else statistics.stdev
    return Summary(
        len(numbers), statistics.fmean(numbers), deviate(numbers) if len(numbers) > 1 else None, of
    )
