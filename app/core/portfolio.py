"""What is held, what it is worth, and how fresh the prices are.

    Asset ── Price (value of one unit, in the asset's currency, observed at an instant)
      │
    TaxLot (quantity and total cost basis of one purchase) ── Account (tax treatment, own cash) ── Portfolio

A holding is all lots of one asset in one account. V is the value of everything, cash included, in the portfolio's
base currency. All values are frozen; ids are opaque strings made by the shell (offline: the symbol or name).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from app.core.costs import FREE, Costs, Liquidity, Tier
from app.core.money import ONE, RATE_DIGITS, ROUNDED, ZERO, exactly, round_significant


class AssetClass(Enum):
    """Broad class of an asset; the price of CASH is an exchange rate."""

    STOCK = "STOCK"
    ETF = "ETF"
    FUND = "FUND"
    BOND = "BOND"
    CRYPTO = "CRYPTO"
    COMMODITY = "COMMODITY"
    CASH = "CASH"
    OTHER = "OTHER"


class AccountKind(Enum):
    """Tax treatment of an account."""

    TAXABLE = "TAXABLE"
    TAX_DEFERRED = "TAX_DEFERRED"
    TAX_EXEMPT = "TAX_EXEMPT"


class BrokerKind(Enum):
    """Who works the orders of an account."""

    MANUAL = "MANUAL"
    PAPER = "PAPER"
    ALPACA = "ALPACA"


class PortfolioStatus(Enum):
    """Whether a portfolio is watched."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that can be held. `quantity_step` 0 means any fraction; `min_notional` is in `currency`, 0 for none.

    The amounts of `costs` are in the base currency of whoever holds it; `liquidity` None is not known.
    """

    id: str
    symbol: str
    asset_class: AssetClass
    currency: str
    venue: str = ""
    name: str = ""
    quantity_step: Decimal = ZERO
    price_step: Decimal = Decimal("0.01")
    min_notional: Decimal = ZERO
    tradable: bool = True
    identical_group: str = ""
    costs: Costs = FREE
    liquidity: Liquidity | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """Price of one unit in the asset's currency, when it was observed and where it comes from."""

    value: Decimal
    priced_at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True)
class TaxLot:
    """One purchase: units still open and their total cost basis in the portfolio's base currency, fees included."""

    id: str
    asset_id: str
    quantity: Decimal
    basis: Decimal
    acquired_on: date
    holding_from: date


@dataclass(frozen=True, slots=True)
class Account:
    """Where things are held. `cash` is by currency; `lots` are open lots, oldest first; `broker` is a name or empty.

    `history_from` is the day from which its purchases and sales are all recorded, None when nobody said. `broker` is
    whose fees are paid, `execution` who works its orders.
    """

    id: str
    name: str
    kind: AccountKind
    cash: Mapping[str, Decimal] = field(default_factory=dict)
    lots: tuple[TaxLot, ...] = ()
    taxpayer_group: str = ""
    history_from: date | None = None
    broker: str = ""
    execution: BrokerKind = BrokerKind.MANUAL


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Accounts that are managed together towards one set of targets, valued in `base_currency`."""

    id: str
    name: str
    base_currency: str
    accounts: tuple[Account, ...]
    status: PortfolioStatus = PortfolioStatus.ACTIVE
    version: int = 1

    @property
    def base_cash(self) -> Mapping[str, Decimal]:
        """Cash in the base currency by account: what plans spend."""
        return {account.id: account.cash.get(self.base_currency, ZERO) for account in self.accounts}

    @property
    def buyer(self) -> Account:
        """The account with most cash in the base currency, which buys first."""
        cash = self.base_cash
        return max(self.accounts, key=lambda account: cash[account.id])


@dataclass(frozen=True, slots=True)
class Broker:
    """What a broker charges: a fee schedule for each class it has one for, amounts in `currency`.

    The first line of a schedule holds from 0 on. `conversion` is the fee for changing currency, a fraction of the
    value of an order in an asset that is quoted in another currency than the portfolio's.
    """

    name: str
    currency: str
    conversion: Decimal = ZERO
    fees: Mapping[AssetClass, tuple[Tier, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Market:
    """Assets and their latest prices, both by asset id; brokers by name. A rate is the price of a CASH-class asset."""

    assets: Mapping[str, Asset]
    prices: Mapping[str, Price]
    brokers: Mapping[str, Broker] = field(default_factory=dict)

    def joined(self, more: "Market") -> "Market":
        """Return what both know; where they differ, `more` counts."""
        return Market({**self.assets, **more.assets}, {**self.prices, **more.prices}, {**self.brokers, **more.brokers})


@dataclass(frozen=True, slots=True)
class Holding:
    """All lots of one asset in one account. `value` is in the base currency, None while price or rate is missing."""

    account_id: str
    asset: Asset
    lots: tuple[TaxLot, ...]
    quantity: Decimal
    basis: Decimal
    price: Price | None
    value: Decimal | None
    stale: bool


@dataclass(frozen=True, slots=True)
class Valuation:
    """Worth of a portfolio at one instant, in its base currency.

    `value` is None while anything held has no price or no rate (`missing`); `stale` names what is priced, but with a
    price older than the policy allows. `prices_at` is the oldest price used, None when none was needed.
    """

    base_currency: str
    holdings: tuple[Holding, ...]
    cash: Decimal | None
    value: Decimal | None
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    prices_at: datetime | None
    rates: Mapping[str, Decimal]


PIVOT = "USD"


class Rates:
    """Rates to one base currency, each found once; remembers which prices they rest on.

    Direct, else inverse, else via USD, each leg direct before inverse; rounded half-even to 12 significant digits.
    Of the same rate at several venues the first by name is used, so none before any.
    """

    def __init__(self, market: Market, base: str) -> None:
        self.base = base
        priced = [a for a in market.assets.values() if a.asset_class is AssetClass.CASH and a.id in market.prices]
        by_venue = sorted(priced, key=lambda asset: asset.venue, reverse=True)
        self.quotes = {(asset.symbol, asset.currency): asset for asset in by_venue}
        self.market = market
        self.found: dict[str, tuple[Decimal, tuple[Asset, ...]] | None] = {}

    def find(self, currency: str) -> tuple[Decimal, tuple[Asset, ...]] | None:
        """Return the price of one unit of `currency` and the assets it rests on; None when no path leads there."""
        if currency not in self.found:
            self.found[currency] = self._path(currency)
        return self.found[currency]

    def _path(self, currency: str) -> tuple[Decimal, tuple[Asset, ...]] | None:
        if currency == self.base:
            return ONE, ()
        leg = self._leg(currency, self.base)
        if leg is None and PIVOT not in (currency, self.base):
            first, second = self._leg(currency, PIVOT), self._leg(PIVOT, self.base)
            if first and second:
                leg = ROUNDED.multiply(first[0], second[0]), (*first[1], *second[1])
        return leg and (round_significant(leg[0], RATE_DIGITS), leg[1])

    def _leg(self, currency: str, to: str) -> tuple[Decimal, tuple[Asset, ...]] | None:
        if asset := self.quotes.get((currency, to)):
            return self.market.prices[asset.id].value, (asset,)
        if asset := self.quotes.get((to, currency)):
            return ROUNDED.divide(ONE, self.market.prices[asset.id].value), (asset,)
        return None


def rate(market: Market, currency: str, base: str) -> Decimal | None:
    """Return the price of one unit of `currency` in `base`, as `Rates` finds it, or None."""
    found = Rates(market, base).find(currency)
    return found[0] if found else None


def holdings_of(portfolio: Portfolio) -> Iterator[tuple[str, str, tuple[TaxLot, ...]]]:
    """Yield account id, asset id and lots of each holding, in the order accounts and lots are given."""
    for account in portfolio.accounts:
        by_asset: dict[str, list[TaxLot]] = {}
        for lot in account.lots:
            by_asset.setdefault(lot.asset_id, []).append(lot)
        for asset_id, lots in by_asset.items():
            yield account.id, asset_id, tuple(lots)


def rests_on(portfolio: Portfolio, market: Market) -> frozenset[str]:
    """Return the ids of the assets whose price may change what the portfolio is worth, among those of the market.

    What is held, and every rate that may be on the way to the base currency from another one in which something is.
    """
    held = {asset_id for _, asset_id, _ in holdings_of(portfolio)}
    currencies = {market.assets[asset_id].currency for asset_id in held}
    currencies.update(currency for account in portfolio.accounts for currency in account.cash)
    ways = [{currency, portfolio.base_currency, PIVOT} for currency in currencies - {portfolio.base_currency}]
    rates = (asset for asset in market.assets.values() if asset.asset_class is AssetClass.CASH)
    return frozenset(held | {rate.id for rate in rates if any({rate.symbol, rate.currency} <= way for way in ways)})


@exactly
def value(
    portfolio: Portfolio, market: Market, max_price_age_s: Mapping[AssetClass, int], as_of: datetime
) -> Valuation:
    """Value a portfolio: V = sum of quantity x price x rate over all holdings + sum of cash x rate, exactly.

    Money is in the base currency and never rounded. A price is stale when as_of - priced_at is more than the age
    allowed for the asset's class, in seconds; the prices behind the rates count too, as class CASH.
    """
    rates = Rates(market, portfolio.base_currency)
    missing: dict[str, None] = {}
    stale: dict[str, None] = {}
    used: list[datetime] = []

    def is_stale(asset: Asset) -> bool:
        price = market.prices[asset.id]
        used.append(price.priced_at)
        old = (as_of - price.priced_at).total_seconds() > max_price_age_s[asset.asset_class]
        if old:
            stale[asset.symbol] = None
        return old

    def to_base(currency: str) -> tuple[Decimal | None, bool]:
        found = rates.find(currency)
        if found is None:
            missing[f"{currency}/{portfolio.base_currency}"] = None
            return None, False
        return found[0], max(map(is_stale, found[1]), default=False)

    holdings = []
    for account_id, asset_id, lots in holdings_of(portfolio):
        asset = market.assets[asset_id]
        price = market.prices.get(asset_id)
        quantity = sum((lot.quantity for lot in lots), ZERO)
        basis = sum((lot.basis for lot in lots), ZERO)
        factor, stale_rate = to_base(asset.currency)
        worth, old = None, stale_rate
        if price is None:
            missing[asset.symbol] = None
        else:
            old = is_stale(asset) or stale_rate
            worth = quantity * price.value * factor if factor is not None else None
        holdings.append(Holding(account_id, asset, lots, quantity, basis, price, worth, old))

    cash: Decimal | None = ZERO
    for account in portfolio.accounts:
        for currency, amount in account.cash.items():
            factor, _ = to_base(currency) if amount else (ZERO, False)
            cash = None if cash is None or factor is None else cash + amount * factor
    values = [holding.value for holding in holdings]
    known = [worth for worth in values if worth is not None]
    total = None if cash is None or len(known) < len(values) else sum(known, cash)
    found = {currency: leg[0] for currency, leg in rates.found.items() if leg}
    return Valuation(
        portfolio.base_currency,
        tuple(holdings),
        cash,
        total,
        tuple(missing),
        tuple(stale),
        min(used, default=None),
        found,
    )
