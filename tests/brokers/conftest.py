"""Brokers as a worker has them, at a clock that stands until a test moves it."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.context import Services, on_thread, open_services
from app.core.order_values import OrderStyle, Ticket
from app.core.portfolio import Asset
from app.core.trades import TradeSide
from app.embedded import Endpoints
from app.settings import Settings
from tests.builders import AS_OF, snapshot
from tests.store.world import World, find_owner
from tests.support import stand

CERTAIN = {"paper_latency_s": 0, "paper_partial_percent": Decimal(0), "paper_rejected_percent": Decimal(0)}
"""A paper broker that leaves nothing to chance."""


@pytest.fixture
async def services(database: Endpoints, redis_url: str) -> AsyncIterator[Services]:
    urls = {"database_url": database.database_url, "redis_url": redis_url}
    async with open_services(Settings().model_copy(update={**urls, **CERTAIN}), on_thread) as services:
        await stand(services, AS_OF)
        yield services


@pytest.fixture
async def world(services: Services, database: Endpoints) -> World:
    return World(services.store, database, await find_owner(services.store, "alice"))


@pytest.fixture
async def aapl(world: World) -> Asset:
    """Give AAPL, which costs 100 since five minutes ago."""
    loaded = await world.keep(snapshot("10 AAPL, 1000 cash"))
    await world.price("AAPL", "100", after(-5))
    (asset,) = loaded.snapshot.market.assets.values()
    return asset


def after(minutes: float) -> datetime:
    return AS_OF + timedelta(minutes=minutes)


def ticket(asset: Asset, units: str = "10", limit: str | None = None, client_id: str = "pl_1-1-1") -> Ticket:
    style = OrderStyle.MARKET if limit is None else OrderStyle.LIMIT
    bound = None if limit is None else Decimal(limit)
    return Ticket(client_id, "ac_1", asset, TradeSide.BUY, Decimal(units), style, bound)
