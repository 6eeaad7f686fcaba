"""Core values as JSON documents, and back to equal values.

A dataclass is an object of its fields, an enum its value, a Decimal a string in plain notation, an instant or a day
ISO 8601. Floats are closing prices and the limits of a search: each is the shortest number that reads back to the same
bits. What is None is left out. A field that a document lacks takes the value's default, so a document written
before the field existed can still be read. A band is `{"kind": "ABSOLUTE", "absolute": "5"}`.

Assets are written in full, so that a plan or an alert keeps the names it was made with.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import orjson

from app.core.drift import Report
from app.core.money import plain
from app.core.stats import Closes

T = TypeVar("T")


def dump(value: object) -> str:
    """Write a core value as JSON text for a jsonb column."""
    return orjson.dumps(to_document(value)).decode()


def load(kind: type[T], text: str) -> T:
    """Read a core value from the text of a jsonb column."""
    return from_document(kind, orjson.loads(text))


def dump_report(report: Report) -> str:
    """Write a drift report without its holdings: lots are kept where they are, and entries name what they hold."""
    return dump(without_holdings(report))


def without_holdings(report: Report) -> Report:
    """Return a report that names no lots."""
    return replace(report, valuation=replace(report.valuation, holdings=()))


def to_document(value: object) -> Any:
    """Return the JSON form of a core value."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {to_document(key): to_document(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_document(item) for item in value]
    if isinstance(value, Closes):
        return {"days": value.days, "prices": value.prices}  # there are thousands: orjson writes them as they are
    assert is_dataclass(value), type(value)
    kind: Any = type(value)
    pairs = ((name, getattr(value, name)) for name in _names(kind))
    return {name: to_document(item) for name, item in pairs if item is not None}


def from_document(kind: type[T], document: Any) -> T:
    """Return the core value of type `kind` that a JSON form was made from."""
    built: Any = kind
    return cast(T, _reader(built)(document))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """Build the function that reads one type, once."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in parts if part is not type(None))
        return _optional(_reader(inner))
    if origin is tuple:
        return _each(_reader(parts[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_reader(parts[0]), _reader(parts[1]))
    if kind in (str, int, bool, float):
        return lambda document: document
    if kind in (datetime, date):
        return lambda document: kind.fromisoformat(document)
    if kind is Decimal or issubclass(kind, Enum):
        return lambda document: kind(document)
    assert is_dataclass(kind), kind
    return _object(kind)


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda document: None if document is None else read(document)


def _each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda document: tuple(read(item) for item in document)


def _mapping(key: Callable[[Any], Any], value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda document: {key(name): value(item) for name, item in document.items()}


def _object(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    optional = {name: None for name in _names(kind) if type(None) in get_args(hints[name])}
    readers = {name: _reader(hints[name]) for name in _names(kind)}

    def read(document: Any) -> Any:
        found = {name: readers[name](item) for name, item in document.items() if name in readers}
        return kind(**optional | found)

    return read
