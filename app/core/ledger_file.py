"""The ledger as a file: a row of CSV becomes an event, a settled ledger becomes the answer of `ledger --json`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any, Final

from app.core import scalars, wash
from app.core.errors import InvalidInput
from app.core.ledger import Contradiction, Event, Ledger, LotChoice, Sale
from app.core.lots import GainTerm
from app.core.money import plain, plain_fraction
from app.core.portfolio import AccountKind
from app.core.trades import TradeSide

OPTIONAL_COLUMNS: Final = ("lot", "identical_group")
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199


@dataclass(frozen=True, slots=True)
class YearSum:
    """What the sales of a year come to: gains that count, short and long, and losses disallowed, those for good too."""

    year: int
    short: Fraction
    long: Fraction
    disallowed: Fraction
    permanent: Fraction


def read_row(cells: Mapping[str, str]) -> Event:
    """Read a purchase or sale from the cells of a row; its `row` is filled in by who knows the line."""
    symbol = scalars.symbol(cells["symbol"])
    lot, group = (cells.get(name, "") for name in OPTIONAL_COLUMNS)
    return Event(
        row=0,
        day=_day(cells["date"]),
        account=scalars.text(cells["account"], "account"),
        kind=scalars.member(AccountKind, cells["account_kind"], "account_kind"),
        side=scalars.member(TradeSide, cells["side"], "side"),
        symbol=symbol,
        group=scalars.text(group, "identical_group") if group else symbol,
        quantity=scalars.quantity(cells["quantity"]),
        price=scalars.unit_cost(cells["price"], "price"),
        fees=scalars.money(cells["fees"] or "0", "fees"),
        lot=scalars.text(lot, "lot") if lot else "",
    )


def _day(text: str) -> date:
    """Read a date of a year in which somebody who is alive may have traded: any other is a slip of the pen."""
    day = scalars.day(text)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise InvalidInput(f"date {text} is not of the years {FIRST_YEAR} to {LAST_YEAR}")
    return day


def settle(rows: Sequence[tuple[int, Event]], choice: LotChoice) -> Ledger:
    """Settle the rows of a file, all of one taxpayer group; what they cannot mean is an error that names the line."""
    try:
        return wash.settle([replace(event, row=line) for line, event in rows], choice)
    except Contradiction as error:
        raise InvalidInput(f"line {error.event.row}: {error.message}") from None


def render(ledger: Ledger) -> dict[str, Any]:
    """Return the answer: sales in order of events, open lots by account and symbol in order of acquisition.

    Numbers are decimal strings, exact where they end within 36 places, else half-even to 20 places.
    """
    return {
        "sales": [_sale(sale) for sale in ledger.sales],
        "lots": [
            {
                "account": lot.event.account,
                "symbol": lot.event.symbol,
                "quantity": plain(lot.quantity),
                "unitCost": plain_fraction(lot.unit_cost),
                "acquiredOn": lot.event.day.isoformat(),
                "holdingFrom": lot.holding_from.isoformat(),
            }
            for lot in ledger.lots
        ],
    }


def _sale(sale: Sale) -> dict[str, str]:
    return {
        "date": sale.event.day.isoformat(),
        "account": sale.event.account,
        "symbol": sale.event.symbol,
        "quantity": plain(sale.quantity),
        "proceeds": plain_fraction(sale.proceeds),
        "basis": plain_fraction(sale.basis),
        "gain": plain_fraction(sale.gain),
        "term": sale.term.value,
        "disallowed": plain_fraction(sale.disallowed),
        "permanentlyDisallowed": plain_fraction(sale.permanent),
        "state": sale.state.value,
    }


def years(ledger: Ledger) -> Iterator[YearSum]:
    """Yield what the taxable sales of each year come to, oldest first."""
    for year in sorted({sale.event.day.year for sale in ledger.sales}):
        sales = [sale for sale in ledger.sales if sale.event.day.year == year]
        gains = dict.fromkeys(GainTerm, Fraction(0))
        for sale in sales:
            gains[sale.term] += sale.counted
        disallowed = sum((sale.disallowed for sale in sales), Fraction(0))
        permanent = sum((sale.permanent for sale in sales), Fraction(0))
        yield YearSum(year, gains[GainTerm.SHORT], gains[GainTerm.LONG], disallowed, permanent)
