"""Random problems of every kind, small or large, the same for the same seed."""

from dataclasses import dataclass, replace
from random import Random

from app.core.optimize.problem import Entry, Lot, Problem, Purse, Sleeve, Tariff

LONG, SHORT, CREDIT = 0.2, 0.35, 0.8


@dataclass(frozen=True)
class Kind:
    """What a random problem contains; shares are chances from 0 to 1, ranges are inclusive."""

    sleeves: tuple[int, int] = (2, 5)
    members: tuple[int, int] = (1, 3)
    lots: tuple[int, int] = (0, 3)
    accounts: tuple[int, int] = (1, 1)
    grouped: float = 0.3
    stepped: float = 0.5
    fees: float = 0.5
    minimums: float = 0.5
    washed: float = 0.3
    disallowed: float = 0.15
    legacy: float = 0.15
    frozen: float = 0.1
    harvest: float = 0.1
    withdrawal: float = 0.2
    tariffs: float = 0.0
    ordered: float = 0.0
    limited: float = 0.0


ONE_MEMBER = Kind(sleeves=(1, 6), members=(1, 1))
SWAPS = Kind()
ACCOUNTS = Kind(sleeves=(1, 3), members=(1, 2), accounts=(2, 3))
EVERYTHING = Kind(sleeves=(1, 3), members=(1, 2), accounts=(1, 2), tariffs=0.4, ordered=0.4, limited=0.3)


def random_problem(seed: int, kind: Kind = SWAPS) -> Problem:
    """Make the problem number `seed` of a kind."""
    return _Maker(Random(f"{seed} {kind}"), kind).problem()


class _Maker:
    def __init__(self, chance: Random, kind: Kind) -> None:
        self.chance, self.kind = chance, kind
        self.scale = 10 ** chance.uniform(2, 6)
        self.count = chance.randint(*kind.sleeves)
        self.purses = chance.randint(*kind.accounts)
        self.taxable = [number == 0 or chance.random() < 0.5 for number in range(self.purses)]
        self.assets = 0
        self.harvest = self.is_(kind.harvest)
        # One style of market for all entries now and then: all whole shares, or none.
        self.stepped = chance.choice((kind.stepped, kind.stepped, 0.0, 1.0 if kind.stepped else 0.0))

    def is_(self, share: float) -> bool:
        return self.chance.random() < share

    def problem(self) -> Problem:
        chance, kind = self.chance, self.kind
        sleeves = [self.entries() for _ in range(self.count)]
        held = sum(entry.value for row in sleeves for entry in row)
        purses = tuple(self.purse(held, number) for number in range(self.purses))
        value = max(0.0, held + sum(purse.cash for purse in purses))
        price = chance.choice((0.01, 0.05, 0.2, 1.0))
        weights = [chance.random() ** 2 for _ in sleeves]
        total = sum(weights) * chance.uniform(1.0, 1.1) or 1.0
        edge = chance.choice((None, 0.1, 0.5))
        exact = edge is None and not self.harvest
        cash_goal = value * chance.choice((0.0, 0.0, 0.02, 0.1))
        problem = Problem(
            value=value,
            purses=purses,
            sleeves=tuple(
                self.sleeve(tuple(row), weight / total * value, 0.0 if exact else edge or 0.25, price, exact)
                for row, weight in zip(sleeves, weights, strict=True)
            ),
            cash_goal=cash_goal,
            cash_price=price * chance.choice((1.0, 1.0, 0.3)),
            trade_price=1e-5,
            rank_price=1e-4,
        )
        if self.is_(kind.limited):
            return replace(problem, traded_limit=value * chance.uniform(0.01, 0.5))
        if self.is_(kind.limited):
            return replace(problem, tax_limit=value * chance.uniform(0.0, 0.05))
        return problem

    def purse(self, held: float, number: int) -> Purse:
        cash = held * self.chance.choice((0.0, 0.01, 0.05, 0.3)) / self.purses
        if self.is_(self.kind.withdrawal):
            cash = -held * self.chance.uniform(0.0, 0.3) / self.purses
        minimum = max(0.0, cash) * self.chance.choice((0.0, 0.0, 0.5))
        return Purse(cash, minimum, taxable=self.taxable[number])

    def sleeve(self, entries: tuple[Entry, ...], goal: float, edge: float, price: float, exact: bool) -> Sleeve:
        held = sum(entry.value for entry in entries)
        tolerance = goal * edge
        if self.harvest:
            tolerance = max(tolerance, abs(held - goal))
        return Sleeve(goal, tolerance, price, price if exact else 0.0, entries)

    def entries(self) -> list[Entry]:
        """Make the entries of one sleeve: members, each in one account or in all of them."""
        made: list[Entry] = []
        for _ in range(self.chance.randint(*self.kind.members)):
            asset, self.assets = self.assets, self.assets + 1
            group = asset
            if made and self.is_(self.kind.grouped):
                group = made[-1].group
            elif asset and self.is_(self.kind.grouped):
                group = self.chance.randrange(asset)
            first = self.entry(asset, group, self.chance.randrange(self.purses))
            made.append(first)
            for account in range(self.purses):
                if account != first.account and self.is_(0.5):
                    made.append(self.again(first, account))
        return made

    def again(self, first: Entry, account: int) -> Entry:
        """Return the entry of the same asset in another account."""
        lots = self.lots(first.price, first.step, account, first.can_sell)
        return replace(first, account=account, lots=lots, value=sum(lot.units for lot in lots) * first.price)

    def entry(self, asset: int, group: int, account: int) -> Entry:
        chance, kind = self.chance, self.kind
        price = round(10 ** chance.uniform(0.5, 2.7), 2)
        step = 1.0 if self.is_(self.stepped) else 0.0
        frozen, legacy, washed = self.is_(kind.frozen), self.is_(kind.legacy), self.is_(kind.washed)
        lots = self.lots(price, step, account, not frozen)
        minimum = chance.choice((10.0, 100.0, 0.02 * self.scale)) if self.is_(kind.minimums) else 0.0
        return Entry(
            asset=asset,
            account=account,
            price=price,
            value=sum(lot.units for lot in lots) * price,
            lots=lots,
            can_buy=not frozen and not legacy and not self.is_(0.05),
            can_sell=not frozen and not self.is_(0.05),
            step=step,
            minimum=minimum,
            tariffs=self.tariffs(),
            group=group,
            wash_price=chance.uniform(0.01, 0.2) if washed else 0.0,
            wash_value=price * chance.randint(1, 30) if washed else 0.0,
            exit_price=chance.choice((0.05, 0.2)) if legacy else 0.0,
            lots_in_order=self.is_(kind.ordered),
        )

    def lots(self, price: float, step: float, account: int, held: bool) -> tuple[Lot, ...]:
        chance = self.chance
        disallowed = self.is_(self.kind.disallowed)
        lots = []
        for _ in range(chance.randint(*self.kind.lots) if held or self.is_(0.5) else 0):
            units = 10 ** chance.uniform(-2, 0) * self.scale / price
            units = float(round(units)) if step else round(units, 6)
            gain = 1.0 - chance.uniform(0.5, 1.6)
            rate = chance.choice((LONG, SHORT))
            tax = rate * gain if gain >= 0 else 0.0 if disallowed else CREDIT * rate * gain
            if units > 0:
                sellable = gain < 0 or not self.harvest
                taxed = self.taxable[account]
                lots.append(
                    Lot(units, tax if taxed else 0.0, gain < 0, rate * gain if taxed else 0.0, sellable=sellable)
                )
        return tuple(lots)

    def tariffs(self) -> tuple[Tariff, ...]:
        chance = self.chance
        fixed = chance.choice((1.0, 10.0)) if self.is_(self.kind.fees) else 0.0
        rate = chance.choice((0.0, 0.0005, 0.003))
        if not self.is_(self.kind.tariffs):
            return (Tariff(fixed, rate),)
        first, second = sorted(10 ** chance.uniform(1, 4) for _ in range(2))
        match chance.randrange(3):
            case 0:  # a least fee, then a share, then a cap
                return (
                    Tariff(0.002 * first, 0.0, 0.0, first),
                    Tariff(0.0, 0.002, first, second),
                    Tariff(0.002 * second, 0.0, second),
                )
            case 1:  # impact: each part dearer than the one before
                return (Tariff(fixed, rate, 0.0, first), Tariff(fixed - 0.004 * first, rate + 0.004, first))
            case _:  # the whole order at the rate of its size
                return (Tariff(fixed, rate + 0.004, 0.0, first), Tariff(fixed, rate, first))
