# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Drift logs: one row per portfolio and bucket, written by COPY, read by keyset.

A row with the status MISSED says that the portfolio could not be measured for its bucket; it has no figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from app.core.drift import DriftStatus, Entry, Report
from app.core.portfolio import Valuation
from app.store import assets, packed
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio

_COLUMNS: Final = (
    *("portfolio_id", "bucket", "owner_id", "as_of", "targets_version", "status", "value", "cash", "base"),
    *("max_abs_drift", "turnover", "breaches", "prices_at", "missing", "stale", "detail", "tracking_error"),
    "deployable",
)

_FIELDS: Final = """
    d.bucket, d.as_of, d.targets_version, d.status, trim_scale(d.value) AS value, trim_scale(d.cash) AS cash,
    trim_scale(d.base) AS base, trim_scale(d.max_abs_drift) AS max_abs_drift, trim_scale(d.turnover) AS turnover,
    d.breaches, d.prices_at, d.missing, d.stale, d.detail, trim_scale(d.tracking_error) AS tracking_error,
    trim_scale(d.deployable) AS deployable, p.base_currency
"""


@dataclass(frozen=True, slots=True)
class DriftLog:
    """One recorded measurement; its report has entries but neither holdings nor rates."""

    bucket: datetime
    report: Report


async def scan_write_logs(tx: Tx, bucket: datetime, measured: Sequence[tuple[StoredPortfolio, Report]]) -> None:
    """Write the measurements of one bucket. A second row for a portfolio and bucket is an error, never a duplicate."""
    held = {m.asset.id for _, report in measured for entry in report.entries for m in entry.members}
    rows = await assets.load_asset_keys(tx, list(held))
    records = [(*_header(bucket, row, report), *_detail(report, rows)) for row, report in measured]
    await tx.copy("drift_logs", _COLUMNS, records)


async def scan_overtaken(tx: Tx, bucket: datetime, portfolio_row_ids: Sequence[int]) -> set[int]:
    """Return those of the portfolios that have a measurement of a later bucket."""
    rows = await tx.fetch(
        "SELECT DISTINCT portfolio_id FROM drift_logs WHERE bucket > $1 AND portfolio_id = ANY ($2)",
        bucket,
        list(portfolio_row_ids),
    )
    return {row["portfolio_id"] for row in rows}


def _header(bucket: datetime, row: StoredPortfolio, report: Report) -> tuple[object, ...]:
    valuation = report.valuation
    return (
        *(row.id, bucket, row.owner_id, report.as_of, report.targets_version, report.status.value),
        *(valuation.value, valuation.cash, report.base, report.max_abs_drift, report.turnover_to_target),
        *(report.breaches, valuation.prices_at, valuation.missing, valuation.stale),
    )


def _detail(report: Report, rows: dict[str, int]) -> tuple[object, ...]:
    return packed.pack(report.entries, rows) if report.entries else None, report.tracking_error, report.deployable


async def load_drift_history(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    first: int,
    *,
    before: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[DriftLog]:
    """Return what was measured of a portfolio, newest first, from before a bucket, within since <= bucket < until."""
    rows = await tx.fetch(
        f"""
        SELECT {_FIELDS} FROM drift_logs d JOIN portfolios p ON p.id = d.portfolio_id
        WHERE d.owner_id = $1 AND d.portfolio_id = $2 AND d.status <> 'MISSED'
            AND d.bucket < least($3::timestamptz, $4::timestamptz, 'infinity')
            AND d.bucket >= coalesce($5::timestamptz, '-infinity')
        ORDER BY d.bucket DESC LIMIT $6
        """,
        owner_id,
        portfolio_row_id,
        before,
        until,
        since,
        first,
    )
    return await _logs(tx, rows)


async def load_drift_logs(
    owner_id: int, tx: Tx, portfolio_row_id: int, buckets: Sequence[datetime]
) -> dict[datetime, Report]:
    """Return what was measured of a portfolio for some buckets; those that are no longer kept are left out."""
    rows = await tx.fetch(
        f"""
        SELECT {_FIELDS} FROM drift_logs d JOIN portfolios p ON p.id = d.portfolio_id
        WHERE d.owner_id = $1 AND d.portfolio_id = $2 AND d.bucket = ANY ($3) AND d.status <> 'MISSED'
        """,
        owner_id,
        portfolio_row_id,
        list(buckets),
    )
    return {log.bucket: log.report for log in await _logs(tx, rows)}


async def _logs(tx: Tx, rows: Sequence[asyncpg.Record]) -> list[DriftLog]:
    details = [packed.unpack(row["detail"]) if row["detail"] else [] for row in rows]
    named = {key for detail in details for key in packed.assets_in(detail)}
    known = await assets.load_assets(tx, list(named))
    logs = []
    for row, detail in zip(rows, details, strict=True):
        entries = packed.entries_of(detail, row["base"], known) if detail else ()
        logs.append(DriftLog(row["bucket"], _report_of(row, entries)))
    return logs


def _report_of(row: asyncpg.Record, entries: tuple[Entry, ...]) -> Report:
    valuation = Valuation(
        base_currency=row["base_currency"],
        holdings=(),
        cash=row["cash"],
        value=row["value"],
        missing=tuple(row["missing"]),
        stale=tuple(row["stale"]),
        prices_at=row["prices_at"],
        rates={},
    )
    return Report(
        status=DriftStatus(row["status"]),
        valuation=valuation,
        base=row["base"],
        max_abs_drift=row["max_abs_drift"],
        turnover_to_target=row["turnover"],
        breaches=row["breaches"],
        targets_version=row["targets_version"],
        as_of=row["as_of"],
        entries=entries,
        tracking_error=row["tracking_error"],
        deployable=row["deployable"],
    )
