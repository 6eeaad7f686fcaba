"""What holds for every plan of the optimiser: promises to the owner, and that nothing in it is by chance."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.costs import Costs
from app.core.digest import digest
from app.core.drift import Snapshot, measure
from app.core.errors import InvalidState
from app.core.money import exactly
from app.core.optimize.allocate import PlanScope
from app.core.plan import Plan, PlanRequest, PlanStatus, ProofStatus, propose
from app.core.policy import Objective, Policy
from app.core.targets import TargetDraft
from app.core.trades import TradeSide
from tests.builders import asset, settled, snapshot
from tests.core.samples import PROPERTY, SYMBOLS, costs, decimals, ledgers, policies, prices_of, targets

Wanted = dict[str, str | TargetDraft]
SCOPES = st.sampled_from([PlanScope.FULL, PlanScope.BREACHED_ONLY, PlanScope.CASH_FLOW])
# What engines may leave, as a share of the value: the gap they are asked for, and crumbs.
GAP = Decimal("0.000002")
# Each example solves a few problems.
FEWER = settings(PROPERTY, max_examples=40)


@st.composite
def starts(draw: st.DrawFn, *, alone: bool = False) -> Snapshot:
    """Draw portfolios with costs, steps, taxes and every kind of policy."""
    ledger = draw(ledgers())
    if alone:
        ledger = {"main": ledger["main"]}
    steps = draw(st.lists(st.sampled_from(["0", "0.01", "1"]), min_size=5, max_size=5))
    schedules = draw(st.lists(costs(), min_size=5, max_size=5))
    assets = [asset(name, step=step, costs=cost) for name, step, cost in zip(SYMBOLS, steps, schedules, strict=True)]
    policy = replace(draw(policies()), objective=draw(st.sampled_from(Objective)))
    return snapshot(ledger, draw(targets()), policy=policy, assets=assets, prices=prices_of(ledger))


def plan_of(start: Snapshot, request: PlanRequest) -> Plan | None:
    try:
        return propose(start, request)
    except InvalidState:
        assert measure(start).valuation.value == 0
        return None


@FEWER
@given(starts(), SCOPES)
def test_a_plan_is_no_worse_than_doing_nothing_and_says_how_good_it_is(start: Snapshot, scope: PlanScope) -> None:
    plan = plan_of(start, PlanRequest(scope))
    if plan is None:
        return
    proof = plan.proof
    assert proof is not None
    assert proof.bound <= proof.objective <= proof.hold
    assert (proof.objective < proof.hold) == bool(plan.trades)
    assert (proof.status is ProofStatus.OPTIMAL) == (proof.gap <= Decimal("0.000001"))
    value = plan.before.valuation.value
    assert value
    assert abs(proof.gap * value - (proof.objective - proof.bound)) <= value * Decimal("1E-10")


@FEWER
@given(starts(alone=True), SCOPES)
def test_a_plan_that_was_carried_out_is_not_improved_on(start: Snapshot, scope: PlanScope) -> None:
    """Without gains to be had from a second plan, for its sales and purchases were the best there were."""
    start = replace(start, policy=replace(start.policy, min_trade=Decimal(1)))
    plan = plan_of(start, PlanRequest(scope))
    if plan is None or plan.proof is None or plan.proof.status is not ProofStatus.OPTIMAL:
        return
    again = plan_of(settled(start, plan), PlanRequest(scope))
    if again is None:
        return
    assert again.proof is not None
    value = plan.before.valuation.value or Decimal(0)
    # What costs took is gone from the value that targets are shares of, so that much may be off target again.
    paid = sum(planned.trade.costs.total for planned in plan.trades)
    assert again.proof.hold - again.proof.objective <= value * GAP + 2 * paid


@FEWER
@given(starts(), SCOPES, st.permutations(SYMBOLS))
def test_the_order_in_which_assets_are_known_changes_nothing(
    start: Snapshot, scope: PlanScope, order: list[str]
) -> None:
    shuffled = {symbol: start.market.assets[symbol] for symbol in order}
    other = replace(start, market=replace(start.market, assets=shuffled))
    request = PlanRequest(scope)
    assert digest(plan_of(start, request)) == digest(plan_of(other, request))


@FEWER
@given(starts(alone=True), st.permutations(SYMBOLS))
def test_the_order_of_targets_changes_nothing_that_counts(start: Snapshot, order: list[str]) -> None:
    assert start.targets
    entries = tuple(sorted(start.targets.entries, key=lambda entry: (*order, "CASH").index(entry.key)))
    other = replace(start, targets=replace(start.targets, entries=entries))
    first, second = (plan_of(one, PlanRequest(PlanScope.FULL)) for one in (start, other))
    if first is None or second is None or first.proof is None or second.proof is None:
        return
    value = first.before.valuation.value or Decimal(0)
    most = max(first.proof.gap, second.proof.gap) + GAP
    assert abs(first.proof.objective - second.proof.objective) <= most * value


@FEWER
@given(ledgers(), targets(with_cash=False), decimals("0", "5000", 2))
def test_more_cash_never_makes_the_objective_worse(ledger: dict[str, str], wanted: Wanted, more: Decimal) -> None:
    """Whatever was done without it, can be done with it; targets stay those of the same money, cash is free."""
    ledger = {"main": ledger["main"]}
    policy = Policy(objective=Objective.MIN_DRIFT)
    start = snapshot(ledger, wanted, policy=policy, prices=prices_of(ledger))
    plan = plan_of(start, PlanRequest(PlanScope.CASH_FLOW))
    richer = plan_of(start, PlanRequest(PlanScope.CASH_FLOW, more))
    if plan is None or richer is None or plan.proof is None or richer.proof is None:
        return
    # With no costs every deposit can be spent: what remains off target is what must not be sold.
    assert (
        richer.after.max_abs_drift is None
        or plan.after.max_abs_drift is None
        or (richer.after.max_abs_drift <= plan.after.max_abs_drift + Decimal("0.000001"))
    )


@FEWER
@given(starts(), st.integers(1, 99))
def test_a_withdrawal_is_paid_or_it_is_said_what_is_missing(start: Snapshot, percent: int) -> None:
    worth = measure(start).valuation.value or Decimal(0)
    amount = (worth * percent / 100).quantize(Decimal("0.01"))
    if not amount or amount > worth:
        return
    for scope in (PlanScope.CASH_FLOW, PlanScope.RAISE_CASH):
        plan = plan_of(start, PlanRequest(scope, -amount))
        assert plan
        assert all(planned.trade.side is TradeSide.SELL for planned in plan.trades)
        short, left = missing_of(start, plan, amount)
        assert short >= 0
        assert any("falls short" in warning for warning in plan.warnings) == (short > 0)
        assert not short or not left


@exactly
def missing_of(start: Snapshot, plan: Plan, amount: Decimal) -> tuple[Decimal, Decimal]:
    """Return what a withdrawal lacks, and the cash that is left."""
    cash = sum((account.cash.get("USD", Decimal(0)) for account in start.portfolio.accounts), Decimal(0))
    left = plan.after.valuation.cash
    assert left is not None
    return amount - (cash + plan.summary.net_cash - left), left


@FEWER
@given(starts(), st.sampled_from([(0, 0), (5, 10), (20, 100)]))
def test_limits_of_turnover_and_tax_hold(start: Snapshot, limits: tuple[int, int]) -> None:
    turnover, budget = (Decimal(limit) for limit in limits)
    policy = replace(start.policy, max_turnover=turnover, tax_budget=budget, objective=Objective.MIN_DRIFT)
    plan = plan_of(replace(start, policy=policy), PlanRequest(PlanScope.FULL))
    if plan is None:
        return
    assert plan.summary.turnover is None or plan.summary.turnover <= turnover
    assert plan.summary.tax.estimated_tax <= budget


@FEWER
@given(starts(), decimals("0", "100", 1))
def test_a_trade_improves_drift_as_much_as_the_policy_asks(start: Snapshot, share: Decimal) -> None:
    start = replace(start, policy=replace(start.policy, improvement=share, objective=Objective.MIN_DRIFT))
    plan = plan_of(start, PlanRequest(PlanScope.FULL))
    if plan is None or not plan.before.entries:
        return
    traded = {planned.trade.key for planned in plan.trades}
    cash = plan.before.valuation.cash or Decimal(0)
    if cash or (start.targets and start.targets.has_cash):
        return  # sizes are then not those of the measurement before
    was = {entry.key: abs(entry.to_target) for entry in plan.before.entries}
    worth = {entry.key: entry.value for entry in plan.after.entries}
    size = plan.before.base or Decimal(0)
    for entry in plan.before.entries:
        if entry.key in traded:
            left = abs(worth.get(entry.key, Decimal(0)) - entry.target * size / 100)
            assert left * 100 <= share * was[entry.key] + size * GAP


def test_costs_of_one_cent_are_worth_a_plan() -> None:
    free = snapshot(
        "70 A @ 10, 30 B @ 10", {"A": "50", "B": "50"}, assets=[asset("A", costs=Costs(fixed=Decimal("0.01")))]
    )
    plan = propose(free, PlanRequest(PlanScope.FULL))
    assert plan.status is PlanStatus.READY
