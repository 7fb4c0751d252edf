"""What a head carries and why it attends through the Explorer: places, refusals, the cache."""

# ruff: noqa: F401, F811 - fixtures

from __future__ import annotations

import numpy as np
import pytest

from tests.test_explorer_analysis import TEXTS, explorer, home, no_model
from tui_lookups.answering.attends_service import largest_pairs
from tui_lookups.errors import BadIdError, Cancelled, LookupsError, UnknownTokenError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model_thread import CURRENT_TOKEN, CancelToken
from tui_lookups.results.attends import PAIRS_KEPT
from tui_lookups.storage import codec

pytestmark = pytest.mark.usefixtures("once_loaded")

TEXT = "the cat sat because"
HEAD, NEURON = HeadId(1, 2), NeuronId(2, 7)


def test_carries_is_the_attribution_of_the_source_and_is_answered_once(explorer, no_model) -> None:
    asked: Explorer = explorer()
    heads = asked.heads(NEURON, text=TEXT, sources=HEAD)
    found = asked.carries(NEURON, HEAD, heads.position - 1, text=TEXT, top=3)
    assert (found.neuron, found.token, found.head) == (NEURON, None, HEAD)
    assert (found.position, found.source, found.tokens) == (heads.position, heads.position - 1, heads.tokens)
    expected = heads.sources[found.source].attribution
    assert found.contributions.target == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert len(found.contributions.neurons) == 3
    by_text = asked.carries(NEURON, HEAD, heads.tokens[found.source].text, text=TEXT, top=3)
    assert by_text == found
    no_model()
    assert explorer().carries(NEURON, HEAD, found.source, text=TEXT, top=3) == found
    assert codec.from_json_bytes(type(found), codec.to_json_bytes(found)) == found


def test_on_a_prompt_and_for_a_token(explorer) -> None:
    asked: Explorer = explorer()
    prompt = asked.prompts(NEURON, top=1).prompts[0]
    found = asked.carries(NEURON, HEAD, 1, prompt=1)
    assert (found.position, found.tokens) == (prompt.peak.position, prompt.tokens)
    assert found.provenance.corpus is not None
    assert asked.carries(NEURON, HEAD, 1, prompt_id=prompt.prompt_id).contributions == found.contributions
    why = asked.why(TEXT)
    logit = asked.carries(None, HEAD, 1, token=why.token.id, text=TEXT)
    assert (logit.token, logit.neuron, logit.position) == (why.token, None, why.position)
    # Over all sources, with the biases of values, it is what the head contributes.
    each = [
        asked.carries(None, HEAD, k, token=why.token.text, text=TEXT).contributions.target
        for k in range(why.position + 1)
    ]
    whole = next(row.contribution for row in why.contributions.heads if row.head == HEAD)
    assert sum(each) == pytest.approx(whole, abs=1e-4)


def test_attends_chooses_query_and_key(explorer, no_model) -> None:
    asked: Explorer = explorer()
    found = asked.attends(HEAD, text=TEXT, top=2)
    assert found.query == len(found.tokens) - 1
    beyond = [key for key in found.keys if key.position > 0]
    assert found.key == max(beyond, key=lambda key: key.weight).position
    assert sum(key.weight for key in found.keys) == pytest.approx(1, abs=1e-5)
    assert found.score == found.keys[found.key].score
    mean = sum(key.weight * key.score for key in found.keys)
    assert found.advantage == pytest.approx(found.score - mean, abs=1e-4)
    whole = sum(pair.contribution for pair in found.pairs) + found.pairs_rest
    assert whole == pytest.approx(found.advantage, abs=1e-4)
    assert len(found.pairs) == min(len(found.groups) ** 2, 2 * PAIRS_KEPT)
    sizes = [abs(pair.contribution) for pair in found.pairs]
    assert sizes == sorted(sizes, reverse=True)
    named = asked.attends(HEAD, text=TEXT, query=2, key=1, top=2)
    assert (named.query, named.key, named.tokens) == (2, 1, found.tokens)
    at_peak = asked.attends(HEAD, neuron=NEURON, prompt=1)
    assert at_peak.query == asked.prompts(NEURON, top=1).prompts[0].peak.position
    no_model()
    assert explorer().attends(HEAD, text=TEXT, top=2) == found


def test_of_the_grid_the_largest_of_either_sign_and_the_sum_of_the_others() -> None:
    cells = np.array([0.5, -3.0, 0.25, 2.0, -0.125, 1.0, -4.0, 0.0])
    assert largest_pairs(cells, 2) == ([6, 1, 3, 5], 0.5 + 0.25 - 0.125)
    assert largest_pairs(cells, 4) == ([6, 1, 3, 5, 0, 2, 4, 7], 0.0)
    assert largest_pairs(cells[:1], 2) == ([0], 0.0)


def test_what_follows_changes_nothing_but_the_tokens_shown(explorer, no_model) -> None:
    found = explorer().attends(HEAD, text=TEXT, query=2, key=1)
    no_model()
    longer = explorer().attends(HEAD, text=f"{TEXT} the mat", query=2, key=1)
    assert longer.key_side == found.key_side
    assert len(longer.tokens) > len(found.tokens)


@pytest.mark.parametrize(
    ("ask", "kind", "sentence"),
    [
        (lambda e: e.carries(None, HEAD, 1, text=TEXT), LookupsError, "for a neuron or for a token"),
        (lambda e: e.carries(NEURON, HEAD, 1, token=" a", text=TEXT), LookupsError, "neuron or for a token"),
        (lambda e: e.carries(None, HEAD, 1, token=" nosuch", text=TEXT), UnknownTokenError, "nosuch"),
        (lambda e: e.carries(NEURON, HEAD, 99, text=TEXT), LookupsError, "no position 99"),
        (lambda e: e.carries(NEURON, HEAD, " nosuch", text=TEXT), LookupsError, "None of the first"),
        (lambda e: e.carries(NeuronId(0, 1), HEAD, 1, text=TEXT), LookupsError, "does not reach L0.N1"),
        (lambda e: e.carries(NEURON, HeadId(1, 9), 1, text=TEXT), BadIdError, "L1.H9"),
        (lambda e: e.attends(HEAD), LookupsError, "asked about on a text"),
        (lambda e: e.attends(HEAD, text=""), LookupsError, "empty"),
        (lambda e: e.attends(HEAD, text=TEXT, top=0), LookupsError, "top"),
        (lambda e: e.attends(HEAD, text=TEXT, query=1, key=2), LookupsError, "cannot attend from position 1"),
        (lambda e: e.attends(HEAD, text="the the the", query=" the"), LookupsError, "stands at positions"),
    ],
)
def test_what_is_refused(explorer, ask, kind: type[LookupsError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence) as refused:
        ask(explorer())
    assert refused.value.hint


def test_the_raw_basis_is_refused_before_anything_is_scanned(explorer, no_model) -> None:
    raw: Explorer = explorer(raw_weights=True)
    raw.model_info()
    no_model()
    for ask in (lambda: raw.attends(HEAD, text=TEXT), lambda: raw.carries(NEURON, HEAD, 1)):
        with pytest.raises(UnsupportedModelError, match="folded weights"):
            ask()


def test_a_question_can_be_taken_back(explorer) -> None:
    token = CancelToken()
    token.cancel()
    asked: Explorer = explorer()
    asked.model_info()
    reset = CURRENT_TOKEN.set(token)
    try:
        with pytest.raises(Cancelled):
            asked.attends(HEAD, text=f"{TEXT} and taken back")
    finally:
        CURRENT_TOKEN.reset(reset)
