"""No code of ours can run what a file holds: held for every module of the package, by its syntax tree.

1. No import of a module that unpickles, or that evaluates YAML tags.
2. No call of eval, exec, compile or __import__; no torch.save; no `.load(...)` of torch without
   weights_only=True, of NumPy with allow_pickle anything but False; no trust_remote_code=True written down.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tui_lookups

PACKAGE = Path(tui_lookups.__file__).parent
FORBIDDEN = {
    "pickle", "cPickle", "_pickle", "pickletools", "dill", "cloudpickle", "shelve", "marshal", "joblib",
    "jsonpickle", "klepto", "pandas", "yaml",
}  # fmt: skip
"""pandas is in the list for `read_pickle`: only what holds a table is taken from it (`HARMLESS`)."""
HARMLESS = {("pandas", "DataFrame")}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}


def offences(source: str) -> list[str]:
    """What in a source file could run code out of data, each with its line."""
    tree = ast.parse(source)
    return [f"line {line}: {what}" for line, what in sorted({*_imports(tree), *_calls(tree)})]


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if {(node.module, alias.name) for alias in node.names} <= HARMLESS:
                continue
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if FORBIDDEN & set(name.split(".")):
                yield node.lineno, f"import of {name}"


def _calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle", "add_safe_globals"):
            yield node.lineno, f"use of {node.attr}"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in CALLS or name.removeprefix("builtins.") in CALLS:
            yield node.lineno, f"call of {name}"
        if name in ("importlib.import_module", "import_module"):
            asked = node.args[0] if node.args else None
            if isinstance(asked, ast.Constant) and FORBIDDEN & set(str(asked.value).split(".")):
                yield node.lineno, f"import of {asked.value}"
            elif not isinstance(asked, ast.Constant) and not _is_below_a_package(asked):
                yield node.lineno, f"import of a name that is worked out: {name}"
        if name == "torch.save":
            yield node.lineno, "torch.save, which writes pickle"
        if name == "torch.load" and not _is_constant(given.get("weights_only"), True):
            yield node.lineno, "torch.load without weights_only=True"
        if name.endswith(
            ("lib.format.read_array", "lib.format.write_array", "np.load", "numpy.load")
        ) and not (_is_constant(given.get("allow_pickle"), False)):
            yield node.lineno, f"{name} without allow_pickle=False"
        for keyword, bad in (("allow_pickle", False), ("trust_remote_code", False)):
            value = given.get(keyword)
            if isinstance(value, ast.Constant) and value.value is not bad:
                yield node.lineno, f"{keyword}={ast.unparse(value)}"


def _is_below_a_package(name: ast.expr | None) -> bool:
    """Whether a name is written f"{...__name__}.something": a module of a package already imported."""
    if not isinstance(name, ast.JoinedStr) or len(name.values) < 2:
        return False
    first, second = name.values[:2]
    return (
        isinstance(first, ast.FormattedValue)
        and ast.unparse(first.value).endswith("__name__")
        and isinstance(second, ast.Constant)
        and str(second.value).startswith(".")
    )


def _is_constant(value: ast.expr | None, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def test_no_module_can_run_what_a_file_holds() -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 100
    found = {str(path.relative_to(PACKAGE)): offences(path.read_text(encoding="utf-8")) for path in modules}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from six.moves import cPickle",
        "import dill",
        "import cloudpickle",
        "from ray import cloudpickle",
        "import shelve",
        "import marshal",
        "import joblib",
        "from sklearn.externals import joblib",
        "import yaml",
        "import pandas as pd",
        "from pandas import DataFrame, read_pickle",
        "def f():\n    import pickle",
        "import importlib\nimportlib.import_module('pickle')",
        "import importlib\nimportlib.import_module(name)",
        "import importlib\nimportlib.import_module(f'{name}.x')",
        "__import__('pickle')",
        "eval('1')",
        "exec(text)",
        "import builtins\nbuiltins.eval(x)",
        "compile(x, 'f', 'exec')",
        "import torch\ntorch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "torch.save(state, path)",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=given)",
        "np.lib.format.read_array(file)",
        "frame.read_pickle(path)",
        "torch.serialization.add_safe_globals([X])",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
    ],
)
def test_planted_sources_are_found(planted: str) -> None:
    assert offences(planted)


@pytest.mark.parametrize(
    "allowed",
    [
        "import re\nre.compile('x')",
        "model.eval()",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "json.load(file)",
        "from . import pickles",
        "from_pretrained(folder, trust_remote_code=trusted)",
        "'pickle' in name",
        "import importlib\nimportlib.import_module(f'{__name__}.{part}')",
    ],
)
def test_what_is_no_danger_is_let_pass(allowed: str) -> None:
    assert offences(allowed) == []
