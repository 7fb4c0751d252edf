"""The scan against brute force over all prompts, and what interrupts it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.scan.fake_model import D_MLP, N_LAYERS, FakeModel, MemoryCorpus, random_corpus
from tui_lookups.errors import BadIdError, CacheError, Cancelled, CorpusError, LookupsError, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.scan import state as scan_state
from tui_lookups.scan.copies import Copies, find_copies
from tui_lookups.scan.scan import Scan, run_scan
from tui_lookups.scan.state import histogram_edges
from tui_lookups.scan.subject import ScanBusyError
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.index import ScanIndex
from tui_lookups.storage.neuron_record import NeuronRecord, TopEntries

NEURONS = [NeuronId(layer, index) for layer in range(N_LAYERS) for index in range(D_MLP)]


def new_scan(model, corpus, folder: Path, **changes) -> Scan:
    settings = {
        "layers": range(model.info.n_layers),
        "top": 6,
        "batch_tokens": 40,
        "checkpoint_seconds": 1e9,
        "sample": 12,
    }
    return Scan(model, corpus, folder, **{**settings, **changes})


def distinct_scan(model, corpus, folder: Path, **changes) -> Scan:
    """A scan that keeps the best prompt of each text."""
    return new_scan(model, corpus, folder, copies=find_copies(corpus, lambda: None), **changes)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every array in the index."""
    manifest = ArrayFolder(folder).manifest()
    assert manifest is not None
    return {
        f"{block}.{key}": e.sha256 for block, files in manifest.arrays.items() for key, e in files.items()
    }


def brute_force_top(
    activations: list[np.ndarray],
    parts: list[int],
    k: int,
    part: int | None,
    sign: int,
    copies: Copies | None = None,
) -> TopEntries:
    """activations: one array [tokens] a prompt, of one neuron."""
    texts = list(range(len(parts))) if copies is None else copies.originals.tolist()
    ranked = []
    for prompt, values in enumerate(activations):
        if (part is None or parts[prompt] == part) and len(values) >= 2:
            signed = sign * values[1:]
            ranked.append((-signed.max(), prompt, int(signed.argmax()) + 1))
    firsts: dict[int, tuple[float, int, int]] = {}
    for entry in sorted(ranked):
        firsts.setdefault(texts[entry[1]], entry)
    best = list(firsts.values())[:k]
    return TopEntries(
        tuple(float(sign * -value) + 0.0 for value, _, _ in best),
        tuple(prompt for _, prompt, _ in best),
        tuple(position for _, _, position in best),
        texts=tuple(texts[prompt] for _, prompt, _ in best),
        copies=tuple(0 if copies is None else texts.count(texts[prompt]) for _, prompt, _ in best),
    )


def check_record(
    record: NeuronRecord,
    activations: list[np.ndarray],
    parts: list[int],
    signs: tuple[int, ...],
    top: int,
    copies: Copies | None = None,
) -> None:
    for sign in signs:
        for part in (None, 0, 1):
            assert record.top(top, part, sign) == brute_force_top(activations, parts, top, part, sign, copies)
    counted = np.concatenate([values[1:] for values in activations]).astype(np.float64)
    phi = {prompt: values[1:].max() for prompt, values in enumerate(activations) if len(values) >= 2}
    stats = record.stats()
    assert stats.mean == pytest.approx(counted.mean(), rel=1e-6, abs=1e-6)
    assert stats.variance == pytest.approx(counted.var(), rel=1e-5, abs=1e-6)
    assert stats.fraction_positive == pytest.approx((counted > 0).mean(), abs=1e-12)
    assert (stats.maximum, stats.minimum) == (counted.max(), counted.min())
    assert (stats.tokens, stats.prompts) == (len(counted), len(phi))
    edges = histogram_edges()
    counts = np.zeros(len(edges) - 1, int)
    for value in phi.values():
        counts[min(max(int((edges <= np.float32(value)).sum()) - 1, 0), len(counts) - 1)] += 1
    first = edges.tolist().index(stats.histogram.edges[0])
    assert list(stats.histogram.counts) == counts[first : first + len(stats.histogram.counts)].tolist()
    assert stats.histogram.edges == tuple(edges[first : first + len(stats.histogram.edges)].tolist())
    assert sum(stats.histogram.counts) == len(phi)
    sample = record.sample()
    assert list(sample.values) == pytest.approx([phi[prompt] for prompt in sample.prompt_ids], rel=1e-3)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("prompts", [1, 5, 60])
def test_every_neuron_equals_brute_force(tmp_path: Path, gated: bool, prompts: int) -> None:
    model, corpus = FakeModel(gated=gated), random_corpus(prompts)
    index = run_scan(new_scan(model, corpus, tmp_path))
    ties = 0
    for neuron in NEURONS:
        activations = [model.activations(ids, neuron.layer)[:, neuron.index] for ids in corpus.windows]
        check_record(
            index.record(neuron), activations, corpus.parts().tolist(), (1, -1) if gated else (1,), 6
        )
        values = index.top(neuron, 6).values
        ties += len(values) - len(set(values))
    if prompts == 60:
        assert ties > 10  # the test would otherwise say nothing about them
    assert index.manifest.signs == ((1, -1) if gated else (1,))


@pytest.mark.parametrize("gated", [False, True])
def test_the_best_prompt_of_each_text_equals_brute_force(tmp_path: Path, gated: bool) -> None:
    """Copies in both parts, of equal activation and, where the position of a text differs, of others."""
    model, corpus = FakeModel(gated=gated), random_corpus(60)
    copies = find_copies(corpus, lambda: None)
    assert 10 < (copies.counts > 1).sum() < 40
    scan = distinct_scan(model, corpus, tmp_path)
    index = run_scan(scan)
    assert not index.manifest.keep_copies
    for neuron in NEURONS:
        activations = [model.activations(ids, neuron.layer)[:, neuron.index] for ids in corpus.windows]
        parts, signs = corpus.parts().tolist(), (1, -1) if gated else (1,)
        check_record(index.record(neuron), activations, parts, signs, 6, copies)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox_parallel"])
def test_real_models_equal_brute_force(tmp_path: Path, tiny_model, name: str) -> None:
    """On the activations of the scan's own batches: a processor may round others differently."""
    model, corpus = tiny_model(name), random_corpus(24, vocabulary=290, window=20)
    scan = new_scan(model, corpus, tmp_path, batch_tokens=80)
    captured: dict[int, list[torch.Tensor]] = {}
    for number in range(len(scan.plan)):
        ids = scan.plan.batch(number).tolist()
        found: list[torch.Tensor] = []
        model.mlp_activations(
            model.batch([corpus.windows[p] for p in ids]), range(3), lambda _, a, f=found: f.append(a.clone())
        )
        for row, prompt in enumerate(ids):
            captured[prompt] = [layer[row, : len(corpus.windows[prompt])] for layer in found]
    index = run_scan(scan)
    for layer in range(3):
        alone: list[torch.Tensor] = []
        model.mlp_activations(
            model.batch([corpus.windows[5]]), [layer], lambda _, a, f=alone: f.append(a.clone())
        )
        torch.testing.assert_close(alone[0][0], captured[5][layer], rtol=1e-4, atol=1e-5)
        for neuron in (NeuronId(layer, index) for index in range(0, model.info.d_mlp, 3)):
            values = [captured[p][layer][:, neuron.index].numpy() for p in range(24)]
            check_record(index.record(neuron), values, corpus.parts().tolist(), index.manifest.signs, 6)
    assert (-1 in index.manifest.signs) == model.info.gated


def test_the_cut_into_batches_and_layers_merged_at_once_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    model, corpus = FakeModel(gated=True), random_corpus(50)
    found = []
    for number, (batch_tokens, at_once) in enumerate([(1, 1 << 21), (17, 100), (1000, 1), (1000, 1 << 21)]):
        monkeypatch.setattr(scan_state, "_AT_ONCE", at_once)
        run_scan(new_scan(model, corpus, tmp_path / str(number), batch_tokens=batch_tokens))
        found.append(digests(tmp_path / str(number)))
    assert found == [found[0]] * 4


def test_only_the_layers_asked_for(tmp_path: Path) -> None:
    model, corpus = FakeModel(), random_corpus(20)
    index = run_scan(new_scan(model, corpus, tmp_path / "some", layers=(2, 1)))
    whole = run_scan(new_scan(model, corpus, tmp_path / "all"))
    assert index.top(NeuronId(2, 3), 6) == whole.top(NeuronId(2, 3), 6)
    with pytest.raises(BadIdError, match=r"L0\.N0"):
        index.record(NeuronId(0, 0))
    with pytest.raises(BadIdError):
        new_scan(model, corpus, tmp_path, layers=(3,))


def test_prompts_of_one_token_are_left_out(tmp_path: Path) -> None:
    corpus = MemoryCorpus([[1], [1, 2], [3]], [0, 1, 0])
    index = run_scan(new_scan(FakeModel(), corpus, tmp_path))
    assert index.top(NeuronId(0, 0), 6).prompt_ids == (1,)
    assert index.manifest.prompts == 1
    with pytest.raises(CorpusError):
        new_scan(FakeModel(), MemoryCorpus([[1]], [0]), tmp_path)


def test_peek_and_progress_while_it_runs(tmp_path: Path) -> None:
    model, corpus = FakeModel(gated=True), random_corpus(40)
    scan = new_scan(model, corpus, tmp_path)
    assert scan.progress().state == "waiting"
    scan.resume()
    before = scan.peek(NEURONS[4])
    assert (len(before.top(6)), before.stats().tokens, len(before.sample()), len(before.deciles())) == (
        0,
        0,
        0,
        0,
    )
    scan.step()
    scan.step()
    record, progress = scan.peek(NEURONS[4]), scan.progress()
    done = [prompt for number in range(2) for prompt in scan.plan.batch(number).tolist()]
    activations = [
        model.activations(ids, 0)[:, 4] if prompt in done else np.zeros(1)
        for prompt, ids in enumerate(corpus.windows)
    ]
    check_record(record, activations, corpus.parts().tolist(), (1, -1), 6)
    assert (progress.state, progress.prompts, progress.total_prompts) == ("running", len(done), 40)
    assert progress.tokens == sum(len(corpus.windows[prompt]) for prompt in done)
    assert progress.total_tokens == corpus.info.tokens
    while scan.step():
        pass
    assert len(record.top(6, 0)) + len(record.top(6, 1)) <= len(done)  # a record is a copy
    index = scan.finish()
    assert scan.peek(NEURONS[4]).top(6) == index.top(NEURONS[4], 6)
    assert (scan.progress().state, scan.progress().prompts, scan.step()) == ("done", 40, False)
    with pytest.raises(BadIdError):
        scan.peek(NeuronId(0, D_MLP))


def test_an_interrupted_batch_is_done_again(tmp_path: Path) -> None:
    """Cancelled before each layer of each batch in turn: the result is that of an undisturbed scan."""
    model, corpus = FakeModel(gated=True), random_corpus(30)
    run_scan(new_scan(model, corpus, tmp_path / "smooth"))
    scan = new_scan(model, corpus, tmp_path / "disturbed")
    scan.resume()
    more, interruptions = True, 0
    while more:
        for calls_before in range(N_LAYERS):
            calls = iter(range(calls_before))

            def poll(calls=calls) -> None:
                if next(calls, None) is None:
                    raise Cancelled

            with pytest.raises(Cancelled):
                scan.step(poll)
            interruptions += 1
        more = scan.step()
    scan.finish()
    assert interruptions == N_LAYERS * len(scan.plan)
    assert digests(tmp_path / "disturbed") == digests(tmp_path / "smooth")


def test_a_real_forward_pass_can_be_interrupted(tmp_path: Path, tiny_model) -> None:
    model, corpus = tiny_model("gpt2"), random_corpus(12, vocabulary=290, window=20)
    run_scan(new_scan(model, corpus, tmp_path / "smooth"))
    scan = new_scan(model, corpus, tmp_path / "disturbed")
    scan.resume()
    calls = iter(range(2))

    def poll() -> None:
        if next(calls, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        scan.step(poll)
    while scan.step():
        pass
    scan.finish()
    assert digests(tmp_path / "disturbed") == digests(tmp_path / "smooth")


class CrampedModel(FakeModel):
    """Has room for `room` padded tokens."""

    room = 20

    def mlp_activations(self, tokens, layers, consume, *, poll=lambda: None) -> None:
        if tokens.numel() > self.room:
            raise torch.OutOfMemoryError("no room")
        super().mlp_activations(tokens, layers, consume, poll=poll)


def test_what_does_not_fit_into_memory_is_cut(tmp_path: Path) -> None:
    corpus = random_corpus(50)
    run_scan(new_scan(FakeModel(gated=True), corpus, tmp_path / "roomy"))
    run_scan(new_scan(CrampedModel(gated=True), corpus, tmp_path / "cramped"))
    assert digests(tmp_path / "cramped") == digests(tmp_path / "roomy")


def test_one_prompt_that_does_not_fit_is_said(tmp_path: Path) -> None:
    model = CrampedModel()
    model.room = 1
    with pytest.raises(LookupsError, match="does not fit into memory"):
        run_scan(new_scan(model, random_corpus(5), tmp_path))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_nan_and_infinity_name_the_layer_and_are_never_saved(tmp_path: Path, bad: float) -> None:
    model = FakeModel()
    model.by_token[1, 5, 2] = bad
    scan = new_scan(model, MemoryCorpus([[1, 2, 3]] * 4 + [[1, 5]], [0] * 5), tmp_path, checkpoint_seconds=0)
    with pytest.raises(NumericalError, match="layer 1"):
        run_scan(scan)
    with pytest.raises(NumericalError, match="layer 1"):
        scan.checkpoint()
    scan.close()
    assert ScanIndex.find(tmp_path) is None


def test_the_lock_keeps_a_second_scan_out(tmp_path: Path) -> None:
    model, corpus = FakeModel(), random_corpus(20)
    first, second = new_scan(model, corpus, tmp_path), new_scan(model, corpus, tmp_path)
    first.resume()
    first.step()
    with pytest.raises(ScanBusyError):
        second.resume()
    waited = []

    def busy() -> None:
        waited.append(1)
        if len(waited) == 3:
            while first.step():
                pass
            first.finish()

    model.batches.clear()
    index = run_scan(second, busy=busy)
    assert len(waited) == 3
    assert len(model.batches) == len(first.plan) - 1  # the second ran none
    assert second.finished
    assert index.top(NEURONS[0], 6) == first.peek(NEURONS[0]).top(6)


def test_close_gives_the_folder_up_and_ends_the_scan(tmp_path: Path) -> None:
    model, corpus = FakeModel(), random_corpus(20)
    first = new_scan(model, corpus, tmp_path)
    first.resume()
    first.step()
    first.close()
    with pytest.raises(Cancelled):
        first.checkpoint()
    second = new_scan(model, corpus, tmp_path)
    assert second.resume() == 0
    second.close()


def test_a_full_disk_is_said_and_the_scan_goes_on(tmp_path: Path, monkeypatch) -> None:
    model, corpus = FakeModel(), random_corpus(30)
    run_scan(new_scan(model, corpus, tmp_path / "smooth"))
    scan = new_scan(model, corpus, tmp_path / "full", checkpoint_seconds=0)
    scan.resume()
    scan.step()
    files = sorted(path.name for path in (tmp_path / "full").iterdir())

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(CacheError, match="no space left"):
            scan.step()
        assert sorted(path.name for path in (tmp_path / "full").iterdir()) == files
        with pytest.raises(CacheError, match="no space left"):
            scan.step()
    while scan.step():
        pass
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(CacheError, match="no space left"):
            scan.finish()
    scan.finish()
    assert digests(tmp_path / "full") == digests(tmp_path / "smooth")


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    for changes in ({"layers": ()}, {"top": 0}, {"batch_tokens": 0}, {"sample": 0}):
        with pytest.raises(ValueError, match="must not be"):
            new_scan(FakeModel(), random_corpus(3), tmp_path, **changes)
    with pytest.raises(RuntimeError):
        new_scan(FakeModel(), random_corpus(3), tmp_path).step()


def test_histogram_edges_rise_and_hold_zero() -> None:
    edges = histogram_edges()
    assert edges.shape == (65,)
    assert (np.diff(edges) > 0).all()
    assert 0.0 in edges
    assert edges[-1] == pytest.approx(1000)
