"""Plans that are executed: with real books and a broker that does what the test says, through crashes and silence.

Everybody holds 6 AAPL at 150 and 8 BND at 50 and wants 60 and 40 percent: 0.8 AAPL are sold, 2.4 BND bought.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final

import pytest
from arq import Retry

from app.actions import approving, executing, halts, plans, portfolios
from app.actions.live import Hub
from app.actions.plans import StoredPlan
from app.brokers.protocol import BrokerUnavailable
from app.context import OPERATOR, Context, Services, new_uuid, wall_now
from app.core.errors import InvalidState
from app.core.money import ZERO, plain
from app.core.optimize.allocate import PlanScope
from app.core.order_values import BrokerKind, BrokerOrder, OrderStatus, Ticket
from app.core.plan import PlanRequest
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import AssetClass
from app.store import executions
from app.store.halts import load_trading_halt
from tests.builders import snapshot
from tests.store.world import World
from tests.support import enter, later, until
from tests.workers.broking import LEASE, Fate, Killed, ScriptedBroker, mortal
from tests.workers.conftest import forget, waiting
from workers import execute

LAST: Final = {"AAPL": "150", "BND": "50"}
TWAP: Final = Policy(styles={AssetClass.STOCK: OrderStyle.TWAP}, twap_horizon_s=600, twap_interval_s=300)


@dataclass
class Wall:
    """The wall clock, which can be moved."""

    passed: timedelta = timedelta()

    def now(self) -> datetime:
        return wall_now() + self.passed


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr(executing, "wall_now", made.now)
    return made


@pytest.fixture
async def alice(services: Services) -> Context:
    return await enter(services, "alice")


def at_last(ticket: Ticket) -> list[str]:
    """Fill all at once, at the last price."""
    return [f"{ticket.quantity} @ {LAST[ticket.asset.symbol]}"]


def never(ticket: Ticket) -> list[str]:
    return []


async def approved(world: World, alice: Context, policy: Policy | None = None) -> str:
    """Store a portfolio, propose, approve, and return the plan's id."""
    kept = await world.keep(
        snapshot("6 AAPL @ 150, 8 BND @ 50", {"AAPL": "60", "BND": "40"}, policy=policy), f"Test {new_uuid()}"
    )
    await world.sql("UPDATE accounts SET execution = 'PAPER'")
    request = PlanRequest(PlanScope.FULL, ZERO, ())
    settings = alice.settings.model_copy(update={"inline_lots": 500})
    context = replace(alice, settings=settings)
    plan = await plans.propose(context, kept.row.public_id, request, dry_run=False, wait_s=0, key=None)
    assert plan.plan
    assert [(one.trade.side.value, plain(one.trade.quantity)) for one in plan.plan.trades] == [
        ("SELL", "0.8"),
        ("BUY", "2.4"),
    ]
    done = await approving.approve(context, plan.id, expected=plan.version, exclude=[], key=plan.id)
    return done.id


async def advance(services: Services, alice: Context, plan_id: str, broker: ScriptedBroker) -> None:
    await executing.advance(services, alice.owner_id, plan_id, {BrokerKind.PAPER: broker})


async def found(alice: Context, plan_id: str) -> StoredPlan:
    return await plans.find(alice, plan_id)


async def states(alice: Context, plan_id: str) -> list[str]:
    """Write the plan's state, then its orders: `1.1 FILLED 0.8 of 0.8`."""
    plan = await found(alice, plan_id)
    return [
        plan.status.value,
        *(
            f"{one.leg}.{one.slice} {one.status.value} {plain(one.filled)} of {plain(one.quantity)}"
            for one in plan.orders
        ),
    ]


COMPLETED: Final = ["COMPLETED", "1.1 FILLED 0.8 of 0.8", "2.1 FILLED 2.4 of 2.4"]


async def books(world: World, plan_id: str) -> list[str]:
    """Write cash and holdings of the portfolio of a plan."""
    async with world.raw() as connection:
        rows = await connection.fetch(
            """
            SELECT trim_scale(sum(t.quantity))::text || ' ' || s.symbol AS line FROM plans l
            JOIN accounts a ON a.portfolio_id = l.portfolio_id JOIN tax_lots t ON t.account_id = a.id
            JOIN assets s ON s.id = t.asset_id WHERE l.id = (SELECT plan_id FROM orders WHERE client_id = $1)
            GROUP BY s.symbol ORDER BY s.symbol
            """,
            f"{plan_id}-1-1",
        )
        cash = await connection.fetchval(
            """
            SELECT trim_scale(coalesce(sum(c.amount), 0))::text FROM plans l
            JOIN accounts a ON a.portfolio_id = l.portfolio_id JOIN account_cash c ON c.account_id = a.id
            WHERE l.id = (SELECT plan_id FROM orders WHERE client_id = $1)
            """,
            f"{plan_id}-1-1",
        )
    return [*(row["line"] for row in rows), f"{cash} cash"]


async def booked(world: World) -> dict[str, Decimal]:
    """Return what is booked by client id, from the fills themselves."""
    async with world.raw() as connection:
        rows = await connection.fetch(
            """
            SELECT o.client_id, sum(f.quantity) AS units FROM fills f
            JOIN orders o USING (plan_id, leg, slice) GROUP BY o.client_id
            """
        )
    return {row["client_id"]: row["units"] for row in rows}


async def alerts(world: World) -> list[str]:
    async with world.raw() as connection:
        rows = await connection.fetch("SELECT kind, status FROM alerts WHERE kind = 'ORDER_UNKNOWN' ORDER BY id")
    return [f"{row['kind']} {row['status']}" for row in rows]


async def test_plan_is_sold_bought_and_booked(services: Services, world: World, alice: Context) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last)
    assert f"plan_execute:{plan_id}" in await waiting(services)
    await execute.plan_execute({"services": services, "brokers": {BrokerKind.PAPER: broker}}, alice.owner_id, plan_id)
    assert await states(alice, plan_id) == COMPLETED
    assert broker.calls == ["place 1-1", "place 2-1"]
    assert await books(world, plan_id) == ["5.2 AAPL", "10.4 BND", "0 cash"]
    kinds = await world.sql(
        "SELECT array_agg(kind ORDER BY sequence) FROM rebalance_history WHERE subject = $1", plan_id
    )
    assert kinds == ["PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING", "PLAN_COMPLETED"]


async def test_killed_between_any_two_steps_it_ends_with_one_order_each_and_every_fill_booked(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    """Each round kills the process one step later, until it lives to the end."""
    for at in count(1):
        plan_id, fate = await approved(world, alice), Fate(at)
        broker = ScriptedBroker(at_last, fate)
        killed = False
        try:
            await advance(mortal(services, fate), alice, plan_id, broker)
        except Killed:
            killed = True
        broker.fate = Fate()
        await advance(services, alice, plan_id, broker)  # somebody looks before the lease is over
        wall.passed += LEASE
        if (await states(alice, plan_id))[0] != "COMPLETED":
            assert await executing.scan_due(services) > 0  # it is found by what is stored alone
            await advance(services, alice, plan_id, broker)
        assert await states(alice, plan_id) == COMPLETED, at
        assert set(broker.orders) == {f"{plan_id}-1-1", f"{plan_id}-2-1"}
        told = await booked(world)
        assert {name: told[name] for name in broker.orders} == broker.filled()
        assert await books(world, plan_id) == ["5.2 AAPL", "10.4 BND", "0 cash"]
        if not killed:
            assert at == 23  # so many steps there were, and one more
            return


async def test_many_workers_at_once_send_each_order_once(services: Services, world: World, alice: Context) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last)
    await asyncio.gather(*(advance(services, alice, plan_id, broker) for _ in range(5)))
    assert await states(alice, plan_id) == COMPLETED
    assert broker.calls == ["place 1-1", "place 2-1"]


async def test_order_that_was_taken_in_without_an_answer_is_unknown_and_adopted_later(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last, silent=1)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 UNKNOWN 0 of 0.8", "2.1 PENDING 0 of 2.4"]
    assert (await found(alice, plan_id)).orders[0].message == "the broker gave no answer: no answer"
    assert await alerts(world) == ["ORDER_UNKNOWN OPEN"]
    await advance(services, alice, plan_id, broker)  # too early to ask again
    assert broker.calls == ["place 1-1"]
    wall.passed += timedelta(seconds=2)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == COMPLETED
    assert broker.calls == ["place 1-1", "status 1-1", "place 2-1"]
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]


async def test_order_the_broker_never_heard_of_is_sent_again_under_the_same_id(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last, deaf=2)
    await advance(services, alice, plan_id, broker)
    for seconds in (2, 4, 4):
        wall.passed += timedelta(seconds=seconds)
        await advance(services, alice, plan_id, broker)
    assert broker.calls == ["place 1-1", "status 1-1", "status 1-1", "place 1-1", "place 2-1"]
    assert await states(alice, plan_id) == COMPLETED
    assert await alerts(world) == ["ORDER_UNKNOWN RESOLVED"]


async def test_order_that_arrives_after_it_was_given_up_is_cancelled_there(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    """A worker falls asleep between taking an order and handing it in; meanwhile the plan is cancelled."""
    plan_id, broker = await approved(world, alice), ScriptedBroker(lambda ticket: ["0.1 @ 150"])
    asleep, heard = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            heard.set()
            await asleep.wait()
            return await broker.place(ticket)

        async def cancel(self, ticket: Ticket) -> None:
            await broker.cancel(ticket)

    sleeper = asyncio.create_task(advance(services, alice, plan_id, Slow(never)))
    await heard.wait()
    await approving.cancel(alice, plan_id, "no more")
    wall.passed += LEASE
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["CANCELLED", "1.1 CANCELLED 0 of 0.8", "2.1 CANCELLED 0 of 2.4"]
    asleep.set()
    await sleeper
    assert [known.status for known in broker.orders.values()] == [OrderStatus.CANCELLED]
    assert await books(world, plan_id) == ["5.9 AAPL", "8 BND", "15 cash"]  # what it filled is booked all the same


async def test_partial_fills_are_booked_as_they_come(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 WORKING 0 of 0.8", "2.1 PENDING 0 of 2.4"]
    broker.fill(f"{plan_id}-1-1", "0.3 @ 150")
    wall.passed += timedelta(seconds=2)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 WORKING 0.3 of 0.8", "2.1 PENDING 0 of 2.4"]
    assert await books(world, plan_id) == ["5.7 AAPL", "8 BND", "45 cash"]
    broker.fill(f"{plan_id}-1-1", "0.5 @ 150")
    broker.fills = at_last
    wall.passed += timedelta(seconds=2)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == COMPLETED


async def test_price_is_followed_by_cancelling_and_sending_only_the_rest(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)
    await advance(services, alice, plan_id, broker)
    broker.fill(f"{plan_id}-1-1", "0.3 @ 150")
    await world.price("AAPL", "140")
    await later(services, timedelta(seconds=900))
    wall.passed += timedelta(seconds=900)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == [
        "EXECUTING",
        "1.1 CANCELLED 0.3 of 0.8",
        "1.2 WORKING 0 of 0.5",
        "2.1 PENDING 0 of 2.4",
    ]
    assert plain(broker.tickets[f"{plan_id}-1-2"].limit or ZERO) == "139.86"
    assert broker.calls == ["place 1-1", "cancel 1-1", "status 1-1", "place 1-2"]


async def test_slices_come_due_by_the_domain_clock_and_live_in_the_database_alone(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice, TWAP), ScriptedBroker(at_last)
    await advance(services, alice, plan_id, broker)
    sold = [line for line in await states(alice, plan_id) if line.startswith("1.")]
    assert [line.split()[1] for line in sold] == ["FILLED", "PENDING", "PENDING"]
    for filled in (2, 3):
        assert await executing.scan_due(services) == 0
        await later(services, timedelta(seconds=300))
        assert await executing.scan_due(services) == 1
        await advance(services, alice, plan_id, broker)
        sold = [line for line in await states(alice, plan_id) if line.startswith("1.")]
        assert [line.split()[1] for line in sold].count("FILLED") == filled
    for _ in range(3):
        await later(services, timedelta(seconds=300))
        await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[0] == "COMPLETED"
    assert await books(world, plan_id) == ["5.2 AAPL", "10.4 BND", "0 cash"]


async def test_rejected_sale_leaves_the_plan_partial_and_says_why(
    services: Services, world: World, alice: Context
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last, reject="AAPL is halted at the exchange")
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["PARTIAL", "1.1 REJECTED 0 of 0.8", "2.1 CANCELLED 0 of 2.4"]
    first, second = (await found(alice, plan_id)).orders
    assert first.message == "AAPL is halted at the exchange"
    assert second.message == "there is no cash left to buy it with"
    assert broker.calls == ["place 1-1"]


async def test_fills_beyond_an_order_are_not_booked_but_alerted(
    services: Services, world: World, alice: Context
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(lambda ticket: ["0.9 @ 150"])
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 UNKNOWN 0 of 0.8", "2.1 PENDING 0 of 2.4"]
    message = (await found(alice, plan_id)).orders[0].message
    assert message == "the broker reports 0.1 more than the 0.8 that were ordered"
    assert await alerts(world) == ["ORDER_UNKNOWN OPEN"]
    assert await books(world, plan_id) == ["6 AAPL", "8 BND", "0 cash"]


async def test_cancelled_while_it_is_executed_it_ends_once_its_orders_have(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)
    await advance(services, alice, plan_id, broker)
    broker.fill(f"{plan_id}-1-1", "0.3 @ 150")
    await approving.cancel(alice, plan_id, "changed my mind")
    assert await executing.scan_due(services) == 1
    broker.deaf = 1
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 CANCELLING 0 of 0.8", "2.1 CANCELLED 0 of 2.4"]
    wall.passed += timedelta(seconds=2)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["PARTIAL", "1.1 CANCELLED 0.3 of 0.8", "2.1 CANCELLED 0 of 2.4"]
    assert await books(world, plan_id) == ["5.7 AAPL", "8 BND", "45 cash"]
    assert await executing.scan_due(services) == 0


async def test_halt_of_a_portfolio_cancels_and_its_end_sends_the_rest(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)
    await advance(services, alice, plan_id, broker)
    broker.fill(f"{plan_id}-1-1", "0.3 @ 150")
    portfolio_id = (await found(alice, plan_id)).portfolio_id
    for _ in range(2):
        assert (await halts.halt(alice, portfolio_id, "too wild")).row.halted_at
        await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == ["EXECUTING", "1.1 CANCELLED 0.3 of 0.8", "2.1 PENDING 0 of 2.4"]
    assert (await found(alice, plan_id)).orders[1].message == "waits: trading is halted"
    broker.fills = at_last
    assert (await halts.resume(alice, portfolio_id)).row.halted_at is None
    assert await waiting(services)
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == [
        "COMPLETED",
        "1.1 CANCELLED 0.3 of 0.8",
        "1.2 FILLED 0.5 of 0.5",
        "2.1 FILLED 2.4 of 2.4",
    ]
    kinds = await world.sql(
        "SELECT array_agg(kind ORDER BY sequence) FROM rebalance_history WHERE subject = $1", portfolio_id
    )
    assert [kind for kind in kinds if kind.endswith(("HALTED", "RESUMED"))] == ["PORTFOLIO_HALTED", "PORTFOLIO_RESUMED"]


async def test_halt_for_all_holds_everybody_and_only_operators_have_it(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last)
    operator = await enter(services, "olga", OPERATOR)
    halted = await halts.halt_all(operator, "the exchange is on fire")
    assert (halted.halted_by, halted.reason) == ("olga", "the exchange is on fire")
    assert await halts.halt_all(operator, "again") == halted
    await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id), broker.calls) == (["APPROVED"], [])
    await halts.resume_all(operator)
    async with services.store.shared() as tx:
        assert (await load_trading_halt(tx)).halted_at is None
    assert await executing.scan_due(services) == 1
    await advance(services, alice, plan_id, broker)
    assert await states(alice, plan_id) == COMPLETED


async def test_order_is_asked_for_where_no_broker_of_its_kind_is_set_up(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await approved(world, alice)
    await executing.advance(services, alice.owner_id, plan_id, {})
    assert (await states(alice, plan_id))[1] == "1.1 UNKNOWN 0 of 0.8"
    assert (await found(alice, plan_id)).orders[0].message == "no broker of the kind PAPER is set up here"


async def test_adapter_that_breaks_leaves_an_order_unknown(services: Services, world: World, alice: Context) -> None:
    def broken(ticket: Ticket) -> list[str]:
        raise ZeroDivisionError

    plan_id = await approved(world, alice)
    await advance(services, alice, plan_id, ScriptedBroker(broken))
    assert (await states(alice, plan_id))[1] == "1.1 UNKNOWN 0 of 0.8"


async def test_plan_that_cannot_be_worked_is_tried_again_ever_more_rarely(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await approved(world, alice)
    await world.sql("UPDATE plans SET before = '{}'")
    waits = []
    for tried in range(1, 6):
        job = {"services": services, "brokers": {}, "job_try": tried}
        with pytest.raises(Retry) as put_off:
            await execute.plan_execute(job, alice.owner_id, plan_id)
        waits.append(put_off.value.defer_score)
    assert waits == [4_000, 16_000, 64_000, 256_000, 300_000]


async def test_broker_that_answers_questions_and_takes_no_orders_is_handed_them_ever_more_rarely(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    class Shut(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            self.calls.append(f"place after {wall.passed.seconds}")
            raise BrokerUnavailable("too many requests")

    plan_id, broker = await approved(world, alice), Shut(at_last)
    for _ in range(60):
        await advance(services, alice, plan_id, broker)
        wall.passed += timedelta(seconds=1)
    placed = [call for call in broker.calls if call.startswith("place")]
    assert placed == [f"place after {seconds}" for seconds in (0, 4, 12, 28)]
    async with services.store.shared() as tx:  # while it waits, nobody is asked to look
        assert await executions.scan_due(tx, alice.now, wall.now() - timedelta(seconds=1), 10) == []


async def test_halt_holds_back_what_was_decided_before_it_and_not_sent_yet(
    services: Services, world: World, alice: Context
) -> None:
    """Two sales are decided in one go; as the first is handed in, the portfolio is halted."""
    wanted = {"AAPL": "50", "BND": "20", "CASH": "30"}
    kept = await world.keep(snapshot("6 AAPL @ 150, 8 BND @ 50", wanted))
    await world.sql("UPDATE accounts SET execution = 'PAPER'")
    request = PlanRequest(PlanScope.FULL, ZERO, ())
    context = replace(alice, settings=alice.settings.model_copy(update={"inline_lots": 500}))
    plan = await plans.propose(context, kept.row.public_id, request, dry_run=False, wait_s=0, key=None)
    await approving.approve(alice, plan.id, expected=plan.version, exclude=[], key=plan.id)

    class Halted(ScriptedBroker):
        async def place(self, ticket: Ticket) -> BrokerOrder:
            await halts.halt(alice, kept.row.public_id, "stop")
            return await super().place(ticket)

    broker = Halted(never)
    await advance(services, alice, plan.id, broker)
    assert broker.calls == ["place 1-1", "cancel 1-1", "status 1-1"]
    orders = (await found(alice, plan.id)).orders
    assert [(one.status, one.message) for one in orders] == [
        (OrderStatus.CANCELLED, ""),
        (OrderStatus.PENDING, "waits: trading is halted"),
    ]


async def test_account_is_not_changed_under_a_plan_that_is_executed(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await approved(world, alice)
    account = (await found(alice, plan_id)).plan
    assert account
    account_id = account.trades[0].trade.account_id
    with pytest.raises(InvalidState) as refused:
        await portfolios.update_account(alice, account_id, broker=None, execution=BrokerKind.MANUAL, expected=None)
    assert refused.value.message == f"plan {plan_id} is APPROVED; wait until it has ended, or cancel it"


async def test_cancelled_plan_that_waits_for_a_person_is_not_looked_at_every_second(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)

    async def stubborn(ticket: Ticket) -> None:
        return None

    broker.cancel = stubborn  # type: ignore[method-assign]
    await advance(services, alice, plan_id, broker)
    await approving.cancel(alice, plan_id, "no more")
    await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[1] == "1.1 CANCELLING 0 of 0.8"
    async with services.store.shared() as tx:
        assert await executions.scan_due(tx, alice.now, wall.now() - timedelta(seconds=1), 10) == []


async def test_somebody_elses_plan_is_not_executed(services: Services, world: World, alice: Context) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(at_last)
    eve = await enter(services, "eve")
    await advance(services, eve, plan_id, broker)
    assert (await states(alice, plan_id), broker.calls) == (["APPROVED"], [])


async def test_plan_is_followed_order_by_order_until_it_is_over(
    services: Services, world: World, alice: Context, wall: Wall
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(never)
    hub = Hub(services)
    watching = asyncio.create_task(hub.run())
    seen: list[str] = []

    async def follow() -> None:
        async for plan in plans.stream(alice, hub, plan_id):
            seen.append(" ".join([plan.status.value, *(f"{one.status.value} {one.filled}" for one in plan.orders)]))

    following = asyncio.create_task(follow())
    await until_seen(seen, "APPROVED")
    await advance(services, alice, plan_id, broker)
    await until_seen(seen, "EXECUTING WORKING 0 PENDING 0")
    broker.fill(f"{plan_id}-1-1", "0.8 @ 150")
    broker.fills = at_last
    wall.passed += timedelta(seconds=2)
    await advance(services, alice, plan_id, broker)
    await asyncio.wait_for(following, 10)
    assert seen[-1] == "COMPLETED FILLED 0.8 FILLED 2.4"
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def until_seen(seen: list[str], line: str) -> None:
    async def there() -> bool:
        return line in seen

    await until(there)


async def test_waker_asks_for_what_is_due_though_the_queue_was_lost(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await approved(world, alice)
    await forget(services)
    waking = asyncio.create_task(execute.wake_forever(services))

    async def asked() -> bool:
        return await waiting(services) == [f"plan_execute:{plan_id}"]

    await until(asked)
    waking.cancel()
    await asyncio.gather(waking, return_exceptions=True)


@pytest.mark.parametrize("turn", range(4))
async def test_cancelled_and_halted_while_many_work_it_the_books_equal_the_broker(
    services: Services, world: World, alice: Context, wall: Wall, turn: int
) -> None:
    plan_id, broker = await approved(world, alice), ScriptedBroker(lambda ticket: ["0.1 @ 150"])
    portfolio_id = (await found(alice, plan_id)).portfolio_id

    async def after(turns: int, act: Coroutine[Any, Any, object]) -> None:
        await asyncio.sleep(0.02 * turns)
        with suppress(InvalidState):
            await act

    await asyncio.gather(
        *(advance(services, alice, plan_id, broker) for _ in range(3)),
        after(turn, halts.halt(alice, portfolio_id, "")),
        after(turn + 1, halts.resume(alice, portfolio_id)),
        after(2 * turn, approving.cancel(alice, plan_id, "")),
    )
    for _ in range(3):
        wall.passed += LEASE
        await advance(services, alice, plan_id, broker)
    assert (await states(alice, plan_id))[0] in ("CANCELLED", "PARTIAL")
    assert await booked(world) == broker.filled()
    assert all(known.status is OrderStatus.CANCELLED for known in broker.orders.values())
