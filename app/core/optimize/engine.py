"""The whole search of one problem, or of many, in one call: arrays in, orders out."""

from math import inf

from app.core.optimize import candidate, curve_lots, fill, frontier, hulls, items, kernels, memo, polyline, tree
from app.core.optimize.arrays import Box, Flat, Purse
from app.core.optimize.curve import ANY_PRICE
from app.core.optimize.fill import CONSUMED, Fill
from app.core.optimize.frontier import SEEN, STATE, Nodes, Search
from app.core.optimize.hulls import Bench, Pool
from app.core.optimize.items import MOST_SLEEVES, SCENARIOS
from app.core.optimize.kernels import Floats, Ints
from app.core.optimize.tree import CRAMPED, IMPOSSIBLE, MORE, STEEP

# Hulls of several entries are first made for prices of cash up to so many times the dearest drift: beyond its price
# nothing is bought to drift less.
USUAL_PRICES = 1.05
# The room a search begins with; it doubles as often as is needed. Hulls seldom keep more corners than these: of an
# entry besides its lots, and of the hulls that nodes change.
NODES_AT_FIRST = 64
CORNERS_AT_FIRST = 64
CORNERS_OF_AN_ENTRY = 8
HULLS_OF_NODES = 6
# Places in the figures that `finish` writes.
OBJECTIVE, BOUND, RAISABLE, ENDED, NODES, FIGURES = 0, 1, 2, 3, 4, 5


@kernels.kernel
def widths(flat: Flat) -> tuple[int, int, int, int]:
    """Return the most entries of a sleeve, how many sleeves have several, the most lots of a sleeve and of an entry."""
    members = 1
    several = 0
    in_sleeve = 0
    in_entry = 0
    for k in range(len(flat.held)):
        first = flat.sleeve_at[k]
        last = flat.sleeve_at[k + 1]
        members = max(members, last - first)
        if last - first > 1:
            several += 1
        in_sleeve = max(in_sleeve, flat.lot_at[last] - flat.lot_at[first])
        for i in range(first, last):
            in_entry = max(in_entry, flat.lot_at[i + 1] - flat.lot_at[i])
    return members, several, in_sleeve, in_entry


@kernels.kernel
def open_search(flat: Flat, box: Box, purse: Purse) -> Search:
    """Return a search with what room its problem usually needs."""
    sleeves = len(flat.held)
    entries = len(flat.group)
    groups = len(flat.group_at) - 1
    members, _, in_sleeve, _ = widths(flat)
    points = HULLS_OF_NODES * polyline.most_points(in_sleeve)
    for i in range(entries):
        points += flat.lot_at[i + 1] - flat.lot_at[i] + CORNERS_OF_AN_ENTRY
    width = members if groups == 0 else 2 * members
    return Search(
        box,
        Box(
            kernels.floats(entries),
            kernels.floats(entries),
            kernels.floats(entries),
            kernels.floats(entries),
            kernels.ints(entries),
            kernels.ints(entries),
        ),
        items.room(sleeves, entries, groups),
        hulls.empty_pool(sleeves + 2 * NODES_AT_FIRST, points, points * width),
        room_to_work(CORNERS_AT_FIRST, flat),
        fill.room(sleeves + 1, points),
        frontier.room(NODES_AT_FIRST, 2 * NODES_AT_FIRST),
        candidate.room(sleeves, entries, groups),
    )


@kernels.kernel
def room_to_work(corners: int, flat: Flat) -> Bench:
    """Return room for hulls of so many corners, and for mixing them where a wash group can clash."""
    members, several, in_sleeve, in_entry = widths(flat)
    mixed = 0
    parts = 0
    if len(flat.group_at) > 1:
        mixed = 8 * corners
        parts = 4 * (corners + polyline.most_points(in_entry))
    return Bench(
        polyline.room(in_entry),
        curve_lots.workspace(members, in_sleeve),
        kernels.floats(corners),
        kernels.floats(corners),
        kernels.floats(corners * members),
        kernels.floats(members),
        kernels.ints(members),
        hulls.empty_pool(MOST_SLEEVES * SCENARIOS, parts, parts * members),
        kernels.ints(MOST_SLEEVES * SCENARIOS),
        kernels.ints(MOST_SLEEVES),
        kernels.floats(mixed),
        kernels.floats(mixed),
        kernels.ints(mixed),
        kernels.ints(mixed * MOST_SLEEVES),
        kernels.ints(mixed),
        kernels.floats(mixed),
        kernels.floats(mixed),
        kernels.ints(mixed),
        kernels.floats(1),
        memo.room(len(flat.held), several, members),
    )


@kernels.kernel
def more_floats(old: Floats, count: int) -> Floats:
    """Return a longer copy."""
    new = kernels.floats(count)
    for place in range(len(old)):
        new[place] = old[place]
    return new


@kernels.kernel
def more_ints(old: Ints, count: int) -> Ints:
    """Return a longer copy."""
    new = kernels.ints(count)
    for place in range(len(old)):
        new[place] = old[place]
    return new


@kernels.kernel
def widen(search: Search, flat: Flat) -> Search:
    """Return the same search with twice the room, going on where it stopped."""
    old = search.pool
    hull_room = 2 * len(old.at)
    point_room = 2 * len(old.cash)
    pool = Pool(
        more_floats(old.cash, point_room),
        more_floats(old.cost, point_room),
        more_floats(old.orders, 2 * len(old.orders)),
        more_ints(old.at, hull_room),
        more_ints(old.size, hull_room),
        more_ints(old.orders_at, hull_room),
        more_floats(old.slack, hull_room),
        old.used,
    )
    bench = room_to_work(2 * len(search.bench.cash), flat)
    bench.price[0] = search.bench.price[0]
    return Search(
        search.root,
        search.box,
        search.items,
        pool,
        bench,
        widen_fill(search.fill, point_room),
        widen_nodes(search.nodes),
        search.best,
    )


@kernels.kernel
def widen_fill(old: Fill, points: int) -> Fill:
    """Return the same filling with room for so many segments."""
    return Fill(
        more_floats(old.root_slope, points),
        more_ints(old.root_item, points),
        kernels.floats(points),
        kernels.ints(points),
        kernels.floats(points),
        kernels.ints(points),
        kernels.ints(points),
        old.root_hull,
        old.hull,
        old.changed,
        old.corner,
        old.blocked,
        old.spot,
        old.sum,
    )


@kernels.kernel
def widen_nodes(old: Nodes) -> Nodes:
    """Return the same tree with twice the room."""
    count = 2 * len(old.parent)
    links = 2 * len(old.link_item)
    return Nodes(
        more_ints(old.parent, count),
        more_ints(old.kind, count),
        more_ints(old.what, count),
        more_floats(old.value, count),
        more_floats(old.bound, count),
        more_ints(old.left_kind, count),
        more_ints(old.left_index, count),
        more_floats(old.left_value, count),
        more_ints(old.right_kind, count),
        more_ints(old.right_index, count),
        more_floats(old.right_value, count),
        more_ints(old.link_at, count),
        more_ints(old.link_end, count),
        more_ints(old.link_item, links),
        more_ints(old.link_hull, links),
        more_ints(old.waiting, count),
        old.used,
        old.least,
    )


@kernels.kernel
def usual_price(flat: Flat, purse: Purse) -> float:
    """Return a price of cash beyond which hulls are seldom needed: a little more than what the dearest drift costs."""
    _, several, _, _ = widths(flat)
    if several == 0:  # hulls of one entry are whole anyway
        return ANY_PRICE
    dearest = purse.price
    for k in range(len(flat.held)):
        dearest = max(dearest, flat.outside[k])
    return USUAL_PRICES * dearest


@kernels.kernel
def plant(price: float, flat: Flat, purse: Purse, search: Search) -> Search:
    """Look at the root, with as much room as it needs and for any price of cash if that one is not enough."""
    while True:
        state = tree.plant(price, flat, purse, search)
        if state == CRAMPED:
            search = widen(search, flat)
        elif state == STEEP:
            price = ANY_PRICE
        else:
            search.nodes.used[STATE] = state
            return search


@kernels.kernel
def grow(gap: float, until: int, flat: Flat, purse: Purse, search: Search) -> Search:
    """Search on until the gap (money) is reached or `until` nodes were looked at: then its state is still MORE."""
    while search.nodes.used[STATE] == MORE:
        state = tree.grow(gap, until, flat, purse, search)
        if state == CRAMPED:
            search = widen(search, flat)
        elif state == STEEP:
            search = plant(ANY_PRICE, flat, purse, search)
        else:
            search.nodes.used[STATE] = state
            if state == MORE:
                break
    return search


@kernels.kernel
def finish(search: Search, flat: Flat, purse: Purse, orders: Floats, stay: Ints, figures: Floats) -> None:
    """Write the best orders so far, the entries whose loss lots stay, and the figures."""
    state = search.nodes.used[STATE]
    figures[ENDED] = float(state)
    figures[NODES] = float(search.nodes.used[SEEN])
    if state == IMPOSSIBLE:
        figures[OBJECTIVE] = inf
        figures[BOUND] = inf
        figures[RAISABLE] = purse.cash - search.fill.sum[CONSUMED]
        return
    candidate.worth(search.best.orders, flat, purse, search.best)
    for i in range(len(flat.group)):
        orders[i] = search.best.orders[i]
        stay[i] = search.best.no_loss[i]
    figures[OBJECTIVE] = search.best.worth[0]
    figures[BOUND] = tree.proven(search)


@kernels.kernel
def run(
    gap: float, nodes: int, flat: Flat, box: Box, purse: Purse, orders: Floats, stay: Ints, figures: Floats
) -> None:
    """Do all of it, until the gap (money) is reached or so many nodes were looked at."""
    search = plant(usual_price(flat, purse), flat, purse, open_search(flat, box, purse))
    finish(grow(gap, nodes, flat, purse, search), flat, purse, orders, stay, figures)
