"""One node of a query of a sleeve's curve: the best orders of a mode, whole shares left out.

Start with all sales full and the purchase least, take the upward moves (sell less, buy more) in the order of what a
dollar of each saves, as long as that outweighs the drift it makes. At most one quantity ends between its kinks.
"""

from app.core.optimize import kernels, polyline
from app.core.optimize.arrays import Flat
from app.core.optimize.curve_lots import ULPS, Work

# States of an entry in a node: at rest or free to sell any amount; selling, fee due; not decided.
FREE = 0
SELLING = 1
OPEN = 2

NONE = -1
INFINITE = 1e300


@kernels.kernel
def drift_piece(k: int, x: float, flat: Flat) -> tuple[float, float]:
    """Return what one more dollar in the sleeve costs at x, and up to where."""
    goal, tolerance = flat.goal[k], flat.tolerance[k]
    if x < goal - tolerance:
        return -flat.outside[k], goal - tolerance
    if x < goal:
        return -flat.inside[k], goal
    if x < goal + tolerance:
        return flat.inside[k], goal + tolerance
    return flat.outside[k], INFINITE


@kernels.kernel
def sort_parts(k: int, price: float, weight: float, flat: Flat, work: Work) -> int:
    """Sort the parts by what a dollar less sold costs, the least first; among equals the later part of an entry first.

    The order of the last query is nearly right, so that an insertion sort takes few steps; it does not depend on it.
    """
    first = flat.sleeve_at[k]
    n = work.parts[0]
    for part in range(n):
        keep = 1.0 - flat.rate[first + work.part_entry[part]]
        work.part_key[part] = price * keep - weight * work.part_price[part]
    for end in range(1, n):
        part = work.part_order[end]
        key = work.part_key[part]
        place = end
        while place > 0:
            before = work.part_order[place - 1]
            if work.part_key[before] < key or (work.part_key[before] == key and before > part):
                break
            work.part_order[place] = before
            place -= 1
        work.part_order[place] = part
    return n


@kernels.kernel
def relax(
    k: int, bought: int, row: int, price: float, weight: float, buy_key: float, flat: Flat, work: Work
) -> tuple[float, int]:
    """Solve a node without whole shares, and without fees and least sales of what is open.

    Returns (weight x cost + price x cash, cut entry). The orders go to work.order, the purchase last. The cut entry is
    the one quantity that ends between its kinks; NONE when there is none, the number of entries for the purchase. What
    a dollar less and more of its move would cost at least goes to work.edge.
    """
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    part_entry, part_pool, part_order, part_key = work.part_entry, work.part_pool, work.part_order, work.part_key
    part_from, part_to, pool, order = work.part_from, work.part_to, work.pool, work.order
    low, high = work.node_low, work.node_high
    x, value = sell_all(k, row, weight + price, flat, work)
    order[size] = low[row + size]
    buying = high[row + size] > low[row + size]
    stopped, cut, place, n = False, NONE, 0, work.parts[0]
    slope, kink = drift_piece(k, x, flat)
    slope *= weight
    steeper, before, after, cut_key = slope, -INFINITE, INFINITE, 0.0
    while buying or place < n:
        part = NONE
        if place < n:
            part = part_order[place]
        if buying and (part == NONE or buy_key <= part_key[part]):
            buying = False
            j, key, end, bottom = size, buy_key, high[row + size], low[row + size]
            full = end - bottom
        else:
            place += 1
            j = part_entry[part]
            if part_pool[part] != pool[j]:
                continue
            end, bottom = part_to[part], part_from[part]
            if high[row + j] < end:
                end = high[row + j]
            if end <= bottom:
                continue
            key, full = part_key[part], end - bottom
            if low[row + j] > bottom:
                bottom = low[row + j]
        amount, moved = end - bottom, 0.0
        while not stopped and moved < amount:
            if key + slope >= 0.0:
                stopped = True
            elif amount - moved <= kink - x:
                x += amount - moved
                moved = amount
            else:
                moved += kink - x
                x = kink
                steeper = slope
                slope, kink = drift_piece(k, x, flat)
                slope *= weight
        if amount > 0.0:
            if moved >= amount:
                before = key
            elif moved > 0.0:
                cut, cut_key = j, key
            elif key < after:
                after = key
        if j == size:
            value += key * moved
            order[size] = end if moved >= amount else bottom + moved
        else:
            value -= key * (full - moved)
            if moved > 0.0:
                order[j] = bottom if moved >= amount else end - moved
    work.edge[0] = min(-(cut_key + steeper), after - cut_key)
    work.edge[1] = min(cut_key + slope, cut_key - before)
    value += buy_key * low[row + size] + weight * polyline.drift_cost(k, x, flat)
    return value, cut


@kernels.kernel
def sell_all(k: int, row: int, fee_price: float, flat: Flat, work: Work) -> tuple[float, float]:
    """Write the most that a node sells of every entry; return where that leaves the sleeve, and the fees to be paid."""
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    x, value = flat.held[k] + work.node_low[row + size], 0.0
    for j in range(size):
        work.order[j] = work.node_high[row + j]
        x -= work.order[j]
        if work.node_state[row + j] != FREE:
            fee = fee_price * flat.fixed[first + j]
            if work.node_state[row + j] == SELLING or fee < 0.0:
                value += fee
    return x, value


@kernels.kernel
def undecided(k: int, row: int, price: float, weight: float, flat: Flat, work: Work) -> int:
    """Return the first open entry whose relaxed sale is not what it would be, or NONE."""
    first = flat.sleeve_at[k]
    for j in range(flat.sleeve_at[k + 1] - first):
        if work.node_state[row + j] == OPEN:
            fixed, sold = flat.fixed[first + j], work.order[j]
            if sold > 0.0:
                if fixed > 0.0 or sold < work.low[2 * j + work.pool[j]] * (1.0 - ULPS):
                    return j
            elif fixed * (weight + price) < 0.0:
                return j
    return NONE
