"""The schema's types of costs: fee schedules of assets and brokers, and how assets trade."""

from decimal import Decimal

import strawberry

from app.api.scalars import CurrencyCode, Percent
from app.core import costs as core
from app.core.money import HUNDRED
from app.core.portfolio import AssetClass
from app.core.portfolio import Broker as CoreBroker

field = strawberry.field

FIXED = "Fee of every order."
RATE = "Fee in percent of the order's value."
MINIMUM = "Least fee of an order."
CAP = "Largest fee of an order; null when there is none."
TIERS = (
    "Further lines of fees, in the order of `above`. Of the lines that begin at the largest value an order exceeds, "
    "the cheapest counts."
)


@strawberry.type(description="A line of fees for orders above a value: at least minimum, at most cap.")
class FeeTier:
    above: Decimal = field(description="Holds for orders worth more than this.")
    fixed: Decimal = field(description=FIXED)
    rate: Percent = field(description=RATE)
    minimum: Decimal = field(description=MINIMUM)
    cap: Decimal | None = field(description=CAP)

    @classmethod
    def of(cls, line: core.Tier) -> "FeeTier":
        rate = Percent(line.rate * HUNDRED)
        return cls(above=line.above, fixed=line.fixed, rate=rate, minimum=line.minimum, cap=line.cap)


@strawberry.type(
    description="What trading an asset costs; what was never given is 0. Amounts are in a portfolio's base currency."
)
class CostSchedule:
    fixed: Decimal = field(description=FIXED)
    rate: Percent = field(description=RATE)
    minimum: Decimal = field(description=MINIMUM)
    cap: Decimal | None = field(description=CAP)
    half_spread: Percent = field(description="Half the bid-ask spread in percent of the price.")
    tiers: list[FeeTier] = field(description=TIERS)

    @classmethod
    def of(cls, costs: core.Costs) -> "CostSchedule":
        return cls(
            fixed=costs.fixed,
            rate=Percent(costs.rate * HUNDRED),
            minimum=costs.minimum,
            cap=costs.cap,
            half_spread=Percent(costs.half_spread * HUNDRED),
            tiers=[FeeTier.of(line) for line in costs.tiers],
        )


@strawberry.type(description="How an asset trades in a day: market impact is Y x volatility x sqrt(order / volume).")
class Liquidity:
    daily_volume: Decimal = field(description="Units traded in an average day.")
    daily_volatility: Percent = field(description="Standard deviation of daily returns, in percent.")
    impact_factor: Decimal = field(description="Y of the square-root law.")

    @classmethod
    def of(cls, liquidity: core.Liquidity) -> "Liquidity":
        volatility = Percent(liquidity.daily_volatility * HUNDRED)
        return cls(daily_volume=liquidity.daily_volume, daily_volatility=volatility, impact_factor=liquidity.factor)


@strawberry.type(description="What a broker charges for orders in assets of one class, amounts in its currency.")
class BrokerFees:
    asset_class: AssetClass = field(description="Class the fees are for.")
    fixed: Decimal = field(description=FIXED)
    rate: Percent = field(description=RATE)
    minimum: Decimal = field(description=MINIMUM)
    cap: Decimal | None = field(description=CAP)
    tiers: list[FeeTier] = field(description=TIERS)

    @classmethod
    def of(cls, asset_class: AssetClass, schedule: tuple[core.Tier, ...]) -> "BrokerFees":
        first, *others = schedule
        return cls(
            asset_class=asset_class,
            fixed=first.fixed,
            rate=Percent(first.rate * HUNDRED),
            minimum=first.minimum,
            cap=first.cap,
            tiers=[FeeTier.of(line) for line in others],
        )


@strawberry.type(description="A broker and its fees. Brokers belong to nobody; operators keep them.")
class Broker:
    name: str = field(description="Name, by which accounts name it.")
    currency: CurrencyCode = field(description="Currency of all amounts.")
    conversion: Percent = field(
        description="Fee for changing currency, in percent of an order in an asset that is not quoted in the "
        "portfolio's base currency."
    )
    fees: list[BrokerFees] = field(description="Fees by class; for a class without, the asset's own fees count.")

    @classmethod
    def of(cls, broker: CoreBroker) -> "Broker":
        return cls(
            name=broker.name,
            currency=CurrencyCode(broker.currency),
            conversion=Percent(broker.conversion * HUNDRED),
            fees=[BrokerFees.of(kind, schedule) for kind, schedule in broker.fees.items()],
        )
