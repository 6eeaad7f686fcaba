"""Working a plan's orders: what to do next, from what is known by now. Asked twice, the answer is the same.

Sells come first. A purchase is sent only against cash that is booked in its account, less what open purchases there
may still take and less the floor, those of the largest drift first; one that waits holds back those after it. When
every sale is over and nothing else could bring cash any more, its limit is lowered to what the cash pays for, once and
not below where it would be filled now; else it is reduced to what fits.

What one order leaves unfilled is one more order, the next slice, once no order of its leg is open: at most
`policy.reprices` times. Halts are not counted, nor what was never on a market, nor the first orders that were reduced:
filled below their limits, they leave cash for more. A rejection, or an end at the broker that we did not ask for, ends
the leg. An order whose state is not known keeps everything else of its leg from being sent.

What is sent again may be for fewer units than before, as cash or holdings are fewer by now. Should the copy of before
have been under way all the time, its broker has that one and not the other, and never both: they have one client id.
Then what it fills is booked, up to what was ever handed in.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from app.core.alert_words import instant
from app.core.desk import SENT, Act, Decision, Desk, Leg, Step, filled_of, is_open
from app.core.money import ZERO, exactly, floor_to_step, plain
from app.core.order_values import BrokerKind, CancelCause, Order, OrderStatus, client_id
from app.core.plan_values import PlanStatus
from app.core.policy import OrderStyle
from app.core.portfolio import Price
from app.core.trades import TradeSide

LEASE_S: Final = 15
"""Whoever hands an order in or asks for it has its broker to itself for so long."""
REDUCED_MAX: Final = 3
"""So many orders that were reduced, and filled for less than was set aside, have their rest sent beside `reprices`."""
CALLS_MAX: Final = 20
"""Brokers are told or asked so much in one go, so that all of it is done within the lease."""
LOOK_S: Final = 60
"""What waits for nobody knows what, a price or the end of a halt, is looked at so often, by the domain clock."""

HALTED: Final = "waits: trading is halted"
NO_PRICE: Final = "waits for a fresh price"
NO_CASH: Final = "waits for cash"
AFTER_REFUSED: Final = "an order of this trade before it was not accepted"
AFTER_SETTLED: Final = "an order of this trade before it was settled by hand"


def first_orders(desk: Desk) -> tuple[Order, ...]:
    """Return the orders a plan begins with: of every leg one, or the slices of a TWAP, each at its time."""
    return tuple(
        _order(desk, leg, place, quantity, desk.now + timedelta(seconds=(place - 1) * leg.execution.interval_s))
        for leg in desk.legs
        for place, quantity in enumerate(leg.slices, 1)
    )


def _order(desk: Desk, leg: Leg, place: int, quantity: Decimal, due_at: datetime) -> Order:
    """Make an order that waits; a slice of a TWAP is an order with a limit. Its id is made by who stores it."""
    style = leg.execution.style
    return Order(
        id="",
        plan_id=desk.plan_id,
        leg=leg.number,
        slice=place,
        client_id=client_id(desk.plan_id, leg.number, place),
        broker=leg.broker,
        account_id=leg.account_id,
        asset=leg.asset,
        side=leg.side,
        style=OrderStyle.LIMIT if style is OrderStyle.TWAP else style,
        quantity=quantity,
        limit=None,
        due_at=due_at,
        status=OrderStatus.PENDING,
    )


def decide(desk: Desk) -> Decision:
    """Return what is to be done now: brokers asked, orders cancelled, rests sent again, sells and purchases sent.

    It may be asked for again at once when that is done, and has to be at `wake_at`. Each step is stored before its
    broker is told. Money and units are exact, quantities rounded down to the asset's step.
    """
    return _Round(desk).decide()


class _Round:
    """One decision as it is made."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.legs = {leg.number: leg for leg in desk.legs}
        self.steps: list[Step] = []
        self.new: list[Order] = []
        self.wakes: list[datetime] = []

    def decide(self) -> Decision:
        desk = self.desk
        pending = [order for order in desk.orders if order.status is OrderStatus.PENDING]
        for order in desk.orders:
            if order.status in SENT:
                self._tend(order)
            elif order.status is OrderStatus.PENDING and order.ask_at and order.ask_at <= desk.wall:
                self.steps.append(Step(Act.KEEP, replace(order, ask_at=None)))
        if desk.stop is CancelCause.STOP:
            for order in pending:
                self._drop(order, CancelCause.STOP, "the plan was cancelled")
        elif desk.stop:
            for order in pending:
                self._note(order, HALTED)
            self.wakes.append(desk.now + timedelta(seconds=LOOK_S))
        else:
            self._send()
        return Decision(tuple(self.steps), tuple(self.new), min(self.wakes, default=None), self._ending())

    def _send(self) -> None:
        for leg in self.desk.legs:
            self._end_rejected(leg)
            if rest := rest_of(self.desk, leg):
                place = 1 + max(order.slice for order in self.desk.of(leg))
                self.new.append(_order(self.desk, leg, place, rest, self.desk.now))
        for leg in self.desk.legs:
            if leg.side is TradeSide.SELL:
                self._sell(leg)
        self._buy()

    def _tend(self, order: Order) -> None:
        """Cancel an order that works where that is due, else ask for it if its time has come."""
        desk = self.desk
        cause = (desk.stop or self._stale_price(order)) if order.status is OrderStatus.WORKING else None
        if cause:
            cancelled = replace(order, status=OrderStatus.CANCELLING, cause=cause, asks=0, message="")
            self._call(Act.CANCEL, cancelled)
        elif order.ask_at is None or order.ask_at <= desk.wall:
            self._call(Act.ASK, order)

    def _stale_price(self, order: Order) -> CancelCause | None:
        """Say whether an order is to be priced anew: it had its time, may be sent again, and its limit would differ.

        What a person works is left to that person.
        """
        desk, leg, after_s = self.desk, self.legs[order.leg], self.desk.policy.reprice_after_s
        last = desk.prices[leg.asset.id]
        priced = order.limit is not None and order.placed_at is not None and order.broker is not BrokerKind.MANUAL
        if not priced or not after_s or not _repriceable(desk, leg):
            return None
        assert order.placed_at
        due = order.placed_at + timedelta(seconds=after_s)
        if due > desk.now:
            self.wakes.append(due)
            return None
        if leg.asset.id in desk.stale or desk.limit_for(leg, last) == order.limit:
            self.wakes.append(desk.now + timedelta(seconds=LOOK_S))
            return None
        return CancelCause.REPRICE

    def _end_rejected(self, leg: Leg) -> None:
        """Drop what waits of a leg of which the broker has rejected an order, or ended one that we did not cancel."""
        orders = self.desk.of(leg)
        if any(map(_is_refused, orders)):
            settled = any(order.cause is CancelCause.SETTLED for order in orders)
            for order in orders:
                if order.status is OrderStatus.PENDING:
                    self._drop(order, CancelCause.STOP, AFTER_SETTLED if settled else AFTER_REFUSED)

    def _sell(self, leg: Leg) -> None:
        """Send the orders of a sale that are due, never for more units than are held and not on sale already."""
        desk = self.desk
        place = leg.account_id, leg.asset.id
        free = desk.held.get(place, ZERO) - sum((order.left for order in desk.of(leg) if order.status in SENT), ZERO)
        for order in self._waiting(leg):
            last = self._ready(leg, order)
            if last is None:
                return
            if free <= ZERO:
                self._drop(order, CancelCause.SHORT, f"no {leg.asset.symbol} is left in the account to sell")
                continue
            quantity = min(order.quantity, free)
            self._place(leg, order, quantity, last)
            free -= quantity
            if leg.execution.interval_s:
                return

    def _buy(self) -> None:
        """Send the purchases that are due and that the cash of their accounts pays for, largest drift first."""
        desk = self.desk
        cash = dict(desk.cash)
        spare = sum(cash.values(), -desk.floor)
        buys = sorted(
            (leg for leg in desk.legs if leg.side is TradeSide.BUY), key=lambda leg: (-abs(leg.rank), leg.number)
        )
        for leg in buys:
            for order in desk.of(leg):
                if order.status in SENT:
                    taken = desk.committed(leg, order)
                    cash[leg.account_id] -= taken
                    spare -= taken
        sold = all(self._is_over(leg) for leg in desk.legs if leg.side is TradeSide.SELL)
        busy = {self.legs[order.leg].account_id for order in desk.orders if _is_buy(order) and order.status in SENT}
        for leg in buys:
            sent = False
            for order in self._waiting(leg):
                free = min(cash[leg.account_id], spare)
                alone = sold and not (busy if desk.floor else busy & {leg.account_id})
                last = None if sent and leg.execution.interval_s else self._ready(leg, order)
                paid = self._pay(leg, order, last, free, alone=alone)
                sent = sent or paid is not None
                taken = self._hold_back(leg, order) if paid is None else paid
                if taken:
                    busy.add(leg.account_id)
                # What its own account lacks, a purchase that waits does not keep from those of other accounts.
                spare -= taken if paid is not None else min(taken, max(ZERO, cash[leg.account_id]))
                cash[leg.account_id] -= taken

    def _pay(self, leg: Leg, order: Order, last: Price | None, free: Decimal, *, alone: bool) -> Decimal | None:
        """Send a purchase that fits, or make it fit if nothing brings cash; return what it takes, None if it waits."""
        if last is None:
            return None
        desk = self.desk
        price = order.limit or desk.price_for(leg, last)
        if desk.worst(leg, order.quantity, price) <= free:
            self._place(leg, order, order.quantity, last)
            return desk.worst(leg, order.quantity, price)
        if not alone:
            self._note(order, NO_CASH)
            return None
        first = order.limit is None and order.slice <= len(leg.slices) and desk.limit_for(leg, last) is not None
        first = first and bool(desk.policy.reprice_after_s) and _repriceable(desk, leg)
        if first and (tighter := desk.tighter(leg, order.quantity, free)):
            self._place(leg, order, order.quantity, last, limit=tighter)
            return desk.worst(leg, order.quantity, tighter)
        quantity = min(order.quantity, desk.fitting(leg, free, price))
        if quantity * price * leg.rate < desk.least(leg):
            self._drop(order, CancelCause.SHORT, "there is no cash left to buy it with")
            return ZERO
        self._place(leg, order, quantity, last)
        return desk.worst(leg, quantity, price)

    def _hold_back(self, leg: Leg, order: Order) -> Decimal:
        """Return the cash that a purchase which waits keeps from those after it."""
        last = self.desk.prices[leg.asset.id]
        return self.desk.worst(leg, order.quantity, order.limit or self.desk.price_for(leg, last))

    def _waiting(self, leg: Leg) -> list[Order]:
        """Return the orders of a leg that wait, unless it is not known how another one stands."""
        orders = self.desk.of(leg)
        unsettled = SENT - {OrderStatus.WORKING}
        if any(order.status in unsettled for order in orders) or any(map(_is_refused, orders)):
            return []
        return [order for order in orders if order.status is OrderStatus.PENDING]

    def _ready(self, leg: Leg, order: Order) -> Price | None:
        """Return the price an order is sent at now; None while it waits for its time, its session or a price.

        Slices that were held up keep their interval: they are never sent all at once. One that did not get through to
        its broker waits until `ask_at`.
        """
        desk = self.desk
        if order.ask_at:
            return None
        placed = [one.placed_at for one in desk.of(leg) if one.placed_at and one.status is not OrderStatus.PENDING]
        sent_at = max(placed, default=None)
        spaced = sent_at + timedelta(seconds=leg.execution.interval_s) if sent_at else order.due_at
        due = max(order.due_at, spaced)
        if due > desk.now:
            self.wakes.append(due)
            return None
        opens = desk.opens(leg.asset, desk.now)
        if opens > desk.now:
            self.wakes.append(opens)
            self._note(order, f"waits for its session, which opens at {instant(opens)}")
            return None
        last = desk.prices[leg.asset.id]
        if leg.asset.id in desk.stale:
            self.wakes.append(desk.now + timedelta(seconds=LOOK_S))
            self._note(order, NO_PRICE)
            return None
        return last

    def _place(self, leg: Leg, order: Order, quantity: Decimal, last: Price, *, limit: Decimal | None = None) -> None:
        less = "" if quantity == order.quantity else f"reduced from {plain(order.quantity)} to {plain(quantity)}"
        placed = replace(
            order,
            status=OrderStatus.PLACING,
            quantity=quantity,
            handed_in=max(order.handed_in, quantity),
            limit=limit or order.limit or self.desk.limit_for(leg, last),
            placed_at=self.desk.now,
            asks=0,
            message=f"{less}: that is all there was to pay it with" if less and leg.side is TradeSide.BUY else less,
        )
        self._call(Act.PLACE, placed)

    def _drop(self, order: Order, cause: CancelCause, why: str) -> None:
        ended = replace(order, status=OrderStatus.CANCELLED, cause=cause, ended_at=self.desk.now, message=why)
        self.steps.append(Step(Act.KEEP, ended))

    def _note(self, order: Order, message: str) -> None:
        if order.message != message:
            self.steps.append(Step(Act.KEEP, replace(order, message=message)))

    def _call(self, act: Act, order: Order) -> None:
        if sum(step.act is not Act.KEEP for step in self.steps) < CALLS_MAX:
            lease = self.desk.wall + timedelta(seconds=LEASE_S)
            self.steps.append(Step(act, replace(order, ask_at=lease)))

    def _is_over(self, leg: Leg) -> bool:
        return not any(map(is_open, self.desk.of(leg))) and not rest_of(self.desk, leg)

    @exactly
    def _ending(self) -> PlanStatus | None:
        desk = self.desk
        stopped = desk.stop is CancelCause.STOP
        if not desk.orders:  # it has not begun: a halt keeps it from that
            return None
        if any(map(is_open, desk.orders)) or (not stopped and not all(map(self._is_over, desk.legs))):
            return None
        if all(filled_of(desk.of(leg)) == leg.quantity for leg in desk.legs):
            return PlanStatus.COMPLETED
        nothing = not filled_of(desk.orders)
        return PlanStatus.CANCELLED if stopped and nothing else PlanStatus.PARTIAL


def _is_buy(order: Order) -> bool:
    return order.side is TradeSide.BUY


def _is_refused(order: Order) -> bool:
    """Say whether a broker would not have an order, or ended it unasked and not for the day's end."""
    unasked = order.cause in (None, CancelCause.SETTLED)
    return order.status is OrderStatus.REJECTED or (order.status is OrderStatus.CANCELLED and unasked)


def _repriceable(desk: Desk, leg: Leg) -> bool:
    orders = desk.of(leg)
    idle = sum(map(_was_idle, orders))
    reduced = sum(_was_reduced(leg, order) for order in orders)
    return len(orders) - len(leg.slices) - idle - min(reduced, REDUCED_MAX) < desk.policy.reprices


def _was_idle(order: Order) -> bool:
    """Say whether an order ended for a halt, or before it was on any market: it is no try of ours at a price."""
    halted = order.cause is CancelCause.HALT and order.status is OrderStatus.CANCELLED
    return halted or order.cause is CancelCause.UNSENT


def _was_reduced(leg: Leg, order: Order) -> bool:
    """Say whether an order is filled that was for less than it should have been: all that its price left to be paid."""
    begun = leg.slices[order.slice - 1 : order.slice]
    return order.status is OrderStatus.FILLED and (not begun or order.quantity < begun[0])


@exactly
def rest_of(desk: Desk, leg: Leg) -> Decimal:
    """Return the units of a leg that are to be sent as one more order; 0 while one is open, and when it is over.

    Rounded down to the asset's step; a rest that is worth less than an order has to be is let be.
    """
    orders = desk.of(leg)
    final = (CancelCause.STOP, CancelCause.SHORT)
    if any(is_open(order) or _is_refused(order) or order.cause in final for order in orders):
        return ZERO
    last = desk.prices[leg.asset.id]
    rest = floor_to_step(leg.quantity - filled_of(orders), leg.asset.quantity_step)
    if not rest or not _repriceable(desk, leg):
        return ZERO
    return rest if rest * last.value * leg.rate >= desk.least(leg) else ZERO
