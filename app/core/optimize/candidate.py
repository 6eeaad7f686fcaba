"""Answers on the way: what the orders of a filling cost when they are made possible, leftover cash taking the rest."""

from math import floor, inf
from typing import NamedTuple

from app.core.optimize import branch, fill, kernels, polyline
from app.core.optimize.arrays import NEAR, Box, Flat, Purse
from app.core.optimize.branch import Fork
from app.core.optimize.fill import CONSUMED, COST, CUT_ITEM, SHARE, Fill
from app.core.optimize.hulls import Pool
from app.core.optimize.items import Items
from app.core.optimize.kernels import Floats, Ints

# Too little cash left by this share of V is rounding.
SHORT_SHARE = 1e-11
# What rounding leaves is offered to at most so many segments.
MOST_SPREAD = 200


@kernels.record
class Best(NamedTuple):
    """The best answer so far: J and orders; and the orders now tried, what they cost and consume, marks of entries."""

    worth: Floats
    orders: Floats
    trial: Floats
    tried: Floats
    no_loss: Ints
    bought: Ints
    broken: Ints
    hull: Ints
    stale: Ints
    closed: Ints
    fork: Fork


@kernels.kernel
def room(sleeves: int, entries: int, groups: int) -> Best:
    """Return room for an answer."""
    return Best(
        kernels.floats(1),
        kernels.floats(entries),
        kernels.floats(entries),
        kernels.floats(2),
        kernels.ints(entries),
        kernels.ints(groups),
        kernels.ints(groups),
        kernels.ints(sleeves),
        kernels.ints(sleeves),
        kernels.ints(2),
        branch.room(),
    )


@kernels.kernel
def worth(orders: Floats, flat: Flat, purse: Purse, best: Best) -> float:
    """Return J of orders, infinite where they leave too little cash or need loss lots that must stay.

    The loss lots of a group stay when any of its members is bought; best.no_loss says afterwards whose did.
    """
    for g in range(len(flat.group_at) - 1):
        best.bought[g] = 0
        for place in range(flat.group_at[g], flat.group_at[g + 1]):
            if orders[flat.group_entry[place]] > 0.0:
                best.bought[g] = 1
    for i in range(len(flat.group)):
        best.no_loss[i] = 0
        if flat.group[i] >= 0 and best.bought[flat.group[i]] == 1:
            best.no_loss[i] = 1
    total = 0.0
    left = purse.cash
    for k in range(len(flat.held)):
        cost = sleeve_worth(k, orders, flat, best)
        total += cost
        left -= best.tried[0]
    if left < purse.minimum - SHORT_SHARE * purse.scale:
        return inf
    return total + fill.leftover_cost(left, purse)


@kernels.kernel
def sleeve_worth(k: int, orders: Floats, flat: Flat, best: Best) -> float:
    """Return what the orders of sleeve k cost, infinite if they cannot be; best.tried[0] is the cash they consume."""
    cost = flat.constant[k]
    x = flat.held[k]
    consumed = 0.0
    for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
        order = orders[i]
        x += order
        if order > 0.0:
            cost += polyline.buy_cost(i, order, flat)
            consumed += order * (1.0 + flat.rate[i]) + flat.fixed[i]
        elif order < 0.0:
            if best.no_loss[i] == 1 and -order > gains(i, flat) * (1.0 + NEAR):
                cost = inf
            else:
                cost += polyline.sale_cost(i, -order, best.no_loss[i], flat)
            consumed += order * (1.0 - flat.rate[i]) + flat.fixed[i]
    best.tried[0] = consumed
    return cost + polyline.drift_cost(k, x, flat)


@kernels.kernel
def gains(i: int, flat: Flat) -> float:
    """Return the value of the lots of entry i that are no loss lots."""
    total = 0.0
    for lot in range(flat.lot_at[i], flat.lot_at[i + 1]):
        if flat.lot_loss[lot] == 0:
            total += flat.lot_value[lot]
    return total


@kernels.kernel
def write_corner(it: int, corner: int, flat: Flat, items: Items, filled: Fill, pool: Pool, orders: Floats) -> None:
    """Write the orders of an item at a corner of its hull."""
    size = items.entry_at[it + 1] - items.entry_at[it]
    source = pool.orders_at[filled.hull[it]] + corner * size
    for j in range(size):
        orders[items.entry[items.entry_at[it] + j]] = pool.orders[source + j]


@kernels.kernel
def consider(guess: float, flat: Flat, purse: Purse, best: Best) -> None:
    """Take the orders on trial as the best if they are; `guess`, what their hulls say of J, saves looking at most."""
    if guess < best.worth[0]:
        found = worth(best.trial, flat, purse, best)
        if found < best.worth[0]:
            best.worth[0] = found
            for i in range(len(flat.group)):
                best.orders[i] = best.trial[i]


@kernels.kernel
def try_corners(flat: Flat, box: Box, purse: Purse, items: Items, filled: Fill, pool: Pool, best: Best) -> bool:
    """Try what a filling says, the item between two corners on either side or between; True if that is possible.

    Then nothing under the restrictions is better than the bound, which these orders reach.
    """
    for it in range(items.total[0]):
        write_corner(it, filled.corner[it], flat, items, filled, pool, best.trial)
    cut = filled.spot[CUT_ITEM]
    left = purse.cash - filled.sum[CONSUMED]
    guess = filled.sum[COST] + fill.leftover_cost(left, purse)
    if cut < 0 or cut == items.total[0]:
        consider(guess, flat, purse, best)
        return True
    size = items.entry_at[cut + 1] - items.entry_at[cut]
    a = pool.orders_at[filled.hull[cut]] + filled.corner[cut] * size
    if not branch.compare(cut, a, a + size, filled.sum[SHARE], flat, box, items, pool.orders, best.fork):
        write_between(cut, a, filled.sum[SHARE], 0, flat, box, items, pool, best.trial)
        consider(filled.sum[fill.BOUND], flat, purse, best)
        return True
    consider(guess, flat, purse, best)
    v = pool.at[filled.hull[cut]] + filled.corner[cut]
    left -= pool.cash[v + 1] - pool.cash[v]
    if left >= purse.minimum:
        write_corner(cut, filled.corner[cut] + 1, flat, items, filled, pool, best.trial)
        guess = filled.sum[COST] + pool.cost[v + 1] - pool.cost[v] + fill.leftover_cost(left, purse)
        consider(guess, flat, purse, best)
    return False


@kernels.kernel
def write_between(
    it: int, a: int, share: float, down: int, flat: Flat, box: Box, items: Items, pool: Pool, orders: Floats
) -> None:
    """Write the orders `share` of the way from a corner, at a, to the next.

    With `down` what is no whole step or too small an order is made one that consumes less cash.
    """
    size = items.entry_at[it + 1] - items.entry_at[it]
    for j in range(size):
        i = items.entry[items.entry_at[it] + j]
        one = pool.orders[a + j]
        order = one
        if pool.orders[a + size + j] != one:
            order = one + share * (pool.orders[a + size + j] - one)
            unit = flat.unit[i]
            if unit > 0.0:
                steps = order / unit
                near = floor(steps + 0.5)
                if abs(steps - near) > NEAR:
                    near = floor(steps)
                order = float(int(near)) * unit
            if down == 1 and order > 0.0 and order < box.buy_low[i]:
                order = 0.0
            if down == 1 and order < 0.0 and -order < box.sell_low[i]:
                order = -box.sell_low[i]
        orders[i] = order


@kernels.kernel
def item_worth(it: int, flat: Flat, box: Box, items: Items, best: Best) -> float:
    """Return what the orders on trial of an item cost; best.tried[1] is the cash they consume."""
    first = items.entry_at[it]
    for place in range(first, items.entry_at[it + 1]):
        i = items.entry[place]
        best.no_loss[i] = box.no_loss[i]
        if flat.group[i] >= 0:
            for other in range(first, items.entry_at[it + 1]):
                mate = items.entry[other]
                if flat.group[mate] == flat.group[i] and best.trial[mate] > 0.0:
                    best.no_loss[i] = 1
    cost = 0.0
    consumed = 0.0
    for place in range(items.sleeve_at[it], items.sleeve_at[it + 1]):
        cost += sleeve_worth(items.sleeve[place], best.trial, flat, best)
        consumed += best.tried[0]
    best.tried[1] = consumed
    return cost


@kernels.kernel
def one_bought(it: int, flat: Flat, items: Items, orders: Floats) -> bool:
    """Say whether no sleeve of an item buys more than one entry."""
    for place in range(items.sleeve_at[it], items.sleeve_at[it + 1]):
        bought = 0
        for i in range(flat.sleeve_at[items.sleeve[place]], flat.sleeve_at[items.sleeve[place] + 1]):
            if orders[i] > 0.0:
                bought += 1
        if bought > 1:
            return False
    return True


@kernels.kernel
def try_spread(flat: Flat, box: Box, purse: Purse, items: Items, filled: Fill, pool: Pool, best: Best) -> None:
    """Round the item between two corners down, and spend what that leaves on the next segments by slope.

    The orders on trial are those of the filling; the walk goes on where the filling stopped, until leftover cash is
    the next cheapest.
    """
    cash_item = items.total[0]
    cut = filled.spot[CUT_ITEM]
    for it in range(cash_item + 1):
        filled.blocked[it] = 0
    spare = filled.sum[SHARE] * segment_cash(cut, filled, pool)
    guess = filled.sum[COST]
    left = purse.cash - filled.sum[CONSUMED]
    it = cut
    share = filled.sum[SHARE]
    for _ in range(MOST_SPREAD):
        if filled.blocked[it] == 0:
            size = items.entry_at[it + 1] - items.entry_at[it]
            v = pool.at[filled.hull[it]] + filled.corner[it]
            if share >= 1.0:
                filled.corner[it] += 1
                write_corner(it, filled.corner[it], flat, items, filled, pool, best.trial)
                guess += pool.cost[v + 1] - pool.cost[v]
                spare -= pool.cash[v + 1] - pool.cash[v]
                left -= pool.cash[v + 1] - pool.cash[v]
            else:
                a = pool.orders_at[filled.hull[it]] + filled.corner[it] * size
                write_between(it, a, share, 1, flat, box, items, pool, best.trial)
                cost = item_worth(it, flat, box, items, best)
                if cost < inf and one_bought(it, flat, items, best.trial) and best.tried[1] <= pool.cash[v] + spare:
                    guess += cost - pool.cost[v]
                    spare -= best.tried[1] - pool.cash[v]
                    left -= best.tried[1] - pool.cash[v]
                else:
                    write_corner(it, filled.corner[it], flat, items, filled, pool, best.trial)
                filled.blocked[it] = 1
        if spare <= fill.DUST_SHARE * purse.scale:
            break
        it = fill.next_item(filled)
        if it < 0 or it == cash_item:
            break
        share = spare / segment_cash(it, filled, pool)
    consider(guess + fill.leftover_cost(left, purse), flat, purse, best)


@kernels.kernel
def segment_cash(it: int, filled: Fill, pool: Pool) -> float:
    """Return the cash of the segment after an item's corner."""
    v = pool.at[filled.hull[it]] + filled.corner[it]
    return pool.cash[v + 1] - pool.cash[v]
