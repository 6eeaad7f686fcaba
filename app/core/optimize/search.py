"""The exact engine for one account: branch and bound over the hulls of sleeves, as the optimiser's design says.

`solve` takes a `Problem`, `solve_arrays` one that is flat already. The work is done by kernels, which plain Python runs
until `warm` puts compiled ones in their place; the answer is the same to the last bit.
"""

from collections.abc import Iterator
from math import inf, isinf
from typing import Final, NamedTuple

from app.core.optimize import arrays, engine, kernels
from app.core.optimize.arrays import Arrays
from app.core.optimize.kernels import Floats, Ints
from app.core.optimize.problem import Entry, Limits, Lot, Problem, Purse, Sleeve, Solution, SolveStatus, Watch
from app.core.optimize.tree import DONE, IMPOSSIBLE, MORE

ENGINE: Final = "branch and bound"
# Enumeration of what a sleeve may do doubles with every member.
MOST_MEMBERS: Final = 5
# Nodes between two calls of whoever watches.
SLICE: Final = 64


class Answer(NamedTuple):
    """What the engine found: signed order values by entry, and 1 for the entries whose loss lots stay."""

    status: SolveStatus
    orders: Floats
    losses_stay: Ints
    objective: float
    bound: float
    nodes: int
    raisable: float | None


def suits(problem: Problem) -> bool:
    """Say whether this engine can take the problem: one purse, one tariff an entry, no limit over all orders."""
    entries = [entry for sleeve in problem.sleeves for entry in sleeve.entries]
    return (
        len(problem.purses) == 1
        and isinf(problem.traded_limit)
        and isinf(problem.tax_limit)
        and isinf(problem.drift_limit)
        and len({entry.asset for entry in entries}) == len(entries)
        and all(len(sleeve.entries) <= MOST_MEMBERS for sleeve in problem.sleeves)
        and all(len(entry.tariffs) == 1 and not entry.lots_in_order for entry in entries)
    )


def solve(problem: Problem, limits: Limits, watch: Watch | None = None) -> Solution:
    """Return the best orders within the limits, J of them and a proven bound; for problems that `suits` accepts.

    J and bound in money; the gap asked for is limits.gap x V. It stops by the count of nodes, which is the same on any
    machine; also when `watch` says so, which may look at the time. INFEASIBLE names the most cash that can be left.
    """
    assert suits(problem)
    answer = solve_arrays(arrays.flatten(problem), limits, watch)
    if answer.status is SolveStatus.INFEASIBLE:
        return Solution(answer.status, (), inf, inf, answer.nodes, ENGINE, answer.raisable)
    orders = arrays.orders_of(problem, answer.orders, answer.losses_stay)
    return Solution(answer.status, orders, answer.objective, answer.bound, answer.nodes, ENGINE)


def solve_arrays(given: Arrays, limits: Limits, watch: Watch | None = None) -> Answer:
    """Do the same with arrays in and out: numpy's or lists, as `kernels.active` says."""
    flat, box, purse, entries = given
    orders, stay, figures = kernels.floats(entries), kernels.ints(entries), kernels.floats(engine.FIGURES)
    gap = limits.gap * purse.scale
    if watch is None:
        engine.run(gap, limits.nodes, flat, box, purse, orders, stay, figures)
    else:
        search = engine.open_search(flat, box, purse)
        search = engine.plant(engine.usual_price(flat, purse), flat, purse, search)
        for until in _slices(limits.nodes):
            search = engine.grow(gap, until, flat, purse, search)
            engine.finish(search, flat, purse, orders, stay, figures)
            if figures[engine.ENDED] != MORE or until == limits.nodes or _stopped(figures, purse.scale, watch):
                break
    return _answer(orders, stay, figures)


def warm() -> bool:
    """Compile the kernels, or load what was compiled before; False where numba is missing. For workers, at start-up."""
    if not kernels.use_numba():
        return False
    given = arrays.flatten(_sample())
    engine.widen(engine.open_search(given.flat, given.box, given.purse), given.flat)
    solve(_sample(), Limits())
    return True


def _slices(nodes: int) -> Iterator[int]:
    """Yield the counts of nodes at which a watched search stops to be looked at, the last its limit."""
    yield from range(min(SLICE, nodes), nodes, SLICE)
    yield nodes


def _stopped(figures: Floats, scale: float, watch: Watch) -> bool:
    """Tell whoever watches how far the search is, and say whether it shall end."""
    gap = float(figures[engine.OBJECTIVE] - figures[engine.BOUND]) / scale
    return watch(int(figures[engine.NODES]), gap)


def _answer(orders: Floats, stay: Ints, figures: Floats) -> Answer:
    state, nodes = figures[engine.ENDED], int(figures[engine.NODES])
    if state == IMPOSSIBLE:
        return Answer(SolveStatus.INFEASIBLE, orders, stay, inf, inf, nodes, float(figures[engine.RAISABLE]))
    status = SolveStatus.OPTIMAL if state == DONE else SolveStatus.FEASIBLE
    objective, bound = float(figures[engine.OBJECTIVE]), float(figures[engine.BOUND])
    return Answer(status, orders, stay, objective, bound, nodes, None)


def _sample() -> Problem:
    """Return a problem with a sleeve of one entry and one of two: compiled code is the same for any other."""
    lot = Lot(units=10.0, tax=0.1)
    first, second, third = (Entry(asset, 0, 10.0, 100.0, (lot,)) for asset in range(3))
    sleeves = (Sleeve(50.0, 5.0, 1.0, 0.1, (first,)), Sleeve(250.0, 5.0, 1.0, 0.1, (second, third)))
    return Problem(300.0, (Purse(0.0),), sleeves, cash_price=1.0)
