"""Pools whose worker is killed between two steps: each block is one order at the broker, and each fill booked once.

As in `test_execution_killed`, a trigger holds a step in its own transaction, and then the process is killed.

Stocks are traded in sessions: it runs before those of this folder that move the clock on to the evening.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import asyncpg
import pytest

from app.core import ids
from tests.journeys.desk import Desk
from tests.journeys.fragile import Fragile
from tests.journeys.test_execution_killed import LEASED_S, until_held
from tests.support import until

WINDOW_S: Final = 1.0


class Point(Enum):
    """A step of a pool: the table and what is written to it."""

    JOINED = ("pool_orders", "INSERT", "true")
    GATHERED = ("blocks", "INSERT", "true")
    PLACED = ("paper_orders", "INSERT", "true")
    FILLED = ("paper_fills", "INSERT", "true")
    SHARED_OUT = ("block_fills", "INSERT", "true")
    LET_OUT = ("pool_orders", "UPDATE", "NEW.status = 'FILLED'")
    TOLD = ("pool_orders", "UPDATE", "OLD.has_news AND NOT NEW.has_news")
    BOOKED = ("fills", "INSERT", "true")

    @property
    def number(self) -> int:
        return 101 + list(Point).index(self)  # beyond the first keys of our own advisory locks


STOP: Final = """
CREATE FUNCTION stop_pool() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
DECLARE written jsonb := to_jsonb(NEW);
DECLARE bulk bigint := written ->> 'bulk_id';
BEGIN
    bulk := coalesce(
        bulk,
        (SELECT b.bulk_id FROM blocks b WHERE b.client_id = written ->> 'client_id'),
        (SELECT b.bulk_id FROM blocks b WHERE b.id = (written ->> 'block_id')::bigint),
        (SELECT l.pool_id FROM plans l WHERE l.id = (written ->> 'plan_id')::bigint),
        0
    );
    PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, bulk::int);
    RETURN NEW;
END $$;
"""


@dataclass(frozen=True)
class Pair:
    """Two portfolios of one owner in the same assets, whose plans were approved in one bulk."""

    desks: tuple[Desk, Desk]
    plans: tuple[str, ...]
    bulk: int

    @classmethod
    async def open(cls, fragile: Fragile, subject: str) -> "Pair":
        person = fragile.steelyard.person(subject)
        first = await Desk.open(person, twapHorizon="PT0S")
        desks = first, await Desk.beside(first, twapHorizon="PT0S")
        plans = [(await desk.propose())["id"] for desk in desks]
        which = {"portfolioIds": [desk.portfolio_id for desk in desks]}
        asked = {"filter": which, "expectedPlans": 2, "idempotencyKey": subject}
        bulk: dict[str, Any] = (await person.done("bulkApprove", "bulk { id }", **asked))["bulk"]
        [(row,)] = await fragile.steelyard.rows(
            "SELECT id FROM bulks WHERE public_id = $1", ids.decode(ids.BULK, bulk["id"])
        )
        return cls(desks, tuple(plans), row)

    async def assert_executed_once(self) -> None:
        """Both plans are completed, the broker's orders are the blocks, and the books are what it filled of them."""
        rows, coin, stock = self.desks[0].steelyard.rows, self.desks[0].coin, self.desks[0].stock
        for desk, plan_id in zip(self.desks, self.plans, strict=True):
            over = await desk.until_over(plan_id, 2 * LEASED_S)  # a block's lease, then an order's
            assert (over["status"], len(over["orders"])) == ("COMPLETED", 2), over
            assert await desk.books() == ({coin: Decimal("8.2"), stock: Decimal(14)}, Decimal(80))
            await desk.assert_history_is_whole()
        theirs = """
            SELECT o.client_id, o.side, o.quantity, sum(f.quantity), sum(f.quantity * f.price), sum(f.fee)
            FROM paper_orders o JOIN paper_fills f USING (client_id) JOIN assets a ON a.id = o.asset_id
            WHERE a.symbol = ANY ($1) GROUP BY o.client_id ORDER BY 1
        """
        ours = """
            SELECT client_id, side, quantity, filled, filled_value, fees FROM blocks WHERE bulk_id = $1 ORDER BY 1
        """
        booked = """
            SELECT split_part(f.broker_fill_id, '/', 1), o.side, sum(f.quantity), sum(f.quantity),
                sum(f.quantity * f.price), sum(f.fee)
            FROM fills f JOIN orders o USING (plan_id, leg, slice) WHERE o.pool_id = $1 GROUP BY 1, 2 ORDER BY 1
        """
        sent = await rows(theirs, [coin, stock])
        ordered = {side: sum(row[2] for row in sent if row[1] == side) for side in ("SELL", "BUY")}
        assert ordered == {"SELL": Decimal("3.6"), "BUY": Decimal(8)}
        assert await rows(ours, self.bulk) == sent
        assert await rows(booked, self.bulk) == sent


@pytest.fixture
async def traps(fragile: Fragile) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Give a connection whose advisory locks hold pools: the point's number, the bulk's row."""
    connection = await asyncpg.connect(fragile.steelyard.endpoints.migrate_database_url)
    triggers = [
        f"CREATE TRIGGER stop_{point.number} BEFORE {written} ON {table} FOR EACH ROW "
        f"WHEN ({when}) EXECUTE FUNCTION stop_pool({point.number})"
        for point in Point
        for table, written, when in [point.value]
    ]
    await connection.execute(";".join([STOP, *triggers]))
    try:
        yield connection
    finally:
        drops = [f"DROP TRIGGER stop_{point.number} ON {point.value[0]}" for point in Point]
        await connection.execute("SELECT pg_advisory_unlock_all()")
        await connection.execute(";".join([*drops, "DROP FUNCTION stop_pool()"]))
        await connection.close()


WAVES: Final = (
    (Point.PLACED, Point.FILLED),  # within a call of the broker, which is given up after five seconds
    # To come into the pool is a call as well, but it is made again and again.
    (Point.JOINED, Point.GATHERED, Point.SHARED_OUT, Point.LET_OUT, Point.TOLD, Point.BOOKED),
)


async def until_approved(fragile: Fragile, pairs: list[Pair]) -> None:
    async def ended() -> bool:
        rows = await fragile.steelyard.rows(
            "SELECT status FROM bulks WHERE id = ANY ($1)", [pair.bulk for pair in pairs]
        )
        return {status for (status,) in rows} == {"DONE"}

    await until(ended)


async def test_workers_that_are_killed_at_any_step_leave_each_block_to_the_next_once(
    fragile: Fragile, traps: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    fragile.dismiss()
    begun = []
    for points in WAVES:
        pairs = [await Pair.open(fragile, f"pool {point.name}") for point in points]
        heavy = fragile.steelyard.work("heavy")
        await until_approved(fragile, pairs)
        heavy.kill()
        for point, pair in zip(points, pairs, strict=True):
            await traps.execute("SELECT pg_advisory_lock($1, $2)", point.number, pair.bulk)
        worker = fragile.steelyard.work("light", light_jobs=10, db_pool=20, block_window_s=WINDOW_S)
        await until_held(fragile, len(points))
        worker.kill()
        await traps.execute("SELECT pg_advisory_unlock_all()")
        begun += pairs
    fragile.steelyard.work("light", light_jobs=10, db_pool=20, block_window_s=WINDOW_S)
    for pair in begun:
        await pair.assert_executed_once()
    for pair in begun:
        for desk in pair.desks:  # scans after it measure what was there before
            archived = {"portfolioId": desk.portfolio_id, "status": "ARCHIVED"}
            await desk.person.done("portfolioUpdate", "portfolio { id }", **archived)
