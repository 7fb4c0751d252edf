"""Dictionaries on disk: what each layout says, and what is refused in a sentence (method.md, section 14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.dictionaries import (
    Weights,
    random_weights,
    write_circuit_tracer,
    write_gemma_scope,
    write_saelens,
)
from tui_lookups.errors import DictionaryError, LookupsError
from tui_lookups.model.dictionaries.dictionary import Activation, Dictionary, Place, require_fit
from tui_lookups.model.dictionaries.folders import find_dictionary, open_dictionary
from tui_lookups.storage.files import file_digest

D_MODEL, D_SAE, N_LAYERS = 6, 10, 2

Write = Callable[[Path, list[Weights]], Path]


def weights(**asked: bool) -> list[Weights]:
    return [random_weights(D_MODEL, D_SAE, seed=layer, **asked) for layer in range(N_LAYERS)]


def opened(folder: Path) -> Dictionary:
    return open_dictionary(find_dictionary(str(folder), file_digest), "float32")


def jumprelu_saelens(folder: Path, layers: list[Weights]) -> Path:
    return write_saelens(folder, layers, architecture="jumprelu_skip_transcoder")


@pytest.mark.parametrize(
    ("write", "skip"), [(jumprelu_saelens, True), (write_circuit_tracer, True), (write_gemma_scope, False)]
)
def test_every_layout_gives_the_same_tensors(tmp_path: Path, write: Write, skip: bool) -> None:
    layers = weights(threshold=True, skip=skip)
    found = opened(write(tmp_path / "units", layers))
    assert (found.name, found.d_sae, len(found.layers)) == ("units", D_SAE, N_LAYERS)
    assert found.activation.kind == "threshold"
    for transcoder, expected in zip(found.layers, layers, strict=True):
        every = {name: values.numpy() for name, values in expected.items()}
        np.testing.assert_array_equal(transcoder.encoder(), every["W_enc"])
        np.testing.assert_array_equal(transcoder.decoder(), every["W_dec"])
        for some in ([7, 2], slice(3, 5), range(3, 5)):
            chosen = list(some) if not isinstance(some, slice) else some
            np.testing.assert_array_equal(transcoder.encoder(some), every["W_enc"][:, chosen])
            np.testing.assert_array_equal(transcoder.decoder(some), every["W_dec"][chosen])
        for role in ("b_enc", "b_dec", "threshold"):
            np.testing.assert_array_equal(transcoder.vector(role), every[role])
        assert transcoder.has_skip == skip
        if skip:
            np.testing.assert_array_equal(transcoder.skip(), every["W_skip"])


def test_what_is_read_and_written_is_told_by_the_layout(tmp_path: Path) -> None:
    plain = opened(write_saelens(tmp_path / "plain", weights()))
    assert (plain.reads, plain.writes, plain.activation) == (
        "mlp.hook_in", "mlp.hook_out", Activation("relu"),
    )  # fmt: skip
    gemma = opened(write_gemma_scope(tmp_path / "gemma", weights(threshold=True)))
    assert (gemma.reads, gemma.writes) == ("ln2.hook_normalized", "hook_mlp_out")
    assert not gemma.activation.rectified


def test_older_saelens_says_everything_in_cfg_json_itself(tmp_path: Path) -> None:
    folder = write_saelens(tmp_path / "units", weights(), architecture="standard")
    for layer in range(N_LAYERS):
        path = folder / f"layer_{layer}" / "cfg.json"
        config = json.loads(path.read_text())
        config |= config.pop("metadata") | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
        path.write_text(json.dumps(config))
    assert opened(folder).activation == Activation("topk", 3)


def test_thresholds_may_be_logarithms_or_one_for_all_units(tmp_path: Path) -> None:
    layers = weights(threshold=True)
    layers[0]["log_threshold"] = layers[0].pop("threshold").log()
    layers[1]["topk_threshold"] = torch.tensor(0.25)
    del layers[1]["threshold"]
    found = opened(write_saelens(tmp_path / "units", layers, architecture="batchtopk"))
    expected = weights(threshold=True)[0]["threshold"].numpy()
    np.testing.assert_allclose(found.layers[0].vector("threshold"), expected, rtol=1e-6)
    np.testing.assert_array_equal(found.layers[1].vector("threshold"), np.full(D_SAE, 0.25, np.float32))


def test_a_decoder_bias_taken_off_the_input_is_a_constant(tmp_path: Path) -> None:
    layers = weights()
    found = opened(write_saelens(tmp_path / "units", layers, apply_b_dec_to_input=True)).layers[0]
    expected = layers[0]["b_enc"] - layers[0]["b_dec"] @ layers[0]["W_enc"]
    np.testing.assert_allclose(found.encoder_bias(), expected.numpy(), rtol=1e-5)


def test_circuit_tracer_says_its_activation_in_config_yaml(tmp_path: Path) -> None:
    folder = write_circuit_tracer(tmp_path / "units", weights(), more="activation: topk\nk: 4\n")
    assert opened(folder).activation == Activation("topk", 4, rectified=False)


def test_the_fingerprint_is_of_what_is_read(tmp_path: Path) -> None:
    folder = write_circuit_tracer(tmp_path / "units", weights())
    before = find_dictionary(str(folder), file_digest).fingerprint
    (folder / "README.md").write_text("other words")
    assert find_dictionary(str(folder), file_digest).fingerprint == before
    save_file(
        load_file(folder / "layer_1.safetensors") | {"b_dec": torch.ones(D_MODEL)},
        folder / "layer_1.safetensors",
    )
    assert find_dictionary(str(folder), file_digest).fingerprint != before


def saelens(**said: object) -> Write:
    return lambda folder, layers: write_saelens(folder, layers, **said)  # type: ignore[arg-type]


def tracer(**said: str) -> Write:
    return lambda folder, layers: write_circuit_tracer(folder, layers, **said)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (saelens(architecture="gated"), "has the architecture 'gated'"),
        (saelens(architecture="topk"), "does not say its k"),
        (saelens(architecture="topk", k=11), "says that 11 of its 10 units are active"),
        (saelens(architecture="jumprelu"), "has no thresholds, and its configuration says"),
        (saelens(normalize_activations="layer_norm"), "normalize_activations 'layer_norm'"),
        (saelens(rescale_acts_by_decoder_norm=True), "rescale_acts_by_decoder_norm True"),
        (saelens(activation_fn_str="tanh-relu"), "the activation function 'tanh-relu'"),
        (saelens(reads="hook_resid_mid"), "reads hook_resid_mid, the residual stream before the norm"),
        (saelens(reads="hook_mlp_in"), "reads hook_mlp_in, the residual stream before the norm"),
        (saelens(writes="hook_resid_post"), "writes hook_resid_post, and not what the MLP writes"),
        (saelens(metadata={"hook_name": "blocks.0.mlp.hook_in"}), "it is an autoencoder of what it reads"),
        (tracer(reads="hook_resid_mid"), "reads hook_resid_mid"),
        (tracer(more="activation: gelu\n"), "has the activation 'gelu'"),
        (tracer(more="activation: topk\n"), "does not say its k"),
        (tracer(more="what is this\n"), "Line 8 of config.yaml in units is not of the form key: value"),
        (tracer(more="model_kind: cross_layer_transcoder\n"), "read one layer and write several"),
    ],
)
def test_what_figures_would_not_be_true_of_is_refused(tmp_path: Path, write: Write, said: str) -> None:
    with pytest.raises(DictionaryError) as refused:
        opened(write(tmp_path / "units", weights()))
    assert said in refused.value.message
    assert refused.value.hint


def damage_nan(folder: Path) -> None:
    path = folder / "layer_0.safetensors"
    tensors = load_file(path)
    tensors["W_dec"][3, 1] = torch.nan
    save_file(tensors, path)


def damage_shape(folder: Path) -> None:
    path = folder / "layer_1.safetensors"
    save_file(load_file(path) | {"b_enc": torch.zeros(D_SAE + 1)}, path)


def damage_unknown(folder: Path) -> None:
    path = folder / "layer_1.safetensors"
    save_file(load_file(path) | {"r_mag": torch.zeros(D_SAE)}, path)


def damage_integer(folder: Path) -> None:
    path = folder / "layer_1.safetensors"
    save_file(load_file(path) | {"b_enc": torch.zeros(D_SAE, dtype=torch.int8)}, path)


def damage_header(folder: Path) -> None:
    (folder / "layer_1.safetensors").write_bytes(b"\xff" * 40)


def lose_a_layer(folder: Path) -> None:
    (folder / "layer_0.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_nan, "has NaN or infinite values in W_dec"),
        (damage_shape, "has b_enc of shape [11], where one of shape [10] is expected"),
        (damage_unknown, "holds r_mag, which no transcoder that is read here has"),
        (damage_integer, "b_enc is stored as I8"),
        (damage_header, "is damaged"),
        (lose_a_layer, "has no transcoder for layer 0"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    folder = write_circuit_tracer(tmp_path / "units", weights())
    damage(folder)
    with pytest.raises(LookupsError) as refused:
        opened(folder).layers[0].decoder()
    assert said in refused.value.message


def test_a_compressed_archive_and_one_of_objects_are_refused(tmp_path: Path) -> None:
    folder = write_gemma_scope(tmp_path / "units", weights(threshold=True))
    path = next(folder.rglob("params.npz"))
    np.savez_compressed(path, W_enc=np.ones((3, 3)))
    with pytest.raises(LookupsError, match="is compressed"):
        opened(folder)
    np.savez(path, W_enc=np.array([{"a": 1}], dtype=object))
    with pytest.raises(LookupsError, match="is no plain array of numbers"):
        opened(folder)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(LookupsError, match="is damaged"):
        opened(folder)


def test_two_dictionaries_for_one_layer_are_named(tmp_path: Path) -> None:
    folder = write_gemma_scope(tmp_path / "units", weights(threshold=True))
    (folder / "layer_0" / "width_16" / "average_l0_9").mkdir()
    path = next((folder / "layer_0").rglob("params.npz"))
    (folder / "layer_0" / "width_16" / "average_l0_9" / "params.npz").write_bytes(path.read_bytes())
    with pytest.raises(
        DictionaryError, match=r"two transcoders for layer 0: .*average_l0_8.* and .*average_l0_9"
    ):
        opened(folder)


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match="holds no dictionary"):
        find_dictionary(str(tmp_path), file_digest)
    with pytest.raises(DictionaryError, match="There is no folder"):
        find_dictionary(str(tmp_path / "nowhere"), file_digest)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place("tiny", 3, D_MODEL, "RMSNorm"), "has transcoders for 2 layers, and tiny has 3"),
        (Place("tiny", 2, 8, "RMSNorm"), "writes vectors of 6 numbers, and the stream of tiny has 8"),
        (Place("tiny", 2, D_MODEL, "LayerNorm"), "a LayerNorm is before the MLP"),
        (Place("tiny", 2, D_MODEL, None), "no norm is before the MLP"),
    ],
)
def test_what_does_not_fit_a_model_is_refused(tmp_path: Path, place: Place, said: str) -> None:
    found = opened(write_gemma_scope(tmp_path / "units", weights(threshold=True)))
    with pytest.raises(DictionaryError) as refused:
        require_fit(found, place)
    assert said in refused.value.message
