"""The general engine: the problem as a mixed-integer program, solved by HiGHS. It knows all that `Problem` can say."""

from dataclasses import replace
from math import inf

from app.core.errors import LimitExceeded
from app.core.optimize import highs
from app.core.optimize.answers import best_of, nothing
from app.core.optimize.highs import Stop
from app.core.optimize.judge import Orders, check
from app.core.optimize.linear import Formulation
from app.core.optimize.problem import Limits, Problem, Solution, SolveStatus, Watch
from app.core.optimize.rounding import orders_of

ENGINE = "highs"


def solve(
    problem: Problem,
    limits: Limits,
    *,
    watch: Watch | None = None,
    incumbent: Orders | None = None,
    relative_gap: float = 1e-6,
) -> Solution:
    """Solve a problem by HiGHS, to a gap of `limits.gap` x V or `relative_gap` x J, whichever is wider.

    Orders in units; J and bound in money, J by the judge and the bound by HiGHS. `incumbent` is where to begin. Stops
    after `limits.nodes` nodes, `limits.seconds` or when `watch` says so: only the first is the same anywhere.
    INFEASIBLE gives `raisable`. The interpreter's lock is free while HiGHS runs. Raises SolverMissing where highspy is
    not installed.
    """
    scale = problem.value if problem.value > 0 else 1.0
    formulation = Formulation(problem, incumbent)
    share = formulation.unit / scale
    stop = Stop(limits.gap / share, relative_gap, limits.nodes, limits.seconds, share, watch)
    found = highs.solve(formulation.program, stop, warm=incumbent is not None)
    if found.infeasible:
        return _infeasible(problem, formulation, stop)
    known = [nothing(problem)]
    if incumbent is not None:
        known.append(incumbent)
    if found.x is None and check(problem, known[-1]).violations:
        rescue = replace(stop, watch=None)  # whoever is in a hurry wants an answer all the same
        found = replace(found, x=highs.solve(Formulation(problem).for_most_cash(), rescue, warm=False).x)
    if found.x is not None:
        known.append(orders_of(formulation, found.x))
    bound = formulation.money(found.bound)
    answer = best_of(problem, limits, known, bound=bound, nodes=found.nodes, engine=ENGINE)
    if answer is None:
        raise LimitExceeded(
            f"no allowed plan was found within {limits.seconds:g} s and {limits.nodes} nodes; allow more time"
        )
    return answer


def _infeasible(problem: Problem, formulation: Formulation, stop: Stop) -> Solution:
    """Return how much cash could be left over all accounts, where the minimum of each cannot be."""
    most = highs.solve(formulation.for_most_cash(), stop, warm=False)
    cash = sum(purse.cash for purse in problem.purses)
    if most.x is not None:
        cash = sum(check(problem, orders_of(formulation, most.x, fill_purses=False)).cash)
    return Solution(SolveStatus.INFEASIBLE, (), inf, inf, most.nodes, ENGINE, raisable=cash)
