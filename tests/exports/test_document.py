from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from tests.storage.samples import export_document, strategy_for
from tui_lookups.errors import ExportError, NumericalError
from tui_lookups.exports import reading, writing
from tui_lookups.exports.document import EXPORT_VERSION, ExportDocument
from tui_lookups.exports.schema import schema
from tui_lookups.results import Trim
from tui_lookups.storage import codec, files


def test_a_document_comes_back_the_same(tmp_path: Path) -> None:
    path = writing.write_export(export_document(), tmp_path / "lookups.json")
    assert reading.read_export(path) == export_document()
    assert os.listdir(tmp_path) == ["lookups.json"]
    assert path.read_bytes().isascii()


def test_a_document_without_ablations_and_notes_is_one_that_earlier_versions_read(tmp_path: Path) -> None:
    document = replace(export_document(), ablations=(), notes=())
    path = writing.write_export(document, tmp_path / "lookups.json")
    assert not {"ablations", "notes"} & set(json.loads(path.read_bytes()))
    assert reading.read_export(path) == document


@pytest.mark.parametrize("name", ["a.csv", "a.json.gz", "a.JSONL", "walk.md"])
def test_a_name_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="JSON document") as refused:
        writing.write_export(export_document(), tmp_path / name)
    assert ".json" in refused.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.json", "a.JSON", "walk"])
def test_a_name_of_json_or_of_nothing_is_taken(tmp_path: Path, name: str) -> None:
    assert writing.write_export(export_document(), tmp_path / name).name == name


def test_the_schema_is_a_schema_of_this_version() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$id"].endswith(f":{EXPORT_VERSION}")
    assert schema()["properties"]["schema_version"]["const"] == EXPORT_VERSION


def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from schema["$defs"].values()


def test_every_key_of_the_schema_is_described() -> None:
    for each in objects(schema()):
        assert each["description"].endswith(".")
        for name, value in each.get("properties", {}).items():
            assert value["description"].endswith("."), name


def classes_below(type_: Any) -> set[type[Any]]:
    """Every dataclass that a value of `type_` can hold."""
    if (
        dataclasses.is_dataclass(type_)
        and isinstance(type_, type)
        and type_.__module__.startswith("tui_lookups.")
    ):
        hints = typing.get_type_hints(type_)
        return {type_}.union(*(classes_below(hint) for hint in hints.values()))
    return set().union(*(classes_below(each) for each in typing.get_args(type_)))


LATER = (
    "ablations", "left_out", "text_field", "other_files", "post_ln", "special", "special_tokens", "units",
    "weight",
)  # fmt: skip
"""Keys that exports of this version did not have from the beginning."""


def test_schema_and_dataclasses_have_the_same_keys() -> None:
    assert Trim in classes_below(ExportDocument)  # optional parts are walked too
    in_code = sorted(
        sorted(field.name for field in dataclasses.fields(each)) for each in classes_below(ExportDocument)
    )
    in_schema = sorted(sorted(each["properties"]) for each in objects(schema()) if "properties" in each)
    assert in_schema == in_code
    for each in objects(schema()):
        if "properties" in each:
            assert each["additionalProperties"] is False
            later = (*LATER, "notes") if "schema_version" in each["properties"] else LATER
            assert each["required"] == [name for name in each["properties"] if name not in later]


def without_ranges(part: Any) -> Any:
    """A schema without its limits on numbers, lengths and versions: what is left are keys and types."""
    if isinstance(part, list):
        return [without_ranges(each) for each in part]
    if not isinstance(part, dict):
        return part
    ranges = {"minimum", "maximum", "minItems", "minLength", "const"}
    if part.get("enum") == [1, -1]:
        ranges |= {"enum"}
    kept = {key: each for key, each in part.items() if key not in ranges or isinstance(each, dict)}
    return {key: without_ranges(each) for key, each in kept.items()}


KEYS_AND_TYPES = Draft202012Validator(without_ranges(schema()))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategy_for(ExportDocument))
def test_keys_types_and_nulls_of_schema_and_dataclasses_agree(document: ExportDocument) -> None:
    assert not list(KEYS_AND_TYPES.iter_errors(codec.to_plain(document)))


def edited(edit: Callable[[dict[str, Any]], None]) -> bytes:
    plain = codec.to_plain(export_document())
    edit(plain)
    return json.dumps(plain).encode()


def setter(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(plain: Any) -> None:
        for part in path[:-1]:
            plain = plain[part]
        plain[path[-1]] = value

    return edit


MUST_FAIL = {
    "empty": b"",
    "not json": b"{",
    "other json": b"[]",
    "null": b"null",
    "other object": b"{}",
    "binary": b"\x00\xff\xfe",
    "utf-16": json.dumps({}).encode("utf-16"),
    "deep": b"[" * 200_000,
    "nan": edited(setter("neurons", 0, "congruence", value=float("nan"))),
    "infinite by exponent": edited(setter("neurons", 0, "congruence", value=1)).replace(
        b'"congruence": 1,', b'"congruence": 1e999,', 1
    ),
    "long number": b'{"schema_version": ' + b"1" * 5000 + b"}",
    "no version": edited(lambda plain: plain.pop("schema_version")),
    "version as text": edited(setter("schema_version", value="1")),
    "version true": edited(setter("schema_version", value=True)),
    "version 1 with keys of version 3": edited(setter("schema_version", value=1)),
    "version 2 with keys of version 3": edited(setter("schema_version", value=2)),
    "note without text": edited(setter("notes", 0, "text", value="")),
    "note of no neuron": edited(setter("notes", 0, "neuron", value="L5")),
    "version 0": edited(setter("schema_version", value=0)),
    "no provenance": edited(lambda plain: plain.pop("provenance")),
    "unknown key": edited(setter("api_key", value="secret")),
    "unknown key inside": edited(setter("provenance", "model", "token", value="secret")),
    "bad neuron": edited(setter("neurons", 0, "neuron", value="L5N371")),
    "bad head": edited(setter("heads", 0, "head", value="L5.N3")),
    "congruence as text": edited(setter("neurons", 0, "congruence", value="6.12")),
    "bad basis": edited(setter("provenance", "basis", value="cooked")),
    "negative position": edited(setter("prompts", 0, "prompt", "peak", "position", value=-1)),
    "fraction above one": edited(setter("heads", 1, "mean", "active_fraction", value=1.5)),
    "sign 0": edited(setter("prompts", 0, "prompt", "sign", value=0)),
    "list as parameter": edited(setter("provenance", "parameters", "top", value=[1])),
    "no tokens": edited(setter("prompts", 0, "prompt", "tokens", value=[])),
}


@pytest.mark.parametrize("name", MUST_FAIL)
def test_documents_that_are_none_are_refused_clearly(tmp_path: Path, name: str) -> None:
    path = tmp_path / "lookups.json"
    path.write_bytes(MUST_FAIL[name])
    with pytest.raises(ExportError) as caught:
        reading.read_export(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 1000


def of_version_2() -> Any:
    """The document as the second version wrote it: it did not look for copies."""
    plain: Any = codec.to_plain(replace(export_document(), notes=()))
    plain["schema_version"] = 2
    del plain["notes"]
    for prompt in plain["prompts"]:
        del prompt["prompt"]["copies"]
    return plain


def of_version_1(edit: Callable[[Any], None] = lambda plain: None) -> bytes:
    """The document as the first version wrote it: it did not say of which list, nor on which texts."""
    plain = of_version_2()
    plain["schema_version"] = 1
    for prompt in plain["prompts"]:
        del prompt["kind"]
    for head in plain["heads"]:
        del head["kind"], head["context"]
    edit(plain)
    return json.dumps(plain).encode()


def test_a_document_of_the_second_version_opens(tmp_path: Path) -> None:
    path = tmp_path / "lookups.json"
    path.write_text(json.dumps(of_version_2()))
    assert reading.read_export(path) == replace(export_document(), notes=())


def test_a_document_of_the_first_version_opens(tmp_path: Path) -> None:
    path = tmp_path / "lookups.json"
    path.write_bytes(of_version_1())
    assert reading.read_export(path) == replace(export_document(), notes=())

    def were_trimmed(plain: Any) -> None:
        plain["provenance"]["parameters"]["trimmed"] = True

    path.write_bytes(of_version_1(were_trimmed))
    found = [head.context for head in reading.read_export(path).heads]
    assert found == ["full", "trimmed"], "a prompt's own attributions say it, else the setting"


@pytest.mark.parametrize("place", ["prompts", "heads", "provenance"])
@pytest.mark.parametrize("value", [None, 3, [None], [3], [[]], [{}], {}])
def test_a_damaged_document_of_the_first_version_is_refused(tmp_path: Path, place: str, value: Any) -> None:
    path = tmp_path / "lookups.json"
    path.write_bytes(of_version_1(setter(place, value=value)))
    with pytest.raises(ExportError):
        reading.read_export(path)


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lookups.json"
    path.write_bytes(edited(setter("schema_version", value=EXPORT_VERSION + 1)))
    with pytest.raises(ExportError, match=f"schema version {EXPORT_VERSION + 1}") as caught:
        reading.read_export(path)
    assert "newer" in caught.value.hint


def test_a_file_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = writing.write_export(export_document(), tmp_path / "lookups.json")
    monkeypatch.setattr(reading, "MOST_BYTES", path.stat().st_size - 1)
    with pytest.raises(ExportError, match="larger"):
        reading.read_export(path)


def test_places_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for path in (tmp_path / "missing.json", tmp_path, tmp_path / "pipe", tmp_path / "x\0y"):
        with pytest.raises(ExportError):
            reading.read_export(path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    places = ["", "missing/lookups.json", "file/lookups.json", "pipe", "n" * 300, "x\0y"]
    for place in places:
        with pytest.raises(ExportError) as caught:
            writing.write_export(export_document(), tmp_path / place, overwrite=True)
        assert caught.value.hint
    assert sorted(os.listdir(tmp_path)) == ["file", "pipe"]


def test_a_file_that_exists_is_kept_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "lookups.json"
    path.write_bytes(b"mine")
    with pytest.raises(ExportError, match="exists"):
        writing.write_export(export_document(), path)
    assert path.read_bytes() == b"mine"
    writing.write_export(export_document(), path, overwrite=True)
    assert reading.read_export(path) == export_document()


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "lookups.json")
    writing.write_export(export_document(), tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert reading.read_export(tmp_path / "real" / "lookups.json") == export_document()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(ExportError, match="no space left"):
        writing.write_export(export_document(), tmp_path / "lookups.json")
    assert os.listdir(tmp_path) == []


def test_a_document_that_breaks_the_schema_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="schema_version"):
        writing.write_export(replace(export_document(), schema_version=99), tmp_path / "lookups.json")
    document = export_document()
    broken = replace(document, neurons=(replace(document.neurons[0], congruence=float("inf")),))
    with pytest.raises(NumericalError):
        writing.write_export(broken, tmp_path / "lookups.json")
    assert os.listdir(tmp_path) == []
