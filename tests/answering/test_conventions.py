"""A convention is defined once, and no answer that rests on another one is served."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tui_lookups import answering
from tui_lookups.answering import cache_keys
from tui_lookups.answering.cache_keys import RESTS_ON, choices, convention_parts
from tui_lookups.results.conventions import CHOICES, DEFAULTS, NUMBERS, Conventions
from tui_lookups.storage.keys import make_key

OTHER: dict[str, Any] = {
    "preset": "paper", "activity_rule": "top3", "sign": "both", "trimmed": True, "seed": 1,
    "keep_copies": True, "encoding": "without begin-of-text",
    **{name: 2 * getattr(DEFAULTS, name) for name in NUMBERS},
}  # fmt: skip
"""Another value of every convention."""

WITHOUT_NUMBERS: dict[str, dict[str, object]] = {
    "ablation": {"activity_rule": "2sd", "preset": "default", "seed": 0, "sign": "+", "trimmed": False},
    "activation_diff": {"sign": "+"},
    "examples": {"rule": "2sd", "preset": "default", "sign": "+"},
    "head_means": {"seed": 0},
    "head_reads": {"preset": "default", "sign": "+", "trimmed": False},
    "heads": {"activity_rule": "2sd", "preset": "default"},
    "heads_diff": {"keep_copies": False, "sign": "+"},
    "index": {"keep_copies": False, "seed": 0},
    "inputs_overview": {"activity_rule": "2sd", "preset": "default", "sign": "+", "trimmed": False},
    "joint_layer": {"keep_copies": False, "seed": 0},
    "joint_pass": {"keep_copies": False, "seed": 0},
    "matched_layer": {"seed": 0},
    "neuron_diff": {"keep_copies": False, "sign": "+"},
    "neuron_means": {"seed": 0},
    "overview": {"activity_rule": "2sd", "preset": "default", "sign": "+", "trimmed": False},
    "prompts": {"preset": "default", "sign": "+"},
    "removed": {"seed": 0},
    "sampled": {"preset": "default", "seed": 0},
}
"""What keys have held of the conventions since the first version."""


def key(kind: str, conventions: Conventions) -> str:
    return make_key(kind, {"neuron": "L0.N1", **convention_parts(kind, conventions)})


@pytest.mark.parametrize("kind", RESTS_ON)
def test_another_convention_is_another_key_where_the_answer_rests_on_it(kind: str) -> None:
    for name, value in OTHER.items():
        other = key(kind, replace(DEFAULTS, **{name: value}))
        assert (other != key(kind, DEFAULTS)) == (name in (*RESTS_ON[kind], "encoding")), name


def test_every_convention_is_a_part_of_some_key() -> None:
    names = {field.name for field in fields(Conventions)}
    assert names == set(OTHER) == {"encoding", *(name for rests_on in RESTS_ON.values() for name in rests_on)}
    assert set(cache_keys._FIRST) == set(NUMBERS)


@pytest.mark.parametrize("kind", RESTS_ON)
def test_answers_of_earlier_versions_are_found(kind: str) -> None:
    assert convention_parts(kind, DEFAULTS) == WITHOUT_NUMBERS.get(kind, {})


@pytest.mark.parametrize("kind", RESTS_ON)
def test_a_convention_that_comes_to_mean_something_else_is_another_key(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(kind, DEFAULTS)
    monkeypatch.setattr(cache_keys, "CONVENTIONS_VERSION", 2)
    assert (key(kind, DEFAULTS) != before) == bool(RESTS_ON[kind])


def test_provenance_names_the_choices_and_no_numbers() -> None:
    assert choices("overview", replace(DEFAULTS, sign="both", kept_share=0.5)) == {
        "preset": "default", "activity_rule": "2sd", "sign": "both", "trimmed": False
    }  # fmt: skip
    assert set(choices("ablation", DEFAULTS)) == set(CHOICES) - {"keep_copies"}


@pytest.mark.parametrize(
    ("share", "worth"), [(0.2, False), (0.25, True), (0.5, True), (0.75, True), (0.8, False)]
)
def test_worth_explaining_is_a_share_between_both(share: float, worth: bool) -> None:
    assert DEFAULTS.worth_explaining(share) is worth


def test_services_take_conventions_from_the_engine_alone() -> None:
    """A setting that is read beside them would be in no key."""
    reads = re.compile(r"settings\.(?:" + "|".join(CHOICES) + r")\b")
    loading = {"engine.py", "model_loader.py", "worker_pool.py"}
    outside = {"export_document.py", "verifying_explanations.py"}  # they ask an Explorer, and cache nothing
    files = [path for path in Path(answering.__path__[0]).glob("*.py") if path.name not in loading | outside]
    assert files
    assert not [path.name for path in files if reads.search(path.read_text(encoding="utf-8"))]
