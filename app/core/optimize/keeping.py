"""Keeping the policy's limits to the last digit: what being put on grains and edges took beyond them is given back.

An engine keeps a limit but for the noise of a float, and takes a tax below a billionth of a sale for none. The tax of
sales and what is traded are counted here in Decimal; sales that gain, and what they paid for, are then made smaller
until both fit. A sale that would owe tax is final from then on: nothing that is missing later makes it larger.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise

from app.core import lots
from app.core.aims import Aims
from app.core.levies import Levies
from app.core.money import ROUNDED, ZERO, floor_to_step
from app.core.needs import Task
from app.core.optimize.drafts import REPAIRS_MAX, Draft
from app.core.optimize.formulate import most_traded
from app.core.trades import TradeSide


def keep_limits(
    task: Task, aims: Aims, rules: Levies, drafts: Sequence[Draft], fill_purses: Callable[[], None]
) -> None:
    """Make orders smaller until tax budget and turnover hold exactly; `fill_purses` takes what is missing from others.

    Each round makes at least one order smaller for good, so rounds end.
    """
    budget, most = task.snapshot.policy.tax_budget, most_traded(task, aims)
    changed = True
    while changed:
        changed = budget is not None and _keep_budget(rules, drafts, budget)
        if changed:
            fill_purses()
        if most is not None and _keep_turnover(drafts, most):
            fill_purses()
            changed = True


def _keep_budget(rules: Levies, drafts: Sequence[Draft], budget: Decimal) -> bool:
    """Make sales smaller until their tax is within the budget; say whether that was needed."""
    sales = [
        draft
        for draft in drafts
        if draft.side is TradeSide.SELL and draft.units and draft.place.account.id in rules.taxable
    ]
    dues = {id(draft): _due(rules, draft, draft.units) for draft in sales}
    over = sum(dues.values(), ZERO) - budget
    if over <= ZERO:
        return False
    for draft in sales:
        draft.is_final = draft.is_final or _gains(rules, draft)
    sales = sorted((draft for draft in sales if dues[id(draft)] > ZERO), key=_hardest_last)
    for draft in sales:
        units = _fitting(rules, draft, dues[id(draft)] - over)
        if units and _shrunk(draft, units):
            return True
    # None can give so much and still mean something: the smallest that owes enough goes, or the one that owes most.
    least = min(sales, key=lambda one: (dues[id(one)] < over, one.value if dues[id(one)] >= over else -dues[id(one)]))
    least.units = ZERO
    return True


def _hardest_last(draft: Draft) -> tuple[bool, bool, Decimal]:
    return bool(draft.place.asset.quantity_step), draft.at_edge, -draft.value


def _shrunk(draft: Draft, units: Decimal) -> bool:
    """Make an order smaller, and say whether that is possible without making it too small."""
    before, draft.units = draft.units, units
    if draft.is_small:
        draft.units = before
    return draft.units < before


def _gains(rules: Levies, draft: Draft) -> bool:
    """Say whether more of a sale could owe tax."""
    return any(
        lot.basis < lot.quantity * draft.unit
        and rules.of_lot(draft.place.asset, draft.place.account.id, lot, draft.unit).due
        for lot in draft.queue
    )


def _due(rules: Levies, draft: Draft, units: Decimal) -> Decimal:
    return sum(_dues(rules, draft, units), ZERO)


def _dues(rules: Levies, draft: Draft, units: Decimal) -> list[Decimal]:
    """Return the tax that each lot's part of a sale of so many units owes; negative is a saving."""
    asset, account, unit = draft.place.asset, draft.place.account.id, draft.unit
    sales = lots.take(draft.queue, units, unit, rules.today)
    return [rules.of_lot(asset, account, sale.lot, unit).due * sale.gain for sale in sales]


def _fitting(rules: Levies, draft: Draft, most: Decimal) -> Decimal:
    """Return how many units of a sale owe no more than `most`: a grain less or a few, else as many as fit.

    Tax is a line over each lot; from the last lot sold down, the first one on which it comes down to `most` counts.
    """
    for grains in range(1, REPAIRS_MAX):
        units = floor_to_step(draft.units - grains * draft.grain, draft.grain) if _has(draft, grains) else ZERO
        if units and _due(rules, draft, units) <= most:
            return units
    ends, owed = [ZERO], [ZERO]
    for lot, due in zip(draft.queue, _dues(rules, draft, draft.units), strict=False):
        ends.append(min(ends[-1] + lot.quantity, draft.units))
        owed.append(owed[-1] + due)
    for (low, below), (high, above) in reversed(list(pairwise(zip(ends, owed, strict=True)))):
        if below <= most < above:
            share = ROUNDED.divide(most - below, above - below)
            return _downwards(rules, draft, ROUNDED.add(low, ROUNDED.multiply(high - low, share)), most)
    return ZERO


def _has(draft: Draft, grains: int) -> bool:
    return draft.units > grains * draft.grain


def _downwards(rules: Levies, draft: Draft, units: Decimal, most: Decimal) -> Decimal:
    """Return the units, put on grains, less the few grains that a rounding of their basis may cost."""
    units = floor_to_step(units, draft.grain)
    for _ in range(REPAIRS_MAX):
        if units <= ZERO or _due(rules, draft, units) <= most:
            return max(ZERO, units)
        units -= draft.grain
    return ZERO


def _keep_turnover(drafts: Sequence[Draft], most: Decimal) -> bool:
    """Make purchases smaller, else sales, until no more is traded than `most`; say whether that was needed."""
    over = sum((draft.value for draft in drafts), ZERO) - most
    if over <= ZERO:
        return False
    buys = [draft for draft in drafts if draft.side is TradeSide.BUY and draft.units]
    few = sorted(buys or [draft for draft in drafts if draft.units], key=_hardest_last)
    for draft in few:
        draft.is_final = True
    for draft in few:
        left = ROUNDED.divide(draft.value - over, draft.unit)
        if left > ZERO and (units := floor_to_step(left, draft.grain)) and _shrunk(draft, units):
            return True
    least = min(few, key=lambda one: (one.value < over, one.value if one.value >= over else -one.value))
    least.units = ZERO
    return True
