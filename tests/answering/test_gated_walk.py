"""What the Explorer says of a gated model against the walk recomputed from its weights.

See method.md, sections 3 to 6.

The neurons followed are chosen so that nothing hangs on the last digits of float32 and every rule has a
case that breaks without it; where one must be there, the test says so.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.reference_raw import RawLlama
from tests.reference_walk import Fired, ReferenceWalk, active, firing_place, worth_explaining
from tests.tiny_tokenizers import WORDS
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Prompt
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

TOP, WINDOW = 20, 40
CLOSE = 2e-4

FOLLOWED = [
    NeuronId(*place)
    for place in ((0, 1), (0, 11), (0, 19), (1, 5), (1, 6), (1, 8), (1, 16), (2, 2), (2, 10), (2, 20))
]
BY_THE_PAPER = [NeuronId(*place) for place in ((1, 6), (1, 15), (1, 16), (2, 2), (2, 10), (2, 17), (2, 20))]
BEGINNING_FIRES = [NeuronId(0, 11), NeuronId(0, 25), NeuronId(1, 6)]
"""Neurons that begin-of-text fires more than anything else on many prompts."""

TEXTS = ("the cat sat because a mat and the Q", "Zk and the mat 7 because 3 cat sat")


def a_text(draw: random.Random, words: int) -> str:
    """Words the vocabulary has, between letters and digits of which it has the bytes."""
    return " ".join(draw.choice([*WORDS, *string.ascii_letters, *string.digits]) for _ in range(words))


@pytest.fixture(scope="module")
def explorer(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]
) -> Iterator[Callable[..., Explorer]]:
    """explorer(**settings): one for each, over the same corpus and cache."""
    home, draw = tmp_path_factory.mktemp("walk"), random.Random(1)
    texts = [a_text(draw, draw.randint(2, 11)) for _ in range(36)]
    (home / "texts.txt").write_text("\n\n".join(texts), encoding="utf-8")
    made: dict[str, Explorer] = {}

    def make(**settings: Any) -> Explorer:
        if repr(settings) not in made:
            made[repr(settings)] = Explorer(
                load_settings(
                    model=str(tiny_folder("llama")),
                    corpus=str(home / "texts.txt"),
                    cache_dir=home / "cache",
                    device="cpu",
                    threads=1,
                    top=TOP,
                    window=WINDOW,
                    **settings,
                )
            )
        return made[repr(settings)]

    yield make
    for each in made.values():
        each.close()


@pytest.fixture(scope="module")
def walk(explorer: Callable[..., Explorer], tiny_folder: Callable[[str], Path]) -> ReferenceWalk:
    corpus = explorer()._engine.corpus()
    windows = [corpus.window_tokens(i).tolist() for i in range(len(corpus))]
    assert len({tuple(window) for window in windows}) == len(windows) == 36
    return ReferenceWalk(RawLlama(tiny_folder("llama")), windows)


@pytest.fixture(scope="module")
def fired(walk: ReferenceWalk) -> Callable[..., list[Fired]]:
    """fired(neuron): its prompts by the reference, both signs, worked out once."""
    known: dict[tuple[NeuronId, bool], list[Fired]] = {}

    def of(neuron: NeuronId, paper: bool = False) -> list[Fired]:
        key = (neuron, paper)
        if key not in known:
            known[key] = walk.fired(neuron.layer, neuron.index, top=TOP, sign="both", paper=paper)
        return known[key]

    return of


def up_to_peak(walk: ReferenceWalk, prompt: Prompt) -> tuple[int, ...]:
    return tuple(walk.windows[prompt.prompt_id][: prompt.peak.position + 1])


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_prompts_are_ranked_by_either_sign_and_trimmed(explorer, walk, fired, preset: str) -> None:
    shown = explorer(preset=preset)
    signs, cut = set(), set()
    for neuron in FOLLOWED if preset == "default" else BY_THE_PAPER:
        expected = fired(neuron, preset == "paper")
        found = shown.prompts(neuron).prompts
        # Prompts that are the same up to the peak fire alike: which comes first hangs on the last digits.
        assert [(up_to_peak(walk, p), p.sign, p.trimmed.start) for p in found] == [
            (f.ids, f.sign, f.start) for f in expected
        ]
        assert len({p.prompt_id for p in found}) == len(found)
        for prompt, each in zip(found, expected, strict=True):
            values = walk.activations(walk.windows[each.prompt_id], neuron.layer)[:, neuron.index]
            assert prompt.peak.activation == pytest.approx(values[each.peak], abs=CLOSE)
        signs |= {f.sign for f in expected}
        cut |= {f.start > 0 for f in expected}
    assert signs == {1, -1}
    assert cut == {True, False}


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_the_overview_is_counted_in_the_direction_of_firing(explorer, walk, fired, preset: str) -> None:
    shown, paper, counts = explorer(preset=preset), preset == "paper", set()
    for neuron in FOLLOWED if preset == "default" else BY_THE_PAPER:
        rows = fired(neuron, paper)
        for trimmed in (True, False):
            signed, seen = walk.over_prompts(
                rows, neuron.layer, neuron.index, trimmed=trimmed, paper=paper, rule="2sd"
            )
            found = shown.heads_overview(neuron, trimmed=trimmed)
            assert (found.prompts, found.context) == (TOP, "trimmed" if trimmed else "full")
            assert len(found.heads) == 4 * (neuron.layer + (0 if paper else 1))
            means = [head.mean_attribution for head in found.heads]
            assert means == pytest.approx(signed.mean(0).tolist(), abs=CLOSE)
            assert [head.active_fraction for head in found.heads] == (seen.sum(0) / TOP).tolist()
            worth = [head.worth_explaining for head in found.heads]
            assert worth == worth_explaining(seen).tolist()
            counts |= set(seen.sum(0).tolist())
    assert {4, 5, 15, 16} <= counts, "of 20 prompts: both sides of a quarter, and of three quarters"


def test_preset_paper_looks_at_the_trimmed_text_by_itself(explorer, walk, fired) -> None:
    neuron = NeuronId(2, 20)
    signed, _ = walk.over_prompts(fired(neuron, True), 2, 20, trimmed=True, paper=True, rule="2sd")
    means = [head.mean_attribution for head in explorer(preset="paper").heads_overview(neuron).heads]
    assert means == pytest.approx(signed.mean(0).tolist(), abs=CLOSE)


def test_heads_are_worth_explaining_by_the_trimmed_text(explorer, walk, fired) -> None:
    """An explainer sees trimmed prompts, so that is what a head must be active on.

    See method.md, sections 4 and 5.
    """
    differ = 0
    for neuron in FOLLOWED:
        by_text = {}
        for trimmed in (True, False):
            _, seen = walk.over_prompts(
                fired(neuron), neuron.layer, neuron.index, trimmed=trimmed, paper=False, rule="2sd"
            )
            by_text[trimmed] = [HeadId(*divmod(int(i), 4)) for i in np.flatnonzero(worth_explaining(seen))]
        assert [row.head for row in explorer().head_scores.so_far(neuron).heads] == by_text[True]
        differ += by_text[True] != by_text[False]
    assert differ > 3


@pytest.mark.parametrize(
    ("settings", "sign"), [({}, "both"), ({"sign": "-", "activity_rule": "top3"}, "-")], ids=["both", "minus"]
)
def test_examples_are_labelled_by_sign_and_rule(explorer, walk, settings, sign: str) -> None:
    shown = explorer(**settings)
    examples, corpus = shown.explaining._examples, shown._engine.corpus()
    rule, wrong_sign, wrong_rule = settings.get("activity_rule", "2sd"), 0, 0
    for neuron in (NeuronId(2, 2), NeuronId(2, 10), NeuronId(2, 20)):
        for number, part in enumerate(("explaining", "scoring")):
            ours = [i for i in range(len(corpus)) if corpus.part(i) == number]
            rows = walk.fired(neuron.layer, neuron.index, top=TOP, sign=sign, paper=False, among=ours)
            found = examples.examples(neuron, part)
            assert [each.prompt_id for each in found.examples] == [row.prompt_id for row in rows]
            for each, row in zip(found.examples, rows, strict=True):
                values = walk.heads(row.text(True), neuron.layer, neuron.index, paper=False)
                expected = active(row.sign * values, rule)[0]
                assert each.active == tuple(HeadId(*divmod(int(i), 4)) for i in np.flatnonzero(expected))
                wrong_sign += row.sign < 0 and bool((expected != active(values, rule)[0]).any())
                other = "2sd" if rule == "top3" else "top3"
                wrong_rule += bool((expected != active(row.sign * values, other)[0]).any())
    assert min(wrong_sign, wrong_rule) > 10, "sign and rule are meant to matter"


@pytest.mark.parametrize("sign", ["+", "-", "both"])
def test_a_text_given_by_hand_peaks_where_the_neuron_fires(explorer, walk, sign: str) -> None:
    """By the sign that counts, never at begin-of-text; heads and threshold in the direction of firing."""
    settings = {"+": {"sign": "+"}, "-": {"sign": "-", "activity_rule": "top3"}, "both": {}}[sign]
    rule, shown = settings.get("activity_rule", "2sd"), explorer(**settings)
    bos = shown._engine.vocabulary().bos_id
    at_beginning, places, signs = 0, {}, set()
    for neuron in [*BEGINNING_FIRES, *(NeuronId(2, i) for i in range(0, 28, 3))]:
        for text in TEXTS:
            found = shown.heads(neuron, text=text)
            ids = [token.id for token in found.tokens]
            assert ids[0] == bos
            values = walk.activations(ids, neuron.layer)[:, neuron.index]
            position, towards = firing_place(values, sign)
            assert found.position == position
            assert found.activation == pytest.approx(values[position], abs=CLOSE)
            given = walk.heads(tuple(ids[: position + 1]), neuron.layer, neuron.index, paper=False)
            assert [head.attribution for head in found.heads] == pytest.approx(given.tolist(), abs=CLOSE)
            expected, threshold = active(towards * given, rule)
            assert [head.active for head in found.heads] == expected.tolist()
            assert found.activity_threshold == pytest.approx(towards * threshold, abs=CLOSE)
            merit = {"+": values, "-": -values, "both": np.abs(values)}[sign]
            at_beginning += int(merit.argmax()) == 0
            signs.add(towards)
            for other in ("+", "-", "both"):
                places.setdefault(other, []).append(firing_place(values, other)[0])
    assert at_beginning > 0, "begin-of-text fires some of them most"
    assert signs == {"+": {1}, "-": {-1}, "both": {1, -1}}[sign]
    assert len({tuple(each) for each in places.values()}) == 3, "each sign has peaks of its own"


@pytest.mark.parametrize("kind", ["random", "deciles"])
def test_a_sampled_prompt_never_peaks_at_begin_of_text(explorer, walk, kind: str) -> None:
    at_beginning = 0
    for neuron in BEGINNING_FIRES:
        for prompt in explorer().sampled_prompts(neuron, kind).prompts:
            values = walk.activations(walk.windows[prompt.prompt_id], neuron.layer)[:, neuron.index]
            assert prompt.peak.position == 1 + int(values[1:].argmax())
            assert prompt.peak.activation == pytest.approx(values[1:].max(), abs=CLOSE)
            at_beginning += int(values.argmax()) == 0
    assert at_beginning > 5, "begin-of-text is the maximum of many"


@pytest.mark.parametrize("head", [HeadId(0, 3), HeadId(1, 2), HeadId(2, 1)], ids=str)
def test_a_head_is_replaced_by_its_own_mean(explorer, walk, reference, head: HeadId) -> None:
    """Its mean z over the corpus sample, which here is the whole corpus; position 0 left out.

    See method.md, section 6.
    """
    neuron, hf = NeuronId(2, 20), reference("llama")
    out, down = hf.part(head.layer, "self_attn.o_proj"), hf.part(2, "mlp.down_proj")
    z = [
        hf.capture(torch.tensor([window]), {"z": (out, "in")})[0]["z"][0, 1:].reshape(len(window) - 1, 4, -1)
        for window in walk.windows
    ]
    means = torch.cat(z).mean(0)  # [heads, d_head]
    found = explorer().ablate(neuron, head, method="mean", positions="all", trimmed=False)
    assert found.sample == len(walk.windows)
    moved = []
    for row in found.prompts:
        ids = torch.tensor([walk.windows[row.prompt_id][: row.position + 1]])

        def replaced(values: torch.Tensor) -> torch.Tensor:
            by_head = values.clone().reshape(*values.shape[:2], 4, -1)
            by_head[:, :, head.index] = means[head.index]
            return by_head.reshape(values.shape)

        before = hf.capture(ids, {"a": (down, "in")})[0]["a"][0, -1, neuron.index]
        after = hf.capture(ids, {"a": (down, "in")}, ((out, replaced),))[0]["a"][0, -1, neuron.index]
        assert row.activation_before == pytest.approx(float(before), abs=CLOSE)
        assert row.activation_after == pytest.approx(float(after), abs=CLOSE)
        moved.append(abs(float(after - before)))
    assert max(moved) > 100 * CLOSE
