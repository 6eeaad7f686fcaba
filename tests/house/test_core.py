"""Core is the textbook: exact, pure, explained."""

import ast
from typing import Final

import pytest

from tests.house.sources import Function, Module, modules

CORE: Final = modules("app/core")
# Where numbers may be inexact, one day: what comes out of there is quantised again.
INEXACT: Final = ("app/core/optimize/", "app/core/scan.py", "app/core/stats.py")
IMPURE_MODULES: Final = {
    *("asyncio", "concurrent", "contextvars", "glob", "io", "json", "locale", "logging", "multiprocessing", "os"),
    *("pathlib", "pickle", "platform", "random", "secrets", "select", "shutil", "signal", "socket", "sqlite3"),
    *("subprocess", "sys", "tempfile", "threading", "time", "urllib", "warnings", "zoneinfo"),
}
IMPURE_CALLS: Final = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint", "globals"}
# Its docstring draws the tree of the errors, each with what it means.
EXPLAINED_BY_THEIR_MODULE: Final = {"app/core/errors.py"}


def inexact(tree: ast.AST) -> list[int]:
    """Return the lines with a float: a literal, the name, or what makes one."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
        or (isinstance(node, ast.Name) and node.id in ("float", "complex", "round"))
        or (isinstance(node, ast.Attribute) and node.attr in ("from_float", "as_integer_ratio"))
    ]


def impure(tree: ast.AST) -> list[int]:
    """Return the lines that wait, read or write the world, or change a name of the module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").partition(".")[0]}
        else:
            names = set()
        waits = isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global | ast.Nonlocal)
        calls = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
        if names & IMPURE_MODULES or waits or calls:
            found.append(getattr(node, "lineno", 0))
    return found


@pytest.mark.parametrize("module", CORE, ids=lambda module: module.name)
def test_core_is_exact_and_pure(module: Module) -> None:
    if not module.name.startswith(INEXACT):
        assert inexact(module.tree) == []
    assert impure(module.tree) == []


@pytest.mark.parametrize(
    "text", ["x = 0.5", "x = float(y)", "x: float", "x = round(y, 2)", "x = 1e3", "Decimal.from_float(y)"]
)
def test_float_is_found(text: str) -> None:
    assert inexact(ast.parse(text)) == [1]


@pytest.mark.parametrize(
    "text",
    ["import time", "from os import path", "import random", "print(1)", "open('x')", "async def f(): ...", "import io"],
)
def test_impurity_is_found(text: str) -> None:
    assert impure(ast.parse(text)) == [1]


@pytest.mark.parametrize("module", CORE, ids=lambda module: module.name)
def test_public_functions_and_classes_of_core_are_explained(module: Module) -> None:
    assert module.name.endswith("__init__.py") or ast.get_docstring(module.tree), "the module says what it is for"
    if module.name in EXPLAINED_BY_THEIR_MODULE:
        return
    public = [
        node for node in module.tree.body if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
