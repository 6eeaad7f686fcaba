"""What a sleeve can sell: the lots of its entries as parts in the order of their price, on the lattice of the orders.

An order of whole shares may cut lots anywhere. Its cost is convex in the shares sold all the same, so it is described
by parts that begin and end on whole shares: a share that takes from two lots is a part with their mean price.
"""

from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.arrays import Box, Flat
from app.core.optimize.kernels import Floats, Ints

# Shares of a unit or an amount that are rounding, not decisions.
NOISE = 1e-9
ULPS = 1e-12

# How many answers of a sleeve's queries are kept, to rule out modes at the prices between.
ANSWERS = 48

# How deep one query may branch. What lies deeper is not looked at, and its bound is counted in `slack`.
DEPTH = 64


@kernels.record
class Work(NamedTuple):
    """Memory of one sleeve's curve, handed in so that nothing is allocated inside.

    A part belongs to pool 0 (all lots that may be sold) or 1 (gain lots only) of an entry: 2 j + pool for entry j.
    `node_*`: the open nodes of a query, a row each with the entries and last the purchase; the row after them is the
    one at work. `edge`: what a dollar less and a dollar more of the cut quantity costs at least. `promise`: a row for
    each price of cash asked so far with the least that each mode can reach there.
    """

    part_entry: Ints
    part_pool: Ints
    part_from: Floats
    part_to: Floats
    part_price: Floats
    part_key: Floats
    part_order: Ints
    parts: Ints
    top: Floats
    low: Floats
    pool: Ints
    node_low: Floats
    node_high: Floats
    node_state: Ints
    node_bound: Floats
    edge: Floats
    order: Floats
    best: Floats
    found: Ints
    vertices: Ints
    slack: Floats
    asked: Floats
    promise: Floats
    answers: Ints


@kernels.kernel
def workspace(entries: int, lots: int) -> Work:
    """Return memory for sleeves of at most so many entries and lots."""
    parts = 4 * lots + 1  # two pools, and a lot may add one share that it splits with the next
    row = entries + 1
    return Work(
        part_entry=kernels.ints(parts),
        part_pool=kernels.ints(parts),
        part_from=kernels.floats(parts),
        part_to=kernels.floats(parts),
        part_price=kernels.floats(parts),
        part_key=kernels.floats(parts),
        part_order=kernels.ints(parts),
        parts=kernels.ints(1),
        top=kernels.floats(2 * entries),
        low=kernels.floats(2 * entries),
        pool=kernels.ints(row),
        node_low=kernels.floats((DEPTH + 1) * row),
        node_high=kernels.floats((DEPTH + 1) * row),
        node_state=kernels.ints((DEPTH + 1) * row),
        node_bound=kernels.floats(DEPTH),
        edge=kernels.floats(2),
        order=kernels.floats(row),
        best=kernels.floats(row),
        found=kernels.ints(1),
        vertices=kernels.ints(1),
        slack=kernels.floats(1),
        asked=kernels.floats(ANSWERS + 1),
        promise=kernels.floats((ANSWERS + 1) * (2 * entries + 1)),
        answers=kernels.ints(1),
    )


@kernels.kernel
def add_part(j: int, pool: int, start: float, end: float, price: float, work: Work) -> int:
    """Append a part; prices within a pool never fall, so that an order of parts is an order within each entry."""
    n = work.parts[0]
    work.part_entry[n] = j
    work.part_pool[n] = pool
    work.part_from[n] = start
    work.part_to[n] = end
    work.part_price[n] = price
    if start > 0.0 and work.part_price[n - 1] > price:
        work.part_price[n] = work.part_price[n - 1]
    work.part_order[n] = n
    work.parts[0] = n + 1
    return n + 1


@kernels.kernel
def whole_parts(j: int, i: int, pool: int, gains_only: int, flat: Flat, work: Work) -> float:
    """Append entry i's lots as parts of whole units and return where they end; what is less than a unit stays."""
    unit = flat.unit[i]
    whole, open_value, open_cost = 0, 0.0, 0.0
    for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
        if gains_only == 1 and flat.lot_loss[lot] == 1:
            continue
        value, price = flat.lot_value[lot], flat.lot_price[lot]
        if open_value > 0.0:
            share = min(value, unit - open_value)
            open_value += share
            open_cost += share * price
            value -= share
            if open_value >= unit * (1.0 - NOISE):
                add_part(j, pool, float(whole) * unit, float(whole + 1) * unit, open_cost / open_value, work)
                whole += 1
                open_value = 0.0
                open_cost = 0.0
        count = int(value / unit * (1.0 + 4.0 * ULPS) + NOISE)
        if count > 0:
            add_part(j, pool, float(whole) * unit, float(whole + count) * unit, price, work)
            whole += count
            value -= float(count) * unit
        if value > NOISE * unit:
            open_value += value
            open_cost += value * price
    return float(whole) * unit


@kernels.kernel
def any_parts(j: int, i: int, pool: int, gains_only: int, flat: Flat, work: Work) -> float:
    """Append entry i's lots as they are and return where they end."""
    end = 0.0
    for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
        if flat.lot_value[lot] > 0.0 and not (gains_only == 1 and flat.lot_loss[lot] == 1):
            start = end
            end += flat.lot_value[lot]
            add_part(j, pool, start, end, flat.lot_price[lot], work)
    return end


@kernels.kernel
def pool_parts(j: int, i: int, pool: int, gains_only: int, flat: Flat, box: Box, work: Work) -> int:
    """Fill one pool of entry i: its parts, `top` (the most it can sell, -1 when it cannot) and `low` (the least)."""
    slot = 2 * j + pool
    work.top[slot] = -1.0
    work.low[slot] = 0.0
    before = work.parts[0]
    if box.sell_high[i] <= 0.0:
        return before
    if flat.unit[i] > 0.0:
        end = whole_parts(j, i, pool, gains_only, flat, work)
    else:
        end = any_parts(j, i, pool, gains_only, flat, work)
    top, low = box.sell_high[i], box.sell_low[i]
    if end < top * (1.0 - ULPS):
        top = end
    elif work.parts[0] > before and end < top:
        work.part_to[work.parts[0] - 1] = top  # the sum of the lots is the whole value but for rounding
    if top > 0.0 and low <= top * (1.0 + ULPS):
        work.top[slot] = top
        work.low[slot] = min(low, top)
    return work.parts[0]


@kernels.kernel
def has_rival(k: int, i: int, flat: Flat, box: Box) -> bool:
    """Whether a purchase in this sleeve would wash entry i's losses: another entry of its group that may be bought."""
    if flat.group[i] < 0 or box.no_loss[i] == 1:
        return False
    for other in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
        if other != i and flat.group[other] == flat.group[i] and box.buy_high[other] > 0.0:
            return True
    return False


@kernels.kernel
def sleeve_parts(k: int, flat: Flat, box: Box, work: Work) -> int:
    """Fill the parts of all entries of sleeve k; pool 1 only where a purchase in the sleeve would wash losses."""
    first = flat.sleeve_at[k]
    work.parts[0] = 0
    for i in range(first, flat.sleeve_at[k + 1]):
        pool_parts(i - first, i, 0, box.no_loss[i], flat, box, work)
        if has_rival(k, i, flat, box):
            pool_parts(i - first, i, 1, 1, flat, box, work)
    return work.parts[0]


@kernels.kernel
def pool_of(k: int, j: int, bought: int, flat: Flat, box: Box) -> int:
    """Return which lots entry j of sleeve k sells while `bought` (NONE: -1) is bought: 0 all, 1 gain lots only."""
    if bought < 0:
        return 0
    i, other = flat.sleeve_at[k] + j, flat.sleeve_at[k] + bought
    if j == bought or flat.group[i] < 0 or flat.group[i] != flat.group[other] or box.no_loss[i] == 1:
        return 0
    return 1


@kernels.kernel
def sale_cost(j: int, pool: int, sold: float, work: Work) -> float:
    """Return what selling so much of entry j costs, its cheapest parts first; no fixed fee."""
    cost = 0.0
    for part in range(work.parts[0]):
        if work.part_entry[part] == j and work.part_pool[part] == pool and work.part_from[part] < sold:
            cost += work.part_price[part] * (min(sold, work.part_to[part]) - work.part_from[part])
    return cost
