"""Orders that a person works: what was recorded of one, and what may be recorded still."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.core.errors import InvalidInput, InvalidState, LimitExceeded
from app.core.money import EXACT, ZERO, exactly, floor_to_step, plain
from app.core.order_values import ENDED, BrokerKind, BrokerOrder, Fill, OrderStatus
from app.core.scalars import write_instant


@dataclass(frozen=True, slots=True)
class Recorded:
    """What people recorded of an order: its fills, and whether nothing more will come. `quantity` is all its units."""

    quantity: Decimal
    fills: tuple[Fill, ...] = ()
    ended: bool = False

    @property
    @exactly
    def open(self) -> Decimal:
        """Units that are not filled."""
        return self.quantity - sum((fill.quantity for fill in self.fills), ZERO)

    def told(self, client_id: str) -> BrokerOrder:
        """What the manual broker says of it: FILLED with its last unit, CANCELLED when a person ended it before."""
        ended = OrderStatus.CANCELLED if self.ended else OrderStatus.WORKING
        return BrokerOrder(f"manual-{client_id}", ended if self.open else OrderStatus.FILLED, self.fills)


@dataclass(frozen=True, slots=True)
class FillDraft:
    """A fill as a person tells it. `filled_at` None is now."""

    fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal = ZERO
    filled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """What a person tells of one order: fills, and `done` when nothing more will come of it."""

    order_id: str
    fills: tuple[FillDraft, ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True)
class WorkedOrder:
    """An order that fills may be recorded of, or a block (`what` it is called), as far as that needs to know it.

    `pool` is the bulk whose pool an order goes through: it is filled as a part of a block, `block` where it is in one.
    """

    order_id: str
    client_id: str
    broker: BrokerKind
    status: OrderStatus
    quantity_step: Decimal
    placed_at: datetime | None
    recorded: Recorded
    what: str = "order"
    pool: str | None = None
    block: str | None = None


def new_fills(order: WorkedOrder, drafts: Sequence[FillDraft], now: datetime) -> tuple[Fill, ...]:
    """Return the fills of `drafts` that are not recorded yet; one that is, in the same words, is passed over.

    Raises InvalidState for an order that no person works, that was not handed to one, or that has ended; InvalidInput
    for a fill that was recorded with other numbers, off the asset's step, or at an impossible instant; LimitExceeded
    for more units than the order has. The path begins at `fills`.
    """
    known = {fill.broker_fill_id for fill in order.recorded.fills}
    if any(draft.fill_id not in known for draft in drafts):
        check_open(order)
    return added_fills(order, drafts, now)


def added_fills(order: WorkedOrder, drafts: Sequence[FillDraft], now: datetime) -> tuple[Fill, ...]:
    """Return the fills of `drafts` that are not known yet, whatever the order's state; raises as `new_fills`."""
    known = {fill.broker_fill_id: fill for fill in order.recorded.fills}
    left, added = order.recorded.open, []
    for place, draft in enumerate(drafts):
        before = known.get(draft.fill_id)
        if before is not None:
            _check_same(before, draft, place)
            continue
        fill = Fill(draft.fill_id, draft.quantity, draft.price, draft.fee, draft.filled_at or now)
        _check(order, fill, now, place)
        if fill.quantity > left:
            raise LimitExceeded(
                f"{plain(fill.quantity)} units are more than the {plain(left)} that are open of {order.what} "
                f"{order.order_id}, which is for {plain(order.recorded.quantity)}",
                ["fills", place, "quantity"],
            )
        left, known[draft.fill_id] = EXACT.subtract(left, fill.quantity), fill
        added.append(fill)
    return tuple(added)


def check_open(order: WorkedOrder) -> None:
    """Refuse an order that no person works, that was not handed to one yet, that has ended, or is filled in a block."""
    what = f"the {order.what}"
    if order.broker is not BrokerKind.MANUAL:
        raise InvalidState(f"{what} is worked by {order.broker.value}, which tells its fills", order.broker.value)
    if order.status in (OrderStatus.PENDING, OrderStatus.PLACING):  # a halt may hold back even what is PLACING
        raise InvalidState(f"{what} is {order.status.value}; it is not to be worked yet", order.status.value)
    if order.status in ENDED or order.recorded.ended or not order.recorded.open:
        status = order.status if order.status in ENDED else order.recorded.told(order.client_id).status
        raise InvalidState(f"{what} is {status.value}; nothing more can be recorded of it", status.value)
    if order.block:
        message = f"{what} is in block {order.block} with others; record the fills of that (blockFillsRecord)"
        raise InvalidState(message, order.status.value)
    if order.pool:
        message = f"{what} waits in the pool of bulk {order.pool}; record the fills of its block once it is in one"
        raise InvalidState(message, order.status.value)


def _check(order: WorkedOrder, fill: Fill, now: datetime, place: int) -> None:
    step = order.quantity_step
    if step and floor_to_step(fill.quantity, step) != fill.quantity:
        message = f"{plain(fill.quantity)} units are no multiple of the step {plain(step)}"
        raise InvalidInput(message, ["fills", place, "quantity"])
    if fill.filled_at > now:
        message = f"filledAt is {write_instant(fill.filled_at)}; it is {write_instant(now)} now"
        raise InvalidInput(message, ["fills", place, "filledAt"])
    if order.placed_at and fill.filled_at.date() < order.placed_at.date():
        handed = f"the {order.what} was handed over on {order.placed_at:%Y-%m-%d}"
        message = f"filledAt is {write_instant(fill.filled_at)}; {handed}"
        raise InvalidInput(message, ["fills", place, "filledAt"])


def _check_same(before: Fill, draft: FillDraft, place: int) -> None:
    """Refuse a repeat in other words; one that leaves the instant out means that of before."""
    again = Fill(draft.fill_id, draft.quantity, draft.price, draft.fee, draft.filled_at or before.filled_at)
    if again != before:
        raise InvalidInput(
            f"fill {before.broker_fill_id} was recorded before: {plain(before.quantity)} at {plain(before.price)}, fee "
            f"{plain(before.fee)}; give another fillId to a fill that came on top",
            ["fills", place, "fillId"],
        )
