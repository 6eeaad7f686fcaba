"""The judge: is a set of orders allowed, and what does it cost? Plain sums over the definition in `problem`.

It shares nothing with the engines, so that an error in one of them cannot hide here. Nothing leaves the optimiser
before it was here; `check` words every violation with its numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite

from app.core.optimize.problem import NO_GROUP, Entry, Order, Problem

Orders = tuple[tuple[Order, ...], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """J in money, the cash left in each purse, and what is wrong; no violations means that the orders are allowed."""

    objective: float
    cash: tuple[float, ...]
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Traded:
    """One entry with its order in money; `name` is sleeve.entry for the sentences."""

    name: str
    entry: Entry
    rank: int
    bought: float
    sold: tuple[float, ...]

    @property
    def total_sold(self) -> float:
        return sum(self.sold)

    @property
    def turnover(self) -> float:
        return self.bought + self.total_sold if self.entry.is_trade else 0.0


def check(problem: Problem, orders: Orders) -> Verdict:
    """Evaluate orders by the definition of `Problem`: J, cash, and each broken rule in words.

    Money and units as in `Problem`; an excess within `Problem.crumb` is noise, not a violation. Raises
    nothing: orders of the wrong shape or that are not finite are violations.
    """
    shape = tuple(len(sleeve.entries) for sleeve in problem.sleeves)
    if tuple(map(len, orders)) != shape:
        return Verdict(inf, (), (f"orders for {tuple(map(len, orders))} entries, the problem has {shape}",))
    broken = [
        f"entry {k}.{i} has an order that is not finite and at least 0"
        for k, sleeve in enumerate(problem.sleeves)
        for i, entry in enumerate(sleeve.entries)
        if not _is_sound(entry, orders[k][i])
    ]
    if broken:
        return Verdict(inf, (), tuple(broken))
    crumb = problem.crumb
    sleeves = [_traded(problem, orders, k) for k in range(len(shape))]
    trades = [trade for sleeve in sleeves for trade in sleeve]
    cash = _cash_left(problem, trades, crumb)
    violations = [fault for trade in trades for fault in _entry_faults(trade, crumb)]
    violations += _cash_faults(problem, cash, crumb)
    violations += _direction_faults(trades, crumb)
    violations += _member_faults(sleeves, crumb)
    violations += _group_faults(problem, trades, crumb)
    violations += _limit_faults(problem, trades, crumb)
    drift = _drift(problem, sleeves, sum(cash))
    if drift > problem.drift_limit + crumb:
        violations.append(f"drift costs {drift:.6f}, more than the limit {problem.drift_limit:.6f}")
    return Verdict(_objective(problem, sleeves, sum(cash), crumb), cash, tuple(violations))


def _cost_of(entry: Entry, value: float, crumb: float) -> float:
    """Return the cost of an order worth `value`: fixed + rate x value of its tariff, 0 for a crumb.

    Where two tariffs meet the cheaper one holds.
    """
    if value <= crumb:
        return 0.0
    near = [tariff for tariff in entry.tariffs if tariff.low - crumb <= value <= tariff.high + crumb]
    return min((tariff.fixed + tariff.rate * value for tariff in near), default=inf)


def _is_sound(entry: Entry, order: Order) -> bool:
    amounts = (order.buy, *order.sell)
    return len(order.sell) in (0, len(entry.lots)) and all(isfinite(amount) and amount >= 0 for amount in amounts)


def _traded(problem: Problem, orders: Orders, k: int) -> list[_Traded]:
    """Return the entries of a sleeve with their orders in money and their rank in their account."""
    seen: dict[int, int] = {}
    trades = []
    for i, (entry, order) in enumerate(zip(problem.sleeves[k].entries, orders[k], strict=True)):
        rank = seen.get(entry.account, 0)
        seen[entry.account] = rank + 1
        units = order.sell or (0.0,) * len(entry.lots)
        trades.append(
            _Traded(f"{k}.{i}", entry, rank, order.buy * entry.price, tuple(one * entry.price for one in units))
        )
    return trades


def _cash_left(problem: Problem, trades: list[_Traded], crumb: float) -> tuple[float, ...]:
    left = [purse.cash for purse in problem.purses]
    for trade in trades:
        costs = _cost_of(trade.entry, trade.bought, crumb) + _cost_of(trade.entry, trade.total_sold, crumb)
        left[trade.entry.account] += trade.total_sold - trade.bought - costs
    return tuple(left)


def _drift(problem: Problem, sleeves: list[list[_Traded]], cash: float) -> float:
    total = problem.cash_price * abs(cash - problem.cash_goal)
    for sleeve, trades in zip(problem.sleeves, sleeves, strict=True):
        off = abs(sum(trade.entry.value - trade.total_sold + trade.bought for trade in trades) - sleeve.goal)
        total += sleeve.inside * off + (sleeve.outside - sleeve.inside) * max(0.0, off - sleeve.tolerance)
    return total


def _objective(problem: Problem, sleeves: list[list[_Traded]], cash: float, crumb: float) -> float:
    total = _drift(problem, sleeves, cash)
    for trades in sleeves:
        for trade in trades:
            entry = trade.entry
            total += sum(lot.tax * sold for lot, sold in zip(entry.lots, trade.sold, strict=True))
            total += _cost_of(entry, trade.bought, crumb) + _cost_of(entry, trade.total_sold, crumb)
            total += entry.wash_price * min(trade.bought, entry.wash_value)
            total += problem.trade_price * trade.turnover
            total += problem.rank_price * trade.rank * trade.bought
            total += entry.exit_price * (entry.value - trade.total_sold)
    return total


def _entry_faults(trade: _Traded, crumb: float) -> Iterator[str]:
    entry, bought, sold = trade.entry, trade.bought, trade.total_sold
    if bought > crumb and not entry.can_buy:
        yield f"entry {trade.name} buys {bought:.6f}, it may not be bought"
    if sold > crumb and not entry.can_sell:
        yield f"entry {trade.name} sells {sold:.6f}, it may not be sold"
    yield from _lot_faults(trade, crumb)
    if crumb < bought < entry.minimum - crumb:
        yield f"entry {trade.name} buys {bought:.6f}, less than the minimum {entry.minimum:.6f}"
    if crumb < sold < min(entry.minimum, entry.value) - crumb:
        yield f"entry {trade.name} sells {sold:.6f}, less than the minimum {min(entry.minimum, entry.value):.6f}"
    for side, amount in (("buys", bought), ("sells", sold)):
        unit = entry.price * entry.step
        if unit > 0 and abs(amount - round(amount / unit) * unit) > crumb:
            yield f"entry {trade.name} {side} {amount:.6f}, not a multiple of {unit:.6f}"
        if amount > crumb and _cost_of(entry, amount, crumb) == inf:
            yield f"entry {trade.name} {side} {amount:.6f}, which no tariff prices"


def _lot_faults(trade: _Traded, crumb: float) -> Iterator[str]:
    entry = trade.entry
    left_before = False
    for number, (lot, sold) in enumerate(zip(entry.lots, trade.sold, strict=True)):
        held = lot.units * entry.price
        if sold > held + crumb:
            yield f"entry {trade.name} sells {sold:.6f} of lot {number}, which holds {held:.6f}"
        if sold > crumb and not lot.sellable:
            yield f"entry {trade.name} sells {sold:.6f} of lot {number}, which is not for sale"
        if entry.lots_in_order and left_before and sold > crumb:
            yield f"entry {trade.name} sells {sold:.6f} of lot {number} before an earlier lot is sold out"
        left_before = left_before or sold < held - crumb


def _cash_faults(problem: Problem, cash: tuple[float, ...], crumb: float) -> Iterator[str]:
    for number, (purse, left) in enumerate(zip(problem.purses, cash, strict=True)):
        if left < purse.minimum - crumb:
            yield f"purse {number} is left with {left:.6f}, less than {purse.minimum:.6f}"


def _direction_faults(trades: list[_Traded], crumb: float) -> Iterator[str]:
    sold = {trade.entry.asset: trade.name for trade in trades if trade.total_sold > crumb}
    for trade in trades:
        if trade.bought > crumb and trade.entry.asset in sold:
            yield f"asset {trade.entry.asset} is bought in {trade.name} and sold in {sold[trade.entry.asset]}"


def _member_faults(sleeves: list[list[_Traded]], crumb: float) -> Iterator[str]:
    for trades in sleeves:
        bought: dict[int, str] = {}
        for trade in trades:
            if trade.bought > crumb:
                other = bought.setdefault(trade.entry.account, trade.name)
                if other != trade.name:
                    yield f"{other} and {trade.name} of one sleeve are both bought in account {trade.entry.account}"


def _group_faults(problem: Problem, trades: list[_Traded], crumb: float) -> Iterator[str]:
    losses = {}
    for trade in trades:
        taxable = problem.purses[trade.entry.account].taxable
        lost = any(lot.loss and sold > crumb for lot, sold in zip(trade.entry.lots, trade.sold, strict=True))
        if taxable and lost and trade.entry.group != NO_GROUP:
            losses[trade.entry.group] = trade.name
    for trade in trades:
        if trade.bought > crumb and trade.entry.group in losses:
            yield f"{trade.name} is bought while {losses[trade.entry.group]} of its wash group is sold at a loss"


def _limit_faults(problem: Problem, trades: list[_Traded], crumb: float) -> Iterator[str]:
    traded = sum(trade.turnover for trade in trades)
    if traded > problem.traded_limit + crumb:
        yield f"{traded:.6f} is traded, more than the limit {problem.traded_limit:.6f}"
    due = sum(
        lot.due * sold
        for trade in trades
        if problem.purses[trade.entry.account].taxable
        for lot, sold in zip(trade.entry.lots, trade.sold, strict=True)
    )
    if due > problem.tax_limit + crumb:
        yield f"tax of {due:.6f} is due, more than the limit {problem.tax_limit:.6f}"
