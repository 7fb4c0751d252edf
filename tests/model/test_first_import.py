"""transformers is first imported by one thread at a time, whoever needs it first."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tui_lookups

PACKAGE = Path(tui_lookups.__file__).parent

REPLACES_ITSELF = """
import sys, time, types
time.sleep(0.3)
whole = types.ModuleType(__name__)
whole.AutoConfig = object
sys.modules[__name__] = whole
"""

TWO_THREADS = """
import sys, threading, time
from tui_lookups.model.first_import import import_transformers

def first():
    import_transformers()

def second():
    time.sleep(0.1)
    if sys.argv[1] == "called":
        import_transformers()
    try:
        from transformers import AutoConfig
        print("there")
    except ImportError:
        print("not there")

threads = [threading.Thread(target=work) for work in (first, second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_a_second_thread_finds_the_names_of_the_whole_module(tmp_path: Path) -> None:
    (tmp_path / "transformers.py").write_text(REPLACES_ITSELF, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])

    def outcome(how: str) -> str:
        command = [sys.executable, "-c", TWO_THREADS, how]
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert outcome("called") == "there\n"
    assert outcome("left out") == "not there\n"  # else this test shows nothing


def importing(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions whose own body imports from transformers."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            inside = {
                id(node)
                for inner in ast.walk(function)
                if is_inner(inner, function)
                for node in ast.walk(inner)
            }
            if any(takes_from_transformers(node) for node in ast.walk(function) if id(node) not in inside):
                yield function


def is_inner(node: ast.AST, function: ast.FunctionDef) -> bool:
    return isinstance(node, ast.FunctionDef) and node is not function


def takes_from_transformers(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "transformers"
    return isinstance(node, ast.Import) and any(
        name.name.split(".")[0] == "transformers" for name in node.names
    )


def test_whoever_imports_from_it_asks_first() -> None:
    functions = [
        (path.name, function)
        for path in PACKAGE.rglob("*.py")
        for function in importing(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(functions) > 8
    for name, function in functions:
        called = [
            node.lineno
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_transformers"
        ]
        taken = [node.lineno for node in ast.walk(function) if takes_from_transformers(node)]
        assert called, f"{function.name} in {name}"
        assert min(called) < min(taken), f"{function.name} in {name}"


def test_nobody_imports_from_it_on_the_way() -> None:
    """At the top of a module nobody could ask first."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(takes_from_transformers(node) for node in tree.body), path.name
