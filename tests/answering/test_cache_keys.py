"""Answers that an earlier version gave otherwise are not taken for today's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tui_lookups.answering.cache_keys import ranked_otherwise
from tui_lookups.model.vocabulary import VocabularyHead
from tui_lookups.results import ModelInfo


def test_only_models_of_which_another_figure_was_given(tiny_model) -> None:
    info: ModelInfo = tiny_model("llama").info
    whole = VocabularyHead("f", 0, info.d_vocab, info.d_vocab)
    assert ranked_otherwise(whole, info, "folded") == {}
    assert ranked_otherwise(whole, info, "raw") == {}
    for head in (replace(whole, named=whole.named - 1), replace(whole, named=300, size=300)):
        assert ranked_otherwise(head, info, "folded") == {"rows_left_out": info.d_vocab}
    assert ranked_otherwise(whole, tiny_model("olmo").info, "folded") == {"unembedding": "centred"}
    assert ranked_otherwise(whole, tiny_model("olmo2").info, "folded") == {}


@pytest.mark.parametrize("name", ["cohere", "cohere2"])
def test_raw_answers_that_left_a_logit_scale_out_are_asked_anew(tiny_model, name: str) -> None:
    info: ModelInfo = tiny_model(name).info
    whole = VocabularyHead("f", 0, info.d_vocab, info.d_vocab)
    assert ranked_otherwise(whole, info, "raw") == {"logits": "scaled"}
    assert ranked_otherwise(whole, info, "folded") == {}
