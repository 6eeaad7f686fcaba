"""The nodes of the tree: what each adds to its parent, which comes next, and the way from the root to one and back.

A node keeps only what it adds to its parent: one restriction, the hulls that it changed, its bound, and the branch that
it is to be split by. Walking up to the root restores the rest; nothing here is recursive.
"""

from typing import NamedTuple

from app.core.optimize import branch, kernels
from app.core.optimize.arrays import Box, Flat
from app.core.optimize.branch import BUY_LEAST, NO_BUYS, NO_LOSSES, ONLY_BUY
from app.core.optimize.candidate import Best
from app.core.optimize.fill import Fill
from app.core.optimize.hulls import Bench, Pool
from app.core.optimize.items import Items
from app.core.optimize.kernels import Floats, Ints
from app.core.optimize.problem import NO_GROUP

# Places in Nodes.used: nodes, links, nodes waiting, nodes looked at, what the search came back with last.
NODES, LINKS, WAITING, SEEN, STATE = 0, 1, 2, 3, 4


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
        g = flat.group[index] if kind in (BUY_LEAST, ONLY_BUY) else NO_GROUP
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
