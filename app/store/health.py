"""Figures of the health monitor over all owners, from its runs and the alerts; the drift logs are not read."""

from datetime import datetime

from app.core.health import BusiestBucket, Overview
from app.store.db import Tx


async def scan_overview(tx: Tx, since: datetime, until: datetime) -> Overview:
    """Return what the runs of since <= bucket < until measured, and how the alerts raised in that time went."""
    runs = await tx.row(
        """
        WITH runs AS (
            SELECT r.bucket, r.status, coalesce(sum(c.scanned), 0) AS measured, coalesce(sum(c.stale), 0) AS stale,
                coalesce(sum(c.breached), 0) AS breached
            FROM scan_runs r LEFT JOIN scan_chunks c ON c.bucket = r.bucket AND c.done_at IS NOT NULL
            WHERE r.bucket >= $1 AND r.bucket < $2 GROUP BY r.bucket, r.status
        ), worst AS (
            SELECT bucket, measured - stale AS decided, breached FROM runs WHERE measured > stale
            ORDER BY breached / (measured - stale)::numeric DESC, bucket LIMIT 1
        )
        SELECT (SELECT count(*) FROM runs WHERE status = 'DONE') AS scanned,
            (SELECT count(*) FROM runs WHERE status = 'MISSED') AS missed,
            (SELECT coalesce(sum(measured), 0)::bigint FROM runs) AS measurements,
            (SELECT coalesce(sum(stale), 0)::bigint FROM runs) AS stale,
            (SELECT coalesce(sum(breached), 0)::bigint FROM runs) AS breached,
            w.bucket AS worst_bucket, w.decided::bigint AS worst_decided, w.breached::bigint AS worst_breached
        FROM (VALUES (true)) one LEFT JOIN worst w ON true
        """,
        since,
        until,
    )
    alerts = await tx.row(
        """
        SELECT count(*) AS alerts, count(resolved_at) AS recovered,
            coalesce(sum(resolved_at - raised_at), interval '0') AS recovery_total,
            max(resolved_at - raised_at) AS longest_recovery,
            (SELECT min(raised_at) FROM alerts WHERE kind = 'DRIFT' AND status <> 'RESOLVED') AS oldest_open
        FROM alerts WHERE kind = 'DRIFT' AND raised_at >= $1 AND raised_at < $2
        """,
        since,
        until,
    )
    assert runs
    assert alerts
    worst = runs["worst_bucket"] and BusiestBucket(runs["worst_bucket"], runs["worst_decided"], runs["worst_breached"])
    figures = {name: runs[name] for name in ("scanned", "missed", "measurements", "stale", "breached")}
    return Overview(**figures, worst=worst, **alerts)
