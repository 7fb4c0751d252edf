"""Preset paper leaves trimmed prompts of 100 tokens or more out of everything about heads.

See method.md, section 3.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.reference_raw import RawGPT2
from tests.reference_walk import Fired, ReferenceWalk, active
from tests.tiny_tokenizers import WORDS
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import load_settings

TOP, CONTEXT = 20, 128

DROPPING = [NeuronId(1, 25), NeuronId(2, 2), NeuronId(2, 16), NeuronId(2, 37)]
"""Neurons that fire late in long prompts and by where a token stands, so that little can be cut."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> Path:
    """A GPT-2 that reads more than 100 tokens; its positions are learned, so cutting moves every token."""
    recipe = tiny_models.Recipe(
        "GPT2Config", {**tiny_models.RECIPES["gpt2"].arguments, "n_positions": CONTEXT}
    )
    path = tmp_path_factory.mktemp("long")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_models.RECIPES, "long", recipe)
        tiny_models.save_tiny_model("long", path)
    return path


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Explorer]:
    home, draw = tmp_path_factory.mktemp("drops"), random.Random(6)
    alphabet = [*WORDS, *string.ascii_letters, *string.digits]
    lengths = [*(draw.randint(2, 10) for _ in range(6)), *(draw.randint(56, 62) for _ in range(20))]
    texts = [" ".join(draw.choice(alphabet) for _ in range(words)) for words in lengths]
    (home / "texts.txt").write_text("\n\n".join(texts), encoding="utf-8")
    made = Explorer(
        load_settings(
            model=str(folder),
            corpus=str(home / "texts.txt"),
            cache_dir=home / "cache",
            device="cpu",
            threads=1,
            top=TOP,
            window=CONTEXT - 1,
            preset="paper",
        )
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def walk(explorer: Explorer, folder: Path) -> ReferenceWalk:
    corpus = explorer._engine.corpus()
    return ReferenceWalk(RawGPT2(folder), [corpus.window_tokens(i).tolist() for i in range(len(corpus))])


@pytest.fixture(scope="module")
def fired(walk: ReferenceWalk) -> Callable[..., list[Fired]]:
    def of(neuron: NeuronId, **among: Any) -> list[Fired]:
        return walk.fired(neuron.layer, neuron.index, top=TOP, sign="+", paper=True, **among)

    return of


def kept(fired: list[Fired]) -> list[Fired]:
    return [each for each in fired if not each.dropped_by_paper]


@pytest.mark.parametrize("neuron", DROPPING, ids=str)
def test_the_overview_counts_what_is_left(explorer, walk, fired, neuron: NeuronId) -> None:
    rows = fired(neuron)
    assert 0 < len(kept(rows)) < TOP, "some are dropped and some are not"
    assert len(explorer.prompts(neuron).prompts) == TOP, "the list itself keeps them"
    for trimmed in (True, False):
        signed, seen = walk.over_prompts(
            rows, neuron.layer, neuron.index, trimmed=trimmed, paper=True, rule="2sd"
        )
        found = explorer.heads_overview(neuron, trimmed=trimmed)
        assert found.prompts == len(kept(rows)) == len(signed)
        means = [head.mean_attribution for head in found.heads]
        assert means == pytest.approx(signed.mean(0).tolist(), abs=1e-3)
        assert [head.active_fraction for head in found.heads] == seen.mean(0).tolist()


@pytest.mark.parametrize("neuron", DROPPING[1:3], ids=str)
def test_ablation_leaves_them_out(explorer, fired, neuron: NeuronId) -> None:
    found = explorer.ablate(neuron, HeadId(0, 1))
    assert [row.prompt_id for row in found.prompts] == [each.prompt_id for each in kept(fired(neuron))]


def test_an_explainer_is_not_shown_them(explorer, walk, fired) -> None:
    corpus, dropped = explorer._engine.corpus(), 0
    for neuron in DROPPING:
        for number, part in enumerate(("explaining", "scoring")):
            ours = [i for i in range(len(corpus)) if corpus.part(i) == number]
            rows = fired(neuron, among=ours)
            found = explorer.explaining._examples.examples(neuron, part)
            assert [each.prompt_id for each in found.examples] == [row.prompt_id for row in kept(rows)]
            for each, row in zip(found.examples, kept(rows), strict=True):
                values = walk.heads(row.text(True), neuron.layer, neuron.index, paper=True)
                assert each.active == tuple(
                    HeadId(*divmod(int(i), 4)) for i in np.flatnonzero(active(values, "2sd")[0])
                )
            dropped += len(rows) - len(kept(rows))
    assert dropped > 10
