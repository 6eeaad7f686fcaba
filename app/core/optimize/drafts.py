"""Orders while they are being put right: what each brings or costs, a little more or a little less of it.

Cash is counted in Decimal: no account is overdrawn, and the reserve stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core.aims import Aims
from app.core.costs import affordable, cost_of
from app.core.money import (
    ONE,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    ceil_to_step,
    floor_to_step,
    quotient_down,
    round_up,
)
from app.core.optimize.formulate import Place
from app.core.portfolio import TaxLot
from app.core.trades import MOST_UNITS, TradeSide

REPAIRS_MAX: Final = 8
LEAST_KEPT: Final = Decimal("0.01")
"""What is left at least of a unit of money sold, when more has to be raised; below, costs eat nearly all of it."""


@dataclass(slots=True)
class Draft:
    """One order while it is being put right. `queue` are the lots of a sale, in the order in which they go.

    `dust` is the value below which a trade means nothing; of a sale that must not grow `is_final` is true.
    """

    sleeve: int
    place: Place
    side: TradeSide
    units: Decimal
    grain: Decimal
    dust: Decimal
    queue: tuple[TaxLot, ...] = ()
    at_edge: bool = False
    is_final: bool = False

    @property
    def unit(self) -> Decimal:
        return self.place.quote.unit

    @property
    def value(self) -> Decimal:
        return self.units * self.unit

    @property
    def net(self) -> Decimal:
        """What the order adds to cash, costs taken off; negative for a purchase."""
        costs = cost_of(self.place.costs, self.value).total
        return self.value - costs if self.side is TradeSide.SELL else -self.value - costs

    @property
    def held(self) -> Decimal:
        return sum((lot.quantity for lot in self.queue), ZERO)

    @property
    def can_grow(self) -> bool:
        """Whether more of a sale may be sold."""
        return self.units < self.held and not self.is_final

    @property
    def is_exit(self) -> bool:
        """Whether it sells all that is held in its account."""
        return self.side is TradeSide.SELL and self.units == sum((lot.quantity for lot in self.place.lots), ZERO)

    @property
    def is_dust(self) -> bool:
        return self.value < self.dust and not self.is_exit

    @property
    def is_small(self) -> bool:
        """Whether it is below the least order, which only a full exit may be."""
        return self.value < max(self.place.minimum, self.dust) and not self.is_exit


def is_loose(draft: Draft) -> bool:
    """Say whether an order can be changed by a crumb: it has no step, and a sale does not end with a whole lot."""
    if draft.place.asset.quantity_step:
        return False
    if draft.side is TradeSide.BUY:
        return True
    end = ZERO
    for lot in draft.queue:
        end += lot.quantity
        if end == draft.units:
            return False
    return True


def cash_after(cash: Mapping[str, Decimal], drafts: Iterable[Draft]) -> dict[str, Decimal]:
    """Return the cash of each account when its orders are done."""
    left = dict(cash)
    for draft in drafts:
        if draft.units:
            left[draft.place.account.id] += draft.net
    return left


def mend(cash: Mapping[str, Decimal], floor: Decimal, drafts: Sequence[Draft], key: str) -> None:
    """Take what is missing in an account from a purchase, or raise it by selling a little more; what has no step first.

    A crumb that is missing shall not cost a share: a share less leaves cash and drift behind.
    """
    for _ in range(REPAIRS_MAX):
        missing = floor - cash_after(cash, drafts)[key]
        if missing <= ZERO:
            return
        buys = [draft for draft in drafts if draft.side is TradeSide.BUY and draft.units]
        sells = [
            draft
            for draft in drafts
            if draft.side is TradeSide.SELL and draft.units < draft.held and not draft.is_final
        ]
        for few in (buys, sells):
            few.sort(key=lambda one: (bool(one.place.asset.quantity_step), one.at_edge, -one.value))
        loose = [draft for draft in buys if not draft.place.asset.quantity_step]
        if any(spend(draft, -draft.net - missing) for draft in loose):
            continue
        if sells and not sells[0].place.asset.quantity_step:
            before = sells[0].units
            bring(sells[0], sells[0].net + missing)
            if sells[0].units > before:
                continue
        if any(spend(draft, -draft.net - missing) for draft in buys):
            continue
        if sells:
            bring(sells[0], sells[0].net + missing)
        elif buys:
            buys[-1].units = ZERO
        else:
            return


def spend(draft: Draft, money: Decimal) -> bool:
    """Make a purchase cost at most `money` in all; say whether that is possible without making it too small."""
    before = draft.units
    units = quotient_down(affordable(draft.place.costs, money), draft.unit, QUANTITY_PLACES)
    draft.units = floor_to_step(min(units, MOST_UNITS), draft.grain)
    if not draft.units or draft.is_small:
        draft.units = before
        return False
    return True


def bring(draft: Draft, money: Decimal) -> None:
    """Make a sale bring `money` after costs, or the next step above it, as far as there is something to sell."""
    costs, step, most = draft.place.costs, draft.place.asset.quantity_step, draft.held
    kept = max(ONE - costs.rate - costs.half_spread - costs.conversion, LEAST_KEPT)
    before = draft.units
    for _ in range(REPAIRS_MAX):
        missing = money - draft.net
        more = round_up(ROUNDED.divide(missing, ROUNDED.multiply(draft.unit, kept)), QUANTITY_PLACES)
        if not more or (step and missing <= ZERO):
            break
        units = ceil_to_step(draft.units + more, draft.grain)
        draft.units = min(units, floor_to_step(most, step) if step else most)
    if draft.units <= ZERO or draft.is_small:
        draft.units = before


def keep_reserve(aims: Aims, cash: Mapping[str, Decimal], drafts: Sequence[Draft]) -> None:
    """Leave the reserve in cash, or all there is: a purchase in whole steps may have gone a part of a step beyond."""
    sold = sum((draft.net for draft in drafts if draft.side is TradeSide.SELL and draft.units), ZERO)
    floor = min(aims.floor, sum(cash.values(), sold))
    for _ in range(REPAIRS_MAX):
        missing = floor - sum(cash_after(cash, drafts).values(), ZERO)
        buys = [draft for draft in drafts if draft.side is TradeSide.BUY and draft.units]
        if missing <= ZERO or not buys:
            return
        buys.sort(key=lambda one: (one.at_edge, -one.value))
        if not any(spend(draft, -draft.net - missing) for draft in buys):
            buys[-1].units = ZERO
