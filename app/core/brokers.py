"""Whose fees an order pays: those of the account's broker for the asset's class, else those known of the asset."""

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Final

from app.core.costs import Costs, Impact, Tier, check_schedule
from app.core.errors import StaleData, SteelyardError
from app.core.money import exactly
from app.core.portfolio import Account, Asset, Broker, Rates

REMEMBERED: Final = 256  # schedules at rates, a few hundred bytes each


@exactly
def costs_of(rates: Rates, account: Account, asset: Asset) -> Costs:
    """Return what orders in `asset` cost in `account`, amounts in the base currency of `rates`. Exact.

    Fees are the broker's for the asset's class where it has any, turned into the base currency; conversion is its, for
    an asset in another currency than the base. Half the spread is the asset's, and so is impact: scale = Y x daily
    volatility, depth = daily volume x price x rate, where all of them are known. Raises StaleData where the broker's
    currency has no rate.
    """
    costs = replace(asset.costs, impact=_impact(rates, asset))
    broker = rates.market.brokers.get(account.broker)
    if broker is None:
        return costs
    if asset.currency != rates.base:
        costs = replace(costs, conversion=broker.conversion)
    schedule = broker.fees.get(asset.asset_class)
    if schedule is None:
        return costs
    first, *others = _converted(schedule, _rate(rates, broker))
    return replace(costs, fixed=first.fixed, rate=first.rate, minimum=first.minimum, cap=first.cap, tiers=tuple(others))


def _impact(rates: Rates, asset: Asset) -> Impact | None:
    liquidity, price, factor = asset.liquidity, rates.market.prices.get(asset.id), rates.find(asset.currency)
    if not liquidity or not price or not factor:
        return None
    return Impact(liquidity.factor * liquidity.daily_volatility, liquidity.daily_volume * price.value * factor[0])


def _rate(rates: Rates, broker: Broker) -> Decimal:
    found = rates.find(broker.currency)
    if found is None:
        pair = f"{broker.currency}/{rates.base}"
        message = f"There is no rate for {pair}, in which {broker.name} charges"
        raise StaleData(message, [pair], None)
    return found[0]


@lru_cache(maxsize=REMEMBERED)
def _converted(schedule: tuple[Tier, ...], rate: Decimal) -> tuple[Tier, ...]:
    """Return a schedule with its amounts in another currency; the shares stay."""
    return tuple(
        Tier(
            line.above * rate,
            line.fixed * rate,
            line.rate,
            line.minimum * rate,
            None if line.cap is None else line.cap * rate,
        )
        for line in schedule
    )


def check_broker(broker: Broker) -> Broker:
    """Return the broker if every schedule can be meant; else raise as `check_schedule`, with the place of its class."""
    for place, schedule in enumerate(broker.fees.values()):
        try:
            check_schedule(schedule)
        except SteelyardError as error:
            raise error.under("fees", place) from None
    return broker
