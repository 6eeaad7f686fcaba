"""What became of a plan, worked out when its last order is over, in the transaction that ends it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.core import outcome, past
from app.core.order_values import Order
from app.core.outcome import Outcome
from app.store import past as pasts
from app.store import reading
from app.store.db import Tx
from app.store.plan_reading import load_plan


async def work_out(owner_id: int, tx: Tx, plan_id: str, orders: Sequence[Order], now: datetime) -> Outcome:
    """Return what became of a plan whose orders are over and booked; the caller holds the portfolio's lock."""
    stored = await load_plan(owner_id, tx, plan_id)
    assert stored
    assert stored.plan
    loaded = await reading.load_snapshot(owner_id, tx, stored.portfolio_id, now)
    assert loaded
    snapshot = past.with_facts(loaded.snapshot, await pasts.load_past(owner_id, tx, loaded.snapshot))
    # Without the trades that were left out when it was approved, the plan promised something else.
    plan = replace(stored.plan, summary=stored.rest.summary) if stored.rest else stored.plan
    return outcome.outcome_of(
        plan,
        orders,
        await pasts.load_sold(owner_id, tx, plan_id),
        policy=snapshot.policy,
        facts=snapshot.tax,
        forfeited=await pasts.load_forfeited(owner_id, tx, plan_id),
    )
