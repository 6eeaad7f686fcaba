"""Blocks: orders in one asset are put together, and what their broker fills is shared out pro rata, exact to the step.

    Waiting ── gather ── Block ── allocate ── Piece (of a block's fill, for one of its orders)

An order that waits in a pool is put into a block with all others like it. A block is worked like an order; who wants to
leave it has it cancelled, gets its share of what was filled until then, and the others wait for the next block.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from app.core import booking, sessions
from app.core.desk import Act
from app.core.errors import InvalidInput
from app.core.money import EXACT, MONEY_PLACES, QUANTITY_PLACES, ZERO, exactly, plain
from app.core.order_values import ENDED, Block, BrokerKind, CancelCause, Fill, OrderStatus
from app.core.policy import OrderStyle
from app.core.portfolio import Asset
from app.core.trades import TradeSide
from app.core.working import CALLS_MAX, LEASE_S

MEMBERS_MAX: Final = 1000
"""So many orders are put into one block, so that what is filled of it is shared out well within a second."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order that waits in the pool of a bulk. `left` are its units that no block has filled.

    `account_broker` is whose fees are paid in its account; `arrived_at` is by the wall clock.
    """

    client_id: str
    broker: BrokerKind
    account_id: str
    account_broker: int | None
    asset: Asset
    side: TradeSide
    style: OrderStyle
    left: Decimal
    limit: Decimal | None
    arrived_at: datetime

    @property
    def key(self) -> tuple[object, ...]:
        """What orders have in common that are put together: how they are traded, and what that costs."""
        return self.broker, self.account_broker, self.asset.id, self.side, self.style


@dataclass(frozen=True, slots=True)
class Gathered:
    """A new block and the orders in it, in the order in which they share."""

    block: Block
    members: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Tended:
    """A block that goes on. `leaving`: an order of it asked to leave; `held`: it may not be sent as it is."""

    block: Block
    leaving: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class BlockStep:
    """A block as it is stored first, and what its broker is told after that."""

    act: Act
    block: Block


@dataclass(frozen=True, slots=True)
class Piece:
    """Units of a block's fill, and their part of its fee, for one order of it.

    `member` is the order's place and `fill` the fill's number, both from 1; `since` is after how many fills it was
    handed out, one more at the block's end.
    """

    member: int
    fill: int
    since: int
    quantity: Decimal
    fee: Decimal


@dataclass(slots=True)
class _Stock:
    """Units of a fill that are not handed out yet, in units of the last place; `given` of its fee, likewise."""

    number: int
    units: int
    fee: int
    left: int
    given: int = 0


def allocate(quantities: Sequence[Decimal], step: Decimal, fills: Sequence[Fill], *, ended: bool) -> tuple[Piece, ...]:
    """Share out a block's fills among its orders, `quantities` of which make up the block; return who gets what.

    After each fill, order i has floor(q_i F / Q) units, F of Q being filled, rounded down to the step: what F brings it
    beyond what it has. What is left over, less than a step for each order, waits in the block. When that has `ended`,
    it goes step by step to the orders with the largest remainder, of equals to the first: each ends less than a step
    from q_i F / Q, and with exactly q_i where F = Q. A step of 0 is 18 decimals.

    Units go out in the order of fills and then of orders, each at its own fill's price. A fill's fee goes with its
    units: the sum up to a piece is rounded down to 10 places, and the last piece has the rest. So units, value and fees
    add up to the block's, and more fills never change what was handed out before. All is exact.
    """
    shares = [_scaled(quantity, QUANTITY_PLACES) for quantity in quantities]
    whole, unit = sum(shares), _scaled(step, QUANTITY_PLACES) or 1
    handed, filled = [0] * len(shares), 0
    stock: list[_Stock] = []
    pieces: list[Piece] = []
    for number, fill in enumerate(fills, 1):
        units = _scaled(fill.quantity, QUANTITY_PLACES)
        filled += units
        stock.append(_Stock(number, units, _scaled(fill.fee, MONEY_PLACES), units))
        due = shares if filled == whole else [share * filled // (whole * unit) * unit for share in shares]
        pieces += _hand_out(stock, handed, due, number)
    if ended and any(one.left for one in stock):
        due = _rounded(shares, handed, filled, unit)
        pieces += _hand_out(stock, handed, due, len(fills) + 1)
    return tuple(pieces)


def _rounded(shares: Sequence[int], handed: Sequence[int], filled: int, unit: int) -> list[int]:
    """Return what each order has in the end: steps that are left over go where most is missing."""
    whole, over, due = sum(shares), filled - sum(handed), list(handed)
    by_need = sorted(range(len(shares)), key=lambda place: due[place] * whole - shares[place] * filled)
    while over:  # more than once only where quantities are off the step
        for place in by_need:
            more = min(unit, shares[place] - due[place], over)
            due[place] += more
            over -= more
    return due


def _hand_out(stock: list[_Stock], handed: list[int], due: Sequence[int], since: int) -> list[Piece]:
    """Give each order what it is due and does not have yet, from the oldest fills on."""
    pieces = []
    for place, units in enumerate(due):
        while missing := units - handed[place]:
            oldest = stock[0]
            taken = min(missing, oldest.left)
            oldest.left -= taken
            handed[place] += taken
            fee = oldest.fee * (oldest.units - oldest.left) // oldest.units - oldest.given
            oldest.given += fee
            pieces.append(
                Piece(
                    place + 1,
                    oldest.number,
                    since,
                    _number(taken, QUANTITY_PLACES),
                    _number(fee, MONEY_PLACES),
                )
            )
            if not oldest.left:
                stock.pop(0)
    return pieces


def _scaled(number: Decimal, places: int) -> int:
    scaled = int(number.scaleb(places, EXACT))
    assert _number(scaled, places) == number, f"{number} has more than {places} decimals"
    return scaled


def _number(scaled: int, places: int) -> Decimal:
    return Decimal(scaled).scaleb(-places, EXACT)


def fresh_fills(known: Sequence[Fill], told: Sequence[Fill]) -> tuple[Fill, ...]:
    """Return the fills that a broker tells of and that are not known yet, in its order.

    Raises InvalidInput for one that is told with other numbers than before, and for numbers that cannot be booked.
    """
    booking.check(told)
    before = {fill.broker_fill_id: fill for fill in known}
    fresh = []
    for fill in told:
        was = before.setdefault(fill.broker_fill_id, fill)
        if was is fill:
            fresh.append(fill)
        elif (was.quantity, was.price, was.fee) != (fill.quantity, fill.price, fill.fee):
            raise InvalidInput(
                f"fill {fill.broker_fill_id} was {plain(was.quantity)} @ {plain(was.price)}, fee {plain(was.fee)}, and "
                f"now is {plain(fill.quantity)} @ {plain(fill.price)}, fee {plain(fill.fee)}",
                ["brokerFillId"],
            )
    return tuple(fresh)


def fill_id(block: str, fill: int, since: int) -> str:
    """Return the id of a piece among the fills of an order: the same whenever it is asked for."""
    return f"{block}/{fill}/{since}"


def standing(block: Block, left: Decimal, *, leaves: bool) -> OrderStatus:
    """Return how an order of a block stands that has `left` units: WORKING while the block does, or to wait again.

    Where a block was cancelled because an order wanted to leave, those that did are CANCELLED, and the others wait
    again. In every other end, what is not filled ends like the block.
    """
    if block.status not in ENDED:
        return OrderStatus.WORKING
    if left <= ZERO:
        return OrderStatus.FILLED
    dissolved = block.status is OrderStatus.CANCELLED and block.cause is CancelCause.STOP
    return OrderStatus.WORKING if dissolved and not leaves else block.status


def is_late(unsent: Waiting | Block, now: datetime) -> bool:
    """Say whether the session is over in which something was to be sent; who works by hand, or a fund, waits on."""
    waits_on = unsent.broker is BrokerKind.MANUAL or unsent.style is OrderStyle.NAV
    return not waits_on and not sessions.is_open(unsent.asset, now)


def gather(
    waiting: Iterable[Waiting],
    bulk_id: str,
    since: datetime,
    now: datetime,
    wall: datetime,
    new_id: Callable[[], str],
    most: int = CALLS_MAX,
) -> tuple[Gathered, ...]:
    """Put together orders that wait, where the first of them came at `since` or before; at most `most` blocks.

    A block has the units that its orders have left, the strictest of their limits (the lowest of purchases, the highest
    of sales), and the account of the first that came. It is to be handed in at once, by whoever made it.
    """
    groups: dict[tuple[object, ...], list[Waiting]] = defaultdict(list)
    for order in sorted(waiting, key=lambda order: (order.arrived_at, order.client_id)):
        groups[order.key].append(order)
    due = [group for group in groups.values() if group[0].arrived_at <= since]
    parts = [group[start : start + MEMBERS_MAX] for group in due for start in range(0, len(group), MEMBERS_MAX)]
    return tuple(_gathered(part, bulk_id, now, wall, new_id()) for part in parts[:most])


@exactly
def _gathered(members: Sequence[Waiting], bulk_id: str, now: datetime, wall: datetime, block_id: str) -> Gathered:
    first = members[0]
    limits = [member.limit for member in members if member.limit is not None]
    strictest = min if first.side is TradeSide.BUY else max
    block = Block(
        id=block_id,
        client_id=block_id,
        broker=first.broker,
        account_id=first.account_id,
        asset=first.asset,
        side=first.side,
        style=first.style,
        quantity=sum((member.left for member in members), ZERO),
        limit=strictest(limits) if limits else None,
        status=OrderStatus.PLACING,
        placed_at=now,
        ask_at=wall + timedelta(seconds=LEASE_S),
        gathered_in=bulk_id,
    )
    return Gathered(block, tuple(members))


def decide(blocks: Iterable[Tended], now: datetime, wall: datetime, most: int = CALLS_MAX) -> tuple[BlockStep, ...]:
    """Return what is to be done about blocks now, at most `most` calls; each is stored before its broker is told.

    One that its broker certainly never got is handed in again; or ended, where an order of it wants to leave or may not
    be sent, or the session is over. One that works and that an order wants to leave is cancelled. All others are asked
    for when their time has come.
    """
    steps: list[BlockStep] = []
    for tended in blocks:
        step = _step(tended, now, wall)
        if step and (step.act is Act.KEEP or sum(one.act is not Act.KEEP for one in steps) < most):
            steps.append(step)
    return tuple(steps)


def _step(tended: Tended, now: datetime, wall: datetime) -> BlockStep | None:
    block = tended.block
    lease = wall + timedelta(seconds=LEASE_S)
    if block.status is OrderStatus.WORKING and tended.leaving:
        cancelled = replace(block, status=OrderStatus.CANCELLING, cause=CancelCause.STOP, asks=0, ask_at=lease)
        return BlockStep(Act.CANCEL, cancelled)
    if block.status is OrderStatus.PENDING and (tended.leaving or tended.held or is_late(block, now)):
        ended = replace(block, status=OrderStatus.CANCELLED, cause=CancelCause.STOP, ended_at=now, ask_at=None)
        return BlockStep(Act.KEEP, ended)
    if block.ask_at is not None and block.ask_at > wall:
        return None
    if block.status is OrderStatus.PENDING:
        placed = replace(block, status=OrderStatus.PLACING, placed_at=now, ask_at=lease, asks=0)
        return BlockStep(Act.PLACE, placed)
    return BlockStep(Act.ASK, replace(block, ask_at=lease))
