"""Plans whose worker or API is killed between two steps, and no order is lost, sent twice or booked twice.

A step is held by a trigger that waits, in the step's own transaction, for a lock of the test's: what is before it is
committed, and nothing of it is yet. Then the process is killed, as `kill -9` does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Final

import asyncpg
import httpx2
import pytest

from app.core import ids
from tests.journeys.desk import Desk
from tests.journeys.fragile import Fragile
from tests.support import until

AT_ONCE: Final = {"twapHorizon": "PT0S"}
LEASED_S: Final = 30.0
"""An order that nobody lives to record is asked for when its lease of 15 seconds is over."""


class Point(Enum):
    """A step of a plan: the table and what is written to it."""

    APPROVED = ("plans", "UPDATE", "NEW.status = 'APPROVED' AND OLD.status = 'READY'")
    FIRST_ORDERS = ("orders", "INSERT", "true")
    SENDING = ("orders", "UPDATE", "NEW.status = 'PLACING'")
    PLACED = ("paper_orders", "INSERT", "true")
    FILLED = ("paper_fills", "INSERT", "true")
    BOOKED = ("fills", "INSERT", "true")
    RECORDED = ("orders", "UPDATE", "NEW.status = 'FILLED'")
    COMPLETED = ("plans", "UPDATE", "NEW.status = 'COMPLETED'")

    @property
    def number(self) -> int:
        return 101 + list(Point).index(self)  # beyond the first keys of our own advisory locks


STOP: Final = """
CREATE FUNCTION stop_at() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
DECLARE plan bigint := coalesce(to_jsonb(NEW) ->> 'plan_id', to_jsonb(NEW) ->> 'id');
BEGIN
    IF plan IS NULL THEN
        plan := (SELECT o.plan_id FROM orders o WHERE o.client_id = NEW.client_id);
    END IF;
    PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, plan::int);
    RETURN NEW;
END $$;
"""


@pytest.fixture
async def traps(fragile: Fragile) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Give a connection whose advisory locks hold plans: the point's number, the plan's row."""
    connection = await asyncpg.connect(fragile.steelyard.endpoints.migrate_database_url)
    triggers = [
        f"CREATE TRIGGER stop_{point.number} BEFORE {written} ON {table} FOR EACH ROW "
        f"WHEN ({when}) EXECUTE FUNCTION stop_at({point.number})"
        for point in Point
        for table, written, when in [point.value]
    ]
    await connection.execute(";".join([STOP, *triggers]))
    try:
        yield connection
    finally:
        drops = [f"DROP TRIGGER stop_{point.number} ON {point.value[0]}" for point in Point]
        await connection.execute("SELECT pg_advisory_unlock_all()")
        await connection.execute(";".join([*drops, "DROP FUNCTION stop_at()"]))
        await connection.close()


@pytest.fixture
async def opened(fragile: Fragile) -> AsyncIterator[list[Desk]]:
    """Collect the portfolios that a test opens, and archive them: scans after it measure what was there before."""
    desks: list[Desk] = []
    yield desks
    if not (fragile.steelyard.api and fragile.steelyard.api.running):
        fragile.steelyard.serve()
    for desk in desks:
        await desk.person.done("portfolioUpdate", "portfolio { id }", portfolioId=desk.portfolio_id, status="ARCHIVED")


async def open_desk(fragile: Fragile, opened: list[Desk], subject: str) -> Desk:
    """Open a portfolio that takes turns with no other: neither an owner's, nor a neighbour's by its row."""
    apart = "SELECT count(nextval(pg_get_serial_sequence('portfolios', 'id'))) FROM generate_series(1, 8)"
    await fragile.steelyard.rows(apart)
    desk = await Desk.open(fragile.steelyard.person(subject), **AT_ONCE)
    opened.append(desk)
    return desk


async def row_of(desk: Desk, plan: dict[str, Any]) -> int:
    [(row,)] = await desk.steelyard.rows("SELECT id FROM plans WHERE public_id = $1", ids.decode(ids.PLAN, plan["id"]))
    return int(row)


async def hold(traps: "asyncpg.Connection[asyncpg.Record]", point: Point, desk: Desk, plan: dict[str, Any]) -> None:
    await traps.execute("SELECT pg_advisory_lock($1, $2)", point.number, await row_of(desk, plan))


async def until_held(fragile: Fragile, count: int) -> None:
    """Wait until so many plans stand where they are held."""
    waiting = """
        SELECT count(DISTINCT (classid, objid)) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted AND classid > 100
    """

    async def held() -> bool:
        return await fragile.steelyard.rows(waiting) == [(count,)]

    await until(held)


@asynccontextmanager
async def approving(desk: Desk, plan: dict[str, Any]) -> AsyncIterator[None]:
    """Approve a plan at an API that is killed before it answers."""
    asking = asyncio.create_task(desk.approve(plan))
    yield
    with pytest.raises(httpx2.HTTPError):
        await asking


async def assert_executed_once(desk: Desk, plan: dict[str, Any]) -> None:
    over = await desk.until_over(plan["id"], LEASED_S)
    assert (over["status"], len(over["orders"])) == ("COMPLETED", 2), over
    await desk.assert_booked_once()
    await desk.assert_history_is_whole("PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING", "PLAN_COMPLETED")


WAVES: Final = (
    (Point.PLACED, Point.FILLED),  # within a call of the broker, which is given up after five seconds
    (Point.FIRST_ORDERS, Point.SENDING, Point.BOOKED, Point.RECORDED, Point.COMPLETED),
)


async def test_workers_that_are_killed_at_any_step_leave_each_order_to_the_next_once(
    fragile: Fragile, opened: list[Desk], traps: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    fragile.dismiss()
    begun = []
    for points in WAVES:
        for point in points:
            desk = await open_desk(fragile, opened, point.name)
            plan = await desk.propose()
            await hold(traps, point, desk, plan)
            assert (await desk.approve(plan))["userErrors"] == []
            begun.append((desk, plan))
        worker = fragile.steelyard.work("light", light_jobs=10, db_pool=20)
        await until_held(fragile, len(points))
        worker.kill()
        await traps.execute("SELECT pg_advisory_unlock_all()")
    fragile.worker()
    for desk, plan in begun:
        await assert_executed_once(desk, plan)


async def test_an_api_that_is_killed_while_it_approves_has_done_so_once_or_not_at_all(
    fragile: Fragile, opened: list[Desk], traps: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    api = fragile.steelyard.api
    assert api
    fragile.worker()
    before, after = [await open_desk(fragile, opened, subject) for subject in ("before", "after")]
    unapproved, approved = await before.propose(), await after.propose()
    await hold(traps, Point.APPROVED, before, unapproved)
    # What it commits before it is killed is found by the worker, though nobody ever tells it.
    with fragile.standstill_of("valkey"):
        async with approving(before, unapproved), approving(after, approved):
            await until_held(fragile, 1)
            await until_approved(after, approved)
            api.kill()
    await traps.execute("SELECT pg_advisory_unlock_all()")
    fragile.steelyard.serve()
    assert (await before.plan(unapproved["id"]))["status"] == "READY"
    for desk, plan in ((before, unapproved), (after, approved)):
        assert (await desk.approve(plan))["userErrors"] == []
        await assert_executed_once(desk, plan)


async def until_approved(desk: Desk, plan: dict[str, Any]) -> None:
    status, row = "SELECT status FROM plans WHERE id = $1", await row_of(desk, plan)

    async def committed() -> bool:
        return await desk.steelyard.rows(status, row) != [("READY",)]

    await until(committed)
