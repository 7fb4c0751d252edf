"""The subcommand export in other formats than its document, and figures of answers."""

# ruff: noqa: F401, F811 - fixtures

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.storage.samples import export_document
from tests.test_cli import Shell, clean_environment, shell
from tui_lookups.exports import filling
from tui_lookups.exports.writing import write_export

TABLES = {"neurons", "peaks", "pairs", "attributions", "sources"}


@pytest.fixture(autouse=True)
def document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "filled", lambda explorer, selection: export_document())


@pytest.mark.parametrize(
    ("form", "endings"),
    [("csv", {"csv"}), ("tsv", {"tsv"}), ("markdown", {"md"}), ("latex", {"tex"}), ("parquet", {"parquet"})],
)
def test_tables_are_a_folder(shell: Shell, tmp_path: Path, form: str, endings: set[str]) -> None:
    answer = shell.document("export", "5.371", "--format", form, "-o", str(tmp_path / "tables"))
    assert (answer["neurons"], answer["prompts"], answer["heads"]) == (2, 1, 2)
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        f"{name}.{ending}" for name in TABLES for ending in endings
    }


def test_a_name_that_ends_in_html_is_a_page(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "walk.HTML"
    path.write_text("mine", encoding="utf-8")
    status, _, err = shell("export", "5.371", "-o", str(path))
    assert (status, shell.explorer, path.read_text(encoding="utf-8")) == (1, None, "mine")
    assert "--force" in err
    assert shell("export", "5.371", "-o", str(path), "--force")[0] == 0
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_was_exported_is_written_again_without_a_model(shell: Shell, tmp_path: Path) -> None:
    source = write_export(export_document(), tmp_path / "walk.json")
    asked = ("export", "--from", str(source))
    assert shell(*asked, "--format", "neuronpedia", "-o", str(tmp_path / "np"))[0] == 0
    assert (tmp_path / "np" / "demo" / "5-lookups" / "features" / "batch-0.jsonl.gz").exists()
    assert shell(*asked, "-o", str(tmp_path / "walk.html"))[0] == 0
    assert shell.explorer is None
    for wrong in (("-o", "x.json"), ("0.1", "-o", "x.html"), ("--format", "svg", "-o", "x")):
        assert shell(*asked, *wrong)[0] == 2
    assert shell("export", "-o", "x.html")[0] == 2
    assert shell("export", "--from", str(tmp_path / "none.json"), "-o", str(tmp_path / "y.html"))[0] == 1


def test_a_folder_with_files_is_kept_unless_forced(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    asked = ("export", "5.371", "--format", "csv", "-o", str(tmp_path))
    status, _, err = shell(*asked)
    assert (status, shell.explorer) == (1, None)
    assert "--force" in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert shell(*asked, "--force")[0] == 0
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    status, _, err = shell("export", "5.371", "--format", "csv", "-o", str(tmp_path / "notes.txt"))
    assert status == 1
    assert "is a file" in err


def test_an_answer_is_printed_as_its_figure(shell: Shell) -> None:
    status, out, err = shell("heads", "5.371", "--format", "svg")
    assert (status, err) == (0, "")
    assert ElementTree.fromstring(out).tag.endswith("svg")
    status, out, err = shell("scan", "--format", "svg")
    assert (status, out) == (1, "")
    assert "no figure" in err
