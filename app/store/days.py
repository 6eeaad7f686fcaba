# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The figures of a day: kept when the day is over, else worked out from its drift logs, by the same expressions."""

from datetime import datetime
from typing import Final

from app.core.drift import DriftStatus
from app.core.health import Day
from app.store.db import Tx

RANKS: Final = f"ARRAY[{', '.join(repr(status.value) for status in DriftStatus)}]"
"""The statuses, best first, as SQL."""

# Of rows `l` of drift_logs, in groups of any kind.
MEASURED: Final = "FILTER (WHERE l.status <> 'MISSED')"
FIGURES: Final = f"""
    count(*) {MEASURED} AS measurements,
    count(*) FILTER (WHERE l.status = 'MISSED') AS missed,
    count(*) FILTER (WHERE l.status = 'BREACHED') AS breached,
    ({RANKS})[max(array_position({RANKS}, l.status))] AS worst,
    (array_agg(l.status ORDER BY l.bucket DESC) {MEASURED})[1] AS status,
    (array_agg(l.value ORDER BY l.bucket DESC) {MEASURED})[1] AS value,
    (array_agg(l.max_abs_drift ORDER BY l.bucket DESC) {MEASURED})[1] AS max_abs_drift,
    min(l.max_abs_drift) AS lowest,
    max(l.max_abs_drift) AS highest,
    max(l.bucket) {MEASURED} AS last_at
"""
# Of rows `l` of `turning`.
MORE: Final = """
    count(*) FILTER (WHERE l.status IN ('WITHIN', 'WARNING')) AS in_band,
    count(*) FILTER (WHERE l.status = 'DATA_STALE') AS stale,
    (array_agg(l.bucket ORDER BY l.max_abs_drift DESC, l.bucket)
        FILTER (WHERE l.max_abs_drift IS NOT NULL))[1] AS highest_at,
    (array_agg(l.status = 'BREACHED' ORDER BY l.bucket) FILTER (WHERE l.decided))[1] AS begins_breached,
    coalesce(array_agg(l.bucket ORDER BY l.bucket) FILTER (
        WHERE l.decided AND (l.status = 'BREACHED') IS DISTINCT FROM l.breached_before
    ), '{}') AS turns
"""
KEPT: Final = """
    portfolio_id, day, owner_id, measurements, missed, breached, worst, status, value, max_abs_drift, lowest, highest,
    last_at, in_band, stale, highest_at, begins_breached, turns
"""


def turning(where: str) -> str:
    """Return drift logs, each with what the one decided before it in its day said; `where` chooses rows of `d`."""
    return f"""
        SELECT d.portfolio_id, d.owner_id, d.bucket, d.status, d.value, d.max_abs_drift, t.day, t.decided,
            lag(d.status = 'BREACHED') OVER (
                PARTITION BY d.portfolio_id, t.day, t.decided ORDER BY d.bucket
            ) AS breached_before
        FROM drift_logs d, LATERAL (
            SELECT date_trunc('day', d.bucket, 'UTC') AS day, d.status NOT IN ('MISSED', 'DATA_STALE') AS decided
        ) t
        WHERE {where}
    """


async def load_days(owner_id: int, tx: Tx, portfolio_row_id: int, since: datetime, until: datetime) -> tuple[Day, ...]:
    """Return the days of a portfolio with since <= bucket < until, oldest first, missed buckets among them.

    Of a day that is only partly within, the hours are needed: it is left out where they are no longer kept.
    """
    fresh = turning("""
        d.owner_id = $1 AND d.portfolio_id = $2
        AND d.bucket >= greatest(s.day, $3) AND d.bucket < least(s.day + interval '24 hours', $4)
    """)
    rows = await tx.fetch(
        f"""
        WITH kept AS (
            SELECT * FROM drift_days
            WHERE owner_id = $1 AND portfolio_id = $2 AND day >= $3 AND day + interval '24 hours' <= $4
        ), figures AS (
            SELECT {KEPT} FROM kept
            UNION ALL
            SELECT l.portfolio_id, l.day, l.owner_id, {_without_names(KEPT)} FROM (
                SELECT day FROM generate_series(date_trunc('day', $3, 'UTC'), $4, interval '24 hours') AS day
                WHERE day NOT IN (SELECT day FROM kept)
            ) s CROSS JOIN LATERAL (
                SELECT l.portfolio_id, l.day, l.owner_id, {FIGURES}, {MORE} FROM ({fresh}) l
                GROUP BY l.portfolio_id, l.day, l.owner_id
            ) l
        ), runs AS (
            SELECT date_trunc('day', r.bucket, 'UTC') AS day, count(*) AS missed
            FROM scan_runs r JOIN portfolios p ON p.owner_id = $1 AND p.id = $2
            WHERE r.status = 'MISSED' AND r.bucket >= greatest(p.created_at, $3) AND r.bucket < $4 GROUP BY 1
        )
        SELECT day AS start, coalesce(f.measurements, 0) AS measurements,
            coalesce(f.missed, 0) + coalesce(r.missed, 0) AS missed, coalesce(f.in_band, 0) AS in_band,
            coalesce(f.breached, 0) AS breached, coalesce(f.stale, 0) AS stale, trim_scale(f.highest) AS highest,
            f.highest_at, f.last_at, f.begins_breached, coalesce(f.turns, '{{}}') AS turns
        FROM figures f FULL JOIN runs r USING (day) ORDER BY day
        """,
        owner_id,
        portfolio_row_id,
        since,
        until,
    )
    return tuple(Day(**{**row, "turns": tuple(row["turns"])}) for row in rows)


def _without_names(columns: str) -> str:
    """Return the columns of `KEPT` that are figures, of `l`."""
    return ", ".join(f"l.{name.strip()}" for name in columns.split(",")[3:])
