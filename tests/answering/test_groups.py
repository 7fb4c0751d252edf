"""Several tokens and several neurons as one, as the Explorer answers it (method.md, sections 2 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.reference_raw import RawGPT2
from tests.reference_walk import active
from tui_lookups.errors import BadIdError, LookupsError, UnknownTokenError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.progress import Progress, heard_by
from tui_lookups.results import AsOne, TokenNeurons

pytestmark = pytest.mark.usefixtures("once_loaded")

MakeExplorer = Callable[..., Explorer]
NEURONS = (NeuronId(2, 3), NeuronId(1, 5), NeuronId(2, 4))
TEXT = "what the cat saw and what the mat knew"
FAMILIES = ("gpt2", "llama", "gemma2", "gpt_neox_parallel")


class TestTokens:
    def test_a_set_of_one_is_its_token(self, make: MakeExplorer, tmp_path: Path) -> None:
        explorer = make("llama", tmp_path)
        for as_one in get_args(AsOne):
            for only in (False, True):
                alone = explorer.neurons(" the", top=5, next_token_only=only)
                found = explorer.neurons_of_set([" the"], as_one=as_one, top=5, next_token_only=only)
                for row, single in zip(found.neurons, alone.neurons, strict=True):
                    assert all(getattr(row, f.name) == getattr(single, f.name) for f in fields(single))
                assert [getattr(found, name) for name in ("token", "basis", "sign")] == [
                    getattr(alone, name) for name in ("token", "basis", "sign")
                ]
        assert not explorer._engine.opened_so_far()[2], "it is answered from the files"

    def test_it_is_kept_and_a_member_counts_once(self, make: MakeExplorer, tmp_path: Path) -> None:
        found = make("gpt2", tmp_path).neurons_of_set(["a", " the", "a"], as_one="any", top=5)
        assert [token.text for token in found.tokens] == ["a", " the"]
        assert isinstance(found, TokenNeurons)
        assert found.provenance.parameters["as_one"] == "any"
        again = make("gpt2", tmp_path)
        assert again.neurons_of_set(["a", " the"], as_one="any", top=5) == found
        assert again.neurons_of_set(["a", " the"], as_one="all", top=5).neurons != found.neurons

    def test_what_is_no_set_is_refused(self, make: MakeExplorer) -> None:
        with pytest.raises(LookupsError, match="needs one at least"):
            make().neurons_of_set([])
        with pytest.raises(UnknownTokenError):
            make().neurons_of_set(["a", "no such token"])
        with pytest.raises(LookupsError, match="'sum'"):
            make().neurons_of_set(["a"], as_one="sum")  # type: ignore[arg-type]


class TestSharedHeads:
    @pytest.mark.parametrize("name", ["gpt2", "llama"])
    def test_they_are_each_neurons_heads_side_by_side(self, make: MakeExplorer, name: str) -> None:
        explorer = make(name)
        told: list[Progress] = []
        with heard_by(told.append):
            found = explorer.shared_heads([*NEURONS, NEURONS[0]])
        overviews = {neuron: explorer.heads_overview(neuron) for neuron in NEURONS}
        assert [member.neuron for member in found.neurons] == list(NEURONS)
        assert {head.head for head in found.heads} == {
            mean.head for overview in overviews.values() for mean in overview.heads
        }
        for head in found.heads:
            means = {
                neuron: mean
                for neuron, overview in overviews.items()
                for mean in overview.heads
                if mean.head == head.head
            }
            assert [(part.neuron, part.mean_attribution, part.active_fraction) for part in head.neurons] == [
                (neuron, mean.mean_attribution, mean.active_fraction) for neuron, mean in means.items()
            ]
            assert head.reaches == len(means)
            assert head.serves == sum(0.25 <= mean.active_fraction <= 0.75 for mean in means.values())
            assert head.active_for == sum(mean.active_fraction >= 0.25 for mean in means.values())
            assert head.shared is (head.active_for >= 2)
            assert head.attribution == pytest.approx(sum(mean.mean_attribution for mean in means.values()))
            assert head.mean_attribution == pytest.approx(head.attribution / len(means))
        assert len({head.reaches for head in found.heads}) > 1, "not every head reaches every neuron"
        assert found.target == pytest.approx(sum(each.mean_target or 0 for each in overviews.values()))
        order = [(-head.active_for, -head.attribution) for head in found.heads]
        assert order == sorted(order)
        if told:  # nothing is, where another test has left the overviews in the cache
            assert {progress.total for progress in told if progress.unit == "neurons"} == {3}

    def test_of_one_neuron_they_are_its_own(self, make: MakeExplorer) -> None:
        explorer, neuron = make("gpt2"), NEURONS[0]
        found, overview = explorer.shared_heads([neuron]), explorer.heads_overview(neuron)
        assert found.target == overview.mean_target
        assert {head.head: (head.attribution, head.shared) for head in found.heads} == {
            mean.head: (mean.mean_attribution, mean.active_fraction >= 0.25) for mean in overview.heads
        }

    def test_what_has_no_heads_is_refused(self, make: MakeExplorer) -> None:
        with pytest.raises(LookupsError, match="needs a neuron"):
            make().shared_heads([])
        with pytest.raises(BadIdError, match="L9"):
            make().shared_heads([NEURONS[0], NeuronId(9, 0)])
        with pytest.raises(UnsupportedModelError):
            make(raw_weights=True).shared_heads(NEURONS)


class TestSums:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_a_sum_is_linear_and_closes(self, make: MakeExplorer, name: str) -> None:
        explorer = make(name)
        found = explorer.summed_heads(NEURONS, TEXT)
        fired = [explorer.activations(neuron, TEXT).activations for neuron in NEURONS]
        summed = np.sum(fired, axis=0)
        strength = np.abs(summed) if explorer.neurons("a", top=1).provenance.model.gated else summed
        assert found.position == 1 + int(strength[1:].argmax())
        each = [explorer.heads(neuron, text=TEXT, position=found.position) for neuron in NEURONS]
        assert found.target.name == each[0].target.name
        assert found.target.value == pytest.approx(sum(one.target.value for one in each))
        values = {}
        for one in each:
            for row in one.heads:
                values[row.head] = values.get(row.head, 0.0) + row.attribution
        assert {head.head: head.attribution for head in found.heads} == pytest.approx(values)
        assert [head.head for head in found.heads] == sorted(values)
        sign = -1 if summed[found.position] < 0 else 1
        expected, threshold = active(sign * np.array([head.attribution for head in found.heads]), "2sd")
        assert [head.active for head in found.heads] == expected.tolist()
        assert found.activity_threshold == pytest.approx(sign * threshold)
        other = found.other
        parts = [head.attribution for head in found.heads]
        parts += [other.embedding, other.mlps, other.attention_biases, other.bias]
        assert found.sum == pytest.approx(sum(parts))
        assert found.remainder == pytest.approx(found.target.value - found.sum, abs=1e-9)
        sizes = sum(
            abs(value)
            for one in each
            for value in (
                *(row.attribution for row in one.heads), one.other.embedding, one.other.mlps,
                one.other.attention_biases, one.other.bias,
            )
        )  # fmt: skip
        assert abs(found.remainder) <= 1e-4 * sizes

    def test_the_sum_is_what_the_sum_of_their_readers_reads(
        self, make: MakeExplorer, tiny_folder: Callable[[str], Path]
    ) -> None:
        """Two neurons of a layer, as one direction, in NumPy float64 from the raw weights."""
        pair = (NEURONS[0], NEURONS[2])
        found = make("gpt2").summed_heads(pair, TEXT, position=6)
        ids = [token.id for token in found.tokens]
        raw = RawGPT2(tiny_folder("gpt2"))
        parts = [raw.parts(ids, 6, neuron.layer, neuron.index) for neuron in pair]
        assert [head.attribution for head in found.heads] == pytest.approx(
            (parts[0].heads + parts[1].heads).ravel().tolist(), rel=1e-4, abs=1e-5
        )
        assert found.target.value == pytest.approx(parts[0].pre + parts[1].pre, rel=1e-4, abs=1e-5)
        assert [member.target for member in found.neurons] == pytest.approx(
            [part.pre for part in parts], rel=1e-4, abs=1e-5
        )

    @pytest.mark.parametrize("name", ["gpt2", "llama"])
    def test_of_one_neuron_it_is_its_own(self, make: MakeExplorer, name: str) -> None:
        explorer, neuron = make(name), NEURONS[0]
        found, alone = explorer.summed_heads([neuron], TEXT), explorer.heads(neuron, text=TEXT)
        shared = ("tokens", "position", "target", "other", "sum", "remainder", "activity_rule")
        assert [getattr(found, name) for name in shared] == [getattr(alone, name) for name in shared]
        assert found.activity_threshold == alone.activity_threshold
        for head, single in zip(found.heads, alone.heads, strict=True):
            assert all(getattr(head, f.name) == getattr(single, f.name) for f in fields(single))

    def test_a_head_adds_nothing_to_a_neuron_that_it_does_not_reach(self, make: MakeExplorer) -> None:
        found = make("gpt2").summed_heads(NEURONS, TEXT)
        above = [head for head in found.heads if head.layer == 2]
        assert above
        assert all([part.neuron for part in head.neurons] == [NEURONS[0], NEURONS[2]] for head in above)

    def test_no_such_position(self, make: MakeExplorer) -> None:
        with pytest.raises(LookupsError, match="position"):
            make("gpt2").summed_heads(NEURONS, TEXT, position=999)
