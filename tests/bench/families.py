"""Families of generated problems for the benchmark: alike in size, each a portfolio as they are found.

One portfolio has one broker (fee, minimum, costs), one strategy (price of drift, band) and assets of its own; some of
them in whole shares, some bought back after a loss, some substantially identical to another.
"""

from dataclasses import dataclass
from random import Random

from app.core.optimize.problem import Entry, Lot, Problem, Purse, Sleeve, Tariff

LONG, SHORT, CREDIT = 0.2, 0.35, 0.8


@dataclass(frozen=True)
class Family:
    """Size and kind of the problems of a family: entries in each sleeve and lots in each entry from least to most."""

    name: str
    sleeves: int
    members: tuple[int, int]
    lots: tuple[int, int]
    stepped: tuple[float, ...]
    grouped: float


ONE_30 = Family("30 assets x 3 lots", 30, (1, 1), (1, 5), (0.4,), 0.07)
ONE_100 = Family("100 assets x 6 lots", 100, (1, 1), (2, 10), (0.4,), 0.07)
ONE_500 = Family("500 assets x 20 lots", 500, (1, 1), (10, 30), (0.4,), 0.07)
SWAPS_15 = Family("15 sleeves with swaps", 15, (2, 4), (0, 4), (0.0, 1.0), 0.1)
SWAPS_30 = Family("30 sleeves with swaps", 30, (2, 4), (0, 4), (0.0, 1.0), 0.1)
SWAPS_100 = Family("100 sleeves with swaps", 100, (2, 4), (0, 4), (0.0, 1.0), 0.1)
GROUPED = Family("300 assets, 60 % grouped", 100, (3, 3), (0, 4), (0.0, 1.0), 0.6)
BATCH = Family("30 holdings", 30, (1, 1), (1, 1), (0.0,), 0.0)


def problem(family: Family, number: int) -> Problem:
    """Make a problem of a family, the same for the same number."""
    return _Portfolio(Random(f"{family.name} {number}"), family).problem()


class _Portfolio:
    def __init__(self, chance: Random, family: Family) -> None:
        self.chance, self.family = chance, family
        self.scale = 10 ** chance.uniform(4.3, 6.5)
        self.tariffs = (Tariff(chance.choice((0.0, 0.0, 1.0, 5.0)), chance.choice((0.0001, 0.0005, 0.001))),)
        self.minimum = chance.choice((0.0, 10.0, 50.0, 100.0))
        self.price = chance.choice((0.01, 0.03, 0.05, 0.1, 0.3))
        self.edge = chance.choice((None, 0.25, 0.125))
        self.stepped = chance.choice(family.stepped)
        self.assets = 0
        self.groups: list[int] = []

    def problem(self) -> Problem:
        chance, family = self.chance, self.family
        weights = [chance.random() + 0.1 for _ in range(family.sleeves)]
        total = sum(weights) * 1.02
        rows = [self.entries(weight / total * self.scale) for weight in weights]
        held = sum(entry.value for row in rows for entry in row)
        cash = held * chance.choice((0.0, 0.01, 0.05))
        value = held + cash
        sleeves = tuple(
            self.sleeve(weight / total * value, tuple(row)) for weight, row in zip(weights, rows, strict=True)
        )
        return Problem(value, (Purse(cash),), sleeves, 0.02 * value, self.price, trade_price=1e-5, rank_price=1e-4)

    def sleeve(self, goal: float, entries: tuple[Entry, ...]) -> Sleeve:
        inside = self.price if self.edge is None else 0.0
        return Sleeve(goal, goal * (self.edge or 0.0), self.price, inside, entries)

    def entries(self, wanted: float) -> list[Entry]:
        """Make the members of a sleeve that holds roughly what is wanted."""
        count = self.chance.randint(*self.family.members)
        held = wanted * self.chance.lognormvariate(0.0, 0.3)
        shares = [self.chance.random() for _ in range(count)]
        return [self.entry(held * share / sum(shares)) for share in shares]

    def entry(self, held: float) -> Entry:
        chance = self.chance
        asset, self.assets = self.assets, self.assets + 1
        grouped = self.groups and chance.random() < self.family.grouped
        group = chance.choice(self.groups) if grouped else asset
        self.groups.append(group)
        price = round(10 ** chance.uniform(0.7, 2.6), 2)
        step = 1.0 if chance.random() < self.stepped else 0.0
        lots = self.lots(held, price, step)
        washed = chance.random() < 0.08
        return Entry(
            asset=asset,
            account=0,
            price=price,
            value=sum(lot.units for lot in lots) * price,
            lots=lots,
            step=step,
            minimum=self.minimum,
            tariffs=self.tariffs,
            group=group,
            wash_price=chance.uniform(0.02, 0.15) if washed else 0.0,
            wash_value=price * chance.randint(1, 20) if washed else 0.0,
        )

    def lots(self, held: float, price: float, step: float) -> tuple[Lot, ...]:
        chance = self.chance
        shares = [chance.random() for _ in range(chance.randint(*self.family.lots))]
        lots = []
        for share in shares:
            units = held * share / sum(shares) / price
            units = float(round(units)) if step else round(units, 6)
            gain = 1.0 - chance.lognormvariate(-0.1, 0.3)
            rate = chance.choice((LONG, LONG, SHORT))
            if units > 0:
                lots.append(Lot(units, rate * gain * (1.0 if gain >= 0 else CREDIT), gain < 0, max(0.0, rate * gain)))
        return tuple(lots)
