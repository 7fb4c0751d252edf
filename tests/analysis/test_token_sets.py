"""Several tokens as one, against a ranking written from method.md, section 2, in NumPy float64."""

from __future__ import annotations

from itertools import product
from typing import get_args

import numpy as np
import pytest

from tests.weights import unembedding_of
from tui_lookups.analysis.congruence import rank_neurons, token_scores
from tui_lookups.analysis.layer_extremes import layer_extremes
from tui_lookups.analysis.token_sets import rank_for_set, read_set, score_for_set
from tui_lookups.results import AsOne, Sign

FAMILIES = ("gpt2", "llama", "gemma2", "olmo2")
MEMBERS = (66, 130, 258)
ASKED = list(product(get_args(AsOne), get_args(Sign)))
EVERY = 10_000


def congruences(model) -> np.ndarray:
    """Of every neuron with every token: [neurons, d_vocab]."""
    layers = range(model.info.n_layers)
    columns = [token_scores(model, token, layers).ravel() for token in range(model.info.d_vocab)]
    return np.stack(columns, axis=-1).astype(np.float64)


def expected_row(all_tokens: np.ndarray, as_one: str, sign: str) -> tuple[float, float, int, int]:
    """One neuron's congruence with the set, its merit, its leading member and its direction."""
    choices = []
    for direction in {"+": (1,), "-": (-1,), "both": (1, -1)}[sign]:
        values = [direction * all_tokens[member] for member in MEMBERS]
        merit = {"mean": sum(values) / len(values), "any": max(values), "all": min(values)}[as_one]
        wanted = min(values) if as_one == "all" else max(values)
        choices.append((merit, direction, values.index(wanted)))
    merit, direction, leading = max(choices, key=lambda choice: choice[0])
    return direction * merit, merit, MEMBERS[leading], direction if sign != "-" or merit > 0 else 1


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_against_brute_force(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    every, readers = congruences(model), unembedding_of(model).numpy()
    mean_reader = readers[:, MEMBERS].mean(axis=1)
    for as_one, sign in ASKED:
        rows = rank_for_set(
            model, MEMBERS, as_one=as_one, top=EVERY, layers=range(model.info.n_layers), sign=sign
        )
        by_neuron = {(row.layer, row.index): row for row in rows}
        merits = []
        for place in range(len(every)):
            congruence, merit, leading, direction = expected_row(every[place], as_one, sign)
            merits.append(merit)
            row = by_neuron[divmod(place, model.info.d_mlp)]
            assert row.congruence == pytest.approx(congruence, rel=1e-9)
            assert row.leading.id == leading
            read = direction * every[place]
            assert [member.token_rank for member in row.members] == [
                1 + int((read > read[member] + 1e-12).sum()) for member in MEMBERS
            ]
            assert row.top_token.id == int(read.argmax())
            assert row.top_congruence == pytest.approx(direction * read.max(), rel=1e-9)
            assert row.token_rank == row.members[MEMBERS.index(leading)].token_rank
            W_out = model.W_out(row.layer)[row.index].numpy()
            reader = mean_reader if as_one == "mean" else readers[:, leading]
            cosine = congruence / np.linalg.norm(W_out) / np.linalg.norm(reader)
            assert row.cosine == pytest.approx(cosine, rel=1e-9)
        found = [merits[row.layer * model.info.d_mlp + row.index] for row in rows]
        assert found == pytest.approx(sorted(merits, reverse=True))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("next_token_only", [False, True])
def test_a_set_of_one_is_its_token_to_the_last_digit(tiny_model, name: str, next_token_only: bool) -> None:
    model = tiny_model(name)
    layers = range(model.info.n_layers)
    extremes = [layer_extremes(model, layer) for layer in layers]
    for (as_one, sign), token in product(ASKED, MEMBERS):
        asked = {"top": 9, "layers": layers, "sign": sign, "next_token_only": next_token_only}
        for known in (None, extremes):  # which neurons are looked at together decides the last digit
            alone = rank_neurons(model, token, extremes=known, **asked)
            rows = rank_for_set(model, [token], as_one=as_one, extremes=known, **asked)
            assert len(rows) == len(alone)
            for row, single in zip(rows, alone, strict=True):
                for field in single.__slots__:
                    assert getattr(row, field) == getattr(single, field)


@pytest.mark.parametrize(("as_one", "sign"), ASKED)
def test_next_token_neurons_are_those_of_the_whole_ranking_that_are(tiny_model, as_one, sign) -> None:
    model = tiny_model("llama", "float64")
    every, layers = congruences(model), range(model.info.n_layers)
    members = sorted({int(row.argmax()) for row in every} | {int(row.argmin()) for row in every})
    found = rank_for_set(
        model, members, as_one=as_one, top=EVERY, layers=layers, sign=sign, next_token_only=True
    )
    expected = set()
    for row in rank_for_set(model, members, as_one=as_one, top=EVERY, layers=layers, sign=sign):
        values = every[row.layer * model.info.d_mlp + row.index]
        if sign == "-" and row.congruence >= 0:
            continue
        flipped = row.top_congruence < 0
        order = np.argsort(-values * (-1 if flipped else 1), kind="stable")
        fills = set(order[: len(members)].tolist()) == set(members)
        if int(order[0]) in members and (as_one != "all" or fills):
            expected.add(row.neuron)
    assert {row.neuron for row in found} == expected
    assert expected or as_one == "all"


def test_all_are_served_where_the_members_fill_the_first_places(tiny_model) -> None:
    model = tiny_model("gpt2", "float64")
    values = congruences(model)[5]
    first, second, third = np.argsort(-values)[:3].tolist()
    served = {
        members: 5
        in {
            row.index
            for row in rank_for_set(model, members, as_one="all", top=EVERY, layers=[0], next_token_only=True)
        }
        for members in ((second, first), (first, third), (second,))
    }
    assert list(served.values()) == [True, False, False]


def test_the_mean_is_linear_and_neither_any_nor_all_is_beyond_it(tiny_model) -> None:
    model = tiny_model("llama", "float64")
    rows = rank_for_set(model, MEMBERS, as_one="mean", top=20, layers=range(model.info.n_layers))
    neurons = [row.neuron for row in rows]
    either = score_for_set(model, neurons, MEMBERS, as_one="any")
    every = score_for_set(model, neurons, MEMBERS, as_one="all")
    for mean, most, least in zip(rows, either, every, strict=True):
        assert mean.congruence == pytest.approx(np.mean([member.congruence for member in mean.members]))
        assert least.congruence < mean.congruence < most.congruence
        assert mean.members == most.members == least.members


def test_members_of_both_signs_go_by_the_direction_that_gives_more() -> None:
    members = np.array([[-3.0, -1.0, -2.0], [1.0, 3.0, 2.0]])
    assert read_set(members, "any", "both").figures.tolist() == [-3.0, 3.0, 2.0]
    assert read_set(members, "all", "both").figures.tolist() == [1.0, -1.0, -2.0]
    assert read_set(members, "mean", "both").figures.tolist() == [-1.0, 1.0, 0.0]
    assert read_set(members, "any", "both").flipped.tolist() == [True, False, False]
