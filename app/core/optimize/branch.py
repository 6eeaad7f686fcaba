"""Branching: what two neighbouring corners of an item differ in, and what a branch does to the restrictions.

A branch is two restrictions (kind, entry or group, value) of which any orders obey at least one, and which between them
exclude the point between the corners.
"""

from math import floor
from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.arrays import NEAR, Box, Flat
from app.core.optimize.items import Items
from app.core.optimize.kernels import Floats, Ints

# Restrictions. BUY_LEAST and SELL_LEAST say that it must trade; ONLY_BUY that nothing else of its sleeve is bought, and
# that it is not sold; the last two are the sides of a wash group.
FREE, BUY_MOST, BUY_LEAST, SELL_MOST, SELL_LEAST, ONLY_BUY, NO_BUYS, NO_LOSSES = 0, 1, 2, 3, 4, 5, 6, 7


@kernels.record
class Fork(NamedTuple):
    """The two restrictions of a branch."""

    kind: Ints
    what: Ints
    value: Floats


@kernels.kernel
def room() -> Fork:
    """Return room for a branch."""
    return Fork(kernels.ints(2), kernels.ints(2), kernels.floats(2))


@kernels.kernel
def fork(left: int, right: int, index: int, low: float, high: float, out: Fork) -> bool:
    """Write a branch on one entry or group; True, so that the caller can end with it."""
    out.kind[0] = left
    out.kind[1] = right
    out.what[0] = index
    out.what[1] = index
    out.value[0] = low
    out.value[1] = high
    return True


@kernels.kernel
def restrict(kind: int, index: int, value: float, flat: Flat, box: Box, items: Items) -> None:
    """Tighten the restrictions by one more."""
    if kind == BUY_MOST:
        if value < box.buy_high[index]:
            box.buy_high[index] = value if value >= box.buy_low[index] else 0.0
    elif kind == BUY_LEAST:
        if value > box.buy_low[index]:
            box.buy_low[index] = value
        box.rest[index] = 0
        only_buy(index, flat, box, items)
    elif kind == SELL_MOST:
        if value < box.sell_high[index]:
            box.sell_high[index] = value if value >= box.sell_low[index] else 0.0
    elif kind == SELL_LEAST:
        if value > box.sell_low[index]:
            box.sell_low[index] = value
        box.rest[index] = 0
        box.buy_high[index] = 0.0
    elif kind == ONLY_BUY:
        only_buy(index, flat, box, items)
    elif kind in (NO_BUYS, NO_LOSSES):
        for place in range(flat.group_at[index], flat.group_at[index + 1]):
            if kind == NO_BUYS:
                box.buy_high[flat.group_entry[place]] = 0.0
            else:
                box.no_loss[flat.group_entry[place]] = 1


@kernels.kernel
def only_buy(i: int, flat: Flat, box: Box, items: Items) -> None:
    """Let nothing else of entry i's sleeve be bought, i not be sold and its wash group not be sold at a loss."""
    box.sell_high[i] = 0.0
    k = items.home[i]
    for other in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
        if other != i:
            box.buy_high[other] = 0.0
    g = flat.group[i]
    if g >= 0:
        for place in range(flat.group_at[g], flat.group_at[g + 1]):
            if flat.group_entry[place] != i:
                box.no_loss[flat.group_entry[place]] = 1


@kernels.kernel
def loses(i: int, order: float, flat: Flat) -> bool:
    """Say whether a sale of entry i takes a loss lot when it takes the cheapest lots."""
    left = -order
    for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
        if left <= 0.0:
            return False
        if flat.lot_loss[lot] == 1:
            return True
        left -= flat.lot_value[lot]
    return False


@kernels.kernel
def side_of_group(g: int, at: int, it: int, flat: Flat, box: Box, items: Items, orders: Floats) -> int:
    """Return what the orders of an item do in group g: 1 they buy, 2 they sell at a loss, 0 neither.

    Orders of one item that buy were made with the group's loss lots left alone.
    """
    side = 0
    for j in range(items.entry_at[it + 1] - items.entry_at[it]):
        i = items.entry[items.entry_at[it] + j]
        if flat.group[i] == g:
            order = orders[at + j]
            if order > 0.0:
                return 1
            if order < 0.0 and box.no_loss[i] == 0 and loses(i, order, flat):
                side = 2
    return side


@kernels.kernel
def compare(
    it: int, a: int, b: int, share: float, flat: Flat, box: Box, items: Items, orders: Floats, out: Fork
) -> bool:
    """Find what the orders at a and at b (of one item, `share` of the way from a to b) differ in, and write the branch.

    False: orders between them are allowed and cost no more than the line between their costs.
    """
    for place in range(items.entry_at[it], items.entry_at[it + 1]):
        g = flat.group[items.entry[place]]
        if g >= 0:
            sides = side_of_group(g, a, it, flat, box, items, orders)
            sides += side_of_group(g, b, it, flat, box, items, orders)
            if sides == 3:
                return fork(NO_BUYS, NO_LOSSES, g, 0.0, 0.0, out)
    size = items.entry_at[it + 1] - items.entry_at[it]
    for j in range(size):
        if compare_bought(items.entry[items.entry_at[it] + j], j, it, a, b, flat, box, items, orders, out):
            return True
    for j in range(size):
        i = items.entry[items.entry_at[it] + j]
        one = orders[a + j]
        two = orders[b + j]
        if (one < 0.0) != (two < 0.0) and box.sell_low[i] > 0.0:
            return fork(SELL_MOST, SELL_LEAST, i, 0.0, box.sell_low[i], out)
    for j in range(size):
        i = items.entry[items.entry_at[it] + j]
        end = flat.wash_value[i]
        one = orders[a + j]
        two = orders[b + j]
        if flat.wash_price[i] > 0.0 and ((one < end and two > end) or (two < end and one > end)) and end > 0.0:
            return fork_at(BUY_MOST, BUY_LEAST, i, end, flat.unit[i], out)
    for j in range(size):
        i = items.entry[items.entry_at[it] + j]
        if flat.unit[i] > 0.0 and orders[a + j] != orders[b + j]:
            order = orders[a + j] + share * (orders[b + j] - orders[a + j])
            if not on_lattice(order, flat.unit[i]):
                if order > 0.0:
                    return fork_at(BUY_MOST, BUY_LEAST, i, order, flat.unit[i], out)
                return fork_at(SELL_MOST, SELL_LEAST, i, -order, flat.unit[i], out)
    return False


@kernels.kernel
def compare_bought(
    i: int, j: int, it: int, a: int, b: int, flat: Flat, box: Box, items: Items, orders: Floats, out: Fork
) -> bool:
    """Branch on entry i if only one of the corners buys it and that matters."""
    one = orders[a + j]
    two = orders[b + j]
    if (one > 0.0) == (two > 0.0):
        return False
    if box.buy_low[i] > 0.0:
        return fork(BUY_MOST, BUY_LEAST, i, 0.0, box.buy_low[i], out)
    if one < 0.0 or two < 0.0:
        return fork(BUY_MOST, SELL_MOST, i, 0.0, 0.0, out)
    without = b if one > 0.0 else a
    k = items.home[i]
    for other in range(items.entry_at[it], items.entry_at[it + 1]):
        mate = items.entry[other]
        if mate != i and items.home[mate] == k and orders[without + other - items.entry_at[it]] > 0.0:
            return fork(BUY_MOST, ONLY_BUY, i, 0.0, 0.0, out)
    return False


@kernels.kernel
def fork_at(most: int, least: int, i: int, amount: float, unit: float, out: Fork) -> bool:
    """Branch at an amount, or at the whole steps below and above it."""
    if unit > 0.0:
        steps = floor(amount / unit + NEAR)
        return fork(most, least, i, float(steps) * unit, float(steps + 1) * unit, out)
    return fork(most, least, i, amount, amount, out)


@kernels.kernel
def on_lattice(order: float, unit: float) -> bool:
    """Say whether an order is a whole number of steps."""
    steps = order / unit
    return abs(steps - floor(steps + 0.5)) <= NEAR
