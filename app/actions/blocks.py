"""Blocks: listed, found, and what an order has to do with them; what people record of those they work."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from app.actions import once, pools, recording
from app.actions.pages import Page, id_of, key_of, page_of, row_of
from app.context import Context
from app.core import ids
from app.core.blocks import MEMBERS_MAX
from app.core.errors import LimitExceeded, NotFound, SteelyardError
from app.core.manual import OrderDraft
from app.core.order_values import Block
from app.store import history, manual, portfolios
from app.store import pools as rows
from app.store.db import Tx
from app.store.pools import Share as Share

ORDERS_MAX: Final = 2 * MEMBERS_MAX
"""The portfolios of so many orders, at most, are held up at once; each gets a line of history for each block."""


async def page(context: Context, first: int, after: str | None, bulk_id: str | None) -> Page[Block]:
    """List the caller's blocks, newest first: all, or those of the orders that were approved in one bulk."""
    before = key_of(after, id_of(ids.BLOCK))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await rows.load_blocks(context.owner_id, tx, first + 1, bulk_id=bulk_id, before=before)
    return page_of(found, first, lambda block: block.id)


async def of_orders(context: Context, client_ids: Sequence[str]) -> list[Block | None]:
    """Return for each order, by client id, the block that it was put into last."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await rows.blocks_of_orders(context.owner_id, tx, client_ids)
    return [found.get(client_id) for client_id in client_ids]


async def shares(context: Context, asked: Sequence[tuple[str, int, str | None]]) -> list[Page[Share]]:
    """Return for each block, page size and cursor a page of the orders in it, in the order in which they share.

    One statement for all blocks of which the same page is asked for.
    """
    pages: dict[tuple[int, str | None], list[str]] = defaultdict(list)
    for block_id, first, after in asked:
        pages[first, after].append(block_id)
    found: dict[tuple[str, int, str | None], list[Share]] = {}
    async with context.store.owned(context.owner_id, reading=True) as tx:
        for (first, after), block_ids in pages.items():
            place = key_of(after, row_of) or 0
            loaded = await rows.load_shares(context.owner_id, tx, block_ids, after=place, limit=first + 1)
            found |= {(block_id, first, after): some for block_id, some in loaded.items()}
    return [page_of(found.get(one, []), one[1], lambda share: str(share.place)) for one in asked]


async def record(context: Context, drafts: Sequence[OrderDraft], key: str) -> list[Block]:
    """Record fills of blocks that a person works, all or none and once for each key; return the blocks.

    They are shared out among the orders by whoever works the blocks, which is told at once.
    """
    recording.check_drafts(drafts, "block")
    async with context.store.owned(context.owner_id) as tx:
        await lock(context, tx, [draft.order_id for draft in drafts])
        if not await once.begin(context, tx, key, "blockFillsRecord", tuple(drafts)):
            await _record(context, tx, drafts)
            await once.finish(context, tx, key, drafts[0].order_id)
        blocks = [await load(context, tx, draft.order_id) for draft in drafts]
    for bulk_id in {block.gathered_in for block in blocks}:
        await pools.enqueue(context, context.owner_id, bulk_id)
    return blocks


async def lock(context: Context, tx: Tx, block_ids: Sequence[str]) -> None:
    """Wait for others who change blocks, or the portfolios with orders in these: each gets a line of history."""
    owner_id = context.owner_id
    count = await manual.count_orders_in(owner_id, tx, block_ids)
    if count > ORDERS_MAX:
        message = f"there are {count} orders in these blocks; at most {ORDERS_MAX} are told at once: name fewer blocks"
        raise LimitExceeded(message, ["blocks"])
    await portfolios.lock_portfolios(owner_id, tx, await manual.load_portfolios_of(owner_id, tx, block_ids))
    await rows.take_turn(owner_id, tx)


async def load(context: Context, tx: Tx, block_id: str) -> Block:
    """Return a block, or raise NotFound."""
    block = await rows.load_block(context.owner_id, tx, block_id)
    if block is None:
        raise NotFound("block", block_id, ["blockId"])
    return block


async def _record(context: Context, tx: Tx, drafts: Sequence[OrderDraft]) -> None:
    owner_id = context.owner_id
    blocks = await manual.lock_blocks(owner_id, tx, [draft.order_id for draft in drafts])
    for place, draft in enumerate(drafts):
        try:
            if draft.order_id not in blocks:
                raise NotFound("block", draft.order_id, ["blockId"])
            told = await recording.record_one(context, tx, blocks[draft.order_id], draft)
        except SteelyardError as error:
            raise error.under("blocks", place) from None
        await note(context, tx, draft.order_id, "FILLS_RECORDED", told)
        await rows.hasten_block(owner_id, tx, draft.order_id, wall=context.wall)


async def note(context: Context, tx: Tx, block_id: str, kind: str, document: dict[str, object]) -> None:
    """Write what was said of a block to the history of each portfolio with an order in it."""
    owner_id, actor, now = context.owner_id, context.actor, context.now
    keys = await manual.load_portfolios_of(owner_id, tx, [block_id])
    await history.append_alike(owner_id, tx, keys, kind, block_id, actor, now, document)
