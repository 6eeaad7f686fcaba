"""Hulls in a pool: corners of what an item costs for the cash it consumes, and the orders at each corner."""

from typing import NamedTuple

from app.core.optimize import curve, curve_lots, kernels, memo, polyline
from app.core.optimize.arrays import Box, Flat, Purse
from app.core.optimize.kernels import Floats, Ints
from app.core.optimize.memo import Memo
from app.core.optimize.polyline import FLAT_SHARE, Points

# How far below the hull of several entries a corner may lie unseen, as a share of V.
TOLERANCE_SHARE = 1e-9

FULL = -1
HULLS, POINTS, ORDERS = 0, 1, 2


@kernels.record
class Pool(NamedTuple):
    """Hulls, one after the other: corners (cash, cost) and the orders of all entries of the item at each corner."""

    cash: Floats
    cost: Floats
    orders: Floats
    at: Ints
    size: Ints
    orders_at: Ints
    slack: Floats
    used: Ints


@kernels.record
class Bench(NamedTuple):
    """Room to work in: points of one entry, a sleeve's hull, the hulls of tied sleeves, the points of all scenarios.

    `price` holds one number: beyond which price of cash (minus the slope) hulls of several entries are not wanted.
    """

    points: Points
    curve: curve_lots.Work
    cash: Floats
    cost: Floats
    orders: Floats
    buy_high: Floats
    no_loss: Ints
    parts: Pool
    part: Ints
    place: Ints
    mixed_cash: Floats
    mixed_cost: Floats
    mixed_scenario: Ints
    mixed_place: Ints
    sorted: Ints
    chain_cash: Floats
    chain_cost: Floats
    chain: Ints
    price: Floats
    memo: Memo


@kernels.kernel
def empty_pool(hulls: int, points: int, orders: int) -> Pool:
    """Return an empty pool with that much room."""
    return Pool(
        kernels.floats(points),
        kernels.floats(points),
        kernels.floats(orders),
        kernels.ints(hulls),
        kernels.ints(hulls),
        kernels.ints(hulls),
        kernels.floats(hulls),
        kernels.ints(3),
    )


@kernels.kernel
def sleeve_hull(k: int, flat: Flat, box: Box, purse: Purse, out: Pool, bench: Bench) -> int:
    """Add the hull of one sleeve to a pool and return its number, or FULL."""
    number = out.used[HULLS]
    at = out.used[POINTS]
    orders_at = out.used[ORDERS]
    first = flat.sleeve_at[k]
    size = flat.sleeve_at[k + 1] - first
    if number >= len(out.at):
        return FULL
    if size > 1:
        return several_hull(k, flat, box, purse, out, bench)
    if size == 0:
        if at >= len(out.cash):
            return FULL
        out.cash[at] = 0.0
        out.cost[at] = flat.constant[k] + polyline.drift_cost(k, flat.held[k], flat)
        return close_hull(1, size, 0.0, out)
    most = polyline.most_points(flat.lot_at[first + 1] - flat.lot_at[first])
    if at + most > len(out.cash) or orders_at + most > len(out.orders):
        return FULL
    flatness = FLAT_SHARE * purse.scale
    count = polyline.entry_hull(k, flat, box, bench.points, flatness, at, orders_at, out.cash, out.cost, out.orders)
    return close_hull(count, size, 0.0, out)


@kernels.kernel
def several_hull(k: int, flat: Flat, box: Box, purse: Purse, out: Pool, bench: Bench) -> int:
    """Add the hull of a sleeve with several entries to a pool, made or remembered, and return its number, or FULL."""
    at, orders_at = out.used[POINTS], out.used[ORDERS]
    size = flat.sleeve_at[k + 1] - flat.sleeve_at[k]
    known = memo.find(k, flat, box, bench.memo)
    if known != memo.UNKNOWN:
        count = bench.memo.size[known]
        if at + count > len(out.cash) or orders_at + count * size > len(out.orders):
            return FULL
        for v in range(count):
            out.cash[at + v] = bench.memo.cash[bench.memo.at[known] + v]
            out.cost[at + v] = bench.memo.cost[bench.memo.at[known] + v]
        for place in range(count * size):
            out.orders[orders_at + place] = bench.memo.orders[bench.memo.orders_at[known] + place]
        return close_hull(count, size, bench.memo.slack[known], out)
    tolerance = TOLERANCE_SHARE * purse.scale
    steepest = bench.price[0]
    count = curve.sleeve_hull(
        k, flat, box, tolerance, -purse.price, steepest, bench.curve, bench.cash, bench.cost, bench.orders
    )
    if count < 0 or at + count > len(out.cash) or orders_at + count * size > len(out.orders):
        return FULL
    slack = curve.slack_of(bench.curve)
    memo.keep(k, count, slack, bench.cash, bench.cost, bench.orders, flat, box, bench.memo)
    for v in range(count):
        out.cash[at + v] = bench.cash[v]
        out.cost[at + v] = bench.cost[v]
    for place in range(count * size):
        out.orders[orders_at + place] = bench.orders[place]
    return close_hull(count, size, slack, out)


@kernels.kernel
def close_hull(count: int, size: int, slack: float, out: Pool) -> int:
    """Enter the hull just written into the pool's list and return its number."""
    number = out.used[HULLS]
    out.at[number] = out.used[POINTS]
    out.orders_at[number] = out.used[ORDERS]
    out.size[number] = count
    out.slack[number] = slack
    out.used[HULLS] = number + 1
    out.used[POINTS] += count
    out.used[ORDERS] += count * size
    return number
