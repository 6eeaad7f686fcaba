"""The best a sleeve can do at one price of cash: exact, minimum orders, fees and whole shares included.

A mode is (entry bought or none, side of `wash_value`). Within a mode the orders are found by branch and bound: a node
is solved without whole shares (curve_node). Where that breaks a rule there is one quantity to branch on: an entry that
sells too little or without its fee (at rest | at least its least), or the one quantity that was cut at a kink of the
drift and is no whole number of shares (floor | ceiling).
"""

from app.core.optimize import curve_lots, curve_node, kernels
from app.core.optimize.arrays import Box, Flat
from app.core.optimize.curve_lots import ANSWERS, DEPTH, NOISE, ULPS, Work
from app.core.optimize.curve_node import FREE, INFINITE, NONE, OPEN, SELLING

# Nodes of one query: lattices of several entries can miss a target by less and less for ever.
NODES = 2_000


@kernels.kernel
def open_mode(k: int, bought: int, flat: Flat, box: Box, work: Work) -> bool:
    """Write the first node of a mode, the purchase left out, and say whether the mode exists."""
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    for j in range(size):
        i = first + j
        work.pool[j] = curve_lots.pool_of(k, j, bought, flat, box)
        work.node_low[j] = 0.0
        work.node_high[j] = 0.0
        work.node_state[j] = FREE
        if j == bought:
            continue
        slot = 2 * j + work.pool[j]
        if work.top[slot] <= 0.0:
            if box.rest[i] == 0:
                return False
            continue
        work.node_high[j] = work.top[slot]
        if box.rest[i] == 0:
            work.node_state[j] = SELLING
            work.node_low[j] = work.low[slot]
        elif flat.fixed[i] > 0.0 or work.low[slot] > 0.0:
            work.node_state[j] = OPEN
    return True


@kernels.kernel
def push_node(row: int, depth: int, bound: float, size: int, work: Work) -> int:
    """Copy a row to the open nodes, to be restricted there, and return where its own row begins."""
    to = depth * (size + 1)
    work.node_bound[depth] = bound
    for j in range(size + 1):
        work.node_low[to + j] = work.node_low[row + j]
        work.node_high[to + j] = work.node_high[row + j]
        work.node_state[to + j] = work.node_state[row + j]
    return to


@kernels.kernel
def oblige(row: int, j: int, low: float, work: Work) -> int:
    """Let an open entry sell, at least `low`, fee due."""
    work.node_low[row + j] = max(work.node_low[row + j], low)
    work.node_state[row + j] = SELLING
    return row


@kernels.kernel
def forbid(row: int, j: int, work: Work) -> int:
    """Keep an open entry at rest."""
    work.node_high[row + j] = 0.0
    work.node_state[row + j] = FREE
    return row


@kernels.kernel
def fork_open(row: int, depth: int, j: int, value: float, fee: float, size: int, work: Work) -> int:
    """Push the two nodes of an open entry that sells too little: at rest | at least its least. The likelier is last."""
    low = work.low[2 * j + work.pool[j]]
    if work.order[j] < 0.5 * low:
        oblige(push_node(row, depth, value + max(fee, 0.0), size, work), j, low, work)
        forbid(push_node(row, depth + 1, value, size, work), j, work)
    else:
        forbid(push_node(row, depth, value, size, work), j, work)
        oblige(push_node(row, depth + 1, value + max(fee, 0.0), size, work), j, low, work)
    return depth + 2


@kernels.kernel
def fork_whole(row: int, depth: int, cut: int, unit: float, value: float, size: int, work: Work) -> int:
    """Push the two nodes of a cut quantity: at most the whole shares below | at least those above, the better last."""
    order = work.order[cut]
    count = int(order / unit)
    below, above = float(count) * unit, float(count + 1) * unit
    # A purchase below is a dollar less of its move, a sale below is a dollar more of it.
    less, more = work.edge[0], work.edge[1]
    if cut < size:
        less, more = more, less
    bound_below, bound_above = value + less * (order - below), value + more * (above - order)
    if bound_below < bound_above:
        work.node_low[push_node(row, depth, bound_above, size, work) + cut] = above
        work.node_high[push_node(row, depth + 1, bound_below, size, work) + cut] = below
    else:
        work.node_high[push_node(row, depth, bound_below, size, work) + cut] = below
        work.node_low[push_node(row, depth + 1, bound_above, size, work) + cut] = above
    return depth + 2


@kernels.kernel
def settle(k: int, bought: int, cut: int, flat: Flat, work: Work) -> bool:
    """Say whether the cut quantity is whole shares, or may be any amount; snap it where only rounding hides it."""
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    if cut == NONE:
        return True
    unit = flat.unit[first + bought] if cut == size else flat.unit[first + cut]
    if unit <= 0.0:
        return True
    count = work.order[cut] / unit
    near = float(int(count + 0.5))
    if abs(count - near) > NOISE + count * 4.0 * ULPS:
        return False
    work.order[cut] = near * unit
    return True


@kernels.kernel
def best_of_mode(
    k: int,
    bought: int,
    buy_key: float,
    extra: float,
    price: float,
    weight: float,
    ceiling: float,
    tolerance: float,
    flat: Flat,
    work: Work,
) -> tuple[float, float]:
    """Search a mode for orders at least `tolerance` better than `ceiling`: (their value or the ceiling, proven bound).

    `extra` is what the mode costs whatever its amounts. The best orders go to work.best; work.found says the mode.
    """
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    row = DEPTH * (size + 1)
    best, bound = ceiling, INFINITE
    depth, nodes = 1, 0
    work.node_bound[0] = -INFINITE
    while depth > 0:
        depth -= 1
        if work.node_bound[depth] >= best - tolerance:
            bound = min(bound, work.node_bound[depth])
            continue
        for j in range(size + 1):
            work.node_low[row + j] = work.node_low[depth * (size + 1) + j]
            work.node_high[row + j] = work.node_high[depth * (size + 1) + j]
            work.node_state[row + j] = work.node_state[depth * (size + 1) + j]
        nodes += 1
        value, cut = curve_node.relax(k, bought, row, price, weight, buy_key, flat, work)
        value += extra
        j = curve_node.undecided(k, row, price, weight, flat, work)
        while j != NONE and value < best - tolerance and nodes < NODES and depth + 2 < DEPTH:
            low, fee = work.low[2 * j + work.pool[j]], (weight + price) * flat.fixed[first + j]
            if work.order[j] <= 0.0 or work.order[j] < low * (1.0 - ULPS):
                break
            # Selling, it would sell just this and pay its fee: nothing to solve anew, only its rest is left open.
            forbid(push_node(row, depth, value, size, work), j, work)
            depth += 1
            oblige(row, j, low, work)
            value += max(fee, 0.0)
            j = curve_node.undecided(k, row, price, weight, flat, work)
        if value >= best - tolerance:
            bound = min(bound, value)
        elif j == NONE and settle(k, bought, cut, flat, work):
            best = value
            bound = min(bound, value)
            work.found[0] = bought
            for entry in range(size + 1):
                work.best[entry] = work.order[entry]
        elif nodes >= NODES or depth + 2 > DEPTH:
            bound = min(bound, value)
        elif j != NONE:
            depth = fork_open(row, depth, j, value, (weight + price) * flat.fixed[first + j], size, work)
        else:
            unit = flat.unit[first + bought] if cut == size else flat.unit[first + cut]
            depth = fork_whole(row, depth, cut, unit, value, size, work)
    return best, bound


@kernels.kernel
def promises(price: float, modes: int, work: Work) -> int:
    """Start a row of promises at a price, each what the answers on both sides promise, and return where it begins.

    The least a mode can reach is concave in the price of cash, so between two answers it is at least their mean.
    """
    below, above, row = NONE, NONE, work.answers[0]
    for answer in range(row):
        if work.asked[answer] <= price and (below == NONE or work.asked[answer] > work.asked[below]):
            below = answer
        if work.asked[answer] >= price and (above == NONE or work.asked[answer] < work.asked[above]):
            above = answer
    work.asked[row] = price
    if row < ANSWERS:
        work.answers[0] = row + 1
    share = 0.0
    if below != NONE and above != NONE and work.asked[above] > work.asked[below]:
        share = (price - work.asked[below]) / (work.asked[above] - work.asked[below])
    for mode in range(modes):
        work.promise[row * modes + mode] = -INFINITE
        if below != NONE and above != NONE:
            left, right = work.promise[below * modes + mode], work.promise[above * modes + mode]
            work.promise[row * modes + mode] = left + (right - left) * share
    return row * modes


@kernels.kernel
def open_purchase(
    k: int, bought: int, side: int, price: float, weight: float, flat: Flat, box: Box, work: Work
) -> tuple[float, float, bool]:
    """Write the first node of the mode that buys an entry, on one side of `wash_value`.

    Returns (cost of a dollar bought, what the mode costs besides, whether the mode exists).
    """
    i = flat.sleeve_at[k] + bought
    size = flat.sleeve_at[k + 1] - flat.sleeve_at[k]
    unit = flat.unit[i]
    turn, beyond, forfeit = flat.wash_value[i], flat.wash_value[i], flat.wash_price[i]
    if forfeit <= 0.0 or turn <= 0.0:
        turn, beyond, forfeit = -1.0, 0.0, 0.0
    elif unit > 0.0:
        turn = float(int(turn / unit + NOISE)) * unit
        beyond = turn + unit
    least, most = box.buy_low[i], box.buy_high[i]
    key = weight * flat.buy_price[i] + price * (1.0 + flat.rate[i])
    extra = (weight + price) * flat.fixed[i]
    if side == 0:
        most = min(most, turn)
        key += weight * forfeit
    else:
        least = max(least, beyond)
        extra += weight * forfeit * flat.wash_value[i]
    if most <= 0.0 or least > most:
        return key, extra, False
    work.node_low[size] = least
    work.node_high[size] = most
    return key, extra, open_mode(k, bought, flat, box, work)


@kernels.kernel
def query(
    k: int, price: float, weight: float, ceiling: float, tolerance: float, flat: Flat, box: Box, work: Work
) -> tuple[float, float]:
    """Minimise weight x cost + price x cash consumed over sleeve k: (value, bound), the ceiling when nothing is better.

    `constant` of the sleeve is left out. weight 0 asks for the least (price 1) or greatest (price -1) consumption.
    work.found is NONE - 1 when nothing better than ceiling - tolerance exists, else the entry bought or NONE.
    """
    size = flat.sleeve_at[k + 1] - flat.sleeve_at[k]
    modes = 2 * size + 1
    best, bound, row = ceiling, INFINITE, ANSWERS * modes
    if weight > 0.0:
        row = promises(price, modes, work)
    sorted_parts = False
    work.found[0] = NONE - 1
    for mode in range(modes):
        if weight > 0.0 and work.promise[row + mode] >= best - tolerance:
            bound = min(bound, work.promise[row + mode])
            continue
        bought, key, extra = NONE, 0.0, 0.0
        if mode > 0:
            bought = (mode - 1) // 2
            key, extra, exists = open_purchase(k, bought, (mode - 1) % 2, price, weight, flat, box, work)
        else:
            work.node_low[size] = 0.0
            work.node_high[size] = 0.0
            exists = open_mode(k, bought, flat, box, work)
        low = INFINITE
        if exists:
            if not sorted_parts:
                curve_node.sort_parts(k, price, weight, flat, work)
                sorted_parts = True
            best, low = best_of_mode(k, bought, key, extra, price, weight, best, tolerance, flat, work)
            bound = min(bound, low)
        work.promise[row + mode] = low
    return best, bound
