"""Traces as the Explorer answers them: which place, from the cache, node by node, refusals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_lookups.answering import trace_service, traces
from tui_lookups.errors import BadIdError, LookupsError, UnknownTokenError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.model import text_pass
from tui_lookups.settings import load_settings

TEXT = '"How long have'
NEURON = NeuronId(5, 531)

pytestmark = pytest.mark.usefixtures("once_loaded")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def explorer(folder: Path, once_loaded: None) -> Iterator[Explorer]:
    opened = Explorer(load_settings(model="demo", cache_dir=folder))
    yield opened
    opened.close()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the texts that are run."""
    run: list[int] = []
    real = text_pass.TextPass

    def counted(model, ids, last, poll):
        run.append(len(ids))
        return real(model, ids, last, poll)

    monkeypatch.setattr(text_pass, "TextPass", counted)
    return run


def test_a_token_is_traced_from_the_most_probable_one(explorer: Explorer) -> None:
    found = explorer.trace(TEXT, depth=2, width=4)
    assert found.root.token is not None
    assert found.root.token.text == " you"
    assert found.root.target == "logit"
    assert found.position == len(found.tokens) - 1
    why = explorer.why(TEXT)
    assert found.root.value == pytest.approx(why.contributions.target, rel=1e-5)
    assert found.root.probability == pytest.approx(why.probability, rel=1e-5)
    of = {str(row.neuron): row.contribution for row in why.contributions.neurons}
    first = next(node for node in found.nodes if node.kind == "neuron")
    assert first.contribution == pytest.approx(of[first.component], rel=1e-4)


def test_another_position_token_and_foil(explorer: Explorer) -> None:
    found = explorer.trace(TEXT, position=2, token=" do", foil=" did", depth=1, width=2)
    assert [token.text for token in found.tokens][-1] == "How"
    assert found.root.foil is not None
    assert found.root.foil.text == " did"
    assert {node.position for node in found.nodes} == {2}


def test_a_neuron_is_traced_at_its_peak(explorer: Explorer) -> None:
    found = explorer.trace(TEXT, neuron=NEURON, depth=1, width=3)
    heads = explorer.heads(NEURON, text=TEXT)
    assert found.position == heads.position
    assert found.root.target == heads.target.name == "pre_activation"
    assert found.root.value == pytest.approx(heads.target.value, rel=1e-5)
    assert found.root.activation == pytest.approx(heads.activation, rel=1e-5)
    of = {str(row.head): row.attribution for row in heads.heads}
    first = next(node for node in found.nodes if node.kind == "head")
    assert first.contribution == pytest.approx(of[first.component], rel=1e-4)


def test_every_node_sums_and_the_whole_is_conserved(explorer: Explorer) -> None:
    found = explorer.trace(TEXT, depth=4, width=3)
    for node in found.nodes:
        if node.opened:
            assert node.rest is not None
            assert node.remainder is not None
            parts = math.fsum(child.contribution for child in found.children(node.id))
            assert parts + node.rest.contribution + node.remainder == pytest.approx(node.contribution)
        else:
            assert (node.rest, node.remainder, found.children(node.id)) == (None, None, ())
    conserved = found.conserved
    assert conserved.leaves + conserved.rests == pytest.approx(found.root.value, abs=1e-4)
    sizes = [abs(child.contribution) for child in found.children("root")]
    assert sizes == sorted(sizes, reverse=True)
    by_id = {node.id: node for node in found.nodes}
    assert all(node.parent in by_id for node in found.nodes[1:])
    seen: set[str] = set()
    for node in found.nodes:
        assert node.parent is None or node.parent in seen
        seen.add(node.id)


def test_nodes_are_opened_one_by_one_without_another_pass(explorer: Explorer, passes: list[int]) -> None:
    text = "How long has it been"
    whole = explorer.trace(text, depth=3, width=3)
    assert len(passes) == 1
    for node in whole.nodes:
        if node.opened and node.parent is not None:
            alone = explorer.trace(text, node=node.id, depth=1, width=3)
            top = alone.nodes[0]
            assert (top.id, top.parent, top.kind) == (node.id, node.parent, node.kind)
            assert top.contribution == pytest.approx(node.contribution, rel=1e-4, abs=1e-6)
            assert top.activation == pytest.approx(node.activation)
            assert top.weight == pytest.approx(node.weight)
            assert [each.id for each in alone.children(node.id)] == [
                each.id for each in whole.children(node.id)
            ]
    assert len(passes) == 1


def test_what_was_traced_needs_no_model(explorer: Explorer, folder: Path, passes: list[int]) -> None:
    asked = explorer.trace(TEXT, depth=2, width=4)
    passes.clear()
    again = Explorer(load_settings(model="demo", cache_dir=folder))
    assert again.trace(TEXT, depth=2, width=4) == asked
    assert not passes
    again.close()


def test_only_a_few_passes_are_held(explorer: Explorer, passes: list[int]) -> None:
    service = explorer._services.traces
    for text in ("one", "one two", "one two three", "one two three four"):
        explorer.trace(text, depth=1, width=2)
    assert len(service._passes) == trace_service._PASSES
    assert len(passes) == 4


def test_who_keeps_a_closed_explorer_keeps_no_pass(folder: Path) -> None:
    opened = Explorer(load_settings(model="demo", cache_dir=folder))
    opened.trace("let go of", depth=1, width=2)
    service = opened._services.traces
    assert service._passes
    opened.close()
    assert not service._passes


def test_a_question_that_is_given_up_leaves_the_pass_to_the_next(explorer: Explorer) -> None:
    """The pass is another question's by then: it is not that one's poll that is called."""
    text = "given up halfway"
    explorer.trace(text, depth=1, width=2)
    held = list(explorer._services.traces._passes.values())[-1]

    def stop() -> None:
        raise AssertionError("the poll of an earlier question")

    held.poll = stop
    assert explorer.trace(text, depth=3, width=2).nodes


def test_a_trace_is_worked_out_again_from_its_tokens(explorer: Explorer) -> None:
    for found in (
        explorer.trace(TEXT, depth=2, width=3),
        explorer.trace(TEXT, neuron=NEURON, depth=1, width=3),
        explorer.trace(TEXT, node="root/L5.N531/L2.H0", depth=2, width=2),
    ):
        assert explorer.trace_again(found) == found


def test_the_graph_names_what_it_keeps(explorer: Explorer) -> None:
    found = explorer.trace_graph(TEXT, nodes=30)
    root, *kept = found.nodes
    assert (root.id, root.kind, root.relevance) == ("root", "root", found.root.value)
    assert len(kept) == 30
    assert {node.kind for node in kept} == {"embedding", "head", "neuron"}
    assert all(node.id == f"{node.component}@{node.position}" for node in kept)
    into = math.fsum(edge.contribution for edge in found.edges if edge.target == "root")
    assert root.rest == pytest.approx(root.relevance - into)
    assert found.explained + found.lost == pytest.approx(found.root.value)
    assert found.lost_share == pytest.approx(found.lost / found.root.value)
    neuron = explorer.trace_graph(TEXT, neuron=NEURON, nodes=5)
    assert neuron.nodes[0].component == "L5.N531"


@pytest.mark.parametrize(
    "node",
    ["L5.N531", "root/", "root/L5", "root/@", "root/@x", "root/@3", "root/embedding", "root/L9.N1",
     "root/L2.H0/@9", "root/L2.H0/L1.H0", "root/L5.N531/L5.N531", ""],
)  # fmt: skip
def test_no_such_node(explorer: Explorer, node: str) -> None:
    with pytest.raises(BadIdError):
        explorer.trace(TEXT, node=node)


class TestRefusals:
    def test_what_cannot_be_asked(self, explorer: Explorer) -> None:
        with pytest.raises(LookupsError, match="from a neuron or from a token"):
            explorer.trace(TEXT, neuron=NEURON, token=" you")
        with pytest.raises(LookupsError, match="text or of a prompt"):
            explorer.trace()
        with pytest.raises(LookupsError, match="no position 9"):
            explorer.trace(TEXT, position=9)
        with pytest.raises(LookupsError, match="depth"):
            explorer.trace(TEXT, depth=0)
        with pytest.raises(LookupsError, match="nodes"):
            explorer.trace_graph(TEXT, nodes=0)
        with pytest.raises(BadIdError):
            explorer.trace(TEXT, neuron=NeuronId(99, 0))
        with pytest.raises(UnknownTokenError):
            explorer.trace(TEXT, token="no such token")
        with pytest.raises(LookupsError, match="no foil of itself"):
            explorer.trace(TEXT, token=" you", foil=" you")

    def test_the_raw_basis(self, folder: Path) -> None:
        raw = Explorer(load_settings(model="demo", cache_dir=folder, raw_weights=True))
        with pytest.raises(UnsupportedModelError, match="folded"):
            raw.trace(TEXT)
        raw.close()


def test_names_of_nodes_are_read_as_they_are_written() -> None:
    path = traces.parse_node("root/L19.N61/L19.H6/@31/L0.N3")
    assert traces._id(path) == "root/L19.N61/L19.H6/@31/L0.N3"
