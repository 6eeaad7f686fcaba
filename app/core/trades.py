"""Trades: what is traded, what is left out, and what is held when all trades are done."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum

from app.core import lots
from app.core.costs import Costs, TradeCosts, cost_of
from app.core.lots import LotSale
from app.core.money import (
    EXACT,
    HUNDRED,
    MONEY_PLACES,
    QUANTITY_LIMIT,
    QUANTITY_PLACES,
    RATE_DIGITS,
    ROUNDED,
    ZERO,
    exactly,
    plain,
    quantum,
    round_half_even,
    round_significant,
)
from app.core.policy import Policy
from app.core.portfolio import Account, Asset, Portfolio, Price, TaxLot

MOST_UNITS = EXACT.subtract(QUANTITY_LIMIT, quantum(QUANTITY_PLACES))  # of one order: what a holding may be at most


class TradeSide(Enum):
    """Direction of a trade."""

    BUY = "BUY"
    SELL = "SELL"


class SkipReason(Enum):
    """Why a trade is not in a plan."""

    DUST = "DUST"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    NOT_WORTH_COST = "NOT_WORTH_COST"
    WITHIN_BAND = "WITHIN_BAND"
    SELLS_DISABLED = "SELLS_DISABLED"
    NO_CASH = "NO_CASH"
    NO_MEMBER = "NO_MEMBER"
    NO_PRICE = "NO_PRICE"
    NOT_TRADABLE = "NOT_TRADABLE"
    EXCLUDED = "EXCLUDED"
    WASH_SALE = "WASH_SALE"
    TURNOVER_LIMIT = "TURNOVER_LIMIT"
    TAX_BUDGET = "TAX_BUDGET"
    TAX = "TAX"
    IMPROVEMENT = "IMPROVEMENT"


@dataclass(frozen=True, slots=True)
class Trade:
    """One order before it has an id: units, price in the asset's currency, value and costs in the base currency."""

    key: str
    asset: Asset
    account_id: str
    side: TradeSide
    quantity: Decimal
    price: Price
    value: Decimal
    costs: TradeCosts
    sales: tuple[LotSale, ...] = ()

    @property
    def change(self) -> Decimal:
        """What it adds to its sleeve, money; negative for a sale."""
        return self.value if self.side is TradeSide.BUY else EXACT.minus(self.value)


@exactly
def moved_by(trades: Iterable[Trade]) -> dict[str, Decimal]:
    """Return what trades add to each sleeve that they touch, money, by its key."""
    moved: dict[str, Decimal] = {}
    for trade in trades:
        moved[trade.key] = moved.get(trade.key, ZERO) + trade.change
    return moved


@dataclass(frozen=True, slots=True)
class Skip:
    """A trade that was considered and left out; `asset` is None when a sleeve has nothing to buy."""

    key: str
    asset: Asset | None
    side: TradeSide
    value: Decimal
    reason: SkipReason
    explanation: str


@dataclass(frozen=True, slots=True)
class Quote:
    """Price of an asset in its own currency, and the rate to the base currency."""

    price: Price
    rate: Decimal

    @property
    def unit(self) -> Decimal:
        """Value of one unit in the base currency."""
        return self.price.value * self.rate


@exactly
def dust(policy: Policy, asset: Asset, quote: Quote, costs: Costs, quantity: Decimal) -> tuple[SkipReason, str] | None:
    """Return why a trade that is no full exit is too small, or None: step, minimum, then share of costs."""
    value = quantity * quote.unit
    if not quantity:
        step = asset.quantity_step
        text = f"one step of {asset.symbol} is {plain(step)}, worth {money(step * quote.unit)}"
        return SkipReason.BELOW_MINIMUM, text
    if value < policy.min_trade:
        return SkipReason.DUST, f"{money(value)} is below the smallest trade of {money(policy.min_trade)}"
    venue_minimum = asset.min_notional * quote.rate
    if value < venue_minimum:
        return SkipReason.BELOW_MINIMUM, f"{money(value)} is below the venue's minimum of {money(venue_minimum)}"
    fee = cost_of(costs, value).fee
    if fee * HUNDRED > policy.max_fee * value:
        share = ROUNDED.divide(fee * HUNDRED, value).quantize(Decimal("0.01"), context=ROUNDED)
        return SkipReason.NOT_WORTH_COST, f"its fee of {money(fee)} is {share} % of it"
    return None


def skip_of(
    key: str, asset: Asset | None, side: TradeSide, value: Decimal, reason: SkipReason, why: str, *, more: bool = False
) -> Skip:
    """Return a trade that is left out, its value half-even to 10 decimals, `why` as a half sentence.

    `more` says that some of it is in the plan.
    """
    name = asset.symbol if asset else key
    verb = ("Buying" if side is TradeSide.BUY else "Selling") + (" more" if more else "")
    return Skip(key, asset, side, round_half_even(value, MONEY_PLACES), reason, f"{verb} {name} is left out: {why}.")


@exactly
def settle(portfolio: Portfolio, trades: Sequence[Trade], cash: Mapping[str, Decimal], today: date) -> Portfolio:
    """Return the portfolio as it is when every trade filled at its price: lots reduced, new lots added, cash as given.

    A purchase's basis contains its costs, rounded half-even to 10 decimals.
    """
    return replace(
        portfolio,
        accounts=tuple(
            _settle(account, portfolio.base_currency, trades, cash, today) for account in portfolio.accounts
        ),
    )


def _settle(account: Account, base: str, trades: Sequence[Trade], cash: Mapping[str, Decimal], today: date) -> Account:
    mine = [trade for trade in trades if trade.account_id == account.id]
    sold = {sale.lot.id: sale.quantity for trade in mine for sale in trade.sales}
    kept = [lots.remainder(lot, sold[lot.id]) if lot.id in sold else lot for lot in account.lots]
    bought = [
        TaxLot(f"planned-{place}", trade.asset.id, trade.quantity, _basis(trade), today, today)
        for place, trade in enumerate(mine)
        if trade.side is TradeSide.BUY
    ]
    balances = dict(account.cash)
    if base in balances or cash[account.id]:
        balances[base] = cash[account.id]
    return replace(account, lots=(*(lot for lot in kept if lot), *bought), cash=balances)


def _basis(trade: Trade) -> Decimal:
    return round_half_even(trade.value + trade.costs.total, MONEY_PLACES)


def rate_of(value: Decimal, quantity: Decimal, price: Decimal) -> Decimal:
    """Return the rate of a planned trade, whose value = quantity x price x rate; half-even to 12 significant digits."""
    return round_significant(ROUNDED.divide(value, ROUNDED.multiply(quantity, price)), RATE_DIGITS)


def money(amount: Decimal) -> str:
    """Write money for a sentence: two decimals, half-even, thousands apart."""
    return f"{amount.quantize(Decimal('0.01'), context=ROUNDED):,}"
