"""One portfolio of a bulk: its plan is proposed or approved in its owner's name, and what became of it is written."""

from concurrent.futures import BrokenExecutor
from dataclasses import replace
from typing import Final

import structlog

from app.actions import approving, computing, portfolios
from app.actions.access import domain_now
from app.actions.approving import Within
from app.context import Context, Services, new_uuid, wall_now
from app.core.bulks import BulkKind, ItemStatus
from app.core.errors import SteelyardError
from app.core.plan_values import PlanRequest, PlanStatus
from app.store import approvals, bulk_items, plans, reading
from app.store import portfolios as portfolio_rows
from app.store.bulk_items import Outcome, PlanNow, Taken
from app.store.bulks import BulkHandle
from app.store.db import StoreUnavailable, Tx

MADE: Final = {one: ItemStatus(one.value) for one in (PlanStatus.READY, PlanStatus.NOTHING_TO_DO, PlanStatus.FAILED)}
PENDING: Final = (PlanStatus.QUEUED, PlanStatus.COMPUTING)
LOST: Final = (PlanStatus.SUPERSEDED, PlanStatus.CANCELLED)
"""States of a plan that tell nothing of whether it was ever READY; all that are not named here come after that."""

log = structlog.get_logger(__name__)


class _Over(Exception):
    """The item waits no longer: what was begun for it is undone."""


async def work(services: Services, bulk: BulkHandle, item: Taken) -> None:
    """Do for one portfolio what the bulk is for. It is done once, whoever else tries, and whenever somebody dies.

    An item that is not done after this waits for its lease to run out, and then for the next who takes it.
    """
    context = await _enter(services, bulk, item)
    try:
        outcome = await (_propose if bulk.draft.kind is BulkKind.PROPOSE else _approve)(context, bulk, item)
    except (StoreUnavailable, BrokenExecutor):
        raise  # what is away comes back, and the sweeper asks again
    except SteelyardError as error:
        outcome = Outcome(ItemStatus.REFUSED, error.code, error.message)
    except Exception:  # our mistake: the item ends here, or it would be tried for ever
        log.exception("item_not_done", bulk=bulk.public_id, portfolio=item.portfolio_id)
        outcome = Outcome(ItemStatus.FAILED, "INTERNAL", "internal error; the worker's log says which")
    if outcome:
        async with services.store.owned(context.owner_id) as tx:
            await bulk_items.end_item(context.owner_id, tx, bulk, item.place, outcome, context.now)


async def _enter(services: Services, bulk: BulkHandle, item: Taken) -> Context:
    """Return the context of the owner of a portfolio, in whose name the bulk's actor acts."""
    return Context(
        settings=services.settings,
        store=services.store,
        bus=services.bus,
        run=services.run,
        owner=item.owner,
        actor=bulk.actor,
        roles=frozenset(),
        now=await domain_now(services),
        wall=wall_now(),
    )


async def _propose(context: Context, bulk: BulkHandle, item: Taken) -> Outcome | None:
    """Queue a plan, unless somebody did who died since, and make it here; None while another makes it."""
    plan_id = item.plan_id or await _queue(context, bulk, item)
    if plan_id is None:
        return None
    await computing.compute(context, context.owner_id, plan_id)
    async with context.store.owned(context.owner_id) as tx:
        return _outcome_of(await bulk_items.load_plan_now(context.owner_id, tx, plan_id))


async def _queue(context: Context, bulk: BulkHandle, item: Taken) -> str | None:
    """Store a plan and that it is the item's, in one transaction; None where the item waits no longer."""
    request = await _request_of(context, bulk, item)
    async with context.store.owned(context.owner_id) as tx:
        head = await portfolio_rows.lock_portfolio(context.owner_id, tx, item.portfolio_id)
        waits, plan_id = await bulk_items.lock_item(context.owner_id, tx, bulk, item.place)
        if not waits or plan_id:
            return plan_id if waits else None
        portfolios.check_writable(head.status, "portfolioId")
        await plans.refuse_while_executing(context.owner_id, tx, head.id, "portfolioId")
        plan_id = await plans.save_plan(
            *(context.owner_id, tx, head.id, request),
            requested_by=context.actor,
            now=context.now,
            new_uuid=new_uuid,
            bulk=bulk.told,
        )
        await bulk_items.set_plan(context.owner_id, tx, bulk, item.place, plan_id)
    return plan_id


async def _request_of(context: Context, bulk: BulkHandle, item: Taken) -> PlanRequest:
    """Return what is asked for here: of the symbols to leave alone, those that are held or targeted."""
    request = bulk.draft.request
    assert request is not None
    if not (request.exclude or request.no_buy or request.no_sell):
        return request
    async with context.store.owned(context.owner_id, reading=True) as tx:
        loaded = await reading.load_snapshot(context.owner_id, tx, item.portfolio_id, context.now)
    assert loaded is not None
    known = {asset.symbol for asset in loaded.snapshot.market.assets.values()}
    exclude, no_buy, no_sell = (
        tuple(one for one in named if one in known) for named in (request.exclude, request.no_buy, request.no_sell)
    )
    return replace(request, exclude=exclude, no_buy=no_buy, no_sell=no_sell)


def _outcome_of(plan: PlanNow) -> Outcome | None:
    """Return what becomes of an item with its plan; None while that is made still."""
    if plan.status in PENDING:
        return None
    if plan.status in LOST:
        message = (
            f"the plan is {plan.status.value}: somebody cancelled it, asked for a newer one, or changed the portfolio"
        )
        return Outcome(ItemStatus.REFUSED, "INVALID_STATE", message)
    return Outcome(MADE.get(plan.status, ItemStatus.READY), plan.code, plan.message)


async def _approve(context: Context, bulk: BulkHandle, item: Taken) -> Outcome | None:
    """Approve the plan as it was when the bulk began; the item ends in the same transaction."""
    assert item.plan_id is not None
    assert item.plan_version is not None
    approved = Outcome(ItemStatus.APPROVED)

    async def end(tx: Tx) -> None:
        if not await bulk_items.end_item(context.owner_id, tx, bulk, item.place, approved, context.now):
            raise _Over

    try:
        await approving.approve(
            context,
            item.plan_id,
            expected=item.plan_version,
            exclude=(),
            key=f"{bulk.public_id}:{item.plan_id}",
            bulk=Within(bulk.told, bulk.id if bulk.draft.pooled else None, end),
        )
    except _Over:
        return None
    return approved


async def settle(services: Services, bulk: BulkHandle, actor: str) -> None:
    """Cancel the plans that are still being made for a bulk that was cancelled; what is made already stays."""
    now = await domain_now(services)
    async with services.store.shared() as tx:
        begun = await bulk_items.scan_begun_items(tx, bulk)
    for place, owner_id, plan_id in begun:
        async with services.store.owned(owner_id) as tx:
            locked = await approvals.lock_plan(owner_id, tx, plan_id)
            assert locked is not None
            outcome: Outcome | None = Outcome(ItemStatus.CANCELLED)
            if locked.status in PENDING:
                await approvals.cancel_plan(owner_id, tx, locked, "the bulk was cancelled", actor=actor, now=now)
            else:
                outcome = _outcome_of(await bulk_items.load_plan_now(owner_id, tx, plan_id))
            assert outcome is not None
            await bulk_items.end_item(owner_id, tx, bulk, place, outcome, now)
        await services.bus.nudge("plan", [owner_id])
