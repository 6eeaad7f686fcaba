"""The schema's types of what is held and what is wanted, built from core values."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import strawberry
from strawberry import ID

from app.api.scalars import CurrencyCode, Duration, Percent
from app.api.types_costs import Broker, CostSchedule, Liquidity
from app.api.types_rules import ExecutionRules, rules_of
from app.core import bands, ids, lots
from app.core import portfolio as core
from app.core.bands import Band, BandKind, Destination, Side, Worked
from app.core.drift import Snapshot
from app.core.lots import GainTerm
from app.core.money import HUNDRED, QUANTITY_PLACES, exactly, quotient
from app.core.policy import DAY_S, LotMethod, Objective, Policy, TaxRegime, WashRule
from app.core.portfolio import AccountKind, AssetClass, BrokerKind, Holding, Valuation
from app.core.stats import Volatility
from app.core.targets import Target as CoreTarget

field = strawberry.field


@strawberry.interface(description="Anything that can be fetched again by its global id.")
class Node:
    id: ID = field(description='Opaque, type-prefixed, sortable global id, e.g. "pf_01jd8y3k6v…"; stable for ever.')


@strawberry.type(description="Amount of money in one currency.")
class Money:
    amount: Decimal = field(description="Exact amount in major units.")
    currency: CurrencyCode = field(description="Currency of the amount.")


def money(amount: Decimal, currency: str) -> Money:
    """Put an amount and its currency together."""
    return Money(amount=amount, currency=CurrencyCode(currency))


@strawberry.type(description="Where a page stands within a connection.")
class PageInfo:
    has_next_page: bool = field(description="True when there are items after this page.")
    end_cursor: str | None = field(description="Cursor of the last item; pass it as `after` for the next page.")


@strawberry.type(description="Price of an asset at one time.")
class Price:
    value: Money = field(description="Price of one unit, in the asset's currency.")
    at: datetime = field(description="When the price was observed.")
    source: str = field(description='Where the price came from, e.g. "csv" or "demo: simulated".')


@strawberry.type(description="Something that can be held. Assets and prices belong to nobody; operators keep them.")
class Asset(Node):
    symbol: str = field(description='Ticker, e.g. "AAPL" or "BTC".')
    name: str = field(description="Human-readable name.")
    asset_class: AssetClass = field(description="Broad class.")
    currency: CurrencyCode = field(description="Currency the asset is quoted in.")
    venue: str = field(description="Venue, when the symbol and currency alone do not tell the asset; else empty.")
    step: Decimal = field(description='Smallest quantity step that can be traded; "0" is any fraction.')
    price_step: Decimal = field(description="Smallest price step of an order.")
    min_notional: Money | None = field(description="Smallest order value the venue accepts; null when there is none.")
    tradable: bool = field(description="False when the asset cannot be traded at present.")
    identical_group: str = field(description="Assets of one group are substantially identical for tax; else empty.")
    costs: CostSchedule = field(description="What trading it costs, where no broker charges otherwise.")
    liquidity: Liquidity | None = field(description="How it trades in a day; null when that is not known.")
    price: Price | None = field(description="Latest known price; null while there is none.")

    @classmethod
    def of(cls, asset: core.Asset, price: core.Price | None) -> "Asset":
        return cls(
            id=ID(asset.id),
            symbol=asset.symbol,
            name=asset.name,
            asset_class=asset.asset_class,
            currency=CurrencyCode(asset.currency),
            venue=asset.venue,
            step=asset.quantity_step,
            price_step=asset.price_step,
            min_notional=money(asset.min_notional, asset.currency) if asset.min_notional else None,
            tradable=asset.tradable,
            identical_group=asset.identical_group,
            costs=CostSchedule.of(asset.costs),
            liquidity=Liquidity.of(asset.liquidity) if asset.liquidity else None,
            price=Price(value=money(price.value, asset.currency), at=price.priced_at, source=price.source)
            if price
            else None,
        )


@strawberry.type(description="Page of assets.")
class AssetConnection:
    nodes: list[Asset] = field(description="The assets, by symbol.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(description="Page of brokers.")
class BrokerConnection:
    nodes: list[Broker] = field(description="The brokers, those that were recorded first before the others.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(description="Account at a broker, bank or exchange.")
class Account(Node):
    name: str = field(description="Name chosen by the owner.")
    kind: AccountKind = field(description="Tax treatment.")
    cash: list[Money] = field(description="Cash balances by currency. Unsettled cash is not modelled.")
    history_from: date | None = field(
        description="Day from which its purchases and sales are all recorded; null when nobody said."
    )
    broker: str | None = field(description="Broker whose fees are paid in it, by name; null when none is named.")
    execution: BrokerKind = field(description="Who works its orders.")

    @classmethod
    def of(cls, account: core.Account) -> "Account":
        cash = [money(amount, currency) for currency, amount in account.cash.items()]
        return cls(
            id=ID(account.id),
            name=account.name,
            kind=account.kind,
            cash=cash,
            history_from=account.history_from,
            broker=account.broker or None,
            execution=account.execution,
        )


@strawberry.type(description="Units bought at one time and price.")
class TaxLot(Node):
    acquired_on: date = field(description="When the lot was bought.")
    holding_from: date = field(description="Day from which the holding period counts.")
    quantity: Decimal = field(description="Units still open.")
    cost_basis: Money = field(description="What was paid for them in all, fees included, in the base currency.")
    unit_cost: Money = field(description="Cost basis of one unit, half-even to 18 decimals.")
    unrealized_gain: Money | None = field(description="Gain or loss at the latest price; null without a price.")
    term: GainTerm = field(description="Holding period class today.")


@strawberry.type(name="Holding", description="All lots of one asset in one account.")
class HoldingType(Node):
    asset: Asset = field(description="What is held.")
    account: Account = field(description="Where it is held.")
    quantity: Decimal = field(description="Units held.")
    market_value: Money | None = field(description="Value at the latest price; null while price or rate is missing.")
    weight: Percent | None = field(description="Share of all value, cash included; null while a value is missing.")
    cost_basis: Money = field(description="What was paid for the open lots.")
    unrealized_gain: Money | None = field(description="Market value less cost basis; null while there is no price.")
    stale: bool = field(description="True when the price, or the rate, is older than the policy allows.")
    lots: list[TaxLot] = field(description="Open tax lots, oldest first.")


@strawberry.type(description="Page of holdings, in the order of accounts and purchases.")
class HoldingConnection:
    nodes: list[HoldingType] = field(description="The holdings.")
    page_info: PageInfo = field(description="Where this page stands.")


@exactly
def holdings_of(snapshot: Snapshot, valuation: Valuation, holdings: Sequence[Holding]) -> list[HoldingType]:
    """Return holdings of a portfolio as the schema shows them."""
    accounts = {account.id: Account.of(account) for account in snapshot.portfolio.accounts}
    return [_holding(snapshot, valuation, holding, accounts[holding.account_id]) for holding in holdings]


def _holding(snapshot: Snapshot, valuation: Valuation, holding: Holding, account: Account) -> HoldingType:
    base, value, total = valuation.base_currency, holding.value, valuation.value
    return HoldingType(
        id=ID(ids.holding_id(holding.account_id, holding.asset.id)),
        asset=Asset.of(holding.asset, holding.price),
        account=account,
        quantity=holding.quantity,
        market_value=None if value is None else money(value, base),
        weight=Percent(quotient(value * HUNDRED, total, 6)) if value is not None and total else None,
        cost_basis=money(holding.basis, base),
        unrealized_gain=None if value is None else money(value - holding.basis, base),
        stale=holding.stale,
        lots=[_lot(snapshot, holding, lot, base) for lot in holding.lots],
    )


def _lot(snapshot: Snapshot, holding: Holding, lot: core.TaxLot, base: str) -> TaxLot:
    gain = None
    if holding.value is not None:
        gain = money(quotient(holding.value * lot.quantity, holding.quantity, QUANTITY_PLACES) - lot.basis, base)
    return TaxLot(
        id=ID(lot.id),
        acquired_on=lot.acquired_on,
        holding_from=lot.holding_from,
        quantity=lot.quantity,
        cost_basis=money(lot.basis, base),
        unit_cost=money(quotient(lot.basis, lot.quantity, QUANTITY_PLACES), base),
        unrealized_gain=gain,
        term=lots.term(lot.holding_from, snapshot.as_of.date()),
    )


@strawberry.type(description="One side of a tolerance band as configured, and the volatility it rests on.")
class ToleranceBandSide:
    kind: BandKind = field(description="How the band is made.")
    absolute: Percent | None = field(description="Absolute half-width in points; null unless ABSOLUTE or HYBRID.")
    relative: Percent | None = field(description="Half-width in percent of the target, for RELATIVE, HYBRID and SMART.")
    floor: Percent | None = field(description="Least half-width in points; null when there is none.")
    cap: Percent | None = field(description="Largest half-width in points; null when there is none.")
    factor: Decimal | None = field(description="Half-width in volatilities, times the target; null but for VOLATILITY.")
    window: Duration | None = field(description="Time the volatility is taken from; null but for VOLATILITY.")
    volatility: Percent | None = field(
        description="Volatility of what is held, percent a year; null but for VOLATILITY, and with too few returns."
    )
    returns: int | None = field(description="Number of daily returns in the window; null but for VOLATILITY.")


def _side(side: Side, known: Volatility | None) -> dict[str, Any]:
    moves = known if side.kind is BandKind.VOLATILITY else None
    return {
        "kind": side.kind,
        "absolute": percent_or_none(side.absolute),
        "relative": percent_or_none(side.relative),
        "floor": percent_or_none(side.floor),
        "cap": percent_or_none(side.cap),
        "factor": side.factor,
        "window": None if side.window_days is None else Duration(side.window_days * DAY_S),
        "volatility": percent_or_none(moves.percent) if moves else None,
        "returns": moves.returns if moves else None,
    }


@strawberry.type(
    description="Tolerance band as configured (its side below the target, and `above` where that differs) and, in "
    "points and weights, as it works out at the target. A policy's band has no target: nothing is worked out there."
)
class ToleranceBand(ToleranceBandSide):
    above: ToleranceBandSide | None = field(description="Side above the target; null when it is the same as below.")
    down: Percent | None = field(description="Half-width below the target, in points, half-even to 6 decimals.")
    up: Percent | None = field(description="Half-width above the target, in points, half-even to 6 decimals.")
    lower: Percent | None = field(description="Lowest weight that is still within the band, never below 0.")
    upper: Percent | None = field(description="Highest weight that is still within the band, never above 100.")
    why: str | None = field(description="How the band came to be as wide as it is, in one sentence a side.")

    @classmethod
    def of(cls, band: Band, target: Decimal, worked: Worked) -> "ToleranceBand":
        """Show a band as it works out at a target."""
        width = worked.width
        return cls(
            **_configured(band, worked.volatility, worked.volatility_above),
            down=Percent(width.down),
            up=Percent(width.up),
            lower=Percent(bands.lower(target, width)),
            upper=Percent(bands.upper(target, width)),
            why=worked.why or None,
        )

    @classmethod
    def without_target(cls, band: Band) -> "ToleranceBand":
        """Show a band that stands for any target."""
        return cls(**_configured(band, None, None), down=None, up=None, lower=None, upper=None, why=None)


def _configured(band: Band, known: Volatility | None, known_above: Volatility | None) -> dict[str, Any]:
    above = ToleranceBandSide(**_side(band.above, known_above or known)) if band.above else None
    return _side(band, known) | {"above": above}


def percent_or_none(number: Decimal | None) -> Percent | None:
    """Mark a percent that may be absent."""
    return None if number is None else Percent(number)


@strawberry.type(
    description="One sleeve of the targets: a share of the portfolio and the assets that count towards it."
)
class TargetEntry:
    key: str = field(description="Unique in the portfolio; joins targets, drift and trades. CASH is uninvested cash.")
    percent: Percent = field(description="Wanted share of the portfolio.")
    assets: list[Asset] = field(description="Assets that count towards the sleeve; the first is the one bought.")
    asset_class: AssetClass | None = field(description="Takes every held asset of this class that no entry names.")
    band: ToleranceBand = field(description="Tolerance around the target: its own, or the policy's default.")

    @classmethod
    def of(cls, entry: CoreTarget, snapshot: Snapshot, worked: Worked) -> "TargetEntry":
        market = snapshot.market
        return cls(
            key=entry.key,
            percent=Percent(entry.percent),
            assets=[Asset.of(market.assets[asset_id], market.prices.get(asset_id)) for asset_id in entry.assets],
            asset_class=entry.asset_class,
            band=ToleranceBand.of(entry.band or snapshot.policy.default_band, entry.percent, worked),
        )


@strawberry.type(description="How long prices of one class may be used.")
class PriceAge:
    asset_class: AssetClass = field(description="Class of the assets.")
    age: Duration = field(description="Longest age of a price.")


@strawberry.type(description="How a portfolio is watched and rebalanced. All money is in the base currency.")
class RebalancePolicy(ExecutionRules):
    default_band: ToleranceBand = field(description="Band of targets that give none.")
    warn_at: Percent = field(description="Share of a band from which the status is WARNING.")
    alert_on_warning: bool = field(description="True to open alerts at WARNING already.")
    alert_after: int = field(description="Scan buckets in a row that a drift must last before it is alerted.")
    recover_after: int = field(description="Scan buckets in a row it must stay at or below 0.9 of an edge to be over.")
    portfolio_band: Percent | None = field(
        description="Share of the base that would have to change hands before the portfolio as a whole is alerted."
    )
    remind_after: Duration = field(
        description="Silence after an alert was told before it is told again; 0 is for ever."
    )
    max_price_age: list[PriceAge] = field(description="How long a price may be used, by class.")
    destination: Destination = field(description="Where trades aim.")
    band_kept: Percent | None = field(description="Share of the band that SHARE leaves; null for other destinations.")
    min_trade: Decimal = field(description="Trades worth less than this are dust and are left out.")
    max_fee: Percent = field(description="Trades whose fee is a larger share of them are left out.")
    cash_buffer: Percent = field(description="Cash to leave uninvested; with a sleeve CASH its target counts instead.")
    allow_sells: bool = field(description="False to rebalance with cash only.")
    lot_method: LotMethod = field(description="Which lots a sale takes first.")
    short_term_rate: Percent = field(description="Tax rate of short-term gains.")
    long_term_rate: Percent = field(description="Tax rate of long-term gains.")
    plan_lifetime: Duration = field(description="How long a plan is good after it was made.")
    risk_aversion: Decimal = field(description="How much variance is disliked; for bands of kind COST.")
    auto_propose: bool = field(
        description="True to propose a plan when a breach opens; it is never executed by itself."
    )
    cooldown: Duration = field(description="Least time between two plans that are proposed by themselves.")
    objective: Objective = field(description="What weighs more: drift, or costs and tax.")
    drift_price: Decimal | None = field(
        description="What one unit of money off target costs; null for that of `objective`: 0.01, 0.05 or 1."
    )
    tax_regime: TaxRegime = field(description="Rules that gains and losses follow.")
    wash_rule: WashRule = field(description="What becomes of a purchase that would wash a recent loss.")
    crypto_washes: bool = field(description="True where the wash-sale rule applies to CRYPTO too.")
    loss_credit: Percent = field(description="Share of a loss's tax that counts as saved; the gain later is higher.")
    yearly_loss_cap: Decimal = field(description="How much net loss offsets other income in a year.")
    min_harvest: Decimal = field(description="Smallest loss worth harvesting.")
    min_harvest_share: Percent = field(
        description="Smallest loss worth harvesting, as a share of the basis of what is sold."
    )
    max_turnover: Percent | None = field(
        description="Half the traded value of one plan, at most this share of the base; null for no limit."
    )
    tax_budget: Decimal | None = field(description="Largest tax that one plan may realise; null for no limit.")
    improvement: Percent | None = field(
        description="A trade is kept only if it leaves the drift of its sleeve at or below this share of what it was; "
        "null for no limit."
    )
    no_buy: list[str] = field(description="Symbols that are never bought.")
    no_sell: list[str] = field(description="Symbols that are never sold.")

    @classmethod
    def of(cls, policy: Policy) -> "RebalancePolicy":
        ages = [PriceAge(asset_class=kind, age=Duration(age)) for kind, age in policy.max_price_age_s.items()]
        share = policy.destination is Destination.SHARE
        return cls(
            default_band=ToleranceBand.without_target(policy.default_band),
            warn_at=Percent(policy.warn_at),
            alert_on_warning=policy.alert_on_warning,
            alert_after=policy.alert_after,
            recover_after=policy.recover_after,
            portfolio_band=percent_or_none(policy.portfolio_band),
            remind_after=Duration(policy.remind_after_s),
            max_price_age=ages,
            destination=policy.destination,
            band_kept=Percent(policy.band_kept * HUNDRED) if share else None,
            min_trade=policy.min_trade,
            max_fee=Percent(policy.max_fee),
            cash_buffer=Percent(policy.cash_buffer),
            allow_sells=policy.allow_sells,
            lot_method=policy.lot_method,
            short_term_rate=Percent(policy.short_term_rate),
            long_term_rate=Percent(policy.long_term_rate),
            plan_lifetime=Duration(policy.plan_lifetime_s),
            risk_aversion=policy.risk_aversion,
            auto_propose=policy.auto_propose,
            cooldown=Duration(policy.cooldown_s),
            objective=policy.objective,
            drift_price=policy.drift_price,
            tax_regime=policy.tax_regime,
            wash_rule=policy.wash_rule,
            crypto_washes=policy.crypto_washes,
            loss_credit=Percent(policy.loss_credit),
            yearly_loss_cap=policy.yearly_loss_cap,
            min_harvest=policy.min_harvest,
            min_harvest_share=Percent(policy.min_harvest_share),
            max_turnover=percent_or_none(policy.max_turnover),
            tax_budget=policy.tax_budget,
            improvement=percent_or_none(policy.improvement),
            no_buy=list(policy.no_buy),
            no_sell=list(policy.no_sell),
            **rules_of(policy),
        )
