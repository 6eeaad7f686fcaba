"""The portfolio file: one JSON document with assets, prices, one portfolio and its past; version 1.

    {"steelyard": 1, "asOf": "...",
     "assets": [{"symbol", "assetClass", "currency", "venue", "name", "step", "priceStep", "minNotional", "tradable",
                 "identicalGroup", "price", "pricedAt", "source",
                 "costs": {"fixed", "rate", "minimum", "cap", "halfSpread",
                           "tiers": [{"above", "fixed", "rate", "minimum", "cap"}]},
                 "liquidity": {"dailyVolume", "dailyVolatility", "impactFactor"}}],
     "brokers": [{"name", "currency", "conversion",
                  "fees": [{"assetClass", "fixed", "rate", "minimum", "cap", "tiers": [...]}]}],
     "portfolio": {"name", "model", "baseCurrency", "policy": {...},
                   "accounts": [{"name", "kind", "cash", "balances": [{"amount", "currency"}], "historyFrom",
                                 "broker", "execution",
                                 "lots": [{"symbol", "quantity", "unitCost", "acquiredOn"}]}],
                   "targets": [{"key", "percent", "assets": [...], "assetClass", "band": {...}}]},
     "transactions": [{"date", "account", "side", "symbol", "quantity", "price", "fees"}]}

Names and scalars are the API's: numbers are decimal strings or integers. Unknown fields are refused. What is left out
has the API's default; an absent `asOf` is the instant handed in.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from app.core import scalars, targets
from app.core.costs import FREE
from app.core.document_bands import read_band
from app.core.document_costs import read_broker, read_costs, read_liquidity
from app.core.document_policy import read_policy
from app.core.drafts import (
    AccountDraft,
    LotDraft,
    PortfolioDraft,
    TransactionDraft,
    asset_name,
    check_accounts,
    model_name,
)
from app.core.errors import Duplicate, InvalidInput, SteelyardError
from app.core.fields import Fields, read_bool
from app.core.money import ZERO
from app.core.policy import Policy
from app.core.portfolio import AccountKind, Asset, AssetClass, Broker, BrokerKind, Price
from app.core.targets import TargetDraft
from app.core.trades import TradeSide

VERSION: Final = 1


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
        model=fields.maybe("model", model_name),
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
    execution = fields.take("execution", lambda v: scalars.member(BrokerKind, v, "execution"), BrokerKind.MANUAL)
    fields.end()
    return AccountDraft(name, kind, cash, lots, history_from, broker, execution)


def _balance(item: object) -> tuple[str, Decimal]:
    fields = Fields(item)
    found = fields.take("currency", scalars.currency), fields.take("amount", scalars.money)
    fields.end()
    return found


def read_lot(item: object) -> LotDraft:
    """Read one lot."""
    fields = Fields(item)
    lot = LotDraft(
        fields.take("symbol", asset_name),
        fields.take("quantity", scalars.quantity),
        fields.maybe("unitCost", scalars.unit_cost),
        fields.maybe("acquiredOn", lambda value: scalars.day(value, "acquiredOn")),
    )
    fields.end()
    return lot


def read_target(item: object) -> TargetDraft:
    """Read one target entry."""
    fields = Fields(item)
    draft = TargetDraft(
        percent=fields.take("percent", scalars.percent),
        key=fields.maybe("key", lambda value: scalars.text(value, "key", longest=targets.MAX_KEY_LENGTH)),
        assets=fields.each("assets", asset_name) or (),
        asset_class=fields.maybe("assetClass", lambda value: scalars.member(AssetClass, value, "assetClass")),
        band=fields.maybe("band", read_band),
    )
    fields.end()
    return draft


def read_transaction(item: object) -> TransactionDraft:
    """Read one purchase or sale of the past."""
    fields = Fields(item)
    draft = TransactionDraft(
        fields.take("date", scalars.day),
        fields.take("account", lambda value: scalars.text(value, "account")),
        fields.take("side", lambda value: scalars.member(TradeSide, value, "side")),
        fields.take("symbol", asset_name),
        fields.take("quantity", scalars.quantity),
        fields.take("price", scalars.price),
        fields.take("fees", lambda value: scalars.money(value, "fees"), ZERO),
    )
    fields.end()
    return draft
