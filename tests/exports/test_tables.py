"""Records as files and frames: columns that stay, and texts that another program reads as texts."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pyarrow.parquet
import pytest

from tests.exports.reports import HEAD, survey_report
from tests.exports.test_report_page import HOSTILE
from tests.fake_answers import BECAUSE, NEURON, FakeExplorer
from tests.storage.samples import export_document
from tui_lookups import to_frame
from tui_lookups.errors import ExportError, LookupsError
from tui_lookups.exports.formats import ENDINGS, RecordFormat
from tui_lookups.exports.long_form import COLUMNS, tables_of, write_tables
from tui_lookups.exports.report import Report, of_export, read_report
from tui_lookups.exports.tables import as_latex, encode, encode_records
from tui_lookups.results import Token
from tui_lookups.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "tui_lookups" / "docs"
REPORTS = {"survey": survey_report(), "export": of_export(export_document())}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_half_of_a_character_is_written_out(form: RecordFormat) -> None:
    """An explainer's answer may hold one, and UTF-8 cannot."""
    data = encode_records([{"text": "a\ud800b", "n": 1}], ["text", "n"], form)
    read = pandas.read_csv if form == "csv" else pandas.read_parquet
    assert read(io.BytesIO(data)).text.tolist() == ["a\\ud800b"]


@pytest.mark.parametrize("name", REPORTS)
def test_parquet_is_read_back_into_the_documented_columns(name: str, tmp_path: Path) -> None:
    report = REPORTS[name]
    write_tables(report, tmp_path, "parquet")
    for table, rows in tables_of(report).items():
        read = pyarrow.parquet.read_table(tmp_path / f"{table}.parquet")
        assert read.to_pylist() == rows
        columns = list(pandas.read_parquet(tmp_path / f"{table}.parquet").columns)
        if name == "survey" and table in ("neurons", "pairs", "heads"):  # its own lists, which have more
            columns = [column for column in columns if column in COLUMNS[table]]
        assert columns == list(COLUMNS[table]), table


def test_the_rows_are_the_figures_of_the_walks() -> None:
    report = survey_report()
    walk, tables = report.walks[0], tables_of(report)
    assert [row["activation"] for row in tables["peaks"] if row["neuron"] == str(NEURON)] == [
        each.peak.activation for each in walk.peaks
    ]
    assert tables["peaks"][0]["text"] == "".join(token.text for token in walk.prompts[0].tokens[:4])
    assert [row["attribution"] for row in tables["sources"]] == [1.125, -0.5]
    assert {row["head"] for row in tables["sources"]} == {str(HEAD)}
    assert len(tables["attributions"]) == len(walk.on_prompts[0].heads)
    assert [row["mean_attribution"] for row in tables["pairs"]] == [1.5]


def test_an_exports_heads_on_one_prompt_are_there_once() -> None:
    report = of_export(export_document())
    twice = replace(report.walks[0], on_prompts=report.walks[0].on_prompts * 2)
    rows = tables_of(replace(report, walks=(twice,)))["attributions"]
    assert len(rows) == len(report.walks[0].on_prompts[0].heads)


def test_every_column_is_on_the_page_and_no_other() -> None:
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    for table, columns in COLUMNS.items():
        (section,) = re.findall(rf"^### {table}\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE)
        named = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", section, re.MULTILINE))
        assert {name: said for name, said in named.items() if "*survey*" not in said} == columns, table
        assert set(named) <= set(tables_of(survey_report())[table][0]), table


@pytest.mark.parametrize("form", ENDINGS)
def test_a_table_without_rows_has_its_columns(form: str, tmp_path: Path) -> None:
    empty = replace(REPORTS["export"], walks=())
    write_tables(empty, tmp_path, form)  # type: ignore[arg-type]
    data = (tmp_path / f"peaks.{ENDINGS[form]}").read_bytes()  # type: ignore[index]
    if form == "parquet":
        assert pandas.read_parquet(io.BytesIO(data)).columns.tolist() == list(COLUMNS["peaks"])
    else:
        assert b"next" in data
        assert b"activation" in data


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ExportError, match="cannot be written"):
        write_tables(REPORTS["export"], tmp_path / "file", "csv")


@pytest.mark.parametrize(
    ("plain", "set_"),
    [
        (" because", r"\textvisiblespace{}because"),
        ("a_b & 5 % of {x}", r"a\_b \& 5 \% of \{x\}"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("$x^2~#1", r"\$x\textasciicircum{}2\textasciitilde{}\#1"),
        ("--", "{-}{-}"),
        ("[2em]", "{[}2em]"),
        ("^^4d", r"\textasciicircum{}\textasciicircum{}4d"),
        ("\x1b[31m\n", r"\textasciicircum{}{[}{[}31m\ensuremath{\hookleftarrow}"),
        ("  ", r"\textvisiblespace{}\textvisiblespace{}"),
    ],
)
def test_latex_sets_a_text_as_it_is(plain: str, set_: str) -> None:
    assert as_latex(plain) == set_


def test_latex_needs_no_font_for_control_characters() -> None:
    assert as_latex("".join(map(chr, range(32))) + "\x7f\u00a0").isascii()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_in_its_cell(text: str) -> None:
    records = [{"text": text, "n": 1.5}]
    lines = encode_records(records, ["text", "n"], "markdown").decode().splitlines()
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", lines[2])) == 3
    assert not re.search(r"(?<!\\)[<&`\[]", lines[2])
    *_, row, bottom, end = encode_records(records, ["text", "n"], "latex").decode().splitlines()
    assert row.endswith(" & $1.5$ \\\\")
    assert len(re.findall(r"(?<!\\)&", row)) == 1
    assert (bottom, end) == ("\\bottomrule", "\\end{tabular}")


def test_a_table_of_an_answer_in_latex() -> None:
    found = FakeExplorer(Settings()).tokens(NEURON)
    text = encode(found, "latex").decode()
    assert "\\begin{tabular}{lrlr}" in text
    assert f"{NEURON} & $1093$ & \\textvisiblespace{{}}because & $6.125$ \\\\" in text


def test_a_frame_has_the_columns_of_csv() -> None:
    explorer = FakeExplorer(Settings())
    found = explorer.neurons(BECAUSE.text)
    frame = to_frame(found)
    assert ",".join(frame.columns) == encode(found, "csv").decode().splitlines()[0]
    assert frame["congruence"].tolist() == [row.congruence for row in found.neurons]
    heads = to_frame(explorer.survey(progress=print).heads)
    assert heads["serves"].tolist() == [0, 1]
    assert heads["mean_attribution"].isna().tolist() == [True, False]


def test_what_is_missing_in_every_row_is_one_column_and_in_some_rows_none_of_its_own() -> None:
    explorer = FakeExplorer(Settings())
    found = explorer.prompts(NEURON, top=2)
    first = found.prompts[0]
    cut = replace(
        found, prompts=(replace(first, peak=replace(first.peak, next_token=None)), found.prompts[1])
    )
    frame = to_frame(cut)
    assert "peak.next_token" not in frame.columns
    assert frame["peak.next_token.text"].isna().tolist() == [True, False]


def test_without_pandas_a_frame_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LookupsError, match="needs pandas") as refused:
        to_frame(FakeExplorer(Settings()).tokens(NEURON))
    assert "records_of" in refused.value.hint


def test_a_report_of_another_version_or_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for text, said in (
        ('{"walks": [], "schema_version": 99}', "schema version 99"),
        ('{"walks": [], "schema_version": 1}', "is no report"),
        ("{}", "no export"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ExportError, match=said):
            read_report(path)


def test_a_token_that_is_no_token_of_the_neuron_is_missing() -> None:
    report: Report = replace(
        REPORTS["export"], walks=(replace(REPORTS["export"].walks[0], token=Token(0, "")),)
    )
    (row,) = tables_of(report)["neurons"]
    assert (row["token.id"], row["token.text"]) == (0, "")
