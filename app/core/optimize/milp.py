"""The general engine: the problem as a mixed-integer program, solved by HiGHS. It knows all that `Problem` can say."""

from dataclasses import replace
from math import inf

from app.core.errors import LimitExceeded
from app.core.optimize import highs
from app.core.optimize.answers import best_of, nothing
from app.core.optimize.highs import Stop
from app.core.optimize.judge import Orders, check
from app.core.optimize.linear import Encoding
from app.core.optimize.problem import Limits, Problem, Solution, SolveStatus, Watch
from app.core.optimize.rounding import orders_of

ENGINE = "highs"
# What is left of J may be as large a share of it: where J is large, the last of the gap is not worth the time.
RELATIVE_GAP = 1e-6
# How long cash that must be raised is sought when the time is over: somebody waits for it.
RESCUE_S = 2.0


def solve(
    problem: Problem,
    limits: Limits,
    *,
    watch: Watch | None = None,
    incumbent: Orders | None = None,
) -> Solution:
    """Solve a problem by HiGHS, to a gap of `limits.gap` x V or RELATIVE_GAP x J, whichever is wider.

    Orders in units; J and bound in money, J by the judge and the bound by HiGHS. `incumbent` is where to begin. Stops
    after `limits.nodes` nodes, when the seconds are over or `watch` says so: only the first is the same anywhere. When
    they were over before, it is the incumbent or no orders, of which nothing is proven.
    INFEASIBLE gives `raisable`. The interpreter's lock is free while HiGHS runs. Raises SolverMissing where highspy is
    not installed.
    """
    known = [nothing(problem)]
    if incumbent is not None:
        known.append(incumbent)
    if not limits.seconds_left() and (best := best_of(problem, limits, known, bound=-inf, nodes=0, engine=ENGINE)):
        return best
    scale = problem.value if problem.value > 0 else 1.0
    encoding = Encoding(problem, incumbent)
    share = encoding.unit / scale
    stop = Stop(limits.gap / share, RELATIVE_GAP, limits.nodes, limits.seconds_left(), share, watch)
    found = highs.solve(encoding.program, stop, warm=incumbent is not None)
    if found.cut:
        limits.cut()
    if found.infeasible:
        return _infeasible(problem, encoding, _hurried(stop, limits))
    if found.x is None and check(problem, known[-1]).violations:
        most = highs.solve(Encoding(problem).for_most_cash(), _hurried(stop, limits), warm=False)
        found = replace(found, x=most.x)
    if found.x is not None:
        known.append(orders_of(encoding, found.x))
    bound = encoding.money(found.bound)
    answer = best_of(problem, limits, known, bound=bound, nodes=found.nodes, engine=ENGINE)
    if answer is None:
        raise LimitExceeded(
            f"no allowed plan was found within {limits.seconds:g} s and {limits.nodes} nodes; allow more time"
        )
    return answer


def _hurried(stop: Stop, limits: Limits) -> Stop:
    """Return when to stop for a question that must be answered, also when nobody wants to wait any longer."""
    return replace(stop, watch=None, seconds=max(limits.seconds_left(), min(RESCUE_S, limits.seconds)))


def _infeasible(problem: Problem, encoding: Encoding, stop: Stop) -> Solution:
    """Return how much cash could be left over all accounts, where the minimum of each cannot be."""
    most = highs.solve(encoding.for_most_cash(), stop, warm=False)
    cash = sum(purse.cash for purse in problem.purses)
    if most.x is not None:
        cash = sum(check(problem, orders_of(encoding, most.x, fill_purses=False)).cash)
    return Solution(SolveStatus.INFEASIBLE, (), inf, inf, most.nodes, ENGINE, raisable=cash)
