"""What trades leave behind: how far a sleeve still is from its aim, which lots are left, what small change is worth."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from app.core import lots, tally
from app.core.aims import Aims
from app.core.costs import cost_of
from app.core.money import ZERO, exactly
from app.core.needs import Sleeve, Task
from app.core.optimize.allocate import PlanScope
from app.core.portfolio import TaxLot
from app.core.seek import Found
from app.core.trades import Trade, TradeSide, moved_by

SMALLEST_SHARE: Final = Decimal("0.001")
"""Share of all there is to spread by which a sleeve that is traded must miss its aim before it is worth a word."""
CHANGE_SHARE: Final = Decimal("0.05")
"""A trade in whole steps, or what it leaves of a holding, is small change below this share of the trades around it."""


def change_of(found: Found, key: str) -> Decimal:
    """Return by how much the trades of a sleeve change its value, money."""
    return moved_by(found.trades.trades).get(key, ZERO)


@exactly
def gap_of(task: Task, aims: Aims, found: Found, sleeve: Sleeve) -> Decimal:
    """Return what a traded sleeve still lacks (plus) or has too much (minus) of the span it should be in, money.

    0 where that is below a thousandth of all there is, or below a step: more could not be traded anyway. A plan that
    raises cash or harvests leaves drift on purpose, so that nothing is missing there.
    """
    if task.request.scope in (PlanScope.RAISE_CASH, PlanScope.HARVEST) or task.request.cash_flow < ZERO:
        return ZERO
    aim, worth = aims.sleeves[sleeve.entry.key], sleeve.entry.value + change_of(found, sleeve.entry.key)
    gap = max(ZERO, aim.low - worth) or min(ZERO, aim.high - worth)
    assets = (*sleeve.buyable, *(holding.asset for holding in sleeve.sellable))
    steps = [asset.quantity_step * task.quotes[asset.id].unit for asset in assets]
    return gap if abs(gap) >= max([SMALLEST_SHARE * aims.size, *steps]) else ZERO


def sold_of(found: Found) -> Mapping[str, Decimal]:
    """Return how many units of each lot go, by its id."""
    return {sale.lot.id: sale.quantity for trade in found.trades.trades for sale in trade.sales}


def left_of(lot: TaxLot, sold: Mapping[str, Decimal]) -> TaxLot | None:
    """Return what is left of a lot, None when all of it goes."""
    return lots.remainder(lot, sold[lot.id]) if lot.id in sold else lot


@exactly
def small_change(task: Task, aims: Aims, found: Found, trade: Trade) -> tuple[Decimal, Decimal] | None:
    """Return what a sale leaves of a holding, or what a purchase adds, where it is small change, and what it spares.

    The first is a quantity; the second how much higher J would be, money, if the rest were sold too, or the purchase
    left out, and all else stayed. None for other trades, and where that is not allowed or would be no worse.
    """
    if not trade.asset.quantity_step:
        return None
    if trade.side is TradeSide.SELL:
        mine = [lot for lot in task.accounts[trade.account_id].lots if lot.asset_id == trade.asset.id]
        held = sum((lot.quantity for lot in mine), ZERO)
        few = held - trade.quantity
        if not ZERO < few <= CHANGE_SHARE * held:
            return None
        other = [_all_of(task, trade, mine) if one is trade else one for one in found.trades.trades]
    else:
        around = [one.value for one in found.trades.trades if one.key == trade.key and one is not trade]
        few = trade.quantity
        if not around or trade.value > CHANGE_SHARE * max(around):
            return None
        other = [one for one in found.trades.trades if one is not trade]
    spared = _objective(task, aims, found, other) - _objective(task, aims, found, found.trades.trades)
    return (few, spared) if spared > ZERO else None


def _all_of(task: Task, trade: Trade, mine: list[TaxLot]) -> Trade:
    """Return a sale that takes the whole holding."""
    unit, held = task.quotes[trade.asset.id].unit, sum((lot.quantity for lot in mine), ZERO)
    begun = [sale.lot for sale in trade.sales]
    ordered = (*begun, *(lot for lot in mine if lot not in begun))
    sales = lots.take(ordered, held, unit, task.snapshot.as_of.date())
    costs = cost_of(task.costs_of(trade.account_id, trade.asset), held * unit)
    return replace(trade, quantity=held, value=held * unit, costs=costs, sales=sales)


def _objective(task: Task, aims: Aims, found: Found, trades: list[Trade] | tuple[Trade, ...]) -> Decimal:
    cash = sum(found.made.cash.values(), ZERO) - sum(found.trades.paid.values(), ZERO)
    for trade in trades:
        cash += (trade.value if trade.side is TradeSide.SELL else -trade.value) - trade.costs.total
    return tally.count(task, aims, found.rules, trades, cash=cash).total
