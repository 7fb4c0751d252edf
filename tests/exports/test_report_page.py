"""The page of a report: its figures are the JSON's, its texts are texts, and it needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.exports.reports import HEAD, large_report, survey_report
from tests.fake_answers import NEURON
from tests.storage.samples import export_document
from tui_lookups.exports import figures, report_page
from tui_lookups.exports.report import of_export, read_report
from tui_lookups.exports.report_page import page
from tui_lookups.exports.survey_folder import write_folder
from tui_lookups.results import SourceToken, Token
from tui_lookups.storage.codec import to_plain
from tui_lookups.visible import visible

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

HOSTILE = [
    "<script>document.title='run'</script>",
    "</script><script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "\"><svg onload=document.title='run'>",
    "' onmouseover='document.title=1",
    "{{ 7 * 7 }}{% for x in y %}",
    "]]><!--",
    "&lt;b&gt; &amp;#60;",
    "\x1b[31m\x1b]0;title\x07\x9b1m\x00",
    "\u202edetrever\u2066",
    "javascript:document.title='run'",
    "\ud800",
]


class Page(HTMLParser):
    """What is in a page: tags with their attributes, tables by name, texts, and titled tokens."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str | float]]] = {}
        self.texts: list[str] = []
        self.titles: list[str] = []
        self._rows: list[list[str | float]] = []
        self._cell: str | float | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag == "table":
            self._rows = self.tables[str(values["id"])] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""
        elif tag == "data" and self._cell is not None:
            self._cell = float(str(values["value"]))
        elif tag == "span":
            self.titles.append(str(values["title"]))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self._rows[-1].append(self._cell)
            self._cell = None

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if isinstance(self._cell, str):
            self._cell += data


def cells(plain: dict[str, object]) -> list[object]:
    """A row of the JSON as the page's table has it: a token is its number and its text."""
    found: list[object] = []
    for value in plain.values():
        if isinstance(value, dict):
            found += [value["id"], visible(value["text"]).replace(" ", "␣")]
        else:
            found.append("" if value is None else value)
    return found


def test_tables_have_the_figures_of_the_json() -> None:
    report = survey_report()
    plain, tables = to_plain(report.survey), Page(page(report)).tables
    assert list(tables) == ["neurons", "pairs", "heads"]
    for name, (names, *rows) in tables.items():
        assert rows == [cells(row) for row in plain[name]], name
        assert all(isinstance(each, str) and each for each in names)


def test_walks_have_the_figures_of_the_json() -> None:
    walk = survey_report().walks[0]
    read = Page(page(survey_report()))
    activations = [repr(value) for prompt in walk.prompts for value in prompt.activations]
    sources = {source.position: source.attribution for source in walk.on_prompts[0].sources}
    read_tokens = [repr(sources.get(position, 0.0)) for position in range(walk.on_prompts[0].position + 1)]
    assert read.titles[: len(activations) + len(read_tokens)] == activations + read_tokens
    assert walk.stats is not None
    said = {float(str(values["value"])) for tag, values in read.tags if tag == "data"}
    assert {walk.stats.mean, walk.stats.maximum, *(row.congruence for row in walk.tokens)} <= said
    assert str(HEAD) in "".join(read.texts)


def test_what_a_head_reads_is_shown_from_where_it_brings_most() -> None:
    report = survey_report()
    (found,) = report.walks[0].on_prompts
    long = replace(
        found,
        tokens=tuple(Token(number, f" w{number}") for number in range(100)),
        position=99,
        sources=(SourceToken(20, Token(20, " w20"), -3.0), SourceToken(98, Token(98, " w98"), 1.0)),
    )
    values, start = figures.sources_shown(long)
    assert (start, len(values), values[0], values[78]) == (20, 80, -3.0, 1.0)
    near = replace(long, sources=long.sources[1:])
    assert figures.sources_shown(near)[1] == 59
    walks = (replace(report.walks[0], on_prompts=(long,)),)
    assert "-3.0" in Page(page(replace(report, walks=walks))).titles


def test_an_export_has_a_page_too() -> None:
    read = Page(page(of_export(export_document())))
    assert ("div", {"id": str(NEURON)}) in read.tags
    assert read.tables["pairs"][1][:2] == [str(NEURON), "L3.H2"]
    assert sum(tag == "svg" for tag, _ in read.tags) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_a_text(text: str) -> None:
    clean, read = Page(page(survey_report("a word"))), Page(page(survey_report(text)))
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in clean.tags]
    assert [sorted(values) for _, values in read.tags] == [sorted(values) for _, values in clean.tags]
    shown = visible(text)
    assert sum(shown.replace("\n", "") in each for each in read.texts) > 10
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page(survey_report(text))
    )


def test_nothing_is_loaded_and_only_what_is_named_runs() -> None:
    text = page(survey_report())
    read = Page(text)
    assert not [tag for tag, _ in read.tags if tag in ("link", "img", "iframe", "object", "embed", "form")]
    for _, values in read.tags:
        assert not {"src", "style", "onclick", "xlink:href"} & set(values)
        assert str(values.get("href", "#")).startswith("#")
    policy = next(values["content"] for tag, values in read.tags if "http-equiv" in values) or ""
    for kind in ("script", "style"):
        (inside,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_a_thousand_pairs_are_a_page_one_can_send() -> None:
    report = large_report(200, 5)
    assert report.survey is not None
    assert len(report.survey.pairs) == 1000
    assert len(page(report).encode()) < 20_000_000


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_without_a_network_runs_it_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted by mean attribution, with a text in every place that would rename the page if it ran."""
    report = large_report(2, 4)
    assert report.survey is not None
    shown = replace(report, walks=(*report.walks, *survey_report(HOSTILE[1]).walks))
    sort = report_page._part("sort.js") + 'document.querySelectorAll("#pairs th button")[5].click();'
    monkeypatch.setattr(
        report_page, "_part", lambda name, part=report_page._part: sort if name == "sort.js" else part(name)
    )
    path = tmp_path / "report.html"
    path.write_text(page(shown), encoding="utf-8")
    assert CHROMIUM is not None
    ended = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    read = Page(ended.stdout)
    assert "CONSOLE" not in ended.stderr, "the policy refused something, or the script failed"
    assert "<title>Survey of demo, layers 20 to 29</title>" in ended.stdout
    sorted_by = [row[5] for row in read.tables["pairs"][1:]]
    assert sorted_by == sorted((pair.mean_attribution for pair in report.survey.pairs), reverse=True)
    assert sorted_by != [pair.mean_attribution for pair in report.survey.pairs]


def test_the_data_of_a_page_is_read_back(tmp_path: Path) -> None:
    report = survey_report()
    write_folder(report, tmp_path, "csv")
    assert read_report(tmp_path / "report.json") == report
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page(report)
    plain = json.loads((tmp_path / "report.json").read_bytes())
    assert plain["survey"]["pairs"][0]["mean_attribution"] == 1.5
