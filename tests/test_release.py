"""What is shipped: a wheel and an sdist are built, looked into, and the wheel is run unpacked."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tui_lookups
from tui_lookups.version import __version__

ROOT = Path(tui_lookups.__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="no source tree"),
]
NAME = f"lookups_tui-{__version__}"
FRONT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SHIPPED = (
    "py.typed", "exports/export.schema.json", "config.schema.json", "demo/passages.jsonl",
    "demo/model/config.json", "demo/model/model.safetensors", "demo/model/tokenizer.json",
    "demo/model/tokenizer_config.json", "tui/app.tcss", "tui/screens/later.tcss",
)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both, built by the backend itself from a copy of the tree (nothing is fetched)."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("build")
    tree = folder / "tree"
    for name in ("tui_lookups", "tests", "benchmarks", "tools"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", *FRONT):
        shutil.copy(ROOT / name, tree / name)
    code = "from hatchling import build; build.build_wheel('..'); build.build_sdist('..')"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True, timeout=200)
    yield folder
    shutil.rmtree(tree)


def test_the_wheel_holds_what_runs_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(f"{NAME}.dist-info/METADATA").decode()
        entry = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert {f"tui_lookups/{name}" for name in SHIPPED} <= names
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    assert all(name.startswith(("tui_lookups/", f"{NAME}.dist-info/")) for name in names)
    assert not [name for name in names if name.endswith((".pyc", ".bin", ".pkl", ".pickle", ".tmp"))]
    assert f"Version: {__version__}\n" in metadata
    assert "License-Expression: MIT\n" in metadata
    assert "lookups-tui = tui_lookups.__main__:main" in entry


def test_the_sdist_holds_the_tests_the_benchmarks_and_the_tools(built: Path) -> None:
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert {f"tui_lookups/{name}" for name in SHIPPED} <= names
    wanted = {
        "tests/conftest.py",
        "tests/faults/tally.py",
        "benchmarks/__main__.py",
        "tools/demo_model/train.py",
        "LICENSE",
    }
    assert wanted | {"pyproject.toml", *FRONT} <= names
    assert not [name for name in names if name.startswith(("/", "..")) or "/../" in name]


def test_the_wheel_runs_from_where_it_is_unpacked(built: Path, tmp_path: Path) -> None:
    """Without the source tree: version, help, and an answer from the packaged demo."""
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        wheel.extractall(tmp_path / "site")

    def run(*arguments: str) -> str:
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import tui_lookups;"
            f"assert tui_lookups.__file__.startswith({str(tmp_path)!r});"
            f"sys.argv[1:] = {list(arguments)!r}; from tui_lookups.__main__ import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
            timeout=200,
        )
        return done.stdout

    assert run("--version") == f"lookups-tui {__version__}\n"
    assert "neurons" in run("--help")
    answer = run("neurons", " time", "--top", "1", "--cache-dir", str(tmp_path / "cache"), "--device", "cpu")
    assert "time" in answer
