"""Every setting is told where people look for it, and nothing else reads the environment."""

import ast
import re

from app.settings import Settings
from tests.house.settings_table import rows, variable_of
from tests.house.sources import ROOT, modules


def test_readme_has_the_table_of_settings() -> None:
    told = [line for line in (ROOT / "README.md").read_text().splitlines() if re.match(r"\| `[A-Z_]+` \|", line)]
    assert told == list(rows()), "print it with python -m tests.house.settings_table"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_variables_are_named_after_the_product() -> None:
    bare = {variable_of(name, field) for name, field in Settings.model_fields.items() if field.validation_alias}
    assert bare == {"DATABASE_URL", "REDIS_URL"}


def test_environment_is_read_in_the_settings_only() -> None:
    """Others may hand it to child processes, or set what the next process reads."""
    readers = {
        f"{module.name}:{node.lineno}"
        for module in modules("app", "workers")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.getenv", "os.environ.get")
    }
    assert readers == set()
