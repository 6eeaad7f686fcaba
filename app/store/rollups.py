# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Rolling drift logs up into the figures of days, and letting go of what is kept long enough.

A day is rolled up when it is over and none of its runs is open, in passes over all portfolios: a range of them in each
transaction, so that none is long, and the row of the day says how far the pass is. A run that comes late begins another
pass, which writes the same again and what is new.
"""

from datetime import datetime
from typing import Final

from app.store.days import FIGURES, KEPT, MORE, turning
from app.store.db import Tx

_TURN: Final = 0x5354_4545_4C44_4159  # any fixed number; advisory locks are per database


async def scan_take_roll_up_turn(tx: Tx) -> bool:
    """Make this transaction the only one that rolls up or lets go; False while another one is."""
    return bool(await tx.value("SELECT pg_try_advisory_xact_lock($1)", _TURN))


async def scan_roll_up(tx: Tx, today: datetime, rows_max: int) -> bool:
    """Roll up the next range of portfolios of the oldest day before today that needs it; False when none does.

    A range has as many portfolios as have about `rows_max` drift logs, and at least one.
    """
    row = await tx.row(
        """
        SELECT day, changes, CASE WHEN pass = changes THEN done_id ELSE 0 END AS done_id, (
            SELECT count(*) FROM scan_runs WHERE bucket >= day AND bucket < day + interval '24 hours'
        ) AS runs
        FROM drift_rollups WHERE rolled < changes AND day < $1 AND NOT EXISTS (
            SELECT FROM scan_runs
            WHERE status = 'RUNNING' AND bucket >= day AND bucket < day + interval '24 hours'
        )
        ORDER BY day LIMIT 1 FOR UPDATE
        """,
        today,
    )
    if row is None:
        return False
    portfolios = max(1, rows_max // max(1, row["runs"]))
    last_id = await tx.value(
        "SELECT max(id) FROM (SELECT id FROM portfolios WHERE id > $1 ORDER BY id LIMIT $2) range",
        row["done_id"],
        portfolios,
    )
    if last_id is not None:
        await _write(tx, row["day"], row["done_id"], last_id)
    await tx.execute(
        """
        UPDATE drift_rollups SET pass = changes, done_id = coalesce($2, done_id),
            rolled = CASE WHEN $2::bigint IS NULL THEN changes ELSE rolled END
        WHERE day = $1
        """,
        row["day"],
        last_id,
    )
    return True


async def _write(tx: Tx, day: datetime, after_id: int, last_id: int) -> None:
    where = """
        d.portfolio_id > $2 AND d.portfolio_id <= $3 AND d.bucket >= $1 AND d.bucket < $1 + interval '24 hours'
    """
    figures = [name.strip() for name in KEPT.split(",")][3:]
    await tx.execute(
        f"""
        INSERT INTO drift_days ({KEPT})
        SELECT x.portfolio_id, x.day, x.owner_id, {", ".join(f"x.{name}" for name in figures)} FROM (
            SELECT l.portfolio_id, l.day, l.owner_id, {FIGURES}, {MORE} FROM ({turning(where)}) l
            GROUP BY l.portfolio_id, l.day, l.owner_id
        ) x
        ON CONFLICT (portfolio_id, day) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in figures)}
        """,
        day,
        after_id,
        last_id,
    )


async def scan_drop_logs(tx: Tx, kept_from: datetime) -> int:
    """Drop the months of drift logs that end before an instant and are rolled up throughout; return how many."""
    return int(await tx.value("SELECT drop_drift_partitions($1)", kept_from))


async def scan_forget_days(tx: Tx, kept_from: datetime, limit: int) -> bool:
    """Delete at most `limit` figures of days before an instant; False when there are none."""
    gone = await tx.value(
        """
        WITH gone AS (
            DELETE FROM drift_days WHERE ctid = ANY (
                ARRAY(SELECT ctid FROM drift_days WHERE day + interval '24 hours' <= $1 AND day < $1 LIMIT $2)
            ) RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        kept_from,
        limit,
    )
    return bool(gone)
