"""An order that its broker says it never got is sent again, and the copy of before arrives after all."""

from datetime import timedelta
from decimal import Decimal

import pytest

from app.actions import executing, settling
from app.brokers.protocol import BrokerUnavailable
from app.context import Context, Services
from app.core.manual import FillDraft
from app.core.order_values import BrokerOrder, Ticket
from app.core.settling import SettleDraft
from tests.store.world import World
from tests.support import enter
from tests.workers.broking import ScriptedBroker
from tests.workers.test_execute import COMPLETED, Wall, advance, alerts, approved, at_last, books, found, states


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr(executing, "wall_now", made.now)
    return made


@pytest.fixture
async def alice(services: Services) -> Context:
    return await enter(services, "alice")


async def test_first_copy_that_is_late_is_what_is_executed_and_booked_once(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    """A purchase is lost on the way, and sent again for less as cash is gone; then the first copy is there before."""
    plan_id, lost = await approved(world, alice), list[Ticket]()

    class Late(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            if ticket.asset.symbol == "BND" and not lost:
                lost.append(ticket)
                raise BrokerUnavailable("the line is dead")
            return await super().place(lost[0] if lost else ticket)

    broker = Late(at_last)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 FILLED 0.8 of 0.8", "2.1 UNKNOWN 0 of 2.4"]
    await world.sql("UPDATE account_cash SET amount = 60")
    for _ in range(3):
        wall.passed += timedelta(seconds=4)
        await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == COMPLETED
    assert (await found(alice, plan_id)).orders[1].message == (
        "its broker got the order of 2.4 after all, and not that of 1.2"
    )
    assert await books(world, plan_id) == ["5.2 AAPL", "10.4 BND", "-60 cash"]
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]


async def test_a_person_settles_the_first_copy_too(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    """Sent again for 1.2, and again there is no answer: whoever looks it up may find that all 2.4 were bought."""
    plan_id = await approved(world, alice)

    class Deaf(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            if ticket.asset.symbol == "BND":
                raise BrokerUnavailable("the line is dead")
            return await super().place(ticket)

    broker = Deaf(at_last)
    await advance(services, alice, plan_id, broker)
    await world.sql("UPDATE account_cash SET amount = 60")
    for _ in range(2):
        wall.passed += timedelta(seconds=4)
        await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[2] == "2.1 UNKNOWN 0 of 1.2"
    order_id = (await found(alice, plan_id)).orders[1].id
    fill = FillDraft("x", Decimal("2.4"), Decimal(50))
    await settling.settle(alice, plan_id, SettleDraft(order_id, (fill,), "the broker's statement"), "key")
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == COMPLETED
    assert await books(world, plan_id) == ["5.2 AAPL", "10.4 BND", "-60 cash"]
