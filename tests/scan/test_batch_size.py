"""The size of a batch from free memory: as computed by hand, below what is free, kept by whoever resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.scan.fake_model import FakeModel, random_corpus
from tests.scan.helpers import MemoryWorkers, RoughModel
from tests.scan.test_scan import digests, new_scan
from tui_lookups.explorer import Explorer
from tui_lookups.scan import batch_size
from tui_lookups.scan.batch_size import (
    MOST_TOKENS,
    Room,
    automatic_batch_tokens,
    state_bytes,
    token_bytes,
)
from tui_lookups.scan.ray.scan import RayScan
from tui_lookups.scan.ray.workers import ModelWorker
from tui_lookups.scan.reductions import Reductions, reduce_activations
from tui_lookups.scan.scan import run_scan
from tui_lookups.scan.subject import ScannedModel
from tui_lookups.settings import load_settings

MB, GB = 1 << 20, 1 << 30


def scanned(device: str, **changes: int) -> ScannedModel:
    """A model of the size of GPT-2 XL."""
    small = ScannedModel.of(FakeModel())
    shapes = {"n_layers": 48, "n_heads": 25, "d_model": 1600, "d_mlp": 6400, "parameters": 1_500_000_000}
    return replace(small, device=device, info=replace(small.info, **{**shapes, **changes}))


def size(model: ScannedModel, free: int | None, *, window: int = 256, layers: int = 48) -> int:
    return automatic_batch_tokens(model, Room(free, False), layers=range(layers), top=20, window=window)


def test_what_a_token_costs_is_computed_from_the_shapes() -> None:
    info = scanned("cuda").info
    block = 6 * 1600 + 3 * 6400
    assert token_bytes(info, 4, 256, forms_patterns=False) == 4 * block + 8 * 6400
    assert token_bytes(info, 2, 256, forms_patterns=False) == 2 * block + 8 * 6400
    patterns = token_bytes(info, 2, 256, forms_patterns=True)
    assert patterns == 2 * (block + 5 * 25 * 256) + 8 * 6400


def test_what_the_state_takes_is_what_it_takes() -> None:
    # 48 layers of 6,400 neurons: two parts of 20 slots (8 and 4 bytes), two pairs of sums, a count, two
    # extremes, 64 bins, 40 of a sample.
    neuron = 2 * 20 * 12 + 2 * 16 + 8 + 8 + 64 * 4 + 40 * 4
    assert state_bytes(scanned("cuda").info, range(48), 20, 40) == 48 * 6400 * neuron


def test_half_of_what_is_free_goes_to_a_batch() -> None:
    model = scanned("cuda")
    cost = token_bytes(model.info, 4, 256, forms_patterns=False)
    state = state_bytes(model.info, range(48), 20, 40)
    for tokens in (512, 1024, 8192):
        assert size(model, state + 2 * cost * tokens) == tokens
        assert size(model, state + 2 * cost * (2 * tokens - 1)) == tokens  # a power of two
        assert size(model, state + 2 * cost * tokens - 2) == max(256, tokens // 2)


@pytest.mark.parametrize("free", [0, 1 * MB, 200 * MB])
def test_never_below_what_one_prompt_may_take(free: int) -> None:
    assert size(scanned("cuda"), free) == 256


def test_more_memory_than_helps_is_not_used() -> None:
    assert size(scanned("cuda"), 140 * GB) == MOST_TOKENS["cuda"]
    small = scanned("cpu", parameters=3_000_000)
    assert size(small, 140 * GB) == size(small, None) == MOST_TOKENS["cpu"]
    # On a CPU a question may have to wait for a batch: about a second.
    assert size(scanned("cpu", parameters=135_000_000), 140 * GB) == 1037
    assert size(scanned("xpu"), None) == 4096


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_the_formula_bounds_what_a_pass_takes(tiny_model, family: str) -> None:
    """And not by so much that memory lies idle: tiny shapes leave most room for small tensors."""
    model, rows, length = tiny_model(family), 8, 32
    tokens = torch.randint(0, model.info.d_vocab, (rows, length), generator=torch.Generator().manual_seed(0))

    layers, gated, home = model.info.n_layers, model.architecture.gated, torch.device("cpu")
    found = Reductions.empty(layers, rows, model.info.d_mlp, both_signs=gated, device=home)

    def consume(layer: int, activation: torch.Tensor) -> None:
        reduce_activations(activation, [length] * rows, found.layer(layer))

    model.mlp_activations(tokens, range(model.info.n_layers), consume)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        model.mlp_activations(tokens, range(model.info.n_layers), consume)
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    taken = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        taken += event.nbytes()
        peak = max(peak, taken)
    assert peak > 0
    cost = token_bytes(model.info, 4, length, forms_patterns=model.forms_patterns)
    assert peak / (rows * length) < cost < 6 * peak / (rows * length)


def test_workers_share_the_memory_of_a_cpu_and_not_that_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cpu": 8 * GB, "cuda:0": 6 * GB, "cuda:1": 5 * GB}
    monkeypatch.setattr(batch_size, "free_bytes", lambda device: free[str(device)])
    model = FakeModel()
    assert Room.of(model, 4) == Room(2 * GB, False)
    assert ModelWorker(FakeModel, 8).report().room == Room(1 * GB, False)
    model.devices = (torch.device("cuda:0"), torch.device("cuda:1"))
    assert Room.of(model, 4) == Room(5 * GB, False)


def test_a_resumed_scan_keeps_its_size_and_ray_takes_the_same(tmp_path: Path) -> None:
    """Whatever is free by then, in whichever engine: the plan is the one that was begun with."""
    model, corpus = RoughModel(), random_corpus(60)
    whole = new_scan(model, corpus, tmp_path / "whole", batch_tokens=40)
    run_scan(whole)
    local = new_scan(model, corpus, tmp_path / "local", batch_tokens=40)
    local.resume()
    for _ in range(3):
        local.step()
    local.checkpoint()
    local.close()
    workers = MemoryWorkers(model, 2)
    resumed = RayScan(
        workers, ScannedModel.of(model), corpus, tmp_path / "local",
        layers=range(3), top=6, batch_tokens=16, checkpoint_seconds=1e9, sample=12,
    )  # fmt: skip
    assert run_scan(resumed).manifest.batch_tokens == 40
    assert digests(tmp_path / "local") == digests(tmp_path / "whole")


def test_the_size_from_free_memory_is_in_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_torch_thread: None
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("It rained, and then it stopped.\n\n" * 5 + "The sun came out again.\n")

    def batch_tokens(name: str, free: int | None) -> int:
        monkeypatch.setattr(batch_size, "free_bytes", lambda device: free)
        settings = load_settings(corpus=str(corpus), cache_dir=str(tmp_path / name), device="cpu", threads=1)
        explorer = Explorer(settings)
        try:
            explorer.scan()
            index = explorer._scan.index()
            assert index is not None
            return index.manifest.batch_tokens
        finally:
            explorer.close()

    assert batch_tokens("much", 8 * GB) == 4096
    assert batch_tokens("little", 64 * MB) == 1024
