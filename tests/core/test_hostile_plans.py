"""Portfolios that broke the making of a plan: numbers too small, too large or in the way of each other."""

from dataclasses import replace
from decimal import Decimal

import pytest

from app.core.costs import Costs
from app.core.drift import Snapshot
from app.core.optimize import multiplier, search
from app.core.optimize.allocate import PlanScope
from app.core.optimize.problem import Limits, Lot
from app.core.plan import Plan, PlanRequest, PlanStatus, ProofStatus
from app.core.plan import propose as propose_plan
from app.core.policy import LotMethod, Objective, Policy
from tests.builders import asset, propose, snapshot, trades
from tests.core.optimize.small import entry, problem, sleeve

TAXED = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(20))
HALVES = {"A": "50", "B": "50"}


@pytest.mark.parametrize("method", [LotMethod.FIFO, LotMethod.LIFO])
def test_a_loss_that_must_go_first_is_not_passed_over_for_a_purchase_of_its_group(method: LotMethod) -> None:
    """A sale begins with the loss, which excludes buying B; A for cash alone is worth no more than it costs."""
    twins = [replace(asset(symbol), identical_group="G") for symbol in "AB"]
    first, last = ("20", "5") if method is LotMethod.FIFO else ("5", "20")
    held = f"35 A {{{first} USD 2020-01-02}} @ 10, 35 A {{{last} USD 2021-01-04}} @ 10, 30 B @ 10"
    plan = propose(snapshot(held, HALVES, policy=Policy(lot_method=method), assets=twins))
    assert plan.status is PlanStatus.NOTHING_TO_DO


@pytest.mark.parametrize(
    ("budget", "expected"), [("0", []), ("0.000000001", ["SELL 19.5 A in one", "BUY 19.5 B in one"])]
)
def test_a_gain_too_small_for_an_engine_uses_tax_budget(budget: str, expected: list[str]) -> None:
    """The sale gains 0.000000002 in all, and a tax of 0.0000000004 is due; of a budget of nothing that is too much."""
    accounts = {"one": "70 A {9.9999999999} @ 10, 30 B @ 10", "two": "1 B @ 10"}
    plan = propose(snapshot(accounts, HALVES, policy=replace(TAXED, tax_budget=Decimal(budget))))
    assert trades(plan) == expected


def test_a_withdrawal_from_several_accounts_keeps_to_the_turnover_limit() -> None:
    """Of 1,000 a tenth may change hands twice: 200 are sold, and 300 of the withdrawal are short."""
    start = snapshot({"one": "50 A @ 10", "two": "50 B @ 10"}, HALVES, policy=Policy(max_turnover=Decimal(10)))
    plan = propose(start, PlanScope.RAISE_CASH, flow="-500")
    assert round(plan.summary.sold, 3) == Decimal(200)
    assert "The withdrawal falls short by 300.00: nothing else can be sold within maxTurnover 10 %." in plan.warnings


def stopped_at_once(start: Snapshot) -> Plan:
    return propose_plan(start, PlanRequest(PlanScope.FULL), limits=Limits(seconds=1e-9), watch=lambda *_: True)


def test_a_search_that_is_stopped_before_it_proves_anything_says_so() -> None:
    """The least that J can be is then the credit for the loss: 80 % of 30 % of the 100 that 10 B lost."""
    accounts = {"one": "70 A @ 10, 10 B {20 USD 2024-05-01} @ 10", "two": "20 B @ 10, 15 C @ 10"}
    plan = stopped_at_once(snapshot(accounts, {"A": "40", "B": "30", "C": "30"}, policy=TAXED))
    assert plan.proof
    assert plan.proof.status is ProofStatus.FEASIBLE
    assert plan.proof.bound == Decimal(-24)
    assert plan.proof.gap > Decimal("0.01")


def test_what_rounding_takes_from_one_account_another_pays() -> None:
    accounts = {"one": "0.12345678965 A @ 10.1", "two TAX_DEFERRED": "100 B @ 10"}
    plan = propose(snapshot(accounts, HALVES), PlanScope.RAISE_CASH, flow="-500")
    assert trades(plan)[0] == "SELL 0.12345678965 A in one"
    assert round(plan.summary.sold, 6) == Decimal(500)


def test_the_largest_order_is_a_whole_number_of_steps() -> None:
    coins = asset("A", step="7")
    plan = propose(snapshot("7 A @ 0.000001, 999999999999999 cash", {"A": "100"}, assets=[coins]))
    assert trades(plan) == ["BUY 999999999999994 A"]


def test_a_crumb_of_a_lot_that_nobody_named_stays() -> None:
    policy = Policy(lot_method=LotMethod.SPEC_ID)
    start = snapshot("0.0000000001 A {5} @ 10, 70 A {5} @ 10, 30 B @ 10", HALVES, policy=policy)
    crumb, named = (lot for lot in start.portfolio.accounts[0].lots if lot.asset_id == "A")
    plan = propose_plan(start, PlanRequest(PlanScope.FULL, sell_lots=(named.id,)))
    assert {sale.lot.id for item in plan.trades for sale in item.trade.sales} == {named.id}
    assert crumb.quantity == Decimal("0.0000000001")


def test_a_limit_that_is_missed_by_a_crumb_whatever_its_price_is_kept() -> None:
    asked = problem(sleeve(400, entry(0, Lot(600))), cash=-200.0, traded_limit=199.9999999)
    solution = multiplier.solve(asked, Limits(), search.solve)
    assert solution
    assert sum(solution.orders[0][0].sell) == pytest.approx(200.0)


def test_an_order_of_all_that_is_held_or_a_hair_less_is_weighed() -> None:
    """D may be sold for 3.8512179066 to 3.8512179096: HiGHS found no answer at all, though nothing must be done."""
    dear = Costs(Decimal("1.82"), Decimal("0.0023"), Decimal("3.51"), Decimal("0.0140"))
    start = snapshot(
        "0.222613752 D @ 17.3, 1.093674 E {5000 USD 2020-11-19} @ 10.574, 304.824004939 E, 0.0000000017777888 cash",
        {"D": "0.356990", "E": "99.643010"},
        assets=[asset("D", costs=dear), asset("E", costs=Costs(Decimal("0.98")))],
        policy=Policy(objective=Objective.MIN_DRIFT, max_fee=Decimal("91.14"), long_term_rate=Decimal("22.1")),
    )
    plan = propose(start)
    assert plan.proof
    assert plan.proof.status is ProofStatus.OPTIMAL
    assert trades(plan) == ["SELL 1.093674 E", "BUY 0.403285156 D"]
