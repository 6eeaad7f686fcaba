"""Trades: from wanted values of sleeves to orders in whole steps that accounts can pay for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum

from app.core import lots
from app.core.costs import TradeCosts, affordable, cost_of
from app.core.lots import LotSale
from app.core.money import (
    EXACT,
    HUNDRED,
    MONEY_PLACES,
    QUANTITY_LIMIT,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    ceil_to_step,
    exactly,
    floor_to_step,
    plain,
    quantum,
    quotient_down,
    round_down,
    round_half_even,
    round_up,
)
from app.core.policy import Policy
from app.core.portfolio import Account, AccountKind, Asset, Holding, Portfolio, Price, TaxLot

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


class Desk:
    """Works trades against the accounts' lots and base-currency cash, one after the other, and never overdraws."""

    def __init__(self, portfolio: Portfolio, policy: Policy, quotes: Mapping[str, Quote], today: date) -> None:
        self.policy, self.quotes, self.today = policy, quotes, today
        self.base = portfolio.base_currency
        self.accounts = {account.id: account for account in portfolio.accounts}
        self.cash = {account.id: account.cash.get(self.base, ZERO) for account in portfolio.accounts}
        self.paid_from: dict[str, Decimal] = {}
        self.cash_before = sum(self.cash.values(), ZERO)
        self.trades: list[Trade] = []
        self.skips: list[Skip] = []
        self.rounded_up = ZERO  # value of what was sold beyond what was asked for, to fill up steps

    def sell(self, key: str, holdings: Sequence[Holding], amount: Decimal, *, at_least: bool) -> None:
        """Sell `amount` of a sleeve: lots of all its holdings in the policy's order, in whole steps.

        Rounded down to the step, so never more than asked; rounded up with `at_least`, for cash that must be raised.
        """
        left = amount
        rounded_to = round_up if at_least else round_down
        picked: dict[tuple[str, str], Decimal] = {}
        ordered = self._ordered(holdings)
        if at_least:
            ordered.sort(key=lambda pair: self._is_sheltered(pair[0].account_id))
        for holding, lot in ordered:
            unit = self.quotes[holding.asset.id].unit
            whole = rounded_to(ROUNDED.divide(left, unit), QUANTITY_PLACES)
            part = min(lot.quantity, whole) if left > ZERO else ZERO
            place = (holding.account_id, holding.asset.id)
            picked[place] = picked.get(place, ZERO) + part
            left -= part * unit
        self.rounded_up += max(ZERO, -left)
        for holding in holdings:
            wanted = picked.get((holding.account_id, holding.asset.id), ZERO)
            if wanted:
                step = holding.asset.quantity_step
                most = floor_to_step(holding.quantity, step)
                rounded = min(ceil_to_step(wanted, step), most) if at_least else floor_to_step(wanted, step)
                self._sell_holding(key, holding, wanted, rounded)

    def _ordered(self, holdings: Sequence[Holding]) -> list[tuple[Holding, TaxLot]]:
        pairs = [(holding, lot) for holding in holdings for lot in holding.lots]
        return sorted(pairs, key=lambda pair: self._sale_key(*pair))

    def _sale_key(self, holding: Holding, lot: TaxLot) -> tuple[Decimal | int, Decimal, int, str]:
        taxable = self.accounts[holding.account_id].kind is AccountKind.TAXABLE
        unit = self.quotes[holding.asset.id].unit
        return lots.sale_key(lot, self.policy.lot_method, unit, self.policy, self.today, taxable=taxable)

    def _sell_holding(self, key: str, holding: Holding, wanted: Decimal, quantity: Decimal) -> None:
        asset, quote = holding.asset, self.quotes[holding.asset.id]
        value = quantity * quote.unit
        whole = quantity == holding.quantity
        reason = self._dust(asset, quote, value, quantity, exit_=whole)
        if reason:
            self.skip(key, asset, TradeSide.SELL, wanted * quote.unit, *reason)
            return
        ordered = [lot for _, lot in self._ordered([holding])]
        sales = lots.take(ordered, quantity, quote.unit, self.today)
        costs = cost_of(asset.costs, value)
        if self.cash[holding.account_id] + value < costs.total:
            explanation = f"its costs of {money(costs.total)} are more than it brings in"
            self.skip(key, asset, TradeSide.SELL, value, SkipReason.NOT_WORTH_COST, explanation)
            return
        self.cash[holding.account_id] += value - costs.total
        self.rounded_up += max(ZERO, quantity - wanted) * quote.unit
        self.trades.append(
            Trade(key, asset, holding.account_id, TradeSide.SELL, quantity, quote.price, value, costs, sales)
        )

    def move_cash(self, flow: Decimal) -> Decimal:
        """Pay a flow into the first account, or take it from the accounts, taxable and fullest first.

        Return what is missing.
        """
        if flow > ZERO:
            self.cash[next(iter(self.cash))] += flow
        due = max(ZERO, -flow)
        for account_id in sorted(self.cash, key=lambda name: (self._is_sheltered(name), -self.cash[name])):
            part = min(due, self.cash[account_id])
            self.cash[account_id] -= part
            due -= part
            if part:
                self.paid_from[account_id] = part
        return due

    def _is_sheltered(self, account_id: str) -> bool:
        """Say whether taking money out of an account may be taxed by itself: it is the last to pay a withdrawal."""
        return self.accounts[account_id].kind is not AccountKind.TAXABLE

    def buy(self, key: str, asset: Asset, amount: Decimal, spendable: Decimal) -> Decimal:
        """Buy about `amount`, never more, from the accounts with most cash first; return the cash that was used.

        `spendable` bounds what all accounts together may pay, costs included.
        """
        quote, used, left = self.quotes[asset.id], ZERO, amount
        bought = False
        for account_id in sorted(self.cash, key=lambda name: -self.cash[name]):
            purse = min(self.cash[account_id], spendable - used)
            value = min(left, affordable(asset.costs, purse))
            units = min(quotient_down(value, quote.unit, 18), MOST_UNITS)
            quantity = floor_to_step(units, asset.quantity_step)
            if not quantity or self._dust(asset, quote, quantity * quote.unit, quantity, exit_=False):
                break
            value = quantity * quote.unit
            costs = cost_of(asset.costs, value)
            self.cash[account_id] -= value + costs.total
            assert self.cash[account_id] >= ZERO, (account_id, self.cash[account_id])
            self.trades.append(Trade(key, asset, account_id, TradeSide.BUY, quantity, quote.price, value, costs))
            used += value + costs.total
            left -= value
            bought = True
        if not bought:
            self._explain_no_buy(key, asset, amount, spendable)
        return used

    def buy_is_dust(self, asset: Asset, amount: Decimal) -> bool:
        """Say whether buying `amount` would be dust, however much cash there is."""
        quote = self.quotes[asset.id]
        quantity = floor_to_step(quotient_down(amount, quote.unit, 18), asset.quantity_step)
        return self._dust(asset, quote, quantity * quote.unit, quantity, exit_=False) is not None

    def skip_dust(self, key: str, asset: Asset, amount: Decimal) -> None:
        """Leave a buy out because it is dust, and say by which rule."""
        quote = self.quotes[asset.id]
        quantity = floor_to_step(quotient_down(amount, quote.unit, 18), asset.quantity_step)
        reason = self._dust(asset, quote, quantity * quote.unit, quantity, exit_=False)
        assert reason, (key, amount)
        self.skip(key, asset, TradeSide.BUY, amount, *reason)

    def skip_unpaid(self, key: str, asset: Asset, amount: Decimal, funded: Decimal) -> None:
        """Leave a buy out because what cash there is would make it dust."""
        explanation = f"wanted {money(amount)}, but the cash leaves only {money(funded)} for it"
        self.skip(key, asset, TradeSide.BUY, amount, SkipReason.NO_CASH, explanation)

    def _explain_no_buy(self, key: str, asset: Asset, amount: Decimal, spendable: Decimal) -> None:
        purse = min(max(self.cash.values(), default=ZERO), max(spendable, ZERO))
        explanation = f"wanted {money(amount)}, but no account can spend more than {money(purse)} on it"
        self.skip(key, asset, TradeSide.BUY, amount, SkipReason.NO_CASH, explanation)

    def _dust(
        self, asset: Asset, quote: Quote, value: Decimal, quantity: Decimal, *, exit_: bool
    ) -> tuple[SkipReason, str] | None:
        """Return why a trade is too small, or None: minimum, step, then share of costs. A full exit may be small."""
        if not quantity:
            step = asset.quantity_step
            text = f"one step of {asset.symbol} is {plain(step)}, worth {money(step * quote.unit)}"
            return SkipReason.BELOW_MINIMUM, text
        if not exit_ and value < self.policy.min_trade:
            return SkipReason.DUST, f"{money(value)} is below the smallest trade of {money(self.policy.min_trade)}"
        venue_minimum = asset.min_notional * quote.rate
        if not exit_ and value < venue_minimum:
            return SkipReason.BELOW_MINIMUM, f"{money(value)} is below the venue's minimum of {money(venue_minimum)}"
        fee = cost_of(asset.costs, value).fee
        if fee * HUNDRED > self.policy.max_fee * value:
            share = ROUNDED.divide(fee * HUNDRED, value).quantize(Decimal("0.01"), context=ROUNDED)
            return SkipReason.NOT_WORTH_COST, f"its fee of {money(fee)} is {share} % of it"
        return None

    def skip(
        self, key: str, asset: Asset | None, side: TradeSide, value: Decimal, reason: SkipReason, why: str
    ) -> None:
        """Record a trade that is left out, with the reason as a half sentence."""
        name = asset.symbol if asset else key
        verb = "Buying" if side is TradeSide.BUY else "Selling"
        value = round_half_even(value, MONEY_PLACES)
        self.skips.append(Skip(key, asset, side, value, reason, f"{verb} {name} is left out: {why}."))


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


def money(amount: Decimal) -> str:
    """Write money for a sentence: two decimals, half-even, thousands apart."""
    return f"{amount.quantize(Decimal('0.01'), context=ROUNDED):,}"
