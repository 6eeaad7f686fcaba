# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""What people record of the orders that they work. Facts: they are only added, and booked by whoever works the plan."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from app.core import ids
from app.core.manual import Recorded, WorkedOrder
from app.core.order_values import BrokerKind, Fill, OrderStatus
from app.store.db import Tx

_RECORDED: Final = """
    trim_scale(o.quantity) AS quantity, EXISTS (SELECT FROM manual_ends e WHERE e.client_id = o.client_id) AS ended
"""


async def load_orders(owner_id: int, tx: Tx, plan_id: str, order_ids: Sequence[str]) -> dict[str, WorkedOrder]:
    """Return orders of a plan by public id, with what was recorded of each; those it does not have are left out."""
    rows = await tx.fetch(
        f"""
        SELECT o.public_id, o.client_id, o.broker, o.status, o.placed_at, trim_scale(a.quantity_step) AS quantity_step,
            {_RECORDED}
        FROM orders o JOIN plans l ON l.id = o.plan_id JOIN assets a ON a.id = o.asset_id
        WHERE o.owner_id = $1 AND l.public_id = $2 AND o.public_id = ANY ($3)
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
        [uuid for order_id in order_ids if (uuid := ids.decode(ids.ORDER, order_id))],
    )
    fills = await _fills(tx, [row["client_id"] for row in rows])
    return {order.order_id: order for order in (_order_of(row, fills[row["client_id"]]) for row in rows)}


def _order_of(row: asyncpg.Record, fills: Sequence[Fill]) -> WorkedOrder:
    return WorkedOrder(
        ids.encode(ids.ORDER, row["public_id"]),
        row["client_id"],
        BrokerKind(row["broker"]),
        OrderStatus(row["status"]),
        row["quantity_step"],
        row["placed_at"],
        Recorded(row["quantity"], tuple(fills), row["ended"]),
    )


async def scan_recorded(tx: Tx, client_id: str) -> Recorded | None:
    """Return what was recorded of an order by its client id, whoever's it is; None where there is no such order."""
    row = await tx.row(f"SELECT {_RECORDED} FROM orders o WHERE o.client_id = $1", client_id)
    if row is None:
        return None
    return Recorded(row["quantity"], tuple((await _fills(tx, [client_id]))[client_id]), row["ended"])


async def _fills(tx: Tx, client_ids: Sequence[str]) -> dict[str, list[Fill]]:
    rows = await tx.fetch(
        """
        SELECT client_id, fill_id, trim_scale(quantity) AS quantity, trim_scale(price) AS price,
            trim_scale(fee) AS fee, filled_at
        FROM manual_fills WHERE client_id = ANY ($1) ORDER BY filled_at, fill_id
        """,
        client_ids,
    )
    found: dict[str, list[Fill]] = defaultdict(list)
    for row in rows:
        fill = Fill(row["fill_id"], row["quantity"], row["price"], row["fee"], row["filled_at"])
        found[row["client_id"]].append(fill)
    return found


async def append_fills(
    owner_id: int, tx: Tx, client_id: str, fills: Sequence[Fill], *, actor: str, now: datetime
) -> None:
    """Write fills of an order; the caller holds the portfolio's lock and has checked them."""
    await tx.many(
        """
        INSERT INTO manual_fills (
            client_id, fill_id, owner_id, quantity, price, fee, filled_at, recorded_by, recorded_at
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        [
            (client_id, fill.broker_fill_id, owner_id, fill.quantity, fill.price, fill.fee, fill.filled_at, actor, now)
            for fill in fills
        ],
    )


async def end_order(owner_id: int, tx: Tx, client_id: str, *, actor: str, now: datetime) -> None:
    """Write that nothing more will come of an order."""
    await tx.execute(
        """
        INSERT INTO manual_ends (client_id, owner_id, recorded_by, recorded_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (client_id) DO NOTHING
        """,
        client_id,
        owner_id,
        actor,
        now,
    )
