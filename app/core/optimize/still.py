"""Asking an engine, or nobody where nothing can be traded."""

from app.core.optimize.answers import nothing
from app.core.optimize.judge import check
from app.core.optimize.problem import Engine, Limits, Problem, Solution, SolveStatus


def answer(problem: Problem, limits: Limits, engine: Engine) -> Solution:
    """Return the engine's answer; where nothing can be traded there is one answer, and no engine is asked."""
    entries = (entry for sleeve in problem.sleeves for entry in sleeve.entries)
    if any(entry.can_buy or (entry.can_sell and entry.lots) for entry in entries):
        return engine(problem, limits)
    if any(purse.cash < purse.minimum for purse in problem.purses):
        cash = sum(purse.cash for purse in problem.purses)
        return Solution(SolveStatus.INFEASIBLE, (), 0.0, 0.0, 0, "none", raisable=cash)
    orders = nothing(problem)
    worth = check(problem, orders).objective
    return Solution(SolveStatus.OPTIMAL, orders, worth, worth, 0, "none")
