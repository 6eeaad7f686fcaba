"""Pools: orders of several portfolios are one at the broker, through crashes and silence, and each gets its share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from app.actions import approving, brokers, executing, halts, plans, pools
from app.context import OPERATOR, Context, Services
from app.core import ids
from app.core.costs import Tier
from app.core.order_values import BrokerOrder, CancelCause, OrderStatus, Ticket
from app.core.portfolio import AssetClass, Broker
from app.store import brokers as fees
from app.store import pools as stored
from app.store.db import Tx
from tests.builders import AS_OF
from tests.store.world import World
from tests.support import enter, later
from tests.workers.broking import LEASE, Fate, Killed, ScriptedBroker, mortal
from tests.workers.conftest import forget, waiting
from tests.workers.pooling import WINDOW, Pit, Wall, at_last, never
from workers import execute

Open = Callable[..., Coroutine[Any, Any, Pit]]


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    for module in (executing, pools, brokers):
        monkeypatch.setattr(module, "wall_now", made.now)
    return made


@pytest.fixture
def pit(services: Services, world: World, alice: Context, wall: Wall) -> Open:
    """Open pits: `await pit(broker, 1, 2)`."""

    async def made(broker: ScriptedBroker, *sizes: int, **given: Any) -> Pit:
        return await Pit(services, world, alice, wall, broker).open(*sizes, **given)

    return made


async def test_orders_of_one_bulk_are_one_at_the_broker_and_each_plan_is_completed(pit: Open) -> None:
    broker = ScriptedBroker(at_last)
    one = await pit(broker, 1, 2, 3)
    await one.go(2)
    assert await one.lines() == [
        "SELL AAPL FILLED 4.8 of 4.8: 0.8 1.6 2.4",
        "BUY BND FILLED 14.4 of 14.4: 2.4 4.8 7.2",
    ]
    assert await one.states() == ["COMPLETED"] * 3
    assert [await one.books(number) for number in (1, 2, 3)] == [
        ["5.2 AAPL", "10.4 BND", "0 cash"],
        ["10.4 AAPL", "20.8 BND", "0 cash"],
        ["15.6 AAPL", "31.2 BND", "0 cash"],
    ]
    assert list(broker.orders) == [block.id for block in await one.blocks()]
    await one.assert_conserved()


async def test_an_order_alone_is_a_block_too(pit: Open) -> None:
    one = await pit(ScriptedBroker(at_last), 1)
    await one.go(2)
    assert await one.lines() == ["SELL AAPL FILLED 0.8 of 0.8: 0.8", "BUY BND FILLED 2.4 of 2.4: 2.4"]
    assert await one.states() == ["COMPLETED"]


async def test_orders_wait_for_others_until_the_window_of_the_first_is_over(
    services: Services, pit: Open, wall: Wall
) -> None:
    broker = ScriptedBroker(at_last)
    one = await pit(broker, 1, 2)
    await one.advance(1)
    assert await one.orders() == ["1 WORKING 0 of 0.8"]
    wall.passed += timedelta(seconds=4)
    await one.advance(2)
    await one.work()
    assert (await pools.scan_due(services), broker.calls) == (0, [])
    wall.passed += timedelta(seconds=1)
    assert await pools.scan_due(services) == 1
    assert f"pool_work:{one.bulk_id}:{one.alice.owner_id}" in await waiting(services)
    await execute.pool_work({"services": services, "brokers": one.brokers}, one.alice.owner_id, one.bulk_id)
    assert await one.lines() == ["SELL AAPL FILLED 2.4 of 2.4: 0.8 1.6"]


@pytest.mark.parametrize(
    "goes_on",
    [
        "UPDATE bulk_items SET status = 'APPROVED' WHERE place = 1",  # others' may go on for hours
        "UPDATE bulks SET status = 'DONE', ended_at = created_at",
    ],
)
async def test_nothing_is_sent_while_the_bulk_goes_on_for_the_owner(
    services: Services, world: World, pit: Open, wall: Wall, goes_on: str
) -> None:
    broker = ScriptedBroker(at_last)
    one = await pit(broker, 1, 2, ended=False)
    other = await world.other("carol")
    for place, owner_id in enumerate((one.alice.owner_id, other.owner_id), 1):
        await world.sql(
            "INSERT INTO bulk_items (bulk_id, place, owner_id, portfolio_id) "
            "SELECT id, $1::int, $2, $1::int FROM bulks",
            *(place, owner_id),
        )
    await one.go()
    assert (await pools.scan_due(services), broker.calls) == (0, [])
    await world.sql(goes_on)
    await one.go(2)
    assert await one.states() == ["COMPLETED"] * 2


async def test_what_is_filled_is_shared_out_as_it_comes_and_the_rest_at_the_end(pit: Open, wall: Wall) -> None:
    broker = ScriptedBroker(never)
    one = await pit(broker, 1, 2)
    await one.go()
    [block] = await one.blocks()
    broker.fill(block.id, "1 @ 151")
    wall.passed += timedelta(seconds=2)
    await one.work()
    await one.advance()
    assert await one.lines() == ["SELL AAPL WORKING 1 of 2.4: 0.3 0.6"]
    assert await one.orders() == ["1 WORKING 0.3 of 0.8", "2 WORKING 0.6 of 1.6"]
    broker.fill(block.id, "1.4 @ 150")
    wall.passed += timedelta(seconds=2)
    await one.work()
    await one.advance()
    assert await one.lines() == ["SELL AAPL FILLED 2.4 of 2.4: 0.8 1.6"]
    assert (await one.books(1))[-1] == "120.4 cash"  # 0.3 and what waited, 0.1, at 151, and 0.4 at 150
    assert (await one.books(2))[-1] == "240.6 cash"  # 0.6 at 151 and 1 at 150
    await one.assert_conserved()


async def is_due(services: Services, one: Pit) -> bool:
    """Say whether a job is asked for that works the pool."""
    await forget(services)
    await pools.scan_due(services)
    return f"pool_work:{one.bulk_id}:{one.alice.owner_id}" in await waiting(services)


async def test_killed_between_any_two_steps_each_block_is_one_order_and_every_fill_booked_once(
    services: Services, pit: Open, wall: Wall
) -> None:
    """Each round kills the pool's worker one step later, until it lives to the end."""
    for at in count(1):
        fate = Fate(at)
        broker = ScriptedBroker(at_last)
        one = await pit(broker, 1, 2)
        await one.advance()
        wall.passed += WINDOW
        broker.fate, killed = fate, False
        try:
            await one.work(mortal(services, fate))
        except Killed:
            killed = True
        broker.fate = Fate()
        await one.work()  # somebody looks before the lease is over
        assert len(broker.orders) <= 1
        wall.passed += LEASE
        if await is_due(services, one):  # it is found by what is stored alone
            await one.work()
        await one.advance()
        assert await one.orders() == ["1 FILLED 0.8 of 0.8", "2 FILLED 1.6 of 1.6"], at
        assert await one.lines() == ["SELL AAPL FILLED 2.4 of 2.4: 0.8 1.6"], at
        assert list(broker.orders) == [block.id for block in await one.blocks()]
        await one.assert_conserved()
        if not killed:
            assert at == 17  # so many steps there were, and one more
            return


async def test_many_workers_at_once_make_one_block_and_send_it_once(pit: Open, wall: Wall) -> None:
    broker = ScriptedBroker(at_last)
    one = await pit(broker, 1, 2)
    await one.advance()
    wall.passed += WINDOW
    await asyncio.gather(*(one.work() for _ in range(5)), one.advance(), one.advance())
    await one.advance()
    assert await one.lines() == ["SELL AAPL FILLED 2.4 of 2.4: 0.8 1.6"]
    assert len(broker.calls) == 1
    await one.assert_conserved()


async def test_who_leaves_while_it_waits_has_left_at_once(pit: Open, alice: Context) -> None:
    one = await pit(ScriptedBroker(at_last), 1, 2)
    await one.advance()
    await approving.cancel(alice, one.plans[0], "no more")
    await one.go()
    assert await one.lines() == ["SELL AAPL FILLED 1.6 of 1.6: 1.6"]
    assert (await one.states())[0] == "CANCELLED"


async def test_who_leaves_a_block_gets_its_share_and_the_others_go_on_in_the_next(
    pit: Open, alice: Context, wall: Wall
) -> None:
    broker = ScriptedBroker(never)
    one = await pit(broker, 1, 2, 3)
    await one.go()
    [block] = await one.blocks()
    broker.fill(block.id, "1 @ 150")
    await approving.cancel(alice, one.plans[0], "no more")
    await one.advance(1)
    assert await one.orders() == ["1 CANCELLING 0 of 0.8", "2 WORKING 0 of 1.6", "3 WORKING 0 of 2.4"]
    await one.work()
    await one.advance()
    # 1 of 4.8 is 0.167, 0.333 and 0.5 of it: two steps are left over, and go to the first and to the second.
    assert await one.lines() == ["SELL AAPL CANCELLED 1 of 4.8: 0.2 0.3 0.5"]
    assert await one.orders() == ["1 CANCELLED 0.2 of 0.8", "2 WORKING 0.3 of 1.6", "3 WORKING 0.5 of 2.4"]
    assert (await one.states())[0] == "PARTIAL"
    broker.fills = at_last
    await one.go(2)
    assert (await one.lines())[1] == "SELL AAPL FILLED 3.2 of 3.2: 1.3 1.9"
    assert await one.states() == ["PARTIAL", "COMPLETED", "COMPLETED"]
    await one.assert_conserved()


async def test_who_got_nothing_of_a_block_that_was_cancelled_waits_with_all_it_had(
    pit: Open, alice: Context, wall: Wall
) -> None:
    broker = ScriptedBroker(never)
    one = await pit(broker, 1, 20, 20)
    await one.go()
    [block] = await one.blocks()
    broker.fill(block.id, "1 @ 150")
    await approving.cancel(alice, one.plans[2], "no more")
    await one.go()
    assert await one.lines() == ["SELL AAPL CANCELLED 1 of 32.8: 0 0.5 0.5"]
    await one.go()  # those that are left have a window of their own
    assert await one.lines() == [
        "SELL AAPL CANCELLED 1 of 32.8: 0 0.5 0.5",
        "SELL AAPL WORKING 0 of 16.3: 0 0",
    ]
    assert await one.orders() == ["1 WORKING 0 of 0.8", "2 WORKING 0.5 of 16", "3 CANCELLED 0.5 of 16"]


async def test_all_that_are_priced_anew_at_once_leave_one_block_and_are_the_next(
    services: Services, world: World, pit: Open, wall: Wall
) -> None:
    broker = ScriptedBroker(never)
    one = await pit(broker, 1, 2, 3)
    await one.go()
    await world.price("AAPL", "140")
    await later(services, timedelta(seconds=900))
    await one.advance(1)
    await one.work()
    await one.advance(2, 3)  # these are waked a little later
    await one.go()
    assert await one.lines() == ["SELL AAPL CANCELLED 0 of 4.8: 0 0 0", "SELL AAPL WORKING 0 of 4.8: 0 0 0"]
    first, second = await one.blocks()
    assert first.limit is not None
    assert second.limit == Decimal("139.86")
    assert [call.split()[0] for call in broker.calls] == ["place", "cancel", "status", "place"]


@pytest.mark.parametrize(
    ("status", "message"),
    [("REJECTED", "AAPL is halted at the exchange"), ("EXPIRED", "the session ended"), ("CANCELLED", "by the desk")],
)
async def test_block_that_ends_at_the_broker_ends_its_orders_alike(
    pit: Open, wall: Wall, status: str, message: str
) -> None:
    broker = ScriptedBroker(never, reject=message if status == "REJECTED" else "")
    one = await pit(broker, 1, 2)
    await one.go()
    [block] = await one.blocks()
    if status != "REJECTED":
        broker.fill(block.id, "0.3 @ 150")
        fills = broker.orders[block.id].fills
        broker.orders[block.id] = BrokerOrder("b", OrderStatus[status], fills, message)
        wall.passed += timedelta(seconds=2)
        await one.work()
        await one.advance(1, 2)
    got = ("0", "0") if status == "REJECTED" else ("0.1", "0.2")
    assert (await one.orders())[0] == f"1 {status} {got[0]} of 0.8"
    assert f"2 {status} {got[1]} of 1.6" in await one.orders()
    first, *_ = await all_orders(one, 1)
    assert first.message == message
    if got != ("0", "0"):
        await one.assert_conserved()


async def all_orders(one: Pit, number: int) -> list[Any]:

    return list((await plans.find(one.alice, one.plans[number - 1])).orders)


async def alerts(world: World) -> list[str]:
    async with world.raw() as connection:
        rows = await connection.fetch("SELECT status FROM alerts WHERE kind = 'ORDER_UNKNOWN' ORDER BY id")
    return [row["status"] for row in rows]


async def test_while_it_is_not_known_how_a_block_stands_its_orders_are_unknown(
    world: World, pit: Open, wall: Wall
) -> None:
    broker = ScriptedBroker(at_last, silent=1)
    one = await pit(broker, 1, 2)
    await one.go()
    [block] = await one.blocks()
    assert (block.status, block.message) == (OrderStatus.UNKNOWN, "the broker gave no answer: no answer")
    broker.deaf = 3
    for seconds in (1, 2, 4):
        wall.passed += timedelta(seconds=seconds)
        await one.work()
        await one.advance()
    assert await one.orders() == ["1 UNKNOWN 0 of 0.8", "2 UNKNOWN 0 of 1.6"]
    said = f"the broker gave no answer: it is not known how its block {block.id} stands: the broker gave no answer"
    assert (await one.order(1)).message.startswith(said)
    assert await alerts(world) == ["OPEN", "OPEN"]
    broker.deaf = 0
    wall.passed += timedelta(seconds=60)
    await one.go(3)
    assert await one.states() == ["COMPLETED"] * 2
    assert await alerts(world) == ["RESOLVED", "RESOLVED"]
    assert len(broker.orders) == 2


async def test_block_the_broker_never_heard_of_is_sent_again_under_the_same_id(pit: Open, wall: Wall) -> None:
    broker = ScriptedBroker(at_last, deaf=1)
    one = await pit(broker, 1, 2)
    await one.go()
    wall.passed += timedelta(seconds=2)
    await one.work()
    wall.passed += timedelta(seconds=2)
    await one.work()
    assert [call.split()[0] for call in broker.calls] == ["place", "status", "place"]
    assert await one.lines() == ["SELL AAPL FILLED 2.4 of 2.4: 0.8 1.6"]


async def test_fills_beyond_a_block_are_not_shared_out(pit: Open) -> None:
    one = await pit(ScriptedBroker(lambda ticket: ["2.5 @ 150"]), 1, 2)
    await one.go()
    [block] = await one.blocks()
    assert block.status is OrderStatus.UNKNOWN
    assert block.message == "the broker reports 0.1 more than the 2.4 that were ordered"
    assert await one.lines() == ["SELL AAPL UNKNOWN 0 of 2.4: 0 0"]
    assert await one.books(1) == ["6 AAPL", "8 BND", "0 cash"]


async def test_fill_that_is_told_in_other_words_is_not_shared_out(pit: Open, wall: Wall) -> None:
    broker = ScriptedBroker(lambda ticket: ["1 @ 150"])
    one = await pit(broker, 1, 2)
    await one.go()
    [block] = await one.blocks()
    known = broker.orders[block.id]
    broker.orders[block.id] = BrokerOrder("b", OrderStatus.WORKING, ())
    broker.fill(block.id, "1 @ 149")
    wall.passed += timedelta(seconds=2)
    await one.work()
    [block] = await one.blocks()
    assert block.message == "its fills cannot be shared out: fill f1 was 1 @ 150, fee 0, and now is 1 @ 149, fee 0"
    broker.orders[block.id] = known
    wall.passed += timedelta(seconds=4)
    await one.work()
    assert await one.lines() == ["SELL AAPL WORKING 1 of 2.4: 0.3 0.6"]


async def test_who_leaves_a_block_that_is_unknown_waits_until_it_is_known(
    pit: Open, alice: Context, wall: Wall
) -> None:
    broker = ScriptedBroker(never, silent=1)
    one = await pit(broker, 1, 2)
    await one.go()
    await approving.cancel(alice, one.plans[0], "no more")
    await one.advance(1)
    await one.work()
    assert (await one.blocks())[0].status is OrderStatus.UNKNOWN
    wall.passed += timedelta(seconds=4)
    await one.work()
    await one.advance()
    assert await one.lines() == ["SELL AAPL CANCELLED 0 of 2.4: 0 0"]
    assert await one.orders() == ["1 CANCELLED 0 of 0.8", "2 WORKING 0 of 1.6"]


async def test_portfolio_that_is_halted_is_left_out_and_joins_the_next(pit: Open, alice: Context) -> None:
    one = await pit(ScriptedBroker(at_last), 1, 2)
    await one.advance()

    halted = (await plans.find(alice, one.plans[0])).portfolio_id
    await halts.halt(alice, halted, "too wild")
    one.wall.passed += WINDOW
    await one.work()  # before its plan has heard of it
    assert await one.lines() == ["SELL AAPL FILLED 1.6 of 1.6: 1.6"]
    await one.go()
    assert await one.orders() == ["1 CANCELLED 0 of 0.8", "2 FILLED 1.6 of 1.6"]
    await halts.resume(alice, halted)
    await one.go(2)
    assert await one.orders() == ["1 CANCELLED 0 of 0.8", "1 FILLED 0.8 of 0.8", "2 FILLED 1.6 of 1.6"]
    assert await one.states() == ["COMPLETED"] * 2


async def test_halt_for_all_holds_every_pool_and_cancels_what_works(services: Services, pit: Open) -> None:
    operator = await enter(services, "olga", OPERATOR)
    broker = ScriptedBroker(never)
    working, still = await pit(broker, 1, 2), await pit(broker, 3)
    await working.go()
    await still.advance()
    await halts.halt_all(operator, "the exchange is on fire")
    still.wall.passed += WINDOW
    await still.work()
    assert len(broker.orders) == 1
    await working.advance()
    await working.work()
    await working.advance()
    assert await working.lines() == ["SELL AAPL CANCELLED 0 of 2.4: 0 0"]
    assert await working.orders() == ["1 CANCELLED 0 of 0.8", "2 CANCELLED 0 of 1.6"]
    await halts.resume_all(operator)
    broker.fills = at_last
    for one in (working, still):
        await one.go(3)
        assert set(await one.states()) == {"COMPLETED"}


async def test_block_is_not_handed_in_once_an_order_of_it_is_halted(
    services: Services, pit: Open, alice: Context, wall: Wall
) -> None:
    """The worker is killed after it has put orders together; when the next one looks, one of them is halted."""
    broker = ScriptedBroker(at_last)
    one = await pit(broker, 1, 2)
    await one.advance()
    wall.passed += WINDOW
    fate = Fate(3)
    with pytest.raises(Killed):
        await one.work(mortal(services, fate))
    assert [block.status for block in await one.blocks()] == [OrderStatus.PLACING]

    await halts.halt(alice, (await plans.find(alice, one.plans[0])).portfolio_id, "too wild")
    wall.passed += LEASE
    await one.go(3)
    assert await one.lines() == [
        "SELL AAPL CANCELLED 0 of 2.4: 0 0",
        "SELL AAPL FILLED 1.6 of 1.6: 1.6",
        "BUY BND FILLED 4.8 of 4.8: 4.8",
    ]
    assert [call.split()[0] for call in broker.calls] == ["status", "place", "place"]


async def test_block_is_not_handed_in_when_trading_is_halted_after_it_was_made(
    services: Services, pit: Open, wall: Wall
) -> None:
    operator, broker = await enter(services, "olga", OPERATOR), ScriptedBroker(at_last)
    one = await pit(broker, 1, 2)
    await one.advance()
    wall.passed += WINDOW

    class Meddler:
        @asynccontextmanager
        async def owned(self, owner_id: int, *, reading: bool = False) -> AsyncIterator[Tx]:
            if reading:  # the first look at the books after a block was made is whether it may be sent
                await halts.halt_all(operator, "the exchange is on fire")
            async with services.store.owned(owner_id, reading=reading) as tx:
                yield tx

        shared = services.store.shared

    store: Any = Meddler()
    await one.work(replace(services, store=store))
    assert broker.calls == []
    assert await one.lines() == ["SELL AAPL CANCELLED 0 of 2.4: 0 0"]
    await halts.resume_all(operator)
    await one.go(2)
    assert await one.orders() == ["1 FILLED 0.8 of 0.8", "2 FILLED 1.6 of 1.6"]


@pytest.mark.parametrize("partial", [0, 100])
async def test_on_paper_orders_with_other_fees_are_apart_and_fees_are_shared_to_the_last_digit(
    services: Services, world: World, alice: Context, wall: Wall, partial: int
) -> None:
    """A fill in one go is shared at once; of several, the first one bears the fee, and its shares are whole steps."""
    certain = {"paper_latency_s": 0, "paper_partial_percent": Decimal(partial)}
    services = replace(services, settings=services.settings.model_copy(update=certain))
    nordic = Broker("Nordic", "USD", fees={AssetClass.STOCK: (Tier(fixed=Decimal(1)),)})
    async with services.store.shared() as tx:
        await fees.save_broker(tx, nordic, AS_OF)
    one = await Pit(services, world, alice, wall, None).open(1, 2, 3)
    await world.sql(
        "UPDATE accounts SET broker_id = (SELECT id FROM brokers) "
        "WHERE portfolio_id IN (SELECT portfolio_id FROM plans WHERE public_id = ANY ($1))",
        [ids.decode(ids.PLAN, plan_id) for plan_id in (one.plans[0], one.plans[2])],
    )
    await one.go()
    assert await one.lines() == ["SELL AAPL FILLED 3.2 of 3.2: 0.8 2.4", "SELL AAPL FILLED 1.6 of 1.6: 1.6"]
    assert [block.fees for block in await one.blocks()] == [Decimal(1), Decimal(0)]
    first, none, third = [(await one.order(number)).fees for number in (1, 2, 3)]
    assert (first + third, none) == (Decimal(1), Decimal(0))
    assert partial or (first, third) == (Decimal("0.25"), Decimal("0.75"))
    await one.go()
    assert len(await one.blocks()) == 4
    parts = "SELECT array_agg(DISTINCT n > 1) FROM (SELECT count(*) AS n FROM paper_fills GROUP BY client_id) f"
    assert await world.sql(parts) == [bool(partial)]
    await one.assert_conserved()


async def test_block_that_arrives_after_it_was_given_up_is_cancelled_there_and_its_fills_are_booked(
    pit: Open, alice: Context, wall: Wall
) -> None:
    """A worker falls asleep between taking a block and handing it in; meanwhile an order of it leaves."""
    broker = ScriptedBroker(lambda ticket: ["0.3 @ 150"])
    asleep, heard = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            heard.set()
            await asleep.wait()
            return await broker.place(ticket)

    one = await pit(Slow(never), 1, 2)
    await one.advance()
    wall.passed += WINDOW
    sleeper = asyncio.create_task(one.work())
    await heard.wait()
    for plan_id in one.plans:
        await approving.cancel(alice, plan_id, "no more")
    one.broker = broker
    await one.advance()
    wall.passed += LEASE
    await one.work()
    await one.advance()
    assert await one.lines() == ["SELL AAPL CANCELLED 0 of 2.4: 0 0"]
    assert await one.states() == ["CANCELLED"] * 2
    asleep.set()
    await sleeper
    wall.passed += timedelta(seconds=2)
    await one.work()
    assert [known.status for known in broker.orders.values()] == [OrderStatus.CANCELLED]
    assert await one.lines() == ["SELL AAPL CANCELLED 0.3 of 2.4: 0.1 0.2"]
    assert await one.books(1) == ["5.9 AAPL", "8 BND", "15 cash"]
    await one.assert_conserved()


async def test_answer_that_comes_when_the_lease_is_lost_counts_for_its_fills_alone(pit: Open, wall: Wall) -> None:
    broker = ScriptedBroker(never)
    asleep, heard = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            await broker.place(ticket)
            broker.fill(ticket.client_id, "0.3 @ 150")
            answer = broker.orders[ticket.client_id]
            heard.set()
            await asleep.wait()
            return BrokerOrder(answer.broker_order_id, OrderStatus.REJECTED, answer.fills, "a rumour")

    one = await pit(Slow(never), 1, 2)
    await one.advance()
    wall.passed += WINDOW
    sleeper = asyncio.create_task(one.work())
    await heard.wait()
    wall.passed += LEASE
    one.broker = broker
    await one.work()
    assert await one.lines() == ["SELL AAPL WORKING 0.3 of 2.4: 0.1 0.2"]
    broker.fill((await one.blocks())[0].id, "0.3 @ 150")
    asleep.set()
    await sleeper
    assert await one.lines() == ["SELL AAPL WORKING 0.3 of 2.4: 0.1 0.2"]


async def test_orders_whose_session_ends_while_they_wait_expire(services: Services, pit: Open) -> None:
    broker = ScriptedBroker(at_last)
    one = await pit(broker, 1, 2)
    await one.advance()
    await later(services, timedelta(hours=5))
    one.wall.passed += WINDOW
    await one.work()
    await one.advance()
    assert (await one.orders())[0] == "1 EXPIRED 0 of 0.8"
    assert broker.calls == []
    expired = (await all_orders(one, 1))[0]
    assert (expired.message, expired.cause) == ("the session ended before it was sent", CancelCause.UNSENT)


async def test_blocks_are_their_owners_alone(pit: Open, world: World, alice: Context) -> None:
    one = await pit(ScriptedBroker(at_last), 1, 2)
    await one.go(2)
    first, second = await one.blocks()
    sold = await one.order(1)
    async with world.reading() as tx:
        assert await stored.load_block(alice.owner_id, tx, first.id) == first
        assert [block.id for block in await stored.load_blocks(alice.owner_id, tx, 1)] == [second.id]
        assert await stored.load_blocks(alice.owner_id, tx, 9, before=second.id) == [first]
        assert await stored.load_blocks(alice.owner_id, tx, 9, bulk_id="bk_1") == []
        assert await stored.blocks_of_orders(alice.owner_id, tx, [sold.client_id, "no"]) == {sold.client_id: first}
        assert (sold.pool, first.gathered_in, first.pool) == (one.bulk_id, one.bulk_id, None)
    bob = await world.other()
    async with bob.reading() as tx:
        assert await stored.load_block(bob.owner_id, tx, first.id) is None
        assert await stored.load_blocks(bob.owner_id, tx, 9, bulk_id=one.bulk_id) == []
        assert await stored.blocks_of_orders(bob.owner_id, tx, [sold.client_id]) == {}
        assert await stored.load_shares(bob.owner_id, tx, [first.id]) == {}
    assert ids.decode(ids.BLOCK, first.id)
