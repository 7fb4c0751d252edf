"""A scan that goes on from an earlier corpus's index against one from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scan.fake_model import N_LAYERS, FakeModel, MemoryCorpus, random_corpus
from tui_lookups.corpus.digest import WindowDigest
from tui_lookups.errors import UnavailableError
from tui_lookups.ids import NeuronId
from tui_lookups.scan.copies import find_copies
from tui_lookups.scan.extension import EarlierIndexes
from tui_lookups.scan.scan import Scan, run_scan
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.index import ScanIndex

EXACT = ("top_values", "top_prompts", "top_positions", "extremes", "histogram", "sample")


class GrowingMemory(MemoryCorpus):
    """A corpus in memory that has digests, as `Corpus` does."""

    def __len__(self) -> int:
        return len(self.windows)

    def content(self) -> str:
        return self.prefix_digests([len(self)])[0]

    def prefix_digests(self, counts: Sequence[int]) -> list[str]:
        return [self._digest(count) for count in counts]

    def _digest(self, count: int) -> str:
        digest, windows = WindowDigest(), self.windows[:count]
        digest.update(
            np.concatenate([np.empty(0, np.int64), *windows]), self.lengths()[:count], self.parts()[:count]
        )
        return digest.hexdigest()


def corpora(prompts: int, *cuts: int, **changes) -> list[GrowingMemory]:
    """The first so many prompts of one random corpus, for each cut, then all of it."""
    whole = random_corpus(prompts, **changes)
    return [
        GrowingMemory([w.tolist() for w in whole.windows[:cut]], whole.parts()[:cut].tolist())
        for cut in (*cuts, prompts)
    ]


def scan_of(model, corpus: GrowingMemory, folder: Path, *, indexes: Path | None = None, **changes) -> Scan:
    arguments = {
        "layers": range(model.info.n_layers),
        "top": 6,
        "batch_tokens": 40,
        "checkpoint_seconds": 1e9,
        "sample": 12,
        "copies": find_copies(corpus, lambda: None),
        **changes,
    }
    return Scan(model, corpus, folder, earlier=EarlierIndexes(indexes or folder.parent, corpus), **arguments)


def check_same(found: ScanIndex, expected: ScanIndex, *, exact: bool = True) -> None:
    assert found.manifest.layers == expected.manifest.layers
    for name in ("prompts", "tokens", "positions", "content", "top"):
        assert getattr(found.manifest, name) == getattr(expected.manifest, name)
    if expected.manifest.layers[0] == 0:
        copies = [index.top(NeuronId(0, 0), expected.manifest.top).copies for index in (found, expected)]
        assert copies[0] == copies[1]
    assert found.sample_prompts().tolist() == expected.sample_prompts().tolist()
    for layer in expected.manifest.layers:
        mine, other = found.layer(layer), expected.layer(layer)
        for name in EXACT:
            if exact or name not in ("top_values", "extremes", "sample"):
                np.testing.assert_array_equal(mine[name], other[name], err_msg=name)
            else:
                relative = 1e-3 if name == "sample" else 1e-5  # the sample is kept in half precision
                np.testing.assert_allclose(mine[name], other[name], rtol=relative, atol=1e-6)
        np.testing.assert_allclose(
            mine["moments"], other["moments"], rtol=1e-10 if exact else 1e-5, atol=1e-10
        )


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 70),
    st.lists(st.floats(0, 1), min_size=1, max_size=2),
    st.booleans(),
    st.integers(20, 90),
    st.integers(0, 3),
)
def test_extending_equals_scanning_all(
    tmp_path_factory: pytest.TempPathFactory,
    prompts: int,
    cuts: list[float],
    gated: bool,
    batch_tokens: int,
    seed: int,
) -> None:
    """However often a corpus grows, by whatever, down to nothing at all."""
    folder = tmp_path_factory.mktemp("indexes")
    sizes = sorted(1 + int(cut * (prompts - 1)) for cut in cuts)
    steps = corpora(prompts, *sizes, seed=seed)
    model = FakeModel(gated=gated)
    scratch = run_scan(scan_of(model, steps[-1], folder / "scratch", indexes=folder / "none"))
    before = 0
    for number, step in enumerate(steps):
        model.batches.clear()
        scan = scan_of(model, step, folder / "grown" / str(number), batch_tokens=batch_tokens)
        index = run_scan(scan)
        assert scan.problems == ()
        assert index.manifest.extended_from == before
        assert sum(rows for rows, _ in model.batches) == len(step) - before
        before = len(step)
    check_same(index, scratch)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_extending_a_scan_of_a_real_model(tmp_path: Path, tiny_model, name: str) -> None:
    """Where batches differ a processor may round differently, which would swap equal prompts: none are."""
    random = np.random.default_rng(0)
    windows = [random.integers(3, 290, length).tolist() for length in random.integers(2, 21, 40)]
    parts = random.integers(0, 2, 40).tolist()
    model, first = tiny_model(name), GrowingMemory(windows[:25], parts[:25])
    whole = GrowingMemory(windows, parts)
    scratch = run_scan(scan_of(model, whole, tmp_path / "other" / "scratch"))
    run_scan(scan_of(model, first, tmp_path / "indexes" / "first"))
    index = run_scan(scan_of(model, whole, tmp_path / "indexes" / "whole"))
    assert index.manifest.extended_from == 25
    check_same(index, scratch, exact=False)


def test_a_killed_extension_goes_on_without_the_earlier_index(tmp_path: Path) -> None:
    model, (first, whole) = FakeModel(gated=True), corpora(60, 20)
    scratch = run_scan(scan_of(model, whole, tmp_path / "other" / "scratch"))
    run_scan(scan_of(model, first, tmp_path / "a" / "first"))
    killed = scan_of(model, whole, tmp_path / "a" / "whole")
    assert killed.resume() == 0
    assert killed.progress().prompts == 20
    assert killed.progress().total_prompts == 60
    killed.step()
    done = killed.progress()
    assert done.tokens < done.total_tokens == sum(map(len, whole.windows))
    killed.checkpoint()
    killed.close()
    ArrayFolder(tmp_path / "a" / "first").drop()
    scan = scan_of(model, whole, tmp_path / "a" / "whole")
    assert scan.resume() == done.prompts
    assert scan.progress().seconds_left is not None
    index = run_scan(scan)
    assert index.manifest.extended_from == 20
    check_same(index, scratch)
    again = scan_of(model, whole, tmp_path / "a" / "whole")
    assert (again.resume(), again.finished) == (60, True)


def test_a_damaged_checkpoint_of_an_extension_starts_from_the_earlier_index_again(tmp_path: Path) -> None:
    model, (first, whole) = FakeModel(), corpora(60, 20)
    run_scan(scan_of(model, first, tmp_path / "first"))
    killed = scan_of(model, whole, tmp_path / "whole")
    killed.resume()
    killed.step()
    killed.checkpoint()
    killed.close()
    (keys,) = (tmp_path / "whole").glob("state.keys.*.npy")
    keys.write_bytes(keys.read_bytes()[:-1] + b"?")
    for base_is_there in (True, False):
        if not base_is_there:
            ArrayFolder(tmp_path / "first").drop()
        scan = scan_of(model, whole, tmp_path / "whole")
        assert scan.resume() == 0
        assert len(scan.problems) == 1
        assert scan.progress().prompts == (20 if base_is_there else 0)
        assert scan.plan.prompts == (40 if base_is_there else 60)
        scan.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": [1]},
        {"layers": [0, 2], "top": 3},
    ],
)
def test_fewer_layers_and_a_smaller_top_are_in_the_earlier_index(tmp_path: Path, changes) -> None:
    model, (first, whole) = FakeModel(gated=True), corpora(60, 30)
    run_scan(scan_of(model, first, tmp_path / "a" / "first"))
    index = run_scan(scan_of(model, whole, tmp_path / "a" / "whole", **changes))
    assert index.manifest.extended_from == 30
    check_same(index, run_scan(scan_of(model, whole, tmp_path / "b" / "whole", **changes)))


@pytest.mark.parametrize(
    "change", ["layers", "top", "sample", "seed", "model", "basis", "dtype", "forward", "copies"]
)
def test_what_the_earlier_index_does_not_tell_is_scanned(tmp_path: Path, change: str) -> None:
    model, (first, whole) = FakeModel(), corpora(40, 30)
    before = {
        "layers": {"layers": [0, 1]}, "top": {"top": 5}, "sample": {"sample": 11}, "seed": {"seed": 1},
        "copies": {"copies": None},
    }  # fmt: skip
    run_scan(scan_of(model, first, tmp_path / "first", **before.get(change, {})))
    if change == "model":
        model.info = replace(model.info, fingerprint="other")
    elif change == "basis":
        model.basis = "raw"
    elif change == "forward":
        model.forward_path = "compiled"
    elif change == "dtype":
        import torch

        model.dtype = torch.float64
    index = run_scan(scan_of(model, whole, tmp_path / "whole"))
    assert index.manifest.extended_from == 0
    assert index.manifest.layers == tuple(range(N_LAYERS))


@pytest.mark.parametrize("change", ["token", "part", "cut", "order", "longer"])
def test_other_texts_are_never_taken_for_the_earlier_ones(tmp_path: Path, change: str) -> None:
    model, (first, whole) = FakeModel(), corpora(40, 30)
    windows, parts = [w.tolist() for w in first.windows], first.parts().tolist()
    if change == "token":
        windows[17][1] ^= 1
    elif change == "part":
        parts[17] ^= 1
    elif change == "cut":  # the same tokens in the same order, another border between two prompts
        place = next(n for n in range(29) if len(windows[n]) > 2)
        windows[place + 1].insert(0, windows[place].pop())
    elif change == "order":
        windows[0], windows[1] = windows[1], windows[0]
    else:
        windows.append([3, 4])
        parts.append(0)
    run_scan(scan_of(model, GrowingMemory(windows, parts), tmp_path / "first"))
    index = run_scan(scan_of(model, whole, tmp_path / "whole"))
    assert index.manifest.extended_from == 0


def test_a_damaged_earlier_index_is_passed_over(tmp_path: Path) -> None:
    model, (shorter, longer, whole) = FakeModel(), corpora(60, 20, 40)
    run_scan(scan_of(model, shorter, tmp_path / "a"))
    run_scan(scan_of(model, longer, tmp_path / "b"))
    (damaged,) = (tmp_path / "b").glob("layer_1.histogram.*.npy")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text("{")
    scan = scan_of(model, whole, tmp_path / "d")
    index = run_scan(scan)
    assert "damaged" in scan.problems[0]
    assert index.manifest.extended_from == 20
    check_same(index, run_scan(scan_of(model, whole, tmp_path / "other" / "scratch")))
    (damaged,) = (tmp_path / "a").glob("layer_0.moments.*.npy")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    ArrayFolder(tmp_path / "d").drop()
    assert run_scan(scan_of(model, whole, tmp_path / "e")).manifest.extended_from == 0


def test_an_earlier_index_that_cannot_be_read_now_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, (shorter, whole) = FakeModel(), corpora(40, 20)
    run_scan(scan_of(model, shorter, tmp_path / "a"))
    read = ScanIndex.layer

    def refuses_the_earlier(index: ScanIndex, layer: int):
        if index.folder == tmp_path / "a":
            raise UnavailableError("It could not be read: too many open files.", "See to that and ask again.")
        return read(index, layer)

    monkeypatch.setattr(ScanIndex, "layer", refuses_the_earlier)
    scan = scan_of(model, whole, tmp_path / "b")
    index = run_scan(scan)
    assert index.manifest.extended_from == 0
    assert "too many open files" in scan.problems[0]
    check_same(index, run_scan(scan_of(model, whole, tmp_path / "other" / "scratch")))
