"""Builders, so that a test reads like a ledger.

    snapshot("10 AAPL {150 USD 2024-01-05} @ 180, 500 cash", {"AAPL": "60", "CASH": "40"})

A ledger is a list of entries between commas: lots as `units SYMBOL {unit cost, currency, date} @ price` and cash as
`amount cash` or `amount EUR cash`. A lot without braces cost what it is worth, long ago. A price is given once, with
any lot of the asset; a symbol without one has no price. Several accounts are a mapping from `name` or `name KIND` to
ledgers. The id of an asset is its symbol.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from app.core import plan, targets
from app.core.bands import Band, BandKind
from app.core.costs import FREE, Costs
from app.core.drift import Report, Snapshot
from app.core.money import PRICE_PLACES, ZERO, exactly, plain, quotient
from app.core.optimize.allocate import PlanScope
from app.core.past import group_of
from app.core.plan import Plan, PlanRequest
from app.core.policy import Policy
from app.core.portfolio import Account, AccountKind, Asset, AssetClass, Market, Portfolio, Price, TaxLot
from app.core.stats import DAYS_OF_YEAR, Closes
from app.core.targets import TargetDraft
from app.core.tax import RecentBuy, RecentLoss, TaxFacts, taxed_accounts
from app.core.trades import Trade, TradeSide, settle

# A Monday afternoon, so that prices of Friday are three days old.
AS_OF: Final = datetime(2024, 6, 3, 16, tzinfo=UTC)
LONG_AGO: Final = date(2020, 1, 2)

_CASH: Final = re.compile(r"(?P<amount>[0-9.]+)(?: (?P<currency>[A-Z]{3}))? cash")
_LOT: Final = re.compile(
    r"(?P<quantity>[0-9.]+) (?P<symbol>\S+)"
    r"(?: \{(?P<cost>[0-9.]+)(?: [A-Z]{3})?(?: (?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}))?\})?"
    r"(?: @ (?P<price>[0-9.]+))?"
)
_CRYPTO: Final = ("BTC", "ETH", "SOL")


def asset(
    symbol: str,
    asset_class: AssetClass | None = None,
    *,
    currency: str = "USD",
    step: str = "0",
    min_notional: str = "0",
    costs: Costs = FREE,
    tradable: bool = True,
    venue: str = "",
) -> Asset:
    """Make an asset; a stock that can be bought in any fraction, unless told otherwise."""
    default = AssetClass.CRYPTO if symbol in _CRYPTO else AssetClass.STOCK
    return Asset(
        id=f"{symbol}:{venue}" if venue else symbol,
        symbol=symbol,
        asset_class=asset_class or default,
        currency=currency,
        venue=venue,
        quantity_step=Decimal(step),
        min_notional=Decimal(min_notional),
        tradable=tradable,
        costs=costs,
    )


def absolute(points: str) -> Band:
    return Band(BandKind.ABSOLUTE, absolute=Decimal(points))


def relative(percent: str, *, floor: str | None = None, cap: str | None = None) -> Band:
    return Band(
        BandKind.RELATIVE,
        relative=Decimal(percent),
        floor=None if floor is None else Decimal(floor),
        cap=None if cap is None else Decimal(cap),
    )


def hybrid(points: str, percent: str) -> Band:
    return Band(BandKind.HYBRID, absolute=Decimal(points), relative=Decimal(percent))


def moving_band(factor: str = "1.5", window_days: int = 365, *, cap: str | None = None) -> Band:
    """Make a band of kind VOLATILITY."""
    limit = None if cap is None else Decimal(cap)
    return Band(BandKind.VOLATILITY, factor=Decimal(factor), window_days=window_days, cap=limit)


def swinging(volatility: str, *, returns: int = 250, as_of: datetime = AS_OF) -> Closes:
    """Make closes of the days before `as_of` that go up and down in turn, with this volatility in percent a year."""
    years = returns / DAYS_OF_YEAR
    swing = float(volatility) / 100 / math.sqrt(returns * returns / (returns - 1) / years)
    prices = [100.0]
    for place in range(returns):
        prices.append(prices[-1] * (1 + (swing if place % 2 else -swing)))
    first = as_of.date() - timedelta(days=returns + 1)
    return Closes(tuple(first + timedelta(days=place) for place in range(returns + 1)), tuple(prices))


def sleeve(percent: str, *assets: str, of: AssetClass | None = None, band: Band | None = None) -> TargetDraft:
    """Draft a target entry; its key is that of the mapping it stands in."""
    return TargetDraft(Decimal(percent), None, assets, of, band)


@dataclass
class _Book:
    """What the ledgers say, while they are read."""

    assets: dict[str, Asset]
    prices: dict[str, Decimal] = field(default_factory=dict)

    def account(self, title: str, ledger: str) -> Account:
        name, _, kind = title.partition(" ")
        lots: list[TaxLot] = []
        cash: dict[str, Decimal] = {}
        for item in filter(None, (part.strip() for part in ledger.split(","))):
            if found := _CASH.fullmatch(item):
                currency = found["currency"] or "USD"
                cash[currency] = cash.get(currency, ZERO) + Decimal(found["amount"])
            else:
                lots.append(self._lot(item, f"{name}-{len(lots) + 1}"))
        return Account(name, name, AccountKind[kind or "TAXABLE"], cash, tuple(lots))

    def _lot(self, item: str, lot_id: str) -> TaxLot:
        found = _LOT.fullmatch(item)
        assert found, item
        symbol, quantity = found["symbol"], Decimal(found["quantity"])
        self.assets.setdefault(symbol, asset(symbol))
        if found["price"]:
            self.prices[symbol] = Decimal(found["price"])
        unit_cost = Decimal(found["cost"]) if found["cost"] else self.prices.get(symbol, ZERO)
        day = date.fromisoformat(found["day"]) if found["day"] else LONG_AGO
        return TaxLot(lot_id, symbol, quantity, quantity * unit_cost, day, day)


def snapshot(
    holdings: str | Mapping[str, str],
    wanted: Mapping[str, str | TargetDraft] | None = None,
    *,
    band: Band | None = None,
    policy: Policy | None = None,
    assets: Sequence[Asset] = (),
    prices: Mapping[str, str] | None = None,
    rates: Mapping[str, str] | None = None,
    ages: Mapping[str, timedelta] | None = None,
    base: str = "USD",
    as_of: datetime = AS_OF,
) -> Snapshot:
    """Make a snapshot from ledgers and targets. `rates` are such as {"EUR/USD": "1.1"}, `ages` those of prices."""
    book = _Book({item.id: item for item in assets})
    ledgers = {"main": holdings} if isinstance(holdings, str) else holdings
    accounts = tuple(book.account(title, ledger) for title, ledger in ledgers.items())
    for pair, number in (rates or {}).items():
        currency, _, quote = pair.partition("/")
        book.assets[pair] = replace(asset(currency, AssetClass.CASH, currency=quote), id=pair)
        book.prices[pair] = Decimal(number)
    book.prices |= {symbol: Decimal(number) for symbol, number in (prices or {}).items()}
    drafts = list(_drafts(wanted or {}))
    for symbol in sorted(targets.symbols_of(drafts) - {targets.CASH}):
        named = any(symbol in (*draft.assets, draft.key if _is_bare(draft) else "") for draft in drafts)
        if named and symbol not in book.assets:
            book.assets[symbol] = asset(symbol)
    quotes = {key: Price(number, as_of - (ages or {}).get(key, timedelta())) for key, number in book.prices.items()}
    rules = policy or Policy()
    return Snapshot(
        portfolio=Portfolio("pf", "Test", base, accounts),
        targets=None if wanted is None else targets.parse(drafts, {key: key for key in book.assets}, version=1),
        policy=replace(rules, default_band=band) if band else rules,
        market=Market(book.assets, quotes),
        as_of=as_of,
    )


def _drafts(wanted: Mapping[str, str | TargetDraft]) -> Iterator[TargetDraft]:
    for key, entry in wanted.items():
        yield TargetDraft(Decimal(entry), key) if isinstance(entry, str) else replace(entry, key=key)


def _is_bare(draft: TargetDraft) -> bool:
    return not draft.assets and draft.asset_class is None


def propose(
    start: Snapshot, scope: PlanScope = PlanScope.FULL, *, flow: str = "0", exclude: Sequence[str] = ()
) -> Plan:
    return plan.propose(start, PlanRequest(scope, Decimal(flow), tuple(exclude)))


@exactly
def settled(start: Snapshot, done: Plan) -> Snapshot:
    """Return the snapshot as it is once every trade of a plan filled at its price, in accounts without cash flow.

    The wash rule then knows of its purchases and losses; gains of the year are not told, with them rates are others.
    """
    cash = {account.id: account.cash.get(start.portfolio.base_currency, ZERO) for account in start.portfolio.accounts}
    trades = [planned.trade for planned in done.trades]
    for trade in trades:
        paid = trade.value if trade.side is TradeSide.SELL else -trade.value
        cash[trade.account_id] += paid - trade.costs.total
    after = settle(start.portfolio, trades, cash, start.as_of.date())
    return replace(start, portfolio=after, tax=_facts_after(start, after, trades))


def _facts_after(start: Snapshot, after: Portfolio, trades: Sequence[Trade]) -> TaxFacts:
    """Return the facts with what trades bought, as lots that are new, and what they sold at a loss."""
    today, assets = start.as_of.date(), start.market.assets
    known = {lot.id for account in start.portfolio.accounts for lot in account.lots}
    new = [lot for account in after.accounts for lot in account.lots if lot.id not in known]
    buys = [RecentBuy(group_of(assets[lot.asset_id]), lot.quantity, today, lot.id) for lot in new]
    losses = [
        RecentLoss(
            group_of(trade.asset),
            sale.quantity,
            quotient(-sale.gain, sale.quantity, PRICE_PLACES),
            sale.term,
            today,
        )
        for trade in trades
        if trade.account_id in taxed_accounts(start.portfolio, start.policy)
        for sale in trade.sales
        if sale.gain < ZERO
    ]
    return replace(start.tax, buys=(*start.tax.buys, *buys), losses=(*start.tax.losses, *losses))


def trades(done: Plan) -> list[str]:
    """Write trades as `SELL 20 AAPL`, with the account where it is not the account `main`."""
    return [
        f"{trade.side.value} {plain(trade.quantity)} {trade.asset.symbol}"
        + ("" if trade.account_id == "main" else f" in {trade.account_id}")
        for trade in (planned.trade for planned in done.trades)
    ]


def skips(done: Plan) -> list[str]:
    """Write what was left out as `BUY AAPL: DUST`, by sleeve."""
    return [f"{skip.side.value} {skip.key}: {skip.reason.value}" for skip in done.skipped]


def weights(report: Report) -> dict[str, str]:
    return {entry.key: plain(entry.actual) for entry in report.entries}


def drifts(report: Report) -> dict[str, str]:
    return {entry.key: plain(entry.drift) for entry in report.entries}


def values(report: Report) -> dict[str, str]:
    return {entry.key: plain(entry.value) for entry in report.entries}


def bands_of(report: Report) -> dict[str, str]:
    """Write bands as `47.5..52.5`."""
    return {entry.key: f"{plain(entry.lower)}..{plain(entry.upper)}" for entry in report.entries}


def statuses(report: Report) -> dict[str, str]:
    return {entry.key: entry.status.value for entry in report.entries}


def written(*numbers: Decimal | None) -> list[str | None]:
    """Write numbers plainly, None as it is."""
    return [None if number is None else plain(number) for number in numbers]
