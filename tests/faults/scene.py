"""A small full run: a tiny model, a few texts, every kind of question, and the cache that leaves.

`build` makes it once; `copied` gives a test a cache of its own; `questions` are what is asked again after a
fault, whose answers are compared with the right ones as plain JSON. One loaded model stands in for loading,
which takes seconds and reads nothing of the cache.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    Explained,
    Explanation,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    SessionState,
    Usage,
)
from tui_lookups.settings import load_settings
from tui_lookups.storage.codec import to_plain

Answers = dict[str, Any]
NEURON, OTHER, HEAD = NeuronId(1, 5), NeuronId(2, 0), HeadId(0, 1)
PARTLY = (0, 1)
"""Layers of a second scan that has only got as far as a checkpoint."""
TOP = 6
WORDS = ("the", "cat", "and", "sat", "because", "mat", "a", "dog", "ran")


@dataclass(frozen=True)
class Scene:
    """Model folder, corpus file, the cache of a full run, and what it answers."""

    model: Path
    corpus: Path
    cache: Path
    answers: Answers

    def explorer(self, cache: Path, **changes: Any) -> Explorer:
        """An Explorer of this model and corpus on `cache`."""
        given = {
            "model": str(self.model), "corpus": str(self.corpus), "cache_dir": cache, "device": "cpu",
            "threads": 1, "top": TOP, "offline": True, "batch_tokens": 64, **changes,
        }  # fmt: skip
        return Explorer(load_settings(**given))

    def copied(self, target: Path) -> Path:
        """A copy of the cache."""
        return Path(shutil.copytree(self.cache, target))


def write_corpus(path: Path, texts: int = 24) -> Path:
    """Short texts of the tiny tokenizer's words, and the first four once more."""
    lines = [
        " ".join(WORDS[(number * step + step) % len(WORDS)] for step in range(2, 7 + number % 3))
        + f" {number}"
        for number in range(texts)
    ]
    path.write_text("\n\n".join([*lines, *lines[:4]]), encoding="utf-8")
    return path


def questions(explorer: Explorer) -> dict[str, Callable[[], object]]:
    """Everything that is answered from the cache, by name."""
    return {
        "neurons": lambda: explorer.neurons("the", top=5),
        "tokens": lambda: explorer.tokens(NEURON, top=4),
        "atlas": lambda: explorer.atlas(per_layer=2),
        "prompts": lambda: explorer.prompts(NEURON, top=TOP),
        "random": lambda: explorer.sampled_prompts(NEURON, "random", top=4),
        "deciles": lambda: explorer.sampled_prompts(OTHER, "deciles", top=10),
        "uncached": lambda: explorer.prompts(OTHER, top=2),
        "figures": lambda: explorer.peak_figures(NEURON, top=TOP),
        "activations": lambda: explorer.activations(NEURON, "the cat sat"),
        "heads": lambda: explorer.heads(NEURON, sources=HEAD),
        "overview": lambda: explorer.heads_overview(NEURON),
        "ablate": lambda: explorer.ablate(NEURON, HEAD),
        "explanations": explorer.explanations,
        "session": explorer.load_session,
    }


def partly_questions(explorer: Explorer) -> dict[str, Callable[[], object]]:
    """What needs the scan that was left at a checkpoint; its index is compared neuron by neuron."""
    return {
        "resumed": lambda: explorer.prompts(NEURON, top=TOP),
        "other": lambda: explorer.prompts(NeuronId(0, 7), top=TOP),
    }


class Congruence(float):
    """Equal to rounding: the files alone and the loaded model multiply in another order."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(self, other, rel_tol=1e-5, abs_tol=1e-6)

    __hash__ = None  # type: ignore[assignment]


def plain(answer: object) -> Any:
    """An answer as JSON, without what names no figure: times and where things lie."""
    return None if answer is None else _congruences_to_rounding(to_plain(answer))


def _congruences_to_rounding(part: Any) -> Any:
    if isinstance(part, list):
        return [_congruences_to_rounding(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: Congruence(value)
        if name in ("congruence", "cosine", "top_congruence") and isinstance(value, float)
        else _congruences_to_rounding(value)
        for name, value in part.items()
    }


def ask_all(named: dict[str, Callable[[], object]]) -> Answers:
    return {name: plain(ask()) for name, ask in named.items()}


def ask_until_right(name: str, ask: Callable[[], object], right: Any, *, attempts: int = 3) -> list[str]:
    """Ask until the right answer comes; the sentences said on the way. Anything else is an error.

    A LookupsError may come first ("Ask again"); a wrong answer, another exception, or no answer in the end
    is a failure.
    """
    said: list[str] = []
    for _ in range(attempts):
        try:
            found = plain(ask())
        except LookupsError as error:
            assert error.message.endswith((".", "?")), error.message
            assert "\n" not in error.message
            said.append(error.message)
            continue
        assert found == right, f"{name}: a wrong answer"
        return said
    raise AssertionError(f"{name} is never answered: {said}")


def an_explanation(explorer: Explorer, text: str, created: str) -> Explained:
    """Something explained, as a model would have."""
    where = explorer.heads(NEURON).provenance
    return Explained(
        Explanation(
            neuron=NEURON, head=HEAD, explanation=text, author="model", model="gpt-4", answered_by="gpt-4",
            endpoint="http://127.0.0.1:1/v1", request_version=1, created=created, cached=False, active=2,
            inactive=2, notes=(), usage=Usage(1, 0, 0, 50, 7, False, None), provenance=where,
        ),
        None,
    )  # fmt: skip


def build(model: Path, folder: Path) -> Scene:
    """Answer every question once, leave a checkpoint of a second scan, and close."""
    scene = Scene(model, write_corpus(folder / "texts.txt"), folder / "cache", {})
    explorer = scene.explorer(scene.cache)
    try:
        explorer.scan()
        for number in range(2):
            kept = an_explanation(explorer, f"Explanation {number}.", f"2026-01-0{number + 1}T00:00:00+00:00")
            explorer.explaining.store.keep(kept)
        basket = Selection((SelectedNeuron(NEURON),), (SelectedPrompt(NEURON, 3),), ())
        explorer.save_session(SessionState(explorer.resolve_token("the").token, NEURON, 3, HEAD, basket))
        answers = ask_all(questions(explorer))
    finally:
        explorer.close()
    answers["partly"] = _whole(scene, folder / "elsewhere")
    leave_checkpoint(scene, scene.cache)
    return replace(scene, answers=answers)


def _whole(scene: Scene, cache: Path) -> Answers:
    explorer = scene.explorer(cache, layers=PARTLY)
    try:
        return ask_all(partly_questions(explorer))
    finally:
        explorer.close()


def leave_checkpoint(scene: Scene, cache: Path, batches: int = 3) -> None:
    """Begin the scan of layers PARTLY on the model thread and stop after a few batches, saved."""
    explorer = scene.explorer(cache, layers=PARTLY, checkpoint_seconds=1e6)
    session = explorer._scan
    try:
        explorer._engine.thread.set_background(None)
        with explorer._engine.thread.holding_background():
            session.start()

            def work(*_: object) -> None:
                for _ in range(batches):
                    assert session._scan is not None
                    session._scan.step()
                session.checkpoint()

            explorer._engine.on_model(work)
    finally:
        explorer.close()
