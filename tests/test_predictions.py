"""What follows a token: against the Hugging Face model in float64, and through the Explorer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_models import RECIPES
from tui_lookups.answering.prediction_service import STRETCH, next_tokens
from tui_lookups.errors import LookupsError, no_poll
from tui_lookups.explorer import Explorer
from tui_lookups.settings import load_settings


@pytest.mark.parametrize("name", list(RECIPES))
def test_probabilities_are_those_of_the_hugging_face_model(tiny_model, reference, name: str) -> None:
    model = tiny_model(name, "float64")
    row = torch.randint(3, 290, (17,), generator=torch.Generator().manual_seed(5)).tolist()
    at = [0, 3, 9, 16]
    found = next_tokens(model, row, at, top=5, poll=no_poll)
    with torch.no_grad():
        expected = reference(name).model(torch.tensor([row])).logits[0].softmax(-1)
    for here, position in zip(found, at, strict=True):
        best = expected[position].topk(5)
        assert here.position == position
        assert [p.token.id for p in here.top] == best.indices.tolist()
        assert [p.probability for p in here.top] == pytest.approx(best.values.tolist(), rel=1e-4)
        if position + 1 < len(row):
            assert here.next_token is not None
            assert here.next_token.id == row[position + 1]
            assert here.next_probability == pytest.approx(
                float(expected[position, row[position + 1]]), rel=1e-4
            )
        else:
            assert (here.next_token, here.next_probability) == (None, None)


def test_the_explorer_answers_for_a_stretch_and_remembers_it(
    tiny_folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("A sentence about the sea and the wind. " * 60)
    settings = load_settings(
        model=str(tiny_folder("gpt2")), corpus=str(corpus), cache_dir=tmp_path / "cache", window=40
    )
    explorer = Explorer(settings)
    try:
        found = explorer.predictions(0, STRETCH + 1, top=3)
        assert [p.position for p in found.positions] == list(range(STRETCH, 40))
        here = found.at(STRETCH + 1)
        assert here is not None
        assert len(here.top) == 3
        assert here.top[0].probability >= here.top[1].probability
        assert found.at(0) is None
        with pytest.raises(LookupsError, match="positions 0 to 39"):
            explorer.predictions(0, 40)
        given = explorer.predictions(text="A sentence about the sea", top=3)
        last = given.positions[-1]
        same = explorer.predictions(0, last.position, top=3).at(last.position)
        assert same is not None
        assert [p.token for p in last.top] == [p.token for p in same.top], "the prompt begins like the text"
        assert [p.probability for p in last.top] == pytest.approx([p.probability for p in same.top], rel=1e-4)
        assert (given.prompt_id, given.provenance.corpus, last.next_token) == (None, None, None)
        with pytest.raises(LookupsError, match="The text has no position 99"):
            explorer.predictions(text="A sentence", position=99)
        with pytest.raises(LookupsError, match="of a text or of a prompt"):
            explorer.predictions()
    finally:
        explorer.close()
    again = Explorer(settings)
    try:
        monkeypatch.setattr(
            "tui_lookups.answering.prediction_service.next_tokens",
            lambda *a, **k: pytest.fail("ran the model"),
        )
        assert again.predictions(0, STRETCH, top=3) == found
    finally:
        again.close()
