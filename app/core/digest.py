"""Digests of core values: equal values give equal digests on any machine."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_type_hints

from app.core.money import plain
from app.core.stats import Closes


def canonical(value: object) -> str:
    """Write a value as text, the same for equal values: fields in order, mappings by key, numbers in plain notation."""
    if value is None or isinstance(value, bool | int):
        return str(value)
    if isinstance(value, str):
        return f"{len(value)}:{value}"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Closes):
        return value.written()
    if isinstance(value, Mapping):
        items = sorted((canonical(key), canonical(item)) for key, item in value.items())
        return "{" + ",".join(f"{key}={item}" for key, item in items) + "}"
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(canonical, value)) + "]"
    assert is_dataclass(value), type(value)
    parts = ",".join(f"{field.name}={canonical(getattr(value, field.name))}" for field in fields(value))
    return f"{type(value).__name__}({parts})"


def digest(value: object) -> str:
    """Return the sha256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def shape(kind: Any) -> str:
    """Return the sha256 of the names of a class, of its fields, and of all classes that these may hold.

    Beside the content it is what digests rest on: one that was made of another shape cannot be compared.
    """
    found: dict[str, tuple[str, ...]] = {}

    def collect(part: Any) -> None:
        if not is_dataclass(part):
            for inner in get_args(part):
                collect(inner)
        elif (name := getattr(part, "__name__", "")) not in found:
            found[name] = tuple(field.name for field in fields(part))
            for hint in get_type_hints(part).values():
                collect(hint)

    collect(kind)
    return digest(found)
