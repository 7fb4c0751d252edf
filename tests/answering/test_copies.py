"""Repeated texts and neurons that never fire, as every answer that rests on a list of prompts has them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tui_lookups
from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

NEURON, SILENT = NeuronId(5, 146), NeuronId(5, 0)
PASSAGES, COPIES, NEAR = 30, 25, 15
BEGINNING = 240
"""Characters of a passage: some 60 tokens, which are trimmed in a moment."""

Make = Callable[..., Explorer]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beginnings of packaged passages; one again and again, and again below a line that is always another."""
    packaged = Path(tui_lookups.__file__).parent / "demo" / "passages.jsonl"
    lines = packaged.read_text(encoding="utf-8").splitlines()[:PASSAGES]
    beginnings = [json.loads(line)["text"][:BEGINNING] for line in lines]
    repeated = beginnings[7]  # NEURON fires highest on it
    near = [f"On the {day}th of May {1900 + day}, in {day} words.\n{repeated}" for day in range(NEAR)]
    lines = [json.dumps({"text": text}) for text in [*beginnings, *[repeated] * COPIES, *near]]
    path = tmp_path_factory.mktemp("copies") / "repeated.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def explorer(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None
) -> Iterator[Make]:
    cache, made = tmp_path_factory.mktemp("cache"), {}

    def make(**settings: Any) -> Explorer:
        key = tuple(settings.items())
        if key not in made:
            flags = {"corpus": str(corpus), "cache_dir": cache, "device": "cpu", "threads": 1, "layers": "5"}
            made[key] = Explorer(load_settings(**flags, **settings))
        return made[key]

    yield make
    for each in made.values():
        each.close()


def texts(found: Any) -> list[int]:
    """The original of each prompt in a list."""
    return [7 if each.prompt_id >= PASSAGES else each.prompt_id for each in found]


def test_a_list_shows_each_text_once_with_its_copies(explorer: Make) -> None:
    found = explorer().prompts(NEURON)
    assert len(found.prompts) == 20
    assert len(set(texts(found.prompts))) == 20
    counts = dict(zip(texts(found.prompts), [each.copies for each in found.prompts], strict=True))
    assert counts.pop(7) == 1 + COPIES + NEAR
    assert set(counts.values()) == {1}
    assert found.provenance.parameters["keep_copies"] is False


def test_every_copy_is_listed_where_that_is_asked_for(explorer: Make) -> None:
    found = explorer(keep_copies=True).prompts(NEURON)
    assert Counter(texts(found.prompts))[7] == 20
    assert {each.copies for each in found.prompts} == {None}
    assert found.provenance.parameters["keep_copies"] is True


def test_what_follows_from_the_list_rests_on_distinct_texts(explorer: Make) -> None:
    ours = explorer()
    listed = [each.prompt_id for each in ours.prompts(NEURON).prompts]
    assert ours.heads_overview(NEURON).prompts == 20
    ablated = ours.ablate(NEURON, HeadId(2, 0)).prompts
    assert [each.prompt_id for each in ablated] == listed
    service = ours.explaining._examples
    explaining, scoring = (service.examples(NEURON, part).examples for part in ("explaining", "scoring"))
    assert explaining
    assert scoring
    seen = texts([*explaining, *scoring])
    assert len(set(seen)) == len(seen), "no text explains and scores, nor counts twice"


def test_the_sample_is_of_prompts(explorer: Make) -> None:
    """A copy is as likely drawn as any other prompt."""
    found = explorer().sampled_prompts(NEURON, "random")
    assert Counter(texts(found.prompts))[7] > 5
    assert {each.copies for each in found.prompts} == {None}


def test_a_neuron_that_never_fires_says_so(explorer: Make) -> None:
    ours = explorer()
    silent = next(
        NeuronId(5, index)
        for index in range(200)
        if ours._scan.wait().record(NeuronId(5, index)).stats().maximum <= 0
    )
    found = ours.prompts(silent)
    assert found.prompts == ()
    assert found.note.startswith(f"{silent} never fires on these {found.total_prompts} prompts: ")
    over = ours.heads_overview(silent)
    assert (over.prompts, over.heads, over.note) == (0, (), found.note)
    asked: list[Callable[[], object]] = [
        lambda: ours.heads(silent),
        lambda: ours.ablate(silent, HeadId(0, 0)),
        lambda: ours.explaining.explain(silent, HeadId(0, 0)),
        lambda: ours.explaining.explain_all(silent),
        lambda: ours.head_scores.score(silent, HeadId(0, 0)),
    ]
    for ask in asked:
        with pytest.raises(LookupsError) as caught:
            ask()
        assert caught.value.message == found.note


def test_preset_paper_appends_the_neurons_token(explorer: Make) -> None:
    """The demo's neuron promotes " of"; what follows its prompts is something else."""
    token = explorer().prompts(NEURON).top_token.text
    assert {
        each.next_token for each in explorer().explaining._examples.examples(NEURON, "scoring").examples
    } - {token}
    theirs = explorer(preset="paper").explaining._examples.examples(NEURON, "scoring").examples
    assert {each.next_token for each in theirs} == {token}


def test_preset_paper_ablates_pairs_on_prompts_that_heads_were_not_chosen_on(explorer: Make) -> None:
    theirs = explorer(preset="paper")
    corpus = theirs._engine.corpus()
    chosen_on = theirs.heads_overview(NEURON, part="explaining")
    ablated_on = theirs.ablate(NEURON, HeadId(2, 0), part="scoring").prompts
    assert {corpus.part(each.prompt_id) for each in ablated_on} == {1}
    listed = theirs._services.prompts.prompts(NEURON, top=20, sign="+", wait=True, part="explaining").prompts
    assert {corpus.part(each.prompt_id) for each in listed} == {0}
    assert 0 < chosen_on.prompts <= len(listed)
    assert chosen_on.provenance.parameters["part"] == "explaining"


def test_what_an_earlier_version_scanned_is_named_and_made_again(corpus: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.jsonl"
    short.write_text("".join(corpus.read_text(encoding="utf-8").splitlines(keepends=True)[:3]))
    flags: dict[str, Any] = {
        "corpus": str(short),
        "cache_dir": tmp_path / "c",
        "device": "cpu",
        "layers": "5",
    }
    said: list[str] = []
    with closing(Explorer(load_settings(**flags))) as found:
        folder = found._engine.cache.folder("indexes") / found._scan.earlier_key()
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")  # it knew no setting of that name
        found.scan(lambda progress: said.append(progress.message))
    assert any("did not tell copies of a text apart" in each for each in said)
