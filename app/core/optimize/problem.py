"""The optimiser's problem and its answer: money and units as floats, nothing of assets, owners or days.

    Problem ── Purse (cash of one account)
       └── Sleeve (goal, tolerance) ── Entry (one asset in one account) ── Lot

Every entry i may buy b_i >= 0 or sell s_ij of its lots, money; S_i = sum_j s_ij; X_k = sum over entries of (V_i - S_i +
b_i); the cash of account a is x_a = cash_a + sum (S_i - b_i) - cost, x = sum x_a. To be minimised:

    J = sum_k inside_k |X_k - goal_k| + (outside_k - inside_k) max(0, |X_k - goal_k| - tolerance_k)
        + cash_price |x - cash_goal|
        + sum lot.tax s_ij + sum cost(b_i) + cost(S_i) + sum entry.wash_price min(b_i, entry.wash_value)
        + trade_price sum (b_i + S_i) + rank_price sum rank_i b_i + sum exit_price_i (V_i - S_i)

cost(z) = fixed + rate z of the tariff that holds for z, for z > 0. An order is 0, or at least `minimum` (a sale of all
that is held may be smaller), and with a step a multiple of price x step. No asset is both bought and sold, in any
account; at most one entry of a sleeve and account is bought; x_a >= minimum_a; a sale of a loss lot in a taxable
account excludes every purchase in its wash group. rank_i is the place of the entry among those of its sleeve and
account.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf

NO_GROUP = -1

Watch = Callable[[int, float], bool]
"""Called now and then by whoever searches, with the nodes so far and the gap as a share of V (infinity while unknown).

True means: stop, and return the best so far."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Part of an entry that can be sold: units, and per unit of money sold the price of tax and the tax due now.

    `tax` is what a sale costs in J (negative: a credit); `due` is what it adds to the tax of the plan, for `tax_limit`.
    `loss` says that its basis is above the price, though it may earn no credit. One that is not `sellable` stays.
    """

    units: float
    tax: float = 0.0
    loss: bool = False
    due: float = 0.0
    sellable: bool = True


@dataclass(frozen=True, slots=True)
class Tariff:
    """Cost of an order worth `low` to `high`: fixed + rate x value, money."""

    fixed: float = 0.0
    rate: float = 0.0
    low: float = 0.0
    high: float = inf


@dataclass(frozen=True, slots=True)
class Entry:
    """One asset in one account. `asset`, `account` and `group` are numbers; entries of one asset share theirs.

    `price` is of one unit; an entry that is frozen can neither be bought nor sold. `value` is all that is held, money.
    `lots_in_order`: a lot is sold only when all before it are sold out. `tariffs` follow each other from 0 to infinity.
    What is not a trade is money that is paid out: it neither costs trade_price nor counts for traded_limit.
    """

    asset: int
    account: int
    price: float
    value: float
    lots: tuple[Lot, ...] = ()
    can_buy: bool = True
    can_sell: bool = True
    step: float = 0.0
    minimum: float = 0.0
    tariffs: tuple[Tariff, ...] = (Tariff(),)
    group: int = NO_GROUP
    wash_price: float = 0.0
    wash_value: float = 0.0
    exit_price: float = 0.0
    lots_in_order: bool = False
    is_trade: bool = True


@dataclass(frozen=True, slots=True)
class Sleeve:
    """Entries that stand in for each other, the preferred one first; goal and tolerance are money."""

    goal: float
    tolerance: float
    outside: float
    inside: float
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Purse:
    """Cash of one account, external flow included, and the least that must be left."""

    cash: float
    minimum: float = 0.0
    taxable: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """All that the optimiser knows. `value` is V, the scale of every tolerance; limits of infinity do not bind.

    traded_limit bounds sum (b_i + S_i) of what is a trade, tax_limit bounds sum lot.due s_ij over taxable accounts.
    drift_limit bounds what drift costs in J: that of the sleeves and of cash off its goal.
    """

    value: float
    purses: tuple[Purse, ...]
    sleeves: tuple[Sleeve, ...]
    cash_goal: float = 0.0
    cash_price: float = 0.0
    trade_price: float = 0.0
    rank_price: float = 0.0
    traded_limit: float = inf
    tax_limit: float = inf
    drift_limit: float = inf

    @property
    def crumb(self) -> float:
        """The amount of money that counts as none: a millionth, or what floats lose beside very large values."""
        return max(1e-6, 1e-12 * self.value)


class SolveStatus(Enum):
    """OPTIMAL: proven within the gap asked for. FEASIBLE: the best found, gap says how far the proof is."""

    OPTIMAL = "OPTIMAL"
    FEASIBLE = "FEASIBLE"
    INFEASIBLE = "INFEASIBLE"


@dataclass(frozen=True, slots=True)
class Order:
    """What is done with one entry: units bought, or units sold of each lot."""

    buy: float = 0.0
    sell: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: gap as a share of V, nodes of the search (the same anywhere), and seconds as a last resort.

    `seconds` are those of one question to an engine; a plan may ask several.
    """

    gap: float = 1e-6
    nodes: int = 20_000
    seconds: float = 10.0

    def seconds_left(self) -> float:
        """Return how long a question may take that is asked now; 0 when the time is over."""
        return self.seconds

    def cut(self) -> None:
        """Hear that time has ended a question before its own end."""


@dataclass(frozen=True, slots=True)
class Deadline(Limits):
    """Limits with one deadline for all questions: `left_s` says how many seconds there are; `on_cut` hears of a cut."""

    left_s: Callable[[], float] = lambda: inf
    on_cut: Callable[[], None] = lambda: None

    def seconds_left(self) -> float:
        """Return how long a question may take that is asked now; 0 when the time is over."""
        return max(0.0, min(self.seconds, self.left_s()))

    def cut(self) -> None:
        """Pass on that time has ended a question before its own end."""
        self.on_cut()


PLAN_LIMITS = Limits(gap=1e-8, nodes=500)
"""For plans: nodes end a search, so that a plan is the same anywhere; the last of a proof may take for ever."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Orders by sleeve and entry, J of them, and a proven lower bound of J. INFEASIBLE has no orders.

    `raisable` is the most cash that could be left over all accounts, given with INFEASIBLE. `engine` says who found it.
    """

    status: SolveStatus
    orders: tuple[tuple[Order, ...], ...]
    objective: float
    bound: float
    nodes: int
    engine: str
    raisable: float | None = None


Engine = Callable[[Problem, Limits], Solution]
"""Whoever solves problems within limits."""
