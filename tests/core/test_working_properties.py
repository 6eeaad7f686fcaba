"""What holds for every plan that is worked, whatever brokers, prices and crashes do in between."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.answering import answered, unanswered
from app.core.costs import Costs, cost_of
from app.core.desk import SENT, Act, Desk, Step, filled_of, is_open
from app.core.money import ZERO, exactly, floor_to_step
from app.core.order_values import ENDED, BrokerOrder, CancelCause, Fill, Order, OrderStatus, Ticket
from app.core.plan_values import PlanStatus
from app.core.trades import TradeSide
from app.core.working import decide
from tests.core.desks import carried_out, desk, later, priced
from tests.core.samples import PROPERTY

ROUNDS: Final = 400
Key = tuple[int, int]


@dataclass
class Venue:
    """A broker that fills within the limit when it likes, and may reject, expire, lose its voice, or the caller.

    It keeps its own count of what every client id was filled: what the books have to agree with.
    """

    random: Random
    fees: Costs
    step: Decimal
    trouble: bool = True
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)

    def place(self, ticket: Ticket) -> BrokerOrder:
        if ticket.client_id not in self.orders:
            refused = self.trouble and self.random.random() < 0.05
            status = OrderStatus.REJECTED if refused else OrderStatus.WORKING
            self.orders[ticket.client_id] = BrokerOrder(f"b-{ticket.client_id}", status)
            self.tickets[ticket.client_id] = ticket
        return self.orders[ticket.client_id]

    def cancel(self, ticket: Ticket) -> None:
        known = self.orders.get(ticket.client_id)
        if known and known.status is OrderStatus.WORKING and self.random.random() < 0.8:
            self.orders[ticket.client_id] = replace(known, status=OrderStatus.CANCELLED)

    @exactly
    def trade(self, where: Desk) -> None:
        """Let some orders fill, in whole or in part, at the limit or a little better."""
        for name, known in list(self.orders.items()):
            if known.status is not OrderStatus.WORKING or self.random.random() < 0.5:
                continue
            ticket = self.tickets[name]
            if self.trouble and self.random.random() < 0.1:
                self.orders[name] = replace(known, status=OrderStatus.EXPIRED)
                continue
            left = ticket.quantity - sum((fill.quantity for fill in known.fills), ZERO)
            part = left if self.random.random() < 0.6 else floor_to_step(left / 2, self.step)
            if part:
                self.fill(name, known, ticket, part, left)

    def fill(self, name: str, known: BrokerOrder, ticket: Ticket, part: Decimal, left: Decimal) -> None:
        assert ticket.limit
        better = ticket.limit * Decimal(self.random.choice([0, 0, 1, 2])) / 1000
        price = ticket.limit + (better if ticket.side is TradeSide.SELL else -better)
        whole = cost_of(self.fees, ticket.quantity * ticket.limit).fee
        fee = ZERO if known.fills else whole
        fill = Fill(str(len(known.fills)), part, price, fee, COMING)
        status = OrderStatus.FILLED if part == left else OrderStatus.WORKING
        self.orders[name] = replace(known, status=status, fills=(*known.fills, fill))


COMING: Final = desk("SELL 1 A @ 1").now


@exactly
def book(where: Desk, order: Order, answer: BrokerOrder) -> Desk:
    """Book the fills of an answer that are not booked yet, as the store does."""
    seen = sum((fill.quantity for fill in answer.fills), ZERO)
    value = sum((fill.quantity * fill.price for fill in answer.fills), ZERO)
    fees = sum((fill.fee for fill in answer.fills), ZERO)
    sign = 1 if order.side is TradeSide.SELL else -1
    moved = sign * (value - order.filled_value) - (fees - order.fees)
    cash = {**where.cash, order.account_id: where.cash[order.account_id] + moved}
    held = dict(where.held)
    if order.side is TradeSide.SELL:
        held[order.account_id, order.asset.id] -= seen - order.filled
    newer = replace(order, filled=seen, filled_value=value, fees=fees)
    return replace(where, cash=cash, held=held, orders=swapped(where, newer))


def swapped(where: Desk, newer: Order) -> tuple[Order, ...]:
    return tuple(newer if one.key == newer.key else one for one in where.orders)


def carry_out(where: Desk, step: Step, venue: Venue) -> Desk:
    """Tell the broker and record what it says; the worker may die before, between and after, or hear nothing."""
    fate = venue.random.random() if venue.trouble else 1.0
    order, answer = step.order, None
    if fate < 0.05:
        return where  # killed before the broker heard anything
    if step.act is Act.PLACE:
        answer = venue.place(order.ticket)
    else:
        if order.cause:
            venue.cancel(order.ticket)
        answer = venue.orders.get(order.client_id)
    if fate < 0.10:
        return where  # killed before it was recorded
    if fate < 0.15:
        return replace(where, orders=swapped(where, unanswered(order, "silence", where.wall)))
    booked = book(where, order, answer) if answer else where
    mine = next(one for one in booked.orders if one.key == order.key)
    newer = replace(
        answered(order, answer, where.now, where.wall),
        filled=mine.filled,
        filled_value=mine.filled_value,
        fees=mine.fees,
    )
    return replace(booked, orders=swapped(booked, newer))


@exactly
def check(where: Desk, venue: Venue, start: Desk) -> None:
    """No account is overdrawn, nothing is oversold, no leg is worked for more than it asks, at the broker either."""
    assert all(amount >= 0 for amount in where.cash.values()), where.cash
    assert all(units >= 0 for units in where.held.values())
    at_broker: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for name, known in venue.orders.items():
        number = int(name.split("-")[1])
        ticket = venue.tickets[name]
        filled = sum((fill.quantity for fill in known.fills), ZERO)
        working = ticket.quantity if known.status is OrderStatus.WORKING else filled
        at_broker[number] += working
    for leg in where.legs:
        assert at_broker[leg.number] <= leg.quantity
        orders = where.of(leg)
        assert filled_of(orders) <= leg.quantity
        sent = [order for order in orders if order.status in SENT]
        assert filled_of(orders) + sum((order.left for order in sent), ZERO) <= leg.quantity
    total = sum(where.cash.values(), ZERO)
    assert total >= min(where.floor, sum(start.cash.values(), ZERO))


def work(start: Desk, venue: Venue, random: Random) -> tuple[Desk, PlanStatus | None]:
    """Work a plan to its end, in a world that moves on by itself."""
    where = start
    for _ in range(ROUNDS):
        decision = decide(where)
        if decision.ending:
            return where, decision.ending
        where = carried_out(where, decision)
        check(where, venue, start)
        for step in decision.steps:
            if step.act is not Act.KEEP:
                where = carry_out(where, step, venue)
                check(where, venue, start)
        venue.trade(where)
        where = later(where, random.choice([1, 30, 300, 1000]), wall=random.choice([1, 5, 20, 70]))
        if venue.trouble:
            where = shaken(where, random)
    return where, None


def shaken(where: Desk, random: Random) -> Desk:
    symbol = random.choice(sorted(where.prices))
    last = where.prices[symbol].value
    moved = priced(where, symbol, str(max(Decimal(1), last + random.choice([-2, -1, 0, 1, 2]))))
    if where.stop is CancelCause.STOP:
        return moved
    halt = CancelCause.HALT if random.random() < 0.05 else None
    stop = CancelCause.STOP if random.random() < 0.01 else None
    return replace(moved, stop=stop or halt)


LEGS: Final = st.lists(
    st.tuples(
        st.sampled_from(["SELL", "BUY", "BUY"]),
        st.integers(1, 40),
        st.sampled_from(["9", "31", "100"]),
        st.sampled_from(["", " twap 3 every 300"]),
        st.sampled_from(["main", "ira"]),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=6,
)
FEES: Final = st.sampled_from([Costs(), Costs(minimum=Decimal(2)), Costs(fixed=Decimal(1), rate=Decimal("0.002"))])


def start_of(drawn: list[tuple[str, int, str, str, str, int]], cash: int, fees: Costs, floor: int) -> Desk:
    legs = " / ".join(
        f"{side} {units} {'XYZABC'[place]} @ {price}{style} in {account} rank {rank}"
        for place, (side, units, price, style, account, rank) in enumerate(drawn)
    )
    return desk(legs, cash={"main": str(cash), "ira": str(cash // 2)}, fees=fees, floor=str(floor))


MANY: Final = settings(PROPERTY, max_examples=60)


@MANY
@given(LEGS, st.integers(0, 3000), FEES, st.integers(0, 500), st.integers(0, 10**6))
def test_whatever_happens_nothing_is_sent_twice_overdrawn_or_lost(
    drawn: list[tuple[str, int, str, str, str, int]], cash: int, fees: Costs, floor: int, seed: int
) -> None:
    """Fees are paid of what sales bring, so accounts begin with a little."""
    random = Random(seed)
    start = start_of(drawn, cash + 100, fees, floor)
    venue = Venue(random, fees, Decimal(1))
    where, ending = work(start, venue, random)
    assert ending is not None, [(order.key, order.status, order.message) for order in where.orders if is_open(order)]
    # The books equal the broker's.
    told = {name: sum((fill.quantity for fill in known.fills), ZERO) for name, known in venue.orders.items()}
    assert {order.client_id: order.filled for order in where.orders if order.filled} == {
        name: units for name, units in told.items() if units
    }
    assert all(known.status in ENDED for known in venue.orders.values())


@MANY
@given(LEGS, FEES, st.integers(0, 10**6))
def test_plan_that_can_be_paid_is_completed_where_nothing_goes_wrong(
    drawn: list[tuple[str, int, str, str, str, int]], fees: Costs, seed: int
) -> None:
    random = Random(seed)
    start = start_of(drawn, 40_000, fees, 0)
    where, ending = work(start, Venue(random, fees, Decimal(1), trouble=False), random)
    assert ending is PlanStatus.COMPLETED
    assert [filled_of(where.of(leg)) for leg in where.legs] == [leg.quantity for leg in where.legs]


@MANY
@given(LEGS, st.integers(0, 3000), st.integers(0, 10**6))
def test_purchases_come_only_from_cash_that_is_booked(
    drawn: list[tuple[str, int, str, str, str, int]], cash: int, seed: int
) -> None:
    """Of whatever is sent at one time, all purchases together fit into the cash of their accounts."""
    random = Random(seed)
    where = start_of(drawn, cash, Costs(), 0)
    venue = Venue(random, Costs(), Decimal(1))
    for _ in range(60):
        decision = decide(where)
        where = carried_out(where, decision)
        for account, amount in where.cash.items():
            taken = [
                where.committed(leg, order)
                for leg in where.legs
                if leg.side is TradeSide.BUY and leg.account_id == account
                for order in where.of(leg)
                if order.status in SENT
            ]
            assert sum(taken, ZERO) <= amount
        for step in decision.steps:
            if step.act is not Act.KEEP:
                where = carry_out(where, step, venue)
        venue.trade(where)
        where = later(where, 300, wall=20)


class Cheap(Venue):
    """Fills at the last price, which leaves over what limits had set aside."""

    def fill(self, name: str, known: BrokerOrder, ticket: Ticket, part: Decimal, left: Decimal) -> None:
        assert ticket.limit
        steps = {TradeSide.BUY: Decimal("1.01"), TradeSide.SELL: Decimal("0.99")}
        fill = Fill(str(len(known.fills)), part, ticket.limit / steps[ticket.side], ZERO, COMING)
        status = OrderStatus.FILLED if part == left else OrderStatus.WORKING
        self.orders[name] = replace(known, status=status, fills=(*known.fills, fill))


@exactly
def affordable_rests(where: Desk) -> list[str]:
    """Write which purchases are not whole though cash for an order of their rest is there."""
    found = []
    for leg in where.legs:
        free = min(where.cash[leg.account_id], sum(where.cash.values(), -where.floor))
        price, rest = where.price_for(leg, where.prices[leg.asset.id]), leg.quantity - filled_of(where.of(leg))
        units = min(rest, where.fitting(leg, free, price))
        if leg.side is TradeSide.BUY and units * price >= where.least(leg):
            found.append(f"{units} of {rest} {leg.asset.symbol} for {free}")
    return found


@settings(PROPERTY, max_examples=150)
@given(LEGS, st.integers(0, 3000), st.sampled_from([0, 100]), st.sampled_from([0, 1, 3]), st.integers(0, 10**6))
def test_no_purchase_is_given_up_while_cash_for_it_is_there(
    drawn: list[tuple[str, int, str, str, str, int]], cash: int, floor: int, reprices: int, seed: int
) -> None:
    random = Random(seed)
    start = start_of(drawn, cash, Costs(), floor)
    start = replace(start, policy=replace(start.policy, reprices=reprices))
    where, ending = work(start, Cheap(random, Costs(), Decimal(1), trouble=False), random)
    assert ending is not None
    assert affordable_rests(where) == []
