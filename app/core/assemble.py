"""From drafts to values: symbols looked up, defaults filled in. Offline and online lots are made here alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.core import targets
from app.core.document import PortfolioFile
from app.core.drafts import LotDraft, basis_of, names_of
from app.core.drift import Snapshot
from app.core.errors import InvalidInput, SteelyardError
from app.core.money import QUANTITY_PLACES, ROUNDED, round_half_even
from app.core.portfolio import Account, Asset, Market, Portfolio, TaxLot, rate


@dataclass(frozen=True, slots=True)
class NewLot:
    """A lot before it has an id: basis in the base currency, exact."""

    asset: Asset
    quantity: Decimal
    basis: Decimal
    acquired_on: date


def new_lots(
    drafts: Sequence[LotDraft], names: Mapping[str, Asset], market: Market, base_currency: str, today: date
) -> list[NewLot]:
    """Look lots up and give each its basis = quantity x unit cost, rounded half-even to 10 decimals.

    An absent unit cost is the latest price x rate, half-even to 18 decimals; an absent date is `today`. Refused, with
    the lot's place: an unknown symbol, a date in the future, an absent cost where there is no price.
    """
    lots = []
    for place, draft in enumerate(drafts):
        try:
            lots.append(_new_lot(draft, names, market, base_currency, today))
        except SteelyardError as error:
            raise error.under(place) from None
    return lots


def _new_lot(draft: LotDraft, names: Mapping[str, Asset], market: Market, base_currency: str, today: date) -> NewLot:
    asset = names.get(draft.symbol)
    if asset is None:
        raise InvalidInput(f"no asset has the symbol {draft.symbol}; an operator can add it", ["symbol"])
    acquired_on = draft.acquired_on or today
    if acquired_on > today:
        raise InvalidInput(f"acquiredOn {acquired_on} is after today, {today}", ["acquiredOn"])
    unit_cost = draft.unit_cost
    if unit_cost is None:
        price = market.prices.get(asset.id)
        factor = rate(market, asset.currency, base_currency)
        if price is None or factor is None:
            raise InvalidInput(f"{draft.symbol} has no price to take the cost from; give unitCost", ["unitCost"])
        unit_cost = round_half_even(ROUNDED.multiply(price.value, factor), QUANTITY_PLACES)
    return NewLot(asset, draft.quantity, basis_of(draft.quantity, unit_cost), acquired_on)


def snapshot_of(file: PortfolioFile) -> Snapshot:
    """Return the snapshot a portfolio file describes, as of its own instant; ids are the file's names."""
    names = names_of([asset for asset, _ in file.assets])
    market = Market(
        {asset.id: asset for asset, _ in file.assets}, {asset.id: price for asset, price in file.assets if price}
    )
    draft, today = file.portfolio, file.as_of.date()
    accounts = []
    for place, account in enumerate(draft.accounts):
        try:
            lots = new_lots(account.lots, names, market, draft.base_currency, today)
        except SteelyardError as error:
            raise error.under("portfolio", "accounts", place, "lots") from None
        held = tuple(
            TaxLot(f"{account.name}:{index}", lot.asset.id, lot.quantity, lot.basis, lot.acquired_on, lot.acquired_on)
            for index, lot in enumerate(lots)
        )
        accounts.append(Account(account.name, account.name, account.kind, account.cash, held))
    portfolio = Portfolio(draft.name, draft.name, draft.base_currency, tuple(accounts))
    ids = {name: asset.id for name, asset in names.items()}
    try:
        wanted = None if draft.targets is None else targets.parse(draft.targets, ids)
    except SteelyardError as error:
        raise error.under("portfolio", "targets") from None
    return Snapshot(portfolio, wanted, draft.policy, market, file.as_of)
