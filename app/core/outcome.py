"""What became of a plan that was executed: what each trade came to against the plan, and what remains.

PlannedTrade + its orders ──> LegOutcome;   legs + what was sold of which lots ──> Outcome
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core.lots import GainTerm, tax_rate, term
from app.core.money import (
    HUNDRED,
    MONEY_PLACES,
    PRICE_PLACES,
    ZERO,
    exactly,
    quotient,
    round_half_even,
)
from app.core.order_values import Order, OrderStatus
from app.core.past import BookedSale
from app.core.plan_values import Plan, PlannedTrade, TaxEstimate
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind
from app.core.regimes import added_tax
from app.core.tax import TaxFacts
from app.core.trades import Trade, TradeSide, rate_of

BPS: Final = Decimal(10_000)
BPS_PLACES: Final = 4

ENDINGS: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.PENDING: "it was never sent",
    OrderStatus.CANCELLED: "it was cancelled",
    OrderStatus.REJECTED: "the broker rejected it",
    OrderStatus.EXPIRED: "it expired",
    OrderStatus.FILLED: "less was ordered than planned",
}


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """What became of a trade: units; prices in the asset's currency; slippage and fees in the base currency.

    `leg` is the trade's place in the plan. `slippage` is what the fills cost more, or brought less, than at the plan's
    price: plus is worse; `slippage_bps` is that per ten thousand of what was filled at the plan's price. `fees_planned`
    is for the whole trade. `why` says why something remains, empty when nothing does.
    """

    leg: int
    symbol: str
    account_id: str
    side: TradeSide
    ordered: Decimal
    filled: Decimal
    planned_price: Decimal
    average_price: Decimal | None
    slippage: Decimal
    slippage_bps: Decimal | None
    fees: Decimal
    fees_planned: Decimal
    remaining: Decimal
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan, in the base currency; `tax` is what was realised, `tax_planned` what was estimated.

    Trades that were left out when it was approved are not among the legs.
    """

    legs: tuple[LegOutcome, ...]
    slippage: Decimal
    slippage_bps: Decimal | None
    fees: Decimal
    fees_planned: Decimal
    tax: TaxEstimate
    tax_planned: TaxEstimate


@exactly
def outcome_of(
    plan: Plan,
    orders: Sequence[Order],
    sold: Sequence[BookedSale],
    *,
    policy: Policy,
    facts: TaxFacts,
    forfeited: Decimal = ZERO,
) -> Outcome:
    """Return what became of a plan, from its orders and what they sold of lots; money half-even to 10 decimals.

    slippage = (filled value - units filled x plan price) x rate, with the sign turned for sales. `facts` are those of
    the past with what the plan sold; `forfeited` are losses of before that its purchases washed.
    """
    legs = []
    for number, planned in enumerate(plan.trades, 1):
        mine = [order for order in orders if order.leg == number]
        if mine:
            legs.append(_leg(number, planned, sorted(mine, key=lambda order: order.slice)))
    slippage = sum((leg.slippage for leg in legs), ZERO)
    at_plan = sum((_at_plan(plan.trades[leg.leg - 1].trade, leg.filled) for leg in legs), ZERO)
    return Outcome(
        tuple(legs),
        slippage,
        _bps(slippage, at_plan),
        sum((leg.fees for leg in legs), ZERO),
        sum((leg.fees_planned for leg in legs), ZERO),
        replace(realised(sold, policy, facts), forfeited=forfeited),
        plan.summary.tax,
    )


def _leg(number: int, planned: PlannedTrade, orders: Sequence[Order]) -> LegOutcome:
    trade = planned.trade
    filled = sum((order.filled for order in orders), ZERO)
    value = sum((order.filled_value for order in orders), ZERO)
    fees = sum((order.fees for order in orders), ZERO)
    rate, worse = rate_of(trade.value, trade.quantity, trade.price.value), 1 if trade.side is TradeSide.BUY else -1
    slippage = round_half_even((value - filled * trade.price.value) * rate * worse, MONEY_PLACES)
    remaining = max(ZERO, trade.quantity - filled)
    return LegOutcome(
        leg=number,
        symbol=trade.asset.symbol,
        account_id=trade.account_id,
        side=trade.side,
        ordered=trade.quantity,
        filled=filled,
        planned_price=trade.price.value,
        average_price=quotient(value, filled, PRICE_PLACES) if filled else None,
        slippage=slippage,
        slippage_bps=_bps(slippage, _at_plan(trade, filled)),
        fees=round_half_even(fees * rate, MONEY_PLACES),
        fees_planned=round_half_even(trade.costs.fee, MONEY_PLACES),
        remaining=remaining,
        why=_why(orders) if remaining else "",
    )


def _at_plan(trade: Trade, units: Decimal) -> Decimal:
    return units * trade.price.value * rate_of(trade.value, trade.quantity, trade.price.value)


def _bps(slippage: Decimal, value: Decimal) -> Decimal | None:
    return quotient(slippage * BPS, value, BPS_PLACES) if value else None


def _why(orders: Sequence[Order]) -> str:
    """Say how the last order that was not filled ended, in the words of whoever ended it where there are any."""
    last = [*orders[-1:], *(order for order in orders if order.status is not OrderStatus.FILLED)][-1]
    ending = ENDINGS.get(last.status, f"it is {last.status.value}")
    return f"{ending}: {last.message}" if last.message else ending


@exactly
def realised(sold: Sequence[BookedSale], policy: Policy, facts: TaxFacts) -> TaxEstimate:
    """Return what sales realised, by term, and the tax on it: net gains before wash sales, the tax after them.

    Where the year so far is known, tax is by how much they changed it, netted in full; else each at its term's rate.
    """
    if policy.tax_regime is TaxRegime.NONE:
        return TaxEstimate()
    gains, counted = dict.fromkeys(GainTerm, ZERO), dict.fromkeys(GainTerm, ZERO)
    losses = disallowed = ZERO
    for sale in sold:
        if sale.kind is not AccountKind.TAXABLE:
            continue
        kind, gain = term(sale.holding_from, sale.day), sale.proceeds - sale.basis
        gains[kind] += gain
        counted[kind] += gain + sale.disallowed
        losses += max(ZERO, -gain)
        disallowed += sale.disallowed
    short, long = counted[GainTerm.SHORT], counted[GainTerm.LONG]
    before = replace(facts, short_gain=facts.short_gain - short, long_gain=facts.long_gain - long)
    if any((before.short_gain, before.long_gain, before.short_carry, before.long_carry)):
        tax = added_tax(before, short, long, policy)
    else:
        tax = sum((counted[kind] * tax_rate(kind, policy) / HUNDRED for kind in GainTerm), ZERO)
    tax = round_half_even(tax, MONEY_PLACES)
    return TaxEstimate(gains[GainTerm.SHORT], gains[GainTerm.LONG], tax, losses, disallowed)
