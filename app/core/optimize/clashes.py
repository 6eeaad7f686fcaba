"""Wash groups that a filling breaks: one sleeve buys what another sells at a loss. Found, and tied if they can be."""

from app.core.optimize import branch, candidate, items, kernels
from app.core.optimize.arrays import Flat
from app.core.optimize.fill import CUT_ITEM
from app.core.optimize.frontier import Search

# No group is broken.
NONE = -1


@kernels.kernel
def mark_broken(flat: Flat, search: Search) -> int:
    """Mark the groups that the filling breaks, the item between two corners being at either; return the first or -1.

    The orders on trial are those of the filling, and that item's at its first corner afterwards.
    """
    groups = len(flat.group_at) - 1
    if groups == 0:
        return NONE
    cut = search.fill.spot[CUT_ITEM]
    sides = 1 if cut < 0 or cut == search.items.total[0] else 2
    first = NONE
    for g in range(groups):
        search.best.broken[g] = 0
    for side in range(sides - 1, -1, -1):
        if sides == 2:
            corner = search.fill.corner[cut] + side
            candidate.write_corner(cut, corner, flat, search.items, search.fill, search.pool, search.best.trial)
        for g in range(groups):
            if search.best.broken[g] == 0 and broken(g, flat, search):
                search.best.broken[g] = 1
    for g in range(groups - 1, -1, -1):
        if search.best.broken[g] == 1:
            first = g
    return first


@kernels.kernel
def broken(g: int, flat: Flat, search: Search) -> bool:
    """Say whether the orders on trial buy in group g and sell loss lots of it elsewhere.

    Loss lots of an item that itself buys in the group were left alone when its hull was made.
    """
    orders = search.best.trial
    for place in range(flat.group_at[g], flat.group_at[g + 1]):
        if orders[flat.group_entry[place]] > 0.0:
            for other in range(flat.group_at[g], flat.group_at[g + 1]):
                i = flat.group_entry[other]
                lost = orders[i] < 0.0 and search.box.no_loss[i] == 0 and branch.loses(i, orders[i], flat)
                if lost and not buys_beside(i, g, flat, search):
                    return True
            return False
    return False


@kernels.kernel
def buys_beside(i: int, g: int, flat: Flat, search: Search) -> bool:
    """Say whether the orders on trial buy in group g in the item of entry i, or in its sleeve where g is not tied."""
    home = search.items.home
    for place in range(flat.group_at[g], flat.group_at[g + 1]):
        mate = flat.group_entry[place]
        if search.best.trial[mate] > 0.0 and (search.items.tied[g] == 1 or home[mate] == home[i]):
            return True
    return False


@kernels.kernel
def tie_broken(flat: Flat, search: Search) -> int:
    """Tie the groups marked as broken that can be tied, marking their items as stale; return how many."""
    made = 0
    now = search.items
    hull = search.fill.hull
    for it in range(now.total[0]):
        now.stale[it] = 0
    for g in range(len(flat.group_at) - 1):
        if search.best.broken[g] == 1 and now.tied[g] == 0:
            # Items are numbered anew: their hulls and marks follow their first sleeves.
            count = now.total[0]
            cash = hull[count]
            for it in range(count):
                first = now.sleeve[now.sleeve_at[it]]
                search.best.hull[first] = hull[it]
                search.best.stale[first] = now.stale[it]
            if items.tie(g, flat, now):
                made += 1
                for it in range(now.total[0]):
                    first = now.sleeve[now.sleeve_at[it]]
                    hull[it] = search.best.hull[first]
                    now.stale[it] = search.best.stale[first]
                hull[now.total[0]] = cash
                now.stale[items.home_of_group(g, flat, now)] = 1
    return made
