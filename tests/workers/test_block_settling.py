"""Blocks whose broker cannot say how they stand: a person says what was filled, and each plan gets its share."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.actions import approving, blocks, brokers, executing, pools, settling
from app.context import Context, Services
from app.core.errors import InvalidState, LimitExceeded, NotFound, SteelyardError
from app.core.manual import FillDraft, OrderDraft
from app.core.order_values import BrokerOrder, Fill, OrderStatus, Ticket
from app.core.settling import SettleDraft
from tests.builders import AS_OF
from tests.store.world import World
from tests.support import enter
from tests.workers.broking import ScriptedBroker
from tests.workers.pooling import Pit, Wall, never
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


def fill(number: str, units: str, price: str = "150", fee: str = "0") -> FillDraft:
    return FillDraft(number, Decimal(units), Decimal(price), Decimal(fee), AS_OF)


async def settle(one: Pit, *fills: FillDraft, key: str = "settled") -> str:
    [block] = await one.blocks()
    await settling.settle_block(one.alice, SettleDraft(block.id, fills, "seen there"), key)
    return block.id


async def settle_order(one: Pit, number: int) -> None:
    order = await one.order(number)
    await settling.settle(one.alice, order.plan_id, SettleDraft(order.id, (), "seen there"), f"order {number}")


async def unknown(pit: Open) -> tuple[Pit, ScriptedBroker]:
    """Return a pit whose block of 0.8 and 1.6 was taken in without an answer."""
    broker = ScriptedBroker(never, silent=1)
    one = await pit(broker, 1, 2)
    await one.go()
    for _ in range(3):  # what the pool cannot say of an order is asked for thrice
        one.wall.passed += timedelta(minutes=1)
        await one.advance()
    assert await one.lines() == ["SELL AAPL UNKNOWN 0 of 2.4: 0 0"]
    assert await one.orders() == ["1 UNKNOWN 0 of 0.8", "2 UNKNOWN 0 of 1.6"]
    return one, broker


async def test_what_a_person_says_of_a_block_is_shared_out_and_its_orders_end(
    pit: Open, world: World, wall: Wall
) -> None:
    one, broker = await unknown(pit)
    for _ in range(2):
        await settle(one, fill("T-1", "1", fee="0.3"), fill("T-2", "0.4", "151"))
    wall.passed += timedelta(hours=1)
    await one.work()
    await one.advance()
    # 0.466 and 0.933 are due of 1.4: 0.5 and 0.9.
    assert await one.lines() == ["SELL AAPL CANCELLED 1.4 of 2.4: 0.5 0.9"]
    assert await one.orders() == ["1 CANCELLED 0.5 of 0.8", "2 CANCELLED 0.9 of 1.6"]
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"] * 2
    assert [call for call in broker.calls if call.startswith("place") and "-" not in call] == ["place "]
    await one.assert_conserved()
    said = "SELECT count(*) FROM rebalance_history WHERE kind = 'BLOCK_SETTLED'"
    assert await world.sql(said) == 2  # in the history of each portfolio with an order in it


async def test_order_in_a_block_is_not_settled_by_itself(pit: Open) -> None:
    one, _ = await unknown(pit)
    [block] = await one.blocks()
    with pytest.raises(InvalidState) as refused:
        await settle_order(one, 1)
    said = f"the order is in block {block.id} with others; settle that (blockSettle)"
    assert (refused.value.message, refused.value.path) == (said, ("orderId",))


async def test_block_that_is_known_or_somebody_elses_is_not_settled(services: Services, pit: Open) -> None:
    one = await pit(ScriptedBroker(never), 1)
    await one.go()
    with pytest.raises(InvalidState, match="the block is WORKING; only one that is UNKNOWN can be settled"):
        await settle(one)
    [block] = await one.blocks()
    with pytest.raises(InvalidState, match="the block is worked by PAPER, which tells its fills"):
        await blocks.record(one.alice, [OrderDraft(block.id, (fill("T-1", "0.1"),))], "once")
    with pytest.raises(NotFound):
        await settling.settle_block(await enter(services, "eve"), SettleDraft(block.id, (), "mine"), "once")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (fill("T-1", "2.5"), "2.5 units are more than the 2.4 that are open of block"),
        (fill("T-1", "0.05"), "0.05 units are no multiple of the step 0.1"),
    ],
)
async def test_what_cannot_be_filled_of_a_block_is_refused(pit: Open, told: FillDraft, message: str) -> None:
    one, _ = await unknown(pit)
    with pytest.raises(SteelyardError, match=message):
        await settle(one, told)


async def test_blocks_with_too_many_orders_are_not_told_of_at_once(pit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = await unknown(pit)
    monkeypatch.setattr(blocks, "ORDERS_MAX", 1)
    with pytest.raises(LimitExceeded) as refused:
        await settle(one)
    said = "there are 2 orders in these blocks; at most 1 are told at once: name fewer blocks"
    assert (refused.value.message, refused.value.path) == (said, ("blocks",))


class Late(ScriptedBroker):
    """A broker that was asked before a block was settled, and answers after that."""

    def __init__(self) -> None:
        super().__init__(never, silent=1)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        if not self.asked.is_set():
            self.asked.set()
            await self.go_on.wait()
        return await super().status(ticket)


async def test_broker_that_speaks_of_a_settled_block_is_told_to_end_it_and_nothing_is_shared_out_twice(
    pit: Open, world: World, wall: Wall
) -> None:
    broker = Late()
    one = await pit(broker, 1, 2)
    await one.go()
    wall.passed += timedelta(seconds=2)
    asking = asyncio.create_task(one.work())
    await broker.asked.wait()
    name = await settle(one, fill("T-1", "0.6"))
    said = Fill("f1", Decimal("0.9"), Decimal(150), Decimal(0), AS_OF)
    broker.orders[name] = replace(broker.orders[name], fills=(said,))
    broker.go_on.set()
    await asking
    await one.advance()
    assert await one.lines() == ["SELL AAPL CANCELLED 0.6 of 2.4: 0.2 0.4"]
    assert broker.orders[name].status is OrderStatus.CANCELLED
    assert await alerts(world) == ["ORDER_UNKNOWN OPEN"] * 2
    message = await world.sql("SELECT min(message) FROM alerts WHERE status = 'OPEN' AND kind = 'ORDER_UNKNOWN'")
    assert f"of the block {name} that it was in, 0.9 units are filled for 135 USD, not 0.6 for 90 USD" in message
    await one.assert_conserved()


async def test_pool_without_a_broker_can_be_ended(services: Services, pit: Open, world: World) -> None:
    one, _ = await unknown(pit)
    for plan_id in one.plans:
        await approving.cancel(one.alice, plan_id, "the broker has closed")
    await settle(one)
    await one.work()
    await one.advance()
    assert await one.states() == ["CANCELLED"] * 2
    assert await one.books(1) == ["6 AAPL", "8 BND", "0 cash"]
