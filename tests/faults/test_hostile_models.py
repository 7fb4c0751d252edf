"""Model files that lie: false headers, odd tokenizers, NaN. Refused in a sentence, in bounded memory.

A file is opened in a child process that may map a fixed amount of memory beyond what it has, so that a
count of 2^60 cannot pass by luck.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.faults import processes
from tests.faults.tally import Row, tried
from tests.model.gguf.huggingface import write_gguf
from tui_lookups.errors import LookupsError, NumericalError
from tui_lookups.model.loading import load_model
from tui_lookups.model.sources import find_model
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.storage.files import file_digest

MEMORY = 3 << 30
"""Bytes a child may map: far more than a tiny model needs, far less than the false counts ask for."""

Outcome = list[str]
"""The class of the error and its sentence; "loaded" where there was none."""


def opened(path: Path, cache: Path) -> Outcome:
    """Find and load what `path` is, as the app does."""
    try:
        found = find_model(str(path), cache_dir=cache, digest=file_digest)
        load_model(found.folder, name="m", source="", fingerprint=found.fingerprint, device="cpu")
    except LookupsError as error:
        assert "\n" not in error.message
        assert error.hint
        return [type(error).__name__, error.message]
    return ["loaded", ""]


def opened_within_memory(paths: list[Path], cache: Path) -> dict[str, Outcome]:
    processes.limit_memory(MEMORY)
    return {path.name: opened(path, cache) for path in paths}


def opened_all(paths: list[Path], tmp_path: Path) -> dict[str, Outcome]:
    """Each outcome by name, all in one child with a limit to its memory."""
    found: dict[str, Outcome] = processes.answer_anew(opened_within_memory, paths, tmp_path / "cache")
    return found


def vocabulary_within_memory(folder: Path) -> Outcome:
    processes.limit_memory(MEMORY)
    try:
        read_vocabulary(folder, 320)
    except LookupsError as error:
        assert error.hint
        return [type(error).__name__, error.message]
    return ["loaded", ""]


# --- safetensors ---

Header = dict[str, Any]


def safetensors_file(header: bytes, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def lying_headers(header: Header, data: bytes) -> dict[str, bytes]:
    """Files whose header says what is not so, by what is wrong."""
    names = [name for name in header if name != "__metadata__"]
    first, second = names[0], names[1]

    def changed(**entry: Any) -> bytes:
        return json.dumps({**header, first: {**header[first], **entry}}).encode()

    whole = json.dumps(header).encode()
    end = len(data)
    return {
        "length-of-the-universe": safetensors_file(whole, data, 2**64 - 1),
        "length-beyond-the-file": safetensors_file(whole, data, len(whole) + len(data) + 1),
        "length-2^60": safetensors_file(whole, data, 2**60),
        "length-zero": safetensors_file(whole, data, 0),
        "length-one-short": safetensors_file(whole, data, len(whole) - 1),
        "no-header": b"",
        "half-a-length": b"\x10\0\0",
        "header-alone": safetensors_file(whole, b""),
        "cut-in-the-data": safetensors_file(whole, data[: end // 2]),
        "more-than-it-says": safetensors_file(whole, data + b"\0" * 64),
        "no-json": safetensors_file(b"{" * len(whole), data),
        "deep-json": safetensors_file(b"[" * 100_000, data),
        "not-utf8": safetensors_file(b'{"\xff\xfe": 1}', data),
        "a-list": safetensors_file(b"[]", data),
        "unknown-dtype": safetensors_file(changed(dtype="F7"), data),
        "another-dtype": safetensors_file(changed(dtype="F16"), data),
        "negative-shape": safetensors_file(changed(shape=[-1, -1]), data),
        "shape-that-overflows": safetensors_file(changed(shape=[2**32, 2**32, 2**32]), data),
        "shape-2^63": safetensors_file(changed(shape=[2**63 - 1]), data),
        "shape-of-words": safetensors_file(changed(shape=["a"]), data),
        "offsets-beyond": safetensors_file(changed(data_offsets=[0, end * 10]), data),
        "offsets-2^63": safetensors_file(changed(data_offsets=[2**63, 2**63 + 8]), data),
        "offsets-backwards": safetensors_file(changed(data_offsets=[16, 0]), data),
        "offsets-overlap": safetensors_file(changed(data_offsets=header[second]["data_offsets"]), data),
        "offsets-missing": safetensors_file(
            json.dumps({**header, first: {"dtype": "F32", "shape": [1]}}).encode(), data
        ),
    }


@processes.needs_fork
def test_safetensors_with_false_headers(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny_folder("gpt2")
    raw = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    paths = []
    for name, content in lying_headers(header, data).items():
        paths.append(Path(shutil.copytree(folder, tmp_path / name)))
        (paths[-1] / "model.safetensors").write_bytes(content)
    for name, (kind, sentence) in opened_all(paths, tmp_path).items():
        with tried(Row.MODELS):
            assert kind == "ModelLoadError", (name, kind, sentence)


def shards(first: object) -> dict[str, Any]:
    return {"metadata": {"total_size": 1}, "weight_map": {"wte.weight": first}}


@processes.needs_fork
@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/hostname", "a\0b", 7, None, "missing.safetensors"]
)
def test_a_shard_index_leads_nowhere_else(
    tiny_folder: Callable[[str], Path], tmp_path: Path, name: object
) -> None:
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "model"))
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    shutil.copy(tmp_path / "outside.safetensors", folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards(name)))
    with tried(Row.PATHS):
        kind, _ = opened_all([folder], tmp_path)["model"]
        assert kind == "ModelLoadError"


# --- GGUF ---


def lying_gguf(whole: bytes) -> dict[str, bytes]:
    """.gguf files whose counts and lengths are false, by what is wrong."""

    def counts(tensors: int, entries: int, rest: bytes = b"") -> bytes:
        return b"GGUF" + struct.pack("<IQQ", 3, tensors, entries) + rest

    def text(value: bytes, length: int | None = None) -> bytes:
        return struct.pack("<Q", len(value) if length is None else length) + value

    def array(kind: int, count: int) -> bytes:
        return counts(0, 1, text(b"general.x") + struct.pack("<IIQ", 9, kind, count))

    return {
        "tensors-2^60": counts(2**60, 0),
        "entries-2^60": counts(0, 2**60),
        "all-2^64": counts(2**64 - 1, 2**64 - 1),
        "key-length-2^60": counts(0, 1, text(b"general", 2**60)),
        "value-length-2^60": counts(0, 1, text(b"general.name") + struct.pack("<I", 8) + text(b"x", 2**60)),
        "array-2^60": array(4, 2**60),
        "array-of-arrays": counts(0, 1, text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000),
        "array-of-strings-2^60": array(8, 2**60),
        "unknown-kind": counts(0, 1, text(b"general.x") + struct.pack("<I", 99)),
        "another-version": b"GGUF" + struct.pack("<IQQ", 99, 0, 0),
        "other-endian": b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + b"\0" * 64,
        "counts-alone": counts(1, 1),
        "nothing-in-it": counts(0, 0),
        "magic-alone": b"GGUF",
        **{f"cut-at-{share}-percent": whole[: len(whole) * share // 100] for share in (1, 10, 50, 90, 99)},
        "tensor-name-2^60": counts(1, 0, text(b"x", 2**60)),
        "dimensions-2^32": counts(1, 0, text(b"token_embd.weight") + struct.pack("<I", 2**32 - 1)),
        "shape-that-overflows": counts(
            1, 0, text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0)
        ),
        "offset-2^63": counts(1, 0, text(b"token_embd.weight") + struct.pack("<IQIQ", 1, 8, 0, 2**63)),
    }


@processes.needs_fork
def test_gguf_with_false_headers(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    write_gguf(tmp_path / "whole.gguf", tiny_folder("llama"))
    paths = []
    for name, content in lying_gguf((tmp_path / "whole.gguf").read_bytes()).items():
        paths.append(tmp_path / f"{name}.gguf")
        paths[-1].write_bytes(content)
    for name, (kind, sentence) in opened_all(paths, tmp_path).items():
        with tried(Row.MODELS):
            assert kind == "ModelLoadError", (name, kind, sentence)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"]


@processes.needs_fork
@pytest.mark.parametrize("count", [8, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_random_bytes_in_headers(tiny_folder: Callable[[str], Path], tmp_path: Path, count: int) -> None:
    """Loaded, or refused in a sentence; a header's byte may also be one that nobody minds."""
    source, folder = random.Random(count), tiny_folder("gpt2")
    write_gguf(tmp_path / "whole.gguf", tiny_folder("llama"))
    gguf, weights = (tmp_path / "whole.gguf").read_bytes(), (folder / "model.safetensors").read_bytes()
    paths = []
    for number in range(count):
        if number % 2:
            paths.append(tmp_path / f"{number}.gguf")
            content, target = bytearray(gguf), paths[-1]
        else:
            paths.append(Path(shutil.copytree(folder, tmp_path / str(number))))
            content, target = bytearray(weights), paths[-1] / "model.safetensors"
        for _ in range(source.choice([1, 3])):
            content[source.randrange(min(3000, len(content)))] = source.randrange(256)
        target.write_bytes(content)
    with tried(Row.MODELS, count):
        for name, (kind, sentence) in opened_all(paths, tmp_path).items():
            assert kind in ("loaded", "ModelLoadError", "UnsupportedModelError", "NumericalError"), (
                name,
                sentence,
            )


# --- configuration and tokenizer ---


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b'{"n_layer": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe", b"",
        b"null", b'"text"', b"NaN", b'{"bos_token": ' + b"9" * 5000 + b"}",
    ],
    ids=["nest", "deep", "digits", "long number", "utf16", "empty", "null", "text", "nan", "bos"],
)  # fmt: skip
def test_descriptions_that_are_none(
    tiny_folder: Callable[[str], Path], tmp_path: Path, file: str, content: bytes
) -> None:
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "m"))
    (folder / file).write_bytes(content)
    with tried(Row.MODELS):
        kind, sentence = opened(folder, tmp_path / "cache")
        assert kind in ("ModelLoadError", "UnsupportedModelError"), sentence


@pytest.mark.parametrize(
    "change",
    [
        {"n_layer": -1}, {"n_layer": 10**9}, {"n_embd": 0}, {"n_head": 0}, {"n_head": 3}, {"vocab_size": 0},
        {"n_positions": 0}, {"n_layer": "three"}, {"n_embd": 2**40}, {"activation_function": "nonsense"},
        {"layer_norm_epsilon": "x"}, {"n_inner": -4},
    ],
    ids=str,
)  # fmt: skip
@processes.needs_fork
def test_configurations_that_cannot_be(
    tiny_folder: Callable[[str], Path], tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with tried(Row.MODELS):
        kind, sentence = opened_all([folder], tmp_path)["m"]
        assert kind in ("ModelLoadError", "UnsupportedModelError"), sentence


def edited_tokenizer(
    folder: Path, target: Path, edit: Callable[[dict[str, Any], dict[str, Any]], None]
) -> Path:
    """A copy of a model folder whose tokenizer.json and tokenizer_config.json were edited."""
    shutil.copytree(folder, target)
    described, configured = target / "tokenizer.json", target / "tokenizer_config.json"
    tokenizer, config = json.loads(described.read_text()), json.loads(configured.read_text())
    edit(tokenizer, config)
    described.write_text(json.dumps(tokenizer))
    configured.write_text(json.dumps(config))
    return target


def add_token(tokenizer: dict[str, Any], text: str, number: int, *, special: bool) -> None:
    entry = {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False}
    tokenizer["added_tokens"].append({**entry, "normalized": False, "special": special})


def no_begin(tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    config["bos_token"] = None


def begin_is_end(tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    config["bos_token"] = config["eos_token"] = "</s>"


def begin_as_object(tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    config["bos_token"] = {"content": "<s>", "lstrip": False, "__type": "AddedToken"}


def hostile_tokens(tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    hostile = ["[/INST]", "[bold]", "\x1b[31m", "\x1b]0;title\x07", "a\nb", "\u202e", " ", "\x9b31m"]
    vocabulary = tokenizer["model"]["vocab"]
    for entry in sorted(vocabulary, key=vocabulary.__getitem__)[-len(hostile) :]:
        del vocabulary[entry]  # in whose rows the hostile ones are
    top = max(vocabulary.values())
    for number, text in enumerate(hostile, top + 1):
        add_token(tokenizer, text, number, special=number % 2 == 0)


@pytest.mark.parametrize("edit", [no_begin, begin_is_end, begin_as_object, hostile_tokens])
def test_odd_special_tokens(
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    edit: Callable[[dict[str, Any], dict[str, Any]], None],
) -> None:
    """Loaded, with begin-of-text as it says; a text's tokens and back are the same text."""
    folder = edited_tokenizer(tiny_folder("gpt2"), tmp_path / "m", edit)
    with tried(Row.MODELS):
        model = load_model(folder, name="m", source="", fingerprint="f", device="cpu")
        vocabulary = model.vocabulary
        expected = {"no_begin": None, "begin_is_end": "</s>"}.get(edit.__name__, "<s>")
        assert (vocabulary.bos and vocabulary.bos.text) == expected
        text = "the cat [/INST] sat\x1b[31m because"
        ids = model.encode_prompt(text)
        assert ("".join(token.text for token in vocabulary.tokens(ids))).removeprefix(expected or "") == text
        for token in vocabulary.texts:
            assert vocabulary.match(token).token is not None
        values = model.neuron_activations(model.batch([ids]), next(iter(neurons()))).tolist()
        assert all(math.isfinite(value) for value in values[0])


def neurons() -> list[Any]:
    from tui_lookups.ids import NeuronId

    return [NeuronId(1, 2)]


@pytest.mark.parametrize(
    "edit",
    [
        lambda t, c: add_token(t, "far", 2**40, special=False),
        lambda t, c: add_token(t, "far", -1, special=False),
        lambda t, c: c.update(bos_token="<nobody>"),
        lambda t, c: c.update(bos_token=["<s>"]),
        lambda t, c: t["model"].update(type="Unheard"),
        lambda t, c: t["model"].update(vocab={}),
        lambda t, c: t["model"]["vocab"].update({"x": 2**31}),
        lambda t, c: t.update(decoder={"type": "Unheard"}),
        lambda t, c: t["model"].update(merges=[["no", "such"]]),
        lambda t, c: t.update(
            pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Removed", "invert": False}
        ),
    ],
)  # fmt: skip
@processes.needs_fork
def test_tokenizers_that_cannot_be(
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    edit: Callable[[dict[str, Any], dict[str, Any]], None],
) -> None:
    folder = edited_tokenizer(tiny_folder("gpt2"), tmp_path / "m", edit)
    with tried(Row.MODELS):
        kind, sentence = processes.answer_anew(vocabulary_within_memory, folder)
        assert kind == "ModelLoadError", sentence


# --- NaN and infinity ---


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("transformer.h.2.mlp.c_fc.weight", "layer 2"),
        ("transformer.h.0.attn.c_attn.bias", "layer 0"),
        ("transformer.wte.weight", "wte"),
        ("transformer.ln_f.bias", "ln_f"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_located(
    tiny_folder: Callable[[str], Path], tmp_path: Path, name: str, said: str, value: float
) -> None:
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "m"))
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights[name].view(-1)[-1] = value
    save_file(weights, path, metadata={"format": "pt"})
    with tried(Row.MODELS), pytest.raises(NumericalError) as caught:
        load_model(folder, name="m", source="", fingerprint="f", device="cpu")
    assert said in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint
