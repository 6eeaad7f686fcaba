"""The hull of sleeves that wash groups tie together: the lower hull over the scenarios of their groups."""

from app.core.optimize import hulls, kernels, polyline
from app.core.optimize.arrays import Box, Flat, Purse
from app.core.optimize.hulls import FULL, HULLS, ORDERS, POINTS, Bench, Pool
from app.core.optimize.items import SCENARIOS, Items
from app.core.optimize.polyline import FLAT_SHARE


@kernels.kernel
def hull(it: int, flat: Flat, box: Box, purse: Purse, items: Items, out: Pool, bench: Bench) -> int:
    """Add the hull of an item under the restrictions to the pool and return its number, or FULL when room is short."""
    if items.group_at[it + 1] > items.group_at[it]:
        return tied_hull(it, flat, box, purse, items, out, bench)
    return hulls.sleeve_hull(items.sleeve[items.sleeve_at[it]], flat, box, purse, out, bench)


@kernels.kernel
def tied_hull(it: int, flat: Flat, box: Box, purse: Purse, items: Items, out: Pool, bench: Bench) -> int:
    """Add the lower hull over all scenarios of an item whose sleeves are tied, or return FULL."""
    groups = items.group_at[it + 1] - items.group_at[it]
    sleeves = items.sleeve_at[it + 1] - items.sleeve_at[it]
    bench.parts.used[HULLS] = 0
    bench.parts.used[POINTS] = 0
    bench.parts.used[ORDERS] = 0
    for place in range(sleeves * SCENARIOS):
        bench.part[place] = -1
    total = 0
    scenarios = 1
    for _ in range(groups):
        scenarios *= 2
    for scenario in range(scenarios):
        if worth_offering(scenario, it, flat, box, items):
            if part_hulls(scenario, it, flat, box, purse, items, bench) < 0:
                return FULL
            total = add_up(scenario, it, total, items, bench)
            if total < 0:
                return FULL
    return lower_hull(it, total, FLAT_SHARE * purse.scale, flat, items, out, bench)


@kernels.kernel
def worth_offering(scenario: int, it: int, flat: Flat, box: Box, items: Items) -> bool:
    """Say whether a scenario allows anything that the others do not: the restrictions may enforce one side already."""
    bit = 1
    for place in range(items.group_at[it], items.group_at[it + 1]):
        g = items.group[place]
        bought = False
        lost = False
        for member in range(flat.group_at[g], flat.group_at[g + 1]):
            i = flat.group_entry[member]
            if box.buy_high[i] > 0.0:
                bought = True
            if box.sell_high[i] > 0.0 and box.no_loss[i] == 0:
                lost = True
        without_losses = (scenario // bit) % 2 == 1
        if without_losses and not bought:
            return False
        if not without_losses and bought and not lost:
            return False
        bit *= 2
    return True


@kernels.kernel
def part_hulls(scenario: int, it: int, flat: Flat, box: Box, purse: Purse, items: Items, bench: Bench) -> int:
    """See that the hull of every sleeve in a scenario is among the parts; return FULL when room is short, else 0."""
    sleeves = items.sleeve_at[it + 1] - items.sleeve_at[it]
    for s in range(sleeves):
        k = items.sleeve[items.sleeve_at[it] + s]
        own = scenario_of_sleeve(scenario, k, it, flat, items)
        if bench.part[s * SCENARIOS + own] < 0:
            first = flat.sleeve_at[k]
            size = flat.sleeve_at[k + 1] - first
            for j in range(size):
                bench.buy_high[j] = box.buy_high[first + j]
                bench.no_loss[j] = box.no_loss[first + j]
                bit = 1
                for place in range(items.group_at[it], items.group_at[it + 1]):
                    if flat.group[first + j] == items.group[place]:
                        if (scenario // bit) % 2 == 1:
                            box.no_loss[first + j] = 1
                        else:
                            box.buy_high[first + j] = 0.0
                    bit *= 2
            part = hulls.sleeve_hull(k, flat, box, purse, bench.parts, bench)
            for j in range(size):
                box.buy_high[first + j] = bench.buy_high[j]
                box.no_loss[first + j] = bench.no_loss[j]
            if part < 0:
                return FULL
            bench.part[s * SCENARIOS + own] = part
        bench.part[s * SCENARIOS + scenario] = bench.part[s * SCENARIOS + own]
    return 0


@kernels.kernel
def scenario_of_sleeve(scenario: int, k: int, it: int, flat: Flat, items: Items) -> int:
    """Return the scenario without the groups that sleeve k has no member of."""
    own = 0
    bit = 1
    for place in range(items.group_at[it], items.group_at[it + 1]):
        touched = False
        for i in range(flat.sleeve_at[k], flat.sleeve_at[k + 1]):
            if flat.group[i] == items.group[place]:
                touched = True
        if touched and (scenario // bit) % 2 == 1:
            own += bit
        bit *= 2
    return own


@kernels.kernel
def add_up(scenario: int, it: int, total: int, items: Items, bench: Bench) -> int:
    """Append the sum of the sleeves' hulls in a scenario to the mixed points; return their count, FULL if too many.

    The next corner is that of the sleeve whose next segment has the least slope.
    """
    sleeves = items.sleeve_at[it + 1] - items.sleeve_at[it]
    parts = bench.parts
    cash = 0.0
    cost = 0.0
    for s in range(sleeves):
        part = bench.part[s * SCENARIOS + scenario]
        if parts.size[part] == 0:
            return total
        cash += parts.cash[parts.at[part]]
        cost += parts.cost[parts.at[part]]
        bench.place[s] = 0
    while True:
        if total >= len(bench.mixed_cash) or (total + 1) * sleeves > len(bench.mixed_place):
            return FULL
        bench.mixed_cash[total] = cash
        bench.mixed_cost[total] = cost
        bench.mixed_scenario[total] = scenario
        for s in range(sleeves):
            bench.mixed_place[total * sleeves + s] = bench.place[s]
        total += 1
        chosen = -1
        least = 0.0
        for s in range(sleeves):
            part = bench.part[s * SCENARIOS + scenario]
            if bench.place[s] + 1 < parts.size[part]:
                v = parts.at[part] + bench.place[s]
                slope = (parts.cost[v + 1] - parts.cost[v]) / (parts.cash[v + 1] - parts.cash[v])
                if chosen < 0 or slope < least:
                    chosen = s
                    least = slope
        if chosen < 0:
            return total
        v = parts.at[bench.part[chosen * SCENARIOS + scenario]] + bench.place[chosen]
        cash += parts.cash[v + 1] - parts.cash[v]
        cost += parts.cost[v + 1] - parts.cost[v]
        bench.place[chosen] += 1


@kernels.kernel
def lower_hull(it: int, total: int, flatness: float, flat: Flat, items: Items, out: Pool, bench: Bench) -> int:
    """Add the lower hull of the mixed points to the pool with the orders at its corners, or return FULL."""
    size = items.entry_at[it + 1] - items.entry_at[it]
    kernels.order(bench.mixed_cash, total, bench.sorted)
    count = 0
    for place in range(total):
        point = bench.sorted[place]
        x = bench.mixed_cash[point]
        y = bench.mixed_cost[point]
        kept = polyline.lower_corner(bench.chain_cash, bench.chain_cost, 0, count, x, y, flatness)
        if kept >= 0:
            bench.chain_cash[kept] = x
            bench.chain_cost[kept] = y
            bench.chain[kept] = point
            count = kept + 1
    if (
        out.used[HULLS] >= len(out.at)
        or out.used[POINTS] + count > len(out.cash)
        or out.used[ORDERS] + count * size > len(out.orders)
    ):
        return FULL
    for v in range(count):
        out.cash[out.used[POINTS] + v] = bench.chain_cash[v]
        out.cost[out.used[POINTS] + v] = bench.chain_cost[v]
        write_orders(it, bench.chain[v], out.used[ORDERS] + v * size, flat, items, out, bench)
    return hulls.close_hull(count, size, most_slack(it, items, bench), out)


@kernels.kernel
def write_orders(it: int, point: int, at: int, flat: Flat, items: Items, out: Pool, bench: Bench) -> None:
    """Write the orders of all entries of an item at a mixed point."""
    sleeves = items.sleeve_at[it + 1] - items.sleeve_at[it]
    parts = bench.parts
    for s in range(sleeves):
        k = items.sleeve[items.sleeve_at[it] + s]
        size = flat.sleeve_at[k + 1] - flat.sleeve_at[k]
        part = bench.part[s * SCENARIOS + bench.mixed_scenario[point]]
        source = parts.orders_at[part] + bench.mixed_place[point * sleeves + s] * size
        for j in range(size):
            out.orders[at + j] = parts.orders[source + j]
        at += size


@kernels.kernel
def most_slack(it: int, items: Items, bench: Bench) -> float:
    """Return by how much the hulls of an item's sleeves may be too high together, whatever the scenario."""
    total = 0.0
    for s in range(items.sleeve_at[it + 1] - items.sleeve_at[it]):
        most = 0.0
        for scenario in range(SCENARIOS):
            part = bench.part[s * SCENARIOS + scenario]
            if part >= 0 and bench.parts.slack[part] > most:
                most = bench.parts.slack[part]
        total += most
    return total
