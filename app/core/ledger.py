"""The ledger of the past: what was bought and sold, and what became of it.

Event (a purchase or a sale) ── wash.settle ──> Ledger ── Sale (part of a purchase that was sold, with its state)
                                                   ├── OpenLot (what is left, with adjusted basis and holding period)
                                                   └── Match (shares sold at a loss, and those that replaced them)

Money is a fraction here, so that no division loses anything; it is a decimal again where it is written.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction

from app.core.errors import InvalidInput
from app.core.lots import GainTerm, term
from app.core.money import ZERO, plain
from app.core.policy import LotMethod
from app.core.portfolio import AccountKind
from app.core.trades import TradeSide


class WashState(Enum):
    """How sure the treatment of a sale is; of several that apply the first counts.

    COVERAGE_INCOMPLETE: a loss, and what happened in the days before it is not all known. UNCLEAR: shares bought before
    those that were sold replaced them, which is contested. PROBABLE: another symbol of the group replaced them.
    CONFIRMED: none of this, also when nothing was disallowed.
    """

    COVERAGE_INCOMPLETE = "COVERAGE_INCOMPLETE"
    UNCLEAR = "UNCLEAR"
    PROBABLE = "PROBABLE"
    CONFIRMED = "CONFIRMED"


@dataclass(frozen=True, slots=True)
class Event:
    """One purchase or sale. `row` says where it was told; `fees` add to a basis and reduce proceeds.

    Purchases of one account and symbol with the same `lot` are one; a sale takes from the `lot` it names. `group` is
    what is substantially identical.
    """

    row: int
    day: date
    account: str
    kind: AccountKind
    side: TradeSide
    symbol: str
    group: str
    quantity: Decimal
    price: Decimal
    fees: Decimal = ZERO
    lot: str = ""


@dataclass(frozen=True, slots=True)
class LotChoice:
    """Which lots a sale takes that names none; rates in percent, for MIN_TAX. SPEC_ID then falls back to FIFO."""

    method: LotMethod = LotMethod.FIFO
    short_rate: Decimal = ZERO
    long_rate: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Sale:
    """Shares of one purchase that a sale took, alike in basis and holding period; all exact.

    `basis` holds earlier wash adjustments; `disallowed` >= 0 is the whole disallowed loss, `permanent` the part of it
    that no basis takes up; `unwashed` are the units of a loss that nothing replaced, 0 where no rule asks for them.
    """

    event: Event
    acquired_on: date
    holding_from: date
    quantity: Decimal
    proceeds: Fraction
    basis: Fraction
    unwashed: Decimal
    disallowed: Fraction
    permanent: Fraction
    state: WashState

    @property
    def gain(self) -> Fraction:
        """Proceeds less basis, before any disallowance; negative is a loss."""
        return self.proceeds - self.basis

    @property
    def counted(self) -> Fraction:
        """What counts for tax; 0 in an account without tax on sales."""
        return self.gain + self.disallowed if self.event.kind is AccountKind.TAXABLE else Fraction(0)

    @property
    def term(self) -> GainTerm:
        """SHORT or LONG, by the adjusted holding period."""
        return term(self.holding_from, self.event.day)


@dataclass(frozen=True, slots=True)
class OpenLot:
    """Shares of one purchase still held, alike in basis and holding period; `unused` may still replace something."""

    event: Event
    quantity: Decimal
    unit_cost: Fraction
    holding_from: date
    unused: Decimal


@dataclass(frozen=True, slots=True)
class Match:
    """Shares of a purchase that replaced shares sold at a loss: their basis rises by `loss`, unless it is permanent.

    `days` is by how much their holding period begins earlier.
    """

    sale: Event
    purchase: Event
    quantity: Decimal
    loss: Fraction
    days: int
    permanent: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """The settled past: sales in order of events, open lots by account and symbol in order of acquisition.

    `uncovered` are sales of units whose purchase is not among the events, with how many.
    """

    sales: tuple[Sale, ...]
    lots: tuple[OpenLot, ...]
    matches: tuple[Match, ...]
    uncovered: tuple[tuple[Event, Decimal], ...] = ()


class Contradiction(InvalidInput):
    """An event that does not agree with those before it."""

    def __init__(self, event: Event, message: str) -> None:
        super().__init__(message)
        self.event = event


class NotHeld(Contradiction):
    """A sale takes more than is held."""

    def __init__(self, event: Event, held: Decimal) -> None:
        named = f" of lot {event.lot}" if event.lot else ""
        super().__init__(
            event,
            f"{plain(event.quantity)} {event.symbol} are sold in {event.account}{named}, "
            f"but only {plain(held)} are held; add the purchases that are missing",
        )
