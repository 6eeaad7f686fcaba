"""The last look at a plan before anybody sees it: every promise, counted again in Decimal from the snapshot alone.

It counts for itself: what it takes over from the planner is what things cost, how lots are taxed, and what may be
bought, none of the search. A plan that breaks a promise is our mistake, and is never shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from app.core.costs import cost_of
from app.core.levies import Levies
from app.core.lots import basis_of_part
from app.core.money import HUNDRED, ZERO, exactly
from app.core.needs import Task, washes
from app.core.optimize.allocate import PlanScope
from app.core.past import group_of
from app.core.policy import LotMethod
from app.core.portfolio import TaxLot
from app.core.trades import Trade, TradeSide


@exactly
def check(
    task: Task, rules: Levies, trades: Sequence[Trade], cash: Mapping[str, Decimal], paid: Mapping[str, Decimal]
) -> None:
    """Assert that trades keep every promise; `cash` is what they claim to leave, `paid` what accounts pay out."""
    faults = [*_cash_faults(task, trades, cash, paid), *faults_of(task, rules, trades)]
    assert not faults, "; ".join(faults)


@exactly
def faults_of(task: Task, rules: Levies, trades: Sequence[Trade]) -> list[str]:
    """Return what trades break of the promises about lots, sides, sizes, restrictions, wash sales and limits."""
    return [
        *_lot_faults(task, trades),
        *_side_faults(task, trades),
        *_size_faults(task, trades),
        *_restriction_faults(task, trades),
        *_wash_faults(task, rules, trades),
        *_limit_faults(task, rules, trades),
    ]


def _lot_faults(task: Task, trades: Sequence[Trade]) -> Iterator[str]:
    """Lots are not oversold, sales say what is sold, and what each part cost and gained is right."""
    left = {lot.id: lot.quantity for account in task.accounts.values() for lot in account.lots}
    home = {lot.id: (account.id, lot.asset_id) for account in task.accounts.values() for lot in account.lots}
    for trade in trades:
        sold = trade.quantity if trade.side is TradeSide.SELL else ZERO
        if sum((sale.quantity for sale in trade.sales), ZERO) != sold:
            yield f"the lots of {trade.asset.symbol} do not add up to {sold}"
        for sale in trade.sales:
            left[sale.lot.id] -= sale.quantity
            if left[sale.lot.id] < ZERO or sale.quantity <= ZERO:
                yield f"lot {sale.lot.id} is oversold"
            if home[sale.lot.id] != (trade.account_id, trade.asset.id):
                yield f"lot {sale.lot.id} is not one of {trade.asset.symbol} in that account"
            if sale.gain != sale.proceeds - basis_of_part(sale.lot, sale.quantity):
                yield f"the gain on lot {sale.lot.id} is wrong"


def _cash_faults(
    task: Task, trades: Sequence[Trade], cash: Mapping[str, Decimal], paid: Mapping[str, Decimal]
) -> Iterator[str]:
    """Nothing crosses accounts, no account is overdrawn, and costs are those of the schedule."""
    left = {key: amount - paid.get(key, ZERO) for key, amount in task.cash.items()}
    if task.request.cash_flow > ZERO:
        left[next(iter(left))] += task.request.cash_flow
    # An account that fills have overdrawn may stay so, where nothing can be sold; it must not come to owe more.
    least = {key: min(ZERO, amount) for key, amount in left.items()}
    for trade in trades:
        costs = cost_of(task.costs_of(trade.account_id, trade.asset), trade.value)
        if costs != trade.costs or trade.value != trade.quantity * task.quotes[trade.asset.id].unit:
            yield f"value or costs of {trade.asset.symbol} are wrong"
        left[trade.account_id] += (trade.value if trade.side is TradeSide.SELL else -trade.value) - costs.total
    for key, amount in left.items():
        if amount < least[key]:
            yield f"account {key} is overdrawn by {-amount}"
        if amount != cash[key]:
            yield f"account {key} is left with {amount}, not {cash[key]}"


def _side_faults(task: Task, trades: Sequence[Trade]) -> Iterator[str]:
    """No asset is both bought and sold, one order for each asset and account, and sides are those of the scope."""
    sides: dict[str, TradeSide] = {}
    places = set()
    bought: dict[tuple[str, str], str] = {}
    flow, scope = task.request.cash_flow, task.request.scope
    for trade in trades:
        if sides.setdefault(trade.asset.id, trade.side) is not trade.side:
            yield f"{trade.asset.symbol} is bought and sold"
        if (trade.asset.id, trade.account_id) in places:
            yield f"{trade.asset.symbol} is traded twice in one account"
        places.add((trade.asset.id, trade.account_id))
        buying = trade.side is TradeSide.BUY
        if buying and bought.setdefault((trade.key, trade.account_id), trade.asset.id) != trade.asset.id:
            yield f"two members of {trade.key} are bought in one account"
        if buying and (scope is PlanScope.RAISE_CASH or (scope is PlanScope.CASH_FLOW and flow < ZERO)):
            yield f"{trade.asset.symbol} is bought by a plan that raises cash"
        if not buying and scope is PlanScope.CASH_FLOW and flow >= ZERO:
            yield f"{trade.asset.symbol} is sold by a plan that invests cash"


def _size_faults(task: Task, trades: Sequence[Trade]) -> Iterator[str]:
    """Orders are whole steps and not dust; a full exit may be small, but its fee must be in proportion."""
    policy = task.snapshot.policy
    for trade in trades:
        step = trade.asset.quantity_step
        if trade.quantity <= ZERO or (step and trade.quantity % step):
            yield f"{trade.quantity} of {trade.asset.symbol} is no whole number of steps"
        lots = task.accounts[trade.account_id].lots
        held = sum((lot.quantity for lot in lots if lot.asset_id == trade.asset.id), ZERO)
        least = max(policy.min_trade, trade.asset.min_notional * task.quotes[trade.asset.id].rate)
        is_exit = trade.side is TradeSide.SELL and trade.quantity == held
        if trade.value < least and not is_exit:
            yield f"{trade.value} of {trade.asset.symbol} is below the minimum {least}"
        if trade.costs.fee * HUNDRED > policy.max_fee * trade.value:
            yield f"the fee of {trade.asset.symbol} is out of proportion"


def _restriction_faults(task: Task, trades: Sequence[Trade]) -> Iterator[str]:
    """What is excluded, not to be bought or sold, untradable, unpriced or in no sleeve is left alone."""
    policy, request = task.snapshot.policy, task.request
    sleeves = {sleeve.entry.key: sleeve for sleeve in task.sleeves}
    for trade in trades:
        symbol, buying = trade.asset.symbol, trade.side is TradeSide.BUY
        barred = {*request.exclude, *(request.no_buy if buying else request.no_sell)}
        barred.update(policy.no_buy if buying else policy.no_sell)
        if symbol in barred or not trade.asset.tradable or trade.asset.id not in task.quotes:
            yield f"{symbol} is not to be traded"
        if not buying and not policy.allow_sells:
            yield f"{symbol} is sold, which the policy does not allow"
        if buying and trade.asset not in sleeves[trade.key].buyable:
            yield f"{symbol} is bought for {trade.key}, which it is no member of"
        if policy.lot_method is LotMethod.SPEC_ID and any(sale.lot.id not in request.sell_lots for sale in trade.sales):
            yield f"{symbol} is sold from a lot that was not named"


def _wash_faults(task: Task, rules: Levies, trades: Sequence[Trade]) -> Iterator[str]:
    """No group is sold at a loss in a taxable account and bought in any."""
    lost = {
        group_of(trade.asset)
        for trade in trades
        if trade.account_id in rules.taxable and washes(trade.asset, task.snapshot)
        for sale in trade.sales
        if _is_loss(sale.lot, task, trade)
    }
    for trade in trades:
        if trade.side is TradeSide.BUY and washes(trade.asset, task.snapshot) and group_of(trade.asset) in lost:
            yield f"{trade.asset.symbol} is bought while its wash group is sold at a loss"


def _is_loss(lot: TaxLot, task: Task, trade: Trade) -> bool:
    return lot.basis > lot.quantity * task.quotes[trade.asset.id].unit


def _limit_faults(task: Task, rules: Levies, trades: Sequence[Trade]) -> Iterator[str]:
    policy = task.snapshot.policy
    traded = sum((trade.value for trade in trades), ZERO)
    if policy.max_turnover is not None and task.before.base:
        most = 2 * policy.max_turnover * task.before.base / HUNDRED
        if traded > most:
            yield f"{traded} is traded, more than {most}"
    if policy.tax_budget is not None:
        due = sum(
            (
                rules.of_lot(trade.asset, trade.account_id, sale.lot, task.quotes[trade.asset.id].unit).due * sale.gain
                for trade in trades
                for sale in trade.sales
            ),
            ZERO,
        )
        if due > policy.tax_budget:
            yield f"tax of {due} is due, more than {policy.tax_budget}"
