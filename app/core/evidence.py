"""What a band rests on beside its target: how much its assets move, and what crossing it costs.

The costs of the side above the target hold the tax on the lots that would go, chosen as planning chooses them. Costs
that depend on the size of an order are taken for one of a hundredth of the base.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from functools import cached_property
from typing import Final

from app.core import bands, lots
from app.core.bands import Band, BandKind, Evidence, SideCosts, Worked
from app.core.brokers import costs_of
from app.core.errors import StaleData
from app.core.money import HUNDRED, MONEY_PLACES, ONE, QUANTITY_PLACES, ROUNDED, ZERO, quantum, quotient
from app.core.policy import Policy
from app.core.portfolio import Account, Asset, Holding, Market, Portfolio, Rates, TaxLot
from app.core.stats import Closes, Volatility, compounded, volatility
from app.core.targets import CASH, Target
from app.core.tariffs import outline
from app.core.tax import taxed_accounts

OF_CASH: Final = Evidence(absent="Cash is taken to have neither risk nor costs of trading")
OF_NOTHING: Final = Evidence(absent="The sleeve names only a class and holds nothing of it yet")


@dataclass(frozen=True)
class Ground:
    """What bands of one portfolio stand on. `base` is what weights are a share of; 0 where it is not known."""

    portfolio: Portfolio
    policy: Policy
    market: Market
    closes: Mapping[str, Closes]
    as_of: datetime
    base: Decimal

    @cached_property
    def rates(self) -> Rates:
        return Rates(self.market, self.portfolio.base_currency)

    @cached_property
    def accounts(self) -> Mapping[str, Account]:
        return {account.id: account for account in self.portfolio.accounts}

    def costs(self, asset: Asset, account: Account) -> tuple[Decimal, Decimal]:
        """Return what an order of a hundredth of the base costs at least, and its share; see `tariffs.outline`."""
        size = self.base.scaleb(-2) if self.base > ZERO else quantum(MONEY_PLACES)
        return outline(costs_of(self.rates, account, asset), size)

    @cached_property
    def taxable(self) -> frozenset[str]:
        """The accounts whose gains are taxed."""
        return taxed_accounts(self.portfolio, self.policy)


def band_of(ground: Ground, target: Target, holdings: Sequence[Holding]) -> Worked:
    """Return how the band of a sleeve works out: its own, or the policy's default; `holdings` are the sleeve's."""
    band = target.band or ground.policy.default_band
    if not bands.needs_evidence(band) or not ZERO < target.percent < HUNDRED:
        return bands.work_out(band, target.percent)
    if target.key == CASH:
        return bands.work_out(band, target.percent, OF_CASH)
    mix = values_by_asset(holdings)
    first = first_asset(target.assets, mix, ground.market)
    if first is None:
        return bands.work_out(band, target.percent, OF_NOTHING)
    held = [(ground.market.assets[asset_id], worth) for asset_id, worth in mix.items()] or [(first, ONE)]
    with localcontext(ROUNDED):  # what comes out is quantised: costs here, the half-width in the band
        volatilities = {days: _volatility(ground, held, days) for days in bands.windows_of(band)}
        try:
            buying, selling = _costs(ground, band, target, holdings, first)
        except StaleData as error:
            return bands.work_out(band, target.percent, Evidence(absent=error.message))
        evidence = Evidence(volatilities, buying, selling, ground.policy.risk_aversion)
    return bands.work_out(band, target.percent, evidence)


def _costs(
    ground: Ground, band: Band, target: Target, holdings: Sequence[Holding], first: Asset
) -> tuple[SideCosts, SideCosts]:
    """Return what the sides cost that rest on costs."""
    bought, sold = (side.kind is BandKind.COST for side in band.sides)
    buying = _side_costs(*ground.costs(first, ground.portfolio.buyer), ground.base) if bought else SideCosts()
    return buying, _selling(ground, target, holdings, first) if sold else SideCosts()


def values_by_asset(holdings: Iterable[Holding]) -> dict[str, Decimal]:
    """Return what is held of each asset, money, over all accounts."""
    values: dict[str, Decimal] = {}
    for holding in holdings:
        values[holding.asset.id] = ROUNDED.add(values.get(holding.asset.id, ZERO), holding.value or ZERO)
    return values


def first_asset(named: Sequence[str], mix: Mapping[str, Decimal], market: Market) -> Asset | None:
    """Return the asset that is bought for a sleeve: the first named, or its largest holding when it names a class."""
    if named:
        return market.assets[named[0]]
    held = by_size(mix, market)
    return market.assets[held[0]] if held else None


def by_size(mix: Mapping[str, Decimal], market: Market) -> list[str]:
    """Return the ids of what is held, the largest first, of equal ones by symbol."""
    return sorted(mix, key=lambda asset_id: (-mix[asset_id], market.assets[asset_id].symbol))


def closes_in(ground: Ground, asset: Asset, window_days: int) -> Closes:
    """Return the closes of an asset in the base currency, of a window that ends before the day of `as_of`.

    Each close is compounded with those of the rates on its currency's path to the base currency, as `Rates` finds it.
    Without a path, or without closes of a leg, there are none.
    """
    found = ground.rates.find(asset.currency)
    if found is None:
        return Closes()
    legs, at = [], asset.currency
    for leg in found[1]:
        inverse = leg.symbol != at
        legs.append((ground.closes.get(leg.id, Closes()), inverse))
        at = leg.symbol if inverse else leg.currency
    in_base = compounded(ground.closes.get(asset.id, Closes()), *legs)
    return in_base.since(ground.as_of.date() - timedelta(days=window_days))


def _volatility(ground: Ground, held: Sequence[tuple[Asset, Decimal]], window_days: int) -> Volatility:
    return volatility([(closes_in(ground, asset, window_days), worth) for asset, worth in held], window_days)


def _side_costs(fixed: Decimal, rate: Decimal, base: Decimal) -> SideCosts:
    return SideCosts(rate, quotient(fixed, base, QUANTITY_PLACES) if base > ZERO else ZERO)


def _selling(ground: Ground, target: Target, holdings: Sequence[Holding], first: Asset) -> SideCosts:
    """Return what selling down to the target costs: costs of what would go, and the tax on it.

    The lots that go are those of the sale from the actual weight to the target, in the order of the policy's lot
    method over all accounts; the first lot of it where there is nothing to sell. The rate is costs and tax over
    proceeds, half-even to 18 decimals; tax = sum of rate(term) x gain over taxable lots, never below 0.
    """
    ordered = _ordered(ground, holdings)
    if not ordered:
        return _side_costs(*ground.costs(first, ground.portfolio.buyer), ground.base)
    over = sum((worth for _, _, worth in ordered), ZERO) - target.percent * ground.base / HUNDRED
    left = over if over > ZERO else ordered[0][2]
    raised, paid, tax = ZERO, ZERO, ZERO
    known: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    fixed: dict[str, Decimal] = {}
    for holding, lot, worth in ordered:
        part = min(left, worth)
        if part <= ZERO:
            break
        place = holding.account_id, holding.asset.id
        if place not in known:
            known[place] = ground.costs(holding.asset, ground.accounts[holding.account_id])
        least, rate = known[place]
        fixed.setdefault(holding.asset.id, least)
        paid += part * rate
        tax += _tax(ground, holding, lot, part, worth)
        raised += part
        left -= part
    return _side_costs(sum(fixed.values(), ZERO), quotient(paid + max(ZERO, tax), raised, QUANTITY_PLACES), ground.base)


def _ordered(ground: Ground, holdings: Sequence[Holding]) -> list[tuple[Holding, TaxLot, Decimal]]:
    """Return lots in the order a sale takes them, each with its holding and what it is worth."""
    policy, today = ground.policy, ground.as_of.date()
    found = []
    for holding in holdings:
        unit = (holding.value or ZERO) / holding.quantity
        for lot in holding.lots if unit else ():
            taxable = holding.account_id in ground.taxable
            key = lots.sale_key(lot, policy.lot_method, unit, policy, today, taxable=taxable)
            found.append((key, holding, lot, lot.quantity * unit))
    found.sort(key=lambda one: one[0])
    return [(holding, lot, worth) for _, holding, lot, worth in found]


def _tax(ground: Ground, holding: Holding, lot: TaxLot, part: Decimal, worth: Decimal) -> Decimal:
    """Return the tax on a part of a lot, both given by what they are worth; negative for a loss."""
    if holding.account_id not in ground.taxable:
        return ZERO
    rate = lots.tax_rate(lots.term(lot.holding_from, ground.as_of.date()), ground.policy)
    return rate * (part - lot.basis * part / worth) / HUNDRED
