"""Plans are approved, rejected, cancelled, and expire. What is approved is executed by a worker, once."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.actions import making, once, plans, portfolios
from app.actions.access import domain_now
from app.bus.jobs import PLAN_EXECUTE
from app.context import Context, Services
from app.core import approving as core
from app.core.alert_words import instant
from app.core.approving import Rest
from app.core.errors import Duplicate, InvalidInput, InvalidState, NotFound
from app.core.past import Past
from app.core.plan import PlanStatus
from app.store import approvals
from app.store.approvals import Locked
from app.store.db import Tx
from app.store.plan_reading import StoredPlan, load_plan
from app.store.portfolios import check_version
from app.store.reading import Loaded

EXPIRE_MAX: Final = 100
"""So many plans expire in one transaction: those that write events stay short."""
LOOK_MAX: Final = 5_000
"""So many READY plans are looked at in one statement, for some tenth of a second."""


class _Expired(Exception):
    """The plan is no longer good, and why; what was begun is undone, and it expires by itself."""


@dataclass(frozen=True, slots=True)
class Within:
    """The bulk that a plan is approved in: what the history says of it, the row of the pool that orders go through.

    `beside` writes in the transaction that approves.
    """

    told: Mapping[str, object]
    pool: int | None
    beside: Callable[[Tx], Awaitable[None]]


async def approve(
    context: Context,
    plan_id: str,
    *,
    expected: int,
    exclude: Sequence[str],
    key: str,
    bulk: Within | None = None,
) -> StoredPlan:
    """Approve a READY plan at the version that was looked at, without some of its trades; it is executed at once.

    Whatever is repeated with the same key is answered as the first time and executes nothing twice. Where its time is
    over or a price has moved beyond the policy's limit, the plan expires, and that is InvalidState.
    """
    try:
        await _approve(context, plan_id, expected, exclude, key, bulk)
    except _Expired as why:
        await _expire(context, plan_id, expected, str(why))
        raise InvalidState(f"{why} Propose anew.", PlanStatus.EXPIRED.value, ["planId"]) from None
    await _have_executed(context, plan_id)
    return await plans.find(context, plan_id)


async def _approve(
    context: Context, plan_id: str, expected: int, exclude: Sequence[str], key: str, bulk: Within | None
) -> None:
    """Look again at what is approved, then approve it in one transaction.

    Whoever computes holds neither the portfolio nor a connection. A plan that is READY at the same version when it is
    locked rests on the same holdings, targets and policy: whatever changes these supersedes it.
    """
    asked = (key, "planApprove", (plan_id, expected, tuple(sorted(exclude))))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        if await once.find(context, tx, *asked):
            return
        stored = await load_plan(context.owner_id, tx, plan_id)
        if stored is None:
            raise NotFound("plan", plan_id, ["planId"])
        _check_state(stored.status, PlanStatus.READY, "approved")
        check_version("plan", expected, stored.version)
        loaded, told = await making.load(context.owner_id, tx, stored.portfolio_id, context.now)
    portfolios.check_writable(loaded.row.status, "planId")
    core.check_eyes(loaded.row.policy, stored.requested_by, context.actor)
    left_out = _left_out(stored, exclude)
    rest = await _rest(context, loaded, told, stored, left_out)
    async with context.store.owned(context.owner_id) as tx:
        if await once.begin(context, tx, *asked, stored.portfolio_id):
            return
        locked = await _lock(context, tx, plan_id)
        _check_state(locked.status, PlanStatus.READY, "approved")
        check_version("plan", expected, locked.version)
        if locked.halted:
            raise InvalidState(f"{locked.halted}; nothing is approved meanwhile", locked.status.value, ["planId"])
        await _write(context, tx, locked, stored, left_out, rest, bulk)
        if bulk:
            await bulk.beside(tx)
        await once.finish(context, tx, key, plan_id)


async def _lock(context: Context, tx: Tx, plan_id: str) -> Locked:
    locked = await approvals.lock_plan(context.owner_id, tx, plan_id)
    if locked is None:
        raise NotFound("plan", plan_id, ["planId"])
    return locked


def _check_state(status: PlanStatus, wanted: PlanStatus, verb: str) -> None:
    if status is not wanted:
        message = f"the plan is {status.value}; only one that is {wanted.value} can be {verb}"
        raise InvalidState(message, status.value, ["planId"])


def _left_out(stored: StoredPlan, exclude: Sequence[str]) -> dict[int, str]:
    """Return the trades to leave out by their places in the plan, not all of them."""
    places = {trade_id: place for place, trade_id in enumerate(stored.trade_ids)}
    found: dict[int, str] = {}
    for number, trade_id in enumerate(exclude):
        path = ("excludeTradeIds", number)
        if trade_id not in places:
            raise NotFound("trade", trade_id, path)
        if places[trade_id] in found:
            raise Duplicate(f"trade {trade_id} is given twice", path)
        found[places[trade_id]] = trade_id
    if len(found) == len(places):
        raise InvalidInput(f"all {len(places)} trades are left out; reject the plan instead", ["excludeTradeIds"])
    return dict(sorted(found.items()))


async def _rest(context: Context, loaded: Loaded, told: Past, stored: StoredPlan, left_out: Collection[int]) -> Rest:
    """Look again at what is approved, at the prices and the holdings of now, and count it."""
    assert stored.plan
    assert stored.expires_at
    if stored.expires_at <= context.now:
        raise _Expired(f"The plan has expired: it could be approved until {instant(stored.expires_at)}.")
    kept = [one.trade for place, one in enumerate(stored.plan.trades) if place not in left_out]
    core.check_fresh(loaded.snapshot, kept)
    if why := core.moved(loaded.snapshot, kept):
        raise _Expired(why)
    rest: Rest = await context.run(core.rest_of, loaded.snapshot, told, stored.plan, frozenset(left_out))
    return rest


async def _write(
    context: Context,
    tx: Tx,
    locked: Locked,
    stored: StoredPlan,
    left_out: dict[int, str],
    rest: Rest,
    bulk: Within | None,
) -> None:
    assert stored.plan
    summary = rest.summary if left_out else stored.plan.summary
    trades = len(stored.plan.trades)
    await approvals.approve_plan(
        *(context.owner_id, tx, locked, list(left_out.values()), rest if left_out else None),
        pool=bulk.pool if bulk else None,
        actor=context.actor,
        now=context.now,
        before={"trades": trades, "summary": stored.plan.summary},
        after={"trades": trades - len(left_out), "summary": summary, **({"bulk": bulk.told} if bulk else {})},
    )


async def _expire(context: Context, plan_id: str, expected: int, why: str) -> None:
    """Expire a plan that was found to be no longer good, unless somebody has been at it since."""
    async with context.store.owned(context.owner_id) as tx:
        locked = await approvals.lock_plan(context.owner_id, tx, plan_id)
        if locked and (locked.status, locked.version) == (PlanStatus.READY, expected):
            await approvals.expire_plan(context.owner_id, tx, locked, why, actor=context.actor, now=context.now)
    await context.bus.nudge("plan", [context.owner_id])


async def _have_executed(context: Context, plan_id: str) -> None:
    await context.bus.enqueue(PLAN_EXECUTE, context.owner_id, plan_id, unique=plan_id)
    await context.bus.nudge("plan", [context.owner_id])


async def reject(context: Context, plan_id: str, reason: str, expected: int | None) -> StoredPlan:
    """Reject a READY plan. Rejected twice is rejected."""
    async with context.store.owned(context.owner_id) as tx:
        locked = await _lock(context, tx, plan_id)
        if locked.status is not PlanStatus.REJECTED:
            _check_state(locked.status, PlanStatus.READY, "rejected")
            check_version("plan", expected, locked.version)
            await approvals.reject_plan(context.owner_id, tx, locked, reason, actor=context.actor, now=context.now)
    await context.bus.nudge("plan", [context.owner_id])
    return await plans.find(context, plan_id)


async def cancel(context: Context, plan_id: str, reason: str) -> StoredPlan:
    """Cancel a plan that waits, is being made, approved or executed. Cancelled twice is cancelled.

    Whoever makes or executes it is told to stop; one that is being executed is EXECUTING until its open orders are
    confirmed as cancelled. What is filled stays filled.
    """
    async with context.store.owned(context.owner_id) as tx:
        locked = await _lock(context, tx, plan_id)
        if locked.status is PlanStatus.EXECUTING:
            if not locked.cancel_asked:
                await approvals.ask_to_cancel(
                    context.owner_id, tx, locked, reason, actor=context.actor, now=context.now
                )
        elif locked.status is not PlanStatus.CANCELLED:
            _check_cancellable(locked)
            await approvals.cancel_plan(context.owner_id, tx, locked, reason, actor=context.actor, now=context.now)
    if locked.status is PlanStatus.EXECUTING:
        await _have_executed(context, plan_id)
    else:
        await context.bus.nudge("plan", [context.owner_id])
    return await plans.find(context, plan_id)


def _check_cancellable(locked: Locked) -> None:
    if locked.status in approvals.CANCELLABLE:
        return
    instead = "; reject it instead" if locked.status is PlanStatus.READY else ""
    message = f"the plan is {locked.status.value}; it could be cancelled while QUEUED, COMPUTING, APPROVED or EXECUTING"
    raise InvalidState(f"{message}{instead}", locked.status.value, ["planId"])


async def scan_expire(services: Services) -> None:
    """Expire plans whose time is over, or a price of which has moved beyond what the policy allows.

    All that are READY are looked at, so many in one statement, whatever else there was in the past.
    """
    now, after = await domain_now(services), 0
    while True:
        async with services.store.shared() as tx:
            due, last = await approvals.scan_due_to_expire(tx, now, after, LOOK_MAX)
        for begin in range(0, len(due), EXPIRE_MAX):
            async with services.store.shared() as tx:
                owners = await approvals.scan_expire_plans(tx, now, due[begin : begin + EXPIRE_MAX])
            await services.bus.nudge("plan", set(owners))
        if last is None:
            return
        after = last
