"""From what was bought and sold to what planning must know of it: recent purchases and losses, the year so far."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from app.core.ledger import Event, Ledger, LotChoice, Sale
from app.core.lots import GainTerm
from app.core.money import MONEY_PLACES, PRICE_PLACES, ZERO, exactly, round_half_even_fraction
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind
from app.core.regimes import REGIMES
from app.core.tax import RecentBuy, RecentLoss, TaxFacts
from app.core.wash import WINDOW_DAYS

NO_UNITS: Final[Mapping[int, Decimal]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HeldLot:
    """An open lot as it is stored, of any account of the taxpayer group; account and symbol as the events name them.

    One that has `replaced` shares sold at a loss, which were booked with it, replaces no others.
    """

    lot_id: str
    account: str
    symbol: str
    group: str
    quantity: Decimal
    acquired_on: date
    replaced: bool = False


@exactly
def facts(
    events: Iterable[Event],
    as_of: date,
    policy: Policy,
    *,
    held: Sequence[HeldLot] | None = None,
    exempt: Collection[str] = (),
    booked: Sequence[Sale] = (),
    washed: Mapping[int, Decimal] = NO_UNITS,
    known_from: date | None = None,
    short_carry: Decimal = ZERO,
    long_carry: Decimal = ZERO,
) -> TaxFacts:
    """Return what the past of a taxpayer group says on the day `as_of`; sales that name no lot were FIFO.

    `events` are in the base currency; later ones are left out. `held` are all open lots of the group: where they are
    given they say what is still held, and the events only what of it has replaced something already. Sales of units
    whose purchase nobody told have no known gain: they are left out, and the past is known only from the day after.
    `exempt` are symbols that the wash rule does not know. `booked` are sales whose lots are known, which are not among
    the events; `washed` are units that purchases booked since have washed of sales that are, by row.
    Losses per unit are half-even to 18 decimals, gains of the year to 10. The regime NONE knows nothing.
    """
    if policy.tax_regime is TaxRegime.NONE:
        return TaxFacts(known_from=known_from)
    past = [event for event in events if event.day <= as_of]
    settle = REGIMES[policy.tax_regime].settle
    ledger = settle(past, LotChoice(), exempt=exempt, known_from=known_from, short_history=True)
    buys = _told_buys(ledger) if held is None else _held_buys(ledger, held, exempt)
    sales = (*less_washed(ledger.sales, washed), *booked)
    short, long = (_year_gain(sales, as_of.year, term) for term in (GainTerm.SHORT, GainTerm.LONG))
    return TaxFacts(
        buys=tuple(buy for buy in buys if _is_recent(buy.bought_on, as_of)),
        losses=tuple(loss for loss in _losses(sales) if _is_recent(loss.sold_on, as_of)),
        short_gain=short,
        long_gain=long,
        short_carry=short_carry,
        long_carry=long_carry,
        known_from=_known_from(ledger, known_from),
    )


def _is_recent(day: date, as_of: date) -> bool:
    return (as_of - day).days <= WINDOW_DAYS


def _told_buys(ledger: Ledger) -> Iterator[RecentBuy]:
    """Yield what may still replace something, as the events tell it."""
    for lot in ledger.lots:
        if lot.unused:
            yield RecentBuy(lot.event.group, lot.unused, lot.event.day, lot.event.lot or None)


def _held_buys(ledger: Ledger, held: Sequence[HeldLot], exempt: Collection[str]) -> Iterator[RecentBuy]:
    """Yield the open lots that are stored, less what of the purchases of their day has replaced something already."""
    used = used_of(ledger)
    for stored in held:
        if stored.replaced:
            continue
        place = stored.account, stored.symbol, stored.acquired_on
        spent = min(used.get(place, ZERO), stored.quantity)
        used[place] = used.get(place, ZERO) - spent
        if spent < stored.quantity and stored.symbol not in exempt:
            yield RecentBuy(stored.group, stored.quantity - spent, stored.acquired_on, stored.lot_id or None)


def used_of(ledger: Ledger) -> dict[tuple[str, str, date], Decimal]:
    """Return how many units of the purchases of an account, symbol and day are held and have replaced something."""
    used: dict[tuple[str, str, date], Decimal] = {}
    for lot in ledger.lots:
        place = lot.event.account, lot.event.symbol, lot.event.day
        used[place] = used.get(place, ZERO) + lot.quantity - lot.unused
    return used


def less_washed(sales: Iterable[Sale], washed: Mapping[int, Decimal]) -> Iterator[Sale]:
    """Yield sales whose losses purchases have washed since, by row of the event; of a sale's parts the first first."""
    left = dict(washed)
    for sale in sales:
        units = min(sale.unwashed, left.get(sale.event.row, ZERO))
        if units:
            left[sale.event.row] -= units
            lost = -sale.gain * Fraction(units) / Fraction(sale.quantity)
            sale = replace(sale, unwashed=sale.unwashed - units, disallowed=sale.disallowed + lost)
        yield sale


def _losses(sales: Iterable[Sale]) -> Iterator[RecentLoss]:
    for sale in sales:
        if sale.unwashed:
            loss = round_half_even_fraction(-sale.gain / Fraction(sale.quantity), PRICE_PLACES)
            yield RecentLoss(sale.event.group, sale.unwashed, loss, sale.term, sale.event.day)


def _year_gain(sales: Iterable[Sale], year: int, gain_term: GainTerm) -> Decimal:
    counted = (sale.counted for sale in sales if sale.event.day.year == year and sale.term is gain_term)
    return round_half_even_fraction(sum(counted, Fraction(0)), MONEY_PLACES)


def _known_from(ledger: Ledger, known_from: date | None) -> date | None:
    """Return from when on the past is known: after the last taxable sale whose purchase nobody told."""
    gaps = [event.day + timedelta(days=1) for event, _ in ledger.uncovered if event.kind is AccountKind.TAXABLE]
    return max([known_from, *gaps]) if known_from else None
