"""The exact engine: small problems worked by hand, what must hold for any problem, and the same bits when compiled."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from app.core.optimize import arrays, search
from app.core.optimize.allocate import PlanScope
from app.core.optimize.judge import check
from app.core.optimize.problem import Entry, Limits, Lot, Order, Problem, Purse, Sleeve, Solution, SolveStatus, Tariff
from app.core.plan import PlanRequest, propose
from tests.builders import snapshot
from tests.core.optimize.compiling import use_python
from tests.core.optimize.problems import ONE_MEMBER, SWAPS, random_problem

EXACT = Limits(gap=0.0)
GROUPED = replace(SWAPS, sleeves=(3, 6), members=(1, 3), grouped=0.7)


def asset(number: int, value: float, *lots: Lot, **more: Any) -> Entry:
    """An entry at a price of 1, so that units are money."""
    return Entry(asset=number, account=0, price=1.0, value=value, lots=lots, **more)


def sleeve(goal: float, *entries: Entry, price: float = 0.05, tolerance: float = 0.0) -> Sleeve:
    return Sleeve(goal, tolerance, price, price if tolerance == 0.0 else 0.0, entries)


def problem(cash: float, *sleeves: Sleeve, minimum: float = 0.0, cash_price: float = 0.05) -> Problem:
    value = cash + sum(entry.value for one in sleeves for entry in one.entries)
    return Problem(value, (Purse(cash, minimum),), sleeves, cash_price=cash_price)


def solved(given: Problem) -> Solution:
    """Solve, and have the answer judged."""
    answer = search.solve(given, EXACT)
    assert answer.status is SolveStatus.OPTIMAL
    verdict = check(given, answer.orders)
    assert verdict.violations == ()
    assert verdict.objective == pytest.approx(answer.objective, abs=1e-12 * given.value)
    assert answer.bound == pytest.approx(answer.objective, abs=1e-9 * given.value)
    return answer


def test_cash_is_spent_on_what_is_short() -> None:
    answer = solved(problem(100.0, sleeve(60.0, asset(0, 0.0)), sleeve(40.0, asset(1, 0.0))))
    assert answer.orders == ((Order(buy=60.0),), (Order(buy=40.0),))
    assert answer.objective == 0.0


def test_lot_is_sold_only_if_its_tax_is_below_twice_the_price_of_drift() -> None:
    cheap, dear = Lot(30.0, tax=0.08), Lot(170.0, tax=0.12)
    answer = solved(problem(0.0, sleeve(100.0, asset(0, 200.0, dear, cheap)), sleeve(100.0, asset(1, 0.0))))
    assert answer.orders == ((Order(sell=(0.0, 30.0)),), (Order(buy=30.0),))
    assert answer.objective == pytest.approx(2 * 0.05 * 70.0 + 0.08 * 30.0, abs=1e-12)


def test_nothing_is_sold_for_a_fee_that_is_not_earned() -> None:
    fee = (Tariff(fixed=2.0),)
    held = asset(0, 110.0, Lot(110.0), tariffs=fee)
    answer = solved(problem(0.0, sleeve(100.0, held), sleeve(10.0, asset(1, 0.0, tariffs=fee))))
    # Selling and buying 10 earns 2 x 0.05 x 10 = 1 and costs two fees of 2.
    assert answer.orders == ((Order(sell=(0.0,)),), (Order(),))
    assert answer.objective == pytest.approx(1.0, abs=1e-12)


def test_whole_steps_are_bought_and_the_rest_stays_cash() -> None:
    answer = solved(problem(100.0, sleeve(100.0, asset(0, 0.0, step=30.0))))
    assert answer.orders == ((Order(buy=90.0),),)
    assert answer.objective == pytest.approx(0.05 * 10.0 + 0.05 * 10.0, abs=1e-12)


def test_order_below_the_minimum_is_left_out_unless_all_is_sold() -> None:
    small = asset(0, 8.0, Lot(8.0), minimum=50.0)
    large = asset(1, 100.0, Lot(100.0), minimum=50.0)
    answer = solved(problem(0.0, sleeve(0.0, small), sleeve(80.0, large), sleeve(28.0, asset(2, 0.0))))
    assert answer.orders == ((Order(sell=(8.0,)),), (Order(sell=(0.0,)),), (Order(buy=8.0),))
    assert answer.objective == pytest.approx(0.05 * 20.0 + 0.05 * 20.0, abs=1e-12)


def test_losses_are_harvested_into_the_next_member() -> None:
    loser = asset(0, 100.0, Lot(100.0, tax=-0.2, loss=True))
    answer = solved(problem(0.0, sleeve(100.0, loser, asset(1, 0.0))))
    assert answer.orders == ((Order(sell=(100.0,)), Order(buy=100.0)),)
    assert answer.objective == pytest.approx(-20.0, abs=1e-12)


def test_loss_sale_keeps_its_group_from_being_bought_in_another_sleeve() -> None:
    loser = asset(0, 100.0, Lot(100.0, tax=-0.2, loss=True), group=7)
    twin = asset(1, 0.0, group=7)
    answer = solved(problem(0.0, sleeve(0.0, loser), sleeve(100.0, twin)))
    # Sold: credit of 20, drift of 5 and idle cash of 5 remain. Kept: drift of 5 twice.
    assert answer.orders == ((Order(sell=(100.0,)),), (Order(),))
    assert answer.objective == pytest.approx(-10.0, abs=1e-12)


def test_twin_is_bought_when_the_credit_is_small() -> None:
    loser = asset(0, 100.0, Lot(100.0, tax=-0.01, loss=True), group=7)
    answer = solved(problem(300.0, sleeve(100.0, loser), sleeve(300.0, asset(1, 0.0, group=7))))
    assert answer.orders == ((Order(sell=(0.0,)),), (Order(buy=300.0),))
    assert answer.objective == pytest.approx(0.0, abs=1e-12)


def test_buying_back_forfeits_the_loss_up_to_what_was_sold() -> None:
    washed = asset(0, 0.0, wash_price=0.2, wash_value=50.0)
    answer = solved(problem(1000.0, sleeve(1000.0, washed)))
    assert answer.orders == ((Order(buy=1000.0),),)
    assert answer.objective == pytest.approx(0.2 * 50.0, abs=1e-9)
    few = solved(problem(40.0, sleeve(40.0, washed)))
    assert few.orders == ((Order(),),)  # 2 x 0.05 x 40 is earned, 0.2 x 40 forfeited


def test_least_cash_is_raised_from_the_cheapest_lot() -> None:
    held = asset(0, 100.0, Lot(60.0, tax=0.3), Lot(40.0, tax=0.1), tariffs=(Tariff(rate=0.5),))
    answer = solved(problem(0.0, sleeve(100.0, held), minimum=10.0))
    assert answer.orders == ((Order(sell=(0.0, 20.0)),),)


def test_more_cash_than_there_is_cannot_be_raised() -> None:
    held = asset(0, 100.0, Lot(100.0), tariffs=(Tariff(fixed=1.0, rate=0.01),))
    answer = search.solve(problem(5.0, sleeve(100.0, held), minimum=200.0), EXACT)
    assert answer.status is SolveStatus.INFEASIBLE
    assert answer.raisable == pytest.approx(5.0 + 99.0 - 1.0, abs=1e-12)
    assert answer.orders == ()


def test_dear_cash_is_raised_where_it_is_least_dear() -> None:
    """The sleeve with two members sells at a price far above any drift, the other at one that is higher still."""
    first = asset(0, 50.0, Lot(50.0, tax=0.5))
    second = asset(1, 100.0, Lot(100.0, tax=3.0))
    given = problem(0.0, sleeve(50.0, first, asset(2, 0.0)), sleeve(100.0, second), minimum=10.0)
    answer = solved(given)
    assert [order.sell for one in answer.orders for order in one[:1]] == [(10.0,), (0.0,)]
    assert answer.objective == pytest.approx(0.5 * 10.0 + 0.05 * 10.0 + 0.05 * 10.0, abs=1e-9)


@pytest.mark.parametrize(
    "given",
    [
        Problem(0.0, (Purse(0.0),), (sleeve(0.0, asset(0, 0.0)),), cash_price=0.05),
        problem(0.0, sleeve(50.0, asset(0, 50.0, can_buy=False, can_sell=False))),
        problem(1.0),
        problem(50.0, *(sleeve(10.0, asset(i, 10.0, Lot(10.0))) for i in range(8))),
        problem(9.0, *(sleeve(30.0, asset(i, 20.0, *(Lot(1.0, tax=0.01 * j) for j in range(20)))) for i in range(40))),
    ],
    ids=["no value", "frozen", "no sleeves", "identical", "many lots"],
)
def test_degenerate_problems_end(given: Problem) -> None:
    solved(given)


@pytest.mark.parametrize("seed", range(20))
def test_order_of_sleeves_does_not_matter(seed: int) -> None:
    given = random_problem(seed, SWAPS)
    places = list(range(len(given.sleeves)))
    Random(seed).shuffle(places)
    shuffled = replace(given, sleeves=tuple(given.sleeves[place] for place in places))
    one, two = search.solve(given, EXACT), search.solve(shuffled, EXACT)
    assert one.status is two.status
    assert one.objective == pytest.approx(two.objective, abs=1e-9 * max(given.value, 1.0))


@pytest.mark.parametrize("seed", range(20))
def test_more_cash_never_makes_it_worse_when_cash_is_free(seed: int) -> None:
    """V, goals and limits stay: only the purse is fuller."""
    given = replace(random_problem(seed, SWAPS), cash_price=0.0)
    richer = replace(given, purses=(replace(given.purses[0], cash=given.purses[0].cash + 0.1 * abs(given.value)),))
    one, two = search.solve(given, EXACT), search.solve(richer, EXACT)
    if one.status is not SolveStatus.INFEASIBLE:
        assert two.objective <= one.objective + 1e-9 * max(given.value, 1.0)


def test_nodes_and_a_watch_end_the_search_with_an_honest_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    given = random_problem(14, GROUPED)
    best = search.solve(given, EXACT)
    stopped = search.solve(given, Limits(gap=0.0, nodes=3))
    assert stopped.status is SolveStatus.FEASIBLE
    assert stopped.nodes == 3
    assert stopped.bound <= best.objective <= stopped.objective
    assert check(given, stopped.orders).violations == ()
    monkeypatch.setattr(search, "SLICE", 3)
    looks: list[int] = []

    def enough(nodes: int, gap: float) -> bool:
        looks.append(nodes)
        return len(looks) == 2

    late = search.solve(given, Limits(gap=0.0), watch=enough)
    assert late.bound <= best.objective <= late.objective
    assert looks == [3, 7]  # nodes come in pairs
    assert late.nodes == 7


def bits(answer: Solution) -> list[str]:
    numbers = [answer.objective, answer.bound, float(answer.nodes)]
    numbers += [n for one in answer.orders for order in one for n in (order.buy, *order.sell)]
    return [answer.status.value, *(float(n).hex() for n in numbers)]


@pytest.mark.parametrize("kind", [ONE_MEMBER, SWAPS, GROUPED], ids=["one member", "swaps", "wash groups"])
def test_compiled_answers_are_the_same_to_the_bit(kind: Any, compiled: None) -> None:
    given = [random_problem(seed, kind) for seed in range(13)]
    fast = [bits(search.solve(one, Limits())) for one in given]
    use_python()
    assert [bits(search.solve(one, Limits())) for one in given] == fast


def test_a_plan_is_the_same_bit_for_bit_when_compiled(compiled: None) -> None:
    start = snapshot(
        "60 A {120 USD 2024-05-01} @ 100, 40 B @ 50, 30 C @ 20, 500 cash", {"A": "40", "B": "40", "C": "20"}
    )
    fast = propose(start, PlanRequest(PlanScope.FULL))
    use_python()
    assert propose(start, PlanRequest(PlanScope.FULL)) == fast
    assert fast.proof
    assert (fast.proof.engine, len(fast.trades)) == (search.ENGINE, 3)


def test_arrays_in_orders_out() -> None:
    given = problem(100.0, sleeve(60.0, asset(0, 0.0)), sleeve(40.0, asset(1, 0.0)))
    answer = search.solve_arrays(arrays.flatten(given), EXACT)
    assert list(answer.orders) == [60.0, 40.0]
    assert (answer.status, answer.nodes) == (SolveStatus.OPTIMAL, 1)
