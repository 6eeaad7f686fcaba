"""The table of settings as the README has it: `python -m tests.house.settings_table` prints it."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from app.settings import Settings


def rows() -> Iterator[str]:
    """Yield a row of Markdown for each setting, in their order."""
    for name, field in Settings.model_fields.items():
        yield f"| `{variable_of(name, field)}` | {_written(field.default)} | {field.description} |"


def variable_of(name: str, field: FieldInfo) -> str:
    """Return the environment variable of a setting."""
    prefix = str(Settings.model_config["env_prefix"])
    return str(field.validation_alias or prefix + name.upper())


def _written(default: Any) -> str:
    if default in ("", None):
        return ""
    if isinstance(default, bool | tuple):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"


if __name__ == "__main__":
    print("| setting | default | what it does |\n|---|---|---|", *rows(), sep="\n")
