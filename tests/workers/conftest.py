"""What a worker's process has, in the test's own: the jobs are run by hand, at a standing clock."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.bus.jobs import HEAVY, LIGHT
from app.context import Context, Services, on_thread, open_services
from app.embedded import Endpoints
from app.settings import Settings
from tests.builders import AS_OF, absolute, sleeve, snapshot
from tests.store.world import World
from tests.support import enter, stand


@pytest.fixture
async def services(database: Endpoints, redis_url: str) -> AsyncIterator[Services]:
    """No plan is made at once, and a chunk has two portfolios."""
    urls = {"database_url": database.database_url, "redis_url": redis_url}
    settings = Settings().model_copy(update={**urls, "inline_lots": 0, "scan_chunk_portfolios": 2})
    async with open_services(settings, on_thread) as services:
        await stand(services, AS_OF)
        yield services


@pytest.fixture
async def alice(services: Services) -> Context:
    return await enter(services, "alice")


@pytest.fixture
async def world(services: Services, database: Endpoints, alice: Context) -> World:
    """What alice owns."""
    return World(services.store, database, alice.owner_id)


async def keep(world: World, price: str = "150") -> str:
    """Store 6 AAPL and 8 BND at 50, wanted at 60 and 40 percent; only AAPL's band is narrow. Return the id."""
    wanted: dict[str, Any] = {"AAPL": sleeve("60", band=absolute("5")), "BND": sleeve("40", band=absolute("40"))}
    return (await world.keep(snapshot(f"6 AAPL @ {price}, 8 BND @ 50", wanted))).row.public_id


async def waiting(services: Services) -> list[str]:
    """Return the ids of the jobs that wait in either queue."""
    async with Redis.from_url(services.settings.redis_url) as redis:
        return sorted([job.decode() for queue in (LIGHT, HEAVY) for job in await redis.zrange(queue, 0, -1)])


async def forget(services: Services) -> None:
    """Empty Valkey."""
    async with Redis.from_url(services.settings.redis_url) as redis:
        await redis.flushall()
