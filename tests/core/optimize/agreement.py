"""The two engines on one problem: the exact search against HiGHS."""

from app.core.optimize import milp, search
from app.core.optimize.judge import check
from app.core.optimize.problem import Limits, Problem, SolveStatus


def disagreement(problem: Problem) -> str:
    """Return what the search gets wrong beside HiGHS, in words; nothing where they agree within 1e-6 V."""
    ours, theirs = search.solve(problem, Limits()), milp.solve(problem, Limits())
    noise = 1e-6 * max(problem.value, 1.0)
    if SolveStatus.INFEASIBLE in (ours.status, theirs.status):
        if ours.status is not theirs.status:
            return f"{ours.status.value}, HiGHS says {theirs.status.value}"
        apart = abs((ours.raisable or 0.0) - (theirs.raisable or 0.0))
        return f"raisable {ours.raisable}, HiGHS says {theirs.raisable}" if apart > noise else ""
    verdict = check(problem, ours.orders)
    if verdict.violations:
        return verdict.violations[0]
    if abs(verdict.objective - ours.objective) > 1e-3 * noise:
        return f"J is said to be {ours.objective}, it is {verdict.objective}"
    if ours.objective > theirs.objective + noise or theirs.bound > ours.objective + noise:
        return f"J {ours.objective}, HiGHS finds {theirs.objective}, bound {theirs.bound}"
    if ours.bound > theirs.objective + noise:
        return f"bound {ours.bound} above {theirs.objective}"
    return ""
