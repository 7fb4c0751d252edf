"""The pruned graph: what edges are, and what pruning lost (method.md, section 9)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch

from tui_lookups.analysis.graph import Graph, prune
from tui_lookups.analysis.openings import open_readings
from tui_lookups.analysis.readings import Reading, neuron_reading, token_reading
from tui_lookups.errors import no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.text_pass import TextPass

FAMILIES = ["gpt2", "llama", "qwen3", "gemma2", "olmo2", "gpt_neox_parallel", "granite", "opt_post_ln"]
TOKENS = torch.randint(3, 290, (4,), generator=torch.Generator().manual_seed(9)).tolist()
Q = len(TOKENS) - 1
ALL = 10**6


ReadWhole = Callable[[str], tuple[TextPass, Reading, Graph]]


@pytest.fixture(scope="module")
def read_token(tiny_model) -> ReadWhole:
    """read_token(family): why a token is predicted, and its graph with nothing pruned, made once."""

    @cache
    def read(name: str) -> tuple[TextPass, Reading, Graph]:
        text = TextPass(tiny_model(name, "float64"), TOKENS, None, no_poll)
        root = token_reading(text, 71, None, Q)
        return text, root, prune(text, root, ALL, no_poll)

    return read


def into(graph: Graph, target: int) -> float:
    return math.fsum(value for _, to, value in graph.edges if to == target)


def out_of(graph: Graph, source: int) -> float:
    return math.fsum(value for origin, _, value in graph.edges if origin == source)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_leaves_a_component_is_its_relevance_where_nothing_is_pruned(
    read_token: ReadWhole, name: str
) -> None:
    text, root, graph = read_token(name)
    size = sum(abs(node.relevance) for node in graph.nodes)
    assert graph.explained == pytest.approx(root.value, abs=1e-10 * size)
    for place, node in enumerate(graph.nodes):
        assert out_of(graph, place) == pytest.approx(node.relevance, abs=1e-10 * size)
    (opening,) = open_readings(text, [root], None, no_poll)
    of = {part.component: part.contribution for part in opening.parts}
    direct = {graph.nodes[source]: value for source, target, value in graph.edges if target == -1}
    assert direct
    for node, value in direct.items():
        assert node.position == Q
        assert value == pytest.approx(of[node.component or "embedding"], abs=1e-10 * size)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_enters_a_component_is_its_relevance_less_biases(
    tiny_model, read_token: ReadWhole, name: str
) -> None:
    """Of a model whose blocks have no biases; the rounding of heads is the softmax's."""
    model = tiny_model(name, "float64")
    _, _, graph = read_token(name)
    size = sum(abs(node.relevance) for node in graph.nodes)
    biased = model.value_biases[0] is not None or model.wiring.blocks[0].up.bias is not None
    differing = [
        place
        for place, node in enumerate(graph.nodes)
        if node.component is not None and abs(into(graph, place) - node.relevance) > 1e-6 * size
    ]
    assert bool(differing) == biased


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_pruning_keeps_the_most_relevant_and_says_what_it_lost(read_token: ReadWhole, name: str) -> None:
    text, root, whole = read_token(name)
    some = prune(text, root, 12, no_poll)
    assert [node.relevance for node in some.nodes] == pytest.approx(
        [node.relevance for node in whole.nodes[:12]]
    )
    assert abs(root.value - some.explained) > 1e-3
    kept = {(node.component, node.position): place for place, node in enumerate(whole.nodes[:12])}
    expected = {
        (source, target): value for source, target, value in whole.edges if source < 12 and target < 12
    }
    found = {(source, target): value for source, target, value in some.edges}
    assert found.keys() == expected.keys()
    assert all(found[edge] == pytest.approx(expected[edge], abs=1e-12) for edge in found)
    assert len(kept) == 12


def test_only_paths_through_kept_components_explain(tiny_model) -> None:
    """By hand: a neuron of the first block, kept with one head, has the embeddings that this head reads."""
    model = tiny_model("llama", "float64")
    text = TextPass(model, TOKENS, 0, no_poll)
    root = neuron_reading(text, NeuronId(0, 3), Q)
    whole = prune(text, root, ALL, no_poll)
    some = prune(text, root, 5, no_poll)
    heads = {place for place, node in enumerate(some.nodes) if isinstance(node.component, HeadId)}
    leaves = {place for place, node in enumerate(some.nodes) if node.component is None}
    assert heads
    assert leaves
    # Embeddings reach it through heads, or directly.
    explained = math.fsum(
        value for source, target, value in some.edges if source in leaves and target in heads | {-1}
    )
    assert some.explained == pytest.approx(explained + some.biases)
    assert whole.explained == pytest.approx(root.value)
