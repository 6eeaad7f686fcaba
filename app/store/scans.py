"""Scans: a run per bucket, cut into chunks of rows, each written once.

The bucket's row claims it; chunks and prices are fixed with it, so that every chunk of a run sees the same prices.
A chunk is marked in the transaction that writes its results: whoever comes second finds it done and writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

import asyncpg

from app.core import ids
from app.store.db import Tx


class ScanStatus(Enum):
    """Life of a scan run."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    MISSED = "MISSED"


class ScanKind(Enum):
    """Whether a bucket was scanned in its time, or made up for afterwards."""

    SCHEDULED = "SCHEDULED"
    CATCH_UP = "CATCH_UP"


@dataclass(frozen=True, slots=True)
class Run:
    """One bucket's scan. `due` portfolios were active at its start; the other figures grow with its chunks."""

    id: str
    bucket: datetime
    as_of: datetime
    kind: ScanKind
    status: ScanStatus
    period_s: int
    started_at: datetime
    ended_at: datetime | None
    due: int
    chunks: int
    chunks_done: int
    scanned: int
    stale: int
    breached: int
    alerts: int
    failed: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Portfolios of a range of rows that one job measures, as of the run's instant; `xid` is who opened the run."""

    bucket: datetime
    number: int
    from_id: int
    to_id: int
    as_of: datetime
    kind: ScanKind
    xid: str


async def open_run(
    tx: Tx,
    bucket: datetime,
    as_of: datetime,
    period_s: int,
    chunk: int,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> bool:
    """Start the scan of a bucket: chunks of at most `chunk` active portfolios, and prices. False if it was before.

    Where buckets between the run before it and this one have no run, the row says from which on.
    """
    claimed = await tx.value(
        """
        INSERT INTO scan_runs (public_id, bucket, as_of, status, period_s, started_at, due, gap_from)
        VALUES ($1, $2, $3, 'RUNNING', $4, $5, 0, (
            SELECT CASE WHEN following < $2 THEN following END FROM (
                SELECT to_timestamp(ceil((extract(epoch FROM bucket) + period_s) / $4::int) * $4::int) AS following
                FROM scan_runs WHERE bucket < $2 ORDER BY bucket DESC LIMIT 1
            ) AS before
        ))
        ON CONFLICT (bucket) DO NOTHING RETURNING id
        """,
        new_uuid(),
        bucket,
        as_of,
        period_s,
        now,
    )
    if claimed is None:
        return False
    await cut_chunks(tx, bucket, chunk)
    await tx.execute(
        """
        INSERT INTO scan_prices (bucket, asset_id, price, priced_at, source)
        SELECT $1, asset_id, price, priced_at, source FROM prices
        """,
        bucket,
    )
    return True


async def cut_chunks(tx: Tx, bucket: datetime, chunk: int, existed_at: datetime | None = None) -> None:
    """Fix the chunks of a run just opened: active portfolios, those that existed at an instant when one is given."""
    await tx.execute("SELECT ensure_drift_partition($1)", bucket)
    await tx.execute(
        """
        WITH numbered AS (
            SELECT id, (row_number() OVER (ORDER BY id) - 1) / $2 AS number FROM portfolios
            WHERE status = 'ACTIVE' AND ($3::timestamptz IS NULL OR created_at <= $3)
        ), chunks AS (
            INSERT INTO scan_chunks (bucket, number, from_id, to_id)
            SELECT $1, number, min(id), max(id) FROM numbered GROUP BY number
        )
        UPDATE scan_runs SET due = (SELECT count(*) FROM numbered) WHERE bucket = $1
        """,
        bucket,
        chunk,
        existed_at,
    )


async def unfinished_chunks(tx: Tx, limit: int, bucket: datetime | None = None) -> list[tuple[datetime, int]]:
    """Return bucket and number of chunks that are not done, oldest first, of one bucket or of all."""
    rows = await tx.fetch(
        """
        SELECT bucket, number FROM scan_chunks WHERE done_at IS NULL AND ($2::timestamptz IS NULL OR bucket = $2)
        ORDER BY bucket, number LIMIT $1
        """,
        limit,
        bucket,
    )
    return [(row["bucket"], row["number"]) for row in rows]


async def load_chunk(tx: Tx, bucket: datetime, number: int) -> Chunk | None:
    """Return a chunk that is still to be done, None when it is done: for reading before the work is claimed."""
    row = await tx.row(
        """
        SELECT c.bucket, c.number, c.from_id, c.to_id, r.as_of, r.kind, r.xid::text AS xid
        FROM scan_chunks c JOIN scan_runs r USING (bucket)
        WHERE c.bucket = $1 AND c.number = $2 AND c.done_at IS NULL
        """,
        bucket,
        number,
    )
    if row is None:
        return None
    place = (row["bucket"], row["number"], row["from_id"], row["to_id"])
    return Chunk(*place, row["as_of"], ScanKind(row["kind"]), row["xid"])


async def claim_chunk(tx: Tx, bucket: datetime, number: int, now: datetime) -> bool:
    """Mark a chunk as done, before its results are written in the same transaction; False when it was done already."""
    claimed = await tx.value(
        """
        UPDATE scan_chunks SET done_at = $3 WHERE bucket = $1 AND number = $2 AND done_at IS NULL RETURNING number
        """,
        bucket,
        number,
        now,
    )
    return claimed is not None


async def finish_chunk(
    tx: Tx, bucket: datetime, number: int, *, scanned: int, stale: int, breached: int, alerts: int, failed: int
) -> None:
    """Write the figures of a chunk that was claimed in this transaction."""
    await tx.execute(
        """
        UPDATE scan_chunks SET scanned = $3, stale = $4, breached = $5, alerts = $6, failed = $7
        WHERE bucket = $1 AND number = $2
        """,
        bucket,
        number,
        scanned,
        stale,
        breached,
        alerts,
        failed,
    )


async def finish_run(tx: Tx, bucket: datetime, now: datetime) -> ScanKind | None:
    """Close a run whose chunks are all done, let its prices go, and return its kind; None when it is not so yet.

    In a transaction of its own, after the chunk's: two last chunks do not see each other done before they commit.
    """
    closed = await tx.value(
        """
        UPDATE scan_runs r SET status = 'DONE', ended_at = $2 WHERE r.bucket = $1 AND r.status = 'RUNNING'
            AND NOT EXISTS (SELECT FROM scan_chunks WHERE bucket = $1 AND done_at IS NULL)
        RETURNING r.kind
        """,
        bucket,
        now,
    )
    if closed is None:
        return None
    await tx.execute("DELETE FROM scan_prices WHERE bucket = $1", bucket)
    return ScanKind(closed)


async def running_buckets(tx: Tx) -> list[datetime]:
    """Return the buckets whose runs are not closed, oldest first."""
    rows = await tx.fetch("SELECT bucket FROM scan_runs WHERE status = 'RUNNING' ORDER BY bucket")
    return [row["bucket"] for row in rows]


async def runs(tx: Tx, first: int, before: datetime | None = None) -> list[Run]:
    """Return scan runs, newest first, those before a bucket when one is given."""
    rows = await tx.fetch(
        """
        SELECT r.public_id, r.bucket, r.as_of, r.kind, r.status, r.period_s, r.started_at, r.ended_at, r.due, c.*
        FROM scan_runs r CROSS JOIN LATERAL (
            SELECT count(*) AS chunks, count(done_at) AS chunks_done,
                coalesce(sum(scanned), 0) AS scanned, coalesce(sum(stale), 0) AS stale,
                coalesce(sum(breached), 0) AS breached, coalesce(sum(alerts), 0) AS alerts,
                coalesce(sum(failed), 0) AS failed
            FROM scan_chunks WHERE bucket = r.bucket
        ) c
        WHERE $1::timestamptz IS NULL OR r.bucket < $1 ORDER BY r.bucket DESC LIMIT $2
        """,
        before,
        first,
    )
    return [_run_of(row) for row in rows]


def _run_of(row: asyncpg.Record) -> Run:
    values = dict(row)
    public_id = ids.encode(ids.SCAN, values.pop("public_id"))
    kind, status = ScanKind(values.pop("kind")), ScanStatus(values.pop("status"))
    return Run(id=public_id, kind=kind, status=status, **values)
