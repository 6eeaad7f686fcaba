"""What there is to work with: for each sleeve, what may be sold, what may be bought, or why nothing may."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.core import bands, evidence
from app.core.drift import DriftStatus, Entry, Report, Snapshot
from app.core.money import HUNDRED, ZERO
from app.core.portfolio import Asset, Holding, Rates
from app.core.targets import CASH
from app.core.trades import Quote, SkipReason


@dataclass(frozen=True, slots=True)
class Sleeve:
    """What planning knows of one entry: holdings that may be sold, the asset that may be bought or why none."""

    entry: Entry
    sellable: tuple[Holding, ...]
    buyable: Asset | None
    obstacle: tuple[SkipReason, str] | None = None


def quotes_of(snapshot: Snapshot) -> dict[str, Quote]:
    """Return quotes of every asset whose price is fresh, and the rates to the base currency behind it as well."""
    prices, rates = snapshot.market.prices, Rates(snapshot.market, snapshot.portfolio.base_currency)

    def is_fresh(asset: Asset) -> bool:
        age_s = (snapshot.as_of - prices[asset.id].priced_at).total_seconds()
        return age_s <= snapshot.policy.max_price_age_s[asset.asset_class]

    quotes = {}
    for asset_id, asset in snapshot.market.assets.items():
        found = rates.find(asset.currency) if asset_id in prices else None
        if found and all(map(is_fresh, (asset, *found[1]))):
            quotes[asset_id] = Quote(prices[asset_id], found[0])
    return quotes


def sleeves_of(
    snapshot: Snapshot, before: Report, quotes: Mapping[str, Quote], *, exclude: Collection[str], flow: Decimal
) -> list[Sleeve]:
    """Return the sleeves in the order of the entries; assets whose symbol is in `exclude` are left alone.

    A portfolio that is all cash has no entries: its sleeves hold nothing, and `flow` is money that comes in.
    """
    assert snapshot.targets
    members = {entry.key: entry.assets for entry in snapshot.targets.entries}
    sleeve_of = snapshot.targets.sleeve_of(holding.asset for holding in before.valuation.holdings)
    entries = before.entries or _empty_entries(snapshot, flow)
    found = []
    for entry in entries:
        ids = {member.asset.id for member in entry.members}
        mine = [
            holding
            for holding in before.valuation.holdings
            if (sleeve_of.get(holding.asset.id) == entry.key if entry.targeted else holding.asset.id in ids)
        ]
        free = [h for h in mine if h.asset.tradable and h.asset.symbol not in exclude]
        sellable = tuple(free) if snapshot.policy.allow_sells else ()
        buyable, obstacle = _buyable(snapshot, entry, members.get(entry.key, ()), exclude, quotes)
        found.append(Sleeve(entry, sellable, buyable, obstacle))
    return found


def _empty_entries(snapshot: Snapshot, flow: Decimal) -> tuple[Entry, ...]:
    """Return entries of sleeves that hold nothing yet, for a portfolio that is all cash."""
    assert snapshot.targets
    currency = snapshot.portfolio.base_currency
    cash = sum((account.cash.get(currency, ZERO) for account in snapshot.portfolio.accounts), flow)
    ground = snapshot.ground(cash)
    entries = []
    for target in snapshot.targets.entries:
        worked = evidence.band_of(ground, target, ())
        entries.append(
            Entry(
                key=target.key,
                targeted=True,
                target=target.percent,
                actual=ZERO,
                drift=ZERO,
                relative_drift=None,
                band=target.band or snapshot.policy.default_band,
                width=worked.width,
                lower=bands.lower(target.percent, worked.width),
                upper=bands.upper(target.percent, worked.width),
                band_used=None,
                status=DriftStatus.WITHIN,
                value=ZERO,
                to_target=target.percent * cash / HUNDRED,
                stale=False,
                members=(),
                why=worked.why,
                volatility=worked.volatility,
                volatility_above=worked.volatility_above,
            )
        )
    return tuple(entries)


def _buyable(
    snapshot: Snapshot, entry: Entry, assets: Sequence[str], exclude: Collection[str], quotes: Mapping[str, Quote]
) -> tuple[Asset | None, tuple[SkipReason, str] | None]:
    """Return what is bought for a sleeve: its first asset, or its largest holding when it names only a class."""
    if entry.key == CASH or not entry.targeted:
        return None, None
    mix = {member.asset.id: member.value for member in entry.members}
    asset = evidence.first_asset(assets, mix, snapshot.market)
    if asset is None:
        return None, (SkipReason.NO_MEMBER, "the sleeve names only a class and holds nothing of it yet")
    if asset.symbol in exclude:
        return None, (SkipReason.EXCLUDED, f"{asset.symbol} is excluded from this plan")
    if not asset.tradable:
        return None, (SkipReason.NOT_TRADABLE, f"{asset.symbol} cannot be traded at present")
    if asset.id not in quotes:
        return None, (SkipReason.NO_PRICE, f"there is no fresh price of {asset.symbol}")
    return asset, None
