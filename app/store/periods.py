# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""A portfolio's drift history: one line for each stretch of time in which it was measured, or should have been."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from app.core.drift import DriftStatus
from app.core.health import Resolution
from app.store.days import FIGURES, RANKS
from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class Period:
    """What was measured in one stretch of time: `value` and `max_abs_drift` are those of the last measurement.

    `missed` are buckets that were not measured, `breached` measurements with the status BREACHED. Figures are None
    when all were missed, or say nothing. `last_at` is the bucket of the last measurement.
    """

    bucket: datetime
    measurements: int
    missed: int
    breached: int
    worst: DriftStatus | None
    status: DriftStatus | None
    value: Decimal | None
    max_abs_drift: Decimal | None
    lowest: Decimal | None
    highest: Decimal | None
    last_at: datetime | None
    base_currency: str


@dataclass(frozen=True, slots=True)
class _Stretch:
    """How PostgreSQL calls a stretch, its length, and the length of the parts it is put together from."""

    name: str
    length: timedelta
    part: timedelta


_STRETCHES: Final[Mapping[Resolution, _Stretch]] = MappingProxyType(
    {
        Resolution.RAW: _Stretch("microsecond", timedelta(microseconds=1), timedelta(microseconds=1)),
        Resolution.HOUR: _Stretch("hour", timedelta(hours=1), timedelta(hours=1)),
        Resolution.DAY: _Stretch("day", timedelta(days=1), timedelta(days=1)),
        Resolution.WEEK: _Stretch("week", timedelta(weeks=1), timedelta(days=1)),
    }
)
_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)

# The newest bucket of a portfolio `p` before an instant. From one stretch to the one before it is a step in an index,
# so a page costs what is on it, however long the log and whatever the gaps.
_LATEST: Final = """
    SELECT greatest(
        (
            SELECT bucket FROM drift_logs WHERE owner_id = $1 AND portfolio_id = $2 AND bucket < {before}
            AND bucket >= $5 ORDER BY bucket DESC LIMIT 1
        ), (
            SELECT day FROM drift_days WHERE $8 AND owner_id = $1 AND portfolio_id = $2 AND day < {before}
            AND day >= $5 ORDER BY day DESC LIMIT 1
        ), (
            SELECT bucket FROM scan_runs WHERE status = 'MISSED' AND bucket < {before}
            AND bucket >= greatest($5, p.created_at) ORDER BY bucket DESC LIMIT 1
        )
    ) AS bucket
    OFFSET 0  -- so that it is worked out once
"""


async def load_periods(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    first: int,
    resolution: Resolution,
    *,
    before: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Period]:
    """Return the stretches of a portfolio that begin before one, within since <= begin < until, newest first.

    Of days whose drift logs are no longer kept there are only DAY and WEEK.
    """
    stretch = _STRETCHES[resolution]
    ends = [_ceiling(end, stretch) for end in (before, until) if end]
    rows = await tx.fetch(
        f"""
        WITH RECURSIVE period AS (
            SELECT date_trunc($3, latest.bucket, 'UTC') AS start, 1 AS place
            FROM portfolios p, LATERAL ({_LATEST.format(before="$4")}) latest
            WHERE p.owner_id = $1 AND p.id = $2 AND latest.bucket IS NOT NULL
            UNION ALL
            SELECT date_trunc($3, latest.bucket, 'UTC'), period.place + 1
            FROM period JOIN portfolios p ON p.owner_id = $1 AND p.id = $2,
                LATERAL ({_LATEST.format(before="period.start")}) latest
            WHERE period.place < $6 AND latest.bucket IS NOT NULL
        )
        SELECT period.start AS bucket, f.measurements, f.missed + runs.missed AS missed, f.breached, f.worst, f.status,
            trim_scale(f.value) AS value, trim_scale(f.max_abs_drift) AS max_abs_drift, trim_scale(f.lowest) AS lowest,
            trim_scale(f.highest) AS highest, f.last_at, p.base_currency
        FROM period JOIN portfolios p ON p.owner_id = $1 AND p.id = $2,
            LATERAL ({_FIGURES}) f,
            LATERAL (
                SELECT count(*) AS missed FROM scan_runs WHERE status = 'MISSED'
                AND bucket >= greatest(period.start, p.created_at) AND bucket < period.start + $7
            ) runs
        ORDER BY period.start DESC
        """,
        owner_id,
        portfolio_row_id,
        stretch.name,
        min(ends, default=_LAST),
        _ceiling(since, stretch) if since else _FIRST,
        first,
        stretch.length,
        resolution in (Resolution.DAY, Resolution.WEEK),
        stretch.part,
    )
    return [Period(**{**row, "worst": _status(row["worst"]), "status": _status(row["status"])}) for row in rows]


# A stretch is put together from its parts: what is kept of a day, or the logs of the part.
_FIGURES: Final = f"""
    SELECT sum(x.measurements)::int AS measurements, sum(x.missed)::int AS missed, sum(x.breached)::int AS breached,
        ({RANKS})[max(array_position({RANKS}, x.worst))] AS worst,
        (array_agg(x.status ORDER BY part.start DESC) FILTER (WHERE x.measurements > 0))[1] AS status,
        (array_agg(x.value ORDER BY part.start DESC) FILTER (WHERE x.measurements > 0))[1] AS value,
        (array_agg(x.max_abs_drift ORDER BY part.start DESC) FILTER (WHERE x.measurements > 0))[1] AS max_abs_drift,
        min(x.lowest) AS lowest, max(x.highest) AS highest, max(x.last_at) AS last_at
    FROM generate_series(period.start, period.start + $7 - interval '1 microsecond', $9) AS part (start)
    LEFT JOIN drift_days d ON $8 AND d.owner_id = $1 AND d.portfolio_id = $2 AND d.day = part.start
        AND d.day >= period.start AND d.day < period.start + $7,
    LATERAL (
        SELECT d.measurements, d.missed, d.breached, d.worst, d.status, d.value, d.max_abs_drift, d.lowest, d.highest,
            d.last_at
        WHERE d.day IS NOT NULL
        UNION ALL
        SELECT * FROM (
            SELECT {FIGURES} FROM drift_logs l
            WHERE d.day IS NULL AND l.owner_id = $1 AND l.portfolio_id = $2
                AND l.bucket >= part.start AND l.bucket < part.start + $9
        ) fresh WHERE d.day IS NULL
    ) x
"""


def _status(text: str | None) -> DriftStatus | None:
    return None if text is None else DriftStatus(text)


def _ceiling(at: datetime, stretch: _Stretch) -> datetime:
    """Return the first begin of a stretch that is not before an instant, or the end of time; weeks begin on Monday."""
    rest = (_MONDAY - at) % stretch.length
    return at + rest if rest <= _LAST - at else _LAST
