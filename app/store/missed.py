"""Buckets without a scan: made up for where the prices of their time are stored, else recorded as missed.

A run that was opened after such buckets holds where they begin (`gap_from`). Whoever fills them locks that row, so two
workers never fill the same ones, and a bucket that has a row already is left as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.store import scans
from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class Gap:
    """The buckets from `first` up to that of the run which found them missing."""

    bucket: datetime
    first: datetime
    period_s: int

    def buckets(self, limit: int) -> list[datetime]:
        """Return the buckets of the gap, oldest first, at most `limit`."""
        period = timedelta(seconds=self.period_s)
        count = min(limit, (self.bucket - self.first) // period)
        return [self.first + place * period for place in range(count)]


async def scan_take_gap(tx: Tx) -> Gap | None:
    """Take the oldest gap until the end of the transaction; None when there is none, or somebody else is at it."""
    row = await tx.row(
        """
        SELECT bucket, gap_from, period_s FROM scan_runs WHERE gap_from IS NOT NULL
        ORDER BY bucket LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
        """
    )
    return Gap(row["bucket"], row["gap_from"], row["period_s"]) if row else None


async def scan_shrink_gap(tx: Tx, gap: Gap, first: datetime) -> None:
    """Say that the buckets before `first` have rows now; a gap that ends there is none."""
    await tx.execute(
        "UPDATE scan_runs SET gap_from = CASE WHEN $2::timestamptz < bucket THEN $2 END WHERE bucket = $1",
        gap.bucket,
        first,
    )


async def scan_priced_buckets(tx: Tx, buckets: Sequence[datetime], period_s: int) -> dict[datetime, datetime]:
    """Return, for each of the buckets within which some price was observed, when the latest of those was."""
    rows = await tx.fetch(
        """
        SELECT bucket, (
            SELECT max(priced_at) FROM price_history
            WHERE priced_at >= bucket AND priced_at < bucket + make_interval(secs => $2)
        ) AS priced_at
        FROM unnest($1::timestamptz[]) AS bucket
        """,
        buckets,
        period_s,
    )
    return {row["bucket"]: row["priced_at"] for row in rows if row["priced_at"]}


async def scan_record_missed(
    tx: Tx, buckets: Sequence[datetime], period_s: int, now: datetime, new_uuid: Callable[[], UUID]
) -> None:
    """Record buckets that nobody scanned, and nobody can any more."""
    await tx.execute(
        """
        INSERT INTO scan_runs (public_id, bucket, as_of, kind, status, period_s, started_at, ended_at, due)
        SELECT public_id, bucket, bucket, 'CATCH_UP', 'MISSED', $3, $4, $4, 0
        FROM unnest($1::uuid[], $2::timestamptz[]) AS m (public_id, bucket)
        ON CONFLICT (bucket) DO NOTHING
        """,
        [new_uuid() for _ in buckets],
        buckets,
        period_s,
        now,
    )


async def scan_open_late(
    tx: Tx,
    bucket: datetime,
    as_of: datetime,
    period_s: int,
    chunk: int,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> bool:
    """Open the scan of a bucket that is over, as of an instant in it and at the prices of then, never later ones."""
    claimed = await tx.value(
        """
        INSERT INTO scan_runs (public_id, bucket, as_of, kind, status, period_s, started_at, due)
        VALUES ($1, $2, $3, 'CATCH_UP', 'RUNNING', $4, $5, 0) ON CONFLICT (bucket) DO NOTHING RETURNING id
        """,
        new_uuid(),
        bucket,
        as_of,
        period_s,
        now,
    )
    if claimed is None:
        return False
    await scans.cut_chunks(tx, bucket, chunk, existed_at=as_of)
    await tx.execute(
        """
        INSERT INTO scan_prices (bucket, asset_id, price, priced_at, source)
        SELECT $1, a.id, p.price, p.priced_at, p.source FROM assets a CROSS JOIN LATERAL (
            SELECT price, priced_at, source FROM price_history
            WHERE asset_id = a.id AND priced_at <= $2 ORDER BY priced_at DESC LIMIT 1
        ) p
        """,
        bucket,
        as_of,
    )
    return True


async def scan_changed_since(tx: Tx, portfolio_row_ids: Sequence[int], as_of: datetime) -> set[int]:
    """Return those of the portfolios whose holdings, targets or policy are no longer what they were at an instant."""
    rows = await tx.fetch(
        """
        SELECT p.id FROM portfolios p LEFT JOIN target_versions t ON t.id = p.targets_id
        WHERE p.id = ANY ($1) AND (
            p.updated_at > $2 OR t.effective_at > $2
            OR EXISTS (SELECT FROM accounts a WHERE a.portfolio_id = p.id AND a.synced_at > $2)
        )
        """,
        portfolio_row_ids,
        as_of,
    )
    return {row["id"] for row in rows}


async def scan_write_missed(tx: Tx, bucket: datetime, as_of: datetime, owners_by_portfolio: Mapping[int, int]) -> None:
    """Write for each portfolio that its bucket was missed: a row of the log without figures."""
    if not owners_by_portfolio:
        return
    columns = ("portfolio_id", "bucket", "owner_id", "as_of", "status", "breaches", "missing", "stale")
    nothing: list[str] = []
    records = [(row, bucket, owner, as_of, "MISSED", 0, nothing, nothing) for row, owner in owners_by_portfolio.items()]
    await tx.copy("drift_logs", columns, records)
