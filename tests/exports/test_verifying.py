"""Exports recomputed: what is the same, and what was tampered with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.exports.conftest import WINDOW, Bench
from tui_lookups.errors import ExportError
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.explorer import Explorer
from tui_lookups.exports import verifying
from tui_lookups.exports.comparing import TOLERANCE, pointer
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.verification import Fingerprints
from tui_lookups.exports.verifying import verify
from tui_lookups.settings import load_settings

# --- what is the same ---


def test_an_export_agrees_with_its_own_recomputation(bench: Bench) -> None:
    found = bench.recompute(bench.document)
    assert found.differing == ()
    assert found.agrees
    assert found.checked == found.equal
    assert found.largest_relative == 0.0
    assert found.checked > 500
    assert [each.where for each in found.not_recomputed] == [
        "/created", "/generator", "/provenance/parameters",
    ]  # fmt: skip


def test_what_a_language_model_said_is_named_where_the_cache_does_not_hold_it(bench: Bench) -> None:
    found = bench.recompute(bench.document, cached=False)
    assert found.agrees
    assert [each.where for each in found.not_recomputed][3:] == [
        "/heads/0/explanation", "/heads/0/explanation_score",
    ]  # fmt: skip
    assert "not asked for again" in found.not_recomputed[3].reason


NEW_IN_VERSION_3 = frozenset(
    {
        "ablations",
        "copies",
        "keep_copies",
        "left_out",
        "other_files",
        "special",
        "special_tokens",
        "weight",
        "text_field",
    }
)


def as_version_2_wrote_it(plain: Any, below: str = "") -> Any:
    if isinstance(plain, dict):
        kept = plain.keys() - NEW_IN_VERSION_3 - ({"bos"} if below == "parameters" else set())
        return {key: as_version_2_wrote_it(plain[key], key) for key in kept}
    return [as_version_2_wrote_it(each) for each in plain] if isinstance(plain, list) else plain


def test_an_export_of_version_2_agrees_wherever_it_says_what_it_was_made_with(bench: Bench) -> None:
    path = bench.folder / "version-2.json"
    path.write_text(json.dumps({**as_version_2_wrote_it(bench.plain), "schema_version": 2}))
    document = read_export(path)
    assert document.heads[0].attributions is not None
    assert document.heads[0].explanation is not None
    assert bench.recompute(document).differing == ()


def test_nothing_that_was_cached_is_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    before = set(bench.explorer._engine.cache.directory.rglob("*"))
    got = Explorer.scan

    def scan(self: Explorer, progress: Any = None) -> Any:
        asked.append(str(self._engine.cache.directory))
        return got(self, progress)

    monkeypatch.setattr(Explorer, "scan", scan)
    found = verify(bench.explorer, bench.path)
    assert found.agrees, found.differing
    assert (found.tolerance, found.path) == (TOLERANCE, str(bench.path))
    assert found.fingerprints.model == bench.document.provenance.model.fingerprint
    assert len(asked) == 1
    assert Path(asked[0]).parent.name.startswith(".lookups-verifying-")
    assert not Path(asked[0]).exists()
    assert {
        path for path in bench.explorer._engine.cache.directory.rglob("*") if "verifying" in str(path)
    } == set()
    assert before <= set(bench.explorer._engine.cache.directory.rglob("*"))


def test_other_batch_sizes_stay_within_the_tolerance(bench: Bench) -> None:
    """The scan's batches and the attribution's padding change; the figures do so by rounding only."""
    other = Explorer(
        load_settings(
            cache_dir=bench.folder / "cache", corpus=str(bench.corpus), window=WINDOW, threads=1,
            device="cpu", seed=3, top=8, batch_tokens=300,
        ),
        results=bench.folder / "other",
    )  # fmt: skip
    try:
        other.scan()
        store = ExplainedStore(bench.explorer._engine.cache)
        prints = Fingerprints("", "")
        found = verifying.recompute(bench.document, bench.path, other, store, TOLERANCE, prints)
        strict = verifying.recompute(bench.document, bench.path, other, store, 0.0, prints)
    finally:
        other.close()
    assert found.agrees, found.differing[:5]
    assert 0 < found.largest_relative <= TOLERANCE
    assert strict.differing, "other batches give other rounding"


# --- what was tampered with ---


def _numbers(value: Any, at: str = "") -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in _numbers(each, pointer(at, key))]
    if isinstance(value, list):
        return [leaf for number, each in enumerate(value) for leaf in _numbers(each, pointer(at, number))]
    return [(at, value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _is_subject(where: str) -> bool:
    """Whether a number says what something is about: another one asks another question."""
    of_a_set = where.endswith("/token/id") and "/token_set/members/" in where
    return of_a_set or (where.endswith(("/prompt_id", "/token/id")) and where.count("/") <= 4)


def _caught(bench: Bench, where: str, value: Any) -> bool:
    """Whether a changed value is found, at its place."""
    try:
        document = read_export(bench.tampered(where, value))
    except ExportError:
        return True  # it is no export any more
    found = bench.recompute(document)
    if _is_subject(where):
        thing = "/".join(where.split("/")[:3])
        return any(each.where.startswith(thing) for each in found.differing)
    return where in [each.where for each in found.differing]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_number_that_is_changed_is_caught_where_it_is(bench: Bench, data: st.DataObject) -> None:
    numbers = [each for each in _numbers(bench.plain) if not each[0].startswith("/provenance/parameters")]
    where, value = data.draw(st.sampled_from(numbers))
    by = data.draw(st.integers(1, 10_000)) * data.draw(st.sampled_from([-1, 1]))
    assert _caught(bench, where, value + by), f"{where}: {value} -> {value + by}"


@pytest.mark.slow
@pytest.mark.timeout(1500)  # some 700 recomputations
def test_every_number_that_is_changed_is_caught(bench: Bench) -> None:
    for where, value in _numbers(bench.plain):
        if not where.startswith("/provenance/parameters"):
            assert _caught(bench, where, value + 1), where


def test_a_small_change_of_a_figure_is_caught_with_its_size(bench: Bench) -> None:
    where = "/heads/0/attributions/heads/0/attribution"
    scale = max(
        abs(value) for at, value in _numbers(bench.plain["heads"][0]["attributions"]) if type(value) is float
    )
    value = bench.plain["heads"][0]["attributions"]["heads"][0]["attribution"]
    document = read_export(bench.tampered(where, value + 2e-5 * scale))
    (found,) = bench.recompute(document).differing
    assert (found.where, found.recomputed) == (where, value)
    assert found.relative == pytest.approx(2e-5, rel=0.01)
    assert bench.recompute(read_export(bench.tampered(where, value + 0.5e-5 * scale))).agrees


@pytest.mark.parametrize(
    ("where", "value", "note"),
    [
        ("/neurons/0/token/id", 10**6, "no token"),
        ("/neurons/1/neuron", "L99.N1", "has no neuron L99.N1"),
        ("/neurons/1/neuron", "L0.N999999", "has no neuron"),
        ("/prompts/0/prompt/prompt_id", 10**9, "not among the top prompts"),
        ("/heads/0/prompt_id", 10**9, ""),
        ("/heads/1/head", "L99.H0", "does not reach"),
        ("/heads/1/head", "L5.H0", ""),
    ],
)
def test_things_that_the_model_does_not_have_differ_and_say_why(
    bench: Bench, where: str, value: Any, note: str
) -> None:
    found = bench.recompute(read_export(bench.tampered(where, value)))
    thing = "/".join(where.split("/")[:3])
    notes = [each.note for each in found.differing if each.where.startswith(thing)]
    assert notes
    assert any(note in each for each in notes), notes
    others = {each.where for each in found.differing if not each.where.startswith(thing)}
    assert not others


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("/neurons/0/token/text", "another"),
        ("/prompts/1/prompt/tokens/2/text", "\x1b[31mred"),
        ("/heads/0/explanation/explanation", "Other words."),
        ("/heads/0/explanation_score/answers/0/answer", None),
        ("/heads/0/explanation_score/answers/0/active", None),
        ("/heads/0/explanation_score/single_class", True),
        ("/provenance/model/family", "Other"),
    ],
)
def test_changed_text_and_answers_are_caught(bench: Bench, where: str, value: Any) -> None:
    if where.endswith("/active"):
        value = not bench.plain["heads"][0]["explanation_score"]["answers"][0]["active"]
    found = bench.recompute(read_export(bench.tampered(where, value)))
    if where.endswith("explanation/explanation"):  # other words are not in the cache: said, not compared
        assert "/heads/0/explanation" in [each.where for each in found.not_recomputed]
    else:
        assert where in [each.where for each in found.differing]


def test_figures_of_a_score_follow_from_its_answers_without_a_cache(bench: Bench) -> None:
    was = bench.plain["heads"][0]["explanation_score"]["score"]["tp"]
    document = read_export(bench.tampered("/heads/0/explanation_score/score/tp", was + 1))
    (found,) = bench.recompute(document, cached=False).differing
    assert (found.where, found.exported, found.recomputed) == (
        "/heads/0/explanation_score/score/tp", was + 1, was,
    )  # fmt: skip


def test_more_answers_than_prompts_are_counted_and_not_scored(bench: Bench) -> None:
    rows = bench.plain["heads"][0]["explanation_score"]["answers"] * 50
    found = bench.recompute(read_export(bench.tampered("/heads/0/explanation_score/answers", rows)))
    (first,) = (each for each in found.differing if each.where == "/heads/0/explanation_score/answers")
    assert (first.exported, first.recomputed) == (len(rows), len(rows) // 50)
