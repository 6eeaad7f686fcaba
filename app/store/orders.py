# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Orders as rows. What is filled of them is written where fills are booked, everything else here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.order_values import BrokerKind, CancelCause, Order, OrderStatus, Sent
from app.core.policy import OrderStyle
from app.core.trades import TradeSide
from app.store import assets
from app.store.assets import load_asset_keys
from app.store.db import Tx

SENT: Final = f"""
    o.public_id AS order_public_id, o.client_id, o.broker, c.public_id AS account_public_id, o.side, o.style,
    trim_scale(o.quantity) AS quantity, trim_scale(o.limit_price) AS limit_price, o.status,
    trim_scale(o.filled) AS filled, trim_scale(o.filled_value) AS filled_value, trim_scale(o.fees) AS fees,
    o.broker_order_id, o.placed_at, o.ended_at, o.message, o.cause, o.ask_at, o.asks, o.lost, {assets.COLUMNS}
"""
"""Columns of what is sent to brokers, an order or a block: `o`, in the account `c`, of the asset `a`."""
SAVED: Final = """
    quantity = $3, limit_price = $4, status = $5, broker_order_id = $6, placed_at = $7, ended_at = $8, message = $9,
    cause = $10, ask_at = $11, asks = $12, lost = $13
"""
_ORDERS: Final = f"""
    SELECT o.plan_id, l.public_id AS plan_public_id, o.leg, o.slice, o.due_at, trim_scale(o.handed_in) AS handed_in,
        (SELECT b.public_id FROM bulks b WHERE b.id = o.pool_id) AS pool_public_id, {SENT}
    FROM orders o JOIN plans l ON l.id = o.plan_id JOIN accounts c ON c.id = o.account_id
    JOIN assets a ON a.id = o.asset_id
"""


async def load_orders(owner_id: int, tx: Tx, plan_keys: Sequence[int]) -> dict[int, tuple[Order, ...]]:
    """Return the orders of plans by the plans' rows, each plan's by leg and slice. One statement."""
    rows = await tx.fetch(
        f"{_ORDERS} WHERE o.owner_id = $1 AND o.plan_id = ANY ($2) ORDER BY o.plan_id, o.leg, o.slice",
        owner_id,
        plan_keys,
    )
    found: dict[int, list[Order]] = {key: [] for key in plan_keys}
    for row in rows:
        found[row["plan_id"]].append(_order_of(row))
    return {key: tuple(orders) for key, orders in found.items()}


async def load_order(owner_id: int, tx: Tx, order: Order) -> Order:
    """Return an order as it is stored by now."""
    [found] = await load_known(owner_id, tx, [order.client_id])
    return found


async def load_known(owner_id: int, tx: Tx, client_ids: Sequence[str]) -> list[Order]:
    """Return orders by client id."""
    rows = await tx.fetch(f"{_ORDERS} WHERE o.owner_id = $1 AND o.client_id = ANY ($2)", owner_id, client_ids)
    return [_order_of(row) for row in rows]


async def insert_orders(
    owner_id: int, tx: Tx, plan_key: int, orders: Sequence[Order], new_uuid: Callable[[], UUID]
) -> list[Order]:
    """Write new orders of a plan and return them with their ids; one that is there already is an error.

    They go through the pool that the plan was approved for, if it was.
    """
    uuids = [new_uuid() for _ in orders]
    pool = await tx.row(
        "SELECT l.pool_id, b.public_id FROM plans l LEFT JOIN bulks b ON b.id = l.pool_id "
        "WHERE l.owner_id = $1 AND l.id = $2",
        owner_id,
        plan_key,
    )
    assert pool is not None
    pool_id = ids.encode(ids.BULK, pool["public_id"]) if pool["public_id"] else None
    asset_keys = await load_asset_keys(tx, [order.asset.id for order in orders])
    account_keys = await _account_keys(owner_id, tx, orders)
    columns = (
        *("plan_id", "leg", "slice", "owner_id", "public_id", "client_id", "broker", "account_id", "asset_id"),
        *("side", "style", "quantity", "due_at", "status", "message", "pool_id"),
    )
    records = [
        (
            *(plan_key, order.leg, order.slice, owner_id, uuid, order.client_id, order.broker.value),
            *(account_keys[order.account_id], asset_keys[order.asset.id], order.side.value, order.style.value),
            *(order.quantity, order.due_at, order.status.value, order.message, pool["pool_id"]),
        )
        for order, uuid in zip(orders, uuids, strict=True)
    ]
    await tx.copy("orders", columns, records)
    made = zip(orders, uuids, strict=True)
    return [replace(order, id=ids.encode(ids.ORDER, uuid), pool=pool_id) for order, uuid in made]


async def _account_keys(owner_id: int, tx: Tx, orders: Sequence[Order]) -> Mapping[str, int]:
    rows = await tx.fetch(
        "SELECT id, public_id FROM accounts WHERE owner_id = $1 AND public_id = ANY ($2)",
        owner_id,
        [ids.decode(ids.ACCOUNT, order.account_id) for order in orders],
    )
    return {ids.encode(ids.ACCOUNT, row["public_id"]): row["id"] for row in rows}


async def save_orders(owner_id: int, tx: Tx, orders: Sequence[Order]) -> None:
    """Write how orders are from now on, but for what is filled of them. The caller holds the portfolio's lock."""
    sql = f"UPDATE orders SET {SAVED}, handed_in = $14 WHERE owner_id = $1 AND client_id = $2"
    await tx.many(sql, [(*saved_of(owner_id, order), order.handed_in) for order in orders])


def saved_of(owner_id: int, sent: Sent) -> tuple[object, ...]:
    """Return the values of a statement with `SAVED`: the owner, the client id, and how it is from now on."""
    cause = sent.cause.value if sent.cause else None
    return (
        *(owner_id, sent.client_id, sent.quantity, sent.limit, sent.status.value, sent.broker_order_id),
        *(sent.placed_at, sent.ended_at, sent.message, cause, sent.ask_at, sent.asks, sent.lost),
    )


def sent_of(row: asyncpg.Record, prefix: str) -> dict[str, Any]:
    """Return what a row with `SENT` says, by the names of core's fields."""
    return {
        "id": ids.encode(prefix, row["order_public_id"]),
        "client_id": row["client_id"],
        "broker": BrokerKind(row["broker"]),
        "account_id": ids.encode(ids.ACCOUNT, row["account_public_id"]),
        "asset": assets.asset_of(row),
        "side": TradeSide(row["side"]),
        "style": OrderStyle(row["style"]),
        "quantity": row["quantity"],
        "limit": row["limit_price"],
        "status": OrderStatus(row["status"]),
        "filled": row["filled"],
        "filled_value": row["filled_value"],
        "fees": row["fees"],
        "broker_order_id": row["broker_order_id"],
        "placed_at": row["placed_at"],
        "ended_at": row["ended_at"],
        "message": row["message"],
        "cause": CancelCause(row["cause"]) if row["cause"] else None,
        "ask_at": row["ask_at"],
        "asks": row["asks"],
        "lost": row["lost"],
    }


def _order_of(row: asyncpg.Record) -> Order:
    return Order(
        **sent_of(row, ids.ORDER),
        plan_id=ids.encode(ids.PLAN, row["plan_public_id"]),
        leg=row["leg"],
        slice=row["slice"],
        due_at=row["due_at"],
        handed_in=row["handed_in"],
        pool=ids.encode(ids.BULK, row["pool_public_id"]) if row["pool_public_id"] else None,
    )
