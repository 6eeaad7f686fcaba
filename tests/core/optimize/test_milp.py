"""The general engine on problems worked by hand: one feature at a time, J to the last cent."""

import sys

import pytest

from app.core.errors import LimitExceeded, SolverMissing
from app.core.optimize import milp
from app.core.optimize.problem import Limits, Lot, Order, Problem, Purse, SolveStatus, Tariff
from tests.core.optimize.small import entry, nothing, problem, sleeve, traded


def expect(asked: Problem, trades: list[list[float]], objective: float) -> None:
    """Assert what is traded and J, which must be proven."""
    solution = milp.solve(asked, Limits())
    assert traded(solution) == trades
    assert solution.objective == pytest.approx(objective, abs=1e-7)
    assert solution.status is SolveStatus.OPTIMAL
    assert solution.objective - 1e-6 * asked.value <= solution.bound <= solution.objective


def overweight(tax: float, **more: float) -> Problem:
    """100 too much in the first sleeve, 100 too little in the second; doing nothing costs 10."""
    due = max(tax, 0.0)
    lots = (Lot(600, tax=tax, loss=tax < 0, due=due),)
    return problem(sleeve(500, entry(0, *lots)), sleeve(500, entry(1, Lot(400))), **more)


def test_drift_is_brought_within_its_limit_at_any_tax() -> None:
    expect(overweight(0.2), [[0], [0]], 10.0)
    expect(overweight(0.2, drift_limit=4.0), [[-60], [60]], 16.0)


def test_a_lot_is_sold_when_its_tax_is_less_than_twice_the_drift_price() -> None:
    expect(overweight(0.06), [[-100], [100]], 6.0)


def test_a_lot_is_kept_when_its_tax_is_more_than_twice_the_drift_price() -> None:
    expect(overweight(0.12), [[0], [0]], 10.0)


def test_the_lot_of_least_tax_is_sold_first() -> None:
    held = entry(0, Lot(60, tax=0.05), Lot(60, tax=0.01))
    solution = milp.solve(problem(sleeve(40, held), sleeve(80, entry(1))), Limits())
    assert solution.orders[0][0].sell == pytest.approx((20.0, 60.0))
    assert solution.orders[1][0].buy == pytest.approx(80.0)
    assert solution.objective == pytest.approx(1.6)


def test_a_tolerated_drift_costs_nothing() -> None:
    asked = problem(sleeve(500, entry(0, Lot(600, tax=0.01)), tolerance=40), sleeve(500, entry(1, Lot(400))))
    expect(asked, [[-100], [100]], 1.0)
    asked = problem(sleeve(500, entry(0, Lot(600)), tolerance=40), sleeve(400, entry(1, Lot(400))), cash_price=0.01)
    expect(asked, [[-60], [0]], 0.6)


def test_cash_stays_in_its_account() -> None:
    purses = (Purse(0), Purse(100))
    here, there = entry(0, Lot(600)), entry(1, account=1)
    asked = problem(sleeve(500, here), sleeve(200, there), cash=purses, trade_price=0.001)
    expect(asked, [[0], [100]], 5.0 + 5.0 + 0.1)


def test_an_asset_moves_one_way_in_all_accounts() -> None:
    # Selling the loss earns 10 and leaves 100 too little and 100 too much cash, at 0.02 each. Buying it back in the
    # other account would save those 4.
    sold, back = entry(0, Lot(100, tax=-0.1, loss=True)), entry(0, account=1)
    asked = problem(sleeve(100, sold, back, price=0.02), cash=(Purse(0), Purse(100)), cash_goal=100, cash_price=0.02)
    expect(asked, [[-100, 0]], -6.0)


@pytest.mark.parametrize(
    ("group", "taxable", "bought", "objective"),
    [(1, True, 100, -9.99), (0, True, 0, -6.0), (0, False, 100, -9.99)],
    ids=["another group", "the same group", "the same group, the loss not taxable"],
)
def test_a_loss_sale_excludes_purchases_in_its_wash_group_in_any_account(
    group: int, taxable: bool, bought: float, objective: float
) -> None:
    sold, other = entry(0, Lot(100, tax=-0.1, loss=True), can_buy=False), entry(1, account=1, group=group)
    purses = (Purse(0, taxable=taxable), Purse(100))
    sleeves = sleeve(100, sold, other, price=0.02)
    asked = problem(sleeves, cash=purses, cash_goal=100, cash_price=0.02, trade_price=0.00005)
    expect(asked, [[-100, bought]], objective + (0.0 if bought else 0.005))


def test_one_member_of_a_sleeve_is_bought_and_a_later_one_needs_a_reason() -> None:
    first, second = entry(0, wash_price=0.2, wash_value=30), entry(1)
    asked = problem(sleeve(100, first, second), cash=100, rank_price=0.0001)
    expect(asked, [[0, 100]], 0.01)
    asked = problem(sleeve(100, entry(0), entry(1)), cash=100, rank_price=0.0001)
    expect(asked, [[100, 0]], 0.0)


def test_only_one_member_is_bought_though_two_would_fit_better() -> None:
    asked = problem(sleeve(100, entry(0, price=60, step=1.0), entry(1, price=40, step=1.0)), cash=100)
    expect(asked, [[0, 2]], 0.05 * (20 + 20))


def test_the_rank_counts_in_each_account() -> None:
    entries = entry(0), entry(1, account=1), entry(2, account=1)
    asked = problem(sleeve(150, *entries), cash=(Purse(50), Purse(100)), rank_price=0.0001)
    expect(asked, [[50, 100, 0]], 0.0)


def test_buying_back_costs_up_to_what_was_sold_and_nothing_beyond() -> None:
    def asked(washed: float) -> Problem:
        return problem(sleeve(100, entry(0, wash_price=0.2, wash_value=washed)), cash=100)

    expect(asked(30), [[100]], 6.0)
    expect(asked(60), [[0]], 10.0)


def test_whole_steps() -> None:
    asked = problem(sleeve(100, entry(0, price=30, step=1.0)), cash=100)
    expect(asked, [[3]], 1.0)


def test_a_sale_of_whole_steps_takes_any_part_of_its_lots() -> None:
    held = entry(0, Lot(1.5, tax=0.01), Lot(2.5, tax=0.02), price=10, step=1.0)
    solution = milp.solve(problem(sleeve(19, held), cash_price=0.0), Limits())
    assert solution.orders == ((Order(0, (1.5, 0.5)),),)
    assert solution.objective == pytest.approx(0.15 + 0.1 + 0.05)


def test_a_fine_step_is_kept_exactly() -> None:
    asked = problem(sleeve(777.77, entry(0, price=50_000, step=1e-8)), cash=1000, cash_goal=222.23)
    solution = milp.solve(asked, Limits())
    steps = solution.orders[0][0].buy / 1e-8
    assert steps == pytest.approx(1_555_540, abs=1e-3)
    assert solution.status is SolveStatus.OPTIMAL


def test_all_cash_in_fine_steps_never_overdraws() -> None:
    asked = problem(sleeve(1000, entry(0, price=333.37, step=1e-7, tariffs=(Tariff(0, 0.001),))), cash=999.99)
    solution = milp.solve(asked, Limits())
    spent = solution.orders[0][0].buy * 333.37 * 1.001
    assert 999.99 - 2 * 333.37e-7 < spent <= 999.99


def test_a_withdrawal_in_fine_steps_is_raised_in_full() -> None:
    asked = problem(sleeve(1000, entry(0, Lot(3.0), price=333.37, step=1e-7)), cash=-100.0)
    solution = milp.solve(asked, Limits())
    raised = solution.orders[0][0].sell[0] * 333.37
    assert 100.0 <= raised < 100.0 + 2 * 333.37e-7


def test_an_order_is_nothing_or_at_least_the_minimum() -> None:
    def asked(minimum: float) -> Problem:
        return problem(sleeve(40, entry(0, minimum=minimum)), cash=100, cash_goal=60)

    expect(asked(50), [[50]], 1.0)
    expect(asked(90), [[0]], 4.0)


def test_all_that_is_held_may_be_sold_below_the_minimum() -> None:
    expect(problem(sleeve(0, entry(0, Lot(30), minimum=50)), cash_goal=30), [[-30]], 0.0)
    expect(problem(sleeve(20, entry(0, Lot(30), minimum=50)), cash_goal=10), [[0]], 1.0)


def test_a_fixed_fee_is_paid_once_for_an_order() -> None:
    def asked(fixed: float) -> Problem:
        return problem(sleeve(100, entry(0, tariffs=(Tariff(fixed, 0.01),))), cash=200, cash_goal=90)

    expect(asked(5), [[100]], 6 + 0.05 * 4)
    expect(asked(10), [[0]], 10.5)


def test_a_larger_order_may_fall_under_a_cheaper_tariff() -> None:
    def asked(drift_price: float) -> Problem:
        tariffs = (Tariff(0, 0.01, 0, 100), Tariff(0, 0.001, 100))
        goal = sleeve(60, entry(0, tariffs=tariffs), price=drift_price)
        return problem(goal, cash=110, cash_goal=45, cash_price=drift_price)

    expect(asked(0.05), [[60]], 0.6 + 0.05 * 4.4)
    expect(asked(0.005), [[100]], 0.1 + 0.005 * 40 + 0.005 * 35.1)


def test_a_rising_tariff_stops_an_order_where_it_costs_more_than_it_brings() -> None:
    tariffs = (Tariff(0, 0.001, 0, 50), Tariff(-0.95, 0.02, 50))
    goal = sleeve(100, entry(0, tariffs=tariffs), price=0.005)
    expect(problem(goal, cash=100, cash_price=0.005), [[50]], 0.05 + 0.005 * 50 + 0.005 * 49.95)
    # At 1.5 a dollar, cash is spent down to its goal.
    spent = (60 + 0.95) / 1.02
    cost = 60 - spent
    expect(problem(goal, cash=100, cash_goal=40, cash_price=1.5), [[round(spent, 6)]], cost + 0.005 * (100 - spent))


def test_lots_in_order_are_sold_one_after_the_other() -> None:
    def asked(in_order: bool) -> Problem:
        held = entry(0, Lot(50, tax=0.3), Lot(50), lots_in_order=in_order)
        return problem(sleeve(50, held), sleeve(50, entry(1)))

    expect(asked(False), [[-50], [50]], 0.0)
    expect(asked(True), [[0], [0]], 5.0)


def test_lots_in_order_of_rising_tax_are_filled_in_order() -> None:
    held = entry(0, Lot(50, tax=0.01), Lot(50, tax=0.01), lots_in_order=True)
    solution = milp.solve(problem(sleeve(25, held), sleeve(75, entry(1))), Limits())
    assert solution.orders[0][0].sell == pytest.approx((50.0, 25.0))


def test_an_earlier_lot_that_is_not_for_sale_blocks_those_after_it() -> None:
    held = entry(0, Lot(50, sellable=False), Lot(50, loss=True, tax=-0.1), lots_in_order=True)
    expect(problem(sleeve(50, held), sleeve(50, entry(1))), [[0], [0]], 5.0)


def test_lots_that_are_not_for_sale_stay() -> None:
    held = entry(0, Lot(50, sellable=False), Lot(20, tax=-0.01, loss=True))
    expect(problem(sleeve(0, held), sleeve(70, entry(1))), [[-20], [20]], 5.0 - 0.2)


def test_a_legacy_member_costs_as_long_as_it_is_held() -> None:
    legacy = entry(0, Lot(100, tax=0.07), can_buy=False, exit_price=0.06)
    expect(problem(sleeve(100, legacy, entry(1))), [[0, 0]], 6.0)
    legacy = entry(0, Lot(100, tax=0.05), can_buy=False, exit_price=0.06)
    expect(problem(sleeve(100, legacy, entry(1))), [[-100, 100]], 5.0)


def test_a_limit_on_what_is_traded() -> None:
    expect(overweight(0.06, traded_limit=100.0), [[-50], [50]], 3 + 5)


def test_a_limit_on_the_tax_that_is_due() -> None:
    expect(overweight(0.05, tax_limit=2.0), [[-40], [40]], 2 + 6)


def test_a_crumb_of_cash_buys_nothing() -> None:
    """As a plan leaves it in an account: 1e-10 bounds what may be bought, and HiGHS takes no such factor."""
    fees = (Tariff(fixed=3.0, high=50.0), Tariff(fixed=2.0, low=50.0))
    asked = problem(sleeve(50_000, entry(0, Lot(40_000), tariffs=fees, can_sell=False)), cash=1e-10)
    expect(asked, [[0]], 500.0)


def test_an_infeasible_problem_says_what_can_be_raised() -> None:
    held = entry(0, Lot(400), tariffs=(Tariff(5, 0.01),))
    solution = milp.solve(problem(sleeve(0, held), cash=-500.0), Limits())
    assert solution.status is SolveStatus.INFEASIBLE
    assert solution.orders == ()
    assert solution.raisable == pytest.approx(-500 + 400 - 4 - 5)


def test_a_known_answer_is_the_start_and_what_remains_when_there_is_no_time() -> None:
    asked = overweight(0.06)
    known = ((Order(0, (90.0,)),), (Order(90.0),))
    hurried = milp.solve(asked, Limits(seconds=0.0), incumbent=known)
    assert hurried.status is SolveStatus.FEASIBLE
    assert hurried.objective == pytest.approx(5.4 + 1.0)
    assert hurried.bound < 6.0
    assert milp.solve(asked, Limits(), incumbent=known).objective == pytest.approx(6.0)
    assert milp.solve(asked, Limits(), incumbent=nothing(asked)).objective == pytest.approx(6.0)


def test_no_time_and_nothing_known_is_said() -> None:
    with pytest.raises(LimitExceeded, match="no allowed plan was found within 0 s and 20000 nodes"):
        milp.solve(problem(sleeve(0, entry(0, Lot(400, tax=0.2))), cash=-100.0), Limits(seconds=0.0))


def test_nothing_at_all_is_solved() -> None:
    solution = milp.solve(Problem(0.0, (Purse(0.0),), ()), Limits())
    assert (solution.status, solution.orders, solution.objective) == (SolveStatus.OPTIMAL, (), 0.0)


def test_a_missing_solver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(SolverMissing, match=r"install it: pip install 'steelyard\[solver\]'"):
        milp.solve(overweight(0.05), Limits())
