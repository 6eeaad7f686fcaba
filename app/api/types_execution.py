"""The schema's types of how trades are worked."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

from app.api.scalars import Duration
from app.api.types import Money, money
from app.core.execution import slices_of
from app.core.money import exactly, quotient
from app.core.order_values import Execution
from app.core.policy import OrderStyle
from app.core.trades import Trade

field = strawberry.field


@strawberry.interface(description="How a trade is worked.")
class ExecutionStrategy:
    style: OrderStyle = field(description="Which way it is.")
    rationale: str = field(description="Why this way was chosen, in one sentence.")
    not_before: datetime | None = field(
        description="When its exchange opens next, as of the plan; null when it is open, never closes, or has hours "
        "that are not known."
    )


@strawberry.type(description="One order at the market price.")
class MarketExecution(ExecutionStrategy):
    pass


@strawberry.type(description="One order with a limit price, for the session; the usual way for stocks.")
class LimitExecution(ExecutionStrategy):
    limit_price: Money = field(description="Worst price to accept, rounded to the asset's price step.")
    offset_bps: Decimal = field(
        description="Distance of the limit from the price of the plan, in basis points, half-even to 2 decimals; "
        "negative below it."
    )


@strawberry.type(description="Equal slices over time; the usual way for crypto and for volatile assets.")
class TwapExecution(ExecutionStrategy):
    duration: Duration = field(description="Time from the first slice to the last.")
    slices: int = field(description="Number of slices.")
    slice_quantity: Decimal = field(description="Units of each slice but the last, which takes the remainder.")


@strawberry.type(description="One order at the net asset value of the session's close; the way for funds.")
class NavExecution(ExecutionStrategy):
    pass


STRATEGIES = (MarketExecution, LimitExecution, TwapExecution, NavExecution)


def strategy_of(trade: Trade, execution: Execution) -> ExecutionStrategy:
    """Return how a trade is worked as the schema shows it."""
    shared: dict[str, Any] = {
        "style": execution.style,
        "rationale": execution.why,
        "not_before": execution.not_before,
    }
    if execution.style is OrderStyle.LIMIT:
        assert execution.limit is not None, execution
        limit = money(execution.limit, trade.asset.currency)
        return LimitExecution(**shared, limit_price=limit, offset_bps=_offset_bps(execution.limit, trade.price.value))
    if execution.style is OrderStyle.TWAP:
        first, *others = slices_of(trade.quantity, execution, trade.asset, trade.price.value)
        duration = Duration(len(others) * execution.interval_s)
        return TwapExecution(**shared, duration=duration, slices=1 + len(others), slice_quantity=first)
    return MarketExecution(**shared) if execution.style is OrderStyle.MARKET else NavExecution(**shared)


@exactly
def _offset_bps(limit: Decimal, price: Decimal) -> Decimal:
    return quotient((limit - price) * 10_000, price, 2)
