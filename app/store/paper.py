# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The paper broker's own books. They are nobody's: it is told tickets by client id and knows no owner or plan.

Of an account it knows the id, and looks up whose fees are paid there.
What was told of an order stays: fills are only added, and `seen_until` says up to when prices were looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from app.core import ids
from app.core.order_values import Fill, OrderStatus, OrderStyle, Ticket
from app.core.paper import PaperOrder
from app.core.portfolio import Market, Price
from app.core.trades import TradeSide
from app.store import brokers
from app.store.assets import COLUMNS, asset_of
from app.store.db import Tx
from app.store.market import load_market


async def add_order(tx: Tx, order: PaperOrder) -> None:
    """Write an order that was just taken in; one that is known by its client id stays as it is."""
    ticket = order.ticket
    await tx.execute(
        """
        INSERT INTO paper_orders (
            client_id, account_ref, asset_id, side, style, quantity, limit_price, status, message, placed_at, seen_until
        ) SELECT $1, $2, a.id, $4, $5, $6, $7, $8, $9, $10, $11 FROM assets a WHERE a.public_id = $3
        ON CONFLICT (client_id) DO NOTHING
        """,
        ticket.client_id,
        ticket.account_id,
        ids.decode(ids.ASSET, ticket.asset.id),
        ticket.side.value,
        ticket.style.value,
        ticket.quantity,
        ticket.limit,
        order.status.value,
        order.message,
        order.placed_at,
        order.seen_until,
    )


async def lock_order(tx: Tx, client_id: str) -> PaperOrder | None:
    """Return an order with its fills, locked until the transaction ends; None when it never came."""
    row = await tx.row(
        f"""
        SELECT o.account_ref, o.side, o.style, trim_scale(o.quantity) AS quantity,
            trim_scale(o.limit_price) AS limit_price, o.status, o.message, o.placed_at, o.seen_until, {COLUMNS}
        FROM paper_orders o JOIN assets a ON a.id = o.asset_id WHERE o.client_id = $1 FOR UPDATE OF o
        """,
        client_id,
    )
    if row is None:
        return None
    fills = await tx.fetch(
        """
        SELECT number, trim_scale(quantity) AS quantity, trim_scale(price) AS price, trim_scale(fee) AS fee, filled_at
        FROM paper_fills WHERE client_id = $1 ORDER BY number
        """,
        client_id,
    )
    return PaperOrder(
        _ticket_of(client_id, row),
        OrderStatus(row["status"]),
        row["placed_at"],
        row["seen_until"],
        tuple(_fill_of(fill) for fill in fills),
        row["message"],
    )


def _ticket_of(client_id: str, row: asyncpg.Record) -> Ticket:
    side, style = TradeSide(row["side"]), OrderStyle(row["style"])
    return Ticket(client_id, row["account_ref"], asset_of(row), side, row["quantity"], style, row["limit_price"])


def _fill_of(row: asyncpg.Record) -> Fill:
    return Fill(str(row["number"]), row["quantity"], row["price"], row["fee"], row["filled_at"])


async def save_progress(tx: Tx, before: PaperOrder, after: PaperOrder) -> None:
    """Write how an order that is locked has moved on: its new fills, and how it stands."""
    client_id = after.ticket.client_id
    new = after.fills[len(before.fills) :]
    await tx.many(
        """
        INSERT INTO paper_fills (client_id, number, quantity, price, fee, filled_at) VALUES ($1, $2, $3, $4, $5, $6)
        """,
        [(client_id, int(fill.broker_fill_id), fill.quantity, fill.price, fill.fee, fill.filled_at) for fill in new],
    )
    await tx.execute(
        "UPDATE paper_orders SET status = $2, message = $3, seen_until = $4 WHERE client_id = $1",
        client_id,
        after.status.value,
        after.message,
        after.seen_until,
    )


async def load_prices(tx: Tx, asset_id: str, since: datetime, until: datetime, most: int) -> Sequence[Price]:
    """Return the last price recorded at or before `since`, and the first `most` after it up to `until`, in order."""
    rows = await tx.fetch(
        """
        WITH mine AS (SELECT h.* FROM price_history h JOIN assets a ON a.id = h.asset_id WHERE a.public_id = $1)
        (SELECT trim_scale(price) AS price, priced_at, source FROM mine WHERE priced_at <= $2
         ORDER BY priced_at DESC LIMIT 1)
        UNION ALL
        (SELECT trim_scale(price), priced_at, source FROM mine WHERE priced_at > $2 AND priced_at <= $3
         ORDER BY priced_at LIMIT $4)
        """,
        ids.decode(ids.ASSET, asset_id),
        since,
        until,
        most,
    )
    return sorted((Price(row["price"], row["priced_at"], row["source"]) for row in rows), key=lambda p: p.priced_at)


async def scan_fee_market(tx: Tx, account_ref: str) -> tuple[str, Market]:
    """Return the broker whose fees an account pays, empty for none, and a market that knows it and all rates."""
    row = await tx.row(
        f"SELECT {brokers.COLUMNS} FROM accounts a JOIN brokers b ON b.id = a.broker_id WHERE a.public_id = $1",
        ids.decode(ids.ACCOUNT, account_ref),
    )
    if row is None:
        return "", Market({}, {})
    broker = brokers.broker_of(row)
    return broker.name, replace(await load_market(tx, []), brokers={broker.name: broker})
