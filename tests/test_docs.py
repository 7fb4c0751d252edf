"""The documentation tells the truth: offline commands run, the others parse, links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.documentation import PAGES, ROOT, Line, blocks, command_lines, parse
from tests.small_corpora import first_passages
from tui_lookups.cli import app
from tui_lookups.model.families import FAMILIES
from tui_lookups.model.gguf.families import GGUF_FAMILIES

pytestmark = pytest.mark.usefixtures("once_loaded")

LINES = command_lines()
RUN = [line for line in LINES if line.offline]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder and cache for all: pages build on what a page before computed."""
    return tmp_path_factory.mktemp("docs")


@pytest.fixture
def at_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A few of the packaged passages and short lists: whether it runs does not rest on how many there are."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOOKUPS_CORPUS", str(first_passages(folder / "few.jsonl", 12)))
    monkeypatch.setenv("LOOKUPS_TOP", "4")
    monkeypatch.setenv("LOOKUPS_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("LOOKUPS_OFFLINE", "1")
    monkeypatch.setenv("LOOKUPS_THREADS", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return folder


def test_the_pages_are_there_and_hold_commands() -> None:
    names = {page.stem for page in PAGES}
    assert names >= {
        "gpu-box", "air-gapped", "corpora", "reading-the-numbers", "scripting", "explanations",
        "distributed-scan", "terminology", "method", "benchmarks", "cache", "faults", "habits", "keys",
        "models", "settings", "smollm2", "SECURITY", "CONTRIBUTING", "tables", "from-a-model-to-a-table",
    }  # fmt: skip
    assert len(RUN) >= 15


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}:{line.text}")
def test_every_command_parses(line: Line, at_work: Path) -> None:
    parse(line)


def test_every_offline_command_runs(at_work: Path) -> None:
    """Those of the README before those of the pages."""
    runner = CliRunner()
    for line in dict.fromkeys(sorted(RUN, key=lambda line: line.page != "README.md")):
        result = runner.invoke(app, line.arguments)
        # doctor and verify say by their status that something is amiss, which is no failure of the page
        allowed = {0, 1} if line.arguments[0] == "doctor" else {0}
        assert result.exit_code in allowed, f"{line.page}: {line.text}\n{result.output}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda p: p.name)
def test_every_python_example_runs(page: Path, at_work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {"__name__": "__example__"})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists() or (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "names", [[family.label for family in FAMILIES.values()], list(GGUF_FAMILIES)], ids=["folders", "gguf"]
)
def test_the_page_on_models_lists_every_family(names: list[str]) -> None:
    page = re.sub(r"\s+", " ", (ROOT / "tui_lookups" / "docs" / "models.md").read_text(encoding="utf-8"))
    assert [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", page)] == []
