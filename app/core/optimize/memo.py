"""Hulls of sleeves with several entries, remembered with the restrictions that they were made for.

The same restrictions of a sleeve come back in many nodes, and in the scenarios of wash groups, while others change.
"""

from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.arrays import Box, Flat
from app.core.optimize.kernels import Floats, Ints

# What is kept: hulls in all, hulls more for each sleeve, corners a hull. When it is full, it is full.
HULLS_IN_ALL = 256
HULLS_OF_A_SLEEVE = 8
CORNERS_OF_A_HULL = 12
# Restrictions of one entry.
ENDS = 6

HULLS, POINTS, ORDERS = 0, 1, 2
UNKNOWN = -1


@kernels.record
class Memo(NamedTuple):
    """`latest` is 1 + the last hull of a sleeve, `earlier` 1 + the one before it, 0 where there is none."""

    latest: Ints
    earlier: Ints
    key: Floats
    cash: Floats
    cost: Floats
    orders: Floats
    at: Ints
    size: Ints
    orders_at: Ints
    slack: Floats
    used: Ints


@kernels.kernel
def room(sleeves: int, several: int, members: int) -> Memo:
    """Return an empty memory for that many sleeves, `several` of them with more than one entry."""
    count = HULLS_IN_ALL + HULLS_OF_A_SLEEVE * several if several > 0 else 0
    points = CORNERS_OF_A_HULL * count
    return Memo(
        kernels.ints(sleeves),
        kernels.ints(count),
        kernels.floats(count * members * ENDS),
        kernels.floats(points),
        kernels.floats(points),
        kernels.floats(points * members),
        kernels.ints(count),
        kernels.ints(count),
        kernels.ints(count),
        kernels.floats(count),
        kernels.ints(3),
    )


@kernels.kernel
def forget(memo: Memo) -> None:
    """Empty the memory."""
    for k in range(len(memo.latest)):
        memo.latest[k] = 0
    memo.used[HULLS] = 0
    memo.used[POINTS] = 0
    memo.used[ORDERS] = 0


@kernels.kernel
def find(k: int, flat: Flat, box: Box, memo: Memo) -> int:
    """Return the hull that sleeve k has under the restrictions of now, or UNKNOWN."""
    number = memo.latest[k] - 1
    while number >= 0:
        if is_for(number, k, flat, box, memo):
            return number
        number = memo.earlier[number] - 1
    return UNKNOWN


@kernels.kernel
def is_for(number: int, k: int, flat: Flat, box: Box, memo: Memo) -> bool:
    """Say whether a hull was made for the restrictions of now."""
    at = number * (len(memo.key) // len(memo.at))
    for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
        if (
            memo.key[at] != box.buy_low[i]
            or memo.key[at + 1] != box.buy_high[i]
            or memo.key[at + 2] != box.sell_low[i]
            or memo.key[at + 3] != box.sell_high[i]
            or memo.key[at + 4] != box.rest[i]
            or memo.key[at + 5] != box.no_loss[i]
        ):
            return False
        at += ENDS
    return True


@kernels.kernel
def keep(
    k: int,
    count: int,
    slack: float,
    cash: Floats,
    cost: Floats,
    orders: Floats,
    flat: Flat,
    box: Box,
    memo: Memo,
) -> None:
    """Remember a hull of sleeve k for the restrictions of now, if there is room."""
    number, point, order = memo.used[HULLS], memo.used[POINTS], memo.used[ORDERS]
    size = flat.sleeve_at[k + 1] - flat.sleeve_at[k]
    if number >= len(memo.at) or point + count > len(memo.cash) or order + count * size > len(memo.orders):
        return
    at = number * (len(memo.key) // len(memo.at))
    for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
        memo.key[at] = box.buy_low[i]
        memo.key[at + 1] = box.buy_high[i]
        memo.key[at + 2] = box.sell_low[i]
        memo.key[at + 3] = box.sell_high[i]
        memo.key[at + 4] = float(box.rest[i])
        memo.key[at + 5] = float(box.no_loss[i])
        at += ENDS
    for v in range(count):
        memo.cash[point + v] = cash[v]
        memo.cost[point + v] = cost[v]
    for place in range(count * size):
        memo.orders[order + place] = orders[place]
    memo.at[number] = point
    memo.size[number] = count
    memo.orders_at[number] = order
    memo.slack[number] = slack
    memo.earlier[number] = memo.latest[k]
    memo.latest[k] = number + 1
    memo.used[HULLS] = number + 1
    memo.used[POINTS] = point + count
    memo.used[ORDERS] = order + count * size
