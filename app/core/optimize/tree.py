"""The tree: nodes are restrictions, the one with the least bound is branched next, until the best answer is proven.

A node keeps only what it adds to its parent: one restriction, the hulls that it changed, its bound, and the branch that
it is to be split by. Walking up to the root restores the rest; nothing here is recursive. Room is handed in; when it
is short the walk stops before the node it could not finish and goes on with more.
"""

from math import inf
from typing import NamedTuple

from app.core.optimize import branch, candidate, fill, items, kernels, memo, ties
from app.core.optimize.arrays import Box, Flat, Purse
from app.core.optimize.branch import BUY_LEAST, NO_BUYS, NO_LOSSES, ONLY_BUY
from app.core.optimize.candidate import Best
from app.core.optimize.fill import BOUND, CONSUMED, CUT_ITEM, PRICE, Fill
from app.core.optimize.hulls import FULL, HULLS, ORDERS, POINTS, Bench, Pool
from app.core.optimize.items import Items
from app.core.optimize.kernels import Floats, Ints

# What `grow` comes back with.
DONE, MORE, CRAMPED, STEEP, IMPOSSIBLE = 0, 1, 2, 3, 4
# What became of a node: it is waiting to be split, nothing is left to find in it, or room was short.
OPEN, CLOSED = 0, 1
# Places in Nodes.used: nodes, links, nodes waiting, nodes looked at, what the search came back with last. In
# Nodes.least: least bound of what was closed.
NODES, LINKS, WAITING, SEEN, STATE = 0, 1, 2, 3, 4
NOBODY = -1
# Sleeves are tied before the first branch, as long as it changes something and at most so often.
MOST_TIES = 60
# Corners of the hull of leftover cash.
CASH_POINTS = 3
# A price of cash that stands for any.
ANY_PRICE = 1e30


@kernels.record
class Nodes(NamedTuple):
    """The tree so far; `waiting` is a heap of nodes by bound, `link_*` the hulls that a node changed."""

    parent: Ints
    kind: Ints
    what: Ints
    value: Floats
    bound: Floats
    left_kind: Ints
    left_index: Ints
    left_value: Floats
    right_kind: Ints
    right_index: Ints
    right_value: Floats
    link_at: Ints
    link_end: Ints
    link_item: Ints
    link_hull: Ints
    waiting: Ints
    used: Ints
    least: Floats


@kernels.record
class Search(NamedTuple):
    """All room of a search: `root` are the restrictions of the problem itself, `box` those of the node looked at."""

    root: Box
    box: Box
    items: Items
    pool: Pool
    bench: Bench
    fill: Fill
    nodes: Nodes
    best: Best


@kernels.kernel
def room(count: int, links: int) -> Nodes:
    """Return room for a tree."""
    return Nodes(
        parent=kernels.ints(count),
        kind=kernels.ints(count),
        what=kernels.ints(count),
        value=kernels.floats(count),
        bound=kernels.floats(count),
        left_kind=kernels.ints(count),
        left_index=kernels.ints(count),
        left_value=kernels.floats(count),
        right_kind=kernels.ints(count),
        right_index=kernels.ints(count),
        right_value=kernels.floats(count),
        link_at=kernels.ints(count),
        link_end=kernels.ints(count),
        link_item=kernels.ints(links),
        link_hull=kernels.ints(links),
        waiting=kernels.ints(count),
        used=kernels.ints(5),
        least=kernels.floats(1),
    )


@kernels.kernel
def push(node: int, nodes: Nodes) -> None:
    """Add a node to the heap: the least bound on top, of equal ones the older."""
    place = nodes.used[WAITING]
    nodes.used[WAITING] = place + 1
    while place > 0:
        above = (place - 1) // 2
        if not before(node, nodes.waiting[above], nodes):
            break
        nodes.waiting[place] = nodes.waiting[above]
        place = above
    nodes.waiting[place] = node


@kernels.kernel
def before(one: int, two: int, nodes: Nodes) -> bool:
    """Say whether node one comes before node two."""
    if nodes.bound[one] != nodes.bound[two]:
        return bool(nodes.bound[one] < nodes.bound[two])
    return one < two


@kernels.kernel
def pop(nodes: Nodes) -> None:
    """Take the top off the heap."""
    count = nodes.used[WAITING] - 1
    nodes.used[WAITING] = count
    node = nodes.waiting[count]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= count:
            break
        if below + 1 < count and before(nodes.waiting[below + 1], nodes.waiting[below], nodes):
            below += 1
        if not before(nodes.waiting[below], node, nodes):
            break
        nodes.waiting[place] = nodes.waiting[below]
        place = below
    nodes.waiting[place] = node


@kernels.kernel
def copy_entry(i: int, source: Box, to: Box) -> None:
    """Copy the restrictions of one entry."""
    to.buy_low[i] = source.buy_low[i]
    to.buy_high[i] = source.buy_high[i]
    to.sell_low[i] = source.sell_low[i]
    to.sell_high[i] = source.sell_high[i]
    to.rest[i] = source.rest[i]
    to.no_loss[i] = source.no_loss[i]


@kernels.kernel
def enter(node: int, flat: Flat, search: Search) -> None:
    """Make restrictions and hulls those of a node, which the root's are now."""
    nodes = search.nodes
    while node > 0:
        branch.restrict(nodes.kind[node], nodes.what[node], nodes.value[node], flat, search.box, search.items)
        for link in range(nodes.link_at[node], nodes.link_end[node]):
            it = nodes.link_item[link]
            if search.fill.changed[it] == 0:
                search.fill.changed[it] = 1
                search.fill.hull[it] = nodes.link_hull[link]
        node = nodes.parent[node]


@kernels.kernel
def leave(node: int, flat: Flat, search: Search) -> None:
    """Make restrictions and hulls those of the root again."""
    nodes = search.nodes
    while node > 0:
        index = nodes.what[node]
        g = index
        if nodes.kind[node] != NO_BUYS and nodes.kind[node] != NO_LOSSES:
            g = flat.group[index]
            k = search.items.home[index]
            for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
                copy_entry(i, search.root, search.box)
        if g >= 0:
            for place in range(flat.group_at[g], flat.group_at[g + 1]):
                copy_entry(flat.group_entry[place], search.root, search.box)
        for link in range(nodes.link_at[node], nodes.link_end[node]):
            it = nodes.link_item[link]
            search.fill.changed[it] = 0
            search.fill.hull[it] = search.fill.root_hull[it]
        node = nodes.parent[node]


@kernels.kernel
def mark_changed(node: int, flat: Flat, search: Search) -> None:
    """Mark the items whose hulls the restriction of a node changes."""
    stale = search.items.stale
    home = search.items.home
    for it in range(search.items.total[0]):
        stale[it] = 0
    index = search.nodes.what[node]
    kind = search.nodes.kind[node]
    g = index
    if kind != NO_BUYS and kind != NO_LOSSES:
        stale[search.items.of_sleeve[home[index]]] = 1
        g = flat.group[index] if kind in (BUY_LEAST, ONLY_BUY) else NOBODY
    if g >= 0:
        for place in range(flat.group_at[g], flat.group_at[g + 1]):
            stale[search.items.of_sleeve[home[flat.group_entry[place]]]] = 1


@kernels.kernel
def link(node: int, it: int, number: int, search: Search) -> None:
    """Enter a hull that a node changes."""
    nodes = search.nodes
    end = nodes.link_end[node]
    nodes.link_item[end] = it
    nodes.link_hull[end] = number
    nodes.link_end[node] = end + 1
    search.fill.hull[it] = number
    search.fill.changed[it] = 1


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
def mark_broken(flat: Flat, search: Search) -> int:
    """Mark the groups that the filling breaks, the item between two corners being at either; return the first or -1.

    The orders on trial are those of the filling, and that item's at its first corner afterwards.
    """
    groups = len(flat.group_at) - 1
    if groups == 0:
        return NOBODY
    cut = search.fill.spot[CUT_ITEM]
    sides = 1 if cut < 0 or cut == search.items.total[0] else 2
    first = NOBODY
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
def weigh(node: int, flat: Flat, purse: Purse, search: Search) -> int:
    """Fill with the hulls of now: set the node's bound, try answers, and find the branch; OPEN or CLOSED."""
    nodes = search.nodes
    if not fill.pour(search.items.total[0] + 1, purse, search.fill, search.pool):
        nodes.bound[node] = inf
        return CLOSED
    nodes.bound[node] = search.fill.sum[BOUND]
    if node > 0 and nodes.bound[node] < nodes.bound[nodes.parent[node]]:
        nodes.bound[node] = nodes.bound[nodes.parent[node]]
    possible = candidate.try_corners(flat, search.box, purse, search.items, search.fill, search.pool, search.best)
    fork = search.best.fork
    g = mark_broken(flat, search)
    if g >= 0:
        branch.fork(NO_BUYS, NO_LOSSES, g, 0.0, 0.0, fork)
    elif possible:
        return CLOSED
    nodes.left_kind[node] = fork.kind[0]
    nodes.left_index[node] = fork.what[0]
    nodes.left_value[node] = fork.value[0]
    nodes.right_kind[node] = fork.kind[1]
    nodes.right_index[node] = fork.what[1]
    nodes.right_value[node] = fork.value[1]
    cut = search.fill.spot[CUT_ITEM]
    if cut >= 0 and cut < search.items.total[0]:
        candidate.try_spread(flat, search.box, purse, search.items, search.fill, search.pool, search.best)
    return OPEN


@kernels.kernel
def is_steep(search: Search) -> bool:
    """Say whether cash is so dear that hulls which end at the usual prices hide who could spare some."""
    return search.bench.price[0] < ANY_PRICE and search.fill.sum[PRICE] > search.bench.price[0]


@kernels.kernel
def plant(price: float, flat: Flat, purse: Purse, search: Search) -> int:
    """Look at the root: all hulls (for prices of cash up to `price`), ties of wash groups, its bound and branch.

    MORE, or CRAMPED; STEEP when the hulls do not reach far enough; IMPOSSIBLE, and then fill.sum[CONSUMED] is the least
    cash that can be consumed.
    """
    prepare(price, flat, search)
    items.separate(flat, search.items)
    for it in range(search.items.total[0]):
        search.items.stale[it] = 1
    state = CLOSED
    for ties_made in range(MOST_TIES):
        for it in range(search.items.total[0]):
            if search.items.stale[it] == 1:
                number = ties.hull(it, flat, search.box, purse, search.items, search.pool, search.bench)
                if number < 0:
                    return CRAMPED
                search.fill.hull[it] = number
        if ties_made == 0:
            can = add_cash(price, purse, search)
            if can != MORE:
                return can
        fill.sort_root(search.items.total[0] + 1, search.fill, search.pool)
        state = weigh(0, flat, purse, search)
        if is_steep(search):
            return STEEP
        if ties_made == MOST_TIES - 1 or tie_broken(flat, search) == 0:
            break
    search.nodes.used[NODES] = 1
    search.nodes.used[SEEN] = 1
    if state == OPEN:
        push(0, search.nodes)
    else:
        search.nodes.least[0] = search.nodes.bound[0]
    return MORE


@kernels.kernel
def prepare(price: float, flat: Flat, search: Search) -> None:
    """Empty the tree and the pool, and start from the restrictions of the problem."""
    nodes = search.nodes
    search.pool.used[HULLS] = 0
    search.pool.used[POINTS] = 0
    search.pool.used[ORDERS] = 0
    nodes.used[NODES] = 0
    nodes.used[LINKS] = 0
    nodes.used[WAITING] = 0
    nodes.used[SEEN] = 0
    nodes.least[0] = inf
    search.best.worth[0] = inf
    search.bench.price[0] = price
    memo.forget(search.bench.memo)
    for i in range(len(flat.group)):
        copy_entry(i, search.root, search.box)


@kernels.kernel
def add_cash(price: float, purse: Purse, search: Search) -> int:
    """Add leftover cash as the last item: MORE, CRAMPED, or STEEP or IMPOSSIBLE when there can be too little of it."""
    pool = search.pool
    count = search.items.total[0]
    least = 0.0
    for it in range(count):
        least += pool.cash[pool.at[search.fill.hull[it]]]
    search.fill.sum[CONSUMED] = least
    if least + purse.minimum > purse.cash + fill.DUST_SHARE * purse.scale:
        return STEEP if price < ANY_PRICE else IMPOSSIBLE
    if pool.used[HULLS] >= len(pool.at) or pool.used[POINTS] + CASH_POINTS > len(pool.cash):
        return CRAMPED
    search.fill.hull[count] = fill.cash_hull(purse.cash - least, purse, pool)
    return MORE


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


@kernels.kernel
def split(node: int, side: int, at: int, flat: Flat, purse: Purse, search: Search) -> int:
    """Look at one child of a node, written at place `at`: OPEN or CLOSED, or minus CRAMPED, minus STEEP."""
    nodes = search.nodes
    nodes.parent[at] = node
    if side == 0:
        nodes.kind[at] = nodes.left_kind[node]
        nodes.what[at] = nodes.left_index[node]
        nodes.value[at] = nodes.left_value[node]
        nodes.link_at[at] = nodes.used[LINKS]
    else:
        nodes.kind[at] = nodes.right_kind[node]
        nodes.what[at] = nodes.right_index[node]
        nodes.value[at] = nodes.right_value[node]
        nodes.link_at[at] = nodes.link_end[at - 1]
    nodes.link_end[at] = nodes.link_at[at]
    enter(node, flat, search)
    branch.restrict(nodes.kind[at], nodes.what[at], nodes.value[at], flat, search.box, search.items)
    mark_changed(at, flat, search)
    state = OPEN
    for it in range(search.items.total[0]):
        if state == OPEN and search.items.stale[it] == 1:
            number = FULL
            if nodes.link_end[at] < len(nodes.link_item):
                number = ties.hull(it, flat, search.box, purse, search.items, search.pool, search.bench)
            if number < 0:
                state = -CRAMPED
            elif search.pool.size[number] == 0:
                state = CLOSED
            else:
                link(at, it, number, search)
    nodes.bound[at] = inf
    if state == OPEN:
        state = weigh(at, flat, purse, search)
        if is_steep(search):
            state = -STEEP
        if nodes.bound[at] == inf and search.bench.price[0] < ANY_PRICE:
            state = -STEEP
    leave(at, flat, search)
    return state


@kernels.kernel
def grow(gap: float, until: int, flat: Flat, purse: Purse, search: Search) -> int:
    """Split nodes until the best answer is within `gap` (money) of the bound or `until` nodes were looked at.

    DONE, MORE (the count was reached), CRAMPED (call again with more room) or STEEP (plant again with any price).
    """
    nodes = search.nodes
    while nodes.used[WAITING] > 0:
        node = nodes.waiting[0]
        if nodes.bound[node] >= search.best.worth[0] - gap:
            return DONE
        if nodes.used[SEEN] >= until:
            return MORE
        if nodes.used[NODES] + 2 > len(nodes.parent):
            return CRAMPED
        one = nodes.used[NODES]
        hulls_before = search.pool.used[HULLS]
        points_before = search.pool.used[POINTS]
        orders_before = search.pool.used[ORDERS]
        for side in range(2):
            state = split(node, side, one + side, flat, purse, search)
            if state < 0:
                search.pool.used[HULLS] = hulls_before
                search.pool.used[POINTS] = points_before
                search.pool.used[ORDERS] = orders_before
                return -state
            search.best.closed[side] = state
        pop(nodes)
        nodes.used[NODES] += 2
        nodes.used[SEEN] += 2
        nodes.used[LINKS] = nodes.link_end[one + 1]
        for side in range(2):
            keep(one + side, search.best.closed[side], gap, search)
    return DONE


@kernels.kernel
def keep(node: int, state: int, gap: float, search: Search) -> None:
    """Let a node wait to be split, or note its bound if nothing is left to find in it."""
    nodes = search.nodes
    if state == OPEN and nodes.bound[node] < search.best.worth[0] - gap:
        push(node, nodes)
    elif nodes.bound[node] < nodes.least[0]:
        nodes.least[0] = nodes.bound[node]


@kernels.kernel
def proven(search: Search) -> float:
    """Return the proven lower bound of J: the least of the best answer, what waits and what was closed."""
    bound = search.best.worth[0]
    if search.nodes.least[0] < bound:
        bound = search.nodes.least[0]
    if search.nodes.used[WAITING] > 0 and search.nodes.bound[search.nodes.waiting[0]] < bound:
        bound = search.nodes.bound[search.nodes.waiting[0]]
    return bound
