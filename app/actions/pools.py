"""Pools: orders of plans that were approved in one bulk are put together by asset, and their blocks are worked.

Who changes an owner's blocks has the owner's turn, and holds no portfolio. Everything else is as with orders: a block
is stored before its broker hears of it, its broker has it under an id that only it has, and whoever holds its lease
records the answer. What a block was filled is shared out in the transaction that writes it; the plans are told after.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Final

import structlog

from app.actions import executing
from app.actions.access import domain_now
from app.actions.calling import CALL_S, Answer, Brokers, after, call
from app.bus.jobs import POOL_WORK
from app.context import Services, new_uuid, wall_now
from app.core import booking, ids
from app.core.answering import excess_of
from app.core.blocks import (
    MEMBERS_MAX,
    BlockStep,
    Piece,
    Waiting,
    allocate,
    decide,
    fresh_fills,
    gather,
    is_late,
    standing,
)
from app.core.desk import Act
from app.core.errors import SteelyardError
from app.core.money import EXACT, ZERO
from app.core.order_values import ENDED, Block, BrokerOrder, CancelCause, Fill, Order, OrderStatus
from app.core.settling import difference
from app.core.working import CALLS_MAX
from app.store import executions, manual, order_alerts, orders, pool_orders, pools, portfolios
from app.store.db import StoreUnavailable, Tx
from app.store.pool_orders import Member, Moved

RUN_S: Final = 60.0
SWEEP_MAX: Final = 1000
TENDED_MAX: Final = CALLS_MAX // 2
"""So many blocks are asked for in one go: as many new ones are sent, however many there are to ask for."""
TOLD_MAX: Final = 200
"""Plans of so many orders are told at once, so that each of them is held up but shortly."""
LATE: Final = "the session ended before it was sent"

log = structlog.get_logger(__name__)


async def scan_due(services: Services) -> int:
    """Ask for the pools in which there is something to do; the database is the truth."""
    wall = wall_now()
    async with services.store.shared() as tx:
        due = await pools.scan_due(tx, wall, _since(services, wall), SWEEP_MAX)
    for owner_id, bulk_id in due:
        await enqueue(services, owner_id, bulk_id)
    return len(due)


async def enqueue(services: Services, owner_id: int, bulk_id: str) -> None:
    """Ask for an owner's part of a pool to be worked on. While that waits, every other is the same."""
    await services.bus.enqueue(POOL_WORK, owner_id, bulk_id, unique=f"{bulk_id}:{owner_id}")


def _since(services: Services, wall: datetime) -> datetime:
    return wall - timedelta(seconds=services.settings.block_window_s)


async def work(services: Services, owner_id: int, bulk_id: str, brokers: Brokers) -> None:
    """Put an owner's orders together and work the blocks, until nothing can be done at once."""
    ends = monotonic() + RUN_S
    while monotonic() < ends:
        steps = await _decide(services, owner_id, bulk_id)
        for step in steps or ():
            await _carry_out(services, owner_id, step, brokers)
        told = await _tell(services, owner_id, bulk_id, brokers)
        if steps is None and not told:
            return


async def _decide(services: Services, owner_id: int, bulk_id: str) -> list[BlockStep] | None:
    """Decide and store what was decided; return what brokers are to be told, None when there is nothing to do."""
    now, wall = await domain_now(services), wall_now()
    async with services.store.owned(owner_id) as tx:
        await pools.take_turn(owner_id, tx)
        steps = decide(await pools.load_tended(owner_id, tx, bulk_id, wall, TENDED_MAX), now, wall, TENDED_MAX)
        for step in steps:
            await pools.save_block(owner_id, tx, step.block)
            if step.block.status in ENDED:
                await _let_out(owner_id, tx, step.block, await _members(owner_id, tx, step.block), (), wall)
        calls = [step for step in steps if step.act is not Act.KEEP]
        made, over = await _gather(services, owner_id, tx, bulk_id, CALLS_MAX - len(calls), now, wall)
    return [*calls, *made] if steps or made or over else None


async def _gather(
    services: Services, owner_id: int, tx: Tx, bulk_id: str, most: int, now: datetime, wall: datetime
) -> tuple[list[BlockStep], list[Moved]]:
    """Put together what is due, in at most so many blocks; return what to hand in, and what is over for orders."""
    since = _since(services, wall)
    waiting = await pool_orders.lock_waiting(owner_id, tx, bulk_id, since, most * MEMBERS_MAX) if most else []
    over = [ended for order in waiting if (ended := _over(order, now))]
    await pool_orders.save_moved(owner_id, tx, over, wall)
    gone = {ended.client_id for ended in over}
    rest = [order for order in waiting if order.client_id not in gone]
    made = gather(rest, bulk_id, since, now, wall, lambda: ids.encode(ids.BLOCK, new_uuid()), most)
    for one in made:
        await pools.insert_block(owner_id, tx, one)
    return [BlockStep(Act.PLACE, one.block) for one in made], over


def _over(order: Waiting, now: datetime) -> Moved | None:
    if order.left <= ZERO:
        return Moved(order.client_id, OrderStatus.FILLED, "")
    return Moved(order.client_id, OrderStatus.EXPIRED, LATE) if is_late(order, now) else None


async def _carry_out(services: Services, owner_id: int, step: BlockStep, brokers: Brokers) -> None:
    """Tell or ask a broker and record the answer. A lease that is nearly over is let be: another may have it by now.

    A block that an order wants to leave by now, or that may not be sent any more, is not: whoever holds the lease knows
    that nobody got it.
    """
    block = step.block
    assert block.ask_at
    held_back = step.act is Act.PLACE and await _is_held_back(services, owner_id, block)
    if wall_now() + timedelta(seconds=CALL_S) > block.ask_at:
        return
    answer = None if held_back else await call(step.act, block, brokers)
    try:
        late = await _record(services, owner_id, step, answer)
    except StoreUnavailable:
        raise
    except SteelyardError as error:
        log.error("block_not_shared_out", block=block.client_id, reason=error.message)
        late = await _record(services, owner_id, step, f"its fills cannot be shared out: {error.message}")
    if isinstance(answer, BrokerOrder) and late is not None:
        if answer.status not in ENDED:  # a person said that nothing more comes of it
            ending = replace(step, act=Act.CANCEL)
            late = await _record(services, owner_id, ending, await call(ending.act, block, brokers)) or late
        await _tell_late(services, owner_id, block, late)


async def _is_held_back(services: Services, owner_id: int, block: Block) -> bool:
    async with services.store.owned(owner_id, reading=True) as tx:
        return await pools.is_held_back(owner_id, tx, block)


async def _record(services: Services, owner_id: int, step: BlockStep, answer: Answer) -> str | None:
    """Write and share out the fills of an answer, and store the block as it is now.

    The answer counts only for who still has the block's lease, as a newer one may be recorded already; fills do until
    the block has ended. Of one that a person has settled, what an answer adds is not shared out: in which order cannot
    be made good any more. In what it differs from that is returned.
    """
    now, wall = await domain_now(services), wall_now()
    async with services.store.owned(owner_id) as tx:
        await pools.take_turn(owner_id, tx)
        block = await pools.lock_block(owner_id, tx, step.block)
        if block.cause is CancelCause.SETTLED:
            return difference(block, answer) if isinstance(answer, BrokerOrder) else None
        if _is_stray(step, block, answer):
            log.error("block_after_its_end", block=block.client_id)
            block = replace(block, status=OrderStatus.CANCELLING, cause=CancelCause.STOP, ended_at=None)
            newer = after(block, answer, now, wall)
        elif block.status in ENDED:
            return None
        else:
            newer = after(block, answer, now, wall) if block.ask_at == step.block.ask_at else block
        known = await pools.load_fills(owner_id, tx, block)
        fresh: tuple[Fill, ...] = ()
        if isinstance(answer, BrokerOrder) and not excess_of(block, answer):
            fresh = fresh_fills(known, answer.fills)
        await share_out(owner_id, tx, block, newer, known, fresh, wall)
    return None


def _is_stray(step: BlockStep, block: Block, answer: Answer) -> bool:
    """Say whether a block got to its broker, or may have, after it was given up: its sender slept through its lease."""
    return step.act is Act.PLACE and answer is not None and block.status in ENDED and block.broker_order_id is None


async def share_out(
    owner_id: int, tx: Tx, before: Block, newer: Block, known: Sequence[Fill], fresh: Sequence[Fill], wall: datetime
) -> None:
    """Write a block as it is from now on, hand out what was filled of it, and let its orders out where it has ended.

    The caller has the owner's turn, and the block locked.
    """
    units, value, fees = booking.totals_of([*known, *fresh])
    await pools.save_block(owner_id, tx, replace(newer, filled=units, filled_value=value, fees=fees))
    await pools.append_fills(owner_id, tx, newer, len(known), fresh)
    ended = newer.status in ENDED
    unclear = OrderStatus.UNKNOWN in (before.status, newer.status) and before.status is not newer.status
    if not (fresh or ended or unclear):
        return
    members = await _members(owner_id, tx, newer)
    quantities = [member.quantity for member in members]
    pieces = allocate(quantities, newer.asset.quantity_step, [*known, *fresh], ended=ended)
    pieces = pieces[await pools.count_pieces(owner_id, tx, newer) :]
    await pools.append_pieces(owner_id, tx, newer, pieces, [member.client_id for member in members])
    if ended:
        await _let_out(owner_id, tx, newer, members, pieces, wall)
    got = {piece.member for piece in pieces}
    await pool_orders.note_news(
        owner_id,
        tx,
        [one.client_id for place, one in enumerate(members, 1) if place in got or (unclear and one.here)],
    )


async def _tell_late(services: Services, owner_id: int, block: Block, said: str) -> None:
    """Tell of each order of a block that its broker says something else than who settled the block, or no more."""
    now = await domain_now(services)
    if said:
        log.error("block_settled_otherwise", block=block.client_id, reason=said)
    async with services.store.owned(owner_id) as tx:
        await portfolios.lock_portfolios(owner_id, tx, await manual.load_portfolios_of(owner_id, tx, [block.id]))
        shares = (await pools.load_shares(owner_id, tx, [block.id]))[block.id]
        for order in await orders.load_known(owner_id, tx, [share.client_id for share in shares]):
            told = f"of the block {block.id} that it was in, {said}" if said else ""
            await order_alerts.tell_late(owner_id, tx, order, told, now=now, new_uuid=new_uuid)


async def _members(owner_id: int, tx: Tx, block: Block) -> list[Member]:
    return await pool_orders.lock_members(owner_id, tx, block.id)


async def _let_out(
    owner_id: int, tx: Tx, block: Block, members: Sequence[Member], pieces: Sequence[Piece], wall: datetime
) -> None:
    """Let the orders of a block that has ended out of it; those that go on wait again."""
    got: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for piece in pieces:
        got[piece.member] = EXACT.add(got[piece.member], piece.quantity)
    moved = []
    for place, member in enumerate(members, 1):
        if member.here:
            status = standing(block, EXACT.subtract(member.left, got[place]), leaves=member.leaves)
            ends_alike = status is block.status and block.cause is not CancelCause.STOP
            moved.append(Moved(member.client_id, status, block.message if ends_alike else ""))
    await pool_orders.save_moved(owner_id, tx, moved, wall)


async def _tell(services: Services, owner_id: int, bulk_id: str, brokers: Brokers) -> bool:
    """Let plans look after orders that have news; what came after an order's end is booked at once.

    Where that is not clear yet, the news stays for the next who looks. Returns whether any was told.
    """
    async with services.store.owned(owner_id, reading=True) as tx:
        news = await pool_orders.load_news(owner_id, tx, bulk_id, TOLD_MAX)
        late = await orders.load_known(owner_id, tx, [client_id for client_id, ended in news.items() if ended])
    unclear = {order.client_id for order in late if not await _book_late(services, owner_id, order, brokers)}
    clear = [client_id for client_id in news if client_id not in unclear]
    if not clear:
        return False
    now, wall = await domain_now(services), wall_now()
    async with services.store.owned(owner_id) as tx:
        await pools.take_turn(owner_id, tx)
        plans = await pool_orders.take_news(owner_id, tx, clear)
        await executions.hasten(owner_id, tx, plans, now=now, wall=wall)
    for plan_id in plans:
        await executing.enqueue(services, owner_id, plan_id)
    return True


async def _book_late(services: Services, owner_id: int, order: Order, brokers: Brokers) -> bool:
    """Book what an order was handed out after it had ended; False where the pool's books do not say it clearly."""
    log.error("fills_after_the_orders_end", order=order.client_id)
    try:
        return await executing.book_late(services, owner_id, order, brokers)
    except SteelyardError as error:  # only people can settle that
        log.error("fills_not_booked", order=order.client_id, reason=error.message)
        return True
