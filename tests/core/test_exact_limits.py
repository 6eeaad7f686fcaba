"""Tax budget and turnover hold to the last digit, whatever rounding moves; what they leave of a withdrawal is told."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.core import levies
from app.core.costs import Costs
from app.core.drift import Snapshot, measure
from app.core.levies import Levies
from app.core.money import exactly
from app.core.optimize.allocate import PlanScope
from app.core.optimize.formulate import crumb_of
from app.core.plan import Plan, PlanRequest, propose
from app.core.policy import LotMethod, Objective, Policy
from app.core.trades import TradeSide
from tests.builders import asset, snapshot
from tests.builders import propose as propose_scope
from tests.core.samples import SYMBOLS, decimals, percents, prices_of
from tests.core.test_plan_properties import FEWER, missing_of, plan_of

TAXED = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(20))


@exactly
def due_of(start: Snapshot, plan: Plan) -> Decimal:
    """Return the tax of a plan's sales at the policy's rates, counted from its trades."""
    own = Levies(start, levies.rates_of(start.policy))
    total = Decimal(0)
    for trade in (planned.trade for planned in plan.trades):
        for sale in trade.sales:
            total += own.of_lot(trade.asset, trade.account_id, sale.lot, trade.price.value).due * sale.gain
    return total


@exactly
def traded_of(plan: Plan) -> Decimal:
    return sum((planned.trade.value for planned in plan.trades), Decimal(0))


def assert_no_dust(start: Snapshot, plan: Plan) -> None:
    held = {
        (account.id, lot.asset_id): sum(one.quantity for one in account.lots if one.asset_id == lot.asset_id)
        for account in start.portfolio.accounts
        for lot in account.lots
    }
    least = crumb_of(plan.before.valuation.value or Decimal(0))
    for trade in (planned.trade for planned in plan.trades):
        whole = trade.side is TradeSide.SELL and trade.quantity == held[trade.account_id, trade.asset.id]
        assert trade.value >= least or whole


def requests() -> st.SearchStrategy[tuple[PlanScope, int]]:
    """Draw a scope and the percent of the value that is taken out."""
    return st.sampled_from(
        [(PlanScope.FULL, 0), (PlanScope.RAISE_CASH, 1), (PlanScope.RAISE_CASH, 30), (PlanScope.FULL, 60)]
    )


METHODS = st.sampled_from([LotMethod.MIN_TAX, LotMethod.HIFO, LotMethod.FIFO])
SHARES = st.sampled_from(["0", "0.01", "0.5", "0.999999", "1"])


@st.composite
def gaining(draw: st.DrawFn) -> Snapshot:
    """Draw one or two accounts, most lots of which gained, far from their targets, with odd prices and costs."""
    prices = [draw(decimals("0.5", "900", 4)) for _ in SYMBOLS]
    accounts = {}
    for name in draw(st.sampled_from((["main"], ["main", "other"], ["main", "ira TAX_DEFERRED"]))):
        lots = []
        for symbol in draw(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=6)):
            price, share = prices[SYMBOLS.index(symbol)], draw(decimals("0.05", "1.3", 3))
            quantity, day = draw(decimals("0.5", "900", 5)), draw(st.sampled_from(["2020-01-02", "2024-05-01"]))
            lots.append(
                f"{quantity:f} {symbol} {{{(price * share).quantize(Decimal('0.0001')):f} USD {day}}} @ {price:f}"
            )
        accounts[name] = ", ".join([*lots, f"{draw(decimals('0', '900', 2)):f} cash"])
    steps = [draw(st.sampled_from(["0", "0", "0.01", "1"])) for _ in SYMBOLS]
    schedules = [draw(st.sampled_from([Costs(), Costs(rate=Decimal("0.0013"))])) for _ in SYMBOLS]
    assets = [asset(name, step=step, costs=cost) for name, step, cost in zip(SYMBOLS, steps, schedules, strict=True)]
    wanted = {name: str(part) for name, part in zip(SYMBOLS, draw(percents(len(SYMBOLS))), strict=True)}
    policy = replace(TAXED, objective=Objective.MIN_DRIFT, lot_method=draw(METHODS))
    return snapshot(accounts, wanted, policy=policy, assets=assets, prices=prices_of(accounts))


@FEWER
@given(gaining(), requests(), SHARES)
def test_a_tax_budget_is_kept_to_the_last_digit(start: Snapshot, asked: tuple[PlanScope, int], share: str) -> None:
    """Also where it is just what the best plan without one would owe, and where it is nothing at all."""
    check_limited(start, asked, Decimal(share), budget=True)


@FEWER
@given(gaining(), requests(), SHARES)
def test_a_turnover_is_kept_to_the_last_digit(start: Snapshot, asked: tuple[PlanScope, int], share: str) -> None:
    check_limited(start, asked, Decimal(share), budget=False)


def check_limited(start: Snapshot, asked: tuple[PlanScope, int], share: Decimal, *, budget: bool) -> None:
    scope, percent = asked
    worth = measure(start).valuation.value or Decimal(0)
    amount = (worth * percent / 100).quantize(Decimal("0.01"))
    if scope is PlanScope.RAISE_CASH and not amount:
        return
    request = PlanRequest(scope, -amount)
    free = plan_of(start, request)
    if free is None:
        return
    used = due_of(start, free) if budget else free.summary.turnover or Decimal(0)
    limit = max(Decimal(0), used * share)
    own = start.policy
    limited = replace(own, tax_budget=limit) if budget else replace(own, max_turnover=limit)
    start = replace(start, policy=limited)
    plan = plan_of(start, request)
    assert plan
    if budget:
        assert due_of(start, plan) <= limit
    elif plan.before.base:
        assert traded_of(plan) * 50 <= limit * plan.before.base
    assert_no_dust(start, plan)
    if amount:
        short, _ = missing_of(start, plan, amount)
        assert any("falls short" in warning for warning in plan.warnings) == (short > Decimal("0.005"))


def test_a_withdrawal_that_uses_up_the_tax_budget_is_raised_in_full() -> None:
    """10,000 of A gained a half, of which 20 % is due: 1,000, the budget; of B and C nothing small is sold beside."""
    start = snapshot(
        "3000 A {5 USD 2020-01-02} @ 10, 1000 B {9 USD 2020-01-02} @ 30, 777 C {1 USD 2020-01-02} @ 51.3",
        {"A": "30", "B": "30", "C": "40"},
        policy=replace(TAXED, tax_budget=Decimal(1000)),
    )
    plan = propose_scope(start, PlanScope.RAISE_CASH, flow="-10000")
    assert [(planned.trade.asset.symbol, planned.trade.quantity) for planned in plan.trades] == [("A", Decimal(1000))]
    assert plan.summary.tax.estimated_tax == Decimal(1000)
    assert not plan.warnings


def test_what_a_tax_budget_leaves_of_a_withdrawal_is_told() -> None:
    start = snapshot(
        "3000 A {5 USD 2020-01-02} @ 10",
        {"A": "100"},
        policy=replace(TAXED, tax_budget=Decimal(500)),
    )
    plan = propose(start, PlanRequest(PlanScope.RAISE_CASH, Decimal(-10000)))
    assert [round(planned.trade.quantity, 4) for planned in plan.trades] == [Decimal(500)]
    told = "The withdrawal falls short by 5,000.00: nothing else can be sold within taxBudget 500.00."
    assert plan.warnings == (told,)
