"""Traces: every node is the sum of its parts, and a fully opened one of its leaves (method.md, section 9)."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import torch

from tests.tiny_models import ALIKE, EXPERTS, FURTHER, RECIPES
from tui_lookups.analysis import trace
from tui_lookups.analysis.held import held_ratio
from tui_lookups.analysis.openings import Opening, Part, open_readings, require_sum
from tui_lookups.analysis.readings import Reading, neuron_reading, token_reading
from tui_lookups.analysis.relevance import relevance
from tui_lookups.analysis.trace import Node, grow, has_parts
from tui_lookups.errors import LookupsError, UnsupportedModelError, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.text_pass import TextPass

TOKENS = torch.randint(3, 290, (12,), generator=torch.Generator().manual_seed(6)).tolist()
"""Longer than any window of these models."""

Q = len(TOKENS) - 1
TOKEN, FOIL = 71, 202


def read_token(model: LookupModel, foil: int | None = None) -> tuple[TextPass, Reading]:
    text = TextPass(model, TOKENS, None, no_poll)
    return text, token_reading(text, TOKEN, foil, Q)


def leaves(nodes: list[Node]) -> list[float]:
    """What was not opened: leaves, nodes left closed, and rests."""
    closed = [node.part.contribution for node in nodes if node.opening is None and node.part is not None]
    return closed + [node.opening.rest for node in nodes if node.opening is not None]


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER, *ALIKE, *EXPERTS])
def test_every_node_is_the_sum_of_its_parts(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    text, root = read_token(model)
    nodes = grow(text, root, (), depth=4, width=4, poll=no_poll)
    for node in nodes:
        if node.opening is not None:
            whole = root.value if node.part is None else node.part.contribution
            assert abs(whole - node.opening.sum) <= 1e-10 * node.opening.size
    assert math.fsum(leaves(nodes)) == pytest.approx(root.value, abs=1e-10 * nodes[0].opening.size)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "gpt_neox_parallel"])
@pytest.mark.parametrize("foil", [None, FOIL])
def test_a_tokens_root_is_its_logit(tiny_model, name: str, foil: int | None) -> None:
    model = tiny_model(name, "float64")
    text, root = read_token(model, foil)
    assert text.uncapped is not None
    origin = text.uncapped.mean() if foil is None else text.uncapped[foil]
    assert root.value == pytest.approx(float(text.uncapped[TOKEN] - origin))
    (opening,) = open_readings(text, [root], None, no_poll)
    assert opening.others == 0
    assert opening.rest == 0.0
    assert opening.sum == pytest.approx(root.value, abs=1e-10 * opening.size)
    kinds = {type(part.component) for part in opening.parts}
    assert {HeadId, NeuronId, str} == kinds


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_a_fully_opened_trace_conserves(tiny_model, name: str) -> None:
    """To the last leaf; an embedding is in it once a path, and all of them are its relevance."""
    model = tiny_model(name, "float64")
    text = TextPass(model, TOKENS[:2], 1, no_poll)
    root = neuron_reading(text, NeuronId(1, 4), 1)
    nodes = grow(text, root, (), depth=99, width=None, poll=no_poll)
    assert all(node.opening is not None or not has_parts(node.part.component) for node in nodes)
    assert len(nodes) > 500
    assert math.fsum(leaves(nodes)) == pytest.approx(root.value, rel=1e-8)
    by_position: dict[int, list[float]] = defaultdict(list)
    for node in nodes:
        if node.part is not None and node.part.component == "embedding":
            by_position[node.part.position].append(node.part.contribution)
    expected = relevance(text, root, most=1, poll=no_poll)
    for position, values in by_position.items():
        assert math.fsum(values) == pytest.approx(float(expected.embedding[position]), abs=1e-10)


def test_width_leaves_the_smallest_to_the_rest(tiny_model) -> None:
    text, root = read_token(tiny_model("llama", "float64"))
    (every,) = open_readings(text, [root], None, no_poll)
    (some,) = open_readings(text, [root], 5, no_poll)
    assert some.parts == every.parts[:5]
    assert some.others == len(every.parts) - 5
    assert some.rest == pytest.approx(sum(part.contribution for part in every.parts[5:]))
    assert some.size == pytest.approx(every.size)


def test_a_subtree_is_the_trees_own(tiny_model) -> None:
    """Nodes that are opened one by one are those that are opened together."""
    text, root = read_token(tiny_model("qwen3", "float64"))
    whole = {node.path: node for node in grow(text, root, (), depth=4, width=3, poll=no_poll)}
    for path, node in whole.items():
        if node.opening is None or node.part is None:
            continue
        alone, *children = grow(text, root, path, depth=1, width=3, poll=no_poll)
        assert alone.opening is not None
        assert alone.part is not None
        assert alone.part.contribution == pytest.approx(node.part.contribution, rel=1e-9)
        assert alone.opening.rest == pytest.approx(node.opening.rest, rel=1e-6, abs=1e-12)
        assert [child.path for child in children] == [(*path, part.component) for part in node.opening.parts]


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("bfloat16", 5e-2)])
def test_other_precisions_close_within_their_bound(tiny_model, name: str, dtype: str, bound: float) -> None:
    text, root = read_token(tiny_model(name, dtype))
    nodes = grow(text, root, (), depth=3, width=4, poll=no_poll)
    assert all(abs(_whole(root, n) - n.opening.sum) <= bound * n.opening.size for n in nodes if n.opening)


def _whole(root: Reading, node: Node) -> float:
    return root.value if node.part is None else node.part.contribution


def test_the_ratio_of_an_activation_at_zero_is_its_limit(tiny_model) -> None:
    pre = torch.tensor([0.0, 1e-6, 2.0, -2.0]).double()
    for name, limit in (("gpt2", 0.5), ("llama", 0.5), ("arcee", 0.0)):
        act = tiny_model(name, "float64").wiring.blocks[0].activation
        ratio = held_ratio(act, pre)
        assert float(ratio[0]) == pytest.approx(limit, abs=1e-6)
        assert float(ratio[1]) == pytest.approx(limit, abs=1e-5)
        assert torch.allclose(ratio[2:] * pre[2:], act(pre[2:]))


class TestRefusals:
    def test_parts_that_do_not_sum(self, tiny_model) -> None:
        text, _ = read_token(tiny_model("gpt2", "float64"))
        opening = Opening((Part("embedding", Q, 1.0),), rest=0.5, others=3, size=2.0)
        require_sum(text, 1.5, opening, "the root")
        with pytest.raises(UnsupportedModelError, match="do not sum"):
            require_sum(text, 1.6, opening, "the root")

    def test_a_pattern_that_is_not_the_heads(self, tiny_model, monkeypatch) -> None:
        text, root = read_token(tiny_model("gpt2", "float64"))
        real = text.pattern
        monkeypatch.setattr(text, "pattern", lambda layer: real(layer) * 1.5)
        with pytest.raises(UnsupportedModelError, match="not what it gathers"):
            grow(text, root, (HeadId(1, 0),), depth=1, width=3, poll=no_poll)

    def test_a_path_that_there_is_not(self, tiny_model) -> None:
        text, root = read_token(tiny_model("gpt2"))
        paths = (
            (3,), ("embedding",), (HeadId(1, 0), NeuronId(0, 1)), (HeadId(1, 0), Q + 1), (HeadId(3, 0),),
            (HeadId(0, 9),), (NeuronId(0, 4000),), (NeuronId(1, 0), NeuronId(1, 0)),
        )  # fmt: skip
        for path in paths:
            with pytest.raises(ValueError, match="no part that has parts"):
                grow(text, root, path, depth=1, width=3, poll=no_poll)

    def test_too_many_nodes(self, tiny_model, monkeypatch) -> None:
        monkeypatch.setattr(trace, "MOST_NODES", 50)
        text, root = read_token(tiny_model("llama"))
        with pytest.raises(LookupsError, match="more than 50 nodes"):
            grow(text, root, (), depth=4, width=8, poll=no_poll)

    def test_it_can_be_interrupted(self, tiny_model) -> None:
        class Stop(Exception):
            pass

        text, root = read_token(tiny_model("gpt2"))

        def poll() -> None:
            raise Stop

        with pytest.raises(Stop):
            grow(text, root, (), depth=2, width=3, poll=poll)
        with pytest.raises(Stop):
            relevance(text, root, most=1, poll=poll)


def test_no_activations_of_the_text_are_kept(tiny_model) -> None:
    """Nothing of positions x d_mlp x layers: what is kept of neurons is of the positions that were opened."""
    model = tiny_model("gpt2")
    text, root = read_token(model)
    grow(text, root, (), depth=3, width=3, poll=no_poll)
    width = model.info.d_mlp
    assert all(width not in seen.shape for seen in text._seen.values())
    relevance(text, root, most=3, poll=no_poll)
    assert {place for _, place in text._neurons} <= set(range(len(TOKENS)))


def test_figures_of_the_packaged_model(demo_folder) -> None:
    """As the method page's author worked them out with another program (method.md, section 9)."""
    from tui_lookups.model.loading import load_model

    model = load_model(
        demo_folder, name="demo", source="demo", fingerprint="demo", device="cpu", dtype="float64"
    )
    row = model.encode_prompt('"How long have')
    last = len(row) - 1
    text = TextPass(model, row, 5, no_poll)
    root = neuron_reading(text, NeuronId(5, 531), last)
    (opening,) = open_readings(text, [root], None, no_poll)
    of = {part.component: part.contribution for part in opening.parts}
    close = {"abs": 6e-6}
    assert root.value == pytest.approx(5.83866, **close)
    assert sum(v for c, v in of.items() if isinstance(c, HeadId)) == pytest.approx(3.45339, **close)
    assert sum(v for c, v in of.items() if isinstance(c, NeuronId)) == pytest.approx(6.36826, **close)
    assert of["mlp_biases"] == pytest.approx(-0.38612, **close)
    assert of["embedding"] == pytest.approx(0.01320, **close)
    assert of[NeuronId(0, 757)] == pytest.approx(0.39638, **close)
    assert of[NeuronId(4, 704)] == pytest.approx(0.38514, **close)
    head, *_ = grow(text, root, (HeadId(2, 0),), depth=1, width=None, poll=no_poll)
    assert {p.component: p.contribution for p in head.opening.parts}[2] == pytest.approx(0.93172, **close)
    source, *_ = grow(text, root, (HeadId(2, 0), 2), depth=1, width=None, poll=no_poll)
    of = {part.component: part.contribution for part in source.opening.parts}
    assert of["embedding"] == pytest.approx(0.01369, **close)
    assert of["attention_biases"] == pytest.approx(0.09984, **close)
    assert of["mlp_biases"] == pytest.approx(0.03184, **close)
    assert of[NeuronId(0, 722)] == pytest.approx(0.07596, **close)
    assert of[NeuronId(0, 434)] == pytest.approx(0.06170, **close)
    assert of[NeuronId(0, 258)] == pytest.approx(0.04957, **close)
