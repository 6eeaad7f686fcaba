"""The sweeper goes on, whatever happens to it."""

import asyncio
from dataclasses import replace

from app.actions import scans
from app.context import Services
from app.core.scalars import write_instant
from app.store.db import Store
from tests.builders import AS_OF
from tests.store.world import World
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


async def test_the_sweeper_outlives_a_database_that_is_away(services: Services) -> None:
    store = await Store.open("postgresql://nobody@/none?host=/nowhere", pool=1)
    settings = services.settings.model_copy(update={"sweep_s": 0.01})
    sweeping = asyncio.create_task(sweep_forever(replace(services, store=store, settings=settings)))
    await asyncio.sleep(0.3)
    assert not sweeping.done()
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    await store.close()
