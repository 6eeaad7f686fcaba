"""Reading portfolio files and CSV from disk, strictly: a duplicate key, a float or NaN is an error with its place."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from app.actions import strict
from app.core import assemble, document, drift
from app.core.document import PortfolioFile
from app.core.drift import Report
from app.core.errors import InvalidInput, SteelyardError

MAX_FILE_BYTES: Final = 50_000_000
LOT_COLUMNS: Final = ("account", "symbol", "quantity", "unit_cost", "acquired_on")
PRICE_COLUMNS: Final = ("symbol", "currency", "price", "priced_at")
TRANSACTION_COLUMNS: Final = ("date", "account", "account_kind", "side", "symbol", "quantity", "price", "fees")

T = TypeVar("T")


def read_text(path: Path) -> str:
    """Read a UTF-8 file of bounded size; what is no regular file, such as a pipe, is read up to that bound too."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None


def parse(text: str, now: datetime) -> PortfolioFile:
    """Read and check the text of a portfolio file."""
    return document.parse(strict.parse(text, "the file"), now)


def read_portfolio(path: Path, now: datetime) -> PortfolioFile:
    """Read and check a portfolio file."""
    return parse(read_text(path), now)


def measure(path: Path, now: datetime) -> Report:
    """Measure the drift of a portfolio file, without any server."""
    return drift.measure(assemble.snapshot_of(read_portfolio(path, now)))


def read_header(text: str) -> tuple[str, ...]:
    """Return the names of a CSV's columns; none where there is no first line."""
    return _header(csv.reader(io.StringIO(text, newline=""), strict=True))


def read_csv(
    text: str, columns: tuple[str, ...], read: Callable[[dict[str, str]], T], optional: tuple[str, ...] = ()
) -> list[tuple[int, T]]:
    """Read CSV with exactly these columns, in any order, with the line each row ends on; errors name the line.

    Columns that are `optional` may be there too. Blank lines are passed over.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = _header(reader)
    if sorted(header) != sorted({*columns, *(name for name in optional if name in header)}):
        also = f", with {' and '.join(optional)} if you like" if optional else ""
        raise InvalidInput(f"the header must be {','.join(columns)}{also}; it is {','.join(header)[:200]!r}")
    rows = []
    try:
        for cells in reader:
            if cells:
                rows.append((reader.line_num, _row(header, cells, reader.line_num, read)))
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num}: {error}") from None
    return rows


def write_csv(columns: tuple[str, ...], rows: Iterable[Mapping[str, str]]) -> str:
    """Write CSV that `read_csv` reads."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _header(reader: Any) -> tuple[str, ...]:
    try:
        return tuple(name.strip() for name in next(reader, []))
    except csv.Error as error:
        raise InvalidInput(f"line 1: {error}") from None


def _row(header: tuple[str, ...], cells: list[str], line: int, read: Callable[[dict[str, str]], T]) -> T:
    if len(cells) != len(header):
        raise InvalidInput(f"line {line}: there are {len(cells)} columns instead of {len(header)}")
    try:
        return read({name: cell.strip() for name, cell in zip(header, cells, strict=True)})
    except SteelyardError as error:
        raise InvalidInput(f"line {line}: {error.message}", error.path) from None
