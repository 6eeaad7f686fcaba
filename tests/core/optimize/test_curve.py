"""The curve of a sleeve with several entries: small ones by hand, random ones against a plain reference."""

from dataclasses import replace
from random import Random

import pytest

from app.core.optimize import arrays, curve, curve_lots, kernels
from app.core.optimize.problem import NO_GROUP, Entry, Lot, Problem, Purse, Sleeve, Tariff
from tests.core.optimize.compiling import use_python
from tests.core.optimize.curves import Point, height, lower_hull, point_of, points

ANY = float("inf")
Vertex = tuple[float, float, tuple[float, ...]]


def sleeve(*entries: Entry, goal: float, tolerance: float = 0.0, outside: float = 0.05, inside: float = 0.05) -> Sleeve:
    return Sleeve(goal, tolerance, outside, inside, entries)


def account(only: Sleeve, value: float = 2000.0, trade_price: float = 0.0, rank_price: float = 0.0) -> Problem:
    return Problem(value, (Purse(1000.0),), (only,), trade_price=trade_price, rank_price=rank_price)


def entry(asset: int, *lots: Lot, price: float = 1.0, held: float | None = None, **rest: object) -> Entry:
    value = price * sum(lot.units for lot in lots) if held is None else held
    return replace(Entry(asset, 0, price, value, lots), **rest)  # type: ignore[arg-type]


def loss(units: float, tax: float = -0.1) -> Lot:
    return Lot(units, tax, loss=True)


def raw_hull(problem: Problem, low: float, high: float, box: arrays.Box | None = None) -> list[Vertex]:
    """Return (cash, cost, orders) of each vertex of the problem's only sleeve."""
    given, entries = arrays.flatten(problem), problem.sleeves[0].entries
    size, room = len(entries), 64
    work = curve_lots.workspace(size, sum(len(one.lots) for one in entries))
    cash, cost, orders = kernels.floats(room), kernels.floats(room), kernels.floats(room * size)
    at_most = 1e-9 * problem.value
    count = curve.sleeve_hull(0, given.flat, box or given.box, at_most, low, high, work, cash, cost, orders)
    assert 0 <= count < room
    assert curve.slack_of(work) <= at_most
    vertices = range(count)
    return [(float(cash[v]), float(cost[v]), tuple(map(float, orders[v * size : (v + 1) * size]))) for v in vertices]


def hull(problem: Problem, low: float = -ANY, high: float = ANY, box: arrays.Box | None = None) -> list[Vertex]:
    """Return the hull to twelve decimals."""
    return [
        (round(cash, 12), round(cost, 12), tuple(round(one, 12) for one in orders))
        for cash, cost, orders in raw_hull(problem, low, high, box)
    ]


def boxed(problem: Problem, **changes: tuple[int, float]) -> arrays.Box:
    """Return the problem's box with some of its ends moved: name = (entry, value)."""
    box = arrays.flatten(problem).box
    for name, (place, value) in changes.items():
        getattr(box, name)[place] = value
    return box


def test_loss_lot_is_swapped_for_its_stand_in() -> None:
    problem = account(sleeve(entry(0, loss(1000)), entry(1), goal=1000.0))
    assert hull(problem, -0.04, 0.04) == [(0.0, -100.0, (-1000.0, 1000.0))]


def test_stand_in_of_the_same_wash_group_is_not_bought() -> None:
    problem = account(sleeve(entry(0, loss(1000), group=3), entry(1, group=3), goal=1000.0))
    assert hull(problem, -0.04, 0.04) == [(-1000.0, -50.0, (-1000.0, 0.0))]


def test_purchase_in_a_wash_group_leaves_gain_lots_to_sell() -> None:
    held = entry(0, loss(600), Lot(400, 0.001), group=3, exit_price=0.02)
    problem = account(sleeve(held, entry(1, group=3), goal=1400.0, outside=0.2, inside=0.2))
    # selling the losses raises 600 at -0.12 + 0.2, buying 400 takes 400 at -0.2: each of them is worth it, not both
    assert hull(problem, 0.0, 0.0) == [(400.0, 0.4 + 0.02 * 600, (-400.0, 800.0))]


def test_only_one_entry_of_a_sleeve_is_bought() -> None:
    first, second = entry(0, wash_price=0.02, wash_value=300.0), entry(1)
    problem = account(sleeve(first, second, goal=900.0), value=600.0, rank_price=0.01)
    # beyond 600 of value nothing can be bought; up to there the first costs 0.02 a dollar for 300, the second 0.01
    assert hull(problem) == [(0.0, 45.0, (0.0, 0.0)), (600.0, 15.0 + 6.0, (600.0, 0.0))]


def test_whole_shares_stop_on_both_sides_of_the_goal() -> None:
    problem = account(sleeve(entry(0, price=30.0, step=1.0), entry(1, can_buy=False), goal=100.0))
    assert hull(problem, -0.04, 0.04) == [(90.0, 0.5, (90.0, 0.0)), (120.0, 1.0, (120.0, 0.0))]


def test_whole_shares_of_two_entries_meet_the_goal_together() -> None:
    sold, bought = entry(0, Lot(10, -0.05), price=30.0, step=1.0), entry(1, price=50.0, step=1.0)
    problem = account(sleeve(sold, bought, goal=320.0), value=500.0)
    # 300 held: -1 x 30 + 1 x 50 = +20 to the dollar; -6 x 30 + 4 x 50 = +20 earns more; selling all and buying 6 most
    assert hull(problem, 0.0, 0.0) == [(0.0, 0.05 * 20 - 15.0, (-300.0, 300.0))]


def test_share_that_takes_from_two_lots_costs_their_mean() -> None:
    sold = entry(0, loss(2.5, -0.3), Lot(2.5, 0.1), price=10.0, step=1.0, exit_price=0.1)
    problem = account(sleeve(sold, entry(1), goal=0.0, outside=0.01, inside=0.01))
    # per dollar: two shares -0.4, the third (-0.4 + 0.0) / 2, two more 0.0; and 0.01 for what stays
    assert hull(problem, 0.0, 0.0) == [(-50.0, -10.0 + 5.0, (-50.0, 0.0))]


def test_sale_below_the_minimum_is_the_whole_or_nothing() -> None:
    small = entry(0, loss(40, -0.02), minimum=100.0)
    problem = account(sleeve(small, entry(1, minimum=100.0), goal=40.0, outside=0.03, inside=0.03))
    assert hull(problem, 0.0, 0.05) == [(-40.0, 0.4, (-40.0, 0.0)), (0.0, 0.0, (0.0, 0.0))]


def test_fixed_fee_keeps_what_does_not_pay_for_it() -> None:
    fee = (Tariff(fixed=5.0, rate=0.0),)
    large = entry(0, loss(1000), tariffs=fee, can_buy=False)
    little = entry(1, loss(40), tariffs=fee, can_buy=False)
    problem = account(sleeve(large, little, goal=1040.0, outside=0.01, inside=0.01))
    assert hull(problem, 0.0, 0.0) == [(-995.0, 5.0 - 100.0 + 10.0, (-1000.0, 0.0))]


def test_forfeited_loss_makes_the_first_dollars_dearer() -> None:
    only = entry(0, wash_price=0.08, wash_value=300.0)
    problem = account(sleeve(only, entry(1, can_buy=False), goal=1000.0))
    assert hull(problem) == [
        (0.0, 50.0, (0.0, 0.0)),
        (1000.0, 24.0, (1000.0, 0.0)),
        (2000.0, 74.0, (2000.0, 0.0)),
    ]


def test_box_obliges_and_forbids() -> None:
    problem = account(sleeve(entry(0, loss(1000), Lot(500, 0.2)), entry(1), goal=1500.0))
    must_keep = boxed(problem, no_loss=(0, 1))
    assert hull(problem, 0.0, 0.0, must_keep) == [(0.0, 0.0, (0.0, 0.0))]
    must_buy = boxed(problem, buy_low=(1, 1200.0), rest=(1, 0))
    assert hull(problem, 0.0, 0.0, must_buy) == [(200.0, -100.0 + 10.0, (-1000.0, 1200.0))]
    must_sell = boxed(problem, sell_low=(0, 1200.0), rest=(0, 0), buy_high=(1, 0.0))
    assert hull(problem, 0.0, 0.0, must_sell) == [(-1200.0, -100.0 + 40.0 + 60.0, (-1200.0, 0.0))]


def test_two_that_must_be_bought_have_no_curve() -> None:
    problem = account(sleeve(entry(0), entry(1), goal=100.0))
    box = boxed(problem, buy_low=(0, 10.0), rest=(0, 0))
    box.buy_low[1], box.rest[1] = 10.0, 0
    assert hull(problem, box=box) == []


def test_full_buffers_are_said() -> None:
    problem = random_sleeve(5)
    given = arrays.flatten(problem)
    work = curve_lots.workspace(5, 20)
    small = [kernels.floats(3), kernels.floats(3), kernels.floats(15)]
    assert curve.sleeve_hull(0, given.flat, given.box, 1e-6, -ANY, ANY, work, *small) == -1


def random_lot(random: Random, price: float, harvest: bool) -> Lot:
    basis = price * random.uniform(0.4, 1.6)
    lossy = basis > price
    tax = random.choice([0.15, 0.35]) * (1.0 - basis / price) * (0.8 if lossy else 1.0)
    units = float(random.randint(1, 6)) if random.random() < 0.7 else random.uniform(0.3, 5.0)
    return Lot(units, 0.0 if lossy and random.random() < 0.2 else tax, lossy, 0.0, lossy or not harvest)


def random_sleeve(seed: int) -> Problem:
    """Return one sleeve of 2 to 4 entries with any of the rules, few enough shares to try them all."""
    random = Random(seed)
    count, stepped, fees = random.choice([2, 2, 3, 3, 4]), random.random() < 0.5, random.random() < 0.4
    least, grouped, harvest = random.random() < 0.5, random.random() < 0.5, random.random() < 0.2
    entries = []
    for asset in range(count):
        price = round(random.uniform(5.0, 60.0), 2)
        lots = tuple(random_lot(random, price, harvest) for _ in range(random.randint(0, 3 if count < 4 else 2)))
        entries.append(
            Entry(
                asset=asset,
                account=0,
                price=price,
                value=price * sum(lot.units for lot in lots),
                lots=lots,
                can_buy=random.random() < 0.85,
                can_sell=random.random() < 0.85,
                step=random.choice([0.0, 1.0, 5.0]) if stepped else 0.0,
                minimum=random.choice([0.0, 20.0, 100.0]) if least else 0.0,
                tariffs=(Tariff(random.choice([0.0, 1.0, 5.0]) if fees else 0.0, random.choice([0.0, 0.001, 0.01])),),
                group=random.choice([0, 0, 1]) if grouped else NO_GROUP,
                wash_price=random.choice([0.0, 0.0, 0.1]),
                wash_value=random.choice([0.0, 30.0, 77.0]),
                exit_price=random.choice([0.0, 0.0, 0.0, 0.05]),
            )
        )
    goal = random.uniform(0.0, 1.5) * sum(one.value for one in entries)
    outside = random.choice([0.01, 0.05, 1.0])
    inside, tolerance = random.choice([0.0, outside]), random.choice([0.0, 0.05, 0.2]) * goal
    value = random.choice([300.0, 600.0, 1000.0])
    return account(Sleeve(goal, tolerance, outside, inside, tuple(entries)), value, 1e-5, 1e-4)


@pytest.mark.parametrize("seed", range(60))
def test_hull_is_that_of_every_order_there_is(seed: int) -> None:
    problem = random_sleeve(seed)
    found, expected = hull(problem), lower_hull(list(points(problem)))
    for cash, cost, orders in found:
        assert point_of(problem, problem.sleeves[0], orders) == pytest.approx((cash, cost), rel=0, abs=1e-8)
    ours: list[Point] = [(cash, cost) for cash, cost, _ in found]
    assert (ours[0][0], ours[-1][0]) == pytest.approx((expected[0][0], expected[-1][0]), rel=0, abs=1e-6)
    for cash, cost in expected[1:-1]:
        assert height(ours, cash) <= cost + 1e-8 * problem.value
    for cash, cost in ours[1:-1]:
        assert cost >= height(expected, cash) - 1e-8 * problem.value


@pytest.mark.parametrize("seed", range(60, 90))
def test_narrow_range_of_prices_gives_the_same_hull_within_it(seed: int) -> None:
    problem = random_sleeve(seed)
    whole = hull(problem)
    part = hull(problem, -0.03, 0.08)
    for cash, cost, _ in part:
        assert height([(one[0], one[1]) for one in whole], cash) == pytest.approx(cost, rel=0, abs=1e-8 * problem.value)
    for price in (-0.03, 0.02, 0.08):
        best = min(cost + price * cash for cash, cost, _ in whole)
        assert min(cost + price * cash for cash, cost, _ in part) == pytest.approx(
            best, rel=0, abs=1e-8 * problem.value
        )


def test_compiled_curve_is_the_same_to_the_last_bit(compiled: None) -> None:
    fast = [raw_hull(random_sleeve(seed), -ANY, ANY) for seed in range(200)]
    use_python()
    assert repr(fast) == repr([raw_hull(random_sleeve(seed), -ANY, ANY) for seed in range(200)])
