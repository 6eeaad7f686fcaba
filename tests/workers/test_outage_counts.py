"""The alert about data counts every portfolio, whatever settles it while a scan is half done."""

import asyncio
from datetime import datetime, timedelta

from app.actions import alerts, scans, ticks
from app.context import OPERATOR, Services
from app.core.alerts import DATA_KEY, Decision, SleeveState
from app.core.scalars import write_instant
from app.store import turns
from tests.builders import AS_OF, snapshot
from tests.store.world import World, save_decision
from tests.support import enter, later, until
from tests.workers.conftest import keep
from tests.workers.test_ticks import record

OLD = timedelta(days=5)
NOW = AS_OF + OLD


async def told(world: World) -> list[str]:
    statement = """
        SELECT array_agg(payload->'alert'->>'message' ORDER BY xid, id) FROM outbox
        WHERE payload->'alert'->>'kind' = 'DATA_STALE'
    """
    return list(await world.sql(statement) or [])


def outage(portfolios: int, symbols: str) -> str:
    return (
        f"At 2024-06-08 16:00 UTC drift of {portfolios} portfolios could not be judged: no fresh price for {symbols}."
    )


async def measure(services: Services, number: int, bucket: datetime = NOW) -> None:
    await scans.measure_chunk(services, write_instant(bucket), number)


async def test_a_scan_that_begins_as_the_sweeper_settles_is_waited_for(services: Services, world: World) -> None:
    first = await world.find(await keep(world))
    for _ in range(3):
        await keep(world)
    await ticks.run(services)
    await later(services, OLD)
    async with world.writing() as tx:  # what a crash left
        state = SleeveState(1, 1, told_at=NOW, symbols=("AAPL",))
        await save_decision(world, tx, first.row.id, Decision({DATA_KEY: state}, (), ()))
    async with services.store.shared() as tx:
        await turns.scan_take_turns(tx, turns.OWNER, [world.owner_id])
        sweeping = asyncio.create_task(alerts.sweep(services))

        async def waits() -> bool:
            return bool(await world.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

        await until(waits)
        assert await scans.tick(services) == NOW
        await measure(services, 0)
    await sweeping
    assert await told(world) == []
    await measure(services, 1)
    assert await told(world) == [outage(4, "AAPL, BND")]


async def test_a_price_amid_a_scan_leaves_the_outage_to_its_end(services: Services, world: World) -> None:
    for _ in range(2):
        await keep(world)
    await world.keep(snapshot("6 MSFT @ 100, 8 BND @ 50", {"MSFT": "60", "BND": "40"}))
    await keep(world)
    await ticks.run(services)
    await later(services, OLD)
    operator = await enter(services, "operator", OPERATOR)
    assert await scans.tick(services) == NOW
    await measure(services, 0)
    await record(operator, MSFT="100")
    assert await ticks.run(services) == 1
    assert await told(world) == []
    await measure(services, 1)
    assert await told(world) == [outage(4, "AAPL, BND")]


async def test_a_late_scan_settles_nothing_while_the_current_one_runs(services: Services, world: World) -> None:
    for _ in range(4):
        await keep(world)
    await ticks.run(services)
    await scans.tick(services)
    for number in range(2):
        await measure(services, number, AS_OF)
    last = NOW - timedelta(hours=1)
    await world.price("BND", "50", last)
    await later(services, OLD)
    assert await scans.tick(services) == NOW
    await measure(services, 0)
    for number in range(2):
        await measure(services, number, last)
    assert await world.sql("SELECT kind || ' ' || status FROM scan_runs WHERE bucket = $1", last) == "CATCH_UP DONE"
    assert await told(world) == []
    await measure(services, 1)
    assert await told(world) == [outage(4, "AAPL")]
