"""Costs in the portfolio file: fee schedules, how assets trade, and brokers."""

from decimal import Decimal

from app.core import scalars
from app.core.costs import Costs, Liquidity, Tier, check_schedule
from app.core.errors import Duplicate
from app.core.fields import Fields
from app.core.money import ONE, ZERO
from app.core.portfolio import AssetClass, Broker


def read_costs(item: object) -> Costs:
    """Read what trading an asset costs."""
    fields = Fields(item)
    first, *others = _schedule(fields)
    half_spread = fields.take("halfSpread", lambda value: _fraction(value, "halfSpread"), ZERO)
    fields.end()
    return Costs(first.fixed, first.rate, first.minimum, half_spread, first.cap, tuple(others))


def _schedule(fields: Fields) -> tuple[Tier, ...]:
    """Read a line of fees and the lines after it from one object."""
    schedule = (_line(fields, ZERO), *(fields.each("tiers", _tier) or ()))
    check_schedule(schedule)
    return schedule


def _tier(item: object) -> Tier:
    fields = Fields(item)
    line = _line(fields, fields.take("above", lambda value: scalars.money(value, "above"), ZERO))
    fields.end()
    return line


def _line(fields: Fields, above: Decimal) -> Tier:
    return Tier(
        above,
        fields.take("fixed", lambda value: scalars.money(value, "fixed"), ZERO),
        fields.take("rate", lambda value: _fraction(value, "rate"), ZERO),
        fields.take("minimum", lambda value: scalars.money(value, "minimum"), ZERO),
        fields.maybe("cap", lambda value: scalars.money(value, "cap")),
    )


def _fraction(value: object, what: str) -> Decimal:
    return scalars.percent(value, what).scaleb(-2)


def read_liquidity(item: object) -> Liquidity:
    """Read how an asset trades in a day."""
    fields = Fields(item)
    found = Liquidity(
        fields.take("dailyVolume", lambda value: scalars.quantity(value, "dailyVolume")),
        fields.take("dailyVolatility", lambda value: _fraction(value, "dailyVolatility")),
        fields.take("impactFactor", lambda value: scalars.impact_factor(value, "impactFactor"), ONE),
    )
    fields.end()
    return found


def read_broker(item: object) -> Broker:
    """Read a broker."""
    fields = Fields(item)
    fees: dict[AssetClass, tuple[Tier, ...]] = {}
    for place, (asset_class, schedule) in enumerate(fields.each("fees", _fees) or ()):
        if asset_class in fees:
            raise Duplicate(f"the fees of {asset_class.value} are given twice", ["fees", place])
        fees[asset_class] = schedule
    broker = Broker(
        fields.take("name", lambda value: scalars.text(value, "name")),
        fields.take("currency", scalars.currency, "USD"),
        fields.take("conversion", lambda value: _fraction(value, "conversion"), ZERO),
        fees,
    )
    fields.end()
    return broker


def _fees(item: object) -> tuple[AssetClass, tuple[Tier, ...]]:
    fields = Fields(item)
    asset_class = fields.take("assetClass", lambda value: scalars.member(AssetClass, value, "assetClass"))
    schedule = _schedule(fields)
    fields.end()
    return asset_class, schedule
