"""The main job on the packaged demo, end to end, against a float64 recomputation from its safetensors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import tui_lookups
from tests.reference_raw import RawGPT2
from tui_lookups.errors import BadIdError, LookupsError, UnknownTokenError
from tui_lookups.explorer import Explorer
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.verifying import verify
from tui_lookups.exports.writing import export
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    NeuronPrompts,
    SelectedAblation,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
)
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

WINDOW = 64
FOLLOWED = NeuronId(3, 700)
CHECKED = (NeuronId(0, 5), NeuronId(3, 700), NeuronId(5, 0))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every eighth of the packaged passages."""
    packaged = Path(tui_lookups.__file__).parent / "demo" / "passages.jsonl"
    some = tmp_path_factory.mktemp("corpus") / "some.jsonl"
    some.write_text("".join(packaged.read_text(encoding="utf-8").splitlines(keepends=True)[::8]))
    return str(some)


def opened(cache: Path, corpus: str, **more: int) -> Explorer:
    """An Explorer whose windows are short: a passage is two or three of them."""
    settings = load_settings(cache_dir=cache, corpus=corpus, window=WINDOW, threads=1, device="cpu", **more)
    return Explorer(settings)


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory, corpus: str) -> Iterator[Explorer]:
    made = opened(tmp_path_factory.mktemp("cache"), corpus)
    yield made
    made.close()


@pytest.fixture(scope="module")
def raw(demo_folder: Path) -> RawGPT2:
    return RawGPT2(demo_folder)


@pytest.fixture(scope="module")
def windows(explorer: Explorer) -> list[list[int]]:
    corpus = explorer._engine.corpus()
    return [corpus.window_tokens(i).tolist() for i in range(len(corpus))]


@dataclass(frozen=True)
class BruteForce:
    """The reference run over the whole corpus, position 0 left out.

    phi and its position: [prompts, layers, d_mlp]; `followed` is every activation of FOLLOWED.
    """

    phi: np.ndarray
    positions: np.ndarray
    followed: np.ndarray


@pytest.fixture(scope="module")
def brute(raw: RawGPT2, windows: list[list[int]]) -> BruteForce:
    values, places, followed = [], [], []
    for tokens in windows:
        activations = np.stack([block.activation[1:] for block in raw.run(tokens)[1]], 1)
        values.append(activations.max(0))
        places.append(activations.argmax(0) + 1)
        followed.append(activations[:, FOLLOWED.layer, FOLLOWED.index])
    return BruteForce(np.stack(values), np.stack(places), np.concatenate(followed))


def test_congruence_and_ranking_equal_the_reference(explorer: Explorer, raw: RawGPT2) -> None:
    found = explorer.neurons(" time", top=12)
    whole = np.stack([raw.congruence(layer) for layer in range(6)])  # [layers, d_mlp, d_vocab]
    own = whole[:, :, found.token.id]
    best = np.argsort(-own.ravel(), kind="stable")[:12]
    assert [row.neuron for row in found.neurons] == [NeuronId(*map(int, divmod(p, 768))) for p in best]
    for row in found.neurons:
        column = whole[row.layer, row.index]
        assert row.congruence == pytest.approx(own[row.layer, row.index], rel=1e-4)
        assert row.token_rank == 1 + int((column > column[found.token.id]).sum())
        assert row.top_token.id == int(column.argmax())
        assert row.top_congruence == pytest.approx(column.max(), rel=1e-4)


def test_every_neurons_top_prompts_equal_brute_force(explorer: Explorer, brute: BruteForce) -> None:
    summary = explorer.scan()
    values, places = brute.phi, brute.positions
    assert (summary.prompts, summary.neurons) == (len(values), 6 * 768)
    index = explorer._scan.index()
    assert index is not None
    tops = [[index.top(NeuronId(layer, i), 20) for i in range(768)] for layer in range(6)]
    found, prompt_ids, positions = (
        np.array([[getattr(top, name) for top in layer] for layer in tops]).transpose(2, 0, 1)
        for name in ("values", "prompt_ids", "positions")
    )  # each [20, layers, d_mlp]
    order = np.argsort(-values, axis=0, kind="stable")[:20]
    np.testing.assert_allclose(found, np.take_along_axis(values, order, 0), rtol=1e-4, atol=1e-5)
    # float32 and float64 may swap prompts, or positions, whose values differ by less than that.
    np.testing.assert_allclose(np.take_along_axis(values, prompt_ids, 0), found, rtol=1e-4, atol=1e-5)
    others = positions != np.take_along_axis(places, prompt_ids, 0)
    assert others[found > 1e-3].mean() < 1e-4


def test_statistics_equal_brute_force(explorer: Explorer, brute: BruteForce) -> None:
    every, phi = brute.followed, brute.phi[:, FOLLOWED.layer, FOLLOWED.index]
    stats = explorer.prompts(FOLLOWED).stats
    assert explorer.stats((FOLLOWED, FOLLOWED)) == (stats, stats), "also of many at once, from the index"
    assert stats.tokens == len(every)
    assert stats.prompts == len(phi) == sum(stats.histogram.counts)
    assert stats.mean == pytest.approx(every.mean(), rel=1e-4, abs=1e-6)
    assert stats.variance == pytest.approx(every.var(), rel=1e-4)
    assert stats.fraction_positive == pytest.approx((every > 0).mean(), abs=1e-4)
    assert stats.maximum == pytest.approx(every.max(), rel=1e-4)
    edges = np.asarray(stats.histogram.edges)
    expected, found = np.histogram(phi, bins=edges)[0], np.asarray(stats.histogram.counts)
    # GELU far below zero is -1e-12 in float64 and 0 in float32: the two bins that meet at 0 count together.
    zero = int(np.flatnonzero(edges == 0.0)[0])
    assert abs(expected[zero - 1 : zero + 1].sum() - found[zero - 1 : zero + 1].sum()) <= 1
    rest = np.delete(np.arange(len(found)), [zero - 1, zero])
    assert np.abs(expected[rest] - found[rest]).max() <= 1


@pytest.mark.parametrize("neuron", CHECKED, ids=str)
def test_prompts_show_every_tokens_activation(explorer: Explorer, raw: RawGPT2, neuron: NeuronId) -> None:
    found = explorer.prompts(neuron, top=5)
    assert [prompt.rank for prompt in found.prompts] == [1, 2, 3, 4, 5]
    assert found.complete
    for prompt in found.prompts:
        tokens = [token.id for token in prompt.tokens]
        expected = raw.run(tokens)[1][neuron.layer].activation[:, neuron.index]
        np.testing.assert_allclose(prompt.activations, expected, rtol=1e-4, atol=1e-5)
        assert prompt.peak.activation == pytest.approx(max(prompt.activations[1:]))
        assert prompt.peak.token == prompt.tokens[prompt.peak.position]
        assert prompt.trimmed is not None


@pytest.mark.parametrize("neuron", CHECKED, ids=str)
def test_heads_equal_the_reference_and_close(explorer: Explorer, raw: RawGPT2, neuron: NeuronId) -> None:
    source = HeadId(neuron.layer, 2)
    found = explorer.heads(neuron, prompt=1, sources=source)
    parts = raw.parts([t.id for t in found.tokens], found.position, neuron.layer, neuron.index)
    heads = np.array([head.attribution for head in found.heads])
    size = np.abs(parts.heads).sum() + np.abs(parts.mlps).sum() + abs(parts.embedding)
    np.testing.assert_allclose(heads, parts.heads.ravel(), rtol=1e-4, atol=1e-5 * size)
    assert found.other.mlps == pytest.approx(parts.mlps.sum(), rel=1e-4, abs=1e-5 * size)
    assert found.other.embedding == pytest.approx(parts.embedding, rel=1e-4, abs=1e-5 * size)
    assert found.pre_activation == pytest.approx(parts.pre, rel=1e-4, abs=1e-5 * size)
    assert abs(found.remainder) <= 1e-4 * size
    whole = next(head.attribution for head in found.heads if head.head == source)
    assert sum(s.attribution for s in found.sources) == pytest.approx(whole, rel=1e-5, abs=1e-6)


def test_overview_is_the_mean_over_the_prompts(explorer: Explorer) -> None:
    neuron = NeuronId(4, 19)
    overview = explorer.heads_overview(neuron)
    single = [explorer.heads(neuron, prompt=rank) for rank in range(1, 21)]
    for mean in overview.heads:
        each = [next(h for h in found.heads if h.head == mean.head) for found in single]
        assert mean.mean_attribution == pytest.approx(
            np.mean([h.attribution for h in each]), rel=1e-4, abs=1e-6
        )
        assert mean.active_fraction == pytest.approx(np.mean([h.active for h in each]))


def test_activations_and_heads_of_a_given_text(explorer: Explorer) -> None:
    neuron = NeuronId(5, 100)
    text = "He went, not because he was asked, but because"
    shown = explorer.activations(neuron, text)
    assert "".join(token.text for token in shown.tokens[1:]) == text
    found = explorer.heads(neuron, text=text)
    assert found.context == "text"
    assert found.activation == pytest.approx(max(shown.activations[1:]), rel=1e-4)
    last = explorer.heads(neuron, text=text, position=len(shown.tokens) - 1)
    assert last.position == len(shown.tokens) - 1
    assert last.activation == pytest.approx(shown.activations[-1], rel=1e-4)
    assert last.position != found.position, "or the position says nothing here"
    with pytest.raises(LookupsError, match="no position 99"):
        explorer.heads(neuron, text=text, position=99)


def test_trimmed_context_ends_at_the_peak(explorer: Explorer) -> None:
    neuron = NeuronId(5, 0)
    prompt = explorer.prompts(neuron).prompts[0]
    found = explorer.heads(neuron, prompt=1, trimmed=True)
    assert prompt.trimmed is not None
    assert found.context == "trimmed"
    assert found.position == len(found.tokens) - 1
    assert found.tokens[-1] == prompt.peak.token
    assert found.activation == pytest.approx(prompt.trimmed.activation, rel=1e-4)
    assert found.activation >= 0.8 * prompt.peak.activation - 1e-6


def test_first_view_opens_on_a_promoted_word(explorer: Explorer) -> None:
    view = explorer.first_view()
    best = explorer.score(view.neuron, view.token)
    assert best.congruence > 0
    assert str(view.neuron) in view.story


def test_bad_questions_are_refused_in_a_sentence(explorer: Explorer) -> None:
    with pytest.raises(UnknownTokenError, match="several tokens"):
        explorer.neurons("flibbertigibbet")
    with pytest.raises(UnknownTokenError, match="no token #"):
        explorer.neurons(10**6)
    with pytest.raises(BadIdError, match="no neuron"):
        explorer.prompts(NeuronId(6, 0))
    with pytest.raises(BadIdError, match="no head"):
        explorer.heads(NeuronId(5, 0), prompt=1, sources=HeadId(0, 99))
    with pytest.raises(LookupsError, match="no prompt of rank"):
        explorer.heads(NeuronId(5, 0), prompt=99)
    with pytest.raises(LookupsError, match="does not reach"):
        explorer.heads(NeuronId(1, 0), prompt=1, sources=HeadId(2, 0))
    with pytest.raises(LookupsError, match="keeps 20"):
        explorer.prompts(NeuronId(5, 0), top=21)
    with pytest.raises(LookupsError, match="empty"):
        explorer.activations(NeuronId(5, 0), "")
    with pytest.raises(LookupsError, match="at most 256"):
        explorer.activations(NeuronId(5, 0), "word " * 500)


def test_a_selection_is_exported_and_opened_again(explorer: Explorer, tmp_path: Path) -> None:
    ranking = explorer.neurons(" time", top=1)
    neuron = ranking.neurons[0].neuron
    prompt = explorer.prompts(neuron).prompts[1]
    selection = Selection(
        (SelectedNeuron(neuron, ranking.token),),
        (SelectedPrompt(neuron, prompt.prompt_id),),
        (SelectedHead(neuron, HeadId(4, 4), prompt.prompt_id), SelectedHead(neuron, HeadId(4, 4))),
        (SelectedAblation(neuron, HeadId(4, 4), "mean", "all", "trimmed"),),
    )
    path = export(explorer, selection, tmp_path / "out.json")
    document = read_export(path)
    heads = tuple(replace(marked, context="full") for marked in selection.heads)
    assert document.selection() == replace(selection, heads=heads)
    assert document.neurons[0].congruence == pytest.approx(ranking.neurons[0].congruence)
    assert document.prompts[0].prompt == prompt
    assert document.heads[0].attributions is not None
    assert document.heads[0].attributions.source_head == HeadId(4, 4)
    assert document.heads[1].mean is not None
    (ablation,) = document.ablations
    assert ablation == explorer.ablate(neuron, HeadId(4, 4), method="mean", positions="all", trimmed=True)


def test_what_was_marked_in_a_sample_or_on_trimmed_prompts_is_what_is_exported(
    explorer: Explorer, tmp_path: Path
) -> None:
    neuron, head = NeuronId(1, 250), HeadId(1, 4)  # low in the model, where trimming is quick
    listed = explorer.prompts(neuron).prompts
    elsewhere = {prompt.prompt_id for prompt in listed}
    drawn, cut = [], next(p for p in listed if p.trimmed is not None and p.trimmed.trimmed)
    for kind in ("random", "deciles"):
        found = explorer.sampled_prompts(neuron, kind).prompts
        drawn.append(next(prompt for prompt in found if prompt.prompt_id not in elsewhere))
        elsewhere |= {prompt.prompt_id for prompt in found}
    selection = Selection(
        (),
        tuple(SelectedPrompt(neuron, prompt.prompt_id) for prompt in drawn),
        (
            SelectedHead(neuron, head, cut.prompt_id, "trimmed"),
            SelectedHead(neuron, head, None, "trimmed"),
            SelectedHead(neuron, head, drawn[0].prompt_id, "full"),
        ),
    )
    document = read_export(export(explorer, selection, tmp_path / "out.json"))
    assert [(each.kind, each.prompt) for each in document.prompts] == [
        ("random", drawn[0]), ("deciles", drawn[1]),
    ]  # fmt: skip
    assert document.selection() == selection
    one, mean, sampled = document.heads
    assert one.attributions == explorer.heads(neuron, prompt_id=cut.prompt_id, sources=head, trimmed=True)
    trimmed = explorer.heads_overview(neuron, trimmed=True).heads
    assert mean.mean == next(each for each in trimmed if each.head == head)
    assert mean.mean != next(each for each in explorer.heads_overview(neuron).heads if each.head == head)
    assert sampled.attributions is not None
    assert (sampled.kind, sampled.attributions.rank) == ("random", drawn[0].rank)
    assert sampled.attributions.position == drawn[0].peak.position
    found = verify(explorer, tmp_path / "out.json")
    assert found.agrees, found.differing[:3]
    text = (tmp_path / "out.json").read_text()
    other = text.replace('"random"', '"deciles"').replace('"context": "trimmed"', '"context": "full"')
    (tmp_path / "other.json").write_text(other)
    differing = verify(explorer, tmp_path / "other.json").differing
    assert {each.where.split("/")[1] for each in differing} == {"prompts", "heads"}


def test_an_empty_selection_is_not_exported(explorer: Explorer, tmp_path: Path) -> None:
    with pytest.raises(LookupsError, match="Nothing is selected"):
        export(explorer, Selection(), tmp_path / "out.json")
    with pytest.raises(LookupsError, match="JSON document"):
        export(explorer, Selection(), tmp_path / "out.csv")
    assert not (tmp_path / "out.json").exists()


def test_ask_answers_on_another_thread_and_cancelled_questions_never(explorer: Explorer) -> None:
    answers: list[object] = []
    arrived, held = threading.Event(), threading.Event()

    def done(answer: object) -> None:
        answers.append(answer)
        arrived.set()

    explorer.ask(lambda: explorer.tokens(NeuronId(2, 2), top=3), done, done)
    assert arrived.wait(60)
    assert answers == [explorer.tokens(NeuronId(2, 2), top=3)]

    question = explorer.ask(lambda: held.wait(10), done, done)
    question.cancel()
    held.set()
    explorer.tokens(NeuronId(2, 3), top=3)
    assert len(answers) == 1


def test_a_failed_question_hands_over_its_error(explorer: Explorer) -> None:
    failures: list[BaseException] = []
    arrived = threading.Event()

    def failed(error: BaseException) -> None:
        failures.append(error)
        arrived.set()

    explorer.ask(lambda: explorer.prompts(NeuronId(99, 0)), lambda _: None, failed)
    assert arrived.wait(60)
    assert isinstance(failures[0], BadIdError)


def test_the_first_prompts_are_told_before_the_list_is_worked_out(tmp_path: Path, corpus: str) -> None:
    told: list[NeuronPrompts] = []
    fresh = opened(tmp_path, corpus)
    try:
        whole = fresh.prompts(NeuronId(4, 1), so_far=told.append)
        lengths = [len(part.prompts) for part in told]
        assert lengths == sorted(set(lengths))
        assert 0 < lengths[0] < 6
        assert lengths[-1] < len(whole.prompts)
        for part in told:
            assert part.prompts == whole.prompts[: len(part.prompts)]
            assert replace(part, prompts=whole.prompts) == whole
        told.clear()
        assert fresh.prompts(NeuronId(4, 1), so_far=told.append) == whole
        assert told == [], "the cache has all of it at once"
        assert fresh.cached_prompts(NeuronId(4, 1)) == whole
        assert fresh.cached_prompts(NeuronId(4, 2)) is None, "of another one it has nothing"
    finally:
        fresh.close()


def test_live_prompts_improve_until_they_are_the_index(
    tmp_path: Path, explorer: Explorer, corpus: str
) -> None:
    neuron = NeuronId(5, 0)
    finished: NeuronPrompts = explorer.prompts(neuron)
    live = opened(tmp_path, corpus, batch_tokens=1024)
    try:
        seen = [live.prompts(neuron, wait=False)]
        while not seen[-1].complete and len(seen) < 500:
            seen.append(live.prompts(neuron, wait=False))
        scanned = [each.scanned_prompts for each in seen]
        assert scanned == sorted(scanned)
        assert len(set(scanned)) > 2
        last = live.prompts(neuron)
        assert [p.prompt_id for p in last.prompts] == [p.prompt_id for p in finished.prompts]
        for ours, theirs in zip(last.prompts, finished.prompts, strict=True):
            np.testing.assert_allclose(ours.activations, theirs.activations, rtol=1e-4, atol=1e-5)
    finally:
        live.close()
