"""An export of a small corpus with words and scores in it, made once, and what recomputes it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.explanation.chat_server import ChatServer
from tests.loaded_models import loaded_once
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.explorer import Explorer
from tui_lookups.exports import origin, verifying
from tui_lookups.exports.comparing import TOLERANCE
from tui_lookups.exports.document import ExportDocument
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.verification import Fingerprints, Verification
from tui_lookups.exports.writing import export
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.sources import demo_folder
from tui_lookups.results import (
    SelectedAblation,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    TokenSet,
)
from tui_lookups.settings import load_settings

PASSAGES, WINDOW = 12, 48


@dataclass(frozen=True)
class Bench:
    """An export of a small corpus with words and scores in it, and an Explorer that recomputes."""

    folder: Path
    path: Path
    corpus: Path
    explorer: Explorer
    again: Explorer
    document: ExportDocument
    plain: dict[str, Any]

    def recompute(self, document: ExportDocument, *, cached: bool = True) -> Verification:
        """As `verifying.verify` does, with an Explorer that has scanned already."""
        store = ExplainedStore((self.explorer if cached else self.again)._engine.cache)
        corpus = document.provenance.corpus
        prints = Fingerprints(document.provenance.model.fingerprint, corpus.fingerprint if corpus else "")
        return verifying.recompute(document, self.path, self.again, store, TOLERANCE, prints)

    def tampered(self, where: str, value: Any) -> Path:
        """The export with one value changed."""
        plain: Any = copy.deepcopy(self.plain)
        *way, last = where.split("/")[1:]
        place = plain
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = value
        path = self.folder / "tampered.json"
        path.write_text(json.dumps(plain), encoding="utf-8")
        return path


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("verify")
    corpus = folder / "few.jsonl"
    lines = (demo_folder().parent / "passages.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    corpus.write_text("".join(lines[:PASSAGES]), encoding="utf-8")
    with ChatServer() as server:
        with pytest.MonkeyPatch.context() as patch, loaded_once(patch, {}):
            chosen = load_settings(
                cache_dir=folder / "cache", corpus=str(corpus), window=WINDOW, threads=1, device="cpu",
                seed=3, top=8, base_url=server.base_url, explainer_model="gpt-4", explainer_retries=0,
            )  # fmt: skip
            explorer = Explorer(chosen)
            selection = _selection(explorer)
            path = export(explorer, selection, folder / "x.json")
            document = read_export(path)
            derived, notes = origin.settings_for(document, chosen, None, None)
            assert notes == ()
            again = Explorer(derived, results=folder / "fresh")
            again.scan()
        plain = json.loads(path.read_text(encoding="utf-8"))
        yield Bench(folder, path, corpus, explorer, again, document, plain)
        again.close()
        explorer.close()


def _selection(explorer: Explorer) -> Selection:
    """A token's neuron, one without a token, prompts, heads on one prompt and over all; one head scored."""
    ranking = explorer.neurons(explorer.first_view().token.id, top=6)
    first, other = ranking.token, ranking.neurons[1].top_token
    several = TokenSet(first.id, first.text, (other,), "any")
    for row in ranking.neurons:
        for head in explorer.head_scores.so_far(row.neuron).heads:
            found = explorer.head_scores.score(row.neuron, head.head)
            if not found.single_class:
                prompts = explorer.prompts(row.neuron, top=3).prompts
                return Selection(
                    (SelectedNeuron(row.neuron, first, several), SelectedNeuron(NeuronId(0, 5))),
                    tuple(SelectedPrompt(row.neuron, prompt.prompt_id) for prompt in prompts),
                    (
                        SelectedHead(row.neuron, head.head, prompts[0].prompt_id),
                        SelectedHead(row.neuron, HeadId(0, 1)),
                    ),
                    (SelectedAblation(row.neuron, head.head, "zero", "peak", "full"),),
                )
    raise AssertionError("the demo has no head with a score")
