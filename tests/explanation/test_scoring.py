"""Scores against figures worked out by hand, and AUC and shuffles against independent computations."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.explanation.scoring import figures, roc_auc, shuffled, summary
from tui_lookups.results import ExampleAnswer, Figures


def answers(text: str, probabilities: list[float | None] | None = None) -> list[ExampleAnswer]:
    """Answers of a string: A or I for active or inactive, then y, n or - for the answer."""
    found = []
    for place, (label, said) in enumerate(part for part in text.split()):
        answer = {"y": "yes", "n": "no", "-": None}[said]
        probability = None if probabilities is None else probabilities[place]
        problem = None if answer else "failed"
        found.append(ExampleAnswer(place, label == "A", answer, probability, problem))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("given_answers", "expected"),
    [
        # 4 active: 3 yes, 1 no; 5 inactive: 2 yes, 3 no.  (3/4 + 3/5) / 2 = .675
        (
            "Ay Ay Ay An Iy Iy In In In",
            Figures(0.675, 6 / 9, 3 / 5, 3 / 4, 3, 2, 3, 1, 0, None),
        ),
        # the same with three unanswered: nothing else changes
        (
            "Ay Ay A- Ay An Iy I- Iy In In In A-",
            Figures(0.675, 6 / 9, 3 / 5, 3 / 4, 3, 2, 3, 1, 3, None),
        ),
        ("Ay Ay In", Figures(1.0, 1.0, 1.0, 1.0, 2, 0, 1, 0, 0, None)),
        ("An An Iy", Figures(0.0, 0.0, 0.0, 0.0, 0, 1, 0, 2, 0, None)),
        # always Yes, always No: half, however many of each
        ("Ay Iy Iy Iy", Figures(0.5, 2 / 5, 1 / 4, 1.0, 1, 3, 0, 0, 0, None)),
        ("An In In In", Figures(0.5, 0.0, None, 0.0, 0, 0, 3, 1, 0, None)),
        # one class only: no score
        ("Ay An Ay", Figures(None, 4 / 5, 1.0, 2 / 3, 2, 0, 0, 1, 0, None)),
        ("In Iy In", Figures(None, 0.0, 0.0, None, 0, 1, 2, 0, 0, None)),
        # one class answered: an unanswered prompt is no member of the other
        ("Ay An I- I-", Figures(None, 2 / 3, 1.0, 1 / 2, 1, 0, 0, 1, 2, None)),
        ("A- I-", Figures(None, None, None, None, 0, 0, 0, 0, 2, None)),
        ("", Figures(None, None, None, None, 0, 0, 0, 0, 0, None)),
    ],
)
def test_figures_by_hand(given_answers: str, expected: Figures) -> None:
    found = figures(answers(given_answers))
    for name in Figures.__slots__:
        value, wanted = getattr(found, name), getattr(expected, name)
        if name == "roc_auc":
            continue
        assert value == (wanted if wanted is None else pytest.approx(wanted)), name


def test_auc_by_hand() -> None:
    # pairs (active, inactive): .9>.4, .9>.8, .6>.4, .6<.8: 3 of 4
    assert figures(answers("Ay Ay In Iy", [0.9, 0.6, 0.4, 0.8])).roc_auc == 0.75
    assert roc_auc([True, False], [0.5, 0.5]) == 0.5
    assert roc_auc([True, True], [0.1, 0.9]) is None


def test_no_auc_where_an_answered_prompt_has_no_probability() -> None:
    assert figures(answers("Ay In Iy", [0.9, None, 0.1])).roc_auc is None
    assert figures(answers("Ay In I-", [0.9, 0.1, None])).roc_auc == 1.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_auc_is_the_area_under_the_curve(pairs: list[tuple[bool, int]]) -> None:
    positives = sum(label for label, _ in pairs)
    negatives = len(pairs) - positives
    found = roc_auc([label for label, _ in pairs], [float(score) for _, score in pairs])
    if not positives or not negatives:
        assert found is None
        return
    curve = [(0.0, 0.0)]
    for threshold in range(5, -1, -1):
        above = [label for label, score in pairs if score >= threshold]
        curve.append(((len(above) - sum(above)) / negatives, sum(above) / positives))
    area = sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in itertools.pairwise(curve))
    assert found == pytest.approx(area)


def test_shuffled_labels_are_all_permutations_in_the_long_run() -> None:
    given_answers = answers("Ay Ay An Iy In In")
    found = shuffled(given_answers, seed=3, shuffles=4000)
    assert found is not None
    yes = [each.answer == "yes" for each in given_answers]
    exact = []
    for actives in itertools.combinations(range(6), 3):
        tp = sum(yes[i] for i in actives)
        tn = sum(not yes[i] for i in range(6) if i not in actives)
        exact.append((tp / 3 + tn / 3) / 2)
    assert found.mean == pytest.approx(statistics.fmean(exact), abs=0.02)
    assert found.standard_deviation == pytest.approx(statistics.pstdev(exact), abs=0.02)
    assert found.at_least == pytest.approx(sum(value >= 2 / 3 - 1e-9 for value in exact) / 20, abs=0.03)


def test_shuffles_follow_the_seed_and_leave_unanswered_out() -> None:
    given_answers = answers("Ay Ay An Iy In In")
    assert shuffled(given_answers, 1) == shuffled(given_answers, 1) != shuffled(given_answers, 2)
    assert shuffled(answers("Ay Ay An Iy In In A- I-"), 1) == shuffled(given_answers, 1)
    assert shuffled(answers("Ay An I-"), 1) is None


def test_summary_skips_what_has_no_score() -> None:
    found = summary([0.5, None, 0.75, 1.0])
    assert (found.count, found.mean) == (3, 0.75)
    assert found.standard_deviation == pytest.approx(0.25)
    assert found.deviation_of == "sample"
    theirs = summary([0.5, None, 0.75, 1.0], of="population")
    assert theirs.standard_deviation == pytest.approx((0.125 / 3) ** 0.5)
    assert (theirs.mean, theirs.deviation_of) == (0.75, "population")
    assert summary([None, 0.5]).standard_deviation is None
    assert (summary([]).count, summary([]).mean) == (0, None)
