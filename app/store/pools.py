# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Blocks: what orders of one owner in one asset were put together to, as their broker has it, and who is in them.

Whoever changes blocks has the owner's turn at the pool; so no two of them ever wait for each other's rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import asyncpg

from app.core import ids
from app.core.blocks import MEMBERS_MAX, Gathered, Piece, Tended
from app.core.order_values import Block, Fill
from app.store import orders, turns
from app.store.assets import load_asset_keys
from app.store.db import Tx
from app.store.pool_orders import POOLED, WAITS

_JOINED: Final = "JOIN accounts c ON c.id = o.account_id JOIN assets a ON a.id = o.asset_id"
_BLOCKS: Final = f"""
    SELECT {orders.SENT}, (SELECT k.public_id FROM bulks k WHERE k.id = o.bulk_id) AS bulk_public_id
    FROM blocks o {_JOINED}
"""
_LIVE: Final = "('PENDING', 'PLACING', 'WORKING', 'CANCELLING', 'UNKNOWN')"
_LEAVING: Final = """
    EXISTS (
        SELECT FROM pool_orders p WHERE p.owner_id = o.owner_id AND p.block_id = o.id AND p.leave_asked_at IS NOT NULL
    )
"""
# It may not be sent while an order of it may not, or when all have gone.
_HELD: Final = """
    (SELECT halted_at IS NOT NULL FROM trading_halt)
    OR coalesce((
        SELECT bool_or(l.cancel_asked_at IS NOT NULL OR f.halted_at IS NOT NULL)
        FROM pool_orders p JOIN orders r ON r.client_id = p.client_id JOIN plans l ON l.id = r.plan_id
        JOIN portfolios f ON f.id = l.portfolio_id WHERE p.owner_id = o.owner_id AND p.block_id = o.id
    ), true)
"""
_DUE: Final = f"""
    o.status IN {_LIVE} AND (o.ask_at IS NULL OR o.ask_at <= $1 OR o.status IN ('PENDING', 'WORKING') AND {_LEAVING})
"""


@dataclass(frozen=True, slots=True)
class Share:
    """An order in a block: what it brought into it, and what it was handed out by now, units and fees.

    `place` is where it stands among the others, from 1.
    """

    client_id: str
    order_id: str
    plan_id: str
    quantity: Decimal
    filled: Decimal
    fees: Decimal
    place: int


async def load_blocks(
    owner_id: int, tx: Tx, limit: int, *, bulk_id: str | None = None, before: str | None = None
) -> list[Block]:
    """Return an owner's blocks, newest first: those of one bulk, and before one by its public id, where given."""
    rows = await tx.fetch(
        f"""
        {_BLOCKS} WHERE o.owner_id = $1
            AND (NOT $2 OR o.bulk_id = (SELECT id FROM bulks WHERE public_id = $3))
            AND ($4::uuid IS NULL OR o.id < (SELECT id FROM blocks WHERE owner_id = $1 AND public_id = $4))
        ORDER BY o.id DESC LIMIT $5
        """,
        owner_id,
        bulk_id is not None,
        ids.decode(ids.BULK, bulk_id) if bulk_id else None,
        ids.decode(ids.BLOCK, before) if before else None,
        limit,
    )
    return [block_of(row) for row in rows]


async def load_block(owner_id: int, tx: Tx, block_id: str) -> Block | None:
    """Return a block by its public id, None when this owner has none such."""
    uuid = ids.decode(ids.BLOCK, block_id)
    row = await tx.row(f"{_BLOCKS} WHERE o.owner_id = $1 AND o.public_id = $2", owner_id, uuid)
    return block_of(row) if row else None


async def blocks_of_orders(owner_id: int, tx: Tx, client_ids: Sequence[str]) -> dict[str, Block]:
    """Return by client id the block that each order was put into last; those that never were are left out."""
    rows = await tx.fetch(
        f"""
        SELECT DISTINCT ON (m.client_id) m.client_id AS member, b.* FROM block_members m
        CROSS JOIN LATERAL ({_BLOCKS} WHERE o.owner_id = $1 AND o.id = m.block_id) b
        WHERE m.owner_id = $1 AND m.client_id = ANY ($2) ORDER BY m.client_id, m.block_id DESC
        """,
        owner_id,
        client_ids,
    )
    return {row["member"]: block_of(row) for row in rows}


async def load_shares(
    owner_id: int, tx: Tx, block_ids: Sequence[str], *, after: int = 0, limit: int = MEMBERS_MAX
) -> dict[str, list[Share]]:
    """Return the orders in blocks, by the blocks' public ids, in the order in which they share.

    Of each block those after a place are returned, at most `limit`.
    """
    rows = await tx.fetch(
        """
        SELECT b.public_id AS block, m.client_id, o.public_id AS order_public_id, l.public_id AS plan_public_id,
            trim_scale(m.quantity) AS quantity, trim_scale(coalesce(p.filled, 0)) AS filled,
            trim_scale(coalesce(p.fees, 0)) AS fees, m.place
        FROM blocks b JOIN block_members m ON m.block_id = b.id JOIN orders o ON o.client_id = m.client_id
        JOIN plans l ON l.id = o.plan_id
        LEFT JOIN LATERAL (
            SELECT sum(quantity) AS filled, sum(fee) AS fees FROM block_pieces
            WHERE client_id = m.client_id AND block_id = m.block_id
        ) p ON true
        WHERE b.owner_id = $1 AND b.public_id = ANY ($2) AND m.place > $3 AND m.place <= $3 + $4
        ORDER BY b.id, m.place
        """,
        owner_id,
        [uuid for block_id in block_ids if (uuid := ids.decode(ids.BLOCK, block_id))],
        after,
        limit,
    )
    found: dict[str, list[Share]] = {}
    for row in rows:
        share = Share(
            row["client_id"],
            ids.encode(ids.ORDER, row["order_public_id"]),
            ids.encode(ids.PLAN, row["plan_public_id"]),
            *(row["quantity"], row["filled"], row["fees"], row["place"]),
        )
        found.setdefault(ids.encode(ids.BLOCK, row["block"]), []).append(share)
    return found


def block_of(row: asyncpg.Record) -> Block:
    """Return the core value of a row of `blocks`."""
    return Block(**orders.sent_of(row, ids.BLOCK), gathered_in=ids.encode(ids.BULK, row["bulk_public_id"]))


async def scan_due(tx: Tx, wall: datetime, since: datetime, limit: int) -> list[tuple[int, str]]:
    """Return owner and bulk of pools in which there is something to do: of orders that wait since then, of blocks that
    are to be asked for, and of news for plans."""
    rows = await tx.fetch(
        f"""
        SELECT found.owner_id, k.public_id FROM (
            SELECT p.owner_id, p.bulk_id FROM {POOLED} WHERE {WAITS} AND p.arrived_at <= $2
            UNION SELECT o.owner_id, o.bulk_id FROM blocks o WHERE {_DUE}
            UNION SELECT owner_id, bulk_id FROM pool_orders WHERE has_news
        ) found JOIN bulks k ON k.id = found.bulk_id ORDER BY k.id, found.owner_id LIMIT $3
        """,
        wall,
        since,
        limit,
    )
    return [(row["owner_id"], ids.encode(ids.BULK, row["public_id"])) for row in rows]


async def take_turn(owner_id: int, tx: Tx) -> None:
    """Wait for the others who change blocks of an owner, and keep them waiting until the end."""
    await turns.scan_take_turns(tx, turns.POOL, [owner_id])


async def load_tended(owner_id: int, tx: Tx, bulk_id: str, wall: datetime, limit: int) -> list[Tended]:
    """Lock and return blocks of a bulk about which there is something to do, at most `limit`.

    Those that an order wants to leave come first, then those that have waited longest: no block keeps others waiting.
    """
    rows = await tx.fetch(
        f"""
        SELECT {orders.SENT}, k.public_id AS bulk_public_id, {_LEAVING} AS leaving,
            o.status = 'PENDING' AND ({_HELD}) AS held
        FROM blocks o {_JOINED} JOIN bulks k ON k.id = o.bulk_id
        WHERE o.owner_id = $2 AND k.public_id = $3 AND {_DUE}
        ORDER BY leaving DESC, o.ask_at NULLS FIRST, o.id LIMIT $4 FOR NO KEY UPDATE OF o
        """,
        wall,
        owner_id,
        ids.decode(ids.BULK, bulk_id),
        limit,
    )
    return [Tended(block_of(row), row["leaving"], row["held"]) for row in rows]


async def is_held_back(owner_id: int, tx: Tx, block: Block) -> bool:
    """Say whether a block is not to be sent: an order of it wants to leave, or may not be sent itself."""
    found = await tx.value(
        f"SELECT {_LEAVING} OR {_HELD} FROM blocks o WHERE o.owner_id = $1 AND o.client_id = $2",
        owner_id,
        block.client_id,
    )
    return bool(found)


async def lock_block(owner_id: int, tx: Tx, block: Block) -> Block:
    """Lock a block and return it as it is stored by now."""
    row = await tx.row(
        f"{_BLOCKS} WHERE o.owner_id = $1 AND o.client_id = $2 FOR NO KEY UPDATE OF o", owner_id, block.client_id
    )
    assert row is not None, "blocks are never deleted"
    return block_of(row)


async def insert_block(owner_id: int, tx: Tx, made: Gathered) -> None:
    """Write a new block with its orders, which wait no more."""
    block = made.block
    asset_keys = await load_asset_keys(tx, [block.asset.id])
    key = await tx.value(
        """
        INSERT INTO blocks (
            public_id, owner_id, bulk_id, client_id, broker, account_id, asset_id, side, style, quantity, limit_price,
            status, placed_at, ask_at
        ) VALUES (
            $2, $1, (SELECT id FROM bulks WHERE public_id = $3), $4, $5,
            (SELECT id FROM accounts WHERE owner_id = $1 AND public_id = $6), $7, $8, $9, $10, $11, $12, $13, $14
        ) RETURNING id
        """,
        *(owner_id, ids.decode(ids.BLOCK, block.id), ids.decode(ids.BULK, block.gathered_in), block.client_id),
        *(block.broker.value, ids.decode(ids.ACCOUNT, block.account_id), asset_keys[block.asset.id]),
        *(block.side.value, block.style.value, block.quantity, block.limit, block.status.value),
        *(block.placed_at, block.ask_at),
    )
    members = [(key, place, owner_id, member.client_id, member.left) for place, member in enumerate(made.members, 1)]
    await tx.copy("block_members", ("block_id", "place", "owner_id", "client_id", "quantity"), members)
    await tx.execute(
        "UPDATE pool_orders SET block_id = $2 WHERE owner_id = $1 AND client_id = ANY ($3)",
        owner_id,
        key,
        [member.client_id for member in made.members],
    )


async def save_block(owner_id: int, tx: Tx, block: Block) -> None:
    """Write how a block is from now on, what is filled of it included. The caller has the owner's turn."""
    await tx.execute(
        f"""
        UPDATE blocks SET {orders.SAVED}, filled = $14, filled_value = $15, fees = $16
        WHERE owner_id = $1 AND client_id = $2
        """,
        *orders.saved_of(owner_id, block),
        *(block.filled, block.filled_value, block.fees),
    )


async def load_fills(owner_id: int, tx: Tx, block: Block) -> list[Fill]:
    """Return the fills of a block that are known, in the order in which they became so."""
    rows = await tx.fetch(
        """
        SELECT f.broker_fill_id, trim_scale(f.quantity) AS quantity, trim_scale(f.price) AS price,
            trim_scale(f.fee) AS fee, f.filled_at
        FROM block_fills f JOIN blocks b ON b.id = f.block_id
        WHERE f.owner_id = $1 AND b.client_id = $2 ORDER BY f.number
        """,
        owner_id,
        block.client_id,
    )
    return [Fill(row["broker_fill_id"], row["quantity"], row["price"], row["fee"], row["filled_at"]) for row in rows]


async def append_fills(owner_id: int, tx: Tx, block: Block, known: int, fills: Sequence[Fill]) -> None:
    """Write fills of a block after those that are known."""
    key = await _key(owner_id, tx, block)
    columns = ("block_id", "number", "owner_id", "broker_fill_id", "quantity", "price", "fee", "filled_at")
    records = [
        (key, number, owner_id, fill.broker_fill_id, fill.quantity, fill.price, fill.fee, fill.filled_at)
        for number, fill in enumerate(fills, known + 1)
    ]
    await tx.copy("block_fills", columns, records)


async def count_pieces(owner_id: int, tx: Tx, block: Block) -> int:
    """Return how many pieces of a block's fills were handed out."""
    found = await tx.value(
        "SELECT count(*) FROM block_pieces WHERE owner_id = $1 AND block_id = $2",
        owner_id,
        await _key(owner_id, tx, block),
    )
    return int(found)


async def append_pieces(
    owner_id: int, tx: Tx, block: Block, pieces: Sequence[Piece], client_ids: Sequence[str]
) -> None:
    """Hand out pieces of a block's fills; `client_ids` are those of its orders, by place."""
    key = await _key(owner_id, tx, block)
    columns = ("block_id", "client_id", "fill", "since", "owner_id", "quantity", "fee")
    records = [
        (key, client_ids[piece.member - 1], piece.fill, piece.since, owner_id, piece.quantity, piece.fee)
        for piece in pieces
    ]
    await tx.copy("block_pieces", columns, records)


async def _key(owner_id: int, tx: Tx, block: Block) -> int:
    found = await tx.value("SELECT id FROM blocks WHERE owner_id = $1 AND client_id = $2", owner_id, block.client_id)
    assert found is not None
    return int(found)


async def hasten_block(owner_id: int, tx: Tx, block_id: str, *, wall: datetime) -> None:
    """Let the broker of a block be asked at once: something outside has changed."""
    await tx.execute(
        """
        UPDATE blocks SET ask_at = $3 WHERE owner_id = $1 AND public_id = $2 AND ask_at > $3
            AND status IN ('WORKING', 'CANCELLING', 'UNKNOWN')
        """,
        owner_id,
        ids.decode(ids.BLOCK, block_id),
        wall,
    )
