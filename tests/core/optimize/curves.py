"""A slow and plain reference for the curve of a sleeve: every order that could be a vertex of its lower hull.

At a price of cash the best orders stand at kinks: an entry is at rest, at its least or most, at the end of a lot, at a
whole share, or at the amount a forfeited loss covers; one at most stands elsewhere, where the drift has a kink.
"""

from collections.abc import Iterator
from itertools import pairwise, product
from math import ceil, floor

from app.core.optimize.problem import NO_GROUP, Entry, Problem, Sleeve

NEAR = 1e-7
Point = tuple[float, float]


def lots_sold(entry: Entry, value: float, losses_stay: bool) -> list[float] | None:
    """Split a sale over the cheapest lots that may be sold, money per lot; None when they do not suffice."""
    sold = [0.0] * len(entry.lots)
    for place in sorted(range(len(entry.lots)), key=lambda place: entry.lots[place].tax):
        lot = entry.lots[place]
        if lot.sellable and not (losses_stay and lot.loss):
            sold[place] = min(value, lot.units * entry.price)
            value -= sold[place]
    return sold if value <= NEAR else None


def point_of(problem: Problem, sleeve: Sleeve, orders: tuple[float, ...]) -> Point | None:
    """Return (cash consumed, cost) of signed order values, None when they break a rule of the account."""
    bought = [i for i, order in enumerate(orders) if order > 0.0]
    if len(bought) > 1:
        return None
    washed = sleeve.entries[bought[0]].group if bought else NO_GROUP
    cash = cost = x = 0.0
    for rank, (entry, order) in enumerate(zip(sleeve.entries, orders, strict=True)):
        tariff, size = entry.tariffs[0], abs(order)
        x += entry.value + order
        cost += entry.exit_price * (entry.value - max(0.0, -order))
        if size == 0.0:
            continue
        fee = tariff.fixed + tariff.rate * size
        cash += order + fee
        cost += fee + problem.trade_price * size
        if order > 0.0:
            cost += problem.rank_price * rank * size + entry.wash_price * min(size, entry.wash_value)
            continue
        sold = lots_sold(entry, size, washed != NO_GROUP and entry.group == washed)
        if sold is None:
            return None
        cost += sum(lot.tax * value for lot, value in zip(entry.lots, sold, strict=True))
    off = abs(x - sleeve.goal)
    return cash, cost + sleeve.inside * off + (sleeve.outside - sleeve.inside) * max(0.0, off - sleeve.tolerance)


def bounds(problem: Problem, entry: Entry, side: int) -> tuple[float, float]:
    """Return the least and most of a purchase (side 1) or a sale (side -1); the most is below the least when never."""
    least = max(entry.minimum, 1e-9 * problem.value if entry.tariffs[0].fixed else 0.0)
    if side > 0:
        return (least, problem.value) if entry.can_buy else (0.0, -1.0)
    most = sum(lot.units * entry.price for lot in entry.lots if lot.sellable)
    return (min(least, entry.value), most) if entry.can_sell else (0.0, -1.0)


def stops(problem: Problem, entry: Entry) -> list[float]:
    """Return the kinks of one entry: signed order values."""
    unit, found = entry.price * entry.step, {0.0}
    for side in (1, -1):
        least, most = bounds(problem, entry, side)
        amounts = {least, most, entry.wash_value} if side > 0 else {least, most}
        if side < 0:
            for losses_stay in (False, True):
                lots = [lot for lot in entry.lots if lot.sellable and not (losses_stay and lot.loss)]
                lots.sort(key=lambda lot: lot.tax)
                amounts |= {sum(lot.units * entry.price for lot in lots[:count]) for count in range(len(lots) + 1)}
        if unit > 0.0:
            amounts = {count * unit for count in range(ceil(least / unit - NEAR), floor(most / unit + NEAR) + 1)}
        found |= {side * amount for amount in amounts if least - NEAR <= amount <= most + NEAR and amount > 0.0}
    return sorted(found)


def points(problem: Problem) -> Iterator[Point]:
    """Yield every (cash, cost) that could be a vertex of the lower hull of the problem's only sleeve."""
    sleeve = problem.sleeves[0]
    held = sum(entry.value for entry in sleeve.entries)
    kinks = (sleeve.goal - sleeve.tolerance, sleeve.goal, sleeve.goal + sleeve.tolerance)
    for orders in product(*(stops(problem, entry) for entry in sleeve.entries)):
        found = point_of(problem, sleeve, orders)
        if found is not None:
            yield found
        for i, entry in enumerate(sleeve.entries):
            if entry.step > 0.0 or orders[i] == 0.0:
                continue
            side = 1 if orders[i] > 0.0 else -1
            least, most = bounds(problem, entry, side)
            for kink in kinks:
                order = kink - held - (sum(orders) - orders[i])
                if least <= side * order <= most and side * order > 0.0:
                    found = point_of(problem, sleeve, (*orders[:i], order, *orders[i + 1 :]))
                    if found is not None:
                        yield found


def lower_hull(found: list[Point]) -> list[Point]:
    """Return the lower hull of points, cash rising."""
    hull: list[Point] = []
    for point in sorted(found):
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0.0:
            hull.pop()
        if hull and hull[-1][0] == point[0]:
            continue
        hull.append(point)
    return hull


def height(hull: list[Point], cash: float) -> float:
    """Return the cost of a hull at an amount of cash within its ends."""
    for left, right in pairwise(hull):
        if cash <= right[0]:
            return left[1] + (right[1] - left[1]) * (cash - left[0]) / (right[0] - left[0])
    return hull[-1][1]


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
