"""Why a token, inputs of a neuron and one edge cut through the Explorer: places, refusals, the cache."""

# ruff: noqa: F401, F811 - fixtures

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from tests.test_explorer_analysis import TEXTS, explorer, home, no_model
from tui_lookups.errors import BadIdError, LookupsError, UnknownTokenError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Contributions
from tui_lookups.storage import codec

pytestmark = pytest.mark.usefixtures("once_loaded")

TEXT = "the cat sat because"
NEURON = NeuronId(2, 7)


def closes(found: Contributions) -> bool:
    return abs(found.remainder) <= 1e-4 * (abs(found.target) + sum(abs(h.contribution) for h in found.heads))


class TestWhy:
    def test_a_text_is_answered_once_and_then_without_the_model(self, explorer, no_model) -> None:
        first: Explorer = explorer()
        found = first.why(TEXT, top=5)
        assert found.position == len(found.tokens) - 1
        assert "".join(token.text for token in found.tokens[1:]) == TEXT
        assert found.token == found.predictions[0].token
        assert found.probability == found.predictions[0].probability
        assert len(found.contributions.neurons) == 5
        assert len(found.contributions.heads) == 3 * 4
        assert [layer.layer for layer in found.layers] == [0, 1, 2]
        assert closes(found.contributions)
        assert (found.foil, found.foil_probability, found.soft_cap) == (None, None, None)
        no_model()
        assert explorer().why(TEXT, top=5) == found
        assert codec.from_json_bytes(type(found), codec.to_json_bytes(found)) == found

    def test_tokens_are_named_by_text_or_id_and_make_another_answer(self, explorer) -> None:
        asked: Explorer = explorer()
        first = asked.why(TEXT)
        token, foil = first.predictions[1].token, first.predictions[2].token
        found = asked.why(TEXT, token=token.id, foil=foil.id)
        assert (found.token, found.foil) == (token, foil)
        assert found.foil_probability == pytest.approx(first.predictions[2].probability)
        assert found.contributions.target == pytest.approx(
            np.log(found.probability) - np.log(found.foil_probability), abs=1e-4
        )
        assert asked.why(TEXT, token=f"#{token.id}", foil=f"#{foil.id}") == found
        with pytest.raises(UnknownTokenError):
            asked.why(TEXT, token=" nosuchtoken")

    def test_a_prompt_of_the_corpus_at_any_position(self, explorer) -> None:
        asked: Explorer = explorer()
        found = asked.why(prompt_id=3, position=2)
        assert found.position == 2
        assert found.provenance.corpus is not None
        listed = asked.predictions(3, 2, top=10).at(2)
        assert listed is not None
        assert [p.token for p in listed.top] == [p.token for p in found.predictions]
        assert [p.probability for p in listed.top] == pytest.approx(
            [p.probability for p in found.predictions], rel=1e-4
        )

    @pytest.mark.parametrize(
        ("question", "said"),
        [
            ({"text": TEXT, "prompt_id": 1}, "of a text or of a prompt"),
            ({}, "of a text or of a prompt"),
            ({"text": ""}, "The text is empty"),
            ({"text": TEXT, "position": 99}, "no position 99"),
            ({"text": TEXT, "position": -1}, "no position -1"),
            ({"prompt_id": 9999}, "no prompt #9999"),
            ({"text": "cat " * 90}, "reads at most 48"),
            ({"text": TEXT, "top": 0}, "top cannot be 0"),
            ({"text": TEXT, "token": 5, "foil": 5}, "no foil of itself"),
        ],
    )
    def test_what_cannot_be_answered(self, explorer, question, said: str) -> None:
        with pytest.raises(LookupsError, match=said):
            explorer().why(**question)

    def test_a_text_as_long_as_the_context_not_only_as_a_window(self, explorer) -> None:
        asked: Explorer = explorer("llama")
        text = "cat"
        while len(asked.why(text, top=1).tokens) < asked.model_info().n_ctx:
            text += " cat" * max(1, (asked.model_info().n_ctx - len(asked.why(text, top=1).tokens)) // 4)
        assert len(asked.why(text, top=1).tokens) == asked.model_info().n_ctx > asked.settings.window

    def test_nothing_closes_in_the_raw_basis(self, explorer) -> None:
        raw: Explorer = explorer(raw_weights=True)
        for ask in (
            lambda: raw.why(TEXT),
            lambda: raw.removed(NEURON, TEXT),
            lambda: raw.inputs(NEURON, text=TEXT),
            lambda: raw.inputs_overview(NEURON),
            lambda: raw.cut_edge(NEURON, HeadId(0, 0), text=TEXT),
        ):
            with pytest.raises(UnsupportedModelError, match="folded weights"):
                ask()

    def test_a_soft_cap_is_named(self, explorer) -> None:
        assert explorer("gemma2").why(TEXT, top=1).soft_cap == 25.0


class TestRemoved:
    def test_zero_and_mean_of_a_head_and_of_a_neuron(self, explorer, no_model) -> None:
        asked: Explorer = explorer()
        why = asked.why(TEXT, top=200)
        direct = {row.neuron: row.contribution for row in why.contributions.neurons}
        direct |= {row.head: row.contribution for row in why.contributions.heads}
        found = {}
        for component in (HeadId(1, 2), NEURON):
            for method in ("zero", "mean"):
                answer = found[component, method] = asked.removed(component, TEXT, method=method)
                assert (answer.component, answer.method) == (component, method)
                assert answer.direct == pytest.approx(direct[component], rel=1e-5)
                assert answer.probability == pytest.approx(why.probability, rel=1e-5)
                assert answer.provenance.parameters["token"] == why.token.id
                assert answer.provenance.parameters["sample"] == (24 if method == "mean" else 0)
            zero, mean = found[component, "zero"], found[component, "mean"]
            assert zero.probability_without != mean.probability_without != zero.probability
        no_model()
        again: Explorer = explorer()
        assert again.removed(NEURON, TEXT, method="mean") == found[NEURON, "mean"]
        assert codec.from_json_bytes(type(zero), codec.to_json_bytes(zero)) == zero

    def test_the_mean_is_that_of_the_corpus(self, explorer, home) -> None:
        """Of a neuron: over every position but the first of each prompt, which the index has too."""
        asked: Explorer = explorer()
        asked.removed(NEURON, TEXT, method="mean")
        from tui_lookups.answering.corpus_means import corpus_means

        engine = asked._engine
        means, drawn = corpus_means(engine, engine.on_model, "post", engine.conventions())
        assert (drawn, means.shape) == (2 * len(TEXTS), (3, 40))
        stats = asked.prompts(NEURON).stats
        assert means[NEURON.layer, NEURON.index] == pytest.approx(stats.mean, rel=1e-4)

    def test_what_cannot_be_removed(self, explorer) -> None:
        with pytest.raises(BadIdError):
            explorer().removed(HeadId(9, 0), TEXT)
        with pytest.raises(LookupsError, match="method cannot be 'resample'"):
            explorer().removed(NEURON, TEXT, method="resample")


class TestInputs:
    def test_at_the_peak_of_a_prompt_and_of_a_text_as_heads_are(self, explorer, no_model) -> None:
        asked: Explorer = explorer()
        answers = {}
        for trimmed in (False, True):
            for place in ({"prompt": 2}, {"text": TEXT}):
                found = asked.inputs(NEURON, trimmed=trimmed, top=4, **place)
                heads = asked.heads(NEURON, trimmed=trimmed, **place)
                answers[trimmed, *place] = found
                for field in fields(found):
                    if hasattr(heads, field.name) and field.name != "provenance":
                        assert getattr(found, field.name) == pytest.approx(getattr(heads, field.name)) or (
                            getattr(found, field.name) == getattr(heads, field.name)
                        )
                parts = found.contributions
                assert [row.head for row in parts.heads] == [row.head for row in heads.heads]
                assert [row.contribution for row in parts.heads] == pytest.approx(
                    [row.attribution for row in heads.heads], abs=1e-5
                )
                mlps = sum(parts.neurons_by_layer) + parts.other.mlp_biases
                assert mlps == pytest.approx(heads.other.mlps, abs=1e-5)
                assert len(parts.neurons_by_layer) == NEURON.layer
                assert closes(parts)
        no_model()
        again: Explorer = explorer()
        known = answers[True, "prompt"]
        assert again.inputs(NEURON, trimmed=True, top=4, prompt=2) == known
        assert again.cached_inputs(NEURON, trimmed=True, top=4, prompt_id=known.prompt_id) == known
        assert again.cached_inputs(NEURON, trimmed=True, top=5, prompt_id=known.prompt_id) is None

    def test_a_position_takes_the_place_of_the_peak(self, explorer) -> None:
        asked: Explorer = explorer()
        activations = asked.activations(NEURON, TEXT).activations
        for position in (1, 3):
            found = asked.inputs(NEURON, text=TEXT, position=position)
            assert found.position == position
            assert found.activation == pytest.approx(activations[position], rel=1e-4, abs=1e-6)
        of_prompt = asked.inputs(NEURON, prompt_id=5, position=2)
        assert (of_prompt.prompt_id, of_prompt.rank, of_prompt.position) == (5, None, 2)
        with pytest.raises(LookupsError, match="no position 77"):
            asked.inputs(NEURON, text=TEXT, position=77)

    def test_over_all_prompts_it_is_their_mean(self, explorer, no_model) -> None:
        for name in ("gpt2", "llama"):
            asked: Explorer = explorer(name)
            found = asked.inputs_overview(NEURON, top=100)
            prompts = asked.prompts(NEURON).prompts
            assert found.prompts == len(prompts) > 3
            each = [asked.inputs(NEURON, prompt=prompt.rank, top=100) for prompt in prompts]
            signed = [
                {row.neuron: prompt.sign * row.contribution for row in answer.contributions.neurons}
                for prompt, answer in zip(prompts, each, strict=True)
            ]
            for row in found.neurons:
                values = [contributions[row.neuron] for contributions in signed]
                assert row.mean_contribution == pytest.approx(np.mean(values), abs=1e-5)
                active = [
                    value > np.mean(list(s.values())) + 2 * np.std(list(s.values()), ddof=1)
                    for value, s in zip(values, signed, strict=True)
                ]
                assert row.active_fraction == pytest.approx(np.mean(active))
            sizes = [abs(row.mean_contribution) for row in found.neurons]
            assert sizes == sorted(sizes, reverse=True)
            assert len(found.by_layer) == NEURON.layer
            assert sum(found.by_layer) == pytest.approx(
                sum(r.mean_contribution for r in found.neurons), abs=1e-4
            )
        no_model()
        assert explorer("llama").inputs_overview(NEURON, top=100) == found


class TestEdge:
    def test_it_is_cut_at_the_same_place_and_kept(self, explorer, no_model) -> None:
        asked: Explorer = explorer()
        inputs = asked.inputs(NEURON, text=TEXT)
        answers = []
        for component in (HeadId(1, 2), inputs.contributions.neurons[0].neuron):
            found = asked.cut_edge(NEURON, component, text=TEXT)
            assert (found.position, found.target) == (inputs.position, inputs.target)
            assert found.held == pytest.approx(found.target.value - found.contribution)
            assert codec.from_json_bytes(type(found), codec.to_json_bytes(found)) == found
            answers.append((component, found))
        no_model()
        for component, found in answers:
            assert explorer().cut_edge(NEURON, component, text=TEXT) == found

    @pytest.mark.parametrize("component", [NeuronId(2, 1), HeadId(2, 1)])
    def test_what_does_not_reach_is_refused_before_anything_is_run(
        self, explorer, no_model, component
    ) -> None:
        asked: Explorer = explorer("gptj")
        asked.model_info()
        no_model()
        with pytest.raises(LookupsError, match=f"{component} does not reach L2.N7"):
            asked.cut_edge(NEURON, component, text=TEXT)
