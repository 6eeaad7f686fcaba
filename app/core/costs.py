"""What trading costs: fees and half the spread."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core.money import EXACT, ONE, ROUNDED, ZERO, exactly, round_down


@dataclass(frozen=True, slots=True)
class Costs:
    """Cost schedule of an asset: fixed fee and minimum in money, rate and half spread as fractions of the notional.

    Nothing given costs nothing.
    """

    fixed: Decimal = ZERO
    rate: Decimal = ZERO
    minimum: Decimal = ZERO
    half_spread: Decimal = ZERO


FREE: Final = Costs()


@dataclass(frozen=True, slots=True)
class TradeCosts:
    """Cost of one trade by kind, money, never negative."""

    fee: Decimal = ZERO
    spread: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.fee, self.spread)


@exactly
def cost_of(costs: Costs, notional: Decimal) -> TradeCosts:
    """Return what trading `notional` (money >= 0) costs.

    fee = max(minimum, fixed + rate x notional), spread = half_spread x notional. Exact, not rounded; nothing traded
    costs nothing.
    """
    if not notional:
        return TradeCosts()
    return TradeCosts(max(costs.minimum, costs.fixed + costs.rate * notional), costs.half_spread * notional)


@exactly
def affordable(costs: Costs, cash: Decimal) -> Decimal:
    """Return the largest notional whose value and costs fit into `cash` (money), rounded down to 10 decimals.

    The smaller solution of b (1 + rate + half_spread) + fixed = cash and b (1 + half_spread) + minimum = cash: the fee
    is the larger of its two branches, so both must fit. 0 when not even the fee fits.
    """
    by_rate = ROUNDED.divide(cash - costs.fixed, ONE + costs.rate + costs.half_spread)
    by_minimum = ROUNDED.divide(cash - costs.minimum, ONE + costs.half_spread)
    return max(ZERO, round_down(min(by_rate, by_minimum), 10))
