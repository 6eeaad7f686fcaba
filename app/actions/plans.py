"""Plans: proposed at once when small, else by a worker; found and listed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Final

from app.actions import making, once, portfolios
from app.actions.live import Hub, follow
from app.actions.pages import Page, id_of, key_of, page_of
from app.actions.portfolios import Loaded
from app.bus.jobs import PLAN_COMPUTE
from app.context import Context, new_uuid
from app.core import ids
from app.core.drift import Snapshot
from app.core.errors import InvalidInput, LimitExceeded, NotFound, SolverFailed, SolverMissing
from app.core.past import Past
from app.core.plan import ENGINE, PlanRequest, PlanStatus, check_named
from app.store import plans, reading
from app.store import portfolios as portfolio_rows
from app.store.db import Tx
from app.store.events import current_cursor
from app.store.plan_reading import StoredPlan as StoredPlan
from app.store.plan_reading import load_plan, load_plans
from app.store.plans import Made
from app.store.plans import Progress as Progress

WAIT_MAX_S: Final = 30
POLL_S: Final = 0.1
PENDING: Final = (PlanStatus.QUEUED, PlanStatus.COMPUTING)
LIVE: Final = (*PENDING, PlanStatus.READY, PlanStatus.APPROVED, PlanStatus.EXECUTING)


async def propose(
    context: Context,
    portfolio_id: str,
    request: PlanRequest,
    *,
    dry_run: bool,
    wait_s: int,
    key: str | None,
) -> StoredPlan:
    """Propose a plan. Up to `inline_lots` lots it is made here; else a worker makes it, and we wait a while.

    So does a worker where `inline_s` is not enough, or where this process lacks the solver that a plan needs. A plan
    before it that is still open is superseded. A dry run makes it here, however large, and stores nothing.
    """
    if wait_s > WAIT_MAX_S:
        raise InvalidInput(f"wait is {wait_s} seconds; at most {WAIT_MAX_S} are possible", ["wait"])
    if dry_run:
        async with context.store.owned(context.owner_id, reading=True) as tx:
            loaded, told = await making.load(context.owner_id, tx, portfolio_id, context.now)
        made, _ = await making.make(context, loaded, told, request, context.settings.inline_s)
        return _unsaved(context, loaded, request, made)
    plan_id = await _propose(context, portfolio_id, request, key)
    plan = await find(context, plan_id)
    if plan.status in PENDING:
        await context.bus.enqueue(PLAN_COMPUTE, context.owner_id, plan_id, unique=plan_id)
        plan = await _wait(context, plan, wait_s)
    await context.bus.nudge("plan", [context.owner_id])
    return plan


async def _propose(context: Context, portfolio_id: str, request: PlanRequest, key: str | None) -> str:
    """Store the plan, made or queued, in one transaction.

    A small plan is made before it: who computes holds neither the portfolio nor a connection, which others wait for.
    When the portfolio has changed since it was read, a worker makes the plan from what there is then.
    """
    asked = (key, "rebalancePropose", (portfolio_id, request))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        if stored := await once.find(context, tx, *asked):
            return stored
        loaded, told = await making.load(context.owner_id, tx, portfolio_id, context.now)
    portfolios.check_writable(loaded.row.status, "portfolioId")
    check_named(loaded.snapshot, request)
    made = await _make_at_once(context, loaded, told, request)
    async with context.store.owned(context.owner_id) as tx:
        if stored := await once.begin(context, tx, *asked, portfolio_id):
            return stored
        await _lock(context, tx, portfolio_id)
        plan_id = await plans.save_plan(
            context.owner_id,
            tx,
            loaded.row.id,
            request,
            requested_by=context.actor,
            now=context.now,
            new_uuid=new_uuid,
            made=None if await reading.scan_changed(tx, [loaded]) else made,
        )
        await once.finish(context, tx, key, plan_id)
    return plan_id


async def _make_at_once(context: Context, loaded: Loaded, told: Past, request: PlanRequest) -> Made | None:
    """Make a plan here if that is a matter of a moment; None leaves it to a worker."""
    if _lots(loaded.snapshot) > context.settings.inline_lots:
        return None
    try:
        made, ended = await making.make(context, loaded, told, request, context.settings.inline_s)
    except (LimitExceeded, SolverFailed, SolverMissing):
        return None
    return made if ended else None


async def _lock(context: Context, tx: Tx, portfolio_id: str) -> None:
    head = await portfolio_rows.lock_portfolio(context.owner_id, tx, portfolio_id)
    portfolios.check_writable(head.status, "portfolioId")
    await plans.refuse_while_executing(context.owner_id, tx, head.id, "portfolioId")


def _unsaved(context: Context, loaded: Loaded, request: PlanRequest, made: Made) -> StoredPlan:
    """Return a plan in the form of a stored one, under ids that nothing has."""
    return StoredPlan(
        id=context.new_id(ids.PLAN),
        portfolio_id=loaded.row.public_id,
        base_currency=loaded.row.base_currency,
        status=made.plan.status,
        version=1,
        request=request,
        engine=ENGINE,
        targets_version=made.targets_version,
        requested_by=context.actor,
        created_at=context.now,
        ready_at=context.now,
        expires_at=made.expires_at,
        inputs_digest=made.inputs_digest,
        plan=made.plan,
        trade_ids=tuple(context.new_id(ids.TRADE) for _ in made.plan.trades),
        accounts={account.id: account.name for account in loaded.snapshot.portfolio.accounts},
        solve_ms=made.solve_ms,
    )


def _lots(snapshot: Snapshot) -> int:
    return sum(len(account.lots) for account in snapshot.portfolio.accounts)


async def _wait(context: Context, plan: StoredPlan, wait_s: int) -> StoredPlan:
    """Look at a queued plan until it is made or the time is up."""
    until = monotonic() + wait_s
    while plan.status in PENDING and monotonic() < until:
        await asyncio.sleep(POLL_S)
        plan = await find(context, plan.id)
    return plan


async def find(context: Context, plan_id: str) -> StoredPlan:
    """Return a plan of the caller's; somebody else's does not exist."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        plan = await load_plan(context.owner_id, tx, plan_id)
    if plan is None:
        raise NotFound("plan", plan_id, ["planId"])
    return plan


async def stream(context: Context, hub: Hub, plan_id: str) -> AsyncIterator[StoredPlan]:
    """Yield a plan as it is now, then after every change, until it is over: every order too.

    The cursor is taken before the plan is read, so that no change falls between.
    """
    async with context.store.owned(context.owner_id) as tx:
        cursor = await current_cursor(tx)
    plan = await find(context, plan_id)
    yield plan
    if plan.status not in LIVE:
        return
    async for event in follow(context, hub, context.owner_id, cursor, [plan.portfolio_id]):
        if event.subject != plan_id:
            continue
        newer = await find(context, plan_id)
        if _seen(newer) != _seen(plan):
            plan = newer
            yield plan
        if plan.status not in LIVE:
            return


def _seen(plan: StoredPlan) -> tuple[object, ...]:
    """Return what a follower would see change; when a broker is asked next is nobody's concern."""
    shown = tuple(replace(order, ask_at=None, asks=0, lost=0) for order in plan.orders)
    return plan.version, plan.progress, shown


async def page(
    context: Context, portfolio_id: str, first: int, after: str | None, *, statuses: Sequence[PlanStatus] | None
) -> Page[StoredPlan]:
    """List a portfolio's plans, newest first."""
    before = key_of(after, id_of(ids.PLAN))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await load_plans(context.owner_id, tx, portfolio_id, first + 1, before=before, statuses=statuses)
    return page_of(found, first, lambda plan: plan.id)
