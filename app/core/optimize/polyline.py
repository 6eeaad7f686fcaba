"""The curve of a sleeve with one entry in closed form: cash consumed -> least cost, as the corners of its lower hull.

Cost is piecewise linear in the order, so its hull has corners only where a lot ends, where the sleeve crosses its goal
or an end of its tolerance, where the wash value ends, and at the ends of what is allowed; with whole steps, at the
whole numbers next to these.
"""

from math import floor
from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.arrays import NEAR, Box, Flat
from app.core.optimize.kernels import Floats

# A corner this far above or below the line between its neighbours (as a share of V) is on it.
FLAT_SHARE = 1e-13


@kernels.record
class Points(NamedTuple):
    """Room for the points of one sleeve: orders of one side, and cash, cost and signed order of them all."""

    amount: Floats
    cash: Floats
    cost: Floats
    order: Floats


@kernels.kernel
def room(lots: int) -> Points:
    """Return room for the curve of an entry with that many lots."""
    most = most_points(lots)
    return Points(kernels.floats(most), kernels.floats(most), kernels.floats(most), kernels.floats(most))


@kernels.kernel
def most_points(lots: int) -> int:
    """Return how many points there can be: two beside each lot's end, three kinks and the ends on either side, rest."""
    return 2 * lots + 24


@kernels.kernel
def drift_cost(k: int, x: float, flat: Flat) -> float:
    """Return what it costs that sleeve k is worth x."""
    away = x - flat.goal[k]
    if away < 0.0:
        away = -away
    cost = flat.inside[k] * away
    if away > flat.tolerance[k]:
        cost += (flat.outside[k] - flat.inside[k]) * (away - flat.tolerance[k])
    return cost


@kernels.kernel
def sale_cost(i: int, sale: float, no_loss: int, flat: Flat) -> float:
    """Return what it costs to sell from entry i: the fee, and its cheapest lots one after the other."""
    cost = flat.fixed[i]
    left = sale
    for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
        if left <= 0.0:
            break
        if no_loss == 1 and flat.lot_loss[lot] == 1:
            continue
        part = flat.lot_value[lot]
        if part > left:
            part = left
        cost += flat.lot_price[lot] * part
        left -= part
    return cost


@kernels.kernel
def buy_cost(i: int, value: float, flat: Flat) -> float:
    """Return what it costs to buy for entry i."""
    washed = flat.wash_value[i]
    if washed > value:
        washed = value
    return flat.fixed[i] + flat.buy_price[i] * value + flat.wash_price[i] * washed


@kernels.kernel
def most_sold(i: int, flat: Flat, box: Box) -> float:
    """Return the most that entry i may sell now, 0 when it may not."""
    high = box.sell_high[i]
    if box.no_loss[i] == 1 and high > 0.0:
        gains = 0.0
        for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
            if flat.lot_loss[lot] == 0:
                gains += flat.lot_value[lot]
        if flat.unit[i] > 0.0:
            gains = float(floor(gains / flat.unit[i] + NEAR)) * flat.unit[i]
        if gains < high:
            high = gains
    if high < box.sell_low[i]:
        high = 0.0
    return high


@kernels.kernel
def put(kink: float, low: float, high: float, unit: float, amount: Floats, count: int) -> int:
    """Insert a kink that lies inside, or the whole steps beside it, into the sorted amounts; return their count."""
    first = kink
    last = kink
    if unit > 0.0:
        steps = floor(kink / unit + NEAR)
        first = float(steps) * unit
        last = float(steps + 1) * unit
    for side in range(2):
        point = first if side == 0 else last
        if point > low and point < high and (side == 0 or unit > 0.0):
            place = count
            while place > 0 and amount[place - 1] > point:
                place -= 1
            if place == 0 or amount[place - 1] < point:
                for later in range(count, place, -1):
                    amount[later] = amount[later - 1]
                amount[place] = point
                count += 1
    return count


@kernels.kernel
def ends(low: float, high: float, amount: Floats) -> int:
    """Begin the sorted amounts with both ends."""
    amount[0] = low
    if high > low:
        amount[1] = high
        return 2
    return 1


@kernels.kernel
def drift_kinks(
    k: int, away: float, low: float, high: float, unit: float, flat: Flat, amount: Floats, count: int
) -> int:
    """Insert the orders that bring the sleeve to its goal (`away` from it) and to its tolerance."""
    if flat.inside[k] != 0.0 or flat.tolerance[k] == 0.0:
        count = put(away, low, high, unit, amount, count)
    if flat.outside[k] != flat.inside[k] and flat.tolerance[k] > 0.0:
        count = put(away - flat.tolerance[k], low, high, unit, amount, count)
        count = put(away + flat.tolerance[k], low, high, unit, amount, count)
    return count


@kernels.kernel
def sales(k: int, i: int, flat: Flat, box: Box, points: Points, total: int) -> int:
    """Write the points of selling, the largest sale first; return how many points there are now."""
    high = most_sold(i, flat, box)
    if high <= 0.0:
        return total
    low = box.sell_low[i]
    amount = points.amount
    count = ends(low, high, amount)
    end = 0.0
    for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
        if box.no_loss[i] == 0 or flat.lot_loss[lot] == 0:
            end += flat.lot_value[lot]
            if end >= high:
                break
            count = put(end, low, high, flat.unit[i], amount, count)
    count = drift_kinks(k, flat.held[k] - flat.goal[k], low, high, flat.unit[i], flat, amount, count)
    first = 1 if amount[0] == 0.0 else 0
    # Lots are walked upwards; the points stand the other way round.
    lot = flat.lot_at[i]
    before = 0.0
    spent = flat.fixed[i]
    for place in range(first, count):
        sale = amount[place]
        while lot < flat.lot_at[i + 1]:
            if box.no_loss[i] == 0 or flat.lot_loss[lot] == 0:
                if before + flat.lot_value[lot] >= sale:
                    break
                before += flat.lot_value[lot]
                spent += flat.lot_price[lot] * flat.lot_value[lot]
            lot += 1
        cost = spent
        if lot < flat.lot_at[i + 1]:
            cost += flat.lot_price[lot] * (sale - before)
        at = total + count - 1 - place
        points.order[at] = -sale
        points.cash[at] = flat.fixed[i] - sale * (1.0 - flat.rate[i])
        points.cost[at] = flat.constant[k] + drift_cost(k, flat.held[k] - sale, flat) + cost
    return total + count - first


@kernels.kernel
def purchases(k: int, i: int, flat: Flat, box: Box, points: Points, total: int) -> int:
    """Write the points of buying, the smallest first; return how many points there are now."""
    low = box.buy_low[i]
    high = box.buy_high[i]
    if high <= 0.0 or high < low:
        return total
    amount = points.amount
    count = ends(low, high, amount)
    count = drift_kinks(k, flat.goal[k] - flat.held[k], low, high, flat.unit[i], flat, amount, count)
    if flat.wash_price[i] > 0.0:
        count = put(flat.wash_value[i], low, high, flat.unit[i], amount, count)
    for place in range(count):
        value = amount[place]
        if value > 0.0:
            points.order[total] = value
            points.cash[total] = value * (1.0 + flat.rate[i]) + flat.fixed[i]
            points.cost[total] = flat.constant[k] + drift_cost(k, flat.held[k] + value, flat) + buy_cost(i, value, flat)
            total += 1
    return total


@kernels.kernel
def sort_by_cash(points: Points, total: int) -> None:
    """Sort nearly sorted points: only a sale that does not earn its fee stands out of place."""
    for place in range(1, total):
        if points.cash[place] < points.cash[place - 1]:
            cash = points.cash[place]
            cost = points.cost[place]
            order = points.order[place]
            at = place
            while at > 0 and points.cash[at - 1] > cash:
                points.cash[at] = points.cash[at - 1]
                points.cost[at] = points.cost[at - 1]
                points.order[at] = points.order[at - 1]
                at -= 1
            points.cash[at] = cash
            points.cost[at] = cost
            points.order[at] = order


@kernels.kernel
def lower_corner(cash: Floats, cost: Floats, at: int, count: int, x: float, y: float, flatness: float) -> int:
    """Return how many of the corners from `at` on stay when (x, y), not left of them, comes after; -1: it is not one.

    Of two points with the same cash the cheaper stays.
    """
    if count > 0 and x <= cash[at + count - 1]:
        if y >= cost[at + count - 1]:
            return -1
        count -= 1
    while count >= 2:
        last = at + count - 1
        wide = x - cash[last - 1]
        chord = cost[last - 1] + (y - cost[last - 1]) * ((cash[last] - cash[last - 1]) / wide)
        if cost[last] < chord - flatness:
            break
        count -= 1
    return count


@kernels.kernel
def entry_hull(
    k: int,
    flat: Flat,
    box: Box,
    points: Points,
    flatness: float,
    at: int,
    orders_at: int,
    cash: Floats,
    cost: Floats,
    orders: Floats,
) -> int:
    """Write the corners of sleeve k, which has one entry, from `at` on; return their count, 0 if nothing is allowed."""
    i = flat.sleeve_at[k]
    total = sales(k, i, flat, box, points, 0)
    if box.rest[i] == 1:
        points.order[total] = 0.0
        points.cash[total] = 0.0
        points.cost[total] = flat.constant[k] + drift_cost(k, flat.held[k], flat)
        total += 1
    total = purchases(k, i, flat, box, points, total)
    sort_by_cash(points, total)
    count = 0
    for place in range(total):
        kept = lower_corner(cash, cost, at, count, points.cash[place], points.cost[place], flatness)
        if kept >= 0:
            cash[at + kept] = points.cash[place]
            cost[at + kept] = points.cost[place]
            orders[orders_at + kept] = points.order[place]
            count = kept + 1
    return count
