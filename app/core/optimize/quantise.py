"""From an answer back to trades: floats become exact quantities, and cash is counted again in Decimal.

An answer stands on edges of the problem: whole lots, whole steps, the goals of sleeves, the goal of cash. A float that
is within a crumb of an edge is meant to be on it, and is put there exactly. Purchases are rounded down, and what is
then missing in an account, a crumb, is taken from a purchase or raised by a sale: no account is ever overdrawn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from app.core import lots
from app.core.aims import Aims
from app.core.costs import affordable, cost_of
from app.core.money import (
    ONE,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    ceil_to_step,
    exactly,
    floor_to_step,
    quotient_down,
    round_half_even,
    round_up,
)
from app.core.needs import Task
from app.core.optimize.formulate import ORDERED, Formulation, Place
from app.core.optimize.problem import NO_GROUP, Entry, Order
from app.core.portfolio import TaxLot
from app.core.trades import MOST_UNITS, Trade, TradeSide

REPAIRS_MAX: Final = 8
LEAST_KEPT: Final = Decimal("0.01")
"""What is left at least of a unit of money sold, when more has to be raised; below, costs eat nearly all of it."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Exact trades, sells first and then the largest purchases; cash by account after them; what was paid out, by whom.

    `short` is the part of a withdrawal that nothing could pay.
    """

    trades: tuple[Trade, ...]
    cash: Mapping[str, Decimal]
    paid: Mapping[str, Decimal]
    short: Decimal


@dataclass(slots=True)
class _Draft:
    """One order while it is being put right. `queue` are the lots of a sale, in the order in which they go."""

    sleeve: int
    place: Place
    side: TradeSide
    units: Decimal
    queue: tuple[TaxLot, ...] = ()
    at_edge: bool = False

    @property
    def unit(self) -> Decimal:
        return self.place.quote.unit

    @property
    def value(self) -> Decimal:
        return self.units * self.unit

    @property
    def net(self) -> Decimal:
        """What the order adds to cash, costs taken off; negative for a purchase."""
        costs = cost_of(self.place.costs, self.value).total
        return self.value - costs if self.side is TradeSide.SELL else -self.value - costs

    @property
    def held(self) -> Decimal:
        return sum((lot.quantity for lot in self.queue), ZERO)

    @property
    def is_small(self) -> bool:
        """Whether it is below the least order, which only a full exit may be."""
        whole = sum((lot.quantity for lot in self.place.lots), ZERO)
        return self.value < self.place.minimum and not (self.side is TradeSide.SELL and self.units == whole)


def exact(number: float) -> Decimal:
    """Return the shortest decimal that is the same float: what an engine means by a number, 17 digits at most."""
    return Decimal(repr(number))


def inexact(number: Decimal) -> float:
    """Return the float nearest to a number, for those who only want to know about how much it is."""
    return float(number)


@exactly
def quantise(task: Task, aims: Aims, made: Formulation, orders: Sequence[Sequence[Order]]) -> Quantised:
    """Return exact trades for an answer. Units down to 18 decimals or the step, money exact; see the module."""
    crumb = made.crumb
    drafts = [
        draft
        for number, places in enumerate(made.places)
        for place, entry, order in zip(places, made.problem.sleeves[number].entries, orders[number], strict=True)
        if (draft := _draft(task, number, place, entry, order, crumb))
    ]
    for number in range(len(made.places)):
        _to_edge(made, number, [draft for draft in drafts if draft.sleeve == number], crumb)
    paid = _payouts(task, made, orders, crumb)
    cash = {key: amount - paid.get(key, ZERO) for key, amount in made.cash.items()}
    _balance(aims, cash, drafts, crumb)
    for key in cash:
        _mend(cash, made.floors[key], [draft for draft in drafts if draft.place.account.id == key], key)
    _keep_reserve(aims, cash, drafts)
    drafts = [draft for draft in drafts if draft.units]
    left = _cash_after(cash, drafts)
    single_short = max(ZERO, -min(left.values(), default=ZERO))
    paid_by = dict(made.paid)
    for key, amount in (paid if len(cash) > 1 else dict.fromkeys(cash, made.owed - single_short)).items():
        if amount:
            paid_by[key] = paid_by.get(key, ZERO) + amount
    short = made.owed - sum(paid.values(), ZERO) if len(cash) > 1 else single_short
    return Quantised(_trades(task, drafts), {key: max(ZERO, amount) for key, amount in left.items()}, paid_by, short)


def _draft(task: Task, sleeve: int, place: Place, entry: Entry, order: Order, crumb: Decimal) -> _Draft | None:
    """Return an order in exact units; None where a float means nothing."""
    step = place.asset.quantity_step
    if order.buy and exact(order.buy) * place.quote.unit > crumb:
        units = _nearest(exact(order.buy), step)
        return _Draft(sleeve, place, TradeSide.BUY, min(units, MOST_UNITS)) if units else None
    sold = [exact(part) for part in order.sell]
    if sum(sold, ZERO) * place.quote.unit <= crumb:
        return None
    slack = round_up(ROUNDED.divide(crumb, place.quote.unit), QUANTITY_PLACES)
    queue, certain = _queue(task, place, entry, sold, slack)
    total, held = sum(sold, ZERO), sum((lot.quantity for lot in queue), ZERO)
    if abs(certain - total) <= slack:
        total = certain
    units = min(_nearest(total, step), floor_to_step(held, step) if step else held)
    return _Draft(sleeve, place, TradeSide.SELL, units, queue) if units else None


def _nearest(units: Decimal, step: Decimal) -> Decimal:
    """Return the nearest multiple of a step: an answer is on one, but for noise. Without one, 18 decimals."""
    if not step:
        return round_half_even(units, QUANTITY_PLACES)
    below, above = floor_to_step(units, step), ceil_to_step(units, step)
    return below if units - below <= above - units else above


def _queue(
    task: Task, place: Place, entry: Entry, sold: Sequence[Decimal], slack: Decimal
) -> tuple[tuple[TaxLot, ...], Decimal]:
    """Return the lots in the order in which they go, and how many units are whole lots of it.

    A fixed method has its order. Else lots that are sold out go first, then those that are sold in part, then others,
    each in the order of least tax; a lot at a loss is not touched where its group is bought and the answer left it.
    """
    pairs = list(zip(place.lots, entry.lots, sold, strict=True))
    whole = sum((lot.quantity for lot, _, part in pairs if abs(lot.quantity - part) <= slack), ZERO)
    if task.snapshot.policy.lot_method in ORDERED:
        return tuple(lot for lot, asked, _ in pairs if asked.sellable), whole
    emptied = [lot for lot, _, part in pairs if part >= lot.quantity - slack]
    begun = [lot for lot, _, part in pairs if slack < part < lot.quantity - slack]
    idle = [
        lot
        for lot, asked, part in pairs
        if part <= slack and lot not in emptied and asked.sellable and not (asked.loss and entry.group != NO_GROUP)
    ]
    return (*emptied, *begun, *idle), whole


def _to_edge(made: Formulation, number: int, drafts: Sequence[_Draft], crumb: Decimal) -> None:
    """Put a sleeve that is within a crumb of an edge of its aim exactly there, by an order that has no step."""
    if not drafts:
        return
    held = sum((lot.quantity * place.quote.unit for place in made.places[number] for lot in place.lots), ZERO)
    worth = held + sum((draft.value if draft.side is TradeSide.BUY else -draft.value for draft in drafts), ZERO)
    aim = made.aims[number]
    edge = next((one for one in (aim.target, aim.low, aim.high) if abs(worth - one) <= crumb), None)
    for draft in drafts:
        if draft.place.minimum - crumb <= draft.value < draft.place.minimum and not draft.place.asset.quantity_step:
            draft.units = round_up(ROUNDED.divide(draft.place.minimum, draft.unit), QUANTITY_PLACES)
            draft.at_edge = True
    if edge is None:
        return
    for draft in drafts:
        draft.at_edge = True
    loose = [draft for draft in drafts if _is_loose(draft)]
    if not loose:
        return
    draft = max(loose, key=lambda one: one.value)
    change = edge - worth if draft.side is TradeSide.BUY else worth - edge
    units = quotient_down(draft.value + change, draft.unit, QUANTITY_PLACES)
    if units > ZERO and (draft.side is TradeSide.BUY or units <= draft.held):
        before, draft.units = draft.units, units
        if draft.is_small:
            draft.units = before


def _is_loose(draft: _Draft) -> bool:
    """Say whether an order can be changed by a crumb: it has no step, and a sale does not end with a whole lot."""
    if draft.place.asset.quantity_step:
        return False
    if draft.side is TradeSide.BUY:
        return True
    end = ZERO
    for lot in draft.queue:
        end += lot.quantity
        if end == draft.units:
            return False
    return True


def _payouts(task: Task, made: Formulation, orders: Sequence[Sequence[Order]], crumb: Decimal) -> dict[str, Decimal]:
    """Return what each account pays of a withdrawal that is still owed; none where there is only one account."""
    if len(made.places) == len(made.problem.sleeves):
        return {}
    wanted = [round_half_even(exact(order.buy), 10) for order in orders[-1]]
    paid = {key: amount for key, amount in zip(task.accounts, wanted, strict=True) if amount > crumb}
    missing = made.owed - sum(paid.values(), ZERO)
    if paid and abs(missing) <= crumb * len(wanted):
        paid[max(paid, key=lambda key: paid[key])] += missing
    return paid


def _cash_after(cash: Mapping[str, Decimal], drafts: Iterable[_Draft]) -> dict[str, Decimal]:
    left = dict(cash)
    for draft in drafts:
        if draft.units:
            left[draft.place.account.id] += draft.net
    return left


def _balance(aims: Aims, cash: Mapping[str, Decimal], drafts: Sequence[_Draft], crumb: Decimal) -> None:
    """Bring cash that is within crumbs of its goal exactly there, by an order that is on no other edge."""
    free = [draft for draft in drafts if _is_loose(draft) and not draft.at_edge]
    excess = sum(_cash_after(cash, drafts).values(), ZERO) - aims.cash
    if not free or not ZERO < abs(excess) <= crumb * len(drafts):
        return
    draft = max(free, key=lambda one: (one.side is TradeSide.BUY, one.value))
    if draft.side is TradeSide.BUY:
        _spend(draft, -draft.net + excess)
    else:
        _bring(draft, draft.net - excess)


def _spend(draft: _Draft, money: Decimal) -> bool:
    """Make a purchase cost at most `money` in all; say whether that is possible without making it too small."""
    before = draft.units
    step = draft.place.asset.quantity_step
    units = quotient_down(affordable(draft.place.costs, money), draft.unit, QUANTITY_PLACES)
    draft.units = min(floor_to_step(units, step), MOST_UNITS)
    if not draft.units or draft.is_small:
        draft.units = before
        return False
    return True


def _mend(cash: Mapping[str, Decimal], floor: Decimal, drafts: Sequence[_Draft], key: str) -> None:
    """Take what is missing in an account from a purchase, or raise it by selling a little more; what has no step first.

    A crumb that is missing shall not cost a share: a share less leaves cash and drift behind.
    """
    for _ in range(REPAIRS_MAX):
        missing = floor - _cash_after(cash, drafts)[key]
        if missing <= ZERO:
            return
        buys = [draft for draft in drafts if draft.side is TradeSide.BUY and draft.units]
        sells = [draft for draft in drafts if draft.side is TradeSide.SELL and draft.units < draft.held]
        for few in (buys, sells):
            few.sort(key=lambda one: (bool(one.place.asset.quantity_step), one.at_edge, -one.value))
        loose = [draft for draft in buys if not draft.place.asset.quantity_step]
        if any(_spend(draft, -draft.net - missing) for draft in loose):
            continue
        if sells and not sells[0].place.asset.quantity_step:
            before = sells[0].units
            _bring(sells[0], sells[0].net + missing)
            if sells[0].units > before:
                continue
        if any(_spend(draft, -draft.net - missing) for draft in buys):
            continue
        if sells:
            _bring(sells[0], sells[0].net + missing)
        elif buys:
            buys[-1].units = ZERO
        else:
            return


def _bring(draft: _Draft, money: Decimal) -> None:
    """Make a sale bring `money` after costs, or the next step above it, as far as there is something to sell."""
    costs, step, most = draft.place.costs, draft.place.asset.quantity_step, draft.held
    kept = max(ONE - costs.rate - costs.half_spread - costs.conversion, LEAST_KEPT)
    before = draft.units
    for _ in range(REPAIRS_MAX):
        missing = money - draft.net
        more = round_up(ROUNDED.divide(missing, ROUNDED.multiply(draft.unit, kept)), QUANTITY_PLACES)
        if not more or (step and missing <= ZERO):
            break
        units = ceil_to_step(draft.units + more, step)
        draft.units = min(units, floor_to_step(most, step) if step else most)
    if draft.units <= ZERO or draft.is_small:
        draft.units = before


def _keep_reserve(aims: Aims, cash: Mapping[str, Decimal], drafts: Sequence[_Draft]) -> None:
    """Leave the reserve in cash, or all there is: a purchase in whole steps may have gone a part of a step beyond."""
    sold = sum((draft.net for draft in drafts if draft.side is TradeSide.SELL and draft.units), ZERO)
    floor = min(aims.floor, sum(cash.values(), sold))
    for _ in range(REPAIRS_MAX):
        missing = floor - sum(_cash_after(cash, drafts).values(), ZERO)
        buys = [draft for draft in drafts if draft.side is TradeSide.BUY and draft.units]
        if missing <= ZERO or not buys:
            return
        buys.sort(key=lambda one: (one.at_edge, -one.value))
        if not any(_spend(draft, -draft.net - missing) for draft in buys):
            buys[-1].units = ZERO


def _trades(task: Task, drafts: Sequence[_Draft]) -> tuple[Trade, ...]:
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
