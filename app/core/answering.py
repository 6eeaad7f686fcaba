"""What a broker answers of what was sent to it, an order or a block: how that stands from then on.

PLACING, WORKING, CANCELLING, UNKNOWN ── answer ── WORKING, CANCELLING, an end; PENDING where it never came
                                      └─ silence ─ UNKNOWN: at once, or after the third
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from app.core.money import ZERO, exactly, plain
from app.core.order_values import ENDED, BrokerOrder, CancelCause, OrderStatus, Sent

ASK_S: Final = 1
ASK_MAX_S: Final = 60
QUIET_ASKS: Final = 10
"""After so many answers without news the time to the next doubles."""
LOST_MAX: Final = 3
"""After so many calls without an answer it is not known any more how an order stands."""

S = TypeVar("S", bound=Sent)


@exactly
def filled_by(answer: BrokerOrder) -> Decimal:
    """Return the units of all fills that a broker tells of."""
    return sum((fill.quantity for fill in answer.fills), ZERO)


@exactly
def excess_of(order: Sent, answer: BrokerOrder) -> Decimal:
    """Return by how many units the fills of an answer go beyond all that was handed in; 0 where they do not."""
    return max(ZERO, filled_by(answer) - order.most)


@exactly
def as_filled(order: S, units: Decimal) -> S:
    """Return an order for the units that its broker shows to have it for: a copy of before, where more are filled.

    What is filled is not beyond what was handed in.
    """
    if units <= order.quantity:
        return order
    said = f"its broker got the order of {plain(order.most)} after all, and not that of {plain(order.quantity)}"
    return replace(order, quantity=order.most, message=said)


@exactly
def answered(order: S, answer: BrokerOrder | None, now: datetime, wall: datetime) -> S:
    """Return an order as it is after its broker's clear answer; what is filled is booked by others.

    An order that its broker certainly never got waits again, under the same client id and at the same limit: the longer
    the more often it was handed in without an answer, as a broker may take questions and no orders. One that is said
    to be filled while fills are still missing keeps working until they are told; so does one that is filled, if a copy
    of it was for more units, until its broker says that it has ended.
    """
    if answer is None:
        return _unheard(order, wall)
    filled, status = filled_by(answer), answer.status
    order = as_filled(order, filled)
    if status is OrderStatus.FILLED and filled < order.quantity:
        status = OrderStatus.WORKING
    if filled == order.most:
        status = OrderStatus.FILLED
    if status not in ENDED:
        status = OrderStatus.CANCELLING if order.cause else OrderStatus.WORKING
    news = status is not order.status or filled != order.filled
    asks = 0 if news else order.asks + 1
    wait_s = min(ASK_S << min(asks // QUIET_ASKS, 6), ASK_MAX_S)
    return replace(
        order,
        status=status,
        broker_order_id=answer.broker_order_id,
        message=answer.message or order.message,
        cause=CancelCause.UNSENT if answer.unsent else order.cause,
        ended_at=now if status in ENDED else None,
        ask_at=None if status in ENDED else wall + timedelta(seconds=wait_s),
        asks=asks,
        lost=0,
    )


def _unheard(order: S, wall: datetime) -> S:
    if order.broker_order_id is not None:
        return unanswered(order, "the broker says that it never got it, though it had confirmed it", wall)
    again_at = _put_off(order.lost, wall) if order.lost else None
    return replace(order, status=OrderStatus.PENDING, cause=None, ask_at=again_at, asks=0, message="")


def unanswered(order: S, why: str, wall: datetime) -> S:
    """Return an order after a call that brought no clear answer: handed in like that, or thrice, it is UNKNOWN."""
    lost = order.lost + 1
    unclear = order.status is OrderStatus.PLACING or order.broker_order_id is None or lost >= LOST_MAX
    return replace(
        order,
        status=OrderStatus.UNKNOWN if unclear else order.status,
        message=why,
        ask_at=_put_off(lost, wall),
        lost=lost,
    )


def _put_off(lost: int, wall: datetime) -> datetime:
    """Return when to try a broker again that gave no answer so many times."""
    return wall + timedelta(seconds=min(1 << min(lost, 6), ASK_MAX_S))


def contradicted(order: S, why: str, wall: datetime) -> S:
    """Return an order whose broker says what cannot be: it is not known how it stands."""
    return replace(unanswered(order, why, wall), status=OrderStatus.UNKNOWN)
