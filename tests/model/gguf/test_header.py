"""Headers of .gguf files: as the gguf package reads them, and what is said of damaged ones."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.model.gguf.files import tiny
from tui_lookups.errors import ModelLoadError
from tui_lookups.model.gguf.header import read_header
from tui_lookups.model.gguf.values import dequantised


def test_keys_and_tensors_are_those_that_the_gguf_package_reads(tmp_path: Path) -> None:
    from gguf import GGUFReader

    content = tiny("llama")
    content.keys |= {"a.negative": [-3, 4], "a.float": 0.1, "a.yes": True, "a.flags": [True, False]}
    content.types = {"blk.0.ffn_down.weight": "F16", "blk.1.attn_q.weight": "Q8_0"}
    path = content.write(tmp_path / "tiny.gguf")
    header, theirs = read_header(path), GGUFReader(path)
    for key, value in header.metadata.items():
        expected = theirs.fields[key].contents()
        assert (value.tolist() if isinstance(value, np.ndarray) else value) == expected, key
    assert len(header.metadata) + 3 == len(theirs.fields)  # theirs counts the version and two numbers too
    ours = {t.name: (t.shape, t.type, t.offset, t.n_bytes) for t in header.tensors}
    assert ours == {
        t.name: (tuple(t.shape.tolist()[::-1]), t.tensor_type.value, t.data_offset, t.n_bytes)
        for t in theirs.tensors
    }


def header_bytes(*keys: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(keys)) + b"".join(keys)


def with_tensors(*tensors: bytes, data: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0) + b"".join(tensors) + b"\0" * data


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes = b"t", shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def key(name: bytes, value: bytes = struct.pack("<II", 4, 7)) -> bytes:
    return text(name) + value


def array(kind: int, count: int, rest: bytes = b"") -> bytes:
    return key(b"a", struct.pack("<IIQ", 9, kind, count) + rest)


DAMAGED = {
    "empty": (b"", "is not a GGUF file"),
    "another kind": (b"PK\x03\x04 not a model", "is not a GGUF file"),
    "magic alone": (b"GGUF", "it ends before the end of its header"),
    "version 1": (header_bytes(version=1), "version 1; versions 2 and 3 are read"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "version 2^32 - 1": (b"GGUF" + b"\xff" * 400, "of version 4294967295"),
    "key twice": (header_bytes(key(b"a"), key(b"a")), "the key a is there twice"),
    "key of bytes": (header_bytes(key(b"\xff")), "a key is not UTF-8"),
    "type of a value": (header_bytes(key(b"a", struct.pack("<II", 77, 0))), "unknown type 77"),
    "array of arrays": (header_bytes(array(9, 1, b"\0" * 64)), "array of the unknown type 9"),
    "long array": (header_bytes(array(4, 1 << 60)), "ends before the value of a"),
    "long string in an array": (header_bytes(array(8, 1, struct.pack("<Q", 1 << 60))), "ends before"),
    "alignment": (header_bytes(key(b"general.alignment")), "general.alignment is 7"),
    "short data": (with_tensors(tensor(), data=64), "ends before the tensor t does"),
    "data left over": (with_tensors(tensor(), data=512), "bytes follow its last tensor"),
    "overlap": (
        with_tensors(tensor(), tensor(b"u", offset=64), data=512),
        "the tensor u lies where another tensor is",
    ),
    "tensor twice": (with_tensors(tensor(), tensor(), data=512), "the tensor t is there twice"),
    "type of a tensor": (with_tensors(tensor(kind=99)), "of the unknown type 99"),
    "part of a block": (with_tensors(tensor(shape=(33,), kind=8)), "impossible shape"),
    "no values": (with_tensors(tensor(shape=(0,))), "impossible shape"),
    "five dimensions": (with_tensors(tensor(shape=(1,) * 5)), "5 dimensions"),
    "2^124 values": (with_tensors(tensor(shape=(1 << 62, 1 << 62))), "ends before the tensor t does"),
}


@pytest.mark.parametrize(("content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_headers_are_said_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match="GGUF") as caught:
        read_header(path)
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_another_alignment_than_it_was_written_with_is_said(tmp_path: Path) -> None:
    """Where it moves the data: all values would be those of other bytes."""
    content = tiny("llama")
    refused = 0
    for alignment, name in itertools.product((8, 16, 64), ("a", "aaaaaaaaa", "a" * 17, "a" * 25)):
        content.keys |= {"general.alignment": alignment, "general.name": name}
        path = content.write(tmp_path / "tiny.gguf")
        try:
            tensors = read_header(path).tensors
        except ModelLoadError:
            refused += 1
            continue
        (embedding,) = [found for found in tensors if found.name == "token_embd.weight"]
        np.testing.assert_array_equal(dequantised(embedding), content.tensors["token_embd.weight"])
    assert 4 <= refused < 12


def test_a_file_cut_short_anywhere_is_said(tmp_path: Path) -> None:
    whole = tiny("gpt2").write(tmp_path / "whole.gguf").read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        path = tmp_path / "short.gguf"
        path.write_bytes(whole[:length])
        with pytest.raises(ModelLoadError, match="GGUF"):
            read_header(path)
