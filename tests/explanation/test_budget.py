"""Counting tokens without a network, prices, and the budget's arithmetic."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.explanation.budget import (
    _DATA_FILES,
    BYTES_PER_TOKEN,
    BudgetError,
    Prices,
    TokenBudget,
    estimate_tokens,
    token_counter,
)
from tui_lookups.explanation.requests import ChatRequest


@given(st.text())
def test_the_estimate_is_a_third_of_the_bytes_rounded_up(text: str) -> None:
    size = len(text.encode("utf-8", "replace"))
    assert 0 <= estimate_tokens(text) * BYTES_PER_TOKEN - size < BYTES_PER_TOKEN


def test_without_tokenizer_data_at_hand_tokens_are_estimated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))  # empty: tiktoken would fetch
    for model in ("gpt-4", "a-local-model"):
        counter = token_counter(model)
        assert "estimated" in counter.how
        assert counter.input_tokens(ChatRequest("x" * 30, 5, logprobs=False)) == 10 + 8


TIKTOKEN = pytest.mark.skipif(
    importlib.util.find_spec("tiktoken") is None, reason="tiktoken is not installed"
)

PLUGIN = '''
"""An encoding as tiktoken's plugins give one: its data comes from an address, by way of the cache folder."""
from tiktoken.load import load_tiktoken_bpe

ADDRESS, DIGEST = {address!r}, {digest!r}

def tiny_base():
    ranks = load_tiktoken_bpe(ADDRESS, expected_hash=DIGEST)
    special = {{"<|end|>": 300}}
    return {{"name": "tiny_base", "pat_str": ".+", "mergeable_ranks": ranks, "special_tokens": special}}

ENCODING_CONSTRUCTORS = {{"tiny_base": tiny_base}}
'''

COUNT = """
import json, socket, sys

def refused(*arguments, **named):
    print("NETWORK", file=sys.stderr)
    raise OSError("no network here")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refused
import tiktoken.model
tiktoken.model.MODEL_TO_ENCODING["tiny-model"] = "tiny_base"
from tui_lookups.explanation import budget
name, digest, model, *texts = sys.argv[1:]
if name:
    budget._DATA_FILES["tiny_base"] = (name, digest)
counter = budget.token_counter(model)
print(json.dumps([counter.how, [counter.count(text) for text in texts]]))
"""


class TinyEncoding:
    """tiktoken in a process of its own, in which every reach for the network is refused and told of.

    The encoding has every byte as a token, and "he", "hell" and "hello" by merging.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = "https://example.invalid/tiny_base.tiktoken"
        self.name = hashlib.sha1(self.address.encode()).hexdigest()
        tokens = [*(bytes([value]) for value in range(256)), b"he", b"ll", b"hell", b"hello"]
        lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
        self.data = "\n".join(lines).encode() + b"\n"
        self.digest = hashlib.sha256(self.data).hexdigest()
        (folder / "tiktoken_ext").mkdir()  # a namespace package, as tiktoken wants it
        plugin = PLUGIN.format(address=self.address, digest=self.digest)
        (folder / "tiktoken_ext" / "tiny.py").write_text(plugin)

    @property
    def file(self) -> Path:
        return self.folder / self.name

    def count(self, *texts: str, model: str = "tiny-model", **environment: str) -> tuple[str, list[int]]:
        known = (self.name, self.digest) if model == "tiny-model" else ("", "")
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-c", COUNT, *known, model, *texts],
            env={**os.environ, "PYTHONPATH": path, "TIKTOKEN_CACHE_DIR": str(self.folder), **environment},
            cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "NETWORK" not in done.stderr
        how, counts = json.loads(done.stdout)
        return how, counts


@TIKTOKEN
def test_with_tokenizer_data_at_hand_tokens_are_counted(tmp_path: Path) -> None:
    tiny = TinyEncoding(tmp_path)
    tiny.file.write_bytes(tiny.data)
    # special tokens are text, as in a prompt they are
    how, counts = tiny.count("hello", "hello hell", "é", "<|end|>", "")
    assert (how, counts) == ("counted with tiny_base", [1, 3, 2, 7, 0])
    assert tiny.file.read_bytes() == tiny.data


@TIKTOKEN
def test_data_that_is_missing_damaged_or_turned_off_is_neither_fetched_nor_deleted(tmp_path: Path) -> None:
    tiny = TinyEncoding(tmp_path)
    estimated = ("estimated at one token per 3 bytes", [2])
    assert tiny.count("hello") == estimated  # missing
    tiny.file.write_bytes(tiny.data[:-9])
    assert tiny.count("hello") == estimated  # damaged: tiktoken would delete and fetch it
    assert tiny.file.read_bytes() == tiny.data[:-9]
    tiny.file.write_bytes(tiny.data)
    assert tiny.count("hello", TIKTOKEN_CACHE_DIR="") == estimated  # tiktoken's cache is turned off
    assert tiny.count("hello", model="a-local-model") == estimated
    assert tiny.count("hello", model="gpt-4") == estimated


@TIKTOKEN
def test_the_data_files_are_those_that_tiktoken_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and digests are held against the installed tiktoken, stopped before it fetches anything."""
    import tiktoken_ext.openai_public as public

    asked: dict[str, tuple[str, str]] = {}
    for encoding in _DATA_FILES:

        def loads(address: str, expected_hash: str, encoding: str = encoding) -> dict[bytes, int]:
            asked[encoding] = (hashlib.sha1(address.encode()).hexdigest(), expected_hash)
            return {}

        monkeypatch.setattr(public, "load_tiktoken_bpe", loads)
        getattr(public, encoding)()
    assert asked == _DATA_FILES


def test_prices() -> None:
    assert Prices(30.0, 60.0).cost(1_000_000, 500_000) == 60.0
    assert Prices(0.0, 0.0).cost(5, 5) == 0.0
    assert Prices(30.0, None).cost(5, 5) is None


def test_a_budget_counts_what_is_under_way() -> None:
    budget = TokenBudget(100)
    budget.reserve(60)
    with pytest.raises(BudgetError):
        budget.reserve(41)
    budget.reserve(40)
    assert budget.left == 0
    budget.settle(60, 10)
    assert budget.left == 50
    budget.settle(40, 0)
    assert budget.left == 90
    budget.require(90)
    with pytest.raises(BudgetError, match=r"up to 91 tokens; 90 of this session's 100 are left"):
        budget.require(91)


def test_no_limit() -> None:
    budget = TokenBudget(None)
    budget.reserve(10**12)
    budget.require(10**12)
    assert budget.left is None
