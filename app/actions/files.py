"""Reading portfolio files and CSV from disk, strictly: a duplicate key, a float or NaN is an error with its place."""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from app.core import assemble, document, drift
from app.core.document import PortfolioFile
from app.core.drift import Report, Snapshot
from app.core.errors import InvalidInput, SteelyardError

MAX_FILE_BYTES: Final = 50_000_000
LOT_COLUMNS: Final = ("account", "symbol", "quantity", "unit_cost", "acquired_on")
PRICE_COLUMNS: Final = ("symbol", "currency", "price", "priced_at")
TRANSACTION_COLUMNS: Final = ("date", "account", "account_kind", "side", "symbol", "quantity", "price", "fees")

T = TypeVar("T")


def read_text(path: Path) -> str:
    """Read a UTF-8 file of bounded size."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInput(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None


def read_json(text: str) -> object:
    """Parse JSON strictly: no duplicate keys, no NaN, no infinities."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InvalidInput("not a portfolio file: nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidInput(f"the field {key[:40]!r} is given twice in one object")
        found[key] = value
    return found


def _constant(name: str) -> object:
    raise InvalidInput(f"{name} is not a number")


def load(path: Path, now: datetime) -> PortfolioFile:
    """Read and check a portfolio file."""
    return document.parse(read_json(read_text(path)), now)


def load_snapshot(path: Path, now: datetime) -> Snapshot:
    """Read a portfolio file as a snapshot at its own instant."""
    return assemble.snapshot_of(load(path, now))


def measure(path: Path, now: datetime) -> Report:
    """Measure the drift of a portfolio file, without any server."""
    return drift.measure(load_snapshot(path, now))


def read_csv(text: str, columns: tuple[str, ...], read: Callable[[dict[str, str]], T]) -> list[T]:
    """Read CSV with exactly these columns, in any order; errors name the line."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found = tuple(name.strip() for name in reader.fieldnames or ())
    if sorted(found) != sorted(columns):
        raise InvalidInput(f"the header must be {','.join(columns)}; it is {','.join(found)[:200]}")
    reader.fieldnames = list(found)
    rows = []
    try:
        for row in reader:
            rows.append(_row(row, reader.line_num, read))
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num}: {error}") from None
    return rows


def _row(row: dict[str, Any], line: int, read: Callable[[dict[str, str]], T]) -> T:
    if None in row or None in row.values():
        raise InvalidInput(f"line {line}: wrong number of columns")
    try:
        return read({name: value.strip() for name, value in row.items()})
    except SteelyardError as error:
        raise InvalidInput(f"line {line}: {error.message}", error.path) from None
