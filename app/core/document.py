"""The portfolio file: one JSON document with assets, prices, one portfolio and its past; version 1.

    {"steelyard": 1, "asOf": "...",
     "assets": [{"symbol", "assetClass", "currency", "venue", "name", "step", "priceStep", "minNotional", "tradable",
                 "identicalGroup", "price", "pricedAt", "source",
                 "costs": {"fixed", "rate", "minimum", "cap", "halfSpread",
                           "tiers": [{"above", "fixed", "rate", "minimum", "cap"}]},
                 "liquidity": {"dailyVolume", "dailyVolatility", "impactFactor"}}],
     "brokers": [{"name", "currency", "conversion",
                  "fees": [{"assetClass", "fixed", "rate", "minimum", "cap", "tiers": [...]}]}],
     "portfolio": {"name", "baseCurrency", "policy": {...},
                   "accounts": [{"name", "kind", "cash", "balances": [{"amount", "currency"}], "historyFrom",
                                 "broker",
                                 "lots": [{"symbol", "quantity", "unitCost", "acquiredOn"}]}],
                   "targets": [{"key", "percent", "assets": [...], "assetClass", "band": {...}}]},
     "transactions": [{"date", "account", "side", "symbol", "quantity", "price", "fees"}]}

Names and scalars are the API's: numbers are decimal strings or integers. Unknown fields are refused. What is left out
has the API's default; an absent `asOf` is the instant handed in.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Final, TypeVar

from app.core import bands, scalars, targets
from app.core.bands import (
    FACTOR,
    HYBRID_ABSOLUTE,
    HYBRID_RELATIVE,
    SMART,
    WINDOW_DAYS,
    Band,
    BandKind,
    Side,
)
from app.core.costs import FREE
from app.core.document_costs import read_broker, read_costs, read_liquidity
from app.core.drafts import (
    MAX_NAME_LENGTH,
    AccountDraft,
    LotDraft,
    PortfolioDraft,
    TransactionDraft,
    check_accounts,
)
from app.core.errors import Duplicate, InvalidInput, LimitExceeded, SteelyardError
from app.core.fields import Fields
from app.core.money import HUNDRED, ZERO
from app.core.policy import Policy
from app.core.portfolio import AccountKind, Asset, AssetClass, Broker, Price
from app.core.targets import TargetDraft
from app.core.trades import TradeSide

VERSION: Final = 1
MAX_SYMBOLS: Final = 500  # that a policy keeps from being bought, or sold

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class PortfolioFile:
    """A parsed file: assets with their prices, the portfolio as a draft, facts of the past, brokers."""

    as_of: datetime
    assets: tuple[tuple[Asset, Price | None], ...]
    portfolio: PortfolioDraft
    transactions: tuple[TransactionDraft, ...]
    brokers: tuple[Broker, ...] = ()


def parse(document: object, now: datetime) -> PortfolioFile:
    """Read a file; every error names its path. `now` stands in for an absent asOf."""
    fields = Fields(document)
    version = fields.take("steelyard", lambda value: value)
    if type(version) is not int or version != VERSION:  # true and 1.0 equal 1
        raise InvalidInput(
            f"this is file version {str(version)[:20]!r}; only version {VERSION} is known", ["steelyard"]
        )
    as_of = fields.take("asOf", lambda value: scalars.instant(value, "asOf"), now)
    assets = fields.each("assets", lambda item: _asset(item, as_of)) or ()
    seen: set[str] = set()
    for place, (asset, _) in enumerate(assets):
        if asset.id in seen:
            raise Duplicate(f"asset {asset.id} is given twice", ["assets", place])
        seen.add(asset.id)
    brokers = fields.each("brokers", read_broker) or ()
    named: set[str] = set()
    for place, broker in enumerate(brokers):
        if broker.name in named:
            raise Duplicate(f"broker {broker.name} is given twice", ["brokers", place])
        named.add(broker.name)
    portfolio = fields.take("portfolio", read_portfolio)
    transactions = fields.each("transactions", read_transaction) or ()
    fields.end()
    accounts = {account.name for account in portfolio.accounts}
    for place, fact in enumerate(transactions):
        if fact.account not in accounts:
            raise InvalidInput(
                f"the portfolio has no account {fact.account}; it has {', '.join(sorted(accounts))[:200]}",
                ["transactions", place, "account"],
            )
    return PortfolioFile(as_of, assets, portfolio, transactions, brokers)


def _asset(item: object, as_of: datetime) -> tuple[Asset, Price | None]:
    fields = Fields(item)
    symbol = fields.take("symbol", scalars.symbol)
    currency = fields.take("currency", scalars.currency, "USD")
    venue = fields.take("venue", lambda value: scalars.symbol(value, "venue"), "")
    price = fields.maybe("price", scalars.price)
    priced_at = fields.take("pricedAt", lambda value: scalars.instant(value, "pricedAt"), as_of)
    source = fields.take("source", lambda value: scalars.text(value, "source"), "file")
    asset = Asset(
        id=f"{symbol}:{currency}:{venue}",
        symbol=symbol,
        asset_class=fields.take("assetClass", lambda v: scalars.member(AssetClass, v, "assetClass"), AssetClass.OTHER),
        currency=currency,
        venue=venue,
        name=fields.take("name", lambda value: scalars.text(value, "name"), symbol),
        quantity_step=fields.take("step", scalars.step, ZERO),
        price_step=fields.take("priceStep", lambda value: scalars.price(value, "priceStep"), Decimal("0.01")),
        min_notional=fields.take("minNotional", lambda value: scalars.money(value, "minNotional"), ZERO),
        tradable=fields.take("tradable", read_bool, True),
        identical_group=fields.take("identicalGroup", lambda value: scalars.text(value, "identicalGroup"), ""),
        costs=fields.take("costs", read_costs, FREE),
        liquidity=fields.maybe("liquidity", read_liquidity),
    )
    fields.end()
    return asset, None if price is None else Price(price, priced_at, source)


def read_bool(value: object) -> bool:
    """Read true or false, and nothing that only looks like it."""
    if not isinstance(value, bool):
        raise InvalidInput(f"must be true or false, not {str(value)[:20]!r}")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise InvalidInput(f"must be a whole number from 1 to 1000, not {str(value)[:20]!r}")
    return value


def read_portfolio(item: object) -> PortfolioDraft:
    """Read the portfolio of a file."""
    fields = Fields(item)
    base_currency = fields.take("baseCurrency", scalars.currency, "USD")
    draft = PortfolioDraft(
        name=fields.take("name", lambda value: scalars.text(value, "name"), "Portfolio"),
        base_currency=base_currency,
        policy=fields.take("policy", read_policy, Policy()),
        accounts=fields.each("accounts", lambda account: _account(account, base_currency)) or (AccountDraft("Main"),),
        targets=fields.each("targets", read_target),
    )
    fields.end()
    try:
        check_accounts(draft.accounts)
    except SteelyardError as error:
        raise error.under("accounts") from None
    return draft


def _account(item: object, base_currency: str) -> AccountDraft:
    fields = Fields(item)
    name = fields.take("name", lambda value: scalars.text(value, "name"), "Main")
    kind = fields.take("kind", lambda value: scalars.member(AccountKind, value, "kind"), AccountKind.TAXABLE)
    amount = fields.take("cash", lambda value: scalars.money(value, "cash"), ZERO)
    cash = {base_currency: amount} if amount else {}
    for place, (currency, balance) in enumerate(fields.each("balances", _balance) or ()):
        if currency in cash:
            raise Duplicate(f"cash in {currency} is given twice", ["balances", place])
        if balance:
            cash[currency] = balance
    lots = fields.each("lots", read_lot) or ()
    history_from = fields.maybe("historyFrom", lambda value: scalars.day(value, "historyFrom"))
    broker = fields.take("broker", lambda value: scalars.text(value, "broker"), "")
    fields.end()
    return AccountDraft(name, kind, cash, lots, history_from, broker)


def _balance(item: object) -> tuple[str, Decimal]:
    fields = Fields(item)
    found = fields.take("currency", scalars.currency), fields.take("amount", scalars.money)
    fields.end()
    return found


def read_lot(item: object) -> LotDraft:
    """Read one lot."""
    fields = Fields(item)
    lot = LotDraft(
        fields.take("symbol", _name),
        fields.take("quantity", scalars.quantity),
        fields.maybe("unitCost", scalars.unit_cost),
        fields.maybe("acquiredOn", lambda value: scalars.day(value, "acquiredOn")),
    )
    fields.end()
    return lot


def _name(value: object) -> str:
    """A symbol, or symbol:currency[:venue] where the symbol alone means several assets."""
    return scalars.text(value, "symbol", longest=MAX_NAME_LENGTH)


def read_target(item: object) -> TargetDraft:
    """Read one target entry."""
    fields = Fields(item)
    draft = TargetDraft(
        percent=fields.take("percent", scalars.percent),
        key=fields.maybe("key", lambda value: scalars.text(value, "key", longest=targets.MAX_KEY_LENGTH)),
        assets=fields.each("assets", _name) or (),
        asset_class=fields.maybe("assetClass", lambda value: scalars.member(AssetClass, value, "assetClass")),
        band=fields.maybe("band", read_band),
    )
    fields.end()
    return draft


def read_band(item: object) -> Band:
    """Read a band: one of {"absolute"}, {"relative"}, {"hybrid": {...}}, {"smart": true}, {"volatility": {...}} and
    {"cost": true}, with "floor" and "cap" where they apply, and "above" for a side above the target that differs.
    """
    fields = Fields(item)
    above = fields.maybe("above", lambda value: _side(Fields(value)))
    return bands.check(bands.two_sided(_side(fields), above))


def _side(fields: Fields) -> Side:
    side = make_side(
        absolute=fields.maybe("absolute", lambda value: scalars.percent(value, "absolute")),
        relative=fields.maybe("relative", lambda value: scalars.percent(value, "relative")),
        hybrid=fields.maybe("hybrid", _hybrid),
        smart=fields.maybe("smart", read_bool),
        volatility=fields.maybe("volatility", _volatility),
        cost=fields.maybe("cost", read_bool),
        floor=fields.maybe("floor", lambda value: scalars.percent(value, "floor")),
        cap=fields.maybe("cap", lambda value: scalars.percent(value, "cap")),
    )
    fields.end()
    return side


def make_side(
    *,
    absolute: Decimal | None,
    relative: Decimal | None,
    hybrid: Side | None,
    smart: bool | None,
    volatility: Side | None,
    cost: bool | None,
    floor: Decimal | None,
    cap: Decimal | None,
) -> Side:
    """Make a side of the one kind that is given; floor and cap go with relative, volatility and cost."""
    made = {
        "absolute": None if absolute is None else Side(BandKind.ABSOLUTE, absolute=absolute),
        "relative": None if relative is None else Side(BandKind.RELATIVE, relative=relative),
        "hybrid": hybrid,
        "smart": bands.below(SMART) if smart else None,
        "volatility": volatility,
        "cost": Side(BandKind.COST) if cost else None,
    }
    given = [name for name, side in made.items() if side is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        kinds = "absolute, relative, hybrid, smart, volatility and cost"
        raise InvalidInput(f"a band is exactly one of {kinds}; {found} is given")
    side = made[given[0]]
    assert side is not None
    if floor is None and cap is None:
        return side
    if given[0] not in ("relative", "volatility", "cost"):
        raise InvalidInput(
            "floor and cap go with relative, volatility and cost only", ["floor" if floor is not None else "cap"]
        )
    return replace(side, floor=floor, cap=cap)


def _hybrid(item: object) -> Side:
    fields = Fields(item)
    absolute = fields.take("absolute", lambda value: scalars.percent(value, "absolute"), HYBRID_ABSOLUTE)
    relative = fields.take("relative", lambda value: scalars.percent(value, "relative"), HYBRID_RELATIVE)
    fields.end()
    return Side(BandKind.HYBRID, absolute=absolute, relative=relative)


def _volatility(item: object) -> Side:
    fields = Fields(item)
    factor = fields.take("factor", scalars.band_factor, FACTOR)
    days = fields.take("windowDays", _days, WINDOW_DAYS)
    fields.end()
    return Side(BandKind.VOLATILITY, factor=factor, window_days=days)


def _days(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"must be a whole number of days, not {str(value)[:20]!r}")
    bands.check_window(value)
    return value


def read_policy(item: object) -> Policy:
    """Read a policy; absent fields have the defaults."""
    fields, default = Fields(item), Policy()

    def percent(name: str, otherwise: Decimal) -> Decimal:
        return fields.take(name, lambda value: scalars.percent(value, name), otherwise)

    def money(name: str, otherwise: Decimal) -> Decimal:
        return fields.take(name, lambda value: scalars.money(value, name), otherwise)

    def member(name: str, otherwise: E) -> E:
        return fields.take(name, lambda value: scalars.member(type(otherwise), value, name), otherwise)

    ages: dict[AssetClass, int] = {}
    for place, (asset_class, age) in enumerate(fields.each("maxPriceAge", _age) or ()):
        if asset_class in ages:
            raise Duplicate(f"the age of {asset_class.value} is given twice", ["maxPriceAge", place])
        ages[asset_class] = age
    policy = Policy(
        default_band=fields.take("defaultBand", read_band, default.default_band),
        warn_at=percent("warnAt", default.warn_at),
        alert_on_warning=fields.take("alertOnWarning", read_bool, default.alert_on_warning),
        alert_after=fields.take("alertAfter", _count, default.alert_after),
        recover_after=fields.take("recoverAfter", _count, default.recover_after),
        portfolio_band=fields.maybe("portfolioBand", lambda value: scalars.percent(value, "portfolioBand")),
        remind_after_s=fields.take("remindAfter", scalars.duration_s, default.remind_after_s),
        max_price_age_s={**default.max_price_age_s, **ages},
        destination=member("destination", default.destination),
        band_kept=percent("bandKept", default.band_kept * HUNDRED).scaleb(-2),
        min_trade=money("minTrade", default.min_trade),
        max_fee=percent("maxFee", default.max_fee),
        cash_buffer=percent("cashBuffer", default.cash_buffer),
        allow_sells=fields.take("allowSells", read_bool, default.allow_sells),
        lot_method=member("lotMethod", default.lot_method),
        short_term_rate=percent("shortTermRate", default.short_term_rate),
        long_term_rate=percent("longTermRate", default.long_term_rate),
        plan_lifetime_s=fields.take("planLifetime", scalars.duration_s, default.plan_lifetime_s),
        risk_aversion=fields.take("riskAversion", scalars.risk_aversion, default.risk_aversion),
        auto_propose=fields.take("autoPropose", read_bool, default.auto_propose),
        cooldown_s=fields.take("cooldown", scalars.duration_s, default.cooldown_s),
        objective=member("objective", default.objective),
        drift_price=fields.maybe("driftPrice", scalars.drift_price),
        tax_regime=member("taxRegime", default.tax_regime),
        wash_rule=member("washRule", default.wash_rule),
        crypto_washes=fields.take("cryptoWashes", read_bool, default.crypto_washes),
        loss_credit=percent("lossCredit", default.loss_credit),
        yearly_loss_cap=money("yearlyLossCap", default.yearly_loss_cap),
        min_harvest=money("minHarvest", default.min_harvest),
        min_harvest_share=percent("minHarvestShare", default.min_harvest_share),
        max_turnover=fields.maybe("maxTurnover", lambda value: scalars.percent(value, "maxTurnover")),
        tax_budget=fields.maybe("taxBudget", lambda value: scalars.money(value, "taxBudget")),
        improvement=fields.maybe("improvement", lambda value: scalars.percent(value, "improvement")),
        no_buy=fields.take("noBuy", read_symbols, default.no_buy),
        no_sell=fields.take("noSell", read_symbols, default.no_sell),
    )
    fields.end()
    return policy


def read_symbols(item: object) -> tuple[str, ...]:
    """Read a list of at most 500 symbols, each of them once."""
    if not isinstance(item, list):
        raise InvalidInput(f"must be a list, not {type(item).__name__}")
    if len(item) > MAX_SYMBOLS:
        raise LimitExceeded(f"there are {len(item)} symbols; at most {MAX_SYMBOLS} are allowed")
    found: list[str] = []
    for place, value in enumerate(item):
        try:
            symbol = scalars.symbol(value)
        except SteelyardError as error:
            raise error.under(place) from None
        if symbol in found:
            raise Duplicate(f"{symbol} is given twice", [place])
        found.append(symbol)
    return tuple(found)


def _age(item: object) -> tuple[AssetClass, int]:
    fields = Fields(item)
    found = (
        fields.take("assetClass", lambda value: scalars.member(AssetClass, value, "assetClass")),
        fields.take("age", lambda value: scalars.duration_s(value, "age")),
    )
    fields.end()
    return found


def read_transaction(item: object) -> TransactionDraft:
    """Read one purchase or sale of the past."""
    fields = Fields(item)
    draft = TransactionDraft(
        fields.take("date", scalars.day),
        fields.take("account", lambda value: scalars.text(value, "account")),
        fields.take("side", lambda value: scalars.member(TradeSide, value, "side")),
        fields.take("symbol", _name),
        fields.take("quantity", scalars.quantity),
        fields.take("price", scalars.price),
        fields.take("fees", lambda value: scalars.money(value, "fees"), ZERO),
    )
    fields.end()
    return draft
