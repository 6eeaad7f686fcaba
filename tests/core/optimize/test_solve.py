"""The optimiser's door: which engine answers, what a limit costs, what is said without HiGHS; random problems."""

import subprocess
import sys
from dataclasses import replace

import pytest

from app.core.errors import SolverMissing
from app.core.optimize import milp, multiplier, search
from app.core.optimize.judge import check
from app.core.optimize.problem import Limits, Lot, Order, Problem, Purse, SolveStatus, Tariff
from app.core.optimize.solve import solve
from tests.core.optimize.agreement import disagreement
from tests.core.optimize.problems import ACCOUNTS, EVERYTHING, ONE_MEMBER, SWAPS, Kind, random_problem
from tests.core.optimize.small import entry, nothing, problem, sleeve, traded


def overweight(*lots: Lot, **more: float) -> Problem:
    """100 too much in the first sleeve, 100 too little in the second; doing nothing costs 10."""
    held = lots or (Lot(600, tax=0.06, due=0.06),)
    return problem(sleeve(500, entry(0, *held)), sleeve(500, entry(1, Lot(400))), **more)


def without_highs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)


def test_one_account_is_searched_and_several_go_to_highs() -> None:
    assert solve(overweight()).engine == search.ENGINE
    several = replace(overweight(), purses=(Purse(0), Purse(0)))
    assert solve(several).engine == milp.ENGINE
    assert solve(several).objective == pytest.approx(solve(overweight()).objective) == pytest.approx(6.0)


@pytest.mark.parametrize(
    "needs_highs",
    [
        replace(overweight(), purses=(Purse(0), Purse(0))),
        overweight(traded_limit=100.0, tax_limit=2.0),
        problem(sleeve(50, entry(0, Lot(50, tax=0.3), Lot(50), lots_in_order=True)), sleeve(50, entry(1))),
        problem(sleeve(50, entry(0, tariffs=(Tariff(0, 0.01, 0, 50), Tariff(0, 0.001, 50)))), cash=100),
    ],
    ids=["several accounts", "two limits", "lots in order", "several tariffs"],
)
def test_what_only_highs_can_solve_says_so_where_it_is_not_installed(
    needs_highs: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert solve(needs_highs).engine == milp.ENGINE
    without_highs(monkeypatch)
    with pytest.raises(SolverMissing):
        solve(needs_highs)


def test_an_order_of_lots_that_costs_nothing_and_tariffs_out_of_reach_need_no_highs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_highs(monkeypatch)
    lots = Lot(50, tax=0.01), Lot(50, tax=0.01), Lot(500, tax=0.02)
    asked = overweight(*lots)
    held = replace(
        asked.sleeves[0].entries[0], lots_in_order=True, tariffs=(Tariff(1, 0, 0, 9_000), Tariff(2, 0, 9_000))
    )
    asked = replace(asked, sleeves=(replace(asked.sleeves[0], entries=(held,)), asked.sleeves[1]))
    solution = solve(asked)
    assert solution.orders[0][0].sell == pytest.approx((50.0, 50.0, 0.0))
    assert solution.objective == pytest.approx(1.0 + 1.0 + 0.05)


@pytest.mark.parametrize("limit", [{"traded_limit": 100.0}, {"tax_limit": 3.0}], ids=["traded", "tax"])
def test_a_limit_is_used_to_the_last_cent_without_highs(
    limit: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_highs(monkeypatch)
    solution = solve(overweight(**limit))
    assert (solution.engine, solution.status) == (multiplier.ENGINE, SolveStatus.OPTIMAL)
    assert traded(solution) == [[-50], [50]]
    assert solution.objective == pytest.approx(3.0 + 5.0)
    assert solution.bound == pytest.approx(8.0, abs=1e-6)


def test_a_limit_that_does_not_bind_changes_nothing() -> None:
    assert solve(overweight(traded_limit=200.0)).objective == pytest.approx(6.0)
    assert solve(overweight(tax_limit=6.0)).objective == pytest.approx(6.0)


def test_a_limit_and_whole_shares_leave_a_gap_that_is_told_and_that_highs_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares, charged = entry(0, Lot(10, tax=0.06), price=60.0, step=1.0), entry(1, Lot(400), tariffs=(Tariff(1, 0),))
    asked = problem(sleeve(490, shares), sleeve(510, charged), traded_limit=110.0)
    closed = solve(asked)
    assert traded(closed) == [[-1], [50]]
    assert closed.objective == closed.bound == pytest.approx(10.55)
    without_highs(monkeypatch)
    told = solve(asked)
    assert (told.status, traded(told)) == (SolveStatus.FEASIBLE, [[0], [0]])
    assert told.objective == pytest.approx(11.0)
    assert told.bound == pytest.approx(9.7521008)


def test_a_limit_below_what_must_be_sold_is_infeasible() -> None:
    held = entry(0, Lot(600))
    asked = problem(sleeve(300, held), cash=-200.0, traded_limit=150.0)
    solution = solve(asked)
    assert solution.status is SolveStatus.INFEASIBLE
    assert solution.raisable == pytest.approx(-50.0)


def test_a_wide_gap_goes_to_highs_unless_whoever_watches_says_stop() -> None:
    asked = random_problem(0, Kind(sleeves=(6, 6), stepped=1.0))
    hurried = search.solve(asked, Limits(nodes=1))
    assert hurried.status is SolveStatus.FEASIBLE
    assert solve(asked, Limits(nodes=1)).bound >= hurried.bound
    told: list[tuple[int, float]] = []

    def stop(nodes: int, gap: float) -> bool:
        told.append((nodes, gap))
        return True

    late = solve(asked, Limits(nodes=1), watch=stop)
    assert late.engine == search.ENGINE
    assert late.objective == pytest.approx(hurried.objective)
    [(nodes, gap)] = told
    assert nodes == hurried.nodes
    assert gap == pytest.approx((hurried.objective - hurried.bound) / asked.value)


def test_the_search_says_how_far_it_is_and_stops_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SLICE", 4)
    asked = random_problem(3, Kind(sleeves=(6, 6), members=(1, 1), stepped=1.0, fees=1.0))
    whole = search.solve(asked, Limits())
    assert whole.nodes > 2 * search.SLICE
    told: list[tuple[int, float]] = []

    def after_two(nodes: int, gap: float) -> bool:
        told.append((nodes, gap))
        return len(told) == 2

    part = search.solve(asked, Limits(), after_two)
    assert part.status is SolveStatus.FEASIBLE
    assert [nodes for nodes, _ in told] == [5, 9]  # the root, and twice a slice
    assert told[1][1] == pytest.approx((part.objective - part.bound) / asked.value)
    assert whole.objective <= part.objective + 1e-9
    assert part.bound <= whole.bound + 1e-9


def test_highs_says_how_far_it_is_and_stops_when_told_to() -> None:
    asked = random_problem(3, Kind(sleeves=(14, 14), stepped=1.0, accounts=(3, 3)))
    told: list[float] = []

    def at_once(nodes: int, gap: float) -> bool:
        told.append(gap)
        return True

    part = milp.solve(asked, Limits(), watch=at_once)
    assert told
    assert part.status is SolveStatus.FEASIBLE
    assert not check(asked, part.orders).violations


@pytest.mark.parametrize(("kind", "problems"), [(ONE_MEMBER, 100), (SWAPS, 70)], ids=["one member", "swaps"])
def test_the_search_agrees_with_highs_on_random_problems(kind: Kind, problems: int) -> None:
    for seed in range(problems):
        assert disagreement(random_problem(seed, kind)) == "", f"problem {seed} of {kind}"


@pytest.mark.parametrize(("kind", "problems"), [(ACCOUNTS, 25), (EVERYTHING, 40)], ids=["accounts", "everything"])
def test_no_answer_breaks_a_rule_or_is_worse_than_doing_nothing(kind: Kind, problems: int) -> None:
    for seed in range(problems):
        asked = random_problem(seed, kind)
        solution, still = solve(asked), check(asked, nothing(asked))
        if solution.status is SolveStatus.INFEASIBLE:
            assert still.violations
            continue
        verdict = check(asked, solution.orders)
        assert verdict.violations == ()
        assert solution.objective == verdict.objective
        assert still.violations or solution.objective <= still.objective + 1e-9


def test_the_door_opens_without_numba_and_highspy() -> None:
    check = "import sys, app.core.optimize.solve; sys.exit(bool({'numba', 'highspy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_same_problem_gives_the_same_answer_to_the_last_bit() -> None:
    asked = random_problem(5, ACCOUNTS)
    assert milp.solve(asked, Limits()) == milp.solve(asked, Limits())


def test_nothing_held_and_nothing_to_spend() -> None:
    asked = problem(sleeve(0, entry(0)), sleeve(0, entry(1)))
    assert solve(asked).orders == ((Order(),), (Order(),))
