"""Filling the cash equality: all segments of all hulls by slope, the cheapest cash first; its cost bounds J from below.

Every item starts at its first corner, where it consumes least, and moves from corner to corner while there is cash.
Leftover cash is the last item: it costs its distance from the goal. At most one item ends between two corners.
"""

from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.arrays import Purse
from app.core.optimize.hulls import HULLS, ORDERS, POINTS, Pool
from app.core.optimize.kernels import Floats, Ints

# Cash this small a share of V is none.
DUST_SHARE = 1e-12

# Places in Fill.spot: counts of both lists, the item between corners (-1: none), where the walk through each stopped.
ROOT_COUNT, EXTRA_COUNT, CUT_ITEM, ROOT_NEXT, EXTRA_NEXT = 0, 1, 2, 3, 4
# Places in Fill.sum: the bound, the share of the segment, the cash consumed and the cost at the corners without cash,
# and the price of cash where the pour ended.
BOUND, SHARE, CONSUMED, COST, PRICE = 0, 1, 2, 3, 4


@kernels.record
class Fill(NamedTuple):
    """Segments of the root in order of slope and those of items changed since; the corner and hull of every item."""

    root_slope: Floats
    root_item: Ints
    extra_slope: Floats
    extra_item: Ints
    slope: Floats
    item: Ints
    sorted: Ints
    root_hull: Ints
    hull: Ints
    changed: Ints
    corner: Ints
    blocked: Ints
    spot: Ints
    sum: Floats


@kernels.kernel
def room(items: int, points: int) -> Fill:
    """Return room for that many items (cash among them) and corners of theirs."""
    return Fill(
        kernels.floats(points),
        kernels.ints(points),
        kernels.floats(points),
        kernels.ints(points),
        kernels.floats(points),
        kernels.ints(points),
        kernels.ints(points),
        kernels.ints(items),
        kernels.ints(items),
        kernels.ints(items),
        kernels.ints(items),
        kernels.ints(items),
        kernels.ints(5),
        kernels.floats(5),
    )


@kernels.kernel
def cash_hull(most: float, purse: Purse, pool: Pool) -> int:
    """Add the hull of leftover cash, from the least that must stay to `most`, and return its number."""
    number = pool.used[HULLS]
    at = pool.used[POINTS]
    count = 1
    pool.cash[at] = purse.minimum
    if purse.goal > purse.minimum:
        pool.cash[at + count] = purse.goal
        count += 1
    far = most if most > pool.cash[at + count - 1] else pool.cash[at + count - 1]
    pool.cash[at + count] = far + purse.scale
    count += 1
    for v in range(count):
        pool.cost[at + v] = leftover_cost(pool.cash[at + v], purse)
    pool.at[number] = at
    pool.size[number] = count
    pool.orders_at[number] = pool.used[ORDERS]
    pool.slack[number] = 0.0
    pool.used[HULLS] += 1
    pool.used[POINTS] += count
    return number


@kernels.kernel
def leftover_cost(cash: float, purse: Purse) -> float:
    """Return what it costs that this much cash is left."""
    return purse.price * abs(cash - purse.goal)


@kernels.kernel
def collect(it: int, count: int, fill: Fill, pool: Pool) -> int:
    """Append the slopes of an item's segments; return the count. A hull is convex but for noise: slopes never fall."""
    number = fill.hull[it]
    at = pool.at[number]
    highest = 0.0
    for v in range(at, at + pool.size[number] - 1):
        slope = (pool.cost[v + 1] - pool.cost[v]) / (pool.cash[v + 1] - pool.cash[v])
        if v == at or slope > highest:
            highest = slope
        fill.slope[count] = highest
        fill.item[count] = it
        count += 1
    return count


@kernels.kernel
def sort_root(items: int, fill: Fill, pool: Pool) -> None:
    """Sort the segments of the root, whose hulls are those of now; equal slopes stay in the order of the items."""
    count = 0
    for it in range(items):
        fill.root_hull[it] = fill.hull[it]
        fill.changed[it] = 0
        count = collect(it, count, fill, pool)
    kernels.order(fill.slope, count, fill.sorted)
    for place in range(count):
        fill.root_slope[place] = fill.slope[fill.sorted[place]]
        fill.root_item[place] = fill.item[fill.sorted[place]]
    fill.spot[ROOT_COUNT] = count


@kernels.kernel
def sort_extra(items: int, fill: Fill, pool: Pool) -> None:
    """Sort the segments of items whose hull differs from the root's."""
    count = 0
    for it in range(items):
        if fill.changed[it] == 1:
            count = collect(it, count, fill, pool)
    if count > 0:
        kernels.order(fill.slope, count, fill.sorted)
    for place in range(count):
        fill.extra_slope[place] = fill.slope[fill.sorted[place]]
        fill.extra_item[place] = fill.item[fill.sorted[place]]
    fill.spot[EXTRA_COUNT] = count


@kernels.kernel
def next_item(fill: Fill) -> int:
    """Return the item of the next segment by slope, equal ones by item, and move on; -1 when there is none."""
    root = fill.spot[ROOT_NEXT]
    extra = fill.spot[EXTRA_NEXT]
    while root < fill.spot[ROOT_COUNT] and fill.changed[fill.root_item[root]] == 1:
        root += 1
    fill.spot[ROOT_NEXT] = root
    if extra < fill.spot[EXTRA_COUNT]:
        mine = fill.extra_slope[extra]
        it = fill.extra_item[extra]
        if (
            root >= fill.spot[ROOT_COUNT]
            or mine < fill.root_slope[root]
            or (mine == fill.root_slope[root] and it < fill.root_item[root])
        ):
            fill.spot[EXTRA_NEXT] = extra + 1
            return it
    if root < fill.spot[ROOT_COUNT]:
        fill.spot[ROOT_NEXT] = root + 1
        return fill.root_item[root]
    return -1


@kernels.kernel
def pour(items: int, purse: Purse, fill: Fill, pool: Pool) -> bool:
    """Fill the cash equality with the hulls of now; False when even the first corners need more than there is.

    The last of the items is leftover cash. Leaves the bound, the corners and the cut in `fill`.
    """
    dust = DUST_SHARE * purse.scale
    used = 0.0
    for it in range(items):
        used += pool.cash[pool.at[fill.hull[it]]]
        fill.corner[it] = 0
    if used > purse.cash + dust:
        fill.sum[CONSUMED] = used
        return False
    sort_extra(items, fill, pool)
    fill.spot[ROOT_NEXT] = 0
    fill.spot[EXTRA_NEXT] = 0
    fill.spot[CUT_ITEM] = -1
    fill.sum[SHARE] = 0.0
    while used < purse.cash - dust:
        it = next_item(fill)
        if it < 0:
            break
        v = pool.at[fill.hull[it]] + fill.corner[it]
        step = pool.cash[v + 1] - pool.cash[v]
        if used + step <= purse.cash + dust:
            fill.corner[it] += 1
            used += step
        else:
            fill.spot[CUT_ITEM] = it
            fill.sum[SHARE] = (purse.cash - used) / step
            break
    fill.sum[PRICE] = price_of_cash(fill, pool)
    sum_up(items, fill, pool)
    return True


@kernels.kernel
def price_of_cash(fill: Fill, pool: Pool) -> float:
    """Return what a little more cash would save: by the segment that is cut, else by the next one; 0 without any."""
    it = fill.spot[CUT_ITEM]
    if it < 0:
        it = next_item(fill)
    if it < 0:
        return 0.0
    v = pool.at[fill.hull[it]] + fill.corner[it]
    return (pool.cost[v] - pool.cost[v + 1]) / (pool.cash[v + 1] - pool.cash[v])


@kernels.kernel
def sum_up(items: int, fill: Fill, pool: Pool) -> None:
    """Add up the bound, and the cash and cost at the corners of all items but leftover cash."""
    bound = 0.0
    consumed = 0.0
    cost = 0.0
    for it in range(items):
        number = fill.hull[it]
        v = pool.at[number] + fill.corner[it]
        bound += pool.cost[v] - pool.slack[number]
        if it < items - 1:
            consumed += pool.cash[v]
            cost += pool.cost[v]
        if fill.spot[CUT_ITEM] == it:
            bound += fill.sum[SHARE] * (pool.cost[v + 1] - pool.cost[v])
    fill.sum[BOUND] = bound
    fill.sum[CONSUMED] = consumed
    fill.sum[COST] = cost
