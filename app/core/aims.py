"""Where a plan aims: for each sleeve the span of money in which it costs nothing, for cash its goal.

    J of a sleeve worth X = price x max(0, low - X, X - high)       price: what one unit of money off target costs

T_i = t_i size, where size is B + deployable cash + cash flow: sizes are on the value after the flow. The span is

    TARGET                  T                           a destination in the band   T - kept down .. T + kept up
    HARVEST                 T -+ max(band, drift)       BREACHED_ONLY, in band      the band
    short of T              W .. T

W is where exact water-filling would leave a sleeve that cannot be brought to T, because the cash does not suffice or
others cannot move: up to W it has its share of the money, beyond W it takes what others cannot use. What no sleeve can
use, even with all others at W, is part of the goal of cash: there is nothing better to do with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core import bands
from app.core.drift import DriftStatus, Report, Snapshot
from app.core.money import HUNDRED, ZERO, exactly
from app.core.needs import Sleeve, Task
from app.core.optimize.allocate import PlanScope, SleeveNeed, wanted_values, water_fill
from app.core.plan_values import PlanRequest
from app.core.policy import DRIFT_PRICE

TRADE_PRICE: Final = Decimal("0.00001")
"""What one unit of money traded costs in the objective: of two plans as good, the one that trades less."""
RANK_PRICE: Final = Decimal("0.0001")
"""What one unit of money bought costs for each place after the first member: leaving it needs a reason."""

DUST_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Aim:
    """Span of money in which a sleeve costs nothing, and the value at its target; money."""

    low: Decimal
    high: Decimal
    target: Decimal

    def off(self, worth: Decimal) -> Decimal:
        """Return how far a value is outside the span, money >= 0."""
        return max(ZERO, self.low - worth, worth - self.high)

    @property
    def is_span(self) -> bool:
        return self.low < self.high


@dataclass(frozen=True, slots=True)
class Aims:
    """Aims by the key of the sleeve, and that of cash in the base currency, which the sleeve CASH is; money.

    `size` is what the targets are shares of, `value` is V with the flow. `floor` is the cash that purchases leave, as
    far as there is any. `price` and `cash_price` are what one unit of money off its aim costs.
    """

    sleeves: Mapping[str, Aim]
    cash: Decimal
    floor: Decimal
    price: Decimal
    cash_price: Decimal
    size: Decimal
    value: Decimal

    @exactly
    def dearer(self, weight: Decimal) -> "Aims":
        """Return the same aims at so many times the price."""
        return replace(self, price=self.price * weight, cash_price=self.cash_price * weight)


@exactly
def aims_of(task: Task) -> Aims:
    """Return where a plan aims; formulas above, money, exact but for the water level (20 decimals)."""
    snapshot, before, sleeves, request = task.snapshot, task.before, task.sleeves, task.request
    size, reserve = _size(snapshot, before, request)
    price = snapshot.policy.drift_price or DRIFT_PRICE[snapshot.policy.objective]
    wanted = _wanted(task, size)
    idle = max(ZERO, size - sum(wanted, ZERO))
    spans = {
        sleeve.entry.key: _aim(snapshot, sleeve, request, goal, size)
        for sleeve, goal in zip(sleeves, wanted, strict=True)
        if not sleeve.is_cash
    }
    if reserve is not None:
        cash, floor = reserve + idle, reserve
    else:
        goal = next(goal for sleeve, goal in zip(sleeves, wanted, strict=True) if sleeve.is_cash)
        foreign = (before.valuation.cash or ZERO) - sum(task.cash.values(), ZERO)
        cash, floor = max(ZERO, goal + idle - foreign), ZERO
    if request.scope is PlanScope.HARVEST:
        cash, floor = sum(task.cash.values(), ZERO), ZERO
    value = max(before.valuation.value or ZERO, size) + max(ZERO, request.cash_flow)
    return Aims(spans, cash, floor, price, price, size, value)


def kept_of(snapshot: Snapshot) -> Decimal:
    """Return which share of a band a rebalance leaves."""
    return bands.share_kept(snapshot.policy.destination, snapshot.policy.band_kept)


def _size(snapshot: Snapshot, before: Report, request: PlanRequest) -> tuple[Decimal, Decimal | None]:
    """Return the value to spread over the sleeves, and the cash that stays; None when the sleeve CASH says how much."""
    valuation, targets, flow = before.valuation, snapshot.targets, request.cash_flow
    assert targets
    assert valuation.value is not None
    assert before.base is not None
    if targets.has_cash:
        return before.base + flow, None
    available = sum(snapshot.portfolio.base_cash.values(), flow)
    buffer = snapshot.policy.cash_buffer * (valuation.value + flow) / HUNDRED
    # The buffer is kept when there is cash for it; only FULL sells to fill it up.
    reserve = max(ZERO, buffer if request.scope is PlanScope.FULL else min(buffer, available))
    return before.base + available - reserve, reserve


def _wanted(task: Task, size: Decimal) -> list[Decimal]:
    """Return the value at which water-filling leaves each sleeve; what cannot be paid for is shared by all.

    A sleeve whose part would be dust stays where it is, the smallest first, and makes room for the others.
    """
    stuck: set[int] = set()
    while True:
        wanted = _filled(task, size, stuck)
        dust = [
            (abs(goal - sleeve.entry.value), place)
            for place, (sleeve, goal) in enumerate(zip(task.sleeves, wanted, strict=True))
            if place not in stuck and goal != sleeve.entry.value and _is_dust(task, sleeve, goal)
        ]
        if not dust:
            return wanted
        stuck.update(place for _, place in (dust if len(stuck) >= DUST_ROUNDS else [min(dust)]))


def _is_dust(task: Task, sleeve: Sleeve, goal: Decimal) -> bool:
    """Say whether bringing a sleeve to its goal takes less than the least order of all that could be traded."""
    if goal < sleeve.entry.value:
        least = [
            min(task.least(holding.account_id, holding.asset), holding.value or ZERO) for holding in sleeve.sellable
        ]
    else:
        least = [task.least(key, asset) for asset in sleeve.buyable for key in task.cash]
    return not sleeve.is_cash and abs(goal - sleeve.entry.value) < min(least, default=ZERO)


def _filled(task: Task, size: Decimal, stuck: set[int]) -> list[Decimal]:
    buys, sells = sides(task.request)
    needs = [
        SleeveNeed(
            key=sleeve.entry.key,
            target=sleeve.entry.target,
            value=sleeve.entry.value,
            width=sleeve.entry.width,
            breached=sleeve.entry.status is DriftStatus.BREACHED,
            can_buy=(buys and bool(sleeve.buyable) and place not in stuck) or sleeve.is_cash,
            can_sell=(sells and bool(sleeve.sellable) and place not in stuck) or sleeve.is_cash,
        )
        for place, sleeve in enumerate(task.sleeves)
    ]
    scope = PlanScope.CASH_FLOW if task.request.scope is PlanScope.RAISE_CASH else task.request.scope
    withdrawing = not buys or task.request.cash_flow < ZERO
    wanted = wanted_values(needs, size, scope=scope, kept=kept_of(task.snapshot), withdrawing=withdrawing)
    missing = sum(wanted, ZERO) - size
    gaps = [max(ZERO, goal - need.value) for goal, need in zip(wanted, needs, strict=True)]
    if missing <= ZERO or not any(gaps):
        return wanted
    shared = water_fill(gaps, max(ZERO, sum(gaps, ZERO) - missing))
    return [goal - gap + part for goal, gap, part in zip(wanted, gaps, shared, strict=True)]


def sides(request: PlanRequest) -> tuple[bool, bool]:
    """Say whether a plan of this scope may buy, and whether it may sell."""
    withdrawing = request.cash_flow < ZERO
    if request.scope is PlanScope.RAISE_CASH:
        return False, True
    if request.scope is PlanScope.CASH_FLOW:
        return not withdrawing, withdrawing
    return True, True


def _aim(snapshot: Snapshot, sleeve: Sleeve, request: PlanRequest, wanted: Decimal, size: Decimal) -> Aim:
    entry, scope = sleeve.entry, request.scope
    target = entry.target * size / HUNDRED
    down, up = entry.width.down * size / HUNDRED, entry.width.up * size / HUNDRED
    if scope is PlanScope.HARVEST:
        drift = abs(entry.value - target)
        return Aim(target - max(down, drift), target + max(up, drift), target)
    if scope is PlanScope.CASH_FLOW:
        return Aim(min(wanted, target), max(wanted, target), target)
    if scope is PlanScope.BREACHED_ONLY and entry.status is not DriftStatus.BREACHED:
        return Aim(target - down, target + up, target)
    kept = kept_of(snapshot)
    low, high = target - kept * down, target + kept * up
    if scope is PlanScope.RAISE_CASH or not sleeve.buyable or wanted >= low:
        return Aim(low, high, target)
    return Aim(wanted, high, target)
