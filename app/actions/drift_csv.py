"""Drift history as CSV: a line for each stretch of time, or for each of its sleeves; made page by page."""

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Final

from app.actions import drift
from app.actions.drift import Stretch
from app.actions.portfolios import Loaded
from app.context import Context
from app.core.drift import Entry, Report
from app.core.health import Resolution
from app.core.money import plain
from app.core.scalars import write_instant

PAGE: Final = 100
MOST: Final = 10_000
"""Stretches in one file: more than a year of hours."""

COLUMNS: Final = (
    *("bucket", "measurements", "missed", "breached", "status", "worst", "currency"),
    *("value", "max_abs_drift", "lowest", "highest"),
)
DETAIL_COLUMNS: Final = (
    *("bucket", "at", "key", "targeted", "target", "actual", "drift", "lower", "upper", "status", "currency"),
    *("value", "to_target", "stale"),
)


async def pages(
    context: Context,
    loaded: Loaded,
    first: int,
    after: str | None,
    resolution: Resolution,
    since: datetime | None,
    until: datetime | None,
    *,
    detail: bool,
) -> AsyncIterator[str]:
    """Yield a history of `first` stretches as CSV, newest first, with a header; what is wrong is raised at once."""
    columns, cells = (DETAIL_COLUMNS, _details) if detail else (COLUMNS, _figures)
    head: list[Sequence[object]] = [columns]
    more = True
    while more and first > 0:
        page = await drift.history(context, loaded, min(first, PAGE), after, resolution, since, until, full=detail)
        yield _written([*head, *(line for one in page.items for line in cells(one))])
        head, more = [], page.more
        first, after = first - PAGE, page.end_cursor


def _figures(one: Stretch) -> Iterator[Sequence[object]]:
    period = one.period
    bucket, measurements, missed, breached, worst, status, *numbers, _, currency = astuple(period)
    counts = (write_instant(bucket), measurements, missed, breached)
    words = [word.value if word else "" for word in (status, worst)]
    yield (*counts, *words, currency, *("" if number is None else plain(number) for number in numbers))


def _details(one: Stretch) -> Iterator[Sequence[object]]:
    """Yield a line for each sleeve; one without a key where there are none, with the status of the portfolio."""
    period, report = one.period, one.report
    bucket = write_instant(period.bucket)
    if report is None or not report.entries:
        status = period.status.value if period.status else "MISSED"
        at = write_instant(report.as_of) if report else ""
        yield [bucket, at, *[""] * 7, status, *[""] * 4]
        return
    for entry in report.entries:
        yield [bucket, *_sleeve(entry, report)]


def _sleeve(entry: Entry, report: Report) -> list[str]:
    numbers = (entry.target, entry.actual, entry.drift, entry.lower, entry.upper)
    return [
        *(write_instant(report.as_of), _harmless(entry.key), _flag(entry.targeted), *map(plain, numbers)),
        *(entry.status.value, report.valuation.base_currency, plain(entry.value), plain(entry.to_target)),
        _flag(entry.stale),
    ]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: an apostrophe goes before what could begin one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _written(lines: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()
