"""From what HiGHS answers to orders: noise snapped away, whole steps, lots in order, and no purse short of a crumb."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor

from app.core.optimize.judge import Orders, check
from app.core.optimize.linear import FINE_STEP, Columns, Encoding
from app.core.optimize.problem import Entry, Order, Problem

# Rounding a fine step down must not lose a step to the noise of a float.
NOISE = 1e-6
REPAIRS = 3


def orders_of(encoding: Encoding, x: Sequence[float], *, fill_purses: bool = True) -> Orders:
    """Return the orders of an answer in units: amounts below a crumb are none, steps are whole, cash suffices.

    Purchases are rounded down to fine steps, sales too; what is then missing in a purse comes from a purchase, else
    from a sale that is a little larger, unless `fill_purses` is off.
    """
    problem = encoding.problem
    orders = [
        [
            _order(problem, entry, columns, [encoding.money(value) for value in _amounts(columns, x)])
            for entry, columns in zip(sleeve.entries, row, strict=True)
        ]
        for sleeve, row in zip(problem.sleeves, encoding.columns, strict=True)
    ]
    for _ in range(REPAIRS if fill_purses else 0):
        cash = check(problem, _frozen(orders)).cash
        short = [purse.minimum - left for purse, left in zip(problem.purses, cash, strict=True)]
        if max(short, default=0.0) <= 0:
            break
        for account, missing in enumerate(short):
            if missing > 0:
                _find_cash(problem, orders, account, missing)
    return _frozen(orders)


def _frozen(orders: list[list[Order]]) -> Orders:
    return tuple(tuple(row) for row in orders)


def _amounts(columns: Columns, x: Sequence[float]) -> list[float]:
    """Return the purchase and the sale of each lot, as they stand in x."""
    return [max(0.0, x[number]) if number is not None else 0.0 for number in (columns.buy, *columns.sell)]


def _order(problem: Problem, entry: Entry, columns: Columns, money: list[float]) -> Order:
    bought, *sold = money
    buy = _whole(problem, entry, max(bought, entry.minimum)) if bought > problem.crumb else 0.0
    if sum(sold) <= problem.crumb:
        return Order(buy)
    units = [_snapped(problem, entry, number, amount) for number, amount in enumerate(sold)]
    low = min(entry.minimum, entry.value)
    wanted = _whole(problem, entry, max(sum(units) * entry.price, low)) if entry.step or sum(sold) < low else sum(units)
    if entry.lots_in_order:
        return Order(buy, _filled(entry, wanted))
    return Order(buy, _moved(entry, units, wanted - sum(units)))


def _whole(problem: Problem, entry: Entry, money: float) -> float:
    """Return the units of an amount, on the step: the nearest multiple, or down to it where the step is fine."""
    if entry.step <= 0:
        return money / entry.price
    steps = money / (entry.price * entry.step)
    return entry.step * (floor(steps + NOISE) if _is_fine(problem, entry) else round(steps))


def _is_fine(problem: Problem, entry: Entry) -> bool:
    return 0 < entry.price * entry.step <= FINE_STEP * problem.value


def _snapped(problem: Problem, entry: Entry, number: int, money: float) -> float:
    """Return the units sold of a lot: none or all of it where only a crumb is missing."""
    held = entry.lots[number].units
    if money <= problem.crumb:
        return 0.0
    return held if held * entry.price - money <= problem.crumb else money / entry.price


def _filled(entry: Entry, units: float) -> tuple[float, ...]:
    """Sell lots one after the other."""
    sold = []
    for lot in entry.lots:
        sold.append(min(units, lot.units) if lot.sellable else 0.0)
        units -= sold[-1]
    return tuple(sold)


def _moved(entry: Entry, units: list[float], more: float) -> tuple[float, ...]:
    """Sell `more` units (fewer where negative) of the lots that are sold already, partly sold ones first."""
    places = [number for number, sold in enumerate(units) if sold > 0]
    places.sort(key=lambda number: units[number] >= entry.lots[number].units)
    for number in places:
        changed = min(max(units[number] + more, 0.0), entry.lots[number].units)
        more -= changed - units[number]
        units[number] = changed
    return tuple(units)


def _find_cash(problem: Problem, orders: list[list[Order]], account: int, missing: float) -> None:
    """Buy less, else sell more, of the first entry of an account that can give what is missing."""
    for less in (True, False):
        for k, sleeve in enumerate(problem.sleeves):
            for i, entry in enumerate(sleeve.entries):
                if entry.account != account or (entry.step > 0 and not _is_fine(problem, entry)):
                    continue
                changed = _less(entry, orders[k][i], missing) if less else _more(entry, orders[k][i], missing)
                if changed is not None:
                    orders[k][i] = changed
                    return


def _less(entry: Entry, order: Order, missing: float) -> Order | None:
    units = missing / entry.price
    units = entry.step * ceil(units / entry.step) if entry.step > 0 else units
    left = order.buy - units
    return replace(order, buy=left) if left > 0 and left * entry.price >= entry.minimum else None


def _more(entry: Entry, order: Order, missing: float) -> Order | None:
    units = 2.0 * missing / entry.price
    units = entry.step * ceil(units / entry.step) if entry.step > 0 else units
    room = sum(lot.units - sold for lot, sold in zip(entry.lots, order.sell, strict=False) if sold > 0)
    return replace(order, sell=_moved(entry, list(order.sell), units)) if room >= units else None
