"""From a portfolio to a problem: what is exact in Decimal here becomes the floats that the engines work on.

Every sleeve with anything in it is one of the problem, in the order of the entries; CASH is the purses' cash. An entry
is one asset in one account; a lot is a tax lot. What the flow brings is in the purses already. A withdrawal is paid
from cash, taxable and fullest accounts first; what is still owed then makes the purse of a single account negative, and
with several accounts it is a sleeve of its own, the payout, that every account may buy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import inf
from typing import Final

from app.core.aims import RANK_PRICE, TRADE_PRICE, Aim, Aims, sides
from app.core.costs import Costs, cost_of
from app.core.levies import Levies
from app.core.lots import sale_key
from app.core.money import HUNDRED, ONE, QUANTITY_PLACES, ROUNDED, ZERO, exactly, quotient, round_down
from app.core.needs import INFINITE, Sleeve, Task, washes
from app.core.optimize.allocate import PlanScope
from app.core.optimize.problem import NO_GROUP, Entry, Lot, Problem, Purse, Tariff
from app.core.optimize.problem import Sleeve as Ask
from app.core.past import group_of
from app.core.policy import LotMethod
from app.core.portfolio import Account, AccountKind, Asset, TaxLot
from app.core.tariffs import tariffs
from app.core.trades import Quote

PAYOUT_PRICE: Final = Decimal(1000)
"""How much dearer than paying out of a sheltered account it is to owe money: more than any sale can cost."""
SMALLEST_EXPONENT: Final = 4
CRUMB: Final = Decimal("0.000001")
"""Money that counts as none in an answer, at least; of large values a billionth counts as none."""
CRUMB_SHARE: Final = Decimal("0.000000001")

ORDERED: Final = (LotMethod.HIFO, LotMethod.FIFO, LotMethod.LIFO)


@dataclass(frozen=True, slots=True)
class Place:
    """What an entry of the problem stands for. `minimum` is the least order, money; `rank` its place of preference."""

    key: str
    asset: Asset
    account: Account
    quote: Quote
    lots: tuple[TaxLot, ...]
    costs: Costs
    minimum: Decimal
    rank: int


@dataclass(frozen=True, slots=True)
class Formulation:
    """A problem and the way back. `places` and `aims` run parallel to its sleeves; a payout at the end has neither.

    `crumb` is the money that counts as none. `scale` is the problem's money for one unit of ours; `constant` is what
    sleeves cost that hold nothing and can buy nothing, which the problem does not know. `cash` is by account, in the
    base currency, after what the flow moves at once; `owed` is what the trades still have to raise, `paid` what the
    accounts have paid already. `floors` is the least cash that must be left.
    """

    problem: Problem
    crumb: Decimal
    scale: Decimal
    constant: Decimal
    places: tuple[tuple[Place, ...], ...]
    aims: tuple[Aim, ...]
    cash: Mapping[str, Decimal]
    floors: Mapping[str, Decimal]
    owed: Decimal
    paid: Mapping[str, Decimal]

    @property
    def has_payout(self) -> bool:
        """Whether what is owed is a sleeve of its own; with one account its purse is negative instead."""
        return len(self.places) < len(self.problem.sleeves)


@dataclass(frozen=True, slots=True)
class Restraint:
    """What is held back while a plan is sought: sleeves that stay as they are, and cash that may be short (money).

    Without `buys` nothing is bought. `kept` is the least cash to leave by account, in the place of what is there.
    `most_drift` is the most that drift may cost, money; only HiGHS knows that limit.
    """

    frozen: frozenset[str] = frozenset()
    short: Decimal = ZERO
    buys: bool = True
    kept: Mapping[str, Decimal] | None = None
    most_drift: Decimal | None = None


@exactly
def formulate(task: Task, aims: Aims, levies: Levies, restraint: Restraint) -> Formulation:
    """Return the problem of a plan: sleeves aim at `aims`, sales cost what `levies` say. Units as in `Problem`."""
    scale = scale_of(aims.value)
    cash, owed, paid = _after_flow(task)
    floors = _floors(aims, cash)
    single = len(cash) == 1
    if single and owed:
        (only,) = cash
        cash, floors = {only: cash[only] - owed}, {only: -restraint.short}
    floors = dict(restraint.kept or floors)
    whole = [
        (sleeve, aims.sleeves[sleeve.entry.key], _places(task, levies, sleeve, cash))
        for sleeve in task.sleeves
        if not sleeve.is_cash
    ]
    rooms = [room for room in whole if room[2]]
    constant = aims.price * sum((aim.off(ZERO) for _, aim, places in whole if not places), ZERO)
    numbers = _Numbers(task, levies, [place for _, _, places in rooms for place in places])
    asks = [_ask(task, levies, numbers, scale, aims, sleeve, places, restraint) for sleeve, _, places in rooms]
    if owed and not single:
        asks.append(_payout(task, numbers, scale, owed, shelter_price(aims)))
    policy = task.snapshot.policy
    problem = Problem(
        value=float(aims.value * scale),
        purses=tuple(
            Purse(float(amount * scale), float(floors[key] * scale), key in levies.taxable)
            for key, amount in cash.items()
        ),
        sleeves=tuple(asks),
        cash_goal=float(aims.cash * scale),
        cash_price=float(aims.cash_price),
        trade_price=float(TRADE_PRICE),
        rank_price=float(RANK_PRICE),
        traded_limit=_limit(most_traded(task, aims), scale),
        tax_limit=_limit(policy.tax_budget, scale),
        drift_limit=_limit(None if restraint.most_drift is None else restraint.most_drift - constant, scale),
    )
    places = tuple(tuple(places) for _, _, places in rooms)
    return Formulation(
        problem,
        crumb_of(aims.value),
        scale,
        constant,
        places,
        tuple(aim for _, aim, _ in rooms),
        cash,
        floors,
        owed,
        paid,
    )


@exactly
def scale_of(value: Decimal) -> Decimal:
    """Return the power of ten that brings a small value to 10,000 at least; 1 for others.

    To engines less than a millionth of a unit of money is none, which is a lot where the base currency is BTC.
    """
    return max(ONE, ONE.scaleb(SMALLEST_EXPONENT - value.adjusted())) if value else ONE


@exactly
def crumb_of(value: Decimal) -> Decimal:
    """Return the money that counts as none in an answer, where `value` is all there is."""
    return max(CRUMB / scale_of(value), CRUMB_SHARE * value)


def _limit(limit: Decimal | None, scale: Decimal) -> float:
    return inf if limit is None else float(limit * scale)


@exactly
def most_traded(task: Task, aims: Aims) -> Decimal | None:
    """Return the most that may be traded, money, None for no limit: turnover is half of it as a share of B.

    Of the size of the plan where B is 0.
    """
    percent = task.snapshot.policy.max_turnover
    if percent is None:
        return None
    return 2 * percent * max(ZERO, task.before.base or aims.size) / HUNDRED


def _after_flow(task: Task) -> tuple[dict[str, Decimal], Decimal, dict[str, Decimal]]:
    """Move the cash flow: a deposit into the first account, a withdrawal out of taxable and then the fullest ones."""
    cash, flow = dict(task.cash), task.request.cash_flow
    if flow >= ZERO:
        if flow:
            cash[next(iter(cash))] += flow
        return cash, ZERO, {}
    owed, paid = -flow, {}
    for key in sorted(cash, key=lambda name: (is_sheltered(task.accounts[name]), -cash[name])):
        part = min(owed, cash[key])
        if part:
            cash[key] -= part
            owed -= part
            paid[key] = part
    return cash, owed, paid


def is_sheltered(account: Account) -> bool:
    """Say whether taking money out of an account may be taxed by itself: it is the last to pay a withdrawal."""
    return account.kind is not AccountKind.TAXABLE


def shelter_price(aims: Aims) -> Decimal:
    """Return what one unit of a withdrawal out of an account with tax advantages costs in J: it is the last to pay."""
    return max(ONE, aims.price)


def _floors(aims: Aims, cash: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Share the cash that stays among the accounts that have it, the fullest first."""
    left, floors = max(ZERO, aims.floor), dict.fromkeys(cash, ZERO)
    for key in sorted(cash, key=lambda name: -cash[name]):
        floors[key] = min(left, cash[key])
        left -= floors[key]
    return floors


def _places(task: Task, levies: Levies, sleeve: Sleeve, cash: Mapping[str, Decimal]) -> list[Place]:
    """Return the entries of a sleeve: what may be bought by preference, then what else is held, by symbol."""
    buys, _ = sides(task.request)
    held = {(holding.asset.id, holding.account_id): holding for holding in sleeve.holdings}
    others = {holding.asset.id: holding.asset for holding in sleeve.holdings}
    for asset in sleeve.buyable:
        others.pop(asset.id, None)
    ranked = (*sleeve.buyable, *sorted(others.values(), key=lambda asset: (asset.symbol, asset.id)))
    sells = {holding.account_id for each in task.sleeves for holding in each.sellable}
    found: list[Place] = []
    ranks = dict.fromkeys(cash, 0)
    for place, asset in enumerate(ranked):
        for key, amount in cash.items():
            holding = held.get((asset.id, key))
            payable = buys and place < len(sleeve.buyable) and (amount > ZERO or key in sells)
            if not holding and not payable:
                continue
            costs = task.costs_of(key, asset)
            found.append(
                Place(
                    sleeve.entry.key,
                    asset,
                    task.accounts[key],
                    task.quotes[asset.id],
                    _sorted_lots(task, levies, key, asset, holding.lots) if holding else (),
                    costs,
                    task.least(key, asset),
                    ranks[key],
                )
            )
            ranks[key] += 1
    return found


def _sorted_lots(
    task: Task, levies: Levies, account_id: str, asset: Asset, lots: Sequence[TaxLot]
) -> tuple[TaxLot, ...]:
    policy, unit = task.snapshot.policy, task.quotes[asset.id].unit
    today, method, taxable = levies.today, policy.lot_method, account_id in levies.taxable
    if not unit:
        return tuple(lots)
    return tuple(sorted(lots, key=lambda lot: sale_key(lot, method, unit, policy, today, taxable=taxable)))


class _Numbers:
    """Numbers of assets, accounts and wash groups. A group counts where two assets share it and one may lose."""

    def __init__(self, task: Task, levies: Levies, places: Sequence[Place]) -> None:
        self.accounts = {key: number for number, key in enumerate(task.accounts)}
        self.assets = {key: number for number, key in enumerate(dict.fromkeys(place.asset.id for place in places))}
        members: dict[str, set[str]] = {}
        losing = set()
        for place in places:
            if washes(place.asset, task.snapshot):
                group = group_of(place.asset)
                members.setdefault(group, set()).add(place.asset.id)
                if any(
                    levies.of_lot(place.asset, place.account.id, lot, place.quote.unit).is_loss for lot in place.lots
                ):
                    losing.add(group)
        shared = [group for group, assets in members.items() if len(assets) > 1 and group in losing]
        self.groups = {group: number for number, group in enumerate(shared)}

    def group(self, task: Task, asset: Asset) -> int:
        return self.groups.get(group_of(asset), NO_GROUP) if washes(asset, task.snapshot) else NO_GROUP


def _ask(
    task: Task,
    levies: Levies,
    numbers: _Numbers,
    scale: Decimal,
    aims: Aims,
    sleeve: Sleeve,
    places: Iterable[Place],
    restraint: Restraint,
) -> Ask:
    entries = tuple(_entry(task, levies, numbers, scale, sleeve, place, restraint) for place in places)
    aim, outside = aims.sleeves[sleeve.entry.key], float(aims.price)
    goal, tolerance = (aim.low + aim.high) / 2, (aim.high - aim.low) / 2
    return Ask(float(goal * scale), float(tolerance * scale), outside, 0.0 if tolerance else outside, entries)


def _entry(
    task: Task, levies: Levies, numbers: _Numbers, scale: Decimal, sleeve: Sleeve, place: Place, restraint: Restraint
) -> Entry:
    unit, asset, frozen = place.quote.unit, place.asset, sleeve.entry.key in restraint.frozen
    buys, sells = sides(task.request)
    held = sum((lot.quantity for lot in place.lots), ZERO) * unit
    can_sell = sells and not frozen and any(holding.asset.id == asset.id for holding in sleeve.sellable)
    # An exit may be smaller than the least order, but its fee must be in proportion too.
    if (
        can_sell
        and place.minimum > held
        and cost_of(place.costs, held).fee * HUNDRED > task.snapshot.policy.max_fee * held
    ):
        can_sell = False
    lots = tuple(_lot(task, levies, place, lot) for lot in place.lots)
    group = numbers.group(task, asset)
    forfeit = levies.of_purchase(asset)
    return Entry(
        asset=numbers.assets[asset.id],
        account=numbers.accounts[place.account.id],
        price=float(unit * scale),
        value=float(held * scale),
        lots=lots,
        can_buy=buys and restraint.buys and not frozen and asset in sleeve.buyable and place.minimum < INFINITE,
        can_sell=can_sell and bool(unit),
        step=float(asset.quantity_step),
        minimum=float(place.minimum * scale) if place.minimum < INFINITE else 0.0,
        tariffs=_tariffs(place.costs, max(task.scale, held), scale),
        group=group,
        wash_price=float(quotient(forfeit.per_unit, unit, QUANTITY_PLACES)) if forfeit and unit else 0.0,
        wash_value=float(forfeit.units * unit * scale) if forfeit else 0.0,
        lots_in_order=task.snapshot.policy.lot_method in ORDERED and _matters(lots, group),
    )


def _matters(lots: Sequence[Lot], group: int) -> bool:
    """Say whether the order of lots must be enforced, as choice would skip ahead.

    It would where a later one is cheaper to sell, where one is not for sale, and past a loss whose group is bought.
    """
    return any(
        later.tax < earlier.tax
        or earlier.sellable < later.sellable
        or (group != NO_GROUP and earlier.loss and not later.loss)
        for earlier, later in pairwise(lots)
    )


def _lot(task: Task, levies: Levies, place: Place, lot: TaxLot) -> Lot:
    unit, request = place.quote.unit, task.request
    tax = levies.of_lot(place.asset, place.account.id, lot, unit)
    worth = lot.quantity * unit
    share = ROUNDED.subtract(ONE, ROUNDED.divide(lot.basis, worth)) if worth else ZERO
    sellable = True
    if request.scope is PlanScope.HARVEST:
        sellable = tax.is_loss and not tax.washed and levies.worth_harvesting(lot, worth)
    if task.snapshot.policy.lot_method is LotMethod.SPEC_ID:
        sellable = sellable and lot.id in request.sell_lots
    return Lot(
        units=float(lot.quantity),
        tax=float(ROUNDED.multiply(tax.price, share)),
        loss=tax.is_loss,
        due=_due(ROUNDED.multiply(tax.due, share)),
        sellable=sellable,
    )


def _due(price: Decimal) -> float:
    """Return the tax due for a unit of money sold; a billionth counts as none, as it does to engines."""
    return float(price) if abs(price) > CRUMB_SHARE else 0.0


def _tariffs(costs: Costs, largest: Decimal, scale: Decimal) -> tuple[Tariff, ...]:
    pieces = tariffs(costs, round_down(largest, 2) + ONE)
    last = len(pieces) - 1
    return tuple(
        Tariff(
            float(piece.fixed * scale),
            float(piece.rate),
            float(piece.low * scale),
            inf if place == last else float(piece.high * scale),
        )
        for place, piece in enumerate(pieces)
    )


def _payout(task: Task, numbers: _Numbers, scale: Decimal, owed: Decimal, shelter: Decimal) -> Ask:
    """Return the sleeve that stands for money taken out: each account may pay, those with tax advantages last."""
    entries = tuple(
        Entry(
            asset=len(numbers.assets) + number,
            account=number,
            price=float(scale),
            value=0.0,
            can_sell=False,
            wash_price=float(shelter) if is_sheltered(task.accounts[key]) else 0.0,
            wash_value=float(owed * scale) if is_sheltered(task.accounts[key]) else 0.0,
            is_trade=False,
        )
        for key, number in numbers.accounts.items()
    )
    outside = float(PAYOUT_PRICE * shelter)
    return Ask(float(owed * scale), 0.0, outside, outside, entries)
