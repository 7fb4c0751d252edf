"""`lookups-tui docs`: the pages, by name, as text or as one JSON document."""

from __future__ import annotations

import json

from click.testing import CliRunner

from tui_lookups.cli import app


def test_pages_are_listed_and_shown() -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ["docs"])
    assert listed.exit_code == 0
    assert "terminology" in listed.stdout
    shown = runner.invoke(app, ["docs", "Terminology"])
    assert shown.stdout.startswith("# Terms\n")


def test_json_holds_one_document() -> None:
    runner = CliRunner()
    names = [page["name"] for page in json.loads(runner.invoke(app, ["docs", "--json"]).stdout)["pages"]]
    assert names == sorted(names)
    page = json.loads(runner.invoke(app, ["docs", "method", "--json"]).stdout)
    assert page["text"].startswith("# Method")


def test_a_page_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    result = CliRunner().invoke(app, ["docs", "../../secrets"])
    assert result.exit_code == 1
    assert "corpora" in str(result.exception.__dict__) + str(result.exception)
