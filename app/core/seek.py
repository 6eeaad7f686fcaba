"""Seeking a plan: state the problem, have it solved, put the answer into exact trades, and look whether it will do.

Several problems may be solved for one plan, each with a bound. Drift as a whole must not grow, whatever a credit for
losses would pay for it; purchases leave the reserve in cash; ties between sleeves are shared by water-filling; a
withdrawal that cannot be raised is raised as far as it goes, and no loss pays for raising more than is needed; and
where the policy asks for improvement, sleeves whose trade does not reach far enough stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core import levies, tally
from app.core.aims import Aim, Aims, sides
from app.core.errors import SolverFailed, SolverMissing
from app.core.levies import Levies, TermRates
from app.core.money import HUNDRED, ONE, ROUNDED, ZERO, exactly, quotient
from app.core.needs import Task
from app.core.optimize import formulate, quantise, still
from app.core.optimize.allocate import PlanScope, water_fill
from app.core.optimize.formulate import Formulation, Restraint
from app.core.optimize.problem import Engine, Limits, SolveStatus, Watch
from app.core.optimize.quantise import Quantised, exact, inexact
from app.core.tally import Tally
from app.core.trades import money, moved_by

WEIGHTS_MAX: Final = 8
"""How many dearer prices of drift are tried, at most, where a plan would let drift grow; few are ever needed."""
WEIGHT_PLACES: Final = 12
IDLE: Final = Decimal("1.1")
"""Cash that nobody asked for costs more than its sale can earn, by less drift and a loss, also when fees shrink it."""
FREEZES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """Trades that were found, J of them and of doing nothing by parts, and what is proven of them.

    `bound` is a lower bound of J, money; `rules` are the tax rules that counted. `frozen` sleeves were held back.
    `weight` is by how much drift was priced higher while it was sought, so that drift does not grow.
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
    weight: Decimal = ONE


@exactly
def seek(task: Task, aims: Aims, limits: Limits, engine: Engine, watch: Watch | None = None) -> Found:
    """Return the best trades for the aims. Of two plans as good, the one that shares alike; see the module.

    Where the year's gains are netted, a plan is sought for each pair of marginal rates that may hold; the one that is
    best by the exact tax is kept; of equals the one whose rates come nearest to it, so that what is told of each trade
    adds up to what the year comes to; then the first. What is proven then holds for its own rates.
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


def _score(found: Found) -> tuple[Decimal, Decimal]:
    """Return J with the tax of the whole year, netted, in place of marginal rates; and how far those are from it."""
    trades, rules = found.trades.trades, found.rules
    score = found.tally.total - found.tally.tax + levies.netted_price(rules, trades)
    return score, abs(levies.due(rules, trades) - levies.estimate(rules, trades).estimated_tax)


def _sought(task: Task, aims: Aims, limits: Limits, engine: Engine, rates: TermRates, watch: Watch | None) -> Found:
    frozen: frozenset[str] = frozenset()
    if not sides(task.request)[0] and (credit := levies.best_credit(task, rates)):
        aims = replace(aims, cash_price=IDLE * (aims.price + credit))
    for _ in range(FREEZES_MAX):
        found = _without_growing_drift(task, aims, limits, engine, rates, frozen, watch)
        if not _is_over(aims, found, watch):
            found = _evened(task, aims, limits, engine, found)
        short_of_it = _unimproved(task, aims, found)
        if not short_of_it:
            break
        frozen |= short_of_it
    else:
        everything = frozenset(sleeve.entry.key for sleeve in task.sleeves)
        found = _without_growing_drift(task, aims, limits, engine, rates, everything, watch)
    return _or_hold(found)


def _without_growing_drift(
    task: Task,
    aims: Aims,
    limits: Limits,
    engine: Engine,
    rates: TermRates,
    frozen: frozenset[str],
    watch: Watch | None,
) -> Found:
    """Return the best plan that leaves no more drift than doing nothing; what raises a withdrawal may.

    It is sought as the dual: min J + (w - 1) (drift - drift of doing nothing) over all plans is a lower bound for every
    w >= 1. The next w is where the best plan that lets drift grow costs as much as the best that does not, until
    nothing is cheaper than both; doing nothing is the first of the latter. What steps and fees leave unproven is asked
    for outright.
    """
    rules = Levies(task.snapshot, rates)
    found = _solved(task, aims, rules, limits, engine, Restraint(frozen))
    if found.tally.drift <= found.hold.drift or found.made.owed:
        return found
    grows, best = found.tally, replace(found, trades=_still(found), tally=found.hold)
    keeps = best.tally
    for _ in range(WEIGHTS_MAX):
        if _is_over(aims, best, watch):
            break
        extra = quotient(keeps.total - grows.total, grows.drift - keeps.drift, WEIGHT_PLACES)
        try:
            other = _solved(task, aims.dearer(1 + extra), rules, limits, engine, Restraint(frozen))
        except SolverFailed:  # what is known by now is allowed, and so is its bound
            break
        counted = _count(task, aims, rules, other.made, other.trades)
        bound = max(best.bound, other.bound - extra * found.hold.drift)
        best = replace(best, bound=bound, nodes=best.nodes + other.nodes)
        if counted.total + extra * counted.drift >= grows.total + extra * grows.drift - found.made.crumb:
            break
        if counted.drift > found.hold.drift:
            grows = counted
            continue
        keeps = counted
        if counted.total < best.tally.total:
            best = replace(other, tally=counted, hold=found.hold, bound=bound, nodes=best.nodes, weight=1 + extra)
    if best.tally.total <= best.bound + found.made.crumb or not limits.seconds_left() or _is_over(aims, best, watch):
        return best
    return _within_drift(task, aims, limits, engine, best, frozen)


def _within_drift(task: Task, aims: Aims, limits: Limits, engine: Engine, best: Found, frozen: frozenset[str]) -> Found:
    """Return the better of a plan and the best that has no more drift than doing nothing, as HiGHS finds it."""
    restraint = Restraint(frozen, most_drift=best.hold.drift)
    try:
        other = _answered(task, aims, best.rules, limits, engine, restraint)
    except SolverMissing:
        return best
    if other is None:
        return best
    bound, nodes = max(best.bound, other.bound), best.nodes + other.nodes
    if other.tally.drift > best.hold.drift or other.tally.total >= best.tally.total:
        return replace(best, bound=bound, nodes=nodes)
    return replace(other, hold=best.hold, bound=bound, nodes=nodes)


def _solved(task: Task, aims: Aims, rules: Levies, limits: Limits, engine: Engine, restraint: Restraint) -> Found:
    """Return the best trades that leave the reserve in cash, or buy nothing.

    The engine knows how much of the reserve is there. Where sales are to fill it up, both ways are asked apart if the
    answer to the problem without that demand, whose bound holds for either, could not be put into trades as it is.
    Raises SolverFailed where the engine raises less than it says itself can be raised.
    """
    found = _answered(task, aims, rules, limits, engine, restraint)
    if found is None:
        raise SolverFailed(
            "the solver says that no plan is possible, not even with as little cash left as it found itself: its "
            f"answers contradict each other. Nothing is planned for the {len(task.sleeves)} targets of a portfolio "
            f"worth {money(aims.value)}; leave out what is tiny beside the rest (exclude), or ask again at other prices"
        )
    lacking = aims.floor - sum(found.made.floors.values(), ZERO)
    if lacking <= found.made.crumb or found.tally.total <= found.bound + found.made.crumb or found.trades.short:
        return found
    if not limits.seconds_left():
        return found
    fullest = max(found.trades.cash, key=lambda key: found.trades.cash[key])
    kept = {key: floor + (lacking if key == fullest else ZERO) for key, floor in found.made.floors.items()}
    ways = [
        _answered(task, aims, rules, limits, engine, replace(restraint, kept=kept)),
        _answered(task, aims, rules, limits, engine, replace(restraint, buys=False)),
    ]
    tried = [way for way in ways if way]
    best = min([found, *tried], key=lambda one: one.tally.total)
    # With several accounts the reserve may be kept in any: that it was asked of one proves nothing.
    bounds = [way.bound for way in tried] if len(kept) == 1 else []
    bound = max(found.bound, min(bounds, default=found.bound))
    return replace(best, bound=bound, nodes=found.nodes + sum(way.nodes for way in tried))


def _answered(
    task: Task, aims: Aims, rules: Levies, limits: Limits, engine: Engine, restraint: Restraint
) -> Found | None:
    """Return the engine's answer in exact trades; None where the cash that is to be kept cannot be."""
    made = formulate.formulate(task, aims, rules, restraint)
    solution = still.answer(made.problem, limits, engine)
    if solution.status is SolveStatus.INFEASIBLE and restraint.kept is None:
        assert solution.raisable is not None
        short = -exact(solution.raisable) / made.scale + made.crumb
        made = formulate.formulate(task, aims, rules, replace(restraint, short=short))
        solution = still.answer(made.problem, limits, engine)
    if solution.status is SolveStatus.INFEASIBLE:
        return None
    trades = quantise.quantise(task, aims, rules, made, solution.orders)
    paid_out = made.owed if made.has_payout else ZERO
    bound = made.constant + exact(solution.bound) / made.scale
    return Found(
        made,
        rules,
        trades,
        _count(task, aims, rules, made, trades),
        tally.count(task, aims, rules, (), cash=sum(made.cash.values(), ZERO) - paid_out),
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
            if made.has_payout and formulate.is_sheltered(task.accounts[key])
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
    try:
        other = _solved(task, evened.dearer(found.weight), found.rules, limits, engine, Restraint(found.frozen))
    except SolverFailed:
        return found
    counted = _count(task, aims, found.rules, other.made, other.trades)
    if counted.total > found.tally.total + found.made.crumb or counted.drift > found.hold.drift:
        return found
    return replace(found, made=other.made, trades=other.trades, tally=counted, nodes=found.nodes + other.nodes)


def _even_aims(task: Task, aims: Aims, found: Found) -> Aims | None:
    """Return aims with a point for each sleeve in a tie, None when nothing is tied."""
    moved = moved_by(found.trades.trades)
    tied = [
        (sleeve, aim, min(max(sleeve.entry.value, aim.low), aim.high))
        for sleeve in task.sleeves
        if (aim := aims.sleeves.get(sleeve.entry.key)) and aim.is_span and sleeve.entry.key not in found.frozen
    ]
    reached = [sleeve.entry.value + moved.get(sleeve.entry.key, ZERO) for sleeve, _, _ in tied]
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
    moved = moved_by(found.trades.trades)
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
    return replace(found, trades=_still(found), tally=found.hold)


def _still(found: Found) -> Quantised:
    return Quantised((), found.made.cash, found.made.paid, ZERO)
