"""One clock, one maker of ids: app/context.py. Everybody else is handed the instant and the id."""

import ast
import tomllib
from typing import Final

import pytest

from tests.house.sources import ROOT, modules

# What reads a clock or makes an id, as it is written at the call.
BANNED: Final = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"),
    *("datetime.datetime.utcnow", "datetime.date.today", "time.time", "time.time_ns", "time.localtime", "time.gmtime"),
    *("uuid.uuid1", "uuid.uuid4", "uuid.uuid7", "uuid1", "uuid4", "uuid7", "uuid_utils.compat.uuid7"),
}
LAST_PARTS: Final = {name.rpartition(".")[2] for name in BANNED}
ALLOWED: Final = {"app/context.py"}


def readers(tree: ast.AST) -> set[str]:
    """Return what reads a clock or makes an id, also where it is only handed on."""
    found = set()
    for node in ast.walk(tree):
        last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if last in LAST_PARTS and (name := ast.unparse(node)) in BANNED:
            found.add(name)
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & BANNED
    return found


def test_clock_is_read_in_one_module_only() -> None:
    found = {module.name: readers(module.tree) for module in modules("app", "workers")}
    assert {name: names for name, names in found.items() if names and name not in ALLOWED} == {}
    assert found["app/context.py"] == {"datetime.now", "uuid7", "uuid_utils.compat.uuid7"}


@pytest.mark.parametrize("text", ["datetime.now(UTC)", "f(default=time.time)", "from time import time", "uuid4()"])
def test_reader_of_a_clock_is_found(text: str) -> None:
    assert readers(ast.parse(text))


def test_linter_bans_the_same() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert set(ruff["flake8-tidy-imports"]["banned-api"]) == {
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
        *("time.time", "uuid.uuid4", "uuid.uuid7", "uuid_utils.compat.uuid7"),
    }
    assert "TID251" in ruff["select"]
    assert [path for path, rules in ruff["per-file-ignores"].items() if "TID251" in rules] == ["app/context.py"]
