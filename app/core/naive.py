"""The naive plan, to compare with: sell what is overweight by HIFO, buy straight to the targets, whatever it costs."""

from collections.abc import Iterable
from decimal import Decimal

from app.core import levies, lots
from app.core.aims import Aims
from app.core.costs import cost_of
from app.core.levies import Levies
from app.core.money import QUANTITY_PLACES, ZERO, exactly, floor_to_step, quotient_down
from app.core.needs import Sleeve, Task
from app.core.policy import LotMethod
from app.core.portfolio import Holding
from app.core.trades import Trade, TradeSide


@exactly
def cost(task: Task, aims: Aims, rules: Levies) -> Decimal | None:
    """Return what the naive plan costs: fees, spread, impact and tax now, money; None where it cannot be done.

    It sells V - T of each sleeve above its target, dearest lots first over all accounts, and buys T - V of the first
    member of each below, in the account with most cash; in whole steps, rounded down. Losses that it washes do not
    count. Without tax and costs it costs 0.
    """
    trades: list[Trade] = []
    for sleeve in task.sleeves:
        aim = aims.sleeves.get(sleeve.entry.key)
        gap = ZERO if aim is None else aim.target - sleeve.entry.value
        if gap > ZERO:
            if not sleeve.buyable:
                return None
            trades += _bought(task, sleeve, gap)
        elif gap < ZERO:
            if sum((holding.value or ZERO for holding in sleeve.sellable), ZERO) < -gap:
                return None
            trades += _sold(task, sleeve, -gap)
    estimate = levies.estimate(rules, trades)
    return sum((trade.costs.total for trade in trades), estimate.estimated_tax)


def _bought(task: Task, sleeve: Sleeve, amount: Decimal) -> Iterable[Trade]:
    asset = sleeve.buyable[0]
    account_id = task.snapshot.portfolio.buyer.id
    units = floor_to_step(quotient_down(amount, task.quotes[asset.id].unit, QUANTITY_PLACES), asset.quantity_step)
    if units:
        yield _trade(task, sleeve, Holding(account_id, asset, (), ZERO, ZERO, None, None, stale=False), units, ())


def _sold(task: Task, sleeve: Sleeve, amount: Decimal) -> Iterable[Trade]:
    """Yield sales of the dearest lots, as a share of their price, over all holdings of the sleeve."""
    policy, today = task.snapshot.policy, task.snapshot.as_of.date()
    pairs = [(holding, lot) for holding in sleeve.sellable for lot in holding.lots]
    pairs.sort(
        key=lambda pair: lots.sale_key(
            pair[1], LotMethod.HIFO, task.quotes[pair[0].asset.id].unit, policy, today, taxable=True
        )
    )
    picked: dict[int, Decimal] = {}
    for holding, lot in pairs:
        unit = task.quotes[holding.asset.id].unit
        part = min(lot.quantity, quotient_down(amount, unit, QUANTITY_PLACES))
        picked[id(holding)] = picked.get(id(holding), ZERO) + part
        amount -= part * unit
    for holding in sleeve.sellable:
        units = floor_to_step(picked[id(holding)], holding.asset.quantity_step)
        if units:
            ordered = [lot for owner, lot in pairs if owner is holding]
            sales = lots.take(ordered, units, task.quotes[holding.asset.id].unit, today)
            yield _trade(task, sleeve, holding, units, sales)


def _trade(task: Task, sleeve: Sleeve, holding: Holding, units: Decimal, sales: tuple[lots.LotSale, ...]) -> Trade:
    asset, quote = holding.asset, task.quotes[holding.asset.id]
    side = TradeSide.SELL if sales else TradeSide.BUY
    costs = cost_of(task.costs_of(holding.account_id, asset), units * quote.unit)
    value = units * quote.unit
    return Trade(sleeve.entry.key, asset, holding.account_id, side, units, quote.price, value, costs, sales)
