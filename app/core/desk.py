"""The desk where a plan's orders are worked: what is known of its legs, orders, cash and prices, and what to do next.

    Desk ── Leg (a trade of the plan, and how it is to be worked) ── Order (slice 1, 2, ...)
      │
    Decision ── Step (an order as it is from now on, and what its broker is told)

Cash is in the portfolio's base currency and only what is booked; units too. Money an order may still take is reckoned
at its limit, or where it has none at the collar around the last price, with the fee of the whole order, and at the
plan's rate, at which it will be booked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Final

from app.core import execution
from app.core.costs import Costs, affordable, cost_of
from app.core.money import HUNDRED, ONE, ROUNDED, ZERO, exactly, floor_to_step
from app.core.order_values import ENDED, BrokerKind, CancelCause, Execution, Order, OrderStatus
from app.core.plan_values import PlanStatus
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import Asset, Price
from app.core.trades import TradeSide

CRUMB: Final = ONE
"""Less than this in the base currency is not worth another order for the rest of a purchase."""

SENT: Final = frozenset({OrderStatus.PLACING, OrderStatus.WORKING, OrderStatus.CANCELLING, OrderStatus.UNKNOWN})
"""States in which a broker has an order, or may have it."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A trade of a plan; `price`, in the asset's currency, and `rate` to the base currency are the plan's.

    `rank` is how far its sleeve was off target, in points: of purchases the largest comes first.
    """

    number: int
    asset: Asset
    account_id: str
    side: TradeSide
    quantity: Decimal
    price: Decimal
    execution: Execution
    broker: BrokerKind
    rank: Decimal = ZERO
    rate: Decimal = ONE

    @property
    def slices(self) -> tuple[Decimal, ...]:
        """Units of the orders that it begins with."""
        return execution.slices_of(self.quantity, self.execution, self.asset, self.price)


@dataclass(frozen=True)
class Desk:
    """All that a decision rests on. `cash` is by account, `held` units by account and asset; both as booked.

    `floor` is the cash of all accounts together that purchases leave alone. `prices` are the latest, also those that
    are `stale`, by asset. `fees` is what orders cost by account and asset, in the base currency: fees alone. `opens`
    answers when an asset can next be traded, the instant itself where it can then. `stop` is why nothing is sent.
    """

    plan_id: str
    policy: Policy
    legs: tuple[Leg, ...]
    orders: tuple[Order, ...]
    cash: Mapping[str, Decimal]
    held: Mapping[tuple[str, str], Decimal]
    prices: Mapping[str, Price]
    fees: Mapping[tuple[str, str], Costs]
    opens: Callable[[Asset, datetime], datetime]
    now: datetime
    wall: datetime
    floor: Decimal = ZERO
    stale: frozenset[str] = field(default_factory=frozenset)
    stop: CancelCause | None = None

    @cached_property
    def _by_leg(self) -> Mapping[int, list[Order]]:
        found: dict[int, list[Order]] = defaultdict(list)
        for order in sorted(self.orders, key=lambda order: order.key):
            found[order.leg].append(order)
        return found

    def of(self, leg: Leg) -> Sequence[Order]:
        """Return the orders of a leg, by slice."""
        return self._by_leg.get(leg.number, ())

    def price_for(self, leg: Leg, last: Price) -> Decimal:
        """Return the limit price of an order that is sent now: the collar around the last price."""
        return execution.limit_of(leg.side, last.value, self.policy, leg.execution.volatility, leg.asset.price_step)

    def limit_for(self, leg: Leg, last: Price) -> Decimal | None:
        """Return the limit price of an order that is sent now, None for a style without one."""
        free = leg.execution.style in (OrderStyle.MARKET, OrderStyle.NAV)
        return None if free else self.price_for(leg, last)

    @exactly
    def worst(self, leg: Leg, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the most that buying takes, in the base currency: units x price x rate, and the fee."""
        notional = quantity * price * leg.rate
        return notional + cost_of(self._fees(leg), notional).fee

    def fitting(self, leg: Leg, cash: Decimal, price: Decimal) -> Decimal:
        """Return the most units, rounded down to the asset's step, whose `worst` is at most `cash`."""
        notional = affordable(self._fees(leg), max(cash, ZERO))
        unit = ROUNDED.multiply(price, leg.rate)
        return floor_to_step(ROUNDED.divide(notional, unit), leg.asset.quantity_step)

    @exactly
    def tighter(self, leg: Leg, quantity: Decimal, cash: Decimal) -> Decimal | None:
        """Return the highest limit, a multiple of the price step, at which `cash` pays for a whole purchase.

        None where that is below the last price and half the spread: it would rather wait than be filled.
        """
        room = ROUNDED.divide(affordable(self._fees(leg), max(cash, ZERO)), quantity * leg.rate)
        limit = floor_to_step(room, leg.asset.price_step)
        return limit if limit >= self.prices[leg.asset.id].value * (ONE + leg.asset.costs.half_spread) else None

    @exactly
    def committed(self, leg: Leg, order: Order) -> Decimal:
        """Return the most that an order which is sent may still take, in the base currency, beside what is booked."""
        price = order.limit or self.price_for(leg, self.prices[leg.asset.id])
        fee = cost_of(self._fees(leg), order.quantity * price * leg.rate).fee
        return order.left * price * leg.rate + max(ZERO, fee - order.fees * leg.rate)

    @exactly
    def least(self, leg: Leg) -> Decimal:
        """Return the least worth, in the base currency, of an order that is not the trade as it was planned."""
        return max(self.policy.min_trade, leg.asset.min_notional * leg.rate, CRUMB)

    def _fees(self, leg: Leg) -> Costs:
        return self.fees[leg.account_id, leg.asset.id]


class Act(Enum):
    """What a broker is told or asked: the order, that it shall end, how it stands; or nothing."""

    PLACE = "PLACE"
    CANCEL = "CANCEL"
    ASK = "ASK"
    KEEP = "KEEP"


@dataclass(frozen=True, slots=True)
class Step:
    """An order as it is stored first, and what its broker is told after that."""

    act: Act
    order: Order


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now. `new` are orders to add; `wake_at` is when, by the domain clock, to decide again.

    `ending` is the state in which the plan ends, None while it goes on.
    """

    steps: tuple[Step, ...] = ()
    new: tuple[Order, ...] = ()
    wake_at: datetime | None = None
    ending: PlanStatus | None = None


@exactly
def floor_of(policy: Policy, value: Decimal, flow: Decimal, cash: Decimal, *, has_cash_sleeve: bool) -> Decimal:
    """Return the cash that a plan's purchases leave alone, in the base currency.

    What is to be taken out (a negative `flow`), and the policy's buffer, a percent of the value after the flow, where
    no sleeve says how much cash there shall be; of the buffer no more than `cash`, what the plan itself leaves.
    """
    buffer = ZERO if has_cash_sleeve else policy.cash_buffer * (value + flow) / HUNDRED
    return max(ZERO, -flow) + max(ZERO, min(buffer, cash))


def fees_only(costs: Costs) -> Costs:
    """Return costs without what is in the price already."""
    return replace(costs, half_spread=ZERO, impact=None)


@exactly
def filled_of(orders: Iterable[Order]) -> Decimal:
    """Return the units that are filled of orders."""
    return sum((order.filled for order in orders), ZERO)


def is_open(order: Order) -> bool:
    """Say whether an order has not ended."""
    return order.status not in ENDED
