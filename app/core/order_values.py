"""Orders: what is sent to a broker to work a trade of a plan, and what came back.

    Trade (leg of a plan) ── Execution (how it is to be worked) ── Order (leg, slice) ── Fill

An order is known by its plan, the leg (the trade's place in the plan, from 1) and the slice (from 1 within the leg;
the remainder of an order that was cancelled and priced anew is the next slice). From these alone its client id is made,
so that whoever sends it a second time sends the same order. Quantities are units; prices are in the asset's currency.
Orders of plans that were approved in one bulk may go through its pool: there they become blocks.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from app.core.money import EXACT, ZERO
from app.core.policy import OrderStyle as OrderStyle
from app.core.portfolio import Asset
from app.core.portfolio import BrokerKind as BrokerKind
from app.core.trades import TradeSide


class OrderStatus(Enum):
    """Life of an order.

    PENDING (waits: its time, its session, cash, or a halt) -> PLACING -> WORKING -> FILLED | CANCELLED | REJECTED |
    EXPIRED; WORKING -> CANCELLING -> CANCELLED | FILLED. UNKNOWN: the broker cannot say what became of it.
    """

    PENDING = "PENDING"
    PLACING = "PLACING"
    WORKING = "WORKING"
    CANCELLING = "CANCELLING"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


ENDED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
"""States that an order never leaves."""


class CancelCause(Enum):
    """Why an order ended before it was filled, where we had it end.

    SETTLED: a person said so for its silent broker. UNSENT: its session ended before it was on any market.
    """

    REPRICE = "REPRICE"
    HALT = "HALT"
    STOP = "STOP"
    SHORT = "SHORT"
    SETTLED = "SETTLED"
    UNSENT = "UNSENT"


@dataclass(frozen=True, slots=True)
class Execution:
    """How a trade is to be worked, and why in one sentence.

    `limit` is for LIMIT, `slices` and `interval_s` for TWAP (else 1 and 0). `not_before` is when the venue's session
    opens, None when it is open now or never closes. `volatility` is what the choice rests on, percent a year, None
    where it is not known; a limit that is made anew goes by it too.
    """

    style: OrderStyle
    why: str
    limit: Decimal | None = None
    slices: int = 1
    interval_s: int = 0
    not_before: datetime | None = None
    volatility: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order as a broker is told: everything that it needs, under an id that only this order ever has.

    `pool` is where it is put together with others, None where it goes to its broker by itself.
    """

    client_id: str
    account_id: str
    asset: Asset
    side: TradeSide
    quantity: Decimal
    style: OrderStyle
    limit: Decimal | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution: the broker's own id of it, units, price and fee in the asset's currency, and when."""

    broker_fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    filled_at: datetime


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """What a broker says of an order: its own id, WORKING or how it ended, and every fill there was so far.

    `unsent`: it ended before it was on any market.
    """

    broker_order_id: str
    status: OrderStatus
    fills: tuple[Fill, ...] = ()
    message: str = ""
    unsent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is sent to a broker, or will be, as we keep it. `filled` and `fees` are what is known of it by now.

    `filled_value` is units x price of its fills, in the asset's currency; `limit` is None where it has none. `cause` is
    why we had it cancelled, if we had: its price, a halt, the plan's end, or too little cash or units.

    `ask_at` is from when on its broker may be asked, by the wall clock: whoever asks, or hands it in, first moves it on
    and so has the broker to itself until then. `asks` counts those without news, `lost` those without an answer.

    `pool` is the id of a bulk: it goes to where orders of plans that were approved there are put together by asset, and
    not to its broker. None where it goes to its broker by itself.
    """

    id: str
    client_id: str
    broker: BrokerKind
    account_id: str
    asset: Asset
    side: TradeSide
    style: OrderStyle
    quantity: Decimal
    limit: Decimal | None
    status: OrderStatus
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    fees: Decimal = ZERO
    broker_order_id: str | None = None
    placed_at: datetime | None = None
    ended_at: datetime | None = None
    message: str = ""
    cause: CancelCause | None = None
    ask_at: datetime | None = None
    asks: int = 0
    lost: int = 0
    pool: str | None = None

    @property
    def left(self) -> Decimal:
        """Units that are not filled."""
        return EXACT.subtract(self.quantity, self.filled)

    @property
    def most(self) -> Decimal:
        """Units that its broker may have it for."""
        return self.quantity

    @property
    def ticket(self) -> Ticket:
        """What the broker is told."""
        return Ticket(
            *(self.client_id, self.account_id, self.asset, self.side, self.quantity, self.style, self.limit, self.pool)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Sent):
    """An order of a plan; what is filled of it is what is booked. `due_at` is when it may be sent.

    `handed_in` is the most units that were ever handed in under its client id: sent again, it may be for fewer.
    """

    plan_id: str
    leg: int
    slice: int
    due_at: datetime
    handed_in: Decimal = ZERO

    @property
    def most(self) -> Decimal:
        """Units that its broker may have it for."""
        return max(self.quantity, self.handed_in)

    @property
    def key(self) -> tuple[int, int]:
        """Leg and slice: what tells it from the other orders of its plan."""
        return self.leg, self.slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Sent):
    """Orders of one owner in one asset that were put together: what their broker gets instead of them.

    `account_id` is that of its first order, `gathered_in` the bulk whose pool they came through.
    """

    gathered_in: str


def client_id(plan_id: str, leg: int, slice_number: int) -> str:
    """Return the id under which a broker knows an order: the same for the same plan, leg and slice, at most 48 long."""
    return f"{plan_id}-{leg}-{slice_number}"
