"""atlas, ablate, reproduce and prompts --kind on the command line, against fixed answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake_answers import HOSTILE, NEURON
from tests.test_cli import Shell, clean_environment, shell  # noqa: F401 - fixtures
from tui_lookups.ids import HeadId


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["atlas"], {"layers", "basis", "sign", "tokens", "per_layer", "rejected", "provenance"}),
        (["ablate", "5.371", "3.1"], {"neuron", "head", "method", "positions", "prompts", "summary", "seed"}),
        (
            ["ablate-pairs", "5.371"],
            {"pairs", "left_out", "mean_drop_active", "mean_drop_inactive", "distance", "provenance"},
        ),
        (
            ["reproduce", "gpt2", "--model", "agreeing"],
            {"model", "tolerance", "figures", "agrees", "skipped"},
        ),
        (["prompts", "5.371"], {"neuron", "stats", "prompts", "kind", "figures", "figures_note"}),
    ],
)
def test_json_and_table(shell: Shell, arguments: list[str], keys: set[str]) -> None:  # noqa: F811
    assert keys <= set(shell.document(*arguments))
    status, table, err = shell(*arguments)
    assert (status, err) == (0, "")
    assert len(table.splitlines()) >= 3
    assert not set("\x1b\u202e") & set(table)


def test_keys_of_the_rows(shell: Shell) -> None:  # noqa: F811
    layer = shell.document("atlas", "--per-layer", "1")["layers"][1]
    assert layer == {
        "layer": 5,
        "neurons": [
            {"neuron": "L5.N371", "top_token": {"id": 1093, "text": " because"}, "top_congruence": 6.125}
        ],
        "best_of_tokens": 1234,
    }
    row = shell.document("ablate", "5.371", "3.1")["prompts"][0]
    assert {
        "prompt_id", "active", "token", "activation_before", "activation_after", "probability_before",
        "probability_after", "donor",
    } <= set(row)  # fmt: skip
    figure = shell.document("prompts", "5.371", "--top", "1")["figures"][0]
    assert {
        "rank", "prompt_id", "token", "activation", "congruence", "logit_contribution", "scale",
        "probability", "next_token", "next_probability",
    } <= set(figure)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "question", "parameters"),
    [
        (["atlas"], "atlas", {"per_layer": 20, "reject": []}),
        (
            ["atlas", "--per-layer", "3", "--reject", " a", "--reject", "#7"],
            "atlas",
            {"per_layer": 3, "reject": [" a", "#7"]},
        ),
        (
            ["ablate", "5.371", "3.1"],
            "ablate",
            {"neuron": NEURON, "head": HeadId(3, 1), "method": "zero", "positions": None, "trimmed": None},
        ),
        (
            ["ablate", "5.371", "3.1", "--method", "resample", "--positions", "all", "--trimmed"],
            "ablate",
            {
                "neuron": NEURON,
                "head": HeadId(3, 1),
                "method": "resample",
                "positions": "all",
                "trimmed": True,
            },
        ),
        (["reproduce", "gpt2", "--model", "agreeing"], "reproduce", {"model": "gpt2"}),
    ],
)
def test_what_the_explorer_is_asked(
    shell: Shell,  # noqa: F811
    arguments: list[str],
    question: str,
    parameters: dict[str, Any],
) -> None:
    assert shell(*arguments)[0] == 0
    assert shell.explorer is not None
    assert shell.explorer.calls == [(question, parameters)]


def test_the_pairs_are_the_heads_worth_explaining(shell: Shell) -> None:  # noqa: F811
    found = shell.document("ablate-pairs", "5.371", "L5.N371", "--method", "mean", "--positions", "all")
    assert [(pair["neuron"], pair["head"]) for pair in found["pairs"]] == [("L5.N371", "L3.H1")]
    assert shell.explorer is not None
    assert [call for call in shell.explorer.calls if call[0] == "ablate"] == [
        (
            "ablate",
            {"neuron": NEURON, "head": HeadId(3, 1), "method": "mean", "positions": "all", "trimmed": None},
        )
    ]
    table = shell("ablate-pairs", "5.371")[1]
    assert "zero at peak" in table
    assert "Kolmogorov-Smirnov distance 1.000" in table


def test_preset_paper_chooses_heads_on_one_part_and_ablates_on_the_other(shell: Shell) -> None:  # noqa: F811
    shell.document("ablate-pairs", "5.371", "--preset", "paper")
    assert shell.explorer is not None
    parts = [(name, asked.get("part")) for name, asked in shell.explorer.calls]
    assert parts == [("heads_overview", "explaining"), ("ablate", "scoring")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ablate-pairs"],
        ["atlas", "--per-layer", "0"],
        ["atlas", " because"],
        ["ablate", "5.371"],
        ["ablate", "5.371", "3.1", "--method", "half"],
        ["ablate", "5.371", "3.1", "--positions", "first"],
        ["prompts", "5.371", "--kind", "worst"],
        ["reproduce"],
    ],
)
def test_wrong_usage_is_2(shell: Shell, arguments: list[str]) -> None:  # noqa: F811
    status, out, err = shell(*arguments)
    assert (status, out) == (2, "")
    assert err


def test_a_reject_file_has_a_token_a_line(shell: Shell, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "reject"
    file.write_bytes(b" glitch\r\n\n#640\nplain \n")
    assert shell("atlas", "--reject", " first", "--reject-file", str(file))[0] == 0
    assert shell.explorer is not None
    assert shell.explorer.calls[0][1]["reject"] == [" first", " glitch", "#640", "plain "]
    for broken in (tmp_path / "missing", tmp_path):
        status, out, err = shell("atlas", "--reject-file", str(broken))
        assert (status, out) == (1, "")
        assert "list of tokens" in err


def test_the_tables_say_what_was_done(shell: Shell) -> None:  # noqa: F811
    ablated = shell("ablate", "5.371", "3.1", "--method", "resample")[1]
    assert "L5.N371 without L3.H1 (resample at peak, full prompts, seed 0)" in ablated
    assert "folded weights" in ablated
    assert "activation change: Kolmogorov-Smirnov distance 1.000" in ablated
    assert "probability drop: no distance" in ablated
    atlas = shell("atlas", "--reject", "x")[1]
    assert "1 rejected by hand" in atlas
    assert "1,234" in atlas
    figures = shell("prompts", "5.371", "--kind", "deciles")[1]
    assert "One prompt of each decile" in figures
    assert "+3.500" in figures
    assert "[/INST]␛[31m" in figures and HOSTILE.text not in figures  # noqa: PT018


def test_a_figure_that_differs_fails_after_printing_it(shell: Shell) -> None:  # noqa: F811
    status, out, err = shell("reproduce", "gpt2", "--model", "other")
    assert status == 1
    assert "differs" in out
    assert "1 of 2 figures differ" in err


def test_a_model_that_is_not_at_hand_is_skipped_with_a_sentence(
    shell: Shell,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_lookups.model.sources.in_hub_cache", lambda name: False)
    document = shell.document("reproduce", "gpt2")
    assert document["figures"] == []
    assert document["skipped"] == "gpt2 is not in the local Hugging Face cache, so nothing was worked out."
    assert shell.explorer is None, "nothing is fetched"
    assert "Skipped: gpt2 is not in" in shell("reproduce", "gpt2")[1]
    status, _, err = shell("reproduce", "my-model")
    assert status == 1
    assert "gpt2, gpt2-large" in err


def test_a_model_in_the_hub_cache_is_taken_from_there(
    shell: Shell,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_lookups.model.sources.in_hub_cache", lambda name: name == "gpt2")
    shell("reproduce", "gpt2")
    assert shell.explorer is not None
    assert shell.explorer.settings.model == "gpt2"
