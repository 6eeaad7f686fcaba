"""The paper broker and its books: one order for each client id, fills that stay, prices that come late."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from app.actions.brokers import brokers_of
from app.brokers import paper
from app.brokers.protocol import Broker, BrokerUnavailable
from app.context import Services
from app.core.order_values import BrokerKind, BrokerOrder, Fill, OrderStatus
from app.core.portfolio import Asset
from app.store.db import Store
from tests.brokers.conftest import after, ticket
from tests.store.world import World
from tests.support import stand


def broker_of(services: Services, **given: object) -> Broker:
    changed = replace(services, settings=services.settings.model_copy(update=given))
    return brokers_of(changed)[BrokerKind.PAPER]


def fill(number: int, units: str, price: str, minutes: float) -> Fill:
    return Fill(str(number), Decimal(units), Decimal(price), Decimal(0), after(minutes))


async def test_market_order_is_filled_as_it_is_placed_and_placing_it_again_changes_nothing(
    services: Services, world: World, aapl: Asset
) -> None:
    broker, wanted = broker_of(services), ticket(aapl)
    filled = BrokerOrder("paper-pl_1-1-1", OrderStatus.FILLED, (fill(1, "10", "100", 0),))
    assert await broker.status(wanted) is None
    assert await broker.place(wanted) == filled
    await world.price("AAPL", "90", after(1))
    await stand(services, after(2))
    assert await broker.place(wanted) == filled
    assert await broker.place(replace(wanted, quantity=Decimal(99))) == filled
    assert await broker.status(wanted) == filled
    await broker.cancel(wanted)
    assert await broker.status(wanted) == filled


async def test_limit_order_works_until_the_price_crosses(services: Services, world: World, aapl: Asset) -> None:
    broker, wanted = broker_of(services), ticket(aapl, limit="99")
    assert (await broker.place(wanted)).status is OrderStatus.WORKING
    await world.price("AAPL", "99.01", after(1))
    await stand(services, after(2))
    assert await broker.status(wanted) == BrokerOrder("paper-pl_1-1-1", OrderStatus.WORKING)
    await world.price("AAPL", "98.5", after(3))
    await world.price("AAPL", "101", after(4))
    await stand(services, after(60))
    told = await broker.status(wanted)
    assert told == BrokerOrder("paper-pl_1-1-1", OrderStatus.FILLED, (fill(1, "10", "98.5", 3),))


async def test_late_price_fills_what_it_crosses_only_from_what_was_told_on(
    services: Services, world: World, aapl: Asset
) -> None:
    broker, wanted = broker_of(services), ticket(aapl, limit="99")
    await broker.place(wanted)
    await stand(services, after(10))
    await broker.cancel(wanted)
    assert await broker.status(wanted) == BrokerOrder("paper-pl_1-1-1", OrderStatus.CANCELLED)
    other = ticket(aapl, limit="99", client_id="pl_1-2-1")
    assert (await broker.place(other)).status is OrderStatus.WORKING
    await world.price("AAPL", "50", after(9))
    await stand(services, after(11))
    assert await broker.status(wanted) == BrokerOrder("paper-pl_1-1-1", OrderStatus.CANCELLED)
    assert await broker.status(other) == BrokerOrder("paper-pl_1-2-1", OrderStatus.FILLED, (fill(1, "10", "50", 10),))


async def test_parts_that_were_filled_before_it_was_cancelled_stay(services: Services, aapl: Asset) -> None:
    broker = broker_of(services, paper_latency_s=60, paper_partial_percent=Decimal(100))
    wanted = ticket(aapl, "100")
    assert (await broker.place(wanted)).status is OrderStatus.WORKING
    await stand(services, after(1))
    await broker.cancel(wanted)
    told = await broker.status(wanted)
    assert told
    assert (told.status, told.fills) == (
        OrderStatus.CANCELLED,
        (fill(1, "25", "100", 0.736563), fill(2, "25", "100", 0.98920700)),
    )


async def test_seed_rejects(services: Services, aapl: Asset) -> None:
    broker = broker_of(services, paper_rejected_percent=Decimal(100))
    rejected = BrokerOrder("paper-pl_1-1-1", OrderStatus.REJECTED, (), "the paper broker's seed rejects it")
    assert await broker.place(ticket(aapl)) == rejected
    assert await broker_of(services).place(ticket(aapl)) == rejected  # what it was told stays


async def test_placed_at_once_by_many_it_is_one_order(services: Services, world: World, aapl: Asset) -> None:
    broker = broker_of(services)
    told = await asyncio.gather(*(broker.place(ticket(aapl)) for _ in range(8)))
    assert {order.status for order in told} == {OrderStatus.FILLED}
    assert len({order.fills for order in told}) == 1
    assert await world.sql("SELECT count(*) FROM paper_fills") == 1


async def test_many_prices_are_looked_at_a_page_at_a_time(
    services: Services, world: World, aapl: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "PRICES_AT_ONCE", 3)
    broker, wanted = broker_of(services), ticket(aapl, limit="99")
    await broker.place(wanted)
    for minute in range(1, 10):
        await world.price("AAPL", "98" if minute == 8 else "100", after(minute))
    await stand(services, after(20))
    told = await broker.status(wanted)
    assert told
    assert told.fills == (fill(1, "10", "98", 8),)


async def test_books_that_are_away_say_so(services: Services, aapl: Asset) -> None:
    nowhere = await Store.open("postgresql://nobody@127.0.0.1:9/nothing", pool=1)
    broker = broker_of(replace(services, store=nowhere))
    for asked in (broker.place(ticket(aapl)), broker.status(ticket(aapl)), broker.cancel(ticket(aapl))):
        with pytest.raises(BrokerUnavailable, match="the paper broker's books are away"):
            await asked
    assert await broker.positions("ac_1") is None
    await nowhere.close()
