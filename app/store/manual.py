# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""What people record of the orders and blocks that they work. Facts: they are only added, and booked by workers.

They are known by the client ids under which orders and blocks are sent.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import asyncpg

from app.core import ids
from app.core.manual import Recorded, WorkedOrder
from app.core.order_values import BrokerKind, Fill, OrderStatus
from app.store.db import Tx

_WORKED: Final = """
    o.public_id, o.client_id, o.broker, o.status, o.placed_at, trim_scale(o.quantity) AS quantity,
    trim_scale(a.quantity_step) AS quantity_step,
    EXISTS (SELECT FROM manual_ends e WHERE e.client_id = o.client_id) AS ended
"""


async def load_orders(owner_id: int, tx: Tx, plan_id: str, order_ids: Sequence[str]) -> dict[str, WorkedOrder]:
    """Return orders of a plan by public id, with what was recorded of each; those it does not have are left out."""
    rows = await tx.fetch(
        f"""
        SELECT {_WORKED}, k.public_id AS pool_public_id, b.public_id AS block_public_id
        FROM orders o JOIN plans l ON l.id = o.plan_id JOIN assets a ON a.id = o.asset_id
        LEFT JOIN bulks k ON k.id = o.pool_id LEFT JOIN pool_orders p ON p.client_id = o.client_id
        LEFT JOIN blocks b ON b.id = p.block_id
        WHERE o.owner_id = $1 AND l.public_id = $2 AND o.public_id = ANY ($3)
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
        [uuid for order_id in order_ids if (uuid := ids.decode(ids.ORDER, order_id))],
    )
    fills = await _fills(tx, [row["client_id"] for row in rows])
    found = [
        replace(
            _worked_of(row, ids.ORDER, fills[row["client_id"]]),
            pool=ids.encode(ids.BULK, row["pool_public_id"]) if row["pool_public_id"] else None,
            block=ids.encode(ids.BLOCK, row["block_public_id"]) if row["block_public_id"] else None,
        )
        for row in rows
    ]
    return {order.order_id: order for order in found}


async def lock_blocks(owner_id: int, tx: Tx, block_ids: Sequence[str]) -> dict[str, WorkedOrder]:
    """Lock blocks and return them by public id, with what was recorded of each; the caller has the owner's turn."""
    rows = await tx.fetch(
        f"""
        SELECT {_WORKED} FROM blocks o JOIN assets a ON a.id = o.asset_id
        WHERE o.owner_id = $1 AND o.public_id = ANY ($2) ORDER BY o.id FOR NO KEY UPDATE OF o
        """,
        owner_id,
        [uuid for block_id in block_ids if (uuid := ids.decode(ids.BLOCK, block_id))],
    )
    fills = await _fills(tx, [row["client_id"] for row in rows])
    found = [replace(_worked_of(row, ids.BLOCK, fills[row["client_id"]]), what="block") for row in rows]
    return {block.order_id: block for block in found}


def _worked_of(row: asyncpg.Record, prefix: str, fills: Sequence[Fill]) -> WorkedOrder:
    return WorkedOrder(
        ids.encode(prefix, row["public_id"]),
        row["client_id"],
        BrokerKind(row["broker"]),
        OrderStatus(row["status"]),
        row["quantity_step"],
        row["placed_at"],
        Recorded(row["quantity"], tuple(fills), row["ended"]),
    )


async def scan_recorded(tx: Tx, client_id: str) -> Recorded | None:
    """Return what was recorded of an order or a block by its client id, whoever's it is; None where there is none."""
    row = await tx.row(
        """
        SELECT trim_scale(o.quantity) AS quantity, EXISTS (SELECT FROM manual_ends WHERE client_id = $1) AS ended
        FROM (
            SELECT quantity FROM orders WHERE client_id = $1 UNION ALL SELECT quantity FROM blocks WHERE client_id = $1
        ) o
        """,
        client_id,
    )
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
    """Write fills of an order or a block; the caller holds its lock and has checked them."""
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
    """Write that nothing more will come of an order or a block."""
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


async def load_portfolios_of(owner_id: int, tx: Tx, block_ids: Sequence[str]) -> list[int]:
    """Return the rows of the portfolios whose orders are in blocks."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT l.portfolio_id FROM blocks b JOIN block_members m ON m.block_id = b.id
        JOIN orders o ON o.client_id = m.client_id JOIN plans l ON l.id = o.plan_id
        WHERE b.owner_id = $1 AND b.public_id = ANY ($2) ORDER BY l.portfolio_id
        """,
        owner_id,
        [uuid for block_id in block_ids if (uuid := ids.decode(ids.BLOCK, block_id))],
    )
    return [row["portfolio_id"] for row in rows]


async def count_orders_in(owner_id: int, tx: Tx, block_ids: Sequence[str]) -> int:
    """Return how many orders are in blocks; one that was in several counts in each."""
    found = await tx.value(
        """
        SELECT count(*) FROM blocks b JOIN block_members m ON m.block_id = b.id
        WHERE b.owner_id = $1 AND b.public_id = ANY ($2)
        """,
        owner_id,
        [uuid for block_id in block_ids if (uuid := ids.decode(ids.BLOCK, block_id))],
    )
    return int(found)
