"""Core values as JSON documents, and back to equal values.

A dataclass is an object of its fields, an enum its value, a Decimal a string in plain notation, an instant or a day
ISO 8601. What is None is left out. A field that a document lacks takes the value's default, so a document written
before the field existed can still be read. A band is `{"kind": "ABSOLUTE", "absolute": "5"}`.

Assets are written in full, so that a plan or an alert keeps the names it was made with. With `refer` they are written
as ids, for drift logs, whose reader looks them up.
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
from app.core.portfolio import Asset

T = TypeVar("T")
Assets = Mapping[str, Asset]


def dump(value: object, *, refer: bool = False) -> str:
    """Write a core value as JSON text for a jsonb column."""
    return orjson.dumps(to_document(value, refer=refer)).decode()


def load(kind: type[T], text: str, assets: Assets | None = None) -> T:
    """Read a core value from the text of a jsonb column; `assets` are those it refers to."""
    return from_document(kind, orjson.loads(text), assets)


def dump_report(report: Report) -> str:
    """Write a drift report without its holdings: lots are kept where they are, and entries name what they hold."""
    return dump(replace(report, valuation=replace(report.valuation, holdings=())))


def to_document(value: object, *, refer: bool = False) -> Any:
    """Return the JSON form of a core value."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {to_document(key): to_document(item, refer=refer) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_document(item, refer=refer) for item in value]
    if refer and isinstance(value, Asset):
        return value.id
    assert is_dataclass(value), type(value)
    kind: Any = type(value)
    pairs = ((name, getattr(value, name)) for name in _names(kind))
    return {name: to_document(item, refer=refer) for name, item in pairs if item is not None}


def from_document(kind: type[T], document: Any, assets: Assets | None = None) -> T:
    """Return the core value of type `kind` that a JSON form was made from."""
    built: Any = kind
    return cast(T, _reader(built)(document, assets or {}))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _reader(kind: Any) -> Callable[[Any, Assets], Any]:
    """Build the function that reads one type, once."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in parts if part is not type(None))
        return _optional(_reader(inner))
    if origin is tuple:
        return _each(_reader(parts[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_reader(parts[0]), _reader(parts[1]))
    if kind in (str, int, bool):
        return lambda document, _: document
    if kind in (datetime, date):
        return lambda document, _: kind.fromisoformat(document)
    if kind is Decimal or issubclass(kind, Enum):
        return lambda document, _: kind(document)
    assert is_dataclass(kind), kind
    return _asset(_object(kind)) if kind is Asset else _object(kind)


def _optional(read: Callable[[Any, Assets], Any]) -> Callable[[Any, Assets], Any]:
    return lambda document, assets: None if document is None else read(document, assets)


def _each(read: Callable[[Any, Assets], Any]) -> Callable[[Any, Assets], Any]:
    return lambda document, assets: tuple(read(item, assets) for item in document)


def _mapping(key: Callable[[Any, Assets], Any], value: Callable[[Any, Assets], Any]) -> Callable[[Any, Assets], Any]:
    return lambda document, assets: {key(name, assets): value(item, assets) for name, item in document.items()}


def _object(kind: Any) -> Callable[[Any, Assets], Any]:
    hints = get_type_hints(kind)
    optional = {name: None for name in _names(kind) if type(None) in get_args(hints[name])}
    readers = {name: _reader(hints[name]) for name in _names(kind)}

    def read(document: Any, assets: Assets) -> Any:
        found = {name: readers[name](item, assets) for name, item in document.items() if name in readers}
        return kind(**optional | found)

    return read


def _asset(read: Callable[[Any, Assets], Any]) -> Callable[[Any, Assets], Any]:
    return lambda document, assets: assets[document] if isinstance(document, str) else read(document, assets)
