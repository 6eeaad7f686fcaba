"""Plans that are executed: core decides what to do, it is stored, brokers are told, what they answer is booked.

Each decision is made, and stored, under the portfolio's lock, before any broker hears of it; no broker is called within
a transaction. An order is handed in by who took it from PENDING to PLACING. If nobody lives to record the answer, the
order is asked for once its lease is over, and handed in again only where its broker certainly never got it, under the
same client id. So it may run anywhere, any number of times at once, and be killed anywhere.
"""

from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from app.actions.access import domain_now
from app.actions.calling import CALL_S, Answer, Brokers, after, call
from app.actions.outcomes import work_out
from app.bus.jobs import PLAN_EXECUTE
from app.context import Services, new_uuid, wall_now
from app.core import sessions
from app.core.answering import as_filled, excess_of, filled_by
from app.core.brokers import costs_of
from app.core.desk import Act, Decision, Desk, Step, fees_only, is_open
from app.core.errors import StaleData, SteelyardError
from app.core.money import ZERO
from app.core.order_values import ENDED, BrokerOrder, CancelCause, Order
from app.core.plan_values import PlanStatus
from app.core.portfolio import Price, Rates
from app.core.settling import difference, is_news
from app.core.working import decide, first_orders
from app.store import executions, order_alerts, orders
from app.store.booking import book_fills, load_booked
from app.store.db import StoreUnavailable, Tx
from app.store.executions import Executing, Means
from app.store.neighbours import with_locks

ACTOR: Final = "worker"
RUN_S: Final = 60.0
"""A job goes on for so long, far less than it may; the waker asks for another when there is more."""
SWEEP_MAX: Final = 1000

log = structlog.get_logger(__name__)


async def advance(services: Services, owner_id: int, plan_id: str, brokers: Brokers) -> None:
    """Work a plan's orders until nothing can be done at once; the waker asks again when something can."""
    ends = monotonic() + RUN_S
    while monotonic() < ends:
        steps = await _decide(services, owner_id, plan_id)
        if steps is None:
            return
        await services.bus.nudge("plan", [owner_id])
        for step in steps:
            await _carry_out(services, owner_id, plan_id, step, brokers)


async def scan_due(services: Services) -> int:
    """Ask for the plans that are to be decided about; the database is the truth."""
    now = await domain_now(services)
    async with services.store.shared() as tx:
        due = await executions.scan_due(tx, now, wall_now(), SWEEP_MAX)
    for owner_id, plan_id in due:
        await enqueue(services, owner_id, plan_id)
    return len(due)


async def enqueue(services: Services, owner_id: int, plan_id: str) -> None:
    """Ask for a plan to be worked on. While that waits, every other is the same."""
    await services.bus.enqueue(PLAN_EXECUTE, owner_id, plan_id, unique=plan_id)


async def _decide(services: Services, owner_id: int, plan_id: str) -> list[Step] | None:
    """Decide and store what was decided; return what brokers are to be told, None when there is nothing to do."""
    now = await domain_now(services)
    async with services.store.owned(owner_id) as tx:
        plan = await executions.lock_execution(owner_id, tx, plan_id)
        if plan is None:
            return None
        desk = _desk(plan, await executions.load_means(owner_id, tx, plan), now)
        if plan.status is PlanStatus.APPROVED and not desk.stop:
            begun = first_orders(desk)
            await executions.begin_execution(owner_id, tx, plan, begun, actor=ACTOR, now=now, new_uuid=new_uuid)
            return []
        decision = decide(desk)
        if decision.ending:
            outcome = await work_out(owner_id, tx, plan_id, plan.orders, now)
            await executions.end_execution(owner_id, tx, plan, decision.ending, outcome, actor=ACTOR, now=now)
            return []
        return await _store(owner_id, tx, plan, decision, now)


async def _store(owner_id: int, tx: Tx, plan: Executing, decision: Decision, now: datetime) -> list[Step] | None:
    changed = [step.order for step in decision.steps]
    if not changed and not decision.new:
        await executions.save_wake(owner_id, tx, plan, decision.wake_at)
        return None
    await orders.save_orders(owner_id, tx, changed)
    changed += await orders.insert_orders(owner_id, tx, plan.id, decision.new, new_uuid)
    # Should this process end here, the next one looks at once.
    await executions.save_wake(owner_id, tx, plan, now)
    await executions.tell_orders(owner_id, tx, plan, changed, now)
    return [step for step in decision.steps if step.act is not Act.KEEP]


def _desk(plan: Executing, means: Means, now: datetime) -> Desk:
    """Return what there is to decide about; a price is stale by the policy's age for its class."""
    base, ages = plan.portfolio.base_currency, plan.portfolio.policy.max_price_age_s
    rates = Rates(means.market, base)
    prices, stale, fees = {}, set(), {}
    for leg in plan.legs:
        asset, known = leg.asset, means.market.prices.get(leg.asset.id)
        prices[asset.id] = known or Price(leg.price, now)
        if not known or now - known.priced_at > timedelta(seconds=ages[asset.asset_class]):
            stale.add(asset.id)
        try:
            costs = costs_of(rates, means.accounts[leg.account_id], asset)
        except StaleData:  # the broker's currency has no rate
            costs = asset.costs
            stale.add(asset.id)
        fees[leg.account_id, asset.id] = fees_only(costs)
    return Desk(
        plan_id=plan.public_id,
        policy=plan.portfolio.policy,
        legs=plan.legs,
        orders=plan.orders,
        cash={key: account.cash.get(base, ZERO) for key, account in means.accounts.items()},
        held=means.held,
        prices=prices,
        fees=fees,
        opens=sessions.next_open,
        now=now,
        wall=wall_now(),
        floor=plan.floor,
        stale=frozenset(stale),
        stop=plan.stop,
    )


async def _carry_out(services: Services, owner_id: int, plan_id: str, step: Step, brokers: Brokers) -> None:
    """Tell or ask a broker and record the answer. A lease that is nearly over is let be: another may have it by now.

    What was decided before a halt and is not sent yet waits again: whoever holds the lease knows that nobody got it.
    """
    order = step.order
    assert order.ask_at
    held_back = step.act is Act.PLACE and await _is_stopped(services, owner_id, plan_id)
    if wall_now() + timedelta(seconds=CALL_S) > order.ask_at:
        return
    answer = None if held_back else await call(step.act, step.order, brokers)
    try:
        lost = await _record(services, owner_id, plan_id, step, answer)
    except StoreUnavailable:
        raise
    except SteelyardError as error:
        log.error("fills_not_booked", order=order.client_id, reason=error.message)
        lost = await _record(services, owner_id, plan_id, step, f"its fills cannot be booked: {error.message}")
    if lost:
        log.error("order_after_its_end", order=order.client_id)
        ending = Step(Act.CANCEL, order)
        await _record(services, owner_id, plan_id, ending, await call(ending.act, order, brokers))
    await services.bus.nudge("plan", [owner_id])


async def book_late(services: Services, owner_id: int, order: Order, brokers: Brokers) -> bool:
    """Book what an order got after it had ended, as its broker says now; False where that does not say it clearly.

    If it is more than the order was for, nothing is booked, and an alert says so.
    """
    step = Step(Act.ASK, order)
    answer = await call(step.act, order, brokers)
    if not isinstance(answer, BrokerOrder):
        return False
    await _record(services, owner_id, order.plan_id, step, answer)
    if excess_of(order, answer):
        await _tell_excess(services, owner_id, order, answer)
    return True


async def _tell_excess(services: Services, owner_id: int, order: Order, answer: BrokerOrder) -> None:
    now = await domain_now(services)
    async with services.store.owned(owner_id) as tx:
        await executions.lock_portfolio_of(owner_id, tx, order.plan_id)
        order = await orders.load_order(owner_id, tx, order)
        await order_alerts.tell_late(owner_id, tx, order, difference(order, answer), now=now, new_uuid=new_uuid)


async def _is_stopped(services: Services, owner_id: int, plan_id: str) -> bool:
    async with services.store.owned(owner_id, reading=True) as tx:
        return await executions.is_stopped(owner_id, tx, plan_id)


async def _record(services: Services, owner_id: int, plan_id: str, step: Step, answer: Answer) -> bool:
    """Book the fills of an answer and store the order as it is now; True when it works though it should not.

    The answer counts only for who still has the order's lease, as a newer one may be recorded already; fills always do.
    """
    now = await domain_now(services)

    async def record(tx: Tx, locked: frozenset[int]) -> bool:
        return await _record_in(owner_id, tx, plan_id, step, answer, now, locked)

    return await with_locks(services.store, owner_id, record)


async def _record_in(
    owner_id: int,
    tx: Tx,
    plan_id: str,
    step: Step,
    answer: Answer,
    now: datetime,
    locked: frozenset[int],
) -> bool:
    plan = await executions.lock_execution(owner_id, tx, plan_id)
    if plan is None:  # it is over; a fill that comes late is booked all the same
        await executions.lock_portfolio_of(owner_id, tx, plan_id)
    order = await orders.load_order(owner_id, tx, step.order)
    if order.cause is CancelCause.SETTLED:
        return isinstance(answer, BrokerOrder) and await _hear_late(owner_id, tx, order, answer, now, locked)
    if isinstance(answer, BrokerOrder) and not excess_of(order, answer):
        order = await _book(owner_id, tx, order, answer, now, locked)
    if plan is None or order.ask_at != step.order.ask_at or not is_open(order):
        return _is_stray(step, order, answer)
    newer = after(order, answer, now, wall_now())
    await orders.save_orders(owner_id, tx, [newer])
    await order_alerts.settle_unknown(owner_id, tx, plan.portfolio.id, order, newer, now=now, new_uuid=new_uuid)
    if newer.status is not order.status or newer.message != order.message or _has_fills(order, answer):
        await executions.save_wake(owner_id, tx, plan, now)
        await executions.tell_orders(owner_id, tx, plan, [newer], now)
    return False


async def _book(
    owner_id: int, tx: Tx, order: Order, answer: BrokerOrder, now: datetime, locked: frozenset[int]
) -> Order:
    """Book the fills of an answer, and return the order for the units that its broker has it for."""
    if (units := filled_by(answer)) > order.quantity:
        order = as_filled(order, units)
        await orders.save_orders(owner_id, tx, [order])
    await book_fills(owner_id, tx, order, answer.fills, actor=ACTOR, now=now, new_uuid=new_uuid, locked=locked)
    return order


def _is_stray(step: Step, order: Order, answer: Answer) -> bool:
    """Say whether an order got to its broker after it was given up: its sender had slept through its lease."""
    works = isinstance(answer, BrokerOrder) and answer.status not in ENDED
    return step.act is Act.PLACE and works and order.status in ENDED and order.broker_order_id is None


def _has_fills(order: Order, answer: Answer) -> bool:
    return isinstance(answer, BrokerOrder) and filled_by(answer) != order.filled


async def _hear_late(
    owner_id: int, tx: Tx, order: Order, answer: BrokerOrder, now: datetime, locked: frozenset[int]
) -> bool:
    """Take in what a broker says of an order that a person has settled; True when it works though it should not.

    What is certainly not booked is booked. While its word differs from what is booked, an alert says so.
    """
    booked = await load_booked(owner_id, tx, order)
    if not excess_of(order, answer) and is_news(booked, answer.fills):
        await _book(owner_id, tx, order, answer, now, locked)
        order = await orders.load_order(owner_id, tx, order)
    said = difference(order, answer)
    if said:
        log.error("order_settled_otherwise", order=order.client_id, reason=said)
    await order_alerts.tell_late(owner_id, tx, order, said, now=now, new_uuid=new_uuid)
    return answer.status not in ENDED
