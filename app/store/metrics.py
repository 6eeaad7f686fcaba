"""Figures of the whole house for those who run it; of no owner."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class Figures:
    """How the monitor does. Seconds go by the domain clock; `last` are the portfolios of the newest run."""

    oldest_unscanned_s: Decimal
    runs: Mapping[str, int]
    last: Mapping[str, int]
    alerts: Mapping[str, int]
    event_backlog_s: Decimal
    tick_backlog_s: Decimal


async def scan_figures(tx: Tx, now: datetime) -> Figures:
    """Return the figures at an instant of the domain clock, in three statements."""
    runs = await tx.fetch("SELECT status, count(*) AS runs FROM scan_runs GROUP BY status")
    alerts = await tx.fetch("SELECT kind, count(*) AS open FROM alerts WHERE status <> 'RESOLVED' GROUP BY kind")
    row = await tx.row(_STATE, now)
    assert row is not None
    return Figures(
        oldest_unscanned_s=_age(row["unscanned"], now),
        runs={run["status"]: run["runs"] for run in runs},
        last={state: row[state] for state in ("due", "scanned", "failed")},
        alerts={alert["kind"]: alert["open"] for alert in alerts},
        event_backlog_s=_age(row["event"], now),
        tick_backlog_s=_age(row["tick"], now),
    )


# A bucket is due when it begins: one that runs, one of a gap, or the one after the newest, if its time has come. Where
# there was never any, one is due since there is something to measure: a monitor that never began must be seen too.
_STATE = """
SELECT
    least(
        (SELECT min(bucket) FROM scan_runs WHERE status = 'RUNNING'),
        (SELECT min(gap_from) FROM scan_runs WHERE gap_from IS NOT NULL),
        (SELECT CASE WHEN following <= $1 THEN following END FROM (
            SELECT bucket + make_interval(secs => period_s) AS following FROM scan_runs ORDER BY bucket DESC LIMIT 1
        ) newest),
        (SELECT min(created_at) FROM portfolios WHERE status = 'ACTIVE' AND NOT EXISTS (SELECT FROM scan_runs))
    ) AS unscanned,
    coalesce(l.due, 0) AS due, coalesce(c.scanned, 0) AS scanned, coalesce(c.failed, 0) AS failed,
    (SELECT min(created_at) FROM outbox
        WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) AND xid <= pg_snapshot_xmax(pg_current_snapshot())
    ) AS event,
    (SELECT min(p.recorded_at) FROM prices p JOIN relay_cursors r ON r.name = 'prices' AND p.xid >= r.xid) AS tick
FROM (SELECT) AS always
LEFT JOIN LATERAL (SELECT bucket, due FROM scan_runs ORDER BY bucket DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT sum(scanned) AS scanned, sum(failed) AS failed FROM scan_chunks WHERE bucket = l.bucket) c
    ON true
"""


def _age(since: datetime | None, now: datetime) -> Decimal:
    return Decimal(0) if since is None else max(Decimal(0), Decimal(str((now - since).total_seconds())))
