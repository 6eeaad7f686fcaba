"""Seeking a plan: state the problem, have it solved, put the answer into exact trades, and look whether it will do.

Several problems may be solved for one plan, each with a bound. A credit for losses must never be paid for with drift;
ties between sleeves are shared by water-filling; a withdrawal that cannot be raised is raised as far as it goes; and
where the policy asks for improvement, sleeves whose trade does not reach far enough stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core import levies, tally
from app.core.aims import TRADE_PRICE, Aim, Aims
from app.core.levies import Levies, Rates
from app.core.money import HUNDRED, ROUNDED, ZERO, exactly
from app.core.needs import Task
from app.core.optimize import formulate, quantise, still
from app.core.optimize.allocate import PlanScope, water_fill
from app.core.optimize.formulate import Formulation, Restraint
from app.core.optimize.problem import Limits, SolveStatus, Watch
from app.core.optimize.quantise import Quantised, exact, inexact
from app.core.optimize.still import Engine
from app.core.tally import Tally
from app.core.trades import TradeSide

CREDIT_CAPS: Final = (None, Decimal("1.9"), Decimal("0.9"), ZERO)
"""Bounds of the credit for a loss, in prices of drift, tried in turn until drift does not grow; None is no bound.

Below two prices a unit of money sold at a loss cannot pay for itself and its proceeds both being off target; below one
it cannot pay for either.
"""
FREEZES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """Trades that were found, J of them and of doing nothing by parts, and what is proven of them.

    `bound` is a lower bound of J, money; `rules` are the tax rules that counted. `frozen` sleeves were held back.
    """

    made: Formulation
    rules: Levies
    trades: Quantised
    tally: Tally
    hold: Tally
    bound: Decimal
    nodes: int
    engine: str
    frozen: frozenset[str] = frozenset()


@exactly
def seek(task: Task, aims: Aims, limits: Limits, engine: Engine, watch: Watch | None = None) -> Found:
    """Return the best trades for the aims. Of two plans as good, the one that shares alike; see the module.

    Where the year's gains are netted, a plan is sought for each pair of marginal rates that may hold; the one that is
    best by the exact tax is kept, the first of equals. What is proven then holds for its own rates.
    """
    found: list[Found] = []
    for rates in levies.candidates(task.snapshot):
        if not found or not _is_over(aims, found[-1], watch):
            found.append(_sought(task, aims, limits, engine, rates, watch))
    return min(found, key=_score) if len(found) > 1 else found[0]


def _is_over(aims: Aims, found: Found, watch: Watch | None) -> bool:
    """Tell the watch how good the best is so far, and say whether it wants no more."""
    gap = ROUNDED.divide(max(ZERO, found.tally.total - found.bound), aims.value)
    return watch is not None and watch(found.nodes, inexact(gap))


def _score(found: Found) -> Decimal:
    """Return J with the tax of the whole year, netted, in the place of marginal rates."""
    trades = found.trades.trades
    return found.tally.total - found.tally.tax + levies.netted_price(found.rules, trades)


def _sought(task: Task, aims: Aims, limits: Limits, engine: Engine, rates: Rates, watch: Watch | None) -> Found:
    frozen: frozenset[str] = frozenset()
    for _ in range(FREEZES_MAX):
        found = _without_growing_drift(task, aims, limits, engine, rates, frozen)
        if not _is_over(aims, found, watch):
            found = _evened(task, aims, limits, engine, found)
        short_of_it = _unimproved(task, aims, found)
        if not short_of_it:
            break
        frozen |= short_of_it
    else:
        everything = frozenset(sleeve.entry.key for sleeve in task.sleeves)
        found = _without_growing_drift(task, aims, limits, engine, rates, everything)
    return _or_hold(found)


def _without_growing_drift(
    task: Task, aims: Aims, limits: Limits, engine: Engine, rates: Rates, frozen: frozenset[str]
) -> Found:
    for cap in CREDIT_CAPS:
        bound = None if cap is None else cap * aims.price
        rules = Levies(task.snapshot, rates, bound)
        found = _solved(task, aims, rules, limits, engine, Restraint(frozen))
        if found.tally.drift <= found.hold.drift or found.made.owed:
            break
    return found


def _solved(task: Task, aims: Aims, rules: Levies, limits: Limits, engine: Engine, restraint: Restraint) -> Found:
    made = formulate.formulate(task, aims, rules, restraint)
    solution = still.answer(made.problem, limits, engine)
    if solution.status is SolveStatus.INFEASIBLE:
        assert solution.raisable is not None
        short = -exact(solution.raisable) / made.scale + made.crumb
        made = formulate.formulate(task, aims, rules, replace(restraint, short=short))
        solution = still.answer(made.problem, limits, engine)
    assert solution.status is not SolveStatus.INFEASIBLE, "cash that can be raised was not raised"
    trades = quantise.quantise(task, aims, made, solution.orders)
    paid_out = len(made.places) < len(made.problem.sleeves)
    bound = made.constant + exact(solution.bound) / made.scale - (TRADE_PRICE * made.owed if paid_out else ZERO)
    return Found(
        made,
        rules,
        trades,
        _count(task, aims, rules, made, trades),
        tally.count(task, aims, rules, (), cash=sum(made.cash.values(), ZERO) - made.owed * (len(made.cash) > 1)),
        bound,
        solution.nodes,
        solution.engine,
        restraint.frozen,
    )


def _count(task: Task, aims: Aims, rules: Levies, made: Formulation, trades: Quantised) -> Tally:
    sheltered = sum(
        (
            amount - made.paid.get(key, ZERO)
            for key, amount in trades.paid.items()
            if len(made.cash) > 1 and formulate.is_sheltered(task.accounts[key])
        ),
        ZERO,
    )
    cash = sum(trades.cash.values(), ZERO)
    return tally.count(task, aims, rules, trades.trades, cash=cash, sheltered=formulate.shelter_price(aims) * sheltered)


def _evened(task: Task, aims: Aims, limits: Limits, engine: Engine, found: Found) -> Found:
    """Share what sleeves took or gave within their spans by water-filling, where that is as good.

    Within its span a sleeve costs nothing, so who takes what is over, or gives what is missing, is a tie. The sleeves
    furthest from their targets take and give first.
    """
    evened = _even_aims(task, aims, found)
    if evened is None:
        return found
    other = _solved(task, evened, found.rules, limits, engine, Restraint(found.frozen))
    counted = _count(task, aims, found.rules, other.made, other.trades)
    if counted.total > found.tally.total + found.made.crumb or counted.drift > found.hold.drift:
        return found
    return replace(found, made=other.made, trades=other.trades, tally=counted, nodes=found.nodes + other.nodes)


def _even_aims(task: Task, aims: Aims, found: Found) -> Aims | None:
    """Return aims with a point for each sleeve in a tie, None when nothing is tied."""
    worth = {sleeve.entry.key: sleeve.entry.value for sleeve in task.sleeves}
    for trade in found.trades.trades:
        worth[trade.key] += trade.value if trade.side is TradeSide.BUY else -trade.value
    tied = [
        (sleeve, aim, min(max(sleeve.entry.value, aim.low), aim.high))
        for sleeve in task.sleeves
        if (aim := aims.sleeves.get(sleeve.entry.key)) and aim.is_span and sleeve.entry.key not in found.frozen
    ]
    reached = [worth[sleeve.entry.key] for sleeve, _, _ in tied]
    over = sum((max(ZERO, value - start) for (_, _, start), value in zip(tied, reached, strict=True)), ZERO)
    under = sum((max(ZERO, start - value) for (_, _, start), value in zip(tied, reached, strict=True)), ZERO)
    if not over and not under:
        return None
    room = [(aim.target - start, aim.high - start) if sleeve.buyable else (ZERO, ZERO) for sleeve, aim, start in tied]
    stock = [(start - aim.target, start - aim.low) if sleeve.sellable else (ZERO, ZERO) for sleeve, aim, start in tied]
    moves = zip(_shared(room, over), _shared(stock, under), strict=True)
    points = [start + taken - given for (_, _, start), (taken, given) in zip(tied, moves, strict=True)]
    if all(abs(point - value) <= found.made.crumb for point, value in zip(points, reached, strict=True)):
        return None
    sleeves = dict(aims.sleeves)
    for point, (sleeve, aim, _) in zip(points, tied, strict=True):
        sleeves[sleeve.entry.key] = Aim(point, point, aim.target)
    return replace(aims, sleeves=sleeves)


def _shared(rooms: Sequence[tuple[Decimal, Decimal]], amount: Decimal) -> list[Decimal]:
    """Share an amount by water-filling over the rooms to the targets, what is over by those to the edges."""
    near = [max(ZERO, to_target) for to_target, _ in rooms]
    shares = water_fill(near, amount)
    rest = amount - sum(shares, ZERO)
    if rest <= ZERO:
        return shares
    far = water_fill([max(ZERO, to_edge) - part for (_, to_edge), part in zip(rooms, shares, strict=True)], rest)
    return [part + more for part, more in zip(shares, far, strict=True)]


def _unimproved(task: Task, aims: Aims, found: Found) -> frozenset[str]:
    """Return sleeves whose trade leaves more of their drift than the policy allows.

    |X - T| <= improvement |V - T| must hold. What raises a withdrawal is kept, and so is a swap within a sleeve.
    """
    share, request = task.snapshot.policy.improvement, task.request
    if share is None or request.cash_flow < ZERO or request.scope is PlanScope.HARVEST:
        return frozenset()
    moved: dict[str, Decimal] = {}
    for trade in found.trades.trades:
        change = trade.value if trade.side is TradeSide.BUY else -trade.value
        moved[trade.key] = moved.get(trade.key, ZERO) + change
    failed = set()
    for sleeve in task.sleeves:
        aim, change = aims.sleeves.get(sleeve.entry.key), moved.get(sleeve.entry.key, ZERO)
        if aim is None or abs(change) <= found.made.crumb:
            continue
        was, left = sleeve.entry.value - aim.target, sleeve.entry.value + change - aim.target
        if abs(left) * HUNDRED > share * abs(was) + found.made.crumb:
            failed.add(sleeve.entry.key)
    return frozenset(failed)


def _or_hold(found: Found) -> Found:
    """Return doing nothing where the trades are no better than it, which rounding may bring about."""
    if found.made.owed or not found.trades.trades or found.tally.total < found.hold.total:
        return found
    still = Quantised((), found.made.cash, found.made.paid, ZERO)
    return replace(found, trades=still, tally=found.hold)
