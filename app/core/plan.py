"""Plans: trades that bring a portfolio back towards its targets, why each is there, and why others are not.

    measure -> aims -> problem -> answer (optimize) -> exact trades -> check -> measure again -> how each is worked

The plan is the best there is for one objective in money: what drift is worth to the owner, costs, tax now and tax
forgone; `optimize.problem` and `tally` say it in formulas. It is honest about how good it is proven to be.
"""

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from app.core import drift, execution, explain, levies, naive, named, seek
from app.core.aims import Aims, aims_of
from app.core.check_plan import check
from app.core.drift import DriftStatus, Report, Snapshot
from app.core.errors import InvalidInput, InvalidState, StaleData
from app.core.money import MONEY_PLACES, ZERO, exactly, plain, quotient, round_half_even
from app.core.needs import Task, task_of
from app.core.optimize import solve
from app.core.optimize.allocate import PlanScope
from app.core.optimize.problem import PLAN_LIMITS, Limits, Watch
from app.core.plan_values import Plan as Plan
from app.core.plan_values import PlannedTrade as PlannedTrade
from app.core.plan_values import PlanRequest as PlanRequest
from app.core.plan_values import PlanStatus as PlanStatus
from app.core.plan_values import PlanSummary as PlanSummary
from app.core.plan_values import Proof as Proof
from app.core.plan_values import ProofStatus as ProofStatus
from app.core.plan_values import TaxEstimate as TaxEstimate
from app.core.plan_values import TradeReason as TradeReason
from app.core.plan_values import WaitAdvice as WaitAdvice
from app.core.seek import Found
from app.core.totals import totals_of
from app.core.trades import settle

ENGINE: Final = "exact-1"
MONITOR: Final = "monitor"
"""Who asked for a plan that nobody asked for: the health monitor, where the policy says so."""

PROVEN: Final = Decimal("0.000001")
"""Share of the value by which a plan may miss its bound and still count as optimal; steps and cents included."""


@exactly
def propose(
    snapshot: Snapshot, request: PlanRequest, *, limits: Limits = PLAN_LIMITS, watch: Watch | None = None
) -> Plan:
    """Plan trades for a snapshot: those of least J (`tally`), money, exact Decimal; the same inputs, the same plan.

    Sizes are on B + deployable cash + cash flow. Sells come first; buys spend only base-currency cash their own account
    has then; no account's cash ever goes below zero, no lot is oversold, nothing is both bought and sold. Raises
    StaleData when a held asset has no fresh price, InvalidState when there is nothing to plan, InvalidInput for a
    withdrawal that nothing can pay, SolverMissing where the plan needs a solver that is not installed,
    SolverFailed where what it answers contradicts itself.
    """
    before = drift.measure(snapshot)
    _refuse(snapshot, before, request)
    task = task_of(snapshot, before, request)
    aims = aims_of(task)
    found = seek.seek(task, aims, limits, partial(solve.solve, watch=watch), watch)
    return _finish(task, aims, found)


def check_named(snapshot: Snapshot, request: PlanRequest) -> None:
    """Refuse a request that names a symbol that is neither held nor targeted, or a lot that is not open here."""
    named.check_symbols(snapshot, {"exclude": request.exclude, "noBuy": request.no_buy, "noSell": request.no_sell})
    named.check_lots(snapshot, request.sell_lots)


def _refuse(snapshot: Snapshot, before: Report, request: PlanRequest) -> None:
    if before.status is DriftStatus.NO_TARGETS:
        raise InvalidState("the portfolio has no targets; set them first", before.status.value)
    if before.stale:
        symbols = (*before.valuation.missing, *before.valuation.stale)
        message = f"no plan without fresh prices; missing or too old: {', '.join(symbols)}"
        raise StaleData(message, symbols, before.valuation.prices_at)
    _refuse_request(snapshot, request)
    _refuse_overdrawn(snapshot)
    worth = before.valuation.value
    assert worth is not None
    if worth + request.cash_flow < ZERO:
        raise InvalidInput(
            f"{plain(-request.cash_flow)} cannot be taken out of a portfolio worth {plain(worth)}", ["cashFlow"]
        )
    if worth + max(ZERO, request.cash_flow) <= ZERO:
        raise InvalidState("the portfolio holds nothing and has no cash to invest", before.status.value)


def _refuse_overdrawn(snapshot: Snapshot) -> None:
    """Refuse accounts beside others that fills have overdrawn; one alone sells what it takes to cover that."""
    accounts, base = snapshot.portfolio.accounts, snapshot.portfolio.base_currency
    for account in accounts if len(accounts) > 1 else ():
        if (cash := account.cash.get(base, ZERO)) < ZERO:
            message = f"account {account.name} is overdrawn by {plain(-cash)} {base}; bring that in before planning"
            raise InvalidState(message, "OVERDRAWN")


def _refuse_request(snapshot: Snapshot, request: PlanRequest) -> None:
    check_named(snapshot, request)
    if request.scope is PlanScope.RAISE_CASH and request.cash_flow >= ZERO:
        amount = plain(request.cash_flow)
        raise InvalidInput(f"cashFlow is {amount}; a plan that raises cash needs one below 0", ["cashFlow"])
    if request.scope is PlanScope.HARVEST and request.cash_flow:
        amount = plain(request.cash_flow)
        raise InvalidInput(f"cashFlow is {amount}; a harvest moves no cash, leave it out", ["cashFlow"])


def _finish(task: Task, aims: Aims, found: Found) -> Plan:
    """Settle and check what was found, measure again, and say why."""
    snapshot, before, request = task.snapshot, task.before, task.request
    trades, cash = found.trades.trades, found.trades.cash
    check(task, found.rules, trades, cash, found.trades.paid)
    after = drift.measure(replace(snapshot, portfolio=settle(snapshot.portfolio, trades, cash, found.rules.today)))
    summary = _summary(task, aims, found)
    return Plan(
        PlanStatus.READY if trades else PlanStatus.NOTHING_TO_DO,
        request,
        before,
        after,
        execution.with_executions(snapshot, explain.trades_of(task, aims, found, after)),
        explain.skips_of(task, aims, found),
        explain.warnings_of(task, found, summary.tax.losses),
        summary,
        _proof(aims, found),
        explain.advice_of(task, aims, found),
    )


def _proof(aims: Aims, found: Found) -> Proof:
    """Return what is proven: J counted in Decimal against the bound of the engine, all money to 10 decimals."""
    objective = round_half_even(found.tally.total, MONEY_PLACES)
    bound = min(objective, round_half_even(found.bound, MONEY_PLACES))
    gap = quotient(objective - bound, aims.value, MONEY_PLACES)
    return Proof(
        ProofStatus.OPTIMAL if gap <= PROVEN else ProofStatus.FEASIBLE,
        objective,
        bound,
        gap,
        round_half_even(found.hold.total, MONEY_PLACES),
        found.nodes,
        found.engine,
    )


def _summary(task: Task, aims: Aims, found: Found) -> PlanSummary:
    trades = found.trades.trades
    tax, naively = levies.estimate(found.rules, trades), naive.cost(task, aims, found.rules)
    costs = sum((trade.costs.total for trade in trades), ZERO)
    saved = None if naively is None else naively - costs - tax.estimated_tax
    return totals_of(trades, task.before.base, tax, saved)
