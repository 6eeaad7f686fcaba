# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Orders in the pool, as it keeps them: who waits there, who wants to leave, and what each was handed out.

The pool is told tickets by client id, as a broker is. An order that is WORKING and in no block waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import asyncpg

from app.core import ids
from app.core.blocks import Waiting, fill_id
from app.core.order_values import BrokerKind, BrokerOrder, Fill, OrderStatus, OrderStyle, Ticket
from app.core.settling import Place
from app.core.trades import TradeSide
from app.store import assets
from app.store.db import Tx

_FILLED: Final = "(SELECT coalesce(sum(h.quantity), 0) FROM block_pieces h WHERE h.client_id = p.client_id)"
POOLED: Final = """
    pool_orders p JOIN orders r ON r.client_id = p.client_id JOIN plans l ON l.id = r.plan_id
    JOIN portfolios f ON f.id = l.portfolio_id JOIN bulks b ON b.id = p.bulk_id
"""
WAITS: Final = """
    p.status = 'WORKING' AND p.block_id IS NULL AND (b.ended_at IS NOT NULL OR NOT EXISTS (
        SELECT FROM bulk_items i WHERE i.bulk_id = p.bulk_id AND i.owner_id = p.owner_id AND i.status = 'WAITING'
    ))
    AND r.status IN ('PLACING', 'WORKING', 'UNKNOWN') AND l.cancel_asked_at IS NULL AND f.halted_at IS NULL
    AND (SELECT halted_at IS NULL FROM trading_halt)
"""
"""Of `POOLED`: what waits and may be sent: nothing more of its owner's will come, though others' plans may still be
approved in the bulk for hours. What its plan gave up, or is stopped, may not."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How an order stands in the pool. `unknown` says why nobody knows how its block stands; empty where one does."""

    order: BrokerOrder
    unknown: str


@dataclass(frozen=True, slots=True)
class Member:
    """An order of a block. `left` are its units that are not filled; `here` says that it is still in that block."""

    client_id: str
    quantity: Decimal
    left: Decimal
    leaves: bool
    here: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """How an order of a block that has ended stands from now on."""

    client_id: str
    status: OrderStatus
    message: str


async def scan_join(tx: Tx, ticket: Ticket, wall: datetime) -> tuple[int, str] | None:
    """Take an order in, as one of ours with its client id, and return its owner and the bulk; None for a known one."""
    row = await tx.row(
        """
        INSERT INTO pool_orders (
            client_id, owner_id, bulk_id, broker, account_broker_id, account_id, asset_id, side, style, quantity,
            limit_price, arrived_at
        )
        SELECT r.client_id, r.owner_id, r.pool_id, r.broker, c.broker_id, r.account_id, r.asset_id, r.side, r.style,
            $2, $3, $4
        FROM orders r JOIN accounts c ON c.id = r.account_id WHERE r.client_id = $1
        ON CONFLICT (client_id) DO NOTHING
        RETURNING owner_id, (SELECT public_id FROM bulks WHERE id = bulk_id) AS bulk_public_id
        """,
        ticket.client_id,
        ticket.quantity,
        ticket.limit,
        wall,
    )
    return (row["owner_id"], ids.encode(ids.BULK, row["bulk_public_id"])) if row else None


async def scan_leave(tx: Tx, client_id: str, wall: datetime) -> None:
    """Let an order leave that waits; note of one in a block that it wants to."""
    await tx.execute(
        """
        UPDATE pool_orders SET leave_asked_at = coalesce(leave_asked_at, $2),
            status = CASE WHEN block_id IS NULL THEN 'CANCELLED' ELSE status END
        WHERE client_id = $1 AND status = 'WORKING'
        """,
        client_id,
        wall,
    )


async def scan_find(tx: Tx, client_id: str) -> Kept | None:
    """Return how an order stands with all its pieces, None where it never came."""
    row = await tx.row(
        """
        SELECT p.status, p.message, b.client_id AS block, b.status AS block_status, b.message AS block_message,
            p.status = 'EXPIRED' AND NOT EXISTS (
                SELECT FROM block_members m JOIN blocks k ON k.id = m.block_id
                WHERE m.client_id = p.client_id AND k.broker_order_id IS NOT NULL
            ) AS unsent
        FROM pool_orders p LEFT JOIN blocks b ON b.id = p.block_id WHERE p.client_id = $1
        """,
        client_id,
    )
    if row is None:
        return None
    rows = await tx.fetch(
        """
        SELECT b.client_id AS block, h.fill, h.since, trim_scale(h.quantity) AS quantity,
            trim_scale(f.price) AS price, trim_scale(h.fee) AS fee, f.filled_at
        FROM block_pieces h JOIN blocks b ON b.id = h.block_id
        JOIN block_fills f ON f.block_id = h.block_id AND f.number = h.fill
        WHERE h.client_id = $1 ORDER BY h.block_id, h.since, h.fill
        """,
        client_id,
    )
    fills = tuple(_fill_of(row) for row in rows)
    lost = row["block_status"] == OrderStatus.UNKNOWN.value
    unknown = f"it is not known how its block {row['block']} stands: {row['block_message']}" if lost else ""
    status = OrderStatus(row["status"])
    order = BrokerOrder(f"pool-{client_id}", status, fills, row["message"], unsent=row["unsent"])
    return Kept(order, unknown)


def _fill_of(row: asyncpg.Record) -> Fill:
    name = fill_id(row["block"], row["fill"], row["since"])
    return Fill(name, row["quantity"], row["price"], row["fee"], row["filled_at"])


async def lock_waiting(owner_id: int, tx: Tx, bulk_id: str, since: datetime, limit: int) -> list[Waiting]:
    """Lock and return orders that wait, of groups alike the first of which came by then; at most `limit`, in order."""
    rows = await tx.fetch(
        f"""
        WITH due AS (
            SELECT p.broker, p.account_broker_id, p.asset_id, p.side, p.style, min(p.arrived_at) AS first
            FROM {POOLED} WHERE {WAITS} AND p.owner_id = $1 AND b.public_id = $2
            GROUP BY 1, 2, 3, 4, 5 HAVING min(p.arrived_at) <= $3
        ), found AS (
            SELECT p.*
            FROM {POOLED} JOIN due ON due.broker = p.broker
                AND due.account_broker_id IS NOT DISTINCT FROM p.account_broker_id
                AND due.asset_id = p.asset_id AND due.side = p.side AND due.style = p.style
            WHERE {WAITS} AND p.owner_id = $1 AND b.public_id = $2
            ORDER BY due.first, p.arrived_at, p.client_id LIMIT $4 FOR NO KEY UPDATE OF p SKIP LOCKED
        )
        SELECT p.client_id, p.broker, c.public_id AS account_public_id, p.account_broker_id, p.side, p.style,
            trim_scale(p.quantity - {_FILLED}) AS left, trim_scale(p.limit_price) AS limit_price, p.arrived_at,
            {assets.COLUMNS}
        FROM found p JOIN accounts c ON c.id = p.account_id JOIN assets a ON a.id = p.asset_id
        """,
        owner_id,
        ids.decode(ids.BULK, bulk_id),
        since,
        limit,
    )
    return [_waiting_of(row) for row in rows]


def _waiting_of(row: asyncpg.Record) -> Waiting:
    return Waiting(
        client_id=row["client_id"],
        broker=BrokerKind(row["broker"]),
        account_id=ids.encode(ids.ACCOUNT, row["account_public_id"]),
        account_broker=row["account_broker_id"],
        asset=assets.asset_of(row),
        side=TradeSide(row["side"]),
        style=OrderStyle(row["style"]),
        left=row["left"],
        limit=row["limit_price"],
        arrived_at=row["arrived_at"],
    )


async def lock_members(owner_id: int, tx: Tx, block_id: str) -> list[Member]:
    """Lock the orders of a block and return them in the order in which they share."""
    rows = await tx.fetch(
        f"""
        SELECT p.client_id, trim_scale(m.quantity) AS quantity, trim_scale(p.quantity - {_FILLED}) AS left,
            p.leave_asked_at IS NOT NULL AS leaves, p.block_id IS NOT DISTINCT FROM m.block_id AS here
        FROM blocks b JOIN block_members m ON m.block_id = b.id JOIN pool_orders p ON p.client_id = m.client_id
        WHERE b.owner_id = $1 AND b.public_id = $2 ORDER BY m.place FOR NO KEY UPDATE OF p
        """,
        owner_id,
        ids.decode(ids.BLOCK, block_id),
    )
    return [Member(row["client_id"], row["quantity"], row["left"], row["leaves"], row["here"]) for row in rows]


async def save_moved(owner_id: int, tx: Tx, moved: Sequence[Moved], wall: datetime) -> None:
    """Let orders out of a block that has ended; those that are WORKING wait again, and have come now."""
    await tx.execute(
        """
        UPDATE pool_orders p SET status = given.status, message = given.message, block_id = NULL, has_news = true,
            arrived_at = CASE WHEN given.status = 'WORKING' THEN $2 ELSE p.arrived_at END
        FROM unnest($3::text[], $4::text[], $5::text[]) AS given (client_id, status, message)
        WHERE p.owner_id = $1 AND p.client_id = given.client_id
        """,
        owner_id,
        wall,
        [one.client_id for one in moved],
        [one.status.value for one in moved],
        [one.message for one in moved],
    )


async def note_news(owner_id: int, tx: Tx, client_ids: Sequence[str]) -> None:
    """Note that the plans of orders are to be told how these stand."""
    await tx.execute(
        "UPDATE pool_orders SET has_news = true WHERE owner_id = $1 AND client_id = ANY ($2)", owner_id, client_ids
    )


async def load_news(owner_id: int, tx: Tx, bulk_id: str, limit: int) -> dict[str, bool]:
    """Return orders whose plans are to be told, by client id, and whether each has ended with less than it got here."""
    rows = await tx.fetch(
        f"""
        WITH p AS MATERIALIZED (
            SELECT client_id FROM pool_orders
            WHERE owner_id = $1 AND bulk_id = (SELECT id FROM bulks WHERE public_id = $2) AND has_news
            ORDER BY client_id LIMIT $3
        )
        SELECT p.client_id,
            r.status IN ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED') AND r.filled <> {_FILLED} AS late
        FROM p JOIN orders r ON r.client_id = p.client_id
        """,
        owner_id,
        ids.decode(ids.BULK, bulk_id),
        limit,
    )
    return {row["client_id"]: row["late"] for row in rows}


async def take_news(owner_id: int, tx: Tx, client_ids: Sequence[str]) -> list[str]:
    """Take orders off the list of those whose plans are to be told, and return these plans, by public id."""
    rows = await tx.fetch(
        """
        WITH told AS (
            UPDATE pool_orders SET has_news = false WHERE owner_id = $1 AND client_id = ANY ($2) RETURNING client_id
        )
        SELECT DISTINCT l.public_id FROM told JOIN orders r ON r.client_id = told.client_id
        JOIN plans l ON l.id = r.plan_id WHERE l.owner_id = $1
        """,
        owner_id,
        client_ids,
    )
    return [ids.encode(ids.PLAN, row["public_id"]) for row in rows]


async def load_place(owner_id: int, tx: Tx, client_id: str) -> Place | None:
    """Return where an order is in its pool, None where it never came."""
    row = await tx.row(
        """
        SELECT p.status, b.public_id FROM pool_orders p LEFT JOIN blocks b ON b.id = p.block_id
        WHERE p.owner_id = $1 AND p.client_id = $2
        """,
        owner_id,
        client_id,
    )
    if row is None:
        return None
    return Place(OrderStatus(row["status"]), ids.encode(ids.BLOCK, row["public_id"]) if row["public_id"] else None)
