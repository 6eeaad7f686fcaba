"""The tree: nodes are restrictions, the one with the least bound is branched next, until the best answer is proven.

Room is handed in; when it is short the walk stops before the node it could not finish and goes on with more.
"""

from math import inf

from app.core.optimize import branch, candidate, clashes, fill, frontier, items, kernels, memo, ties
from app.core.optimize.arrays import Flat, Purse
from app.core.optimize.branch import NO_BUYS, NO_LOSSES
from app.core.optimize.curve import ANY_PRICE
from app.core.optimize.fill import BOUND, CONSUMED, CUT_ITEM, PRICE
from app.core.optimize.frontier import LINKS, NODES, SEEN, WAITING, Search
from app.core.optimize.hulls import FULL, HULLS, ORDERS, POINTS

# What `grow` comes back with.
DONE, MORE, CRAMPED, STEEP, IMPOSSIBLE = 0, 1, 2, 3, 4
# What becomes of a node: it waits to be split, or nothing is left to find in it.
OPEN, CLOSED = 0, 1
# Sleeves are tied before the first branch, as long as it changes something and at most so often.
MOST_TIES = 60
# Corners of the hull of leftover cash.
CASH_POINTS = 3


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
    g = clashes.mark_broken(flat, search)
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
        if ties_made == MOST_TIES - 1 or clashes.tie_broken(flat, search) == 0:
            break
    search.nodes.used[NODES] = 1
    search.nodes.used[SEEN] = 1
    if state == OPEN:
        frontier.push(0, search.nodes)
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
        frontier.copy_entry(i, search.root, search.box)


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
    frontier.enter(node, flat, search)
    branch.restrict(nodes.kind[at], nodes.what[at], nodes.value[at], flat, search.box, search.items)
    frontier.mark_changed(at, flat, search)
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
                frontier.link(at, it, number, search)
    nodes.bound[at] = inf
    if state == OPEN:
        state = weigh(at, flat, purse, search)
        if is_steep(search):
            state = -STEEP
        if nodes.bound[at] == inf and search.bench.price[0] < ANY_PRICE:
            state = -STEEP
    frontier.leave(at, flat, search)
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
        frontier.pop(nodes)
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
        frontier.push(node, nodes)
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
