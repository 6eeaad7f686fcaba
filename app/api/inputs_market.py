"""The schema's inputs of assets and brokers, and what they charge."""

from decimal import Decimal

import strawberry
from strawberry import ID, UNSET

from app.api.inputs import NAME_MAX, _at, _each
from app.api.scalars import CurrencyCode, Percent
from app.core import scalars
from app.core.costs import MAX_TIERS, Costs, Liquidity, Tier, check_schedule
from app.core.errors import Duplicate, Required
from app.core.money import ONE, ZERO
from app.core.portfolio import Asset, AssetClass, Broker, BrokerKind

field = strawberry.field

FIXED = "Fee of every order."
RATE = "Fee in percent of the order's value."
MINIMUM = "Least fee of an order."
CAP = "Largest fee of an order; none when absent."
TIERS = (
    "Further lines of fees, at most 19, in the order of `above`. Of the lines that begin at the largest value an order "
    "exceeds, the cheapest counts: brackets differ in `above`, classes that one may choose from do not."
)


@strawberry.input(description="A line of fees for orders above a value: at least minimum, at most cap; absent is 0.")
class FeeTierInput:
    above: Decimal = field(default=ZERO, description="Holds for orders worth more than this.")
    fixed: Decimal = field(default=ZERO, description=FIXED)
    rate: Percent = field(default=Percent(ZERO), description=RATE)
    minimum: Decimal = field(default=ZERO, description=MINIMUM)
    cap: Decimal | None = field(default=None, description=CAP)

    def to_core(self) -> Tier:
        return _line(self, _at("above", lambda: scalars.money(self.above, "above")))


@strawberry.input(
    description="What trading an asset costs; what is absent is 0. Amounts are in a portfolio's base currency."
)
class CostScheduleInput:
    fixed: Decimal = field(default=ZERO, description=FIXED)
    rate: Percent = field(default=Percent(ZERO), description=RATE)
    minimum: Decimal = field(default=ZERO, description=MINIMUM)
    cap: Decimal | None = field(default=None, description=CAP)
    half_spread: Percent = field(default=Percent(ZERO), description="Half the bid-ask spread in percent of the price.")
    tiers: list[FeeTierInput] = field(default_factory=list, description=TIERS)

    def to_core(self) -> Costs:
        first, *others = _schedule(self)
        spread = self.half_spread.scaleb(-2)
        return Costs(first.fixed, first.rate, first.minimum, spread, first.cap, tuple(others))


@strawberry.input(description="What a broker charges for orders in assets of one class, amounts in its currency.")
class BrokerFeesInput:
    asset_class: AssetClass = field(description="Class the fees are for.")
    fixed: Decimal = field(default=ZERO, description=FIXED)
    rate: Percent = field(default=Percent(ZERO), description=RATE)
    minimum: Decimal = field(default=ZERO, description=MINIMUM)
    cap: Decimal | None = field(default=None, description=CAP)
    tiers: list[FeeTierInput] = field(default_factory=list, description=TIERS)

    def to_core(self) -> tuple[AssetClass, tuple[Tier, ...]]:
        return self.asset_class, _schedule(self)


def _line(given: FeeTierInput | CostScheduleInput | BrokerFeesInput, above: Decimal) -> Tier:
    cap = given.cap
    return Tier(
        above,
        _at("fixed", lambda: scalars.money(given.fixed, "fixed")),
        given.rate.scaleb(-2),
        _at("minimum", lambda: scalars.money(given.minimum, "minimum")),
        None if cap is None else _at("cap", lambda: scalars.money(cap, "cap")),
    )


def _schedule(given: CostScheduleInput | BrokerFeesInput) -> tuple[Tier, ...]:
    schedule = _line(given, ZERO), *_each(given.tiers, FeeTierInput.to_core, "tiers", most=MAX_TIERS)
    check_schedule(schedule)
    return schedule


@strawberry.input(description="How an asset trades in a day: market impact is Y x volatility x sqrt(order / volume).")
class LiquidityInput:
    daily_volume: Decimal = field(description="Units traded in an average day, more than 0.")
    daily_volatility: Percent = field(description="Standard deviation of daily returns, in percent.")
    impact_factor: Decimal = field(default=ONE, description="Y of the square-root law, 0 to 100.")

    def to_core(self) -> Liquidity:
        return Liquidity(
            _at("dailyVolume", lambda: scalars.quantity(self.daily_volume, "dailyVolume")),
            self.daily_volatility.scaleb(-2),
            _at("impactFactor", lambda: scalars.impact_factor(self.impact_factor)),
        )


@strawberry.input(description="An asset to add or change, found by symbol, currency and venue.")
class AssetUpsertInput:
    symbol: str = field(description="Ticker.")
    asset_class: AssetClass = field(description="Broad class; CASH for a currency whose price is an exchange rate.")
    currency: CurrencyCode = field(default=CurrencyCode("USD"), description="Currency the asset is quoted in.")
    venue: str = field(default="", description="Venue, when symbol and currency alone do not tell the asset.")
    name: str | None = field(default=None, description="Human-readable name; the symbol when absent.")
    step: Decimal = field(default=ZERO, description='Smallest quantity step; "0" is any fraction.')
    price_step: Decimal = field(default=Decimal("0.01"), description="Smallest price step of an order.")
    min_notional: Decimal = field(default=ZERO, description="Smallest order value the venue accepts, in `currency`.")
    tradable: bool = field(default=True, description="False when it cannot be traded at present.")
    identical_group: str = field(default="", description="Group of substantially identical assets, for tax.")
    costs: CostScheduleInput = field(default_factory=CostScheduleInput, description="What trading it costs.")
    liquidity: LiquidityInput | None = field(
        default=None, description="How it trades in a day, from which market impact is estimated; unknown when absent."
    )


@strawberry.input(description="A broker to add or change, found by its name; what it charged before is forgotten.")
class BrokerUpsertInput:
    name: str = field(description="Name, by which accounts name it.")
    currency: CurrencyCode = field(default=CurrencyCode("USD"), description="Currency of all amounts.")
    conversion: Percent = field(
        default=Percent(ZERO),
        description="Fee for changing currency, in percent of an order in an asset that is not quoted in the "
        "portfolio's base currency.",
    )
    fees: list[BrokerFeesInput] = field(
        default_factory=list, description="Fees by class, each once; for a class without, the asset's own fees count."
    )

    def to_core(self) -> Broker:
        fees: dict[AssetClass, tuple[Tier, ...]] = {}
        for place, (kind, schedule) in enumerate(_each(self.fees, BrokerFeesInput.to_core, "fees")):
            if kind in fees:
                raise Duplicate(f"the fees of {kind.value} are given twice", ["fees", place])
            fees[kind] = schedule
        name = _at("name", lambda: scalars.text(self.name, "name"))
        return Broker(name, self.currency, self.conversion.scaleb(-2), fees)


@strawberry.input(description="What to change of an account.")
class AccountUpdateInput:
    account_id: ID = field(description="Global id of the account.")
    broker: str | None = field(
        default=UNSET, description="Broker whose fees are paid in it, by name; null for none; unchanged when absent."
    )
    execution: BrokerKind | None = field(
        default=None,
        description="Who works its orders from now on; unchanged when absent. ALPACA only for the account that the "
        "operator has set it up for.",
    )
    expected_version: int | None = field(
        default=None, description="Refuse the change when the portfolio is no longer at this version."
    )

    def checked_broker(self) -> str | None:
        """Return the name, empty for none; None where it shall stay."""
        if self.broker is UNSET:
            if self.execution is None:
                raise Required("there is nothing to change; give broker, null to have none, or execution", ["broker"])
            return None
        broker = self.broker
        return "" if broker is None else _at("broker", lambda: scalars.text(broker, "broker"))


def asset_of(given: AssetUpsertInput) -> Asset:
    """Return the asset to write; its id is not known yet."""
    symbol = _at("symbol", lambda: scalars.symbol(given.symbol))
    return Asset(
        id="",
        symbol=symbol,
        asset_class=given.asset_class,
        currency=given.currency,
        venue=_at("venue", lambda: scalars.symbol(given.venue, "venue")) if given.venue else "",
        name=_at("name", lambda: scalars.text(given.name, "name")) if given.name is not None else symbol,
        quantity_step=_at("step", lambda: scalars.step(given.step)),
        price_step=_at("priceStep", lambda: scalars.price(given.price_step, "priceStep")),
        min_notional=_at("minNotional", lambda: scalars.money(given.min_notional, "minNotional")),
        tradable=given.tradable,
        identical_group=_at("identicalGroup", lambda: _group(given.identical_group)) if given.identical_group else "",
        costs=_at("costs", given.costs.to_core),
        liquidity=_at("liquidity", given.liquidity.to_core) if given.liquidity else None,
    )


def _group(name: str) -> str:
    return scalars.text(name, "identicalGroup", longest=NAME_MAX)
