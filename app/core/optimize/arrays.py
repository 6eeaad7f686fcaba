"""A problem of one account as flat arrays, what the kernels read; and the orders they find as units again.

The lots of an entry stand together, so do the entries of a sleeve; `*_at` says where each begins. Only lots that may be
sold are there, the one with the lowest price of sale first. All is money. The prices of trading are folded together:

    cost of buying b > 0:   fixed + buy_price b + wash_price min(b, wash_value)        cash: b (1 + rate) + fixed
    cost of selling S > 0:  fixed + sum lot_price s over the cheapest lots             cash: fixed - S (1 - rate)
"""

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import NamedTuple

from app.core.optimize import kernels
from app.core.optimize.kernels import Floats, Ints
from app.core.optimize.problem import NO_GROUP, Entry, Lot, Order, Problem

# An order with a fee but no minimum is at least this share of V: less never pays for its fee.
LEAST_SHARE = 1e-9
# Counts of steps this close to a whole number are that number, amounts this close (as a share) are the same.
NEAR = 1e-9


@kernels.record
class Flat(NamedTuple):
    """Sleeves, entries, lots. `unit` is the money of one step, 0 for any amount; `group` is -1 where none can clash."""

    sleeve_at: Ints
    held: Floats
    goal: Floats
    tolerance: Floats
    outside: Floats
    inside: Floats
    constant: Floats
    lot_at: Ints
    group: Ints
    unit: Floats
    fixed: Floats
    rate: Floats
    buy_price: Floats
    wash_price: Floats
    wash_value: Floats
    lot_value: Floats
    lot_price: Floats
    lot_loss: Ints
    group_at: Ints
    group_entry: Ints


@kernels.record
class Box(NamedTuple):
    """What each entry may do: rest, buy low to high, sell low to high (high 0: never), leave loss lots alone."""

    buy_low: Floats
    buy_high: Floats
    sell_low: Floats
    sell_high: Floats
    rest: Ints
    no_loss: Ints


class Purse(NamedTuple):
    """Cash, what must be left of it, the price of what is left being off its goal; and V, the scale of every gap."""

    cash: float
    minimum: float
    goal: float
    price: float
    scale: float


class Arrays(NamedTuple):
    """What the engine is given."""

    flat: Flat
    box: Box
    purse: Purse
    entries: int


@kernels.kernel
def pack_flat(
    sleeve_at: Ints,
    held: Floats,
    goal: Floats,
    tolerance: Floats,
    outside: Floats,
    inside: Floats,
    constant: Floats,
    lot_at: Ints,
    group: Ints,
    unit: Floats,
    fixed: Floats,
    rate: Floats,
    buy_price: Floats,
    wash_price: Floats,
    wash_value: Floats,
    lot_value: Floats,
    lot_price: Floats,
    lot_loss: Ints,
    group_at: Ints,
    group_entry: Ints,
) -> Flat:
    """Make a record of them, which only kernels can."""
    return Flat(
        sleeve_at,
        held,
        goal,
        tolerance,
        outside,
        inside,
        constant,
        lot_at,
        group,
        unit,
        fixed,
        rate,
        buy_price,
        wash_price,
        wash_value,
        lot_value,
        lot_price,
        lot_loss,
        group_at,
        group_entry,
    )


@kernels.kernel
def pack_box(
    buy_low: Floats,
    buy_high: Floats,
    sell_low: Floats,
    sell_high: Floats,
    rest: Ints,
    no_loss: Ints,
) -> Box:
    """Make a record of them, which only kernels can."""
    return Box(
        buy_low,
        buy_high,
        sell_low,
        sell_high,
        rest,
        no_loss,
    )


def flatten(problem: Problem) -> Arrays:
    """Return a problem of one account as arrays.

    A sale may be as small as min(minimum, value held); ends of orders are whole steps, inwards.
    """
    entries = [entry for sleeve in problem.sleeves for entry in sleeve.entries]
    ranks = [rank for sleeve in problem.sleeves for rank in range(len(sleeve.entries))]
    lots = [[entry.lots[place] for place in saleable(entry)] for entry in entries]
    flows = [(entry, lot) for entry, own in zip(entries, lots, strict=True) for lot in own]
    taxable = problem.purses[0].taxable
    groups = _clashing(entries, lots) if taxable else [NO_GROUP] * len(entries)
    members = [[i for i, group in enumerate(groups) if group == g] for g in range(max(groups, default=NO_GROUP) + 1)]
    flat = pack_flat(
        sleeve_at=kernels.whole(_starts(len(sleeve.entries) for sleeve in problem.sleeves)),
        held=kernels.buffer([_total(entry.value for entry in sleeve.entries) for sleeve in problem.sleeves]),
        goal=kernels.buffer([sleeve.goal for sleeve in problem.sleeves]),
        tolerance=kernels.buffer([sleeve.tolerance for sleeve in problem.sleeves]),
        outside=kernels.buffer([sleeve.outside for sleeve in problem.sleeves]),
        inside=kernels.buffer([sleeve.inside for sleeve in problem.sleeves]),
        constant=kernels.buffer([_total(e.exit_price * e.value for e in sleeve.entries) for sleeve in problem.sleeves]),
        lot_at=kernels.whole(_starts(len(own) for own in lots)),
        group=kernels.whole(groups),
        unit=kernels.buffer([entry.price * entry.step for entry in entries]),
        fixed=kernels.buffer([entry.tariffs[0].fixed for entry in entries]),
        rate=kernels.buffer([entry.tariffs[0].rate for entry in entries]),
        buy_price=kernels.buffer([_buy_price(problem, e, rank) for e, rank in zip(entries, ranks, strict=True)]),
        wash_price=kernels.buffer([entry.wash_price for entry in entries]),
        wash_value=kernels.buffer([entry.wash_value for entry in entries]),
        lot_value=kernels.buffer([entry.price * lot.units for entry, lot in flows]),
        lot_price=kernels.buffer([_lot_price(problem, entry, lot) for entry, lot in flows]),
        lot_loss=kernels.whole([int(lot.loss and taxable) for _, lot in flows]),
        group_at=kernels.whole(_starts(len(own) for own in members)),
        group_entry=kernels.whole([i for own in members for i in own]),
    )
    limits = [_limits(entry, own, problem.value) for entry, own in zip(entries, lots, strict=True)]
    box = pack_box(
        buy_low=kernels.buffer([limit[0] for limit in limits]),
        buy_high=kernels.buffer([limit[1] for limit in limits]),
        sell_low=kernels.buffer([limit[2] for limit in limits]),
        sell_high=kernels.buffer([limit[3] for limit in limits]),
        rest=kernels.whole([1] * len(entries)),
        no_loss=kernels.whole([0] * len(entries)),
    )
    cash, minimum = problem.purses[0].cash, problem.purses[0].minimum
    purse = Purse(cash, minimum, problem.cash_goal, problem.cash_price, max(problem.value, 1.0))
    return Arrays(flat, box, purse, len(entries))


def saleable(entry: Entry) -> list[int]:
    """Return the places of the lots that may be sold, the cheapest to sell first, equal ones as they stand."""
    if not entry.can_sell:
        return []
    places = [place for place, lot in enumerate(entry.lots) if lot.sellable and lot.units * entry.price > 0.0]
    return sorted(places, key=lambda place: entry.lots[place].tax)


def orders_of(problem: Problem, values: Sequence[float], losses_stay: Sequence[int]) -> tuple[tuple[Order, ...], ...]:
    """Return signed order values, one per entry, as units bought and units sold of each lot.

    `losses_stay` is 1 for an entry whose loss lots are not sold, a mate of its wash group being bought.
    """
    answer, place = [], 0
    for sleeve in problem.sleeves:
        orders = []
        for entry in sleeve.entries:
            orders.append(_order(entry, float(values[place]), bool(losses_stay[place])))
            place += 1
        answer.append(tuple(orders))
    return tuple(answer)


def _order(entry: Entry, value: float, losses_stay: bool) -> Order:
    if value > 0.0:
        return Order(buy=_units(entry, value))
    sell = [0.0] * len(entry.lots)
    left = _units(entry, -value)
    for place in saleable(entry):
        lot = entry.lots[place]
        if left <= 0.0 or (losses_stay and lot.loss):
            continue
        # What differs from the whole lot by rounding only is the whole lot, and then nothing is left of the order.
        sell[place] = lot.units if left >= lot.units * (1.0 - NEAR) else left
        left = left - sell[place] if left > lot.units * (1.0 + NEAR) else 0.0
    return Order(sell=tuple(sell))


def _units(entry: Entry, value: float) -> float:
    if entry.step > 0.0:
        return floor(value / (entry.price * entry.step) + 0.5) * entry.step
    return value / entry.price if value > 0.0 else 0.0


def _limits(entry: Entry, lots: Sequence[Lot], value: float) -> tuple[float, float, float, float]:
    """Return the least and most that may be bought and sold, whole steps; a most of 0 where nothing may be."""
    unit = entry.price * entry.step
    least = max(entry.minimum, LEAST_SHARE * max(value, 1.0) if entry.tariffs[0].fixed > 0.0 else 0.0)
    buy_low, buy_high = _inwards(least, max(value, 0.0) if entry.can_buy and entry.price > 0.0 else 0.0, unit)
    most = _total(entry.price * lot.units for lot in lots)
    floor_of_sale = min(least, entry.value)
    if most < floor_of_sale <= most * (1.0 + NEAR):
        floor_of_sale = most  # the sum of the lots and the value held differ by rounding only
    sell_low, sell_high = _inwards(floor_of_sale, most, unit)
    return buy_low, buy_high, sell_low, sell_high


def _inwards(low: float, high: float, unit: float) -> tuple[float, float]:
    if unit > 0.0:
        low, high = float(ceil(low / unit - NEAR)) * unit, float(floor(high / unit + NEAR)) * unit
    return (low, high) if high > 0.0 and high >= low else (0.0, 0.0)


def _buy_price(problem: Problem, entry: Entry, rank: int) -> float:
    return entry.tariffs[0].rate + problem.trade_price + problem.rank_price * rank


def _lot_price(problem: Problem, entry: Entry, lot: Lot) -> float:
    return lot.tax + entry.tariffs[0].rate + problem.trade_price - entry.exit_price


def _clashing(entries: Sequence[Entry], lots: Sequence[Sequence[Lot]]) -> list[int]:
    """Return per entry the number of its wash group, -1 unless one member can be bought and another sold at a loss."""
    members: dict[int, list[int]] = {}
    for i, entry in enumerate(entries):
        if entry.group != NO_GROUP:
            members.setdefault(entry.group, []).append(i)
    groups = [NO_GROUP] * len(entries)
    numbers = 0
    for own in members.values():
        buyers = [i for i in own if entries[i].can_buy]
        losers = [i for i in own if any(lot.loss for lot in lots[i])]
        if any(i != j for i in buyers for j in losers):
            for i in own:
                groups[i] = numbers
            numbers += 1
    return groups


def _starts(counts: Iterable[int]) -> list[int]:
    starts = [0]
    for count in counts:
        starts.append(starts[-1] + count)
    return starts


def _total(values: Iterable[float]) -> float:
    """Add up from the left: the same sum whatever `sum` does with floats."""
    total = 0.0
    for value in values:
        total += value
    return total
