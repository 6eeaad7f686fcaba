"""What trades come to: bought, sold, costs and tax, all money in the base currency."""

from collections.abc import Sequence
from decimal import Decimal

from app.core.money import ZERO, exactly, quotient
from app.core.plan_values import PlanSummary, TaxEstimate
from app.core.trades import Trade, TradeSide


@exactly
def totals_of(trades: Sequence[Trade], base: Decimal | None, tax: TaxEstimate, saved: Decimal | None) -> PlanSummary:
    """Return the totals of trades, exact; turnover is half the traded value in percent of `base`, half-even to 1e-6.

    `tax` is what they are taxed, `saved` what they cost less than the naive plan, both as they are handed in.
    """
    bought = sum((trade.value for trade in trades if trade.side is TradeSide.BUY), ZERO)
    sold = sum((trade.value for trade in trades if trade.side is TradeSide.SELL), ZERO)
    fees = sum((trade.costs.fee for trade in trades), ZERO)
    spread = sum((trade.costs.spread for trade in trades), ZERO)
    impact = sum((trade.costs.impact for trade in trades), ZERO)
    turnover = quotient((bought + sold) * 50, base, 6) if base else None
    return PlanSummary(bought, sold, turnover, fees, spread, tax, sold - bought - fees - spread - impact, impact, saved)
