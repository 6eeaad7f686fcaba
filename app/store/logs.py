"""Drift logs: one row per portfolio and bucket, written by COPY, read by keyset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from app.core.drift import DriftStatus, Entry, Report
from app.core.portfolio import Asset, Valuation
from app.store import assets, documents
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio

_COLUMNS: Final = (
    *("portfolio_id", "bucket", "owner_id", "as_of", "targets_version", "status", "value", "cash", "base"),
    *("max_abs_drift", "turnover", "breaches", "prices_at", "missing", "stale", "entries"),
)


@dataclass(frozen=True, slots=True)
class DriftLog:
    """One recorded measurement; its report has entries but neither holdings nor rates."""

    bucket: datetime
    report: Report


async def scan_write_logs(tx: Tx, bucket: datetime, measured: Sequence[tuple[StoredPortfolio, Report]]) -> None:
    """Write the measurements of one bucket. A second row for a portfolio and bucket is an error, never a duplicate."""
    await tx.copy("drift_logs", _COLUMNS, [_record(bucket, row, report) for row, report in measured])


async def scan_overtaken(tx: Tx, bucket: datetime, portfolio_row_ids: Sequence[int]) -> set[int]:
    """Return those of the portfolios that have a measurement of a later bucket."""
    rows = await tx.fetch(
        "SELECT DISTINCT portfolio_id FROM drift_logs WHERE bucket > $1 AND portfolio_id = ANY ($2)",
        bucket,
        list(portfolio_row_ids),
    )
    return {row["portfolio_id"] for row in rows}


def _record(bucket: datetime, row: StoredPortfolio, report: Report) -> tuple[object, ...]:
    valuation = report.valuation
    return (
        *(row.id, bucket, row.owner_id, report.as_of, report.targets_version, report.status.value),
        *(valuation.value, valuation.cash, report.base, report.max_abs_drift, report.turnover_to_target),
        *(report.breaches, valuation.prices_at, valuation.missing, valuation.stale),
        documents.dump(report.entries, refer=True),
    )


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
    """Return a portfolio's log, newest first, from before a bucket, within since <= bucket < until."""
    rows = await tx.fetch(
        """
        SELECT d.bucket, d.as_of, d.targets_version, d.status, trim_scale(d.value) AS value,
            trim_scale(d.cash) AS cash, trim_scale(d.base) AS base, trim_scale(d.max_abs_drift) AS max_abs_drift,
            trim_scale(d.turnover) AS turnover, d.breaches, d.prices_at, d.missing, d.stale, d.entries, p.base_currency
        FROM drift_logs d JOIN portfolios p ON p.id = d.portfolio_id
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
    documented = [orjson.loads(row["entries"]) for row in rows]
    named = {member["asset"] for entries in documented for entry in entries for member in entry["members"]}
    known = await assets.load_assets(tx, list(named))
    return [
        DriftLog(row["bucket"], _report_of(row, entries, known)) for row, entries in zip(rows, documented, strict=True)
    ]


def _report_of(row: asyncpg.Record, entries: Sequence[object], known: Mapping[str, Asset]) -> Report:
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
        entries=tuple(documents.from_document(Entry, entry, known) for entry in entries),
    )
