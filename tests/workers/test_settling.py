"""Orders whose broker cannot say how they stand: a person says what was filled, and the plan goes on without it.

The plan is that of `test_execute`: 0.8 AAPL at 150 are sold, 2.4 BND at 50 bought from that.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.actions import approving, executing, portfolios, settling
from app.context import Context, Services
from app.core.errors import InvalidState, SteelyardError
from app.core.manual import FillDraft
from app.core.money import ZERO, plain
from app.core.order_values import BrokerOrder, Fill, OrderStatus, Ticket
from app.core.portfolio import PortfolioStatus
from app.core.settling import SettleDraft
from app.store import history
from tests.builders import AS_OF
from tests.store.world import World
from tests.workers.broking import ScriptedBroker
from tests.workers.test_execute import (
    COMPLETED,
    TWAP,
    Wall,
    advance,
    alerts,
    approved,
    at_last,
    books,
    found,
    never,
    states,
)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr(executing, "wall_now", made.now)
    return made


def fill(number: str, units: str, price: str = "150", fee: str = "0") -> FillDraft:
    return FillDraft(number, Decimal(units), Decimal(price), Decimal(fee), AS_OF)


async def settle(
    alice: Context, plan_id: str, *fills: FillDraft, order: int = 0, key: str = "settled", reason: str = "seen there"
) -> None:
    order_id = (await found(alice, plan_id)).orders[order].id
    await settling.settle(alice, plan_id, SettleDraft(order_id, fills, reason), key)


async def messages(alice: Context, plan_id: str) -> list[str]:
    return [order.message for order in (await found(alice, plan_id)).orders]


async def unknown(services: Services, world: World, alice: Context, **given: Any) -> tuple[str, ScriptedBroker]:
    """Return a plan whose sale was taken in without an answer, and its broker."""
    plan_id, broker = await approved(world, alice, **given), ScriptedBroker(never, silent=1)
    await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[1].split()[1] == "UNKNOWN"
    assert await alerts(world) == ["ORDER_UNKNOWN OPEN"]
    return plan_id, broker


async def test_what_a_person_says_is_booked_and_the_broker_is_not_asked_again(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await unknown(services, world, alice)
    broker.fills = at_last
    for _ in range(2):
        await settle(alice, plan_id, fill("T-1", "0.3"), fill("T-2", "0.2", "151", "0.2"))
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]
    assert await executing.scan_due(services) == 1
    wall.passed += timedelta(hours=1)
    await advance(services, alice, plan_id, broker)
    # 0.3 x 150 + 0.2 x 151 - 0.2 = 75 buy 1.49 at the limit of 50.05, and the rest of the sale is not sent again.
    assert (await states(alice, plan_id))[:2] == ["PARTIAL", "1.1 CANCELLED 0.5 of 0.8"]
    assert (await books(world, plan_id))[0] == "5.5 AAPL"
    assert broker.calls == ["place 1-1", "place 2-1"]
    assert (await messages(alice, plan_id))[0] == "settled by hand: seen there"


async def test_all_of_it_was_filled_and_the_plan_goes_on(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await unknown(services, world, alice)
    broker.fills = at_last
    await settle(alice, plan_id, fill("T-1", "0.8"))
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == COMPLETED
    assert await books(world, plan_id) == ["5.2 AAPL", "10.4 BND", "0 cash"]
    assert broker.calls == ["place 1-1", "place 2-1"]


async def test_history_says_who_settled_what_and_why(services: Services, world: World, alice: Context) -> None:
    plan_id, _ = await unknown(services, world, alice)
    await settle(replace(alice, actor="desk"), plan_id, fill("T-1", "0.5"), reason="their web page")
    portfolio_key = await world.sql("SELECT max(id) FROM portfolios")
    async with world.reading() as tx:
        lines = await history.load_history(world.owner_id, tx, portfolio_key, 100)
        assert await history.verify_history(world.owner_id, tx, portfolio_key) is None
    (line,) = (line for line in lines if line.kind == "ORDER_SETTLED")
    order = (await found(alice, plan_id)).orders[0]
    known = {"plan": plan_id, "client_id": order.client_id, "broker": "PAPER"}
    assert (line.subject, line.actor, line.document["reason"]) == (order.id, "desk", "their web page")
    assert [one["broker_fill_id"] for one in line.document["fills"]] == ["T-1"]
    ended = {"status": "CANCELLED", "filled": "0.5", "message": "settled by hand: their web page"}
    assert {name: line.document[name] for name in (*known, *ended)} == {**known, **ended}
    unclear = {"status": "UNKNOWN", "filled": "0", "message": "the broker gave no answer: no answer"}
    assert line.document["before"] == {**known, **unclear}


async def test_plan_without_a_broker_can_be_ended(services: Services, world: World, alice: Context) -> None:
    plan_id = await approved(world, alice)
    await executing.advance(services, alice.owner_id, plan_id, {})
    await approving.cancel(alice, plan_id, "the broker has closed")
    await executing.advance(services, alice.owner_id, plan_id, {})
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 UNKNOWN 0 of 0.8", "2.1 CANCELLED 0 of 2.4"]
    await settle(alice, plan_id)
    await executing.advance(services, alice.owner_id, plan_id, {})
    assert await states(alice, plan_id) == ["CANCELLED", "1.1 CANCELLED 0 of 0.8", "2.1 CANCELLED 0 of 2.4"]
    assert await books(world, plan_id) == ["6 AAPL", "8 BND", "0 cash"]


async def test_slices_that_wait_are_not_sent_after_one_was_settled(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await unknown(services, world, alice, policy=TWAP)
    await settle(alice, plan_id)
    await advance(services, alice, plan_id, broker)
    sold = [line.split()[1] for line in await states(alice, plan_id) if line.startswith("1.")]
    assert sold == ["CANCELLED"] * 3
    assert (await messages(alice, plan_id))[1] == "an order of this trade before it was settled by hand"
    assert broker.calls == ["place 1-1"]


async def test_fills_that_are_booked_may_be_told_again_in_the_same_words(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(lambda ticket: ["0.3 @ 150"])
    await advance(services, alice, plan_id, broker)
    broker.silent = 3
    for _ in range(3):
        wall.passed += timedelta(minutes=1)
        await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[1] == "1.1 UNKNOWN 0.3 of 0.8"
    refused = {
        "fill f1 was recorded before: 0.3 at 150, fee 0; give another fillId to a fill that came on top": [
            fill("f1", "0.3", "151")
        ],
        "0.6 units are more than the 0.5 that are open of order": [fill("f1", "0.3"), fill("T-2", "0.6")],
    }
    for said, fills in refused.items():
        with pytest.raises(SteelyardError, match=said):
            await settle(alice, plan_id, *fills)
    await settle(alice, plan_id, fill("f1", "0.3"), fill("T-2", "0.1"))
    assert (await states(alice, plan_id))[1] == "1.1 CANCELLED 0.4 of 0.8"
    assert await books(world, plan_id) == ["5.6 AAPL", "8 BND", "60 cash"]


async def test_order_that_is_known_is_not_settled(services: Services, world: World, alice: Context) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)
    await advance(services, alice, plan_id, broker)
    for order, status in enumerate(("WORKING", "PENDING")):
        with pytest.raises(InvalidState) as refused:
            await settle(alice, plan_id, order=order)
        assert refused.value.message == f"the order is {status}; only one that is UNKNOWN can be settled"
    broker.fill(f"{plan_id}-1-1", "0.8 @ 150")
    await approving.cancel(alice, plan_id, "enough")
    await advance(services, alice, plan_id, broker)
    with pytest.raises(InvalidState):  # nor is one of a plan that is over
        await settle(alice, plan_id)


# ---- the broker speaks of it after all


class Late(ScriptedBroker):
    """A broker that was asked before an order was settled, and answers after that."""

    def __init__(self, fills: Callable[[Ticket], list[str]]) -> None:
        super().__init__(fills, silent=1)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        if not self.asked.is_set():
            self.asked.set()
            await self.go_on.wait()
        return await super().status(ticket)


async def late(
    services: Services, world: World, alice: Context, wall: Wall, told: Sequence[FillDraft], said: Sequence[Fill]
) -> tuple[str, Late]:
    """Settle an order with what is told, and let its broker, which was being asked, say something after that."""
    plan_id, broker = await approved(world, alice), Late(never)
    await advance(services, alice, plan_id, broker)
    wall.passed += timedelta(seconds=2)
    asking = asyncio.create_task(advance(services, alice, plan_id, broker))
    await broker.asked.wait()
    await settle(alice, plan_id, *told)
    name = f"{plan_id}-1-1"
    ended = sum(fill.quantity for fill in said) == Decimal("0.8")
    status = OrderStatus.FILLED if ended else OrderStatus.WORKING
    broker.orders[name] = replace(broker.orders[name], fills=tuple(said), status=status)
    broker.go_on.set()
    await asking
    return plan_id, broker


def said(number: str, units: str, price: str = "150") -> Fill:
    return Fill(number, Decimal(units), Decimal(price), ZERO, AS_OF)


async def told_of(world: World) -> str:
    return str(await world.sql("SELECT message FROM alerts WHERE kind = 'ORDER_UNKNOWN' ORDER BY id DESC LIMIT 1"))


async def test_broker_that_tells_the_same_later_is_not_booked_twice(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, _ = await late(services, world, alice, wall, [fill("T-1", "0.8")], [said("f1", "0.3"), said("f2", "0.5")])
    assert (await states(alice, plan_id))[1] == "1.1 FILLED 0.8 of 0.8"
    assert (await books(world, plan_id))[0] == "5.2 AAPL"
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]


async def test_broker_that_tells_more_of_what_was_told_under_its_own_ids_is_booked(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    told = [fill("f1", "0.3")]
    plan_id, _ = await late(services, world, alice, wall, told, [said("f1", "0.3"), said("f2", "0.5")])
    assert (await states(alice, plan_id))[1] == "1.1 CANCELLED 0.8 of 0.8"
    assert (await books(world, plan_id))[0] == "5.2 AAPL"
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]


async def test_broker_that_tells_otherwise_is_not_booked_but_alerted_until_holdings_are_imported(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await late(services, world, alice, wall, [fill("T-1", "0.3")], [said("f1", "0.4")])
    assert (await states(alice, plan_id))[1] == "1.1 CANCELLED 0.3 of 0.8"
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED", "ORDER_UNKNOWN OPEN"]
    assert await told_of(world) == (
        f"Order {plan_id}-1-1 (SELL 0.8 AAPL) was settled by hand, and its broker says something else now: "
        "0.4 units are filled for 60 USD, not 0.3 for 45 USD. "
        "That is not booked; import the holdings as they are there."
    )
    # It worked there, so that it was cancelled, and nothing more comes of it.
    assert broker.calls[:4] == ["place 1-1", "status 1-1", "cancel 1-1", "status 1-1"]
    assert broker.orders[f"{plan_id}-1-1"].status is OrderStatus.CANCELLED
    await approving.cancel(alice, plan_id, "enough")
    await advance(services, alice, plan_id, broker)
    plan = await found(alice, plan_id)
    assert plan.plan
    account_id = plan.plan.trades[0].trade.account_id
    await portfolios.import_holdings(alice, account_id, [], cash=Decimal(900), balances=None, key=None)
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"] * 2


async def test_broker_that_has_it_working_is_told_to_cancel_it(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await late(services, world, alice, wall, [], [])
    assert broker.orders[f"{plan_id}-1-1"].status is OrderStatus.CANCELLED
    assert plain((await found(alice, plan_id)).orders[0].filled) == "0"
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"] * 2


# ---- pauses


async def test_alert_outlives_a_pause_and_ends_when_it_is_known(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await unknown(services, world, alice)
    portfolio_id = (await found(alice, plan_id)).portfolio_id
    for status in (PortfolioStatus.PAUSED, PortfolioStatus.ACTIVE, PortfolioStatus.PAUSED):
        await portfolios.update(alice, portfolio_id, name=None, status=status, change=None, model=None, expected=None)
        assert await alerts(world) == ["ORDER_UNKNOWN OPEN"]
    wall.passed += timedelta(seconds=2)
    await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[1] == "1.1 WORKING 0 of 0.8"
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]
