"""From an answer back to trades: floats become exact quantities, and cash is counted again in Decimal.

An answer stands on edges of the problem: whole lots, whole steps, the goals of sleeves, the goal of cash. A float that
is within a crumb of an edge is meant to be on it, and is put there exactly, or as near as a grain comes to it. What is
then missing in an account, a crumb, is taken from a purchase or raised by a sale: no account is ever overdrawn.

A grain is the step, and where an asset has none 8 decimals, or as many more as it takes for a grain to be worth no more
than 1e-11 of the value: what a float is noisy about is not told, and J moves by less than 1e-9 of the value. Only what
ends with a whole lot has the decimals of the lot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import takewhile
from typing import Final

from app.core import lots
from app.core.aims import Aims
from app.core.costs import cost_of
from app.core.levies import Levies
from app.core.money import (
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    ceil_to_step,
    exactly,
    floor_to_step,
    quantum,
    round_half_even,
    round_up,
)
from app.core.needs import Task
from app.core.optimize.drafts import Draft, bring, cash_after, is_loose, keep_reserve, mend, spend
from app.core.optimize.formulate import ORDERED, Formulation, Place
from app.core.optimize.keeping import keep_limits
from app.core.optimize.problem import NO_GROUP, Entry, Order
from app.core.portfolio import TaxLot
from app.core.trades import MOST_UNITS, Trade, TradeSide

ORDER_PLACES: Final = 8
"""Decimals of an order in an asset without a step: what brokers of fractions and most crypto venues take."""
GRAIN_SHARE: Final = Decimal("1E-11")
"""Share of the value that a grain may be worth; of a dear asset in a small portfolio more decimals are told."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Exact trades, sells first and then the largest purchases; cash by account after them; what was paid out, by whom.

    `short` is the part of a withdrawal that nothing could pay.
    """

    trades: tuple[Trade, ...]
    cash: Mapping[str, Decimal]
    paid: Mapping[str, Decimal]
    short: Decimal


def exact(number: float) -> Decimal:
    """Return the shortest decimal that is the same float: what an engine means by a number, 17 digits at most."""
    return Decimal(repr(number))


def inexact(number: Decimal) -> float:
    """Return the float nearest to a number, for those who only want to know about how much it is."""
    return float(number)


def grain_of(place: Place, value: Decimal) -> Decimal:
    """Return the quantity that orders are multiples of: the step, else what is worth little enough; see the module."""
    if place.asset.quantity_step:
        return place.asset.quantity_step
    most = ROUNDED.multiply(GRAIN_SHARE, value)
    places = range(ORDER_PLACES, QUANTITY_PLACES)
    return next((quantum(few) for few in places if place.quote.unit.scaleb(-few) <= most), quantum(QUANTITY_PLACES))


@exactly
def quantise(task: Task, aims: Aims, rules: Levies, made: Formulation, orders: Sequence[Sequence[Order]]) -> Quantised:
    """Return exact trades for an answer. Units are grains or end with a whole lot; see the module."""
    crumb = made.crumb
    drafts = [
        draft
        for number, places in enumerate(made.places)
        for place, entry, order in zip(places, made.problem.sleeves[number].entries, orders[number], strict=True)
        if (draft := _draft(task, number, place, entry, order, crumb, grain_of(place, aims.value)))
    ]
    drafts = [draft for draft in drafts if not draft.is_dust]
    for number in range(len(made.places)):
        _to_edge(made, number, [draft for draft in drafts if draft.sleeve == number], crumb)
    paid = _payouts(task, made, orders, crumb)
    cash = {key: amount - paid.get(key, ZERO) for key, amount in made.cash.items()}
    _balance(aims, cash, drafts, crumb)
    _fill_purses(made, cash, drafts)
    keep_reserve(aims, cash, drafts)
    keep_limits(task, aims, rules, drafts, partial(_fill_purses, made, cash, drafts))
    drafts = [draft for draft in drafts if draft.units]
    left = cash_after(cash, drafts)
    _share_payout(paid, left)
    single_short = max(ZERO, -min(left.values(), default=ZERO))
    paid_by = dict(made.paid)
    for key, amount in (paid if len(cash) > 1 else dict.fromkeys(cash, made.owed - single_short)).items():
        if amount:
            paid_by[key] = paid_by.get(key, ZERO) + amount
    short = made.owed - sum(paid.values(), ZERO) if len(cash) > 1 else single_short
    return Quantised(_trades(task, drafts), {key: max(ZERO, amount) for key, amount in left.items()}, paid_by, short)


def _fill_purses(made: Formulation, cash: Mapping[str, Decimal], drafts: Sequence[Draft]) -> None:
    for key in cash:
        mend(cash, made.floors[key], [draft for draft in drafts if draft.place.account.id == key], key)


def _draft(
    task: Task, sleeve: int, place: Place, entry: Entry, order: Order, crumb: Decimal, grain: Decimal
) -> Draft | None:
    """Return an order in exact units; None where a float means nothing."""
    step = place.asset.quantity_step
    if order.buy and exact(order.buy) * place.quote.unit > crumb:
        units = min(_nearest(exact(order.buy), grain), floor_to_step(MOST_UNITS, grain))
        return Draft(sleeve, place, TradeSide.BUY, units, grain, crumb) if units else None
    sold = [exact(part) for part in order.sell]
    if sum(sold, ZERO) * place.quote.unit <= crumb:
        return None
    slack = round_up(ROUNDED.divide(crumb, place.quote.unit), QUANTITY_PLACES)
    queue, certain = _queue(task, place, entry, sold, slack)
    total, held = sum(sold, ZERO), sum((lot.quantity for lot in queue), ZERO)
    if abs(certain - total) <= slack:
        total = certain
    if step or total != certain:
        total = _nearest(total, grain)
    units = min(total, floor_to_step(held, step) if step else held)
    return Draft(sleeve, place, TradeSide.SELL, units, grain, crumb, queue) if units else None


def _nearest(units: Decimal, grain: Decimal) -> Decimal:
    """Return the nearest multiple of a grain: an answer is on one, but for noise."""
    below, above = floor_to_step(units, grain), ceil_to_step(units, grain)
    return below if units - below <= above - units else above


def _queue(
    task: Task, place: Place, entry: Entry, sold: Sequence[Decimal], slack: Decimal
) -> tuple[tuple[TaxLot, ...], Decimal]:
    """Return the lots in the order in which they go, and how many units are whole lots of it.

    A fixed method has its order, up to a lot that stays. Else lots that are sold out go first, then those that are
    sold in part, then others, each in the order of least tax. A lot at a loss stays where its group is bought and the
    answer left it.
    """
    pairs = list(zip(place.lots, entry.lots, sold, strict=True))
    emptied = [lot for lot, _, part in pairs if part and part >= lot.quantity - slack]
    whole = sum((lot.quantity for lot in emptied), ZERO)
    if task.snapshot.policy.lot_method in ORDERED:
        grouped = entry.group != NO_GROUP and not any(asked.loss and part > slack for _, asked, part in pairs)
        going = takewhile(lambda pair: pair[1].sellable and not (grouped and pair[1].loss), pairs)
        return tuple(lot for lot, _, _ in going), whole
    begun = [lot for lot, _, part in pairs if slack < part < lot.quantity - slack]
    idle = [
        lot
        for lot, asked, part in pairs
        if part <= slack and lot not in emptied and asked.sellable and not (asked.loss and entry.group != NO_GROUP)
    ]
    return (*emptied, *begun, *idle), whole


def _to_edge(made: Formulation, number: int, drafts: Sequence[Draft], crumb: Decimal) -> None:
    """Put a sleeve that is within a crumb of an edge of its aim exactly there, by an order that has no step."""
    if not drafts:
        return
    held = sum((lot.quantity * place.quote.unit for place in made.places[number] for lot in place.lots), ZERO)
    worth = held + sum((draft.value if draft.side is TradeSide.BUY else -draft.value for draft in drafts), ZERO)
    aim = made.aims[number]
    edge = next((one for one in (aim.target, aim.low, aim.high) if abs(worth - one) <= crumb), None)
    for draft in drafts:
        if draft.place.minimum - crumb <= draft.value < draft.place.minimum and not draft.place.asset.quantity_step:
            units = ceil_to_step(ROUNDED.divide(draft.place.minimum, draft.unit), draft.grain)
            draft.units = min(units, draft.held) if draft.side is TradeSide.SELL else units
            draft.at_edge = True
    if edge is None:
        return
    for draft in drafts:
        draft.at_edge = True
    loose = [draft for draft in drafts if is_loose(draft)]
    if not loose:
        return
    draft = max(loose, key=lambda one: one.value)
    change = edge - worth if draft.side is TradeSide.BUY else worth - edge
    units = floor_to_step(ROUNDED.divide(draft.value + change, draft.unit), draft.grain)
    if units > ZERO and (draft.side is TradeSide.BUY or units <= draft.held):
        before, draft.units = draft.units, units
        if draft.is_small:
            draft.units = before


def _payouts(task: Task, made: Formulation, orders: Sequence[Sequence[Order]], crumb: Decimal) -> dict[str, Decimal]:
    """Return what each account pays of a withdrawal that is still owed; none where there is only one account."""
    if not made.has_payout:
        return {}
    wanted = [round_half_even(exact(order.buy), 10) for order in orders[-1]]
    paid = {key: amount for key, amount in zip(task.accounts, wanted, strict=True) if amount > crumb}
    missing = made.owed - sum(paid.values(), ZERO)
    if paid and abs(missing) <= crumb * len(wanted):
        paid[max(paid, key=lambda key: paid[key])] += missing
    return paid


def _share_payout(paid: dict[str, Decimal], left: dict[str, Decimal]) -> None:
    """Let the account with most cash pay the crumb that another one cannot after all; what it has not is short."""
    for key, amount in left.items():
        missing = min(max(ZERO, -amount), paid.get(key, ZERO))
        if missing:
            payer = max(left, key=lambda name: left[name])
            part = min(missing, max(ZERO, left[payer]))
            for name, change in ((key, -missing), (payer, part)):
                paid[name] = paid.get(name, ZERO) + change
                left[name] -= change


def _balance(aims: Aims, cash: Mapping[str, Decimal], drafts: Sequence[Draft], crumb: Decimal) -> None:
    """Bring cash that is within crumbs of its goal exactly there, by an order that is on no other edge."""
    free = [draft for draft in drafts if is_loose(draft) and not draft.at_edge]
    excess = sum(cash_after(cash, drafts).values(), ZERO) - aims.cash
    if not free or not ZERO < abs(excess) <= crumb * len(drafts):
        return
    draft = max(free, key=lambda one: (one.side is TradeSide.BUY, one.value))
    if draft.side is TradeSide.BUY:
        spend(draft, -draft.net + excess)
    else:
        bring(draft, draft.net - excess)


def _trades(task: Task, drafts: Sequence[Draft]) -> tuple[Trade, ...]:
    today = task.snapshot.as_of.date()
    found = []
    for draft in drafts:
        place, selling = draft.place, draft.side is TradeSide.SELL
        sales = lots.take(draft.queue, draft.units, draft.unit, today) if selling else ()
        costs = cost_of(place.costs, draft.value)
        found.append(
            Trade(
                place.key,
                place.asset,
                place.account.id,
                draft.side,
                draft.units,
                place.quote.price,
                draft.value,
                costs,
                sales,
            )
        )
    sells = [trade for trade in found if trade.side is TradeSide.SELL]
    buys = sorted((trade for trade in found if trade.side is TradeSide.BUY), key=lambda trade: -trade.value)
    return (*sells, *buys)
