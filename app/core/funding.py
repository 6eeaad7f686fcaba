"""Paying for buys: how far the cash goes, and what is left out because it would be dust."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from app.core.costs import cost_of
from app.core.money import MONEY_PLACES, ONE, ROUNDED, ZERO, exactly, round_down
from app.core.needs import Sleeve
from app.core.optimize.allocate import water_fill
from app.core.portfolio import Asset
from app.core.trades import Desk

FUNDING_ROUNDS: Final = 3


@exactly
def buy(desk: Desk, sleeves: Sequence[Sleeve], wanted: Sequence[Decimal], budget: Decimal) -> None:
    """Buy what the sleeves lack of `wanted` (money), as far as `budget` (money) goes, costs included.

    What would be dust is left out, with its reason, and makes room for the others.
    """
    gaps: dict[int, Decimal] = {}
    assets: dict[int, Asset] = {}
    for index, (sleeve, goal) in enumerate(zip(sleeves, wanted, strict=True)):
        gap = goal - sleeve.entry.value
        if gap <= ZERO or sleeve.buyable is None:
            continue
        if desk.buy_is_dust(sleeve.buyable, gap):
            desk.skip_dust(sleeve.entry.key, sleeve.buyable, gap)
            continue
        gaps[index], assets[index] = gap, sleeve.buyable
    amounts = _funded(gaps, assets, budget)
    while dust := [index for index in amounts if desk.buy_is_dust(assets[index], amounts[index])]:
        # Whoever gets nothing makes no room, so all of them go at once; else the smallest goes.
        unfunded = [index for index in dust if not amounts[index]]
        for index in unfunded or [min(dust, key=lambda index: (amounts[index], -index))]:
            desk.skip_unpaid(sleeves[index].entry.key, assets[index], gaps.pop(index), amounts[index])
        amounts = _funded(gaps, assets, budget)
    for index in sorted(amounts, key=lambda index: (-amounts[index], index)):
        budget -= desk.buy(sleeves[index].entry.key, assets[index], amounts[index], budget)


def _funded(gaps: Mapping[int, Decimal], assets: Mapping[int, Asset], budget: Decimal) -> dict[int, Decimal]:
    """Share the budget among the gaps, leaving room for what the buys cost."""
    amounts, costs = _filled(gaps, assets, budget)
    if sum(amounts.values(), costs) <= budget:
        return amounts
    room = budget - costs
    rise = ONE + dearest(assets.values())
    for _ in range(FUNDING_ROUNDS):
        amounts, costs = _filled(gaps, assets, room)
        # A little more room costs at most `rise` of it, so this nears the answer from below.
        room += round_down(ROUNDED.divide(budget - room - costs, rise), MONEY_PLACES)
    return _filled(gaps, assets, room)[0]


def _filled(
    gaps: Mapping[int, Decimal], assets: Mapping[int, Asset], room: Decimal
) -> tuple[dict[int, Decimal], Decimal]:
    amounts = dict(zip(gaps, water_fill(list(gaps.values()), room), strict=True))
    paid = (cost_of(assets[index].costs, amount).total for index, amount in amounts.items() if amount)
    return amounts, sum(paid, ZERO)


def dearest(assets: Iterable[Asset]) -> Decimal:
    """Return the largest share of its value that trading a little more of any of the assets costs."""
    return max((asset.costs.rate + asset.costs.half_spread for asset in assets), default=ZERO)
