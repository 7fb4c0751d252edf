"""What no question can mean is refused in a sentence, before anything is scanned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_lookups.answering import checks
from tui_lookups.commands.export import gather_selection
from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import load_settings

NEURON, HEAD = NeuronId(1, 5), HeadId(1, 1)
TEXTS = ["the cat sat because the mat", "and the cat and the mat sat", "because because the cat"] * 4
Make = Callable[..., Explorer]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and a cache that the module's explorers share."""
    folder = tmp_path_factory.mktemp("checks")
    (folder / "texts.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    return folder


@pytest.fixture
def explorer(home: Path, tiny_folder: Callable[[str], Path]) -> Iterator[Make]:
    made: list[Explorer] = []

    def make(name: str = "gpt2", **settings: Any) -> Explorer:
        flags = {"model": str(tiny_folder(name)), "corpus": str(home / "texts.txt"), "device": "cpu"}
        shared = {"cache_dir": str(home / "cache"), "window": 24, "threads": 1}
        made.append(Explorer(load_settings(**{**flags, **shared, **settings})))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever scans the corpus fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was scanned")

    for name in ("start", "wait"):
        monkeypatch.setattr(f"tui_lookups.answering.scan_session.ScanSession.{name}", refuse)


UNMEANT: list[tuple[Callable[[Any], object], str]] = [
    (lambda e: e.neurons("#5", top=0), "top cannot be 0"),
    (lambda e: e.neurons("#5", top=True), "top cannot be True"),
    (lambda e: e.neurons("#5", top=2.5), "top cannot be 2.5"),
    (lambda e: e.neurons("#5", layers=(77,)), "has no layer 77"),
    (lambda e: e.neurons("#5", layers=(-1,)), "has no layer -1"),
    (lambda e: e.neurons("#5", layers=()), "No layer was named"),
    (lambda e: e.neurons("#5", sign="x"), "sign cannot be 'x'"),
    (lambda e: e.tokens(NEURON, top=-3), "top cannot be -3"),
    (lambda e: e.atlas(per_layer=0), "per_layer cannot be 0"),
    (lambda e: e.atlas(sign="x"), "sign cannot be 'x'"),
    (lambda e: e.prompts(NEURON, top=0), "top cannot be 0"),
    (lambda e: e.prompts(NEURON, sign="x"), "sign cannot be 'x'"),
    (lambda e: e.prompts(NEURON, sign="-"), "No prompts of most negative activation"),
    (lambda e: e.sampled_prompts(NEURON, "foo"), "kind cannot be 'foo'"),
    (lambda e: e.sampled_prompts(NEURON, "random", top=0), "top cannot be 0"),
    (lambda e: e.peak_figures(NEURON, kind="foo"), "kind cannot be 'foo'"),
    (lambda e: e.prompts_with_figures(NEURON, sign="x"), "sign cannot be 'x'"),
    (lambda e: e.prompts_with_figures(NEURON, kind="random", sign="x"), "sign cannot be 'x'"),
    (lambda e: e.predictions(99999, 1), "no prompt #99999"),
    (lambda e: e.predictions(-1, 1), "no prompt #-1"),
    (lambda e: e.predictions(0, 99), "no position 99"),
    (lambda e: e.predictions(0, 1, top=0), "top cannot be 0"),
    (lambda e: e.ablate(NEURON, HEAD, method="foo"), "method cannot be 'foo'"),
    (lambda e: e.ablate(NEURON, HEAD, positions="foo"), "positions cannot be 'foo'"),
]


@pytest.mark.usefixtures("no_scan")
@pytest.mark.parametrize(("question", "message"), UNMEANT, ids=[message for _, message in UNMEANT])
def test_what_cannot_be_meant_is_refused(
    explorer: Make, question: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(LookupsError, match=message) as refused:
        question(explorer())
    assert refused.value.hint


@pytest.mark.usefixtures("no_scan")
@pytest.mark.parametrize("sign", ["-", "both"])
@pytest.mark.parametrize(
    "question",
    [
        lambda e: e.prompts(NEURON),
        lambda e: e.heads(NEURON, prompt=1),
        lambda e: e.heads_overview(NEURON),
        lambda e: e.ablate(NEURON, HEAD),
        lambda e: e.explaining.plan(NEURON, HEAD),
    ],
    ids=["prompts", "heads", "overview", "ablate", "explain"],
)
def test_negative_firing_of_a_plain_mlp_is_refused_before_the_scan(
    explorer: Make, question: Callable[[Explorer], object], sign: str
) -> None:
    with pytest.raises(LookupsError, match="most negative activation"):
        question(explorer(sign=sign))


def test_what_the_cache_could_not_keep_is_told(explorer: Make, tmp_path: Path) -> None:
    """One sentence for all of its kind, and by the status once a question has met with it."""
    full = explorer(cache_dir=str(tmp_path), cache_size_limit=1)
    full.tokens(NEURON)
    full.tokens(NeuronId(1, 4))
    (problem,) = full.problems
    assert problem.startswith("A result was not kept: ")
    assert "cache_size_limit" in problem
    assert full.status().problems == ()
    answered = threading.Event()
    full.ask(lambda: full.tokens(NEURON), lambda _: answered.set(), lambda _: answered.set())
    assert answered.wait(60)
    assert full.status().problems == (problem,)


def test_what_can_be_meant_passes() -> None:
    checks.check_count("top", None)
    checks.check_count("top", 1)
    checks.check_sign(None)
    checks.check_sign("both")
    checks.check_kind("deciles")
    checks.check_ablation("mean", None)
    checks.check_layers((0, 5), 6, "demo")
    checks.check_prompt_id(0, 1)
    checks.check_firing_sign("+", gated=False)
    checks.check_firing_sign("both", gated=True)


def test_as_many_prompts_as_the_setting_says(explorer: Make) -> None:
    """With a `top` below what is usually asked for nothing is refused, and an export takes what there is."""
    few = explorer(top=2)
    assert [prompt.rank for prompt in few.prompts(NEURON).prompts] == [1, 2]
    assert len(few.sampled_prompts(NEURON, "random").prompts) == 2
    assert len(few.peak_figures(NEURON).prompts) == len(few.prompts_with_figures(NEURON).figures) == 2
    assert few.prompts(NEURON) == few.prompts(NEURON, top=2)
    assert len(gather_selection(few, (str(NEURON),), 1).prompts) == 2
