"""What there is to work with: for each sleeve, what is held, what may be sold or bought, or why nothing may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final

from app.core import bands, brokers, evidence
from app.core.costs import Costs
from app.core.drift import DriftStatus, Entry, Report, Snapshot
from app.core.money import HUNDRED, ZERO, plain
from app.core.past import group_of
from app.core.plan_values import PlanRequest
from app.core.policy import TaxRegime, WashRule
from app.core.portfolio import Account, Asset, AssetClass, Holding, Rates
from app.core.targets import CASH
from app.core.tariffs import worthwhile
from app.core.trades import Quote, SkipReason
from app.core.wash import WINDOW_DAYS

MEMBERS_MAX: Final = 5
"""How many assets of a sleeve may be considered for buying: the search looks at every subset of them."""

INFINITE: Final = Decimal("Infinity")
WASH_DAYS: Final = timedelta(days=WINDOW_DAYS)

Obstacle = tuple[SkipReason, str]


@dataclass(frozen=True, slots=True)
class Sleeve:
    """What planning knows of one entry: all holdings, those that may be sold, and assets that may be bought.

    The preferred asset comes first. `unsellable` and `unbuyable` say why nothing may be sold or bought.
    """

    entry: Entry
    holdings: tuple[Holding, ...]
    sellable: tuple[Holding, ...]
    buyable: tuple[Asset, ...]
    unsellable: Obstacle | None = None
    unbuyable: Obstacle | None = None

    @property
    def is_cash(self) -> bool:
        return self.entry.targeted and self.entry.key == CASH


@dataclass(frozen=True)
class Task:
    """All that one plan is made from: the snapshot and how it was measured, what is asked, and what there is to do."""

    snapshot: Snapshot
    before: Report
    request: PlanRequest
    quotes: Mapping[str, Quote]
    sleeves: tuple[Sleeve, ...]

    @cached_property
    def rates(self) -> Rates:
        return Rates(self.snapshot.market, self.snapshot.portfolio.base_currency)

    @cached_property
    def _costs(self) -> dict[tuple[str, str], Costs]:
        return {}

    @cached_property
    def accounts(self) -> Mapping[str, Account]:
        return {account.id: account for account in self.snapshot.portfolio.accounts}

    @cached_property
    def cash(self) -> Mapping[str, Decimal]:
        """Cash in the base currency by account: what plans spend."""
        return self.snapshot.portfolio.base_cash

    def costs_of(self, account_id: str, asset: Asset) -> Costs:
        """Return what orders in an asset cost in an account."""
        place = account_id, asset.id
        if place not in self._costs:
            self._costs[place] = brokers.costs_of(self.rates, self.accounts[account_id], asset)
        return self._costs[place]

    def least(self, account_id: str, asset: Asset) -> Decimal:
        """Return the least order in money that is not dust: policy, venue, fee in proportion; INFINITE when none is."""
        policy = self.snapshot.policy
        least = max(policy.min_trade, asset.min_notional * self.quotes[asset.id].rate)
        costs = self.costs_of(account_id, asset)
        if policy.max_fee == HUNDRED and not (costs.fixed or costs.minimum or costs.tiers):
            return least
        fair = worthwhile(costs, policy.max_fee / HUNDRED, self.scale)
        return INFINITE if fair is None else max(least, fair)

    @property
    def scale(self) -> Decimal:
        """More than any order may be worth: all there is, with what comes in."""
        return (self.before.valuation.value or ZERO) + max(ZERO, self.request.cash_flow)


def task_of(snapshot: Snapshot, before: Report, request: PlanRequest) -> Task:
    """Return what a plan is made from."""
    quotes = quotes_of(snapshot)
    return Task(snapshot, before, request, quotes, sleeves_of(snapshot, before, quotes, request))


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


def washes(asset: Asset, snapshot: Snapshot) -> bool:
    """Say whether the wash-sale rule applies to an asset: under the US rules, to crypto only where the policy says."""
    policy = snapshot.policy
    return policy.tax_regime is TaxRegime.US and (asset.asset_class is not AssetClass.CRYPTO or policy.crypto_washes)


def sleeves_of(
    snapshot: Snapshot, before: Report, quotes: Mapping[str, Quote], request: PlanRequest
) -> tuple[Sleeve, ...]:
    """Return the sleeves in the order of the entries; what the request and the policy restrict is left alone.

    A portfolio that is all cash has no entries: its sleeves hold nothing, and the cash flow is money that comes in.
    """
    assert snapshot.targets
    members = {entry.key: entry.assets for entry in snapshot.targets.entries}
    sleeve_of = snapshot.targets.sleeve_of(holding.asset for holding in before.valuation.holdings)
    entries = before.entries or _empty_entries(snapshot, request.cash_flow)
    held: dict[str, list[Holding]] = {}
    for holding in before.valuation.holdings:
        held.setdefault(sleeve_of.get(holding.asset.id) or f"\n{holding.asset.id}", []).append(holding)
    found = []
    for entry in entries:
        name = entry.key if entry.targeted else f"\n{entry.members[0].asset.id}"
        mine = held.get(name, [])
        barred = {holding.asset.id: _no_sale(snapshot, request, holding.asset) for holding in mine}
        sellable = tuple(holding for holding in mine if barred[holding.asset.id] is None)
        unsellable = None if sellable else next((why for why in barred.values() if why), None)
        buyable, unbuyable = _buyable(snapshot, request, entry, members.get(entry.key, ()), quotes)
        found.append(Sleeve(entry, tuple(mine), sellable, buyable, unsellable, unbuyable))
    return tuple(found)


def _empty_entries(snapshot: Snapshot, flow: Decimal) -> tuple[Entry, ...]:
    """Return entries of sleeves that hold nothing yet, for a portfolio that is all cash."""
    assert snapshot.targets
    cash = sum(snapshot.portfolio.base_cash.values(), flow)
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


def _no_sale(snapshot: Snapshot, request: PlanRequest, asset: Asset) -> Obstacle | None:
    """Return why an asset may not be sold, None when it may."""
    if not snapshot.policy.allow_sells:
        return SkipReason.SELLS_DISABLED, "the policy does not allow sells"
    if asset.symbol in request.exclude:
        return SkipReason.EXCLUDED, f"{asset.symbol} is excluded from this plan"
    if asset.symbol in (*request.no_sell, *snapshot.policy.no_sell):
        return SkipReason.EXCLUDED, f"{asset.symbol} is not to be sold"
    if not asset.tradable:
        return SkipReason.NOT_TRADABLE, f"{asset.symbol} cannot be traded at present"
    return None


def _no_purchase(
    snapshot: Snapshot, request: PlanRequest, asset: Asset, quotes: Mapping[str, Quote]
) -> Obstacle | None:
    """Return why an asset may not be bought, None when it may."""
    if asset.symbol in request.exclude:
        return SkipReason.EXCLUDED, f"{asset.symbol} is excluded from this plan"
    if asset.symbol in (*request.no_buy, *snapshot.policy.no_buy):
        return SkipReason.EXCLUDED, f"{asset.symbol} is not to be bought"
    if not asset.tradable:
        return SkipReason.NOT_TRADABLE, f"{asset.symbol} cannot be traded at present"
    if asset.id not in quotes:
        return SkipReason.NO_PRICE, f"there is no fresh price of {asset.symbol}"
    if snapshot.policy.wash_rule is WashRule.STRICT and washes(asset, snapshot):
        today = snapshot.as_of.date()
        losses = [loss for loss in snapshot.tax.losses if loss.group == group_of(asset)]
        recent = [loss.sold_on for loss in losses if loss.sold_on + WASH_DAYS >= today]
        if recent:
            until = max(recent) + WASH_DAYS
            return SkipReason.WASH_SALE, (
                f"{asset.symbol} was sold at a loss on {max(recent)}; buying it up to {until} would wash that loss, "
                "and the policy is strict"
            )
    return None


def _buyable(
    snapshot: Snapshot, request: PlanRequest, entry: Entry, assets: Sequence[str], quotes: Mapping[str, Quote]
) -> tuple[tuple[Asset, ...], Obstacle | None]:
    """Return what may be bought for a sleeve, the preferred asset first: as named, or by size where only a class is."""
    if entry.key == CASH or not entry.targeted:
        return (), None
    mix = {member.asset.id: member.value for member in entry.members}
    named = assets or evidence.by_size(mix, snapshot.market)
    candidates = [snapshot.market.assets[asset_id] for asset_id in named]
    if not candidates:
        return (), (SkipReason.NO_MEMBER, "the sleeve names only a class and holds nothing of it yet")
    barred = [_no_purchase(snapshot, request, asset, quotes) for asset in candidates]
    buyable = [asset for asset, why in zip(candidates, barred, strict=True) if why is None]
    return tuple(buyable[:MEMBERS_MAX]), None if buyable else barred[0]


def within_band(entry: Entry) -> str:
    """Say that a sleeve is within its band, as a half sentence."""
    return f"{plain(entry.actual)} % is within its band of {plain(entry.lower)} to {plain(entry.upper)} %"
