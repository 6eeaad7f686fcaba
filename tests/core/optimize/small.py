"""Small problems to work by hand: every asset costs 1 unless said otherwise, so that units are money."""

from app.core.optimize.judge import Orders
from app.core.optimize.problem import Entry, Lot, Order, Problem, Purse, Sleeve, Solution

LAMBDA = 0.05


def entry(asset: int, *lots: Lot, account: int = 0, price: float = 1.0, **more: object) -> Entry:
    """Return an entry whose lots are all it holds; its wash group is its own unless given."""
    value = sum(lot.units for lot in lots) * price
    return Entry(asset, account, price, value, lots, **({"group": asset} | more))  # type: ignore[arg-type]


def sleeve(goal: float, *entries: Entry, price: float = LAMBDA, tolerance: float = 0.0) -> Sleeve:
    """Return a sleeve whose drift costs `price` a dollar, nothing within the tolerance."""
    return Sleeve(goal, tolerance, price, 0.0 if tolerance else price, entries)


def problem(*sleeves: Sleeve, cash: float | tuple[Purse, ...] = 0.0, **more: float) -> Problem:
    """Return a problem worth what its entries and its purses are worth; cash off its goal costs as drift does."""
    purses = cash if isinstance(cash, tuple) else (Purse(cash),)
    held = sum(entry.value for row in sleeves for entry in row.entries)
    value = held + sum(purse.cash for purse in purses)
    return Problem(value, purses, sleeves, **({"cash_price": LAMBDA} | more))


def nothing(of: Problem) -> Orders:
    return tuple(tuple(Order() for _ in row.entries) for row in of.sleeves)


def traded(solution: Solution) -> list[list[float]]:
    """Return units traded by sleeve and entry: bought positive, sold negative, to six decimals."""
    return [[round(order.buy - sum(order.sell), 6) + 0.0 for order in row] for row in solution.orders]
