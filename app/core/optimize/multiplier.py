"""A limit on what is traded, or on tax that is due, for an engine that knows no limit: a price on what it uses.

With a price mu on every dollar of use, L(mu) = min (J + mu use) - mu limit is never above the least J within the limit,
and concave in mu. Of two answers on either side of the limit, the price at which both cost the same is asked next; when
it finds nothing cheaper, L is at its height. A mixture of the two may then use the limit exactly. Steps and minimums
may leave a gap, which is told.
"""

from dataclasses import dataclass, field, replace
from math import inf, isfinite

from app.core.optimize.answers import best_of
from app.core.optimize.judge import Orders, check
from app.core.optimize.problem import Engine, Limits, Lot, Order, Problem, Solution, SolveStatus

ENGINE = "multiplier"
QUESTIONS = 40
# First a price twice that of the dearest dollar, then ten times as much, and so on: tax is a small part of a dollar.
PRICES = (2.0, 20.0, 200.0, 2e3, 2e4)


@dataclass(frozen=True, slots=True)
class _Point:
    """Orders with their J and what they use of the limit, money."""

    orders: Orders
    objective: float
    use: float


@dataclass(slots=True)
class _Asked:
    """What has been asked so far: all orders found, the best bound and nodes."""

    problem: Problem
    limits: Limits
    engine: Engine
    limit: float
    found: list[Orders] = field(default_factory=list)
    bound: float = -inf
    nodes: int = 0
    infeasible: Solution | None = None

    def at(self, price: float) -> _Point | None:
        """Ask for the best orders when use costs `price`; None when there are none at all."""
        solution = self.engine(_priced(self.problem, price), self.limits)
        self.nodes += solution.nodes
        if solution.status is SolveStatus.INFEASIBLE:
            self.infeasible = solution
            return None
        self.bound = max(self.bound, solution.bound - price * self.limit)
        self.found.append(solution.orders)
        use = _use(self.problem, solution.orders)
        return _Point(solution.orders, check(self.problem, solution.orders).objective, use)


def solve(problem: Problem, limits: Limits, engine: Engine) -> Solution | None:
    """Solve a problem of one purse and one limit by `engine`; None when no orders within the limit are found.

    J by the judge, the bound is the greatest L(mu); nodes are those of all questions. INFEASIBLE comes from the engine:
    what cannot be done without the limit.
    """
    limit = min(problem.traded_limit, problem.tax_limit)
    asked = _Asked(problem, limits, engine, limit)
    beyond = asked.at(0.0)
    if beyond is not None and beyond.use > limit:
        within = _within(asked)
        if within is not None:
            _close(asked, beyond, within)
    if asked.infeasible is not None:
        return asked.infeasible
    return best_of(problem, limits, asked.found, bound=asked.bound, nodes=asked.nodes, engine=ENGINE)


def _within(asked: _Asked) -> _Point | None:
    """Return orders within the limit, found by making its use dear."""
    dearest = _dearest(asked.problem)
    for factor in PRICES:
        if not asked.limits.seconds_left():
            break
        point = asked.at(factor * dearest)
        if point is None or point.use <= asked.limit + asked.problem.crumb:
            return point
    return None


def _close(asked: _Asked, beyond: _Point, within: _Point) -> None:
    """Move both points towards the limit until no price tells them apart; then mix them."""
    for _ in range(QUESTIONS):
        if beyond.use <= within.use:
            return
        if not asked.limits.seconds_left():
            break
        price = (within.objective - beyond.objective) / (beyond.use - within.use)
        if price <= 0:
            break
        point = asked.at(price)
        if point is None:
            break
        same = within.objective + price * within.use
        if point.objective + price * point.use >= same - 1e-9 * asked.problem.value:
            break
        if point.use <= asked.limit:
            within = point
        else:
            beyond = point
    asked.found.append(_mixed(asked.problem, within, beyond, asked.limit))


def _mixed(problem: Problem, within: _Point, beyond: _Point, limit: float) -> Orders:
    """Return the mixture that uses the limit exactly; whether it is allowed the judge says."""
    share = max(0.0, (limit - within.use) / (beyond.use - within.use))

    def mix(low: float, high: float) -> float:
        return low + share * (high - low)

    def mix_order(lots: tuple[Lot, ...], low: Order, high: Order) -> Order:
        none = (0.0,) * len(lots)
        sales = zip(low.sell or none, high.sell or none, strict=True)
        return Order(mix(low.buy, high.buy), tuple(mix(*pair) for pair in sales))

    return tuple(
        tuple(mix_order(entry.lots, low, high) for entry, low, high in zip(sleeve.entries, lows, highs, strict=True))
        for sleeve, lows, highs in zip(problem.sleeves, within.orders, beyond.orders, strict=True)
    )


def _priced(problem: Problem, price: float) -> Problem:
    """Return the problem without its limit, its use at `price` a dollar."""
    free = replace(problem, traded_limit=inf, tax_limit=inf)
    if isfinite(problem.traded_limit):
        return replace(free, trade_price=problem.trade_price + price)
    if not problem.purses[0].taxable:
        return free

    def dearer(lots: tuple[Lot, ...]) -> tuple[Lot, ...]:
        return tuple(replace(lot, tax=lot.tax + price * lot.due) for lot in lots)

    sleeves = tuple(
        replace(sleeve, entries=tuple(replace(entry, lots=dearer(entry.lots)) for entry in sleeve.entries))
        for sleeve in problem.sleeves
    )
    return replace(free, sleeves=sleeves)


def _use(problem: Problem, orders: Orders) -> float:
    """Return what orders use of the limit, money."""
    total = 0.0
    for sleeve, row in zip(problem.sleeves, orders, strict=True):
        for entry, order in zip(sleeve.entries, row, strict=True):
            if isfinite(problem.traded_limit):
                total += entry.price * (order.buy + sum(order.sell))
            elif problem.purses[0].taxable:
                lots = zip(entry.lots, order.sell, strict=False)
                total += entry.price * sum(lot.due * sold for lot, sold in lots)
    return total


def _dearest(problem: Problem) -> float:
    """Return the most that a dollar traded can bring: drift, cash, credits, what is paid for holding."""
    entries = [entry for sleeve in problem.sleeves for entry in sleeve.entries]
    credit = [-lot.tax for entry in entries for lot in entry.lots]
    held = [entry.exit_price for entry in entries]
    drift = [sleeve.outside for sleeve in problem.sleeves]
    return problem.cash_price + max(drift, default=0.0) + max([0.0, *held]) + max([0.0, *credit]) + 1e-3
