"""Ablation against the Hugging Face model with a head's slice of z overwritten, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.reference_compatibility import folded
from tests.weights import unembedding_of
from tui_lookups.analysis.ablation import (
    Case,
    ablate_head,
    aligned,
    draw_donors,
    mean_over,
    summarise,
)
from tui_lookups.analysis.activity import active_heads
from tui_lookups.analysis.attribution import decompose
from tui_lookups.errors import BadIdError, Cancelled, LookupsError, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import neuron_reader
from tui_lookups.model.points import Point
from tui_lookups.results import AblatedPrompt, Token

MODELS = ["gpt2", "llama", "opt", "gpt_neox_parallel", "gemma2", "qwen3"]
LENGTHS = ((14, 9), (20, 19), (7, 3), (12, 8))  # (length of the row, its peak)


def cases_of(seed: int = 0, signs: tuple[int, ...] = (1, 1, 1, 1)) -> list[Case]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Case(
            rank,
            100 + rank,
            tuple(torch.randint(3, 290, (length,), generator=generator).tolist()),
            peak,
            sign,
        )
        for rank, ((length, peak), sign) in enumerate(zip(LENGTHS, signs, strict=True), 1)
    ]


def head_for(model, neuron: NeuronId) -> HeadId:
    return HeadId(model.info.last_head_layer(neuron.layer), 2)


class HuggingFace:
    """z of a head, and forward passes with it overwritten, on the Hugging Face model alone.

    z there holds the value biases (and the norm's bias through W_V); in compatibility mode they are part
    of the attention output bias. So "zero" is the slice set to that constant, which is zero without them.
    """

    def __init__(self, reference, head: HeadId) -> None:
        self._reference, self._head = reference, head
        self._out = reference.part(head.layer, reference.names.attention_out)
        self.constant = self._slice(reference._constant_z(head.layer))

    def _slice(self, z: torch.Tensor) -> torch.Tensor:
        width = z.shape[-1] // self._reference.n_heads
        return z[..., self._head.index * width : (self._head.index + 1) * width]

    @cache  # noqa: B019 - as long as the tests of this module
    def z(self, row: tuple[int, ...]) -> torch.Tensor:
        """[positions, d_head], constant included."""
        kept, _ = self._reference.capture(torch.tensor([row]), {"z": (self._out, "in")})
        return self._slice(kept["z"][0])

    @cache  # noqa: B019 - likewise
    def untouched(self, case: Case, neuron: NeuronId) -> tuple[float, torch.Tensor]:
        """Activation and probabilities with nothing overwritten."""
        return self.run(case, neuron, None, 0)

    def run(
        self, case: Case, neuron: NeuronId, values: torch.Tensor | None, start: int
    ) -> tuple[float, torch.Tensor]:
        """Activation at the peak and the probabilities there, with z[start..peak] overwritten by `values`."""
        down = self._reference.part(neuron.layer, self._reference.names.down)

        def overwrite(z: torch.Tensor) -> torch.Tensor:
            edited = z.clone()
            self._slice(edited)[0, start : case.position + 1] = values
            return edited

        edits = () if values is None else ((self._out, overwrite),)
        kept, output = self._reference.capture(torch.tensor([case.ids]), {"a": (down, "in")}, edits)
        return float(kept["a"][0, case.position, neuron.index]), output.logits[0, case.position].softmax(-1)


@pytest.fixture(scope="module")
def plain_model(reference) -> Callable[[str, HeadId], HuggingFace]:
    """plain_model(family, head): made once, with what it has run unchanged."""
    return cache(lambda name, head: HuggingFace(reference(name), head))


@pytest.mark.parametrize("positions", ["peak", "all"])
@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
@pytest.mark.parametrize("name", MODELS)
def test_equals_the_hugging_face_model_with_the_slice_overwritten(
    tiny_model, plain_model, name: str, method, positions
) -> None:
    model = tiny_model(name, "float64")
    neuron = NeuronId(model.info.n_layers - 1, 3)
    cases = cases_of(signs=(1, -1, 1, 1))
    mine = (model.W_out(neuron.layer)[neuron.index] @ unembedding_of(model)).numpy()
    for head in (HeadId(0, 1), head_for(model, neuron)):
        plain = plain_model(name, head)
        z = [plain.z(case.ids) for case in cases]
        mean = found_mean = None
        if method == "mean":
            corpus = [case.ids for case in cases_of(9)]
            mean = torch.cat([plain.z(row)[1:] for row in corpus]).mean(0)
            found_mean = mean_over(model, corpus, head.layer)[head.layer, head.index]
        found = ablate_head(
            model,
            neuron,
            head,
            cases,
            method=method,
            positions=positions,
            rule="2sd",
            mean=found_mean,
            seed=3,
        )
        donors = draw_donors([case.prompt_id for case in cases], 3)
        for place, (case, row) in enumerate(zip(cases, found, strict=True)):
            start = 0 if positions == "all" else case.position
            if method == "resample":
                donor = donors[place]
                values = z[donor][aligned(start, case.position, cases[donor].position)]
                assert row.donor == cases[donor].prompt_id != row.prompt_id
            else:
                values = plain.constant if method == "zero" else mean
                assert row.donor is None
            before, p_before = plain.untouched(case, neuron)
            after, p_after = plain.run(case, neuron, values, start)
            token = int(mine.argmax() if case.sign > 0 else mine.argmin())
            assert row.token.id == token
            assert row.activation_before == pytest.approx(before, rel=1e-5, abs=1e-6)
            assert row.activation_after == pytest.approx(after, rel=1e-5, abs=1e-6)
            assert row.probability_before == pytest.approx(float(p_before[token]), rel=1e-4)
            assert row.probability_after == pytest.approx(float(p_after[token]), rel=1e-4)
            assert abs(after - before) > 1e-4, "the ablation is meant to do something"


@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt_neox_parallel", "gptj", "phi"])
def test_zero_at_all_positions_is_the_papers_zeroed_values(tiny_model, tiny_folder, name: str) -> None:
    """The authors zero a head's values in compatibility mode; with values of its own, that is its z."""
    model = tiny_model(name, "float64")
    neuron = NeuronId(model.info.n_layers - 1, 3)
    for head in (HeadId(0, 1), head_for(model, neuron)):
        for case in cases_of():
            row = ablate_head(model, neuron, head, [case], method="zero", positions="all", rule="2sd")[0]
            kept = {}

            def zero_values(values: torch.Tensor, hook: Any, head: HeadId = head) -> torch.Tensor:
                changed = values.clone()
                changed[:, :, head.index] = 0
                return changed

            def keep(activation: torch.Tensor, hook: Any, kept: dict[str, torch.Tensor] = kept) -> None:
                kept["a"] = activation.clone()

            folded(tiny_folder(name)).bridge.run_with_hooks(
                torch.tensor([case.ids]),
                return_type=None,
                fwd_hooks=[
                    (f"blocks.{head.layer}.attn.hook_v", zero_values),
                    (f"blocks.{neuron.layer}.mlp.hook_post", keep),
                ],
            )
            zeroed = float(kept["a"][0, case.position, neuron.index])
            # GPT-J's attention runs in float32 inside transformers.
            assert row.activation_after == pytest.approx(zeroed, rel=1e-6, abs=1e-7)
            assert abs(row.activation_before - zeroed) > 1e-5, "the head is meant to matter"


def test_an_own_layer_head_moves_a_plain_neuron_as_attributed(tiny_model) -> None:
    """Nothing lies between: up to the norm's scale the total effect is the direct one."""
    model, neuron, head = tiny_model("gpt2", "float64"), NeuronId(1, 3), HeadId(1, 2)
    pre: dict[bool, float] = {}
    case = cases_of()[0]
    direct = decompose(model, neuron, [case.ids], [case.position])[0].heads[1, 2]
    scale: dict[bool, float] = {}
    for cut in (False, True):

        def zero(z: torch.Tensor) -> torch.Tensor:
            edited = z.clone()
            edited[0, case.position, head.index] = 0
            return edited

        hooks = {
            Point("pre", 1): lambda v, cut=cut: pre.__setitem__(cut, float(v[0, case.position, 3])),
            Point("ln2", 1): lambda v, cut=cut: scale.__setitem__(cut, float(v[0, case.position, 0])),
        }
        if cut:
            hooks[Point("z", 1)] = zero
        model.run(model.batch([case.ids]), hooks, stop_after=1)
    bias = float(neuron_reader(model, neuron).constants[0])
    moved = (pre[False] - bias) * scale[False] - (pre[True] - bias) * scale[True]
    assert moved == pytest.approx(direct * scale[False], rel=1e-8)


@pytest.mark.parametrize("rule", ["2sd", "top3"])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_active_is_the_rule_of_attribution_in_the_direction_of_firing(tiny_model, rule, preset) -> None:
    model, cases, seen = tiny_model("llama", "float64"), cases_of(2, (1, -1, -1, 1)), set()
    heads = [HeadId(layer, index) for layer in (0, 1) for index in range(4)]
    for neuron in (NeuronId(2, 3), NeuronId(2, 7), NeuronId(2, 12), NeuronId(2, 20)):
        direct = decompose(model, neuron, [c.ids for c in cases], [c.position for c in cases], preset=preset)
        masks = [
            active_heads(case.sign * found.heads.ravel(), rule)[0].reshape(found.heads.shape)
            for case, found in zip(cases, direct, strict=True)
        ]
        for head in heads:
            rows = ablate_head(
                model, neuron, head, cases, method="zero", positions="peak", rule=rule, preset=preset
            )
            for row, found, mask in zip(rows, direct, masks, strict=True):
                assert row.active == bool(mask[head.layer, head.index])
                assert row.attribution == pytest.approx(found.heads[head.layer, head.index])
                seen.add(row.active)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("name", "neuron", "head", "preset", "error", "says"),
    [
        ("gpt2", NeuronId(1, 0), HeadId(2, 0), "default", LookupsError, "does not reach"),
        ("gpt_neox_parallel", NeuronId(1, 0), HeadId(1, 0), "default", LookupsError, "does not reach"),
        ("gpt_neox_parallel", NeuronId(0, 0), HeadId(0, 0), "default", LookupsError, "does not reach"),
        ("gpt2", NeuronId(1, 0), HeadId(1, 0), "paper", LookupsError, "own layer"),
        ("gpt2", NeuronId(1, 0), HeadId(0, 4), "default", BadIdError, "no head"),
        ("gpt2", NeuronId(1, 40), HeadId(0, 0), "default", BadIdError, "no neuron"),
    ],
)
def test_what_is_refused(tiny_model, name, neuron, head, preset, error, says) -> None:
    with pytest.raises(error, match=says):
        ablate_head(
            tiny_model(name),
            neuron,
            head,
            cases_of(),
            method="zero",
            positions="peak",
            rule="2sd",
            preset=preset,
        )


def test_the_raw_basis_is_refused(tiny_model) -> None:
    raw = tiny_model("gpt2", folded=False)
    with pytest.raises(UnsupportedModelError, match="folded"):
        ablate_head(
            raw, NeuronId(1, 0), HeadId(0, 0), cases_of(), method="zero", positions="peak", rule="2sd"
        )


def test_it_can_be_interrupted(tiny_model) -> None:
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1
        if polls == 9:
            raise Cancelled

    with pytest.raises(Cancelled):
        ablate_head(
            tiny_model("gpt2"), NeuronId(2, 0), HeadId(0, 0), cases_of(),
            method="resample", positions="all", rule="2sd", poll=poll,
        )  # fmt: skip


def test_no_prompts_no_rows(tiny_model) -> None:
    for method in ("zero", "resample"):
        found = ablate_head(
            tiny_model("gpt2"), NeuronId(2, 0), HeadId(0, 0), [], method=method, positions="peak", rule="2sd"
        )
        assert found == ()
    summary = summarise([])
    assert (summary.every.prompts, summary.every.mean_probability_drop) == (0, None)
    assert summary.activation_distance is None


def test_mean_leaves_out_position_0_and_padding(tiny_model) -> None:
    model = tiny_model("gpt2", "float64")
    rows = [case.ids for case in cases_of(4)]
    found = mean_over(model, rows, 1)
    total, count = np.zeros(found.shape), 0
    for row in rows:
        kept: dict[int, torch.Tensor] = {}
        hooks = {
            Point("z", layer): lambda z, layer=layer, kept=kept: kept.__setitem__(layer, z.clone())
            for layer in (0, 1)
        }
        model.run(model.batch([row]), hooks, stop_after=1)
        for position in range(1, len(row)):
            total += np.stack([kept[layer][0, position].numpy() for layer in (0, 1)])
            count += 1
    assert found == pytest.approx(total / count, rel=1e-9)
    with pytest.raises(LookupsError, match="no position"):
        mean_over(model, [[5]], 1)


def test_donors_are_others_fixed_by_the_seed() -> None:
    ids = list(range(40, 60))
    drawn = draw_donors(ids, 1)
    assert all(donor != place for place, donor in enumerate(drawn))
    assert drawn == draw_donors(ids, 1) != draw_donors(ids, 2)
    assert draw_donors([7, 8], 5) == [1, 0]
    assert draw_donors([], 0) == []
    with pytest.raises(LookupsError, match="only one"):
        draw_donors([7], 0)


@pytest.mark.parametrize(
    ("start", "peak", "donor_peak", "expected"),
    [
        (4, 4, 2, [2]),
        (0, 3, 3, [0, 1, 2, 3]),
        (0, 2, 5, [0, 4, 5]),
        (0, 4, 2, [0, 1, 1, 1, 2]),
        (0, 2, 0, [0, 0, 0]),
    ],
)
def test_donors_are_aligned_at_the_peaks(start: int, peak: int, donor_peak: int, expected: list[int]) -> None:
    assert aligned(start, peak, donor_peak) == expected


# --- summaries ---


def row(active: bool, activations: tuple[float, float], probabilities: tuple[float, float], sign: int = 1):
    return AblatedPrompt(1, 1, sign, 3, active, 0.5, Token(1, " a"), *activations, *probabilities, donor=None)


def test_summary_on_a_hand_made_example() -> None:
    rows = [
        row(True, (3.0, 1.0), (0.5, 0.1)),
        row(True, (-2.0, -1.5), (0.25, 0.05), sign=-1),
        row(False, (1.0, 1.5), (0.2, 0.3)),
    ]
    summary = summarise(rows)
    assert summary.active.prompts == 2
    assert summary.active.mean_activation_change == pytest.approx((-2.0 - 0.5) / 2)
    assert summary.active.mean_probability_drop == pytest.approx((0.4 + 0.2) / 2)
    assert summary.inactive.mean_activation_change == pytest.approx(0.5)
    assert summary.inactive.mean_probability_drop == pytest.approx(-0.1)
    assert summary.every.prompts == 3
    assert summary.every.mean_probability_drop == pytest.approx(0.5 / 3)
    assert summary.probability_distance is not None
    assert summary.probability_distance.statistic == 1.0
    one_sided = summarise(rows[:2])
    assert one_sided.probability_distance is None
    assert one_sided.inactive.mean_probability_drop is None
