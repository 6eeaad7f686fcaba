"""What a plan is worth: J in money, counted in Decimal on what is held and what is traded, and its parts.

J = price x sum of what sleeves are off their aims + price of cash x |cash - its goal|     drift
    + costs + tax now, losses at their credit + losses forfeited
    + 1e-5 x traded value + 1e-4 x place of preference x bought value        ties, written down
    + what is owed of a withdrawal out of an account with tax advantages     the last to pay
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.core import levies
from app.core.aims import RANK_PRICE, TRADE_PRICE, Aims
from app.core.levies import Levies
from app.core.money import ZERO, exactly
from app.core.needs import Sleeve, Task
from app.core.trades import Trade, TradeSide, moved_by


@dataclass(frozen=True, slots=True)
class Tally:
    """Parts of J, money: drift, costs, tax as it counts in the objective, and what breaks ties."""

    drift: Decimal
    costs: Decimal
    tax: Decimal
    ties: Decimal

    @property
    def total(self) -> Decimal:
        return self.drift + self.costs + self.tax + self.ties


@exactly
def count(
    task: Task,
    aims: Aims,
    rules: Levies,
    trades: Sequence[Trade],
    *,
    cash: Decimal,
    sheltered: Decimal = ZERO,
) -> Tally:
    """Return J of trades by its parts; formula above. `cash` is what they leave, in the base currency.

    `sheltered` is what is taken out of accounts with tax advantages beyond their cash. Money, exact.
    """
    moved = moved_by(trades)
    drift = aims.cash_price * abs(cash - aims.cash)
    for sleeve in task.sleeves:
        if aim := aims.sleeves.get(sleeve.entry.key):
            drift += aims.price * aim.off(sleeve.entry.value + moved.get(sleeve.entry.key, ZERO))
    ties = sum((TRADE_PRICE * trade.value for trade in trades), sheltered)
    return Tally(
        drift,
        sum((trade.costs.total for trade in trades), ZERO),
        levies.priced(rules, task.quotes, trades),
        ties + RANK_PRICE * _ranked(task, trades),
    )


def _ranked(task: Task, trades: Sequence[Trade]) -> Decimal:
    sleeves: Mapping[str, Sleeve] = {sleeve.entry.key: sleeve for sleeve in task.sleeves}
    total = ZERO
    for trade in trades:
        if trade.side is TradeSide.BUY:
            total += sleeves[trade.key].buyable.index(trade.asset) * trade.value
    return total
