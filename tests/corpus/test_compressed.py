from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_lookups.corpus import compressed
from tui_lookups.corpus.compressed import read_chunks
from tui_lookups.corpus.readers import open_source
from tui_lookups.errors import CorpusError

TEXT = "one\ntwo é\n\nthree\n"


def zst(data: bytes, **arguments) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True, **arguments).compress(data)


PACK = {".gz": gzip.compress, ".zst": zst}


def texts(path: Path) -> list[str]:
    return [document.text for document in open_source(str(path)).documents()]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", [".gz", ".zst", ".GZ"])
def test_what_is_compressed_reads_like_what_is_not(tmp_path: Path, ending: str) -> None:
    pack = PACK[ending.lower()]
    lines = "\n".join(json.dumps({"text": text}) for text in ("one", "two\n\nthree"))
    assert texts(write(tmp_path / f"a.txt{ending}", pack(TEXT.encode()))) == ["one\ntwo é", "three"]
    assert texts(write(tmp_path / f"a.jsonl{ending}", pack(lines.encode()))) == ["one", "two\n\nthree"]
    source = open_source(str(tmp_path))
    assert len(list(source.documents())) == 4
    assert source.bytes_read == source.bytes_total


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_streams_one_after_another_are_one_text(tmp_path: Path, ending: str) -> None:
    """What appending to a compressed file makes; an empty stream is one, too."""
    pack = PACK[ending]
    data = b"".join(pack(part) for part in (b"one ", b"", b"two", b" three"))
    assert texts(write(tmp_path / f"a.txt{ending}", data)) == ["one two three"]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=3000), st.integers(1, 50), st.sampled_from([".gz", ".zst"]), st.data())
def test_any_bytes_come_back_and_nothing_truncated_passes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, feed: int, ending: str, data: st.DataObject
) -> None:
    packed = PACK[ending](content)
    path = write(tmp_path_factory.mktemp("packed") / f"a{ending}", packed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "_ZSTD_FEED", feed)
        patch.setattr(compressed, "_CHUNK", feed)
        counted: list[int] = []
        assert b"".join(read_chunks(path, counted.append)) == content
        assert sum(counted) == len(packed)
        path.write_bytes(packed[: data.draw(st.integers(0, len(packed) - 1))])
        with pytest.raises(CorpusError, match=r"truncated|damaged") as caught:
            list(read_chunks(path, lambda _: None))
        assert caught.value.hint


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("change", ["flipped", "garbage after", "something else"])
def test_damage_is_refused(tmp_path: Path, ending: str, change: str) -> None:
    packed = bytearray(PACK[ending](TEXT.encode() * 50))
    if change == "flipped":
        packed[-3] ^= 1  # in the checksum
    elif change == "garbage after":
        packed += b"garbage"
    else:
        packed = bytearray(TEXT.encode())
    with pytest.raises(CorpusError, match="cannot be decompressed") as caught:
        texts(write(tmp_path / f"a.txt{ending}", bytes(packed)))
    assert str(tmp_path) in caught.value.message


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_what_was_compressed_is_held_to_the_same_rules(tmp_path: Path, ending: str) -> None:
    for name, data, words in (
        ("binary.txt", b"abc\0", "NUL byte at byte 3"),
        ("latin.txt", b"one\ncaf\xe9", "line 2, byte 7"),
        ("bad.jsonl", b'{"text": "a"}\n{', "line 2: this is not JSON"),
    ):
        with pytest.raises(CorpusError, match=words):
            texts(write(tmp_path / f"{name}{ending}", PACK[ending](data)))


def test_a_frame_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    unknown_size = compressor.compressobj()
    data = unknown_size.compress(b"text " * 100) + unknown_size.flush()
    with pytest.raises(CorpusError, match="cannot be decompressed"):
        texts(write(tmp_path / "a.txt.zst", data))


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_decompression_bomb_stays_small(tmp_path: Path, ending: str) -> None:
    path, size = tmp_path / f"a.txt{ending}", 150_000_000
    write(path, PACK[ending](b"word " * (size // 5)))
    assert path.stat().st_size < size // 500
    tracemalloc.start()
    total = sum(len(chunk) for chunk in read_chunks(path, lambda _: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == size
    assert peak < 140_000_000  # one feed of .zst and its copy; a .gz needs a hundredth
    if ending == ".gz":
        assert peak < 10_000_000
