"""Fills that people record of orders they work by hand, in a plan that is executed."""

from collections.abc import Sequence
from typing import Any, Final

from app.actions import executing, files, once, plans
from app.context import Context
from app.core import scalars
from app.core.errors import Duplicate, InvalidInput, LimitExceeded, NotFound, Required, SteelyardError
from app.core.manual import FillDraft, OrderDraft, WorkedOrder, check_open, new_fills
from app.core.money import EXACT, ZERO
from app.store import executions, history, manual, portfolios
from app.store.db import Tx
from app.store.plan_reading import StoredPlan, load_plan

FILL_COLUMNS: Final = ("order", "fill_id", "quantity", "price")
MORE_COLUMNS: Final = ("fee", "filled_at", "done")
FILLS_MAX: Final = 5000


async def record(context: Context, plan_id: str, drafts: Sequence[OrderDraft], key: str) -> StoredPlan:
    """Record fills of a plan's orders, all or none and once for each key; return the plan.

    They are booked by whoever executes the plan, which is told at once.
    """
    check_drafts(drafts, "order")
    async with context.store.owned(context.owner_id) as tx:
        plan = await load_plan(context.owner_id, tx, plan_id)
        if plan is None:
            raise NotFound("plan", plan_id, ["planId"])
        request = (plan_id, tuple(drafts))
        if not await once.begin(context, tx, key, "orderFillsRecord", request, plan.portfolio_id):
            await _record(context, tx, plan, drafts)
            await once.finish(context, tx, key, plan_id)
    await executing.enqueue(context, context.owner_id, plan_id)
    return await plans.find(context, plan_id)


def check_drafts(drafts: Sequence[OrderDraft], what: str) -> None:
    """Refuse nothing, too much, and one order, or whatever they are of, twice."""
    named: set[str] = set()
    for place, draft in enumerate(drafts):
        if draft.order_id in named:
            raise Duplicate(f"{what} {draft.order_id} is given twice", [f"{what}s", place, f"{what}Id"])
        named.add(draft.order_id)
        if not draft.fills and not draft.done:
            raise Required("there is nothing to record; give fills, or done", [f"{what}s", place, "fills"])
    if not drafts:
        raise Required(f"there is nothing to record; give {what}s with their fills", [f"{what}s"])
    if (count := sum(len(draft.fills) for draft in drafts)) > FILLS_MAX:
        raise LimitExceeded(f"there are {count} fills; at most {FILLS_MAX} are allowed", [f"{what}s"])


async def _record(context: Context, tx: Tx, plan: StoredPlan, drafts: Sequence[OrderDraft]) -> None:
    head = await portfolios.lock_portfolio(context.owner_id, tx, plan.portfolio_id)
    orders = await manual.load_orders(context.owner_id, tx, plan.id, [draft.order_id for draft in drafts])
    told = []
    for place, draft in enumerate(drafts):
        try:
            if draft.order_id not in orders:
                raise NotFound("order", draft.order_id, ["orderId"])
            told.append(await record_one(context, tx, orders[draft.order_id], draft))
        except SteelyardError as error:
            raise error.under("orders", place) from None
    document = {"orders": told}
    actor, now = context.actor, context.now
    await history.append_history(context.owner_id, tx, head.id, "FILLS_RECORDED", plan.id, actor, now, document)
    await executions.hasten(context.owner_id, tx, [plan.id], now=now, wall=context.wall)


async def record_one(context: Context, tx: Tx, order: WorkedOrder, draft: OrderDraft) -> dict[str, Any]:
    """Record what is new of one order or block, and say what that is."""
    owner_id, actor, now = context.owner_id, context.actor, context.now
    fills = new_fills(order, draft.fills, now)
    await manual.append_fills(owner_id, tx, order.client_id, fills, actor=actor, now=now)
    left = EXACT.subtract(order.recorded.open, sum((fill.quantity for fill in fills), ZERO))
    ends = draft.done and left > ZERO and not order.recorded.ended
    if ends:
        check_open(order)
        await manual.end_order(owner_id, tx, order.client_id, actor=actor, now=now)
    return {order.what: order.order_id, "fills": fills, "ended": ends}


def parse_csv(text: str) -> list[OrderDraft]:
    """Read fills as CSV: order,fill_id,quantity,price, with fee, filled_at and done if you like.

    Lines of one order are one draft. A line with nothing but an order and `true` for done ends it without a fill.
    """
    rows = files.read_csv(text, FILL_COLUMNS, _row, MORE_COLUMNS)
    found: dict[str, OrderDraft] = {}
    for _, row in rows:
        before = found.get(row.order_id, OrderDraft(row.order_id))
        found[row.order_id] = OrderDraft(row.order_id, before.fills + row.fills, before.done or row.done)
    return list(found.values())


def _row(cells: dict[str, str]) -> OrderDraft:
    done = cells.get("done", "")
    if done not in ("", "true", "false"):
        raise InvalidInput(f"done must be true or false, not {done[:20]!r}", ["done"])
    fill = () if done == "true" and not any(cells[name] for name in FILL_COLUMNS[1:]) else (_fill(cells),)
    return OrderDraft(scalars.text(cells["order"], "order"), fill, done == "true")


def _fill(cells: dict[str, str]) -> FillDraft:
    fee, filled_at = cells.get("fee", ""), cells.get("filled_at", "")
    return FillDraft(
        scalars.text(cells["fill_id"], "fill_id"),
        scalars.quantity(cells["quantity"]),
        scalars.price(cells["price"]),
        scalars.money(fee, "fee") if fee else ZERO,
        scalars.instant(filled_at, "filled_at") if filled_at else None,
    )
