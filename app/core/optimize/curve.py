"""The curve of a sleeve: what it costs to let it consume an amount of cash (or to bring it in), as its lower hull.

At one price of cash the best orders are found exactly (curve_query). The hull follows by the chord rule: ask at the
price that two neighbours have in common, -(change of cost / change of cash); what lies below their chord is a new one.
"""

from app.core.optimize import curve_lots, curve_query, kernels, polyline
from app.core.optimize.arrays import Box, Flat
from app.core.optimize.curve_lots import NOISE, Work
from app.core.optimize.curve_node import INFINITE, NONE
from app.core.optimize.kernels import Floats

# A price of cash beyond this means: the least, or the most, that can be consumed at all.
ANY_PRICE = 1e30

FULL = -1


@kernels.kernel
def write_vertex(k: int, at: int, flat: Flat, box: Box, work: Work, cash: Floats, cost: Floats, orders: Floats) -> int:
    """Write the orders of work.best as vertex `at`; cash and cost are added up from the orders alone."""
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    bought = work.found[0]
    spent, total, x = 0.0, flat.constant[k], flat.held[k]
    for j in range(size):
        i = first + j
        order = 0.0
        if j == bought:
            order = work.best[size]
            if order > 0.0:
                total += flat.fixed[i] + flat.buy_price[i] * order
                if flat.wash_price[i] > 0.0:
                    total += flat.wash_price[i] * min(order, flat.wash_value[i])
                spent += flat.fixed[i] + order * (1.0 + flat.rate[i])
        elif work.best[j] > 0.0:
            sold = work.best[j]
            order = -sold
            total += flat.fixed[i] + curve_lots.sale_cost(j, curve_lots.pool_of(k, j, bought, flat, box), sold, work)
            spent += flat.fixed[i] - sold * (1.0 - flat.rate[i])
        x += order
        orders[at * size + j] = order
    cash[at] = spent
    cost[at] = total + polyline.drift_cost(k, x, flat)
    return at


@kernels.kernel
def copy_vertex(size: int, source: int, to: int, cash: Floats, cost: Floats, orders: Floats) -> int:
    """Write a vertex over another."""
    cash[to] = cash[source]
    cost[to] = cost[source]
    for j in range(size):
        orders[to * size + j] = orders[source * size + j]
    return to


@kernels.kernel
def remove_vertex(size: int, at: int, work: Work, cash: Floats, cost: Floats, orders: Floats) -> int:
    """Take a vertex out and close the gap."""
    count = work.vertices[0] - 1
    for place in range(at, count):
        copy_vertex(size, place + 1, place, cash, cost, orders)
    work.vertices[0] = count
    return count


@kernels.kernel
def is_dent(at: int, cash: Floats, cost: Floats) -> bool:
    """Say whether vertex `at` lies on or above the chord of its neighbours."""
    left, right = cash[at] - cash[at - 1], cash[at + 1] - cash[at]
    return (cost[at] - cost[at - 1]) * right >= (cost[at + 1] - cost[at]) * left


@kernels.kernel
def insert_vertex(size: int, near: float, work: Work, cash: Floats, cost: Floats, orders: Floats) -> int:
    """Put the vertex that waits in the last place among the others and say where, NONE if it is no news.

    At near-equal cash the cheaper one stays.
    """
    new, count = len(cash) - 1, work.vertices[0]
    place = count
    while place > 0 and cash[place - 1] > cash[new]:
        place -= 1
    for other in range(max(place - 1, 0), min(place + 1, count)):
        if abs(cash[other] - cash[new]) <= near:
            if cost[other] <= cost[new]:
                return NONE
            copy_vertex(size, new, other, cash, cost, orders)
            return other
    for step in range(count - place):
        copy_vertex(size, count - 1 - step, count - step, cash, cost, orders)
    copy_vertex(size, new, place, cash, cost, orders)
    work.vertices[0] = count + 1
    if 0 < place < count and is_dent(place, cash, cost):
        remove_vertex(size, place, work, cash, cost, orders)
        return NONE
    return place


@kernels.kernel
def drop_dents(size: int, place: int, work: Work, cash: Floats, cost: Floats, orders: Floats) -> int:
    """Remove what a new vertex at `place` has left above the hull; return where it stands then."""
    while place + 2 < work.vertices[0] and is_dent(place + 1, cash, cost):
        remove_vertex(size, place + 1, work, cash, cost, orders)
    while place > 1 and is_dent(place - 1, cash, cost):
        remove_vertex(size, place - 1, work, cash, cost, orders)
        place -= 1
    return place


@kernels.kernel
def end_vertex(
    k: int,
    at: int,
    price: float,
    tolerance: float,
    flat: Flat,
    box: Box,
    work: Work,
    cash: Floats,
    cost: Floats,
    orders: Floats,
) -> int:
    """Write the best orders at one price, or the extreme of consumption, as vertex `at`: the count of vertices then."""
    weight, least = 1.0, tolerance
    if abs(price) >= ANY_PRICE:
        weight = 0.0
        least = 0.0
        price = 1.0 if price > 0.0 else -1.0
    value, bound = curve_query.query(k, price, weight, INFINITE, least, flat, box, work)
    if work.found[0] < NONE:
        return at
    if weight > 0.0:
        work.slack[0] = max(work.slack[0], value - bound)
    write_vertex(k, at, flat, box, work, cash, cost, orders)
    return at + 1


@kernels.kernel
def sleeve_hull(
    k: int,
    flat: Flat,
    box: Box,
    tolerance: float,
    price_low: float,
    price_high: float,
    work: Work,
    cash: Floats,
    cost: Floats,
    orders: Floats,
) -> int:
    """Write the lower hull of sleeve k within the box, cash consumed against cost, and return its count of vertices.

    Exact for prices of cash between price_low and price_high (beyond 1e30: all there are) within `tolerance`, money;
    work.slack says by how much the true hull may lie lower. `orders`: per vertex and entry, + bought, - sold. 0 when no
    orders obey the box, -1 when the buffers are too small.
    """
    size = flat.sleeve_at[k + 1] - flat.sleeve_at[k]
    near = NOISE * (flat.held[k] + abs(flat.goal[k]) + 1.0)
    room = len(cash)
    work.slack[0] = 0.0
    work.answers[0] = 0
    curve_lots.sleeve_parts(k, flat, box, work)
    count = end_vertex(k, 0, price_high, tolerance, flat, box, work, cash, cost, orders)
    if count == 0:
        return 0
    if room < 3:
        return FULL
    count = end_vertex(k, 1, price_low, tolerance, flat, box, work, cash, cost, orders)
    if cash[1] - cash[0] <= near:
        if cost[1] < cost[0]:
            copy_vertex(size, 1, 0, cash, cost, orders)
        return 1
    work.vertices[0] = count
    left = 0
    while left + 1 < work.vertices[0]:
        price = (cost[left] - cost[left + 1]) / (cash[left + 1] - cash[left])
        chord = cost[left] - flat.constant[k] + price * cash[left]
        _, bound = curve_query.query(k, price, 1.0, chord, tolerance, flat, box, work)
        if work.found[0] < NONE:
            work.slack[0] = max(work.slack[0], chord - bound)
            left += 1
            continue
        if work.vertices[0] >= room - 1:
            return FULL
        write_vertex(k, room - 1, flat, box, work, cash, cost, orders)
        place = insert_vertex(size, near, work, cash, cost, orders)
        if place == NONE:
            work.slack[0] = max(work.slack[0], chord - bound)
            left += 1
            continue
        left = max(drop_dents(size, place, work, cash, cost, orders) - 1, 0)
    return work.vertices[0]


@kernels.kernel
def slack_of(work: Work) -> float:
    """Return by how much the true hull may lie below the one last written; money."""
    return work.slack[0]
