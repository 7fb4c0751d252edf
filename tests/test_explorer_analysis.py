"""Atlas, ablation, figures at the peak, random prompts and the raw basis through the Explorer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference_raw import RawGPT2, RawLlama
from tui_lookups.errors import LookupsError, UnknownTokenError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

TEXTS = [
    "the cat sat because the mat", "and the cat and the mat sat", "because because the cat",
    "a mat, a cat and a hat", "sat the cat on the mat?", "no cat sat there because of rain",
    "what the cat saw and what the mat knew", "the the the and and", "cats and mats", "because it rained",
    "mat cat sat mat cat sat", "and so because of the cat they sat",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and a cache that the module's explorers share."""
    folder = tmp_path_factory.mktemp("explorers")
    (folder / "texts.txt").write_text("\n\n".join(TEXTS * 2), encoding="utf-8")
    return folder


@pytest.fixture
def explorer(home: Path, tiny_folder: Callable[[str], Path]) -> Iterator[Callable[..., Explorer]]:
    made: list[Explorer] = []

    def make(name: str = "gpt2", **settings: Any) -> Explorer:
        flags = {"model": str(tiny_folder(name)), "corpus": str(home / "texts.txt"), "device": "cpu"}
        shared = {"cache_dir": str(home / "cache"), "top": 6, "window": 24}
        made.append(Explorer(load_settings(**{**flags, **shared, **settings})))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it: from then on whatever needs the model fails."""

    def forbid() -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("this needed the model")

        monkeypatch.setattr("tui_lookups.answering.engine.Engine.on_model", refuse)

    return forbid


class TestAtlas:
    def test_equals_weights_folded_by_hand(self, explorer, tiny_folder) -> None:
        raw = RawGPT2(tiny_folder("gpt2"))
        found = explorer().atlas(per_layer=4)
        texts = explorer()._engine.vocabulary().texts
        counts = np.zeros(explorer().model_info().d_vocab, bool)  # rows without a token never count
        counts[: len(texts)] = np.array([text.startswith(" ") and len(text.strip()) > 1 for text in texts])
        assert found.tokens == counts.sum() > 3
        best = []
        for layer in found.layers:
            scores = raw.congruence(layer.layer)
            top = scores.argmax(1)
            order = [i for i in np.argsort(-scores.max(1)) if counts[top[i]]][:4]
            assert [row.neuron for row in layer.neurons] == [NeuronId(layer.layer, int(i)) for i in order]
            assert [row.top_token.id for row in layer.neurons] == top[order].tolist()
            assert [row.top_token.text for row in layer.neurons] == [texts[t] for t in top[order]]
            expected = scores.max(1)[order].tolist()
            assert [row.top_congruence for row in layer.neurons] == pytest.approx(expected, rel=1e-4)
            best.append(scores.max(0)[counts])
        homes = np.stack(best).argmax(0)
        assert [row.best_of_tokens for row in found.layers] == np.bincount(homes, minlength=3).tolist()
        assert (found.basis, found.sign, found.rejected) == ("folded", "+", ())

    def test_other_filters_counts_and_signs_need_no_model(self, explorer, no_model) -> None:
        before = explorer().atlas(per_layer=30)
        no_model()
        again = explorer()
        assert again.atlas(per_layer=30) == before
        rejected = next(layer.neurons[0].top_token for layer in before.layers if layer.neurons)
        found = again.atlas(per_layer=30, reject=[rejected.text, f"#{rejected.id}"])
        assert found.rejected == (rejected,)
        assert found.tokens == before.tokens - 1
        kept = [[row for row in layer.neurons if row.top_token != rejected] for layer in before.layers]
        assert [list(layer.neurons) for layer in found.layers] == kept
        negative = again.atlas(per_layer=5, sign="-")
        assert all(row.top_congruence < 0 for layer in negative.layers for row in layer.neurons)
        assert explorer(sign="-").atlas(per_layer=5) == negative
        assert [layer.layer for layer in explorer(layers=(2,)).atlas().layers] == [2]

    def test_a_gated_model_is_ranked_by_congruence_too(self, explorer) -> None:
        found = explorer("llama").atlas(per_layer=3)
        assert found.sign == "+"
        assert all(row.top_congruence > 0 for layer in found.layers for row in layer.neurons)

    def test_an_unknown_reject_is_an_error(self, explorer) -> None:
        with pytest.raises(UnknownTokenError):
            explorer().atlas(reject=[" nosuchtoken"])

    def test_bases_do_not_mix_in_the_cache(self, explorer) -> None:
        folded, raw = explorer().atlas(per_layer=9), explorer(raw_weights=True).atlas(per_layer=9)
        assert (raw.basis, raw.provenance.basis) == ("raw", "raw")
        assert [x.neurons for x in raw.layers] != [x.neurons for x in folded.layers]

    def test_it_helps_to_find_next_token_neurons(self, explorer, monkeypatch) -> None:
        """The same answer with the atlas and without it, and with it far fewer neurons are looked at."""
        from tui_lookups.analysis import congruence

        looked: list[int] = []
        plain = congruence._score_rows

        def count(model, neurons, token_id, **more):
            looked.append(len(neurons))
            return plain(model, neurons, token_id, **more)

        monkeypatch.setattr(congruence, "_score_rows", count)
        token = next(layer.neurons[0].top_token.id for layer in explorer().atlas().layers if layer.neurons)
        with_atlas = explorer().neurons(token, top=50, next_token_only=True).neurons
        few = sum(looked)
        looked.clear()
        bare = explorer(cache_dir=str(explorer().settings.cache_dir) + "-bare")
        assert bare.neurons(token, top=50, next_token_only=True).neurons == with_atlas
        assert 0 < few < sum(looked)
        assert {row.top_token.id for row in with_atlas} == {token}


class TestAblation:
    def test_before_is_what_the_prompts_say_and_the_answer_is_kept(self, explorer, no_model) -> None:
        neuron, head = NeuronId(2, 7), HeadId(1, 2)
        first = explorer()
        shown = first.prompts(neuron, top=6)
        answers = {}
        for method in ("zero", "mean", "resample"):
            for positions in ("peak", "all"):
                answers[method, positions] = first.ablate(neuron, head, method=method, positions=positions)
        for (method, positions), found in answers.items():
            assert (found.method, found.positions, found.context) == (method, positions, "full")
            assert [row.prompt_id for row in found.prompts] == [p.prompt_id for p in shown.prompts]
            assert [row.activation_before for row in found.prompts] == pytest.approx(
                [prompt.peak.activation for prompt in shown.prompts], rel=1e-4
            )
            assert {row.token for row in found.prompts} == {shown.top_token}
            assert found.sample == (first.corpus_info().prompts if method == "mean" else 0)
            actives = [heads.active for heads in self._heads(first, neuron, head)]
            assert [row.active for row in found.prompts] == actives
            assert found.summary.active.prompts == sum(actives)
            assert found.provenance.parameters["seed"] == 0
        changes = {key: [row.activation_after for row in found.prompts] for key, found in answers.items()}
        assert len({tuple(values) for values in changes.values()}) == 6
        no_model()
        again = explorer()
        for (method, positions), found in answers.items():
            assert again.ablate(neuron, head, method=method, positions=positions) == found

    def test_on_a_text_it_is_what_it_is_on_the_prompt_of_that_text(self, explorer, no_model) -> None:
        neuron, head = NeuronId(2, 7), HeadId(1, 2)
        first = explorer()
        prompt = first.prompts(neuron, top=6).prompts[0]
        text = "".join(token.text for token in prompt.tokens[1:])
        assert first.activations(neuron, text).tokens == prompt.tokens
        for method in ("zero", "mean"):
            there = first.ablate(neuron, head, method=method).prompts[0]
            found = first.ablate(neuron, head, method=method, text=text)
            (here,) = found.prompts
            assert (found.context, here.rank, here.prompt_id) == ("text", None, None)
            assert (here.position, here.sign, here.token) == (there.position, there.sign, there.token)
            assert here.activation_after == pytest.approx(there.activation_after, rel=1e-4)
            assert here.probability_after == pytest.approx(there.probability_after, rel=1e-4)
            with pytest.raises(ValueError, match="cannot be marked"):
                _ = found.marked
        with pytest.raises(LookupsError, match="text given by hand"):
            first.ablate(neuron, head, method="resample", text=text)
        no_model()
        assert explorer().ablate(neuron, head, method="mean", text=text) == found

    @staticmethod
    def _heads(explorer: Explorer, neuron: NeuronId, head: HeadId) -> list[Any]:
        every = [explorer.heads(neuron, prompt=rank).heads for rank in range(1, 7)]
        return [next(row for row in rows if row.head == head) for rows in every]

    def test_the_seed_decides_what_is_drawn(self, explorer) -> None:
        neuron, head = NeuronId(2, 7), HeadId(1, 2)
        drawn = [explorer(seed=seed).ablate(neuron, head, method="resample") for seed in (0, 1)]
        assert [row.donor for row in drawn[0].prompts] != [row.donor for row in drawn[1].prompts]
        assert all(row.donor != row.prompt_id for found in drawn for row in found.prompts)

    def test_preset_paper_zeroes_at_all_positions_of_the_trimmed_prompt(self, explorer) -> None:
        paper = explorer(preset="paper")
        found = paper.ablate(NeuronId(2, 7), HeadId(1, 2))
        assert (found.method, found.positions, found.context) == ("zero", "all", "trimmed")
        assert paper.ablate(NeuronId(2, 7), HeadId(1, 2), positions="peak").positions == "peak"
        with pytest.raises(LookupsError, match="own layer"):
            paper.ablate(NeuronId(2, 7), HeadId(2, 0))

    def test_a_gated_neuron_that_fires_negatively(self, explorer) -> None:
        found = explorer("llama").ablate(NeuronId(2, 7), HeadId(1, 2))
        signs = {row.sign for row in found.prompts}
        shown = explorer("llama").prompts(NeuronId(2, 7), top=6).prompts
        assert [row.sign for row in found.prompts] == [prompt.sign for prompt in shown]
        assert len({row.token for row in found.prompts}) == len(signs)

    def test_a_head_that_does_not_reach_is_refused(self, explorer) -> None:
        with pytest.raises(LookupsError, match="does not reach"):
            explorer().ablate(NeuronId(1, 7), HeadId(2, 0))


class TestFiguresAndSamples:
    def test_figures_go_with_the_prompts(self, explorer, no_model) -> None:
        neuron, first = NeuronId(2, 7), explorer()
        found = first.prompts_with_figures(neuron, top=5)
        plain = first.prompts(neuron, top=5)
        assert found.prompts == plain.prompts
        assert (found.kind, found.figures_note) == ("top", "")
        assert [row.prompt_id for row in found.figures] == [p.prompt_id for p in plain.prompts]
        assert [row.activation for row in found.figures] == pytest.approx(
            [prompt.peak.activation for prompt in plain.prompts], rel=1e-4
        )
        assert found.figures[0].congruence == pytest.approx(plain.top_congruence, rel=1e-5)
        assert [row.next_token for row in found.figures] == [p.peak.next_token for p in plain.prompts]
        asked = first.resolve_token(" cat").token
        figures = first.peak_figures(neuron, asked, top=5)
        assert {row.token for row in figures.prompts} == {asked} == {figures.token}
        no_model()
        assert explorer().prompts_with_figures(neuron, top=5) == found

    @pytest.mark.parametrize("kind", ["random", "deciles"])
    def test_sampled_prompts_are_what_the_neuron_does_elsewhere(self, explorer, no_model, kind) -> None:
        neuron, first = NeuronId(2, 7), explorer()
        found = first.sampled_prompts(neuron, kind, top=20)
        peaks = [prompt.peak.activation for prompt in found.prompts]
        assert peaks == sorted(peaks, reverse=kind == "random")
        assert len({prompt.prompt_id for prompt in found.prompts}) == len(peaks)
        assert len(peaks) == (20 if kind == "random" else 10)
        for prompt in found.prompts:
            assert prompt.peak.activation == max(prompt.activations[1:])
            assert prompt.peak.position > 0
            given = first.heads(neuron, prompt_id=prompt.prompt_id)
            assert given.activation == pytest.approx(prompt.peak.activation, rel=1e-4, abs=1e-5)
        figures = first.prompts_with_figures(neuron, kind=kind, top=20)
        assert (figures.kind, len(figures.figures)) == (kind, len(peaks))
        no_model()
        assert explorer().sampled_prompts(neuron, kind, top=20) == found

    def test_fewer_random_prompts_are_some_of_the_same_sample(self, explorer) -> None:
        many, few = (explorer().sampled_prompts(NeuronId(1, 3), "random", top=top) for top in (20, 6))
        assert len(few.prompts) == 6
        assert {p.prompt_id for p in few.prompts} < {p.prompt_id for p in many.prompts}


class TestRawBasis:
    @pytest.mark.parametrize(("name", "raw_class"), [("gpt2", RawGPT2), ("llama", RawLlama)])
    def test_congruence_is_that_of_the_files(self, explorer, tiny_folder, name: str, raw_class) -> None:
        from safetensors.numpy import load_file

        weights = load_file(tiny_folder(name) / "model.safetensors")
        if name == "gpt2":
            unembedding = weights.get("lm_head.weight", weights.get("transformer.wte.weight"))
            W_out = weights["transformer.h.1.mlp.c_proj.weight"]
        else:
            unembedding, W_out = weights["lm_head.weight"], weights["model.layers.1.mlp.down_proj.weight"].T
        expected = W_out.astype(np.float64) @ unembedding.astype(np.float64).T
        raw = explorer(name, raw_weights=True)
        for token in (9, 130):
            rows = raw.neurons(token, top=10_000, layers=(1,))
            assert (rows.basis, rows.provenance.basis) == ("raw", "raw")
            found = {row.index: row.congruence for row in rows.neurons}
            assert [found[i] for i in range(len(found))] == pytest.approx(
                expected[:, token].tolist(), rel=1e-4, abs=1e-5
            )
        tokens = raw.tokens(NeuronId(1, 4), top=5)
        assert tokens.basis == "raw"
        assert [row.id for row in tokens.tokens] == np.argsort(-expected[4])[:5].tolist()
        layer = explorer(name, raw_weights=True, layers=(1,)).atlas(per_layer=9).layers[0]
        for row in layer.neurons:
            assert row.top_congruence == pytest.approx(expected[row.neuron.index].max(), rel=1e-4)
        folded = explorer(name).neurons(9, top=10_000, layers=(1,)).neurons
        assert [row.neuron for row in folded] != [
            row.neuron for row in raw.neurons(9, top=10_000, layers=(1,)).neurons
        ]

    def test_heads_and_ablation_refuse_at_once_with_a_sentence(self, explorer, monkeypatch) -> None:
        raw = explorer(raw_weights=True, window=23)  # a corpus of its own: a scan would be needed

        def scanned(*_: object) -> None:
            raise AssertionError("nothing needs to be scanned to refuse")

        monkeypatch.setattr("tui_lookups.answering.scan_session.ScanSession.wait", scanned)
        for ask in (
            lambda: raw.heads(NeuronId(1, 0), prompt=1),
            lambda: raw.heads_overview(NeuronId(1, 0)),
            lambda: raw.ablate(NeuronId(1, 0), HeadId(0, 0)),
        ):
            with pytest.raises(UnsupportedModelError, match="raw basis") as caught:
                ask()
            assert "--raw-weights" in caught.value.hint

    def test_prompts_go_without_figures_and_say_why(self, explorer) -> None:
        found = explorer(raw_weights=True).prompts_with_figures(NeuronId(1, 3), top=3)
        assert found.provenance.basis == "raw"
        assert found.figures == ()
        assert "folded" in found.figures_note
        # What fires a neuron is the same in every basis.
        folded = explorer().prompts(NeuronId(1, 3), top=3)
        assert [p.prompt_id for p in found.prompts] == [p.prompt_id for p in folded.prompts]


class TestSign:
    def test_ranking_is_by_congruence_unless_asked_otherwise(self, explorer) -> None:
        for name in ("gpt2", "llama"):
            by = {sign: explorer(name, sign=sign).neurons(9, top=5) for sign in ("auto", "+", "-", "both")}
            assert [by[sign].sign for sign in by] == ["+", "+", "-", "both"]
            assert by["auto"].neurons == by["+"].neurons
            assert all(row.congruence < 0 for row in by["-"].neurons)
            values = [abs(row.congruence) for row in by["both"].neurons]
            assert values == sorted(values, reverse=True)
            assert explorer(name).neurons(9, top=5, sign="-").neurons == by["-"].neurons

    def test_firing_counts_both_ways_for_gated_models_only(self, explorer) -> None:
        neuron = NeuronId(2, 5)
        both, up, down = (explorer("llama", sign=sign).prompts(neuron, top=6) for sign in ("auto", "+", "-"))
        assert {prompt.sign for prompt in up.prompts} == {1}
        assert {prompt.sign for prompt in down.prompts} == {-1}
        assert [p.peak.activation for p in down.prompts] == sorted(p.peak.activation for p in down.prompts)
        merits = [prompt.sign * prompt.peak.activation for prompt in both.prompts]
        assert merits == sorted(merits, reverse=True)
        assert merits[0] == max(up.prompts[0].peak.activation, -down.prompts[0].peak.activation)
        assert {prompt.sign for prompt in explorer("gpt2").prompts(neuron, top=6).prompts} == {1}
        with pytest.raises(LookupsError, match="--sign"):
            explorer("gpt2", sign="-").prompts(neuron, top=6)


def test_the_reject_list_of_the_settings(explorer: Callable[..., Explorer], tmp_path: Path) -> None:
    whole = explorer().atlas(per_layer=5)
    first = whole.layers[0].neurons[0].top_token
    listed = tmp_path / "reject.txt"
    listed.write_text(f"#{first.id}\n", encoding="utf-8")
    sifted = explorer(atlas_reject=str(listed)).atlas(per_layer=5)
    assert [token.id for token in sifted.rejected] == [first.id]
    assert first not in [neuron.top_token for layer in sifted.layers for neuron in layer.neurons]
    assert explorer(atlas_reject=str(listed)).atlas(per_layer=5, reject=()) == whole
    with pytest.raises(LookupsError, match="cannot be read"):
        explorer(atlas_reject=str(tmp_path / "nowhere")).atlas()


def test_a_cached_atlas_imports_no_torch(explorer, home: Path, tiny_folder) -> None:
    explorer().atlas(per_layer=2)
    code = (
        "import json, sys\n"
        "from tui_lookups.explorer import Explorer\n"
        "from tui_lookups.settings import load_settings\n"
        f"flags = {json.dumps({'model': str(tiny_folder('gpt2')), 'cache_dir': str(home / 'cache')})}\n"
        "explorer = Explorer(load_settings(**flags))\n"
        "print(len(explorer.atlas(per_layer=2).layers), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, timeout=120, check=False
    )
    assert done.stdout == "3 False\n", done.stderr
