"""Orders whose broker cannot say how they stand: a person looks it up and says what was filled, and no more comes.

What is settled so is over for us: it is neither asked for nor sent again. A broker that does speak of it later, as it
was being asked meanwhile, tells facts; they are booked where it is certain that they are not those the person told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from app.core.answering import filled_by
from app.core.errors import InvalidState
from app.core.manual import FillDraft, Recorded, WorkedOrder, added_fills
from app.core.money import ZERO, exactly, plain
from app.core.order_values import ENDED, BrokerOrder, CancelCause, Fill, Order, OrderStatus, Sent

S = TypeVar("S", bound=Sent)


@dataclass(frozen=True, slots=True)
class SettleDraft:
    """What a person found out of an order or a block: fills that are not known, or all, and where it is known from."""

    settled_id: str
    fills: tuple[FillDraft, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """How an order stands in its pool, and the block that it is in, if it is in one."""

    status: OrderStatus
    block: str | None


def check_pooled(order: Order, place: Place | None) -> None:
    """Refuse an order that its pool still has: it is settled with its block, or waits to be put into one."""
    if order.status is not OrderStatus.UNKNOWN or place is None or place.status in ENDED:
        return
    instead = f"is in block {place.block} with others; settle that (blockSettle)"
    waits = f"waits in the pool of bulk {order.pool}; the pool knows how it stands, and says so soon"
    raise InvalidState(f"the order {instead if place.block else waits}", order.status.value, ["orderId"])


def fills_to_book(
    order: Sent, what: str, booked: Sequence[Fill], draft: SettleDraft, now: datetime
) -> tuple[Fill, ...]:
    """Return the fills of a draft that are not known yet of an order or a block, as `what` says.

    One that is known, in the same words, is passed over. Raises InvalidState unless it is not known how the order
    stands; for the fills as `manual.new_fills`.
    """
    if order.status is not OrderStatus.UNKNOWN:
        message = f"the {what} is {order.status.value}; only one that is UNKNOWN can be settled"
        raise InvalidState(message, order.status.value, [f"{what}Id"])
    step, known = order.asset.quantity_step, Recorded(order.most, tuple(booked))
    worked = WorkedOrder(order.id, order.client_id, order.broker, order.status, step, order.placed_at, known, what)
    return added_fills(worked, draft.fills, now)


def settled(order: S, reason: str, now: datetime) -> S:
    """Return an order whose fills are all booked as it is once a person said so: FILLED when all is, else CANCELLED."""
    status = OrderStatus.CANCELLED if order.left else OrderStatus.FILLED
    return replace(
        order,
        status=status,
        cause=CancelCause.SETTLED,
        ended_at=now,
        ask_at=None,
        asks=0,
        lost=0,
        message=f"settled by hand: {reason}",
    )


def is_news(booked: Sequence[Fill], told: Sequence[Fill]) -> bool:
    """Say whether what a broker tells on top of what is booked of a settled order is certainly not booked.

    It is where each fill that is booked is among the broker's, under the same id in the same words. A person may have
    told the others under ids of their own.
    """
    known = {(fill.broker_fill_id, fill.quantity, fill.price, fill.fee) for fill in told}
    return all((fill.broker_fill_id, fill.quantity, fill.price, fill.fee) in known for fill in booked)


@exactly
def difference(order: Sent, answer: BrokerOrder) -> str:
    """Return how a broker's word differs from a settled order as it is booked; empty where they agree."""
    units, value = filled_by(answer), sum((fill.quantity * fill.price for fill in answer.fills), ZERO)
    currency = order.asset.currency
    if (units, value) != (order.filled, order.filled_value):
        return (
            f"{plain(units)} units are filled for {plain(value)} {currency}, not {plain(order.filled)} for "
            f"{plain(order.filled_value)} {currency}"
        )
    return "" if answer.status in ENDED else f"it is {answer.status.value} there"
