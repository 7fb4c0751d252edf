"""Exports that cannot be opened or recomputed, and the command `verify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.exports.conftest import Bench
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.errors import ExportError, LookupsError, ModelLoadError
from tui_lookups.explorer import Explorer
from tui_lookups.exports import origin, verifying
from tui_lookups.exports.comparing import TOLERANCE
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.verification import Difference, Verification
from tui_lookups.settings import load_settings


def verify(bench: Bench, path: Path, **flags: Any) -> Verification:
    return verifying.verify(bench.explorer, path, **flags)


def test_another_model_or_corpus_is_refused_before_anything_is_computed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tiny_folder: Callable[[str], Path]
) -> None:
    monkeypatch.setattr(Explorer, "scan", lambda *_: pytest.fail("it was scanned"))
    with pytest.raises(origin.OtherSourceError, match=r"model .* is not the one of the export") as refused:
        verify(bench, bench.path, model=str(tiny_folder("gpt2")))
    assert "Point --model" in refused.value.hint
    with pytest.raises(origin.OtherSourceError, match="corpus demo is not the one of the export"):
        verify(bench, bench.path, corpus="demo")
    with pytest.raises(origin.OtherSourceError, match="model demo is not the one"):
        verify(bench, bench.tampered("/provenance/model/fingerprint", "0" * 64))


def test_a_corpus_that_has_moved_is_found_where_the_person_says(bench: Bench) -> None:
    elsewhere = bench.folder / "moved.jsonl"
    elsewhere.write_bytes(bench.corpus.read_bytes())
    path = bench.tampered("/provenance/corpus/source", "/nowhere/few.jsonl")
    with pytest.raises(LookupsError, match=r"no corpus '/nowhere/few\.jsonl'"):
        verify(bench, path)
    derived, _ = origin.settings_for(read_export(path), bench.explorer.settings, None, str(elsewhere))
    assert derived.corpus == str(elsewhere)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("/provenance/model/source", "../../etc", "does not say where its model lies"),
        ("/provenance/model/source", "hub:nobody/has-this", "not in the local Hugging Face cache"),
        ("/provenance/model/source", "/etc/passwd", "neither a model folder nor a .gguf file"),
        ("/provenance/model/source", "/nowhere/model", "no model at"),
        ("/provenance/corpus/source", "hub:nobody/has-this@abc", "not fetched unasked"),
        ("/provenance/corpus/source", "few.jsonl", "does not say where its corpus lies"),
        ("/provenance/corpus/source", "/etc/passwd", "not a supported corpus format"),
        ("/provenance/corpus", None, "names no corpus"),
        ("/provenance/dtype", "float1", "dtype cannot be 'float1'"),
        ("/provenance/parameters/top", "many", "top cannot be 'many'"),
        ("/provenance/parameters/top", -1, "top cannot be -1"),
        ("/provenance/parameters/preset", "theirs", "preset cannot be 'theirs'"),
    ],
)
def test_exports_that_name_what_cannot_be_opened(bench: Bench, where: str, value: Any, message: str) -> None:
    with pytest.raises(LookupsError, match=message) as refused:
        verify(bench, bench.tampered(where, value))
    assert isinstance(refused.value, ExportError | ModelLoadError | LookupsError)
    assert refused.value.hint
    assert not list((bench.folder / "cache").glob(".lookups-verifying-*"))


def test_a_top_beyond_reason_reserves_no_memory(bench: Bench) -> None:
    document = read_export(bench.tampered("/provenance/parameters/top", 10**9))
    derived, _ = origin.settings_for(document, bench.explorer.settings, None, None)
    assert derived.top == 10**9
    assert origin.narrowed(document, derived, 6, 24).top == 1000
    assert origin.narrowed(document, derived, 6, 2000).top == 2000
    assert origin.narrowed(document, derived, 1, 24).layers == (0,)


def test_files_that_are_no_exports(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui_lookups.exports import reading

    path = bench.folder / "hostile.json"
    for data in (
        b"",
        b"\x00\xff",
        b"[]",
        b'{"schema_version": 1}',
        b"[" * 100_000,
        b'{"schema_version": 99}',
    ):
        path.write_bytes(data)
        with pytest.raises(ExportError):
            verify(bench, path)
    text = bench.path.read_text(encoding="utf-8")
    path.write_text(text.replace('"congruence": ', '"congruence": NaN, "x": ', 1), encoding="utf-8")
    with pytest.raises(ExportError, match="NaN is no JSON number"):
        verify(bench, path)
    monkeypatch.setattr(reading, "MOST_BYTES", 1000)
    with pytest.raises(ExportError, match="larger than"):
        verify(bench, bench.path)
    for name in ("missing.json", "nul\0l", "."):
        with pytest.raises(ExportError):
            verify(bench, bench.folder / name)


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf"), -1.0])
def test_a_tolerance_that_is_none(bench: Bench, tolerance: float) -> None:
    with pytest.raises(LookupsError, match="is not a valid tolerance"):
        verify(bench, bench.path, tolerance=tolerance)


def test_an_export_of_an_earlier_version_says_what_was_assumed(bench: Bench) -> None:
    document = bench.document
    parameters = {key: document.provenance.parameters[key] for key in ("top", "preset", "activity_rule")}
    older = replace(document, provenance=replace(document.provenance, parameters=parameters))
    derived, notes = origin.settings_for(older, bench.explorer.settings, None, None)
    (note,) = notes
    assert note.startswith("The export does not name sign, seed, trimmed, keep_copies;")
    assert (derived.sign, derived.seed, derived.trimmed) == ("auto", 0, False)


# --- the command ---


def test_the_command(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    common = ["--cache-dir", str(bench.folder / "cache"), "--device", "cpu", "--threads", "1"]

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = invocation.run(cli.app, ["verify", *arguments, *common])
        return status, *capfd.readouterr()

    where = "/neurons/0/congruence"
    path = bench.tampered(where, bench.plain["neurons"][0]["congruence"] + 0.5)
    status, out, err = run(str(path), "--json")
    found = json.loads(out)
    assert status == 1
    assert "Error: 1 of " in err
    assert (found["agrees"], found["checked"], found["tolerance"]) == (False, found["equal"] + 1, TOLERANCE)
    (row,) = found["differing"]
    assert row["where"] == where
    assert row["absolute"] == pytest.approx(0.5)
    assert set(row) >= {"where", "exported", "recomputed", "absolute", "relative"}
    assert set(found["fingerprints"]) == {"model", "corpus"}
    assert run(str(bench.path), "--dtype", "bfloat16")[0] == 2
    assert run(str(bench.path), "--tolerance", "-1")[0] == 2
    assert run(str(bench.folder / "missing.json"))[0] == 1
    assert not list((bench.folder / "cache").glob(".lookups-verifying-*"))


def test_the_table(bench: Bench) -> None:
    import io

    from tui_lookups.commands import tables, tables_verification

    found = bench.recompute(bench.document)
    text = tables.to_text(tables.render(found), io.StringIO())
    assert "x.json: agrees" in text
    assert "not recomputed  /created: It says when" in text
    rows = tuple(Difference(f"/{n}", "\x1b[31m", 1.5, None, None, "[why]") for n in range(60))
    text = tables.to_text(tables.render(replace(found, agrees=False, differing=rows)), io.StringIO())
    assert "x.json: 60 differ" in text
    assert "[why]" in text
    assert "\x1b" not in text
    assert f"{60 - tables_verification.DIFFERENCES_SHOWN} more; --json has them all." in text


def test_an_export_is_recomputed_with_its_field(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    document = bench.document
    assert document.provenance.corpus.text_field == ""
    corpus = replace(document.provenance.corpus, text_field="body")
    named = replace(document, provenance=replace(document.provenance, corpus=corpus))
    monkeypatch.setenv("LOOKUPS_TEXT_FIELD", "another")
    for each, field in ((named, "body"), (document, None)):
        assert origin.settings_for(each, load_settings(), None, None)[0].text_field == field
