"""What a block is filled after its orders have ended is booked, whatever fails meanwhile; what is too much is told."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from app.actions import approving, brokers, executing, pools
from app.actions.brokers import PoolBooks
from app.brokers.protocol import BrokerUnavailable
from app.context import Context, Services
from app.core.order_values import BrokerOrder, Ticket
from tests.store.world import World
from tests.workers.broking import LEASE, ScriptedBroker
from tests.workers.pooling import WINDOW, Pit, Wall, at_last, never
from tests.workers.test_execute import alerts

Open = Callable[..., Coroutine[Any, Any, Pit]]


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    for module in (executing, pools, brokers):
        monkeypatch.setattr(module, "wall_now", made.now)
    return made


@pytest.fixture
def pit(services: Services, world: World, alice: Context, wall: Wall) -> Open:
    async def made(broker: ScriptedBroker, *sizes: int) -> Pit:
        return await Pit(services, world, alice, wall, broker).open(*sizes)

    return made


class Asleep(ScriptedBroker):
    """Falls asleep before it hands the first block in, to another broker."""

    def __init__(self, behind: ScriptedBroker) -> None:
        super().__init__(never)
        self.behind = behind
        self.heard, self.go_on = asyncio.Event(), asyncio.Event()

    async def place(self, ticket: Ticket) -> BrokerOrder:
        self.heard.set()
        await self.go_on.wait()
        return await self.behind.place(ticket)


async def given_up(pit: Open, behind: ScriptedBroker, *leaving: int) -> tuple[Pit, Asleep, asyncio.Task[None]]:
    """Return a pit whose block of 0.8 and 1.6 was given up as these plans are cancelled, and who hands it in still."""
    asleep = Asleep(behind)
    one = await pit(asleep, 1, 2)
    await one.advance()
    one.wall.passed += WINDOW
    sleeper = asyncio.create_task(one.work())
    await asleep.heard.wait()
    for number in leaving:
        await approving.cancel(one.alice, one.plans[number - 1], "no more")
    one.broker = behind
    await one.advance()
    one.wall.passed += LEASE
    await one.work()
    await one.advance()
    return one, asleep, sleeper


async def test_what_comes_late_while_the_books_are_away_is_booked_once_they_are_back(
    services: Services, pit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asleep, sleeper = await given_up(pit, ScriptedBroker(lambda ticket: ["0.3 @ 150"]), 1, 2)
    assert await one.states() == ["CANCELLED"] * 2

    async def away(books: PoolBooks, client_id: str) -> BrokerOrder | None:
        raise BrokerUnavailable("the pool's books are away")

    with monkeypatch.context() as outage:
        outage.setattr(PoolBooks, "find", away)
        asleep.go_on.set()
        await sleeper
        one.wall.passed += timedelta(seconds=2)
        await one.work()
    assert await one.lines() == ["SELL AAPL CANCELLED 0.3 of 2.4: 0.1 0.2"]
    assert (await one.books(1))[0] == "6 AAPL"
    assert await pools.scan_due(services) == 1
    await one.work()
    assert await one.books(1) == ["5.9 AAPL", "8 BND", "15 cash"]
    assert await one.books(2) == ["11.8 AAPL", "16 BND", "30 cash"]
    await one.assert_conserved()


async def test_what_comes_late_and_is_too_much_is_not_booked_but_told(pit: Open, world: World) -> None:
    fills = {"2.4": ["0.3 @ 150"]}
    behind = ScriptedBroker(lambda ticket: fills.get(str(ticket.quantity)) or at_last(ticket))
    one, asleep, sleeper = await given_up(pit, behind, 1)
    await one.go()
    assert await one.orders() == ["1 CANCELLED 0 of 0.8", "2 FILLED 1.6 of 1.6"]
    asleep.go_on.set()
    await sleeper
    one.wall.passed += timedelta(seconds=2)
    await one.work()
    assert (await one.books(1))[0] == "5.9 AAPL"
    assert await one.orders() == ["1 CANCELLED 0.1 of 0.8", "2 FILLED 1.6 of 1.6"]
    assert await alerts(world) == ["ORDER_UNKNOWN OPEN"]
    [message] = [await world.sql("SELECT message FROM alerts WHERE kind = 'ORDER_UNKNOWN'")]
    order = (await one.order(2)).client_id
    assert message == (
        f"Order {order} (SELL 1.6 AAPL) has ended, and more was filled of it after that than it was for: 1.8 units are "
        "filled for 270 USD, not 1.6 for 240 USD. That is not booked; import the holdings as they are there."
    )
