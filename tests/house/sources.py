"""The sources of the house, read for the tests that guard it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A module: its path from the root, and its syntax."""

    name: str
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        """Yield functions of the module itself, outside of classes."""
        yield from (node for node in self.tree.body if isinstance(node, Function))


def modules(*folders: str) -> list[Module]:
    """Return the modules of some folders, those that were written by a tool left out."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        Module(str(path.relative_to(ROOT)), ast.parse(path.read_text()))
        for path in paths
        if not path.match("migrations/0001_*.py")
    ]


def texts_of(node: ast.AST) -> Iterator[str]:
    """Yield texts in a piece of syntax, those with expressions in them as they are written."""
    docstring = ast.get_docstring(node, clean=False) if isinstance(node, Function) else None
    inner = {id(part) for found in ast.walk(node) if isinstance(found, ast.JoinedStr) for part in ast.walk(found)}
    for found in ast.walk(node):
        if isinstance(found, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{" + ast.unparse(part.value) + "}"
                for part in found.values
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
        elif isinstance(found, ast.Constant) and isinstance(found.value, str) and id(found) not in inner:
            yield from () if found.value == docstring else (found.value,)
