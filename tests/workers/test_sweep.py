"""The sweeper goes on, whatever happens to it."""

import asyncio
from dataclasses import replace

import asyncpg

from app.actions import alerts, scans
from app.context import Services
from app.core.alerts import DATA_KEY, Decision, SleeveState
from app.core.scalars import write_instant
from app.embedded import Endpoints
from app.store.db import Store
from tests.builders import AS_OF
from tests.store.world import World, save_decision
from tests.support import until
from tests.workers.conftest import forget, keep, waiting
from workers.sweep import sweep_forever


async def test_the_sweeper_sweeps_again_and_again(services: Services, world: World) -> None:
    often = replace(services, settings=services.settings.model_copy(update={"sweep_s": 0.05}))
    sweeping = asyncio.create_task(sweep_forever(often))
    await keep(world)
    assert await scans.tick(services) == AS_OF
    for _ in range(2):
        await forget(services)

        async def put_back() -> bool:
            return await waiting(services) == ["prices_tick:one", f"scan_chunk:{write_instant(AS_OF)}:0"]

        await until(put_back)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_the_sweeper_raises_what_a_crash_left_once_no_scan_is_about_to(services: Services, world: World) -> None:
    kept = await world.find(await keep(world))
    await scans.tick(services)
    state = SleeveState(1, 1, told_at=AS_OF, symbols=("AAPL",))
    async with world.writing() as tx:
        decision = Decision({DATA_KEY: state}, (), ())
        await save_decision(world, tx, kept.row.id, decision)
    told = "SELECT count(*) FROM outbox WHERE topic = 'alert'"
    await alerts.sweep(services)
    assert await world.sql(told) == 0
    await world.sql("UPDATE scan_runs SET started_at = started_at - interval '61 s'")
    for _ in range(2):
        await alerts.sweep(services)
        assert await world.sql(told) == 1


async def test_a_step_that_fails_keeps_no_later_one_from_being_taken(
    services: Services, world: World, database: Endpoints
) -> None:
    connection = await asyncpg.connect(database.migrate_database_url)
    await connection.execute("ALTER TABLE relay_cursors RENAME TO elsewhere")
    await connection.close()
    await world.sql(
        "INSERT INTO idempotency_keys VALUES ($1, 'old', 'x', '', '{}', now() - interval '3 days')", world.owner_id
    )
    sweeping = asyncio.create_task(sweep_forever(services))

    async def forgotten() -> bool:
        return bool(await world.sql("SELECT count(*) = 0 FROM idempotency_keys"))

    await until(forgotten)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_the_sweeper_outlives_a_database_that_is_away(services: Services) -> None:
    store = await Store.open("postgresql://nobody@/none?host=/nowhere", pool=1)
    settings = services.settings.model_copy(update={"sweep_s": 0.01})
    sweeping = asyncio.create_task(sweep_forever(replace(services, store=store, settings=settings)))
    await asyncio.sleep(0.3)
    assert not sweeping.done()
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    await store.close()
