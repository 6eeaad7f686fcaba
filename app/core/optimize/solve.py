"""The optimiser's door: chooses the engine, asks a second one where the first leaves a gap, and lets the judge see all.

    several purses, several tariffs, a fixed order of lots, two limits, large sleeves   highs
    one limit                                                                           multiplier of search, then highs
    all else                                                                            search, then highs

The first engine is exact and fast, and runs anywhere; HiGHS may not be installed. It is asked when a gap of more than
WIDE is left, unless the time is over, and the better answer and the better bound are kept.
"""

from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite

from app.core.optimize import highs, milp, multiplier, search
from app.core.optimize.answers import best_of, gap_of
from app.core.optimize.judge import check
from app.core.optimize.problem import Entry, Limits, Lot, Order, Problem, Solution, SolveStatus, Watch

# The gap, as a share of V, above which a second engine is asked.
WIDE = 1e-5


def solve(problem: Problem, limits: Limits = Limits(), *, watch: Watch | None = None) -> Solution:
    """Solve a problem: orders in units, J and a proven bound in money, or INFEASIBLE with the most that can be raised.

    `watch` is told how far an engine is, and may stop it; HiGHS also stops when `limits` has no seconds left.
    Every answer is judged; one that breaks a rule is an error of ours. Raises SolverMissing for a problem that only
    HiGHS can solve where it is not installed, LimitExceeded when the limits end before anything is found.
    """
    simple = _simplified(problem)
    first = _first(simple, limits, watch)
    if first is None or _is_wide(simple, first):
        first = _second(simple, limits, first, watch)
    return _judged(problem, limits, first)


def _first(problem: Problem, limits: Limits, watch: Watch | None) -> Solution | None:
    """Return what the search finds, None for a problem that it does not know."""
    limited = isfinite(problem.traded_limit) + isfinite(problem.tax_limit)
    if limited > 1 or not search.suits(replace(problem, traded_limit=inf, tax_limit=inf)):
        return None
    if limited:
        return multiplier.solve(problem, limits, lambda priced, each: search.solve(priced, each, watch))
    return search.solve(problem, limits, watch)


def _second(problem: Problem, limits: Limits, first: Solution | None, watch: Watch | None) -> Solution:
    """Return the better of `first` and what HiGHS finds, with the better bound; `first` where it is not installed."""
    if first is None:
        return milp.solve(problem, limits, watch=watch)
    if not highs.is_installed() or (watch and watch(first.nodes, gap_of(problem, first.objective, first.bound))):
        return first
    second = milp.solve(problem, limits, watch=watch, incumbent=first.orders)
    best = min(first, second, key=lambda one: one.objective)
    nodes, bound = first.nodes + second.nodes, max(first.bound, second.bound)
    answer = best_of(problem, limits, [best.orders], bound=bound, nodes=nodes, engine=best.engine)
    assert answer is not None, "an engine's answer breaks a rule"
    return answer


def _is_wide(problem: Problem, solution: Solution) -> bool:
    if solution.status is SolveStatus.INFEASIBLE:
        return False
    return gap_of(problem, solution.objective, solution.bound) > WIDE


def _judged(problem: Problem, limits: Limits, solution: Solution) -> Solution:
    """Put lots in their order and let the judge evaluate the answer to the problem as it was asked."""
    if solution.status is SolveStatus.INFEASIBLE:
        return solution
    orders = tuple(
        tuple(_in_order(entry, order) for entry, order in zip(sleeve.entries, row, strict=True))
        for sleeve, row in zip(problem.sleeves, solution.orders, strict=True)
    )
    answer = best_of(problem, limits, [orders], bound=solution.bound, nodes=solution.nodes, engine=solution.engine)
    assert answer is not None, f"{solution.engine} breaks a rule: {'; '.join(check(problem, orders).violations)}"
    return answer


def _simplified(problem: Problem) -> Problem:
    """Return the problem without tariffs that no order can reach and without an order of lots that costs nothing."""
    sleeves = tuple(
        replace(sleeve, entries=tuple(_simple(problem, entry) for entry in sleeve.entries))
        for sleeve in problem.sleeves
    )
    return replace(problem, sleeves=sleeves)


def _simple(problem: Problem, entry: Entry) -> Entry:
    least = entry.minimum if not (entry.can_sell and entry.lots) else min(entry.minimum, entry.value)
    tariffs = tuple(
        tariff for tariff in entry.tariffs if tariff.high > least + problem.crumb and tariff.low < problem.value
    )
    in_order = entry.lots_in_order and not _is_cheapest_first(entry.lots)
    if tariffs == entry.tariffs and in_order == entry.lots_in_order:
        return entry
    return replace(entry, tariffs=tariffs or entry.tariffs[:1], lots_in_order=in_order)


def _is_cheapest_first(lots: tuple[Lot, ...]) -> bool:
    """Return whether any other order of sale would only cost more; a loss lot may be passed over for its group."""
    rising = all(before.tax <= after.tax and before.due <= after.due for before, after in pairwise(lots))
    return rising and not any(lot.loss or not lot.sellable for lot in lots)


def _in_order(entry: Entry, order: Order) -> Order:
    """Sell lots that have an order one after the other."""
    if not (entry.lots_in_order and order.sell):
        return order
    left, sold = sum(order.sell), []
    for lot in entry.lots:
        sold.append(min(left, lot.units))
        left -= sold[-1]
    return replace(order, sell=tuple(sold))
