"""From orders that an engine found to the Solution that leaves the optimiser: judged, with what the bound proves."""

from collections.abc import Iterable

from app.core.optimize.judge import Orders, check
from app.core.optimize.problem import Limits, Order, Problem, Solution, SolveStatus


def nothing(problem: Problem) -> Orders:
    """Return no orders at all."""
    return tuple(tuple(Order() for _ in sleeve.entries) for sleeve in problem.sleeves)


def best_of(
    problem: Problem, limits: Limits, found: Iterable[Orders], *, bound: float, nodes: int, engine: str
) -> Solution | None:
    """Return the cheapest of the orders that the judge allows; None when it allows none.

    J is the judge's; OPTIMAL when J - bound is at most limits.gap x V, where a V below 1 counts as 1. An engine that
    was stopped before it proved anything has a bound of -infinity; the least that J can be at all stands in for it.
    """
    judged = [(verdict.objective, orders) for orders in found if not (verdict := check(problem, orders)).violations]
    if not judged:
        return None
    objective, orders = min(judged, key=lambda pair: pair[0])
    bound = min(max(bound, least(problem)), objective)
    proven = gap_of(problem, objective, bound) <= limits.gap
    status = SolveStatus.OPTIMAL if proven else SolveStatus.FEASIBLE
    return Solution(status, orders, objective, bound, nodes, engine)


def least(problem: Problem) -> float:
    """Return what J is never below, money: every credit there is, and no drift, cost or tax."""
    entries = [entry for sleeve in problem.sleeves for entry in sleeve.entries]
    credited = (min(0.0, lot.tax) * lot.units * entry.price for entry in entries for lot in entry.lots)
    return sum(credited) + sum(min(0.0, entry.exit_price) * entry.value for entry in entries)


def gap_of(problem: Problem, objective: float, bound: float) -> float:
    """Return how far J may be above the least possible, as a share of V."""
    return (objective - bound) / max(problem.value, 1.0)
