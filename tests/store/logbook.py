"""Drift logs as a test wants them: runs and measurements, written as rows, by what they say."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.context import new_uuid
from app.store import rollups
from tests.store.world import World

HOUR = timedelta(hours=1)
STATUSES = {"+": "BREACHED", "w": "WARNING", ".": "WITHIN", "?": "DATA_STALE", "0": "NO_VALUE", "m": "MISSED"}


def at(text: str) -> datetime:
    """Read `2024-06-03 16:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(first: str, marks: str, step: timedelta = HOUR) -> dict[datetime, str]:
    """Lay marks on buckets, one after the other; a space is a bucket without a row, `-` one without a run."""
    return {at(first) + place * step: mark for place, mark in enumerate(marks)}


async def write(world: World, rows: Mapping[int, Mapping[datetime, str]], drifts: str = "") -> None:
    """Write the runs and the logs of portfolios by row. The n-th mark of each drifts n points, or what `drifts` says.

    `x` is a run that was missed altogether.
    """
    buckets = sorted({bucket for marks in rows.values() for bucket, mark in marks.items() if mark != "-"})
    missed = {bucket for marks in rows.values() for bucket, mark in marks.items() if mark == "x"}
    points = [Decimal(text) for text in drifts.split()]
    async with world.raw(owner=True) as connection, connection.transaction():
        await connection.execute("ALTER TABLE scan_runs DROP CONSTRAINT IF EXISTS scan_runs_status_check")
        for bucket in buckets:
            await connection.execute("SELECT ensure_drift_partition($1)", bucket)
        await connection.executemany(
            "INSERT INTO scan_runs (public_id, bucket, as_of, status, period_s, started_at, due)"
            " VALUES ($1, $2, $2, $3, 3600, now(), 0) ON CONFLICT (bucket) DO NOTHING",
            [(new_uuid(), bucket, "MISSED" if bucket in missed else "DONE") for bucket in buckets],
        )
        for row, marks in rows.items():
            owner_id = await connection.fetchval("SELECT owner_id FROM portfolios WHERE id = $1", row)
            logs = []
            for place, (bucket, mark) in enumerate(marks.items()):
                if mark in STATUSES:
                    drift = points[place] if points else Decimal(place)
                    figures = (None, None) if mark in "m0" else (Decimal(1000 + place), drift)
                    logs.append((row, bucket, owner_id, bucket, STATUSES[mark], *figures, int(mark == "+"), [], []))
            columns = ("portfolio_id", "bucket", "owner_id", "as_of", "status", "value", "max_abs_drift", "breaches")
            await connection.copy_records_to_table("drift_logs", columns=[*columns, "missing", "stale"], records=logs)


async def roll_up(world: World, today: str, rows_max: int = 10_000, steps: int = 1000) -> int:
    """Take steps until nothing is left to roll up; return how many it took."""
    for taken in range(steps):
        async with world.store.shared() as tx:
            assert await rollups.scan_take_roll_up_turn(tx)
            if not await rollups.scan_roll_up(tx, at(today), rows_max):
                return taken
    return steps
