"""Begin-of-text by one rule wherever a text is encoded, and keys that tell the rules apart.

See method.md, section 3.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import VOCABULARY
from tests.tiny_tokenizers import byte_level_tokenizer, filled, save_tokenizer
from tui_lookups import doctor
from tui_lookups.answering.worker_pool import LoadRequest
from tui_lookups.errors import CorpusError, ModelLoadError, UnknownTokenError
from tui_lookups.explorer import Explorer
from tui_lookups.exports.verifying import verify
from tui_lookups.exports.writing import export
from tui_lookups.ids import NeuronId
from tui_lookups.results import SelectedPrompt, Selection
from tui_lookups.settings import Settings, load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

NEURON = NeuronId(1, 5)
TEXT = "the cat sat because"


@pytest.fixture(scope="module")
def model(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose tokenizer defines begin-of-text, and says that none is added."""
    return written(tiny_folder, tmp_path_factory.mktemp("no_bos") / "m", add_bos_token=False)


def written(tiny_folder: Callable[[str], Path], folder: Path, **config: object) -> Path:
    shutil.copytree(tiny_folder("llama"), folder)
    save_tokenizer(filled(byte_level_tokenizer(), VOCABULARY), folder, begin_of_text="<s>")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    texts = [f"the cat {n} sat because the mat and</s>{n} the cat" for n in range(12)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def opened(model: Path, corpus: Path, cache: Path) -> Iterator[Callable[..., Explorer]]:
    """An Explorer with this model and corpus; all of them share one cache."""
    made: list[Explorer] = []

    def open_(**more: object) -> Explorer:
        given = {"model": str(model), "corpus": str(corpus), "cache_dir": cache, "device": "cpu", **more}
        made.append(Explorer(load_settings(**given)))
        return made[-1]

    yield open_
    for explorer in made:
        explorer.close()


def test_every_text_follows_the_rule(opened: Callable[..., Explorer]) -> None:
    explorers = {rule: opened(bos=rule) for rule in ("auto", "always", "never")}
    activations = {rule: explorer.activations(NEURON, TEXT) for rule, explorer in explorers.items()}
    assert activations["auto"].tokens == activations["never"].tokens
    assert activations["always"].tokens[1:] == activations["never"].tokens
    assert activations["always"].tokens[0].text == "<s>"
    assert activations["always"].activations[2] != pytest.approx(activations["never"].activations[1])
    for rule, explorer in explorers.items():
        listed = explorer.prompts(NEURON, top=3, sign="+").prompts
        in_front = rule == "always"
        assert all((prompt.tokens[0].text == "<s>") == in_front for prompt in listed)
        heads = explorer.heads(NEURON, prompt=1, trimmed=True)
        assert (heads.tokens[0].text == "<s>") == in_front
        for answer in (activations[rule], explorer.prompts(NEURON, top=3, sign="+"), heads):
            assert answer.provenance.parameters["bos"] == ("always" if in_front else "never")
            assert (answer.provenance.model.bos is not None) == in_front
    assert explorers["auto"].prompts(NEURON).prompts == explorers["never"].prompts(NEURON).prompts


def test_preset_paper_puts_it_in_front_wherever_it_is_defined(
    opened: Callable[..., Explorer], tiny_folder: Callable[[str], Path]
) -> None:
    assert opened(preset="paper").activations(NEURON, TEXT).tokens[0].text == "<s>"
    assert opened(preset="paper", bos="never").activations(NEURON, TEXT).tokens[0].text != "<s>"
    without = opened(preset="paper", model=str(tiny_folder("qwen2")))
    assert without.activations(NEURON, TEXT).provenance.parameters["bos"] == "never"


def test_always_is_refused_where_there_is_none(
    opened: Callable[..., Explorer], tiny_folder: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelLoadError, match="defines no begin-of-text"):
        opened(model=str(tiny_folder("qwen2")), bos="always").activations(NEURON, TEXT)


def test_where_it_is_put_in_front_keys_are_as_they_were(
    opened: Callable[..., Explorer], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """One that follows neither from the rule nor from added tokens: no part of a key."""
    plain = str(written(tiny_folder, tmp_path / "plain"))
    keys = {
        rule: opened(model=plain, bos=rule)._engine.key("activations", corpus=False)
        for rule in ("auto", "always", "never")
    }
    assert keys["auto"] == keys["always"] != keys["never"]
    engine = opened(model=plain)._engine
    assert keys["auto"] == engine.cache.key(
        "activations",
        version=1,
        model=engine.local().fingerprint,
        basis="folded",
        dtype="float32",
        corpus=None,
    )


def test_workers_load_it_with_the_same_rule() -> None:
    for settings in (Settings(bos="never"), Settings(preset="paper")):
        sent = LoadRequest.of(settings).settings
        assert (sent.bos, sent.preset) == (settings.bos, settings.preset)


@pytest.mark.parametrize("rule", ["always", "never"])
def test_an_export_is_recomputed_by_its_own_rule(
    opened: Callable[..., Explorer], tmp_path: Path, rule: str
) -> None:
    explorer = opened(bos=rule)
    first = explorer.prompts(NEURON).prompts[0]
    path = export(
        explorer, Selection(prompts=(SelectedPrompt(NEURON, first.prompt_id),)), tmp_path / "export.json"
    )
    found = verify(opened(), path)  # --bos auto
    assert found.agrees, found.differing
    plain = json.loads(path.read_text())
    assert plain["provenance"]["parameters"]["bos"] == rule
    del plain["provenance"]["parameters"]["bos"]  # as earlier versions wrote it
    path.write_text(json.dumps(plain))
    assert verify(opened(), path).agrees


class TestSpecialTokensInTexts:
    """A special token that a text spells out is that token; it is counted, and marked where it is a peak."""

    def test_they_are_counted(self, opened: Callable[..., Explorer]) -> None:
        for rule in ("always", "never"):
            assert opened(bos=rule).corpus_info().special_tokens == 12

    def test_peaks_on_them_are_marked(self, opened: Callable[..., Explorer]) -> None:
        explorer = opened()
        special = {token.text for token in map(explorer._engine.vocabulary().token, (0, 1))}
        peaks = [
            prompt.peak
            for index in range(28)
            for prompt in explorer.prompts(NeuronId(1, index), top=2, sign="+").prompts
        ]
        assert {peak.special for peak in peaks} == {True, False}
        assert all(peak.special == (peak.token.text in special) for peak in peaks)

    def test_in_a_typed_text_too(self, opened: Callable[..., Explorer]) -> None:
        found = opened(bos="always").activations(NEURON, "the</s>cat")
        assert [found.tokens[position].text for position in found.special] == ["<s>", "</s>"]

    def test_in_the_decomposition_at_a_peak(self, opened: Callable[..., Explorer]) -> None:
        explorer = opened(bos="always")
        found = [explorer.heads(NeuronId(1, index), text="the</s>cat") for index in range(28)]
        assert {each.special for each in found} == {True, False}
        assert all(each.special == (each.tokens[each.position].text == "</s>") for each in found)

    def test_doctor_counts_them(self, opened: Callable[..., Explorer]) -> None:
        said = [each.message for each in doctor.corpus_check(opened())]
        assert "12 special tokens are spelled out in the texts." in said


class TestTokensWithoutARow:
    """The tokenizer knows a token behind the last row of the embedding."""

    @pytest.fixture(scope="class")
    def beyond(self, tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
        folder = tmp_path_factory.mktemp("beyond") / "m"
        return str(written(tiny_folder, folder, pad_token="[PAD]"))

    def test_a_text_that_needs_one_is_refused(self, opened: Callable[..., Explorer], beyond: str) -> None:
        with pytest.raises(UnknownTokenError, match=r'"\[PAD\]" is token #320'):
            opened(model=beyond).activations(NEURON, "the [PAD] cat")
        assert opened(model=beyond).activations(NEURON, "the cat").tokens[-1].text == " cat"

    def test_so_is_a_corpus_naming_the_document(
        self, opened: Callable[..., Explorer], beyond: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "pad.txt"
        path.write_text("the cat\n\nthe mat [PAD] sat\n")
        path = tmp_path / "pad.jsonl"
        path.write_text('{"text": "the cat"}\n{"text": "the mat [PAD] sat"}\n')
        for _ in range(2):  # tokenised, and from the cache
            with pytest.raises(CorpusError, match=r'Document 2 of pad.jsonl.*"\[PAD\]" is token #320'):
                opened(model=beyond, corpus=str(path)).prompts(NEURON)

    def test_it_is_found_as_written(self, opened: Callable[..., Explorer], beyond: str) -> None:
        explorer = opened(model=beyond)
        token = explorer.resolve_token("[PAD]").token
        assert token is not None
        with pytest.raises(UnknownTokenError, match="ends at #319"):
            explorer.neurons("[PAD]")


def test_answers_are_figures_of_the_tokens_that_were_run(
    opened: Callable[..., Explorer], model: Path
) -> None:
    """Against transformers: the peak of a prompt, run without begin-of-text."""
    import torch
    from transformers import AutoModelForCausalLM

    prompt = opened().prompts(NEURON, top=1, sign="+").prompts[0]
    theirs = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32)
    kept: list[torch.Tensor] = []
    mlp = theirs.model.layers[NEURON.layer].mlp
    mlp.down_proj.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad():
        theirs(torch.tensor([[token.id for token in prompt.tokens]]))
    expected = kept[0][0, :, NEURON.index].numpy()
    assert np.allclose(prompt.activations, expected, atol=1e-4)
