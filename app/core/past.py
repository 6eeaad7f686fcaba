"""What a taxpayer group did, as it is told: purchases and sales, and lots that are open. A ledger makes facts of it.

Past ── Told (a purchase or sale, in its asset's currency)
   ├─── BookedSale (a part of a lot that a fill sold: its basis is known)
   └─── Held (an open lot that was acquired of late, whoever told of it)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from app.core import tax_facts
from app.core.drift import Snapshot
from app.core.errors import InvalidInput
from app.core.ledger import Event, Sale, WashState
from app.core.money import ROUNDED, ZERO
from app.core.portfolio import Account, AccountKind, Asset, AssetClass, Market, Rates
from app.core.tax import TaxFacts
from app.core.tax_facts import HeldLot
from app.core.trades import TradeSide
from app.core.wash import WINDOW_DAYS

FIRST_DAY: Final = date(1900, 1, 1)  # of a trade: a day before it is a slip of the pen


@dataclass(frozen=True, slots=True)
class Told:
    """One purchase or sale: price and fees in the asset's currency. `account` tells accounts apart.

    `washed` are units of its loss that purchases booked since have washed; `row` is where it is stored.
    """

    day: date
    account: str
    kind: AccountKind
    side: TradeSide
    asset: Asset
    quantity: Decimal
    price: Decimal
    fees: Decimal = ZERO
    washed: Decimal = ZERO
    row: int = 0


@dataclass(frozen=True, slots=True)
class BookedSale:
    """Part of a lot that a fill sold, money in `currency`; `unwashed` units of its loss nothing has replaced yet.

    `disallowed` is what of its loss is, `permanent` what of that no basis took up.
    """

    day: date
    account: str
    kind: AccountKind
    asset: Asset
    currency: str
    acquired_on: date
    holding_from: date
    quantity: Decimal
    proceeds: Decimal
    basis: Decimal
    unwashed: Decimal = ZERO
    disallowed: Decimal = ZERO
    permanent: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Held:
    """An open lot; `lot_id` is empty where it is in another portfolio than the one that is planned."""

    lot_id: str
    account: str
    asset: Asset
    quantity: Decimal
    acquired_on: date
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """What is told of a group, in the order of events within a day, and the day from which on nothing is missing."""

    told: tuple[Told, ...] = ()
    held: tuple[Held, ...] = ()
    known_from: date | None = None
    booked: tuple[BookedSale, ...] = ()


NO_PAST: Final = Past()


def check_day(day: date, today: date) -> None:
    """Refuse a day of a trade that has not come, or before 1900."""
    if day > today:
        raise InvalidInput(f"date {day} is after today, {today}", ["date"])
    if day < FIRST_DAY:
        raise InvalidInput(f"date {day} is before {FIRST_DAY}; is it misspelt?", ["date"])


def recent_from(today: date) -> date:
    """Return the first day whose purchases and losses still matter to a wash sale of today."""
    return today - timedelta(days=WINDOW_DAYS)


def needed_from(today: date) -> date:
    """Return the first day whose trades matter to a plan of today: of the year so far, and of the days of the window.

    Of what was traded since, all that was ever told is needed: a sale's basis is that of its purchase.
    """
    return min(date(today.year, 1, 1), recent_from(today))


def known_since(accounts: Iterable[date | None]) -> date | None:
    """Return from when on the past of all accounts is known: the last of their days, None while one has none."""
    days = list(accounts)
    known = [day for day in days if day is not None]
    return max(known) if known and len(known) == len(days) else None


def with_facts(snapshot: Snapshot, past: Past) -> Snapshot:
    """Return a snapshot that knows the past of its taxpayer group.

    Money of the past is converted at the snapshot's own rates, as none of then are pinned. Trades in a currency without
    a rate cannot be weighed: they are left out, and from when on the past is known nobody can say.
    """
    return replace(snapshot, tax=_facts(snapshot, past))


def _facts(snapshot: Snapshot, past: Past) -> TaxFacts:
    rates = Rates(snapshot.market, snapshot.portfolio.base_currency)
    events = [event_of(place, told, rates) for place, told in enumerate(past.told)]
    sales = [_sale_of(sale, rates) for sale in past.booked]
    return tax_facts.facts(
        [event for event in events if event],
        snapshot.as_of.date(),
        snapshot.policy,
        held=[_held(lot) for lot in past.held],
        exempt=_exempt(snapshot, past),
        booked=[sale for sale in sales if sale],
        washed={place: told.washed for place, told in enumerate(past.told) if told.washed},
        known_from=past.known_from if all(events) and all(sales) else None,
    )


def event_of(row: int, told: Told, rates: Rates) -> Event | None:
    """Return what is told as an event in the base currency of `rates`; None where there is no rate."""
    found = rates.find(told.asset.currency)
    if found is None:
        return None
    return Event(
        row=row,
        day=told.day,
        account=told.account,
        kind=told.kind,
        side=told.side,
        symbol=told.asset.id,
        group=group_of(told.asset),
        quantity=told.quantity,
        price=ROUNDED.multiply(told.price, found[0]),
        fees=ROUNDED.multiply(told.fees, found[0]),
    )


def _sale_of(sale: BookedSale, rates: Rates) -> Sale | None:
    found = rates.find(sale.currency)
    if found is None:
        return None
    rate, asset = Fraction(found[0]), sale.asset
    sold = -1, sale.day, sale.account, sale.kind, TradeSide.SELL, asset.id, group_of(asset), sale.quantity, ZERO
    return Sale(
        event=Event(*sold),
        acquired_on=sale.acquired_on,
        holding_from=sale.holding_from,
        quantity=sale.quantity,
        proceeds=Fraction(sale.proceeds) * rate,
        basis=Fraction(sale.basis) * rate,
        unwashed=sale.unwashed,
        disallowed=Fraction(sale.disallowed) * rate,
        permanent=Fraction(sale.permanent) * rate,
        state=WashState.CONFIRMED,
    )


def _held(lot: Held) -> HeldLot:
    group = group_of(lot.asset)
    return HeldLot(lot.lot_id, lot.account, lot.asset.id, group, lot.quantity, lot.acquired_on, lot.replaced)


def group_of(asset: Asset) -> str:
    """Return what stands for all assets that are substantially identical to this one: its group, else itself."""
    return asset.identical_group or asset.id


def _exempt(snapshot: Snapshot, past: Past) -> frozenset[str]:
    if snapshot.policy.crypto_washes:
        return frozenset()
    assets = {asset.id: asset for asset in (*(one.asset for one in past.told), *(one.asset for one in past.held))}
    return frozenset(key for key, asset in assets.items() if asset.asset_class is AssetClass.CRYPTO)


def own_lots(accounts: Iterable[Account], market: Market, today: date) -> tuple[Held, ...]:
    """Return the lots of a portfolio's accounts that were acquired in the days of the window."""
    return tuple(
        Held(lot.id, account.id, market.assets[lot.asset_id], lot.quantity, lot.acquired_on)
        for account in accounts
        for lot in account.lots
        if lot.acquired_on >= recent_from(today)
    )


def in_order(told: Sequence[Told]) -> tuple[Told, ...]:
    """Return what is told by day, and within a day as it was told."""
    return tuple(sorted(told, key=lambda one: one.day))
