"""The problem as a mixed-integer linear program: everything `Problem` can say.

Amounts are counted in shares of V / SCALE, so that tolerances mean the same for small and large portfolios. For every
entry: b and S with binaries for buying and selling, s for its lots, whole numbers of steps. Concave costs (the price of
a wash sale up to a quantity, falling tariffs) take binaries of their own, rising tariffs do not.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, inf, isfinite

from app.core.optimize.highs import Program
from app.core.optimize.judge import Orders
from app.core.optimize.problem import NO_GROUP, Entry, Lot, Order, Problem, Tariff

SCALE = 1e4
# A step worth less than this share of V is too fine for a whole number; the amount is rounded to it afterwards.
FINE_STEP = 1e-7
SNAP = 1e-9
# HiGHS finds no answer at all where an amount is 0 or in a range hardly wider than its tolerance: that is one amount.
NARROW = 1e-7

Terms = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Numbers of an entry's unknowns: the purchase, and the sale of each lot; None for what cannot be."""

    buy: int | None
    sell: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    """What may be ordered on one side of an entry, in money: on the lattice where the step is not fine."""

    low: float
    high: float
    unit: float

    @staticmethod
    def of(entry: Entry, low: float, high: float, value: float) -> "_Side | None":
        """Return the allowed orders between `low` and `high`, on the step; None when there are none."""
        unit = entry.price * entry.step
        if unit > 0:
            low, high = unit * max(1, ceil(low / unit - SNAP)), unit * floor(high / unit + SNAP)
        slack = SNAP * max(low, 1.0)
        if high <= 0 or low > high + slack:
            return None
        return _Side(min(low, high), high, unit if unit > FINE_STEP * value else 0.0)


class Encoding:
    """Builds the program of a problem and reads orders in money back from its answer.

    `start` gives known orders from which HiGHS may begin.
    """

    def __init__(self, problem: Problem, start: Orders | None = None) -> None:
        self.problem = problem
        self.program = Program()
        self.unit = problem.value / SCALE if problem.value > 0 else 1.0
        self._crumb = problem.crumb
        self._cash: list[Terms] = [[] for _ in problem.purses]
        self._traded: Terms = []
        self._due: Terms = []
        self._drift: Terms = []
        self._sides: dict[int, list[tuple[int | None, int | None]]] = defaultdict(list)
        self._bought: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._lost: dict[int, list[tuple[int, Terms, float]]] = defaultdict(list)
        self._most = _most_cash(problem)
        self.columns = [self._sleeve(k, start) for k in range(len(problem.sleeves))]
        self._directions()
        self._wash_groups()
        self.purse_rows = self._cash_rows()
        self._limits()

    def money(self, x: float) -> float:
        return x * self.unit

    def _sleeve(self, k: int, start: Orders | None) -> list[Columns]:
        """Add the entries of a sleeve, its drift, and that one of them is bought in each account."""
        program, sleeve = self.program, self.problem.sleeves[k]
        drift: Terms = []
        members: dict[int, list[tuple[int, float]]] = defaultdict(list)
        seen: dict[int, int] = defaultdict(int)
        columns = []
        for i, entry in enumerate(sleeve.entries):
            known = start[k][i] if start else Order()
            on, buy = self._buy(entry, seen[entry.account], known)
            seen[entry.account] += 1
            program.offset += entry.exit_price * entry.value / self.unit
            selling, sale, sells = self._sell(entry, known)
            if on is not None and buy is not None:
                drift.append((buy, 1.0))
                members[entry.account].append((on, 1.0))
                self._bought[entry.group].append((entry.asset, on))
            if sale is not None:
                drift.append((sale, -1.0))
            self._sides[entry.asset].append((on, selling))
            columns.append(Columns(buy, sells))
        for bought in members.values():
            if len(bought) > 1:
                program.row(bought, high=1.0)
        off = (sleeve.goal - sum(entry.value for entry in sleeve.entries)) / self.unit
        drift += self._distance(sleeve.inside, sleeve.outside, sleeve.tolerance / self.unit)
        program.row(drift, low=off, high=off)
        return columns

    def _distance(self, inside: float, outside: float, tolerance: float) -> Terms:
        """Add the parts of a difference above and below, within the tolerance and beyond it, at their prices."""
        terms: Terms = []
        for sign in (-1.0, 1.0):
            parts = [(tolerance, inside)] if tolerance > 0 else []
            for most, price in (*parts, (inf, outside)):
                part = self.program.column(most, cost=price)
                self._drift.append((part, price))
                terms.append((part, sign))
        return terms

    def _buy(self, entry: Entry, rank: int, known: Order) -> tuple[int | None, int | None]:
        """Add a purchase and return its binary and its amount."""
        if not entry.can_buy or entry.price <= 0:
            return None, None
        side = _Side.of(entry, entry.minimum, self._most[entry.account], self.problem.value)
        if side is None:
            return None, None
        price = (self.problem.trade_price if entry.is_trade else 0.0) + self.problem.rank_price * rank
        on, buy = self._order(entry, side, price, known.buy * entry.price)
        self._cash[entry.account].append((buy, -1.0))
        if entry.wash_price > 0 and entry.wash_value > 0:
            self._washed(entry, on, buy, side.high, known.buy * entry.price)
        return on, buy

    def _sell(self, entry: Entry, known: Order) -> tuple[int | None, int | None, tuple[int | None, ...]]:
        """Add the sale of an entry and of its lots; return its binary, its amount and the lots'."""
        none = (None,) * len(entry.lots)
        held = sum(lot.units for lot in entry.lots if lot.sellable) * entry.price
        if not entry.can_sell or held <= 0:
            return None, None, none
        # What is held may differ from its lots in the last digit.
        low = min(entry.minimum, entry.value)
        low = held if held < low <= held * (1 + SNAP) else low
        side = _Side.of(entry, low, held, self.problem.value)
        if side is None:
            return None, None, none
        price = self.problem.trade_price - entry.exit_price
        on, sale = self._order(entry, side, price, sum(known.sell) * entry.price)
        self._cash[entry.account].append((sale, 1.0))
        sells = tuple(self._lot(entry, lot) for lot in entry.lots)
        sold = [(number, 1.0) for number in sells if number is not None]
        self.program.row([(sale, -1.0), *sold], low=0.0, high=0.0)
        self._in_order(entry, sells, known)
        self._losses(entry, sells)
        return on, sale, sells

    def _order(self, entry: Entry, side: _Side, price: float, known: float) -> tuple[int, int]:
        """Add an order that is 0 or within `side`, at `price` and its cost; return its binary and its amount."""
        program, high = self.program, side.high / self.unit
        low = _least(side.low / self.unit, high)
        on = program.whole(start=float(known > self._crumb))
        amount = program.column(high, cost=price)
        program.row([(amount, 1.0), (on, -high)], high=0.0)
        if low > 0:
            program.row([(amount, 1.0), (on, -low)], low=0.0)
        if side.unit > 0:
            steps = program.whole(float(round(side.high / side.unit)), start=float(round(known / side.unit)))
            program.row([(amount, 1.0), (steps, -side.unit / self.unit)], low=0.0, high=0.0)
        if entry.is_trade:
            self._traded.append((amount, 1.0))
        self._cost(entry, on, amount, side.high, known)
        return on, amount

    def _cost(self, entry: Entry, on: int, amount: int, high: float, known: float) -> None:
        """Add the cost of an order to J and take it from the purse."""
        program, paid = self.program, self._cash[entry.account]
        tariffs = [tariff for tariff in entry.tariffs if tariff.low <= high + self._crumb]
        if len(tariffs) == 1:
            program.cost[on] += tariffs[0].fixed / self.unit
            program.cost[amount] += tariffs[0].rate
            paid += [(on, -tariffs[0].fixed / self.unit), (amount, -tariffs[0].rate)]
        elif self.problem.cash_price <= 1.0 and _is_convex(tariffs, self._crumb):
            # The dearest of all tariffs holds, and it never pays to spend more: a dollar of cost is not cheaper than
            # a dollar of cash too many.
            cost = program.column(cost=1.0)
            paid.append((cost, -1.0))
            for tariff in tariffs:
                program.row([(cost, 1.0), (on, -tariff.fixed / self.unit), (amount, -tariff.rate)], low=0.0)
        else:
            self._pieces(tariffs, on, amount, paid, known)

    def _pieces(self, tariffs: list[Tariff], on: int, amount: int, paid: Terms, known: float) -> None:
        """Add tariffs of which a binary chooses one."""
        program, high = self.program, self.program.high[amount]
        chosen, parts = [], []
        start = next((tariff for tariff in tariffs if known <= tariff.high + self._crumb), tariffs[-1])
        for tariff in tariffs:
            this = program.whole(cost=tariff.fixed / self.unit, start=float(known > self._crumb and tariff is start))
            part = program.column(cost=tariff.rate)
            most = min(tariff.high / self.unit, high)
            program.row([(part, 1.0), (this, -_least(tariff.low / self.unit, most))], low=0.0)
            program.row([(part, 1.0), (this, -most)], high=0.0)
            paid += [(this, -tariff.fixed / self.unit), (part, -tariff.rate)]
            chosen.append((this, 1.0))
            parts.append((part, 1.0))
        program.row([(on, -1.0), *chosen], low=0.0, high=0.0)
        program.row([(amount, -1.0), *parts], low=0.0, high=0.0)

    def _washed(self, entry: Entry, on: int, buy: int, high: float, known: float) -> None:
        """Add the price of buying back what was sold at a loss: the first Q at wash_price, and only then the rest."""
        program, limit = self.program, min(entry.wash_value, high) / self.unit
        first = program.column(limit, cost=entry.wash_price)
        rest = program.column(high / self.unit)
        beyond = program.whole(start=float(known > entry.wash_value))
        program.row([(buy, -1.0), (first, 1.0), (rest, 1.0)], low=0.0, high=0.0)
        program.row([(first, 1.0), (on, -limit)], high=0.0)
        program.row([(first, 1.0), (beyond, -limit)], low=0.0)
        program.row([(rest, 1.0), (beyond, -high / self.unit)], high=0.0)

    def _lot(self, entry: Entry, lot: Lot) -> int | None:
        """Add the sale of a lot at the price of its tax."""
        if not lot.sellable or lot.units <= 0:
            return None
        number = self.program.column(lot.units * entry.price / self.unit, cost=lot.tax)
        if self.problem.purses[entry.account].taxable and lot.due:
            self._due.append((number, lot.due))
        return number

    def _in_order(self, entry: Entry, sells: tuple[int | None, ...], known: Order) -> None:
        """Let a lot be sold only when all before it are sold out."""
        if not entry.lots_in_order:
            return
        program, blocked = self.program, False
        for number, (before, this) in enumerate(pairwise(sells), start=1):
            blocked = blocked or (before is None and entry.lots[number - 1].units > 0)
            if this is None:
                continue
            if blocked:
                program.high[this] = 0.0
            elif before is not None:
                sold = bool(known.sell) and known.sell[number] > 0
                opened = program.whole(start=float(sold))
                program.row([(this, 1.0), (opened, -program.high[this])], high=0.0)
                program.row([(before, 1.0), (opened, -program.high[before])], low=0.0)

    def _losses(self, entry: Entry, sells: tuple[int | None, ...]) -> None:
        """Note the loss lots that may be sold, for their wash group."""
        lost = [
            (number, 1.0)
            for number, lot in zip(sells, entry.lots, strict=True)
            if number is not None and lot.loss and self.problem.purses[entry.account].taxable
        ]
        if lost and entry.group != NO_GROUP:
            most = sum(self.program.high[number] for number, _ in lost)
            self._lost[entry.group].append((entry.asset, lost, most))

    def _directions(self) -> None:
        """No asset is both bought and sold, in any account."""
        program = self.program
        for sides in self._sides.values():
            buys = [on for on, _ in sides if on is not None]
            sales = [on for _, on in sides if on is not None]
            if len(buys) == 1 and len(sales) == 1:
                program.row([(buys[0], 1.0), (sales[0], 1.0)], high=1.0)
            elif buys and sales:
                # Between 0 and 1 is enough: a purchase makes it 1, and then there is no sale.
                direction = program.column(1.0)
                for on in buys:
                    program.row([(on, 1.0), (direction, -1.0)], high=0.0)
                for on in sales:
                    program.row([(on, 1.0), (direction, 1.0)], high=1.0)

    def _wash_groups(self) -> None:
        """A sale of a loss lot excludes every purchase in its group; one asset's own purchases are excluded already."""
        program = self.program
        for group, losses in self._lost.items():
            buyers = self._bought[group]
            if len({asset for asset, *_ in losses} | {asset for asset, _ in buyers}) < 2 or not buyers:
                continue
            lossy = program.column(1.0)
            for _, lost, most in losses:
                program.row([*lost, (lossy, -most)], high=0.0)
            for _, on in buyers:
                program.row([(on, 1.0), (lossy, 1.0)], high=1.0)

    def _limits(self) -> None:
        if isfinite(self.problem.traded_limit):
            self.program.row(self._traded, high=self.problem.traded_limit / self.unit)
        if isfinite(self.problem.tax_limit):
            self.program.row(self._due, high=self.problem.tax_limit / self.unit)
        if isfinite(self.problem.drift_limit):
            self.program.row(self._drift, high=self.problem.drift_limit / self.unit)

    def _cash_rows(self) -> list[int]:
        """Keep the minimum of each purse, price the cash of all against its goal; return the rows of the purses."""
        problem, program = self.problem, self.program
        rows = [
            program.row(terms, low=(purse.minimum - purse.cash) / self.unit)
            for purse, terms in zip(problem.purses, self._cash, strict=True)
        ]
        if problem.cash_price > 0:
            off = (problem.cash_goal - sum(purse.cash for purse in problem.purses)) / self.unit
            distance = self._distance(problem.cash_price, problem.cash_price, 0.0)
            program.row([*(term for terms in self._cash for term in terms), *distance], low=off, high=off)
        return rows

    def for_most_cash(self) -> Program:
        """Return the program that leaves the most cash over all purses, whatever each must keep."""
        program = self.program
        program.cost = [0.0] * len(program.cost)
        program.offset = 0.0
        for row in self.purse_rows:
            program.row_low[row] = -inf
        for number, factor in (term for terms in self._cash for term in terms):
            program.cost[number] -= factor
        return program


def _least(low: float, high: float) -> float:
    """Return the least of a range of the program, which is its end where the range is too narrow for HiGHS."""
    return high if abs(high - low) <= NARROW else low


def _most_cash(problem: Problem) -> list[float]:
    """Return the most cash each purse could spend: what it has over its minimum, and all that may be sold."""
    most = [purse.cash - purse.minimum for purse in problem.purses]
    for sleeve in problem.sleeves:
        for entry in sleeve.entries:
            if entry.can_sell:
                most[entry.account] += sum(lot.units for lot in entry.lots if lot.sellable) * entry.price
    return most


def _is_convex(tariffs: list[Tariff], crumb: float) -> bool:
    """Return whether tariffs rise without a jump, so that the dearest of them is the one that holds."""
    return all(
        before.rate <= after.rate
        and abs(before.fixed + before.rate * after.low - after.fixed - after.rate * after.low) <= crumb
        for before, after in pairwise(tariffs)
    )
