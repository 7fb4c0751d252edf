"""The files alone give what the loaded model gives, for every family that has a layout.

See method.md, section 2.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import ALIKE, EXPERTS, FURTHER, RECIPES, edit_config, edit_weights
from tui_lookups.analysis import layer_extremes as layer_extremes_module
from tui_lookups.analysis.congruence import neuron_tokens, rank_neurons, token_scores
from tui_lookups.analysis.layer_extremes import layer_extremes
from tui_lookups.errors import ModelLoadError, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.model.configuration import read_config
from tui_lookups.model.file_layouts import LAYOUTS
from tui_lookups.model.file_weights import FileWeights
from tui_lookups.model.loading import load_model
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tensor_files import NotInFilesError, TensorFiles
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.results import Basis

TOKENS = (7, 66, 301)


def opened(folder: Path, dtype: str = "float32", basis: Basis = "folded", name: str = "m") -> FileWeights:
    local = LocalModel(name, str(folder), folder, name)
    return FileWeights(local, read_config(folder, name), read_vocabulary(folder), dtype, basis)


def test_every_listed_family_has_a_layout() -> None:
    from tui_lookups.model.families import FAMILIES

    assert FAMILIES.keys() <= LAYOUTS.keys()


@pytest.mark.parametrize("name", [*RECIPES, "qwen2_moe"])
class TestEqualsTheLoadedModel:
    def test_scores(self, tiny_folder, tiny_model, name: str) -> None:
        for dtype, bound in (("float32", 1e-6), ("float64", 1e-12)):
            model, files = tiny_model(name, dtype), opened(tiny_folder(name), dtype)
            layers = range(model.info.n_layers)
            for token in TOKENS:
                expected = token_scores(model, token, layers)
                found = token_scores(files, token, layers)
                assert found.dtype == expected.dtype
                assert np.abs(found - expected).max() <= bound * np.abs(expected).max()

    def test_raw_basis(self, tiny_folder, tiny_model, name: str) -> None:
        model, files = tiny_model(name, folded=False), opened(tiny_folder(name), basis="raw")
        expected = token_scores(model, 66, range(model.info.n_layers))
        found = token_scores(files, 66, range(model.info.n_layers))
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()

    def test_what_neurons_write_in_any_order(self, tiny_folder, tiny_model, name: str) -> None:
        model, files = tiny_model(name, "float64"), opened(tiny_folder(name), "float64")
        every = [NeuronId(layer, i) for layer in (1, 0) for i in reversed(range(model.info.d_mlp))]
        for asked in (every, every[3:5]):
            assert np.allclose(files.directions(asked), model.directions(asked), rtol=1e-9, atol=1e-12)
        assert np.allclose(files.lengths(1), model.lengths(1), rtol=1e-9)

    @pytest.mark.parametrize("sign", ["+", "-", "both"])
    def test_rows(self, tiny_folder, tiny_model, name: str, sign) -> None:
        model, files = tiny_model(name, "float64"), opened(tiny_folder(name), "float64")
        layers = range(model.info.n_layers)
        expected = rank_neurons(model, 66, top=12, layers=layers, sign=sign)
        found = rank_neurons(files, 66, top=12, layers=layers, sign=sign)
        numbers = ("congruence", "cosine", "top_congruence")
        for mine, theirs in zip(found, expected, strict=True):
            assert {n: getattr(mine, n) for n in numbers} == pytest.approx(
                {n: getattr(theirs, n) for n in numbers}, rel=1e-9
            )
            assert replace(mine, **{n: getattr(theirs, n) for n in numbers}) == theirs

    def test_next_token_neurons_and_tokens(self, tiny_folder, tiny_model, name: str) -> None:
        model, files = tiny_model(name, "float64"), opened(tiny_folder(name), "float64")
        layers = range(model.info.n_layers)
        token = rank_neurons(model, 66, top=1, layers=layers)[0].top_token.id
        only = [rank_neurons(w, token, top=99, layers=layers, next_token_only=True) for w in (files, model)]
        assert [row.neuron for row in only[0]] == [row.neuron for row in only[1]]
        neuron = NeuronId(1, 5)
        for mine, theirs in zip(
            neuron_tokens(files, neuron, 9), neuron_tokens(model, neuron, 9), strict=True
        ):
            assert [t.id for t in mine] == [t.id for t in theirs]
            assert [t.congruence for t in mine] == pytest.approx([t.congruence for t in theirs], rel=1e-9)

    def test_extremes_of_a_layer(self, tiny_folder, tiny_model, monkeypatch, name: str) -> None:
        model, files = tiny_model(name, "float64"), opened(tiny_folder(name), "float64")
        expected = layer_extremes(model, 1)
        monkeypatch.setattr(layer_extremes_module, "_BLOCK_NUMBERS", 500)
        found = layer_extremes(files, 1)
        for field in fields(found):
            mine, theirs = getattr(found, field.name), getattr(expected, field.name)
            assert mine.dtype == theirs.dtype
            assert np.allclose(mine, theirs, rtol=1e-6, atol=1e-6), field.name

    def test_info(self, tiny_folder, tiny_model, name: str) -> None:
        info = tiny_model(name).info
        mine = opened(tiny_folder(name), name=name).info
        assert replace(mine, source=info.source) == info


LOADED = {"hyperclovax_without"}
"""Without a norm that its family's row names: left to the loaded model."""


@pytest.mark.parametrize("name", [name for name in (*FURTHER, *ALIKE, *EXPERTS) if name not in LOADED])
def test_further_families(tiny_folder, tiny_model, name: str) -> None:
    """Among them each way of scaling what is written, or the logits."""
    model, files = tiny_model(name), opened(tiny_folder(name), name=name)
    assert replace(files.info, source=model.info.source) == model.info
    for token in TOKENS:
        expected, found = token_scores(model, token, [0, 2]), token_scores(files, token, [0, 2])
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    assert np.allclose(files.lengths(1), model.lengths(1), rtol=1e-5)
    asked = [NeuronId(1, 5), NeuronId(1, 2)]
    found, expected = (w.congruences(w.directions(asked)) for w in (files, model))
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", LOADED)
def test_a_norm_that_is_not_there_is_left_to_the_loaded_model(tiny_folder, name: str) -> None:
    with pytest.raises(NotInFilesError, match="post_norm2"):
        opened(tiny_folder(name), name=name)


@pytest.mark.parametrize("name", ["cohere", "granite"])
def test_scales_count_in_the_raw_basis_too(tiny_folder, tiny_model, name: str) -> None:
    model, files = tiny_model(name, folded=False), opened(tiny_folder(name), basis="raw")
    expected, found = token_scores(model, 66, range(3)), token_scores(files, 66, range(3))
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    W_U = load_file(tiny_folder(name) / "model.safetensors")["lm_head.weight"].numpy()
    scale = {"cohere": 0.25, "granite": 1 / 8}[name]
    assert np.allclose(files.unembedding(66), W_U[66] * scale)


@pytest.mark.parametrize("name", ["gpt2", "olmo"])
def test_an_atlas_of_the_loaded_model_hides_no_neuron(tiny_folder, tiny_model, name: str) -> None:
    """In half precision, in which the two round at other places."""
    model, files = tiny_model(name, "bfloat16"), opened(tiny_folder(name), "bfloat16")
    layers = range(model.info.n_layers)
    extremes = [layer_extremes(model, layer) for layer in layers]
    for token in range(0, 320, 4):
        known, every = (
            rank_neurons(files, token, top=999, layers=layers, next_token_only=True, extremes=given)
            for given in (extremes, None)
        )
        assert [row.neuron for row in known] == [row.neuron for row in every]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_precision_files(tiny_folder, tmp_path: Path, dtype: str, stored: torch.dtype) -> None:
    """Values are those of the file, rounded to the format asked for, whatever they are stored in."""
    source = tiny_folder("llama")
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = {k: v.to(stored) for k, v in load_file(source / "model.safetensors").items()}
    save_file(tensors, tmp_path / "model.safetensors")
    for asked in ("float32", dtype):
        files = TensorFiles(sorted(tmp_path.glob("*.safetensors")), asked)
        for name, values in tensors.items():
            expected = values.to(getattr(torch, asked)).float().numpy()
            assert np.array_equal(files.rows(name), expected), name


def test_shards_and_blocks(tiny_folder, tmp_path: Path, monkeypatch) -> None:
    import transformers

    from tui_lookups.model import file_weights

    source = tiny_folder("gemma2")
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    expected = token_scores(opened(source), 66, range(3))
    monkeypatch.setattr(file_weights, "BLOCK_NUMBERS", 50)
    assert np.allclose(token_scores(opened(tmp_path), 66, range(3)), expected, rtol=1e-5, atol=1e-6)


def test_an_atlas_is_read_in_blocks(tiny_folder, monkeypatch) -> None:
    """Whether neurons are stored as rows or columns; the result is that of one block."""
    for name in ("gpt2", "llama"):
        files = opened(tiny_folder(name))
        whole = layer_extremes(files, 1)
        monkeypatch.setattr(layer_extremes_module, "_BLOCK_NUMBERS", 200)
        read: list[int] = []

        def watched(self, stored: str, raw: np.ndarray, *, read=read, convert=TensorFiles._as_numbers):
            read.append(raw.size)
            return convert(self, stored, raw)

        monkeypatch.setattr(TensorFiles, "_as_numbers", watched)
        found = layer_extremes(files, 1)
        monkeypatch.undo()
        assert max(read) <= 200
        assert sum(read) > 320 * 16
        for field in fields(found):
            assert np.allclose(getattr(found, field.name), getattr(whole, field.name), rtol=1e-5, atol=1e-6)


class TestWhatIsNotReadHere:
    def test_another_family(self, tmp_path: Path) -> None:
        with pytest.raises(NotInFilesError, match="read by loading it"):
            FileWeights(
                LocalModel("m", "", tmp_path, "m"), {"model_type": "unheard"}, None, "float32", "folded"
            )

    def test_pytorch_files(self, tiny_folder, tmp_path: Path) -> None:
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (tmp_path / name).write_bytes((tiny_folder("llama") / name).read_bytes())
        (tmp_path / "pytorch_model.bin").write_bytes(b"")
        with pytest.raises(NotInFilesError, match=r"no \.safetensors"):
            opened(tmp_path)

    def test_a_number_format_without_values_of_its_own(self, tiny_folder, tmp_path: Path) -> None:
        for path in tiny_folder("llama").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        tensors = load_file(tmp_path / "model.safetensors")
        name = "model.layers.0.mlp.down_proj.weight"
        tensors[name] = tensors[name].to(torch.float8_e4m3fn)
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(NotInFilesError, match="stored as F8"):
            opened(tmp_path)

    def test_no_unembedding(self, tiny_folder, tmp_path: Path) -> None:
        for path in tiny_folder("llama").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        tensors = load_file(tmp_path / "model.safetensors")
        del tensors["lm_head.weight"]
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(NotInFilesError, match=r"no lm_head\.weight"):
            opened(tmp_path)

    @pytest.mark.parametrize(
        "name", ["model.layers.0.self_attn.q_norm.weight", "model.layers.3.mlp.down_proj.weight", "a.lora"]
    )
    def test_a_tensor_that_nobody_expects(self, tiny_folder, tmp_path: Path, name: str) -> None:
        """Whether it counts is decided, and said, by loading."""
        for path in tiny_folder("llama").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        tensors = load_file(tmp_path / "model.safetensors") | {name: torch.ones(16)}
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(NotInFilesError, match=re.escape(name)):
            opened(tmp_path)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("logit_scale", 0.5),
            ("quantization_config", {"quant_method": "bitnet"}),
            ("transformers_weights", "other.safetensors"),
            ("auto_map", {"AutoModelForCausalLM": "own.Model"}),
            ("final_logit_softcapping", 30.0),
        ],
    )
    def test_a_key_that_only_loading_decides_on(self, copied, key: str, value: Any) -> None:
        folder = copied()
        edit_config(folder, **{key: value})
        with pytest.raises(NotInFilesError, match=key):
            opened(folder)

    @pytest.mark.parametrize(
        ("name", "edit"),
        [
            ("lm_head.weight", lambda values: values[None].clone()),
            ("model.layers.1.mlp.down_proj.weight", lambda values: values[None].clone()),
            ("model.norm.weight", lambda values: values[:1].clone()),
        ],
    )
    def test_a_tensor_of_another_shape(self, copied, name: str, edit) -> None:
        folder = copied()
        edit_weights(folder, lambda tensors: tensors.update({name: edit(tensors[name])}))
        with pytest.raises(NotInFilesError, match=r"no matrix|another width"):
            opened(folder)

    @pytest.mark.parametrize(
        ("name", "keys", "why"),
        [
            ("cohere", {"logit_scale": None}, "does not give logit_scale"),
            ("granite", {"residual_multiplier": None}, "does not give residual_multiplier"),
            ("gptj", {"parallel_attn": False}, "wired unlike"),
        ],
    )
    def test_a_key_without_which_it_is_another_model(
        self, copied, name: str, keys: dict[str, Any], why: str
    ) -> None:
        folder = copied(name)
        edit_config(folder, **keys)
        with pytest.raises(NotInFilesError, match=why):
            opened(folder)


class TestPublishedFolders:
    """As they are found, each with something that its family's own files need not have."""

    @pytest.mark.parametrize("same", [True, False])
    def test_a_head_beside_the_embedding_it_is_tied_to(self, copied, same: bool) -> None:
        """transformers ties it where it has the embedding's values, and leaves it as it is elsewhere."""
        folder = copied()
        edit_config(folder, tie_word_embeddings=True)
        if same:
            edit_weights(
                folder, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()})
            )
        files = opened(folder)
        model = load_model(folder, name="m", source=str(folder), fingerprint="m", device="cpu")
        assert files.info == model.info
        expected, found = token_scores(model, 66, range(3)), token_scores(files, 66, range(3))
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()

    @pytest.mark.parametrize("kind", ["longrope", "su", "yarn"])
    def test_older_names_of_a_context_that_ends(self, copied, kind: str) -> None:
        folder = copied("phi3")
        rotation = {"rope_parameters": None, "rope_scaling": {"type": kind}}
        edit_config(folder, original_max_position_embeddings=24, **rotation)
        assert opened(folder).info.n_ctx == 24

    def test_a_context_that_ends_where_rotation_changes(self, copied) -> None:
        folder = copied()
        longrope = {
            "rope_type": "longrope",
            "factor": 2.0,
            "short_factor": [1.0, 1.0],
            "long_factor": [2.0, 2.0],
            "original_max_position_embeddings": 24,
        }
        edit_config(folder, rope_parameters=None, rope_scaling=longrope)
        files = opened(folder)
        model = load_model(folder, name="m", source=str(folder), fingerprint="m", device="cpu")
        assert files.info == model.info
        assert files.info.n_ctx == 24


def test_a_cap_that_a_family_has_by_default(copied) -> None:
    """The unembedding's mean counts then."""
    folder = copied("nanochat")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["final_logit_softcapping"]
    path.write_text(json.dumps(config), encoding="utf-8")
    assert np.abs(opened(folder).mean_unembedding()).max() > 0


class TestDamage:
    @pytest.fixture
    def folder(self, tiny_folder, tmp_path: Path) -> Path:
        for path in tiny_folder("llama").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        return tmp_path

    @pytest.mark.parametrize("kept", [0, 7, 8, 100, -1])
    def test_a_file_cut_short_is_a_sentence(self, folder: Path, kept: int) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ModelLoadError, match="damaged"):
            opened(folder)

    def test_cut_short_under_the_running_program(self, folder: Path) -> None:
        files = opened(folder)
        with (folder / "model.safetensors").open("r+b") as file:
            file.truncate(2000)
        with pytest.raises(ModelLoadError, match="cut short"):
            token_scores(files, 66, range(3))
        with pytest.raises(ModelLoadError, match="changed while it was read"):
            files.require_unchanged()

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_too_large_for_half_precision_is_a_sentence_and_no_warning(self, folder: Path) -> None:
        edit_weights(folder, lambda tensors: tensors["model.layers.1.mlp.down_proj.weight"].mul_(1e6))
        with pytest.raises(NumericalError, match="layer 1"):
            token_scores(opened(folder, "float16"), 66, range(3))

    def test_nan_names_the_layer(self, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.1.mlp.down_proj.weight"][3, 4] = float("nan")
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(NumericalError, match="layer 1"):
            rank_neurons(opened(folder), 66, top=3, layers=range(3))


def test_no_tensor_library_is_imported(demo_folder: Path) -> None:
    script = (
        "import sys, json, pathlib;"
        "from tui_lookups.model.file_weights import FileWeights;"
        "from tui_lookups.model.tokenizer_folder import read_vocabulary;"
        "from tui_lookups.analysis.congruence import rank_neurons;"
        "from tui_lookups.analysis.layer_extremes import layer_extremes;"
        f"folder = pathlib.Path({str(demo_folder)!r});"
        "config = json.loads((folder / 'config.json').read_text());"
        "from tui_lookups.model.sources import LocalModel;"
        "weights = FileWeights(LocalModel('m', '', folder, 'm'), config, read_vocabulary(folder), "
        "'float32', 'folded');"
        "rows = rank_neurons(weights, 300, top=3, layers=range(6));"
        "layer_extremes(weights, 1);"
        "print(json.dumps([len(rows), [m for m in ('torch', 'transformers') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [3, []]
