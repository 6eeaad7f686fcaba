"""Tax lots: which are sold first, how long they were held, what a sale gains."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum

from app.core.money import MONEY_PLACES, ONE, ROUNDED, ZERO, exactly, quotient
from app.core.policy import LotMethod, Policy
from app.core.portfolio import TaxLot


class GainTerm(Enum):
    """Holding period of a gain or loss."""

    SHORT = "SHORT"
    LONG = "LONG"


@dataclass(frozen=True, slots=True)
class LotSale:
    """Part of a lot that a sale takes: units, proceeds and basis in the base currency, gain = proceeds - basis."""

    lot: TaxLot
    quantity: Decimal
    proceeds: Decimal
    basis: Decimal
    gain: Decimal
    term: GainTerm


def add_years(day: date, years: int) -> date:
    """Return the same day `years` later; 29 February goes to 1 March where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def term(holding_from: date, sold_on: date) -> GainTerm:
    """Return LONG iff sold on or after add_years(holding_from + 1 day, 1): held for more than one year.

    The day of purchase does not count (Rev. Rul. 66-7); counting 365 days is wrong in leap years.
    """
    return GainTerm.LONG if sold_on >= long_from(holding_from) else GainTerm.SHORT


def long_from(holding_from: date) -> date:
    """Return the first day on which a sale is long-term, as `term` says."""
    return add_years(holding_from + timedelta(days=1), 1)


def basis_of_part(lot: TaxLot, quantity: Decimal) -> Decimal:
    """Return the basis of `quantity` units of a lot, half-even to 10 decimals; the whole lot takes all of it."""
    if quantity == lot.quantity:
        return lot.basis
    return quotient(ROUNDED.multiply(lot.basis, quantity), lot.quantity, MONEY_PLACES)


def tax_rate(lot_term: GainTerm, policy: Policy) -> Decimal:
    """Return the policy's rate for a term, in percent."""
    return policy.long_term_rate if lot_term is GainTerm.LONG else policy.short_term_rate


def sale_key(
    lot: TaxLot, method: LotMethod, unit_price: Decimal, policy: Policy, sold_on: date, *, taxable: bool
) -> tuple[Decimal | int, Decimal, int, str]:
    """Return what lots are sorted by for a sale, least first; `unit_price` is in the base currency.

    MIN_TAX: tax per money raised, rate(term) x (1 - unit cost / price), which is 0 in an account without tax; then
    highest cost. HIFO: highest cost. Cost is a share of the price, so that lots of different assets compare. FIFO,
    LIFO: date of purchase; SPEC_ID is FIFO among lots that nobody named (Reg. 1.1012-1(c)). Ties: oldest, then id.
    """
    age = lot.acquired_on.toordinal()
    cost = ROUNDED.divide(lot.basis, ROUNDED.multiply(lot.quantity, unit_price))
    if method is LotMethod.MIN_TAX:
        rate = tax_rate(term(lot.holding_from, sold_on), policy) if taxable else ZERO
        return ROUNDED.multiply(rate, ROUNDED.subtract(ONE, cost)), ROUNDED.minus(cost), age, lot.id
    if method is LotMethod.HIFO:
        return ROUNDED.minus(cost), ZERO, age, lot.id
    return (-age if method is LotMethod.LIFO else age), ZERO, age, lot.id


@exactly
def take(ordered: Iterable[TaxLot], quantity: Decimal, unit_price: Decimal, sold_on: date) -> tuple[LotSale, ...]:
    """Sell `quantity` units from lots in the order given; proceeds = units x unit_price, exactly.

    Asking for more than the lots hold is our mistake: an assertion.
    """
    sales = []
    left = quantity
    for lot in ordered:
        if not left:
            break
        part = min(left, lot.quantity)
        proceeds, basis = part * unit_price, basis_of_part(lot, part)
        sales.append(LotSale(lot, part, proceeds, basis, proceeds - basis, term(lot.holding_from, sold_on)))
        left -= part
    assert not left, f"{left} units more are sold than the lots hold"
    return tuple(sales)


@exactly
def remainder(lot: TaxLot, sold: Decimal) -> TaxLot | None:
    """Return what is left of a lot after `sold` units: the rest of units and basis, or None when all went."""
    if sold == lot.quantity:
        return None
    return replace(lot, quantity=lot.quantity - sold, basis=lot.basis - basis_of_part(lot, sold))
