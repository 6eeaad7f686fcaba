"""Orders and blocks whose broker cannot say how they stand, settled by a person who looked them up there."""

from dataclasses import replace
from typing import Final

from app.actions import blocks, executing, once, plans
from app.actions import pools as pool_actions
from app.context import Context, new_uuid
from app.core.answering import as_filled
from app.core.booking import totals_of
from app.core.errors import LimitExceeded, NotFound
from app.core.money import EXACT
from app.core.order_values import Block, Order, Sent
from app.core.settling import SettleDraft, check_pooled, fills_to_book, settled
from app.store import executions, history, order_alerts, orders, pool_orders, pools
from app.store.booking import book_fills, load_booked
from app.store.db import Tx
from app.store.neighbours import with_locks
from app.store.plan_reading import StoredPlan, load_plan

FILLS_MAX: Final = 100


async def settle(context: Context, plan_id: str, draft: SettleDraft, key: str) -> StoredPlan:
    """Book what a person says was filled of an UNKNOWN order, and end it, once for each key; return the plan.

    From then on the order is neither asked for nor sent again. Whoever executes the plan goes on at once.
    """
    _check(draft)

    async def work(tx: Tx, locked: frozenset[int]) -> None:
        stored = await load_plan(context.owner_id, tx, plan_id)
        if stored is None:
            raise NotFound("plan", plan_id, ["planId"])
        request = (plan_id, draft)
        if not await once.begin(context, tx, key, "orderSettle", request, stored.portfolio_id):
            await _settle(context, tx, stored, draft, locked)
            await once.finish(context, tx, key, plan_id)

    await with_locks(context.store, context.owner_id, work)
    await executing.enqueue(context, context.owner_id, plan_id)
    await context.bus.nudge("plan", [context.owner_id])
    return await plans.find(context, plan_id)


async def settle_block(context: Context, draft: SettleDraft, key: str) -> Block:
    """Share out what a person says was filled of an UNKNOWN block, and end it, once for each key; return the block.

    Its orders end with it. Whoever executes their plans goes on at once.
    """
    _check(draft)
    async with context.store.owned(context.owner_id) as tx:
        await blocks.lock(context, tx, [draft.settled_id])
        if not await once.begin(context, tx, key, "blockSettle", draft):
            await _settle_block(context, tx, draft)
            await once.finish(context, tx, key, draft.settled_id)
        block = await blocks.load(context, tx, draft.settled_id)
    await pool_actions.enqueue(context, context.owner_id, block.gathered_in)
    return block


async def _settle_block(context: Context, tx: Tx, draft: SettleDraft) -> None:
    owner_id, now = context.owner_id, context.now
    block = await pools.lock_block(owner_id, tx, await blocks.load(context, tx, draft.settled_id))
    known = await pools.load_fills(owner_id, tx, block)
    fresh = fills_to_book(block, "block", known, draft, now)
    units, _, _ = totals_of([*known, *fresh])
    after = settled(replace(block, filled=units), draft.reason, now)
    await pool_actions.share_out(owner_id, tx, block, after, known, fresh, context.wall)
    document = {**_told(after), "fills": fresh, "reason": draft.reason, "before": _told(block)}
    await blocks.note(context, tx, block.id, "BLOCK_SETTLED", document)


def _check(draft: SettleDraft) -> None:
    if len(draft.fills) > FILLS_MAX:
        raise LimitExceeded(f"there are {len(draft.fills)} fills; at most {FILLS_MAX} are allowed", ["fills"])


def _find(known: tuple[Order, ...], order_id: str) -> Order:
    order = next((one for one in known if one.id == order_id), None)
    if order is None:
        raise NotFound("order", order_id, ["orderId"])
    return order


async def _settle(context: Context, tx: Tx, stored: StoredPlan, draft: SettleDraft, locked: frozenset[int]) -> None:
    owner_id, actor, now = context.owner_id, context.actor, context.now
    plan = await executions.lock_execution(owner_id, tx, stored.id)
    order = _find(plan.orders if plan else stored.orders, draft.settled_id)
    if order.pool:
        check_pooled(order, await pool_orders.load_place(owner_id, tx, order.client_id))
    fresh = fills_to_book(order, "order", await load_booked(owner_id, tx, order), draft, now)
    assert plan, "no order of a plan that is over is UNKNOWN"
    units, _, _ = totals_of(fresh)
    if (filled := EXACT.add(order.filled, units)) > order.quantity:
        await orders.save_orders(owner_id, tx, [as_filled(order, filled)])
    await book_fills(owner_id, tx, order, fresh, actor=actor, now=now, new_uuid=new_uuid, locked=locked)
    after = settled(await orders.load_order(owner_id, tx, order), draft.reason, now)
    await orders.save_orders(owner_id, tx, [after])
    row_id = plan.portfolio.id
    await order_alerts.settle_unknown(owner_id, tx, row_id, order, after, now=now, new_uuid=new_uuid)
    document = {**_document(after), "fills": fresh, "reason": draft.reason, "before": _document(order)}
    await history.append_history(owner_id, tx, row_id, "ORDER_SETTLED", order.id, actor, now, document)
    await executions.tell_orders(owner_id, tx, plan, [after], now)
    await executions.hasten(owner_id, tx, [plan.public_id], now=now, wall=context.wall)


def _document(order: Order) -> dict[str, object]:
    return {"plan": order.plan_id, **_told(order)}


def _told(sent: Sent) -> dict[str, object]:
    known = {"client_id": sent.client_id, "broker": sent.broker}
    return {**known, "status": sent.status, "filled": sent.filled, "message": sent.message}
