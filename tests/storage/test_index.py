"""Reading an index: what is written comes back, damage is refused, and torch is not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tui_lookups.errors import BadIdError, CacheError, SettingsError
from tui_lookups.ids import NeuronId
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.index import (
    COMMON,
    FORMAT_VERSION,
    ScanIndex,
    ScanManifest,
    copies_arrays,
    layer_arrays,
    layer_block,
)

D_MLP, TOP = 3, 4
SIGNS = (1, -1)
MANIFEST = ScanManifest(
    kind="index",
    format=FORMAT_VERSION,
    model="m" * 8,
    corpus="c" * 8,
    basis="folded",
    dtype="float32",
    device="cpu",
    layers=(2, 5),
    d_mlp=D_MLP,
    signs=SIGNS,
    top=TOP,
    sample=20,
    batch_tokens=100,
    seed=0,
    plan="p" * 8,
    next_batch=3,
    prompts=70_000,
    tokens=900_000,
    positions=830_000,
    seconds=1.5,
)
EDGES = np.array([-1.0, 0.0, 1.0, 2.0, 4.0], np.float32)
SAMPLE = np.arange(20) * 11
ORIGINALS = np.arange(70_000)
ORIGINALS[[9, *range(100, 300)]] = 8


def arrays_of(layer: int, sample_scale: float = 1.0) -> dict[str, np.ndarray]:
    """Neuron 0 has entries in both parts, tied across them; neuron 1 has one; neuron 2 none."""
    values = np.full((D_MLP, 2, 2, TOP), np.nan, np.float32)
    prompts = np.full((D_MLP, 2, 2, TOP), -1, np.int64)
    positions = np.full((D_MLP, 2, 2, TOP), -1, np.int64)
    values[0, 0] = [[9, 7, 7, 1], [8, 7, 7, 0]]
    prompts[0, 0] = [[60_000, 5, 8, 1], [40, 4, 9, 2]]
    positions[0, 0] = [[1, 2, 3, 4], [250, 6, 7, 8]]
    values[0, 1, 0, :2], prompts[0, 1, 0, :2], positions[0, 1, 0, :2] = [3, -0.5], [17, 18], [5, 6]
    values[1, 0, 0, 0], prompts[1, 0, 0, 0], positions[1, 0, 0, 0] = layer, 69_999, 127
    return layer_arrays(
        values,
        prompts,
        positions,
        moments=np.array([[0.5, 2.0, 0.25]] * D_MLP),
        extremes=np.array([[9.0, -3.0]] * D_MLP),
        histogram=np.array([[0, 4, 300, 0], [1, 0, 0, 70_000], [0, 0, 0, 0]]),
        sample=np.tile(np.linspace(-1, 3, 20) * sample_scale, (D_MLP, 1)).astype(np.float32),
        corpus_prompts=70_000,
    )


def write(folder: Path, manifest: ScanManifest = MANIFEST) -> None:
    with ArrayFolder(folder).writing() as writer:
        assert writer is not None
        for layer in manifest.layers:
            writer.write(layer_block(layer), arrays_of(layer))
        writer.write(COMMON, {"edges": EDGES, "sample": SAMPLE, **copies_arrays(ORIGINALS)})
        writer.commit(manifest.to_plain())


@pytest.fixture
def index(tmp_path: Path) -> ScanIndex:
    write(tmp_path)
    return ScanIndex.open(tmp_path)


def test_tops_of_each_part_and_of_both(index: ScanIndex) -> None:
    neuron = NeuronId(2, 0)
    assert index.manifest == MANIFEST
    explaining, scoring = index.top(neuron, 4, 0), index.top(neuron, 2, 1)
    assert explaining.values == (9.0, 7.0, 7.0, 1.0)
    assert explaining.prompt_ids == (60_000, 5, 8, 1)
    assert explaining.positions == (1, 2, 3, 4)
    assert (scoring.values, scoring.prompt_ids, scoring.positions) == ((8.0, 7.0), (40, 4), (250, 6))
    both = index.top(neuron, 4)
    assert both.values == (9.0, 8.0, 7.0, 7.0)
    assert both.prompt_ids == (60_000, 40, 4, 5)  # of four that tie at 7, the smallest ids
    assert len(both) == 4


def test_the_best_of_copies_in_both_parts_is_listed_once(index: ScanIndex) -> None:
    """Prompt 9 of the scoring part is a copy of prompt 8 of the explaining one, and ties with it."""
    assert index.top(NeuronId(2, 0), 4).copies == (1, 1, 1, 1)
    assert index.top(NeuronId(2, 0), 3, 1).copies == (1, 1, 202)
    record = index.record(NeuronId(2, 0))
    found = replace(record, top_values=np.where(record.top_prompts == 9, 8.5, record.top_values)).top(4)
    assert (found.prompt_ids, found.texts) == ((60_000, 9, 40, 4), (60_000, 8, 40, 4))
    assert found.copies == (1, 202, 1, 1)


def test_the_negative_sign_gives_the_activation_itself(index: ScanIndex) -> None:
    found = index.top(NeuronId(2, 0), 4, sign=-1)
    assert (found.values, found.prompt_ids) == ((-3.0, 0.5), (17, 18))


def test_empty_slots_are_no_entries(index: ScanIndex) -> None:
    assert index.top(NeuronId(5, 1), 4).values == (5.0,)
    assert index.top(NeuronId(5, 1), 4).prompt_ids == (69_999,)
    assert len(index.top(NeuronId(5, 2), 4)) == 0
    assert len(index.top(NeuronId(5, 1), 4, part=1)) == 0


def test_stats_and_histogram(index: ScanIndex) -> None:
    stats = index.stats(NeuronId(2, 0))
    assert (stats.mean, stats.variance, stats.fraction_positive) == (0.5, 2.0, 0.25)
    assert (stats.maximum, stats.minimum, stats.tokens, stats.prompts) == (9.0, -3.0, 830_000, 70_000)
    assert (stats.histogram.edges, stats.histogram.counts) == ((0.0, 1.0, 2.0), (4, 300))
    whole = index.stats(NeuronId(2, 1)).histogram
    assert (len(whole.edges), whole.counts) == (5, (1, 0, 0, 70_000))
    assert index.stats(NeuronId(2, 2)).histogram.counts == (0, 0, 0, 0)


def test_sample_and_deciles(index: ScanIndex) -> None:
    sample, deciles = index.sample(NeuronId(2, 0)), index.deciles(NeuronId(2, 0))
    assert sample.prompt_ids == tuple(SAMPLE.tolist())
    assert sample.values == pytest.approx(np.linspace(-1, 3, 20), abs=2e-3)
    assert deciles.prompt_ids == tuple(SAMPLE[1::2].tolist())  # the middle of each tenth
    assert deciles.values == pytest.approx(np.linspace(-1, 3, 20)[1::2], abs=2e-3)


def test_what_it_does_not_have_is_refused(index: ScanIndex) -> None:
    with pytest.raises(BadIdError, match=r"L3\.N0"):
        index.top(NeuronId(3, 0), 1)
    with pytest.raises(BadIdError):
        index.top(NeuronId(2, D_MLP), 1)
    with pytest.raises(SettingsError, match="top 4 prompts"):
        index.top(NeuronId(2, 0), 5)


def test_an_index_of_one_sign_says_so(tmp_path: Path) -> None:
    write(tmp_path, replace(MANIFEST, signs=(1,)))
    with pytest.raises(SettingsError, match="negative"):
        ScanIndex.open(tmp_path).top(NeuronId(2, 0), 1, sign=-1)


def test_types_are_as_small_as_the_corpus_allows() -> None:
    arrays = arrays_of(2)
    assert arrays["top_prompts"].dtype == np.uint32
    assert arrays["top_positions"].dtype == np.uint8
    assert arrays["histogram"].dtype == np.uint32
    assert arrays["sample"].dtype == np.float16
    assert arrays_of(2, sample_scale=1e6)["sample"].dtype == np.float32  # half precision ends at 65504


@pytest.mark.parametrize(("prompts", "dtype"), [(255, np.uint16), (254, np.uint8), (65_534, np.uint16)])
def test_the_largest_number_is_kept_for_empty_slots(prompts: int, dtype: type) -> None:
    ids = np.array([[[[prompts - 1, -1]]]])
    zeros = np.zeros((1, 1))
    arrays = layer_arrays(
        np.ones(ids.shape), ids, ids, zeros, zeros, zeros.astype(int), zeros, corpus_prompts=prompts
    )
    assert arrays["top_prompts"].dtype == dtype
    assert arrays["top_prompts"].ravel().tolist() == [prompts - 1, np.iinfo(dtype).max]


def test_a_gpt2_xl_index_stays_small() -> None:
    """Bytes a neuron, for 307,200 neurons, top 20 and a corpus of 20,000 prompts."""
    top = np.zeros((1, 1, 2, 20))
    arrays = layer_arrays(
        top,
        top.astype(np.int64),
        top.astype(np.int64),
        np.zeros((1, 3)),
        np.zeros((1, 2)),
        np.full((1, 64), 20_000),
        np.zeros((1, 40)),
        corpus_prompts=20_000,
    )
    assert sum(array.nbytes for array in arrays.values()) * 307_200 < 165e6


def test_nothing_there_a_checkpoint_and_damage(tmp_path: Path) -> None:
    assert ScanIndex.find(tmp_path / "none") is None
    with pytest.raises(CacheError, match="no finished index"):
        ScanIndex.open(tmp_path / "none")
    write(tmp_path / "checkpoint", replace(MANIFEST, kind="checkpoint"))
    assert ScanIndex.find(tmp_path / "checkpoint") is None
    write(tmp_path / "other", replace(MANIFEST, format=99))
    with pytest.raises(CacheError, match="another format"):
        ScanIndex.find(tmp_path / "other")
    write(tmp_path / "damaged")
    path = next((tmp_path / "damaged").glob("layer_5.top_values.*.npy"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    index = ScanIndex.open(tmp_path / "damaged")
    assert len(index.top(NeuronId(2, 0), 1)) == 1  # the other layer is sound
    with pytest.raises(CacheError, match="damaged"):
        index.top(NeuronId(5, 0), 1)
    index.drop()
    assert ScanIndex.find(tmp_path / "damaged") is None


@pytest.mark.parametrize(
    "spoil", [{"layers": 3}, {"extra": 1}, {"top": "many"}, {"seconds": None}, {"kind": "x"}]
)
def test_a_manifest_of_something_else_is_refused(spoil: dict[str, object]) -> None:
    assert ScanManifest.from_plain(MANIFEST.to_plain()) == MANIFEST
    with pytest.raises(CacheError):
        ScanManifest.from_plain({**MANIFEST.to_plain(), **spoil})
    with pytest.raises(CacheError):
        ScanManifest.from_plain({"documents": 3})


def test_reading_imports_no_torch(tmp_path: Path) -> None:
    write(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tui_lookups.ids import NeuronId\nfrom tui_lookups.storage.index import ScanIndex\n"
        "print(ScanIndex.open(Path(sys.argv[1])).top(NeuronId(2, 0), 1).prompt_ids)\n"
        "print([name for name in ('torch', 'transformers', 'transformer_lens') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.splitlines() == ["(60000,)", "[]"]


def test_a_layer_as_a_whole_is_what_was_written(index: ScanIndex) -> None:
    """A scan goes on from it: what was written from it again is the same to the bit."""
    for layer in MANIFEST.layers:
        again = layer_arrays(**index.layer(layer), corpus_prompts=70_000)
        for name, array in arrays_of(layer).items():
            assert again[name].dtype == array.dtype
            np.testing.assert_array_equal(again[name], array)
    assert index.sample_prompts().tolist() == SAMPLE.tolist()


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"layers": (5,)}, True),
        ({"top": TOP - 1}, True),
        ({"device": "cuda", "batch_tokens": 7, "plan": "q", "corpus": "d", "prompts": 0}, True),
        ({"layers": (2, 3)}, False),
        ({"top": TOP + 1}, False),
        ({"seed": 1}, False),
        ({"sample": 21}, False),
        ({"model": "n"}, False),
        ({"dtype": "float16"}, False),
        ({"forward": "plain"}, False),
    ],
)
def test_which_index_a_scan_may_go_on_from(changes: dict[str, object], may: bool) -> None:
    earlier = replace(MANIFEST, content="d" * 8)
    assert replace(MANIFEST, **changes).may_extend(earlier) is may
    assert not replace(MANIFEST, **changes).may_extend(replace(earlier, content=""))
    assert not replace(MANIFEST, **changes).may_extend(replace(earlier, kind="checkpoint"))
