"""Water-filling: where each sleeve would stand if nothing but money were in the way, in exact money.

It knows nothing of lots, steps and fees. It shares what is over, or missing, evenly where the objective is indifferent:
`aims` makes goals of it, `seek` settles ties by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from app.core.bands import Width
from app.core.money import HUNDRED, ROUNDED, ZERO, exactly, quantum
from app.core.targets import CASH

# Quotients here steer, they do not book: trades are rounded to steps and re-checked against cash afterwards.
STEERING_PLACES = 20


class PlanScope(Enum):
    """What a plan covers."""

    FULL = "FULL"
    BREACHED_ONLY = "BREACHED_ONLY"
    CASH_FLOW = "CASH_FLOW"
    RAISE_CASH = "RAISE_CASH"
    HARVEST = "HARVEST"


@dataclass(frozen=True, slots=True)
class SleeveNeed:
    """One sleeve to place: target in percent, value now, half-widths in points, whether it may be bought or sold."""

    key: str
    target: Decimal
    value: Decimal
    width: Width
    breached: bool
    can_buy: bool
    can_sell: bool


@exactly
def water_fill(gaps: Sequence[Decimal], amount: Decimal) -> list[Decimal]:
    """Share `amount` >= 0 among gaps: x_i = max(0, gap_i - m) with m such that the x_i sum to the amount.

    The largest gaps are brought down to one level; nobody with a gap below it gets anything. When the amount is more
    than all positive gaps, m is negative only down to 0: what is left over is not shared. Money; m to 20 decimals.
    """
    order = sorted((index for index, gap in enumerate(gaps) if gap > ZERO), key=lambda i: (-gaps[i], i))
    filled = [ZERO] * len(gaps)
    if amount <= ZERO or not order:
        return filled
    total, level, chosen = ZERO, ZERO, 0
    for count, index in enumerate(order, start=1):
        total += gaps[index]
        candidate = ROUNDED.divide(total - amount, Decimal(count))
        following = gaps[order[count]] if count < len(order) else ZERO
        if candidate >= following or count == len(order):
            level, chosen = max(ZERO, candidate), count
            break
    level = level.quantize(quantum(STEERING_PLACES), context=ROUNDED)
    for index in order[:chosen]:
        filled[index] = max(ZERO, gaps[index] - level)
    return filled


@exactly
def wanted_values(
    needs: Sequence[SleeveNeed], size: Decimal, *, scope: PlanScope, kept: Decimal, withdrawing: bool
) -> list[Decimal]:
    """Return the wanted value of each sleeve, in money, when `size` is to be spread over all of them.

    T_i = t_i size. FULL brings each sleeve to its destination, BREACHED_ONLY each breached one; `kept` (0..1) is the
    share of the band that is left. What is then over or missing is water-filled over the distances to T: sleeves below
    T take what is over, sleeves above T give what is missing, none beyond T. CASH_FLOW only takes (only gives when
    withdrawing), and what the sleeve CASH has above T is there to be taken. A sleeve that may not be sold or bought
    stays where it is.
    """
    goals = [need.target * size / HUNDRED for need in needs]
    wanted = [need.value for need in needs]
    if scope is not PlanScope.CASH_FLOW:
        for index, need in enumerate(needs):
            if scope is PlanScope.FULL or need.breached:
                wanted[index] = _destination(need, goals[index], size, kept)
    elif not withdrawing:
        wanted = [
            min(place, goal) if need.key == CASH else place
            for need, goal, place in zip(needs, goals, wanted, strict=True)
        ]
    over = size - sum(wanted, ZERO)
    if over > ZERO and not (scope is PlanScope.CASH_FLOW and withdrawing):
        room = [goal - place if need.can_buy else ZERO for need, goal, place in zip(needs, goals, wanted, strict=True)]
        wanted = [place + add for place, add in zip(wanted, water_fill(room, over), strict=True)]
    elif over < ZERO and (scope is not PlanScope.CASH_FLOW or withdrawing):
        give = [place - goal if need.can_sell else ZERO for need, goal, place in zip(needs, goals, wanted, strict=True)]
        wanted = [place - less for place, less in zip(wanted, water_fill(give, -over), strict=True)]
    return wanted


def _destination(need: SleeveNeed, goal: Decimal, size: Decimal, kept: Decimal) -> Decimal:
    floor = goal - kept * need.width.down * size / HUNDRED
    ceiling = goal + kept * need.width.up * size / HUNDRED
    place = min(max(need.value, floor), ceiling)
    if place < need.value and not need.can_sell:
        return need.value
    return need.value if place > need.value and not need.can_buy else place
