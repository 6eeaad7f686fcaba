"""What a sale costs in tax and what a purchase forfeits, for planning: marginal rates, wash sales both ways.

A gain in a taxable account costs rate x gain. A loss saves rate x loss, of which the policy's `loss_credit` counts,
as the gain later is higher; it saves nothing while a purchase of its wash group within the last 30 days would wash
it, or when it is too small to be worth harvesting. A purchase that washes a loss of the last 30 days costs
rate x loss per unit.

Where the year so far is known, short and long are netted with it and the yearly cap, which makes tax neither convex nor
concave: any of few pairs of marginal rates may hold. A plan is sought for each, and each is scored by the exact tax.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Final

from app.core import lots
from app.core.drift import Snapshot
from app.core.lots import GainTerm
from app.core.money import HUNDRED, ROUNDED, ZERO, exactly, quotient, round_up
from app.core.needs import Task, washes
from app.core.past import group_of, recent_from
from app.core.plan_values import TaxEstimate
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import Asset, TaxLot
from app.core.regimes import added_tax
from app.core.tax import RecentBuy, taxed_accounts
from app.core.trades import Quote, Trade, TradeSide

FORFEIT_PLACES: Final = 18
CREDIT_PLACES: Final = 18


TermRates = Mapping[GainTerm, Decimal]
"""Marginal rates by term, fractions: tax per unit of gain, and tax saved per unit of loss."""


def rates_of(policy: Policy) -> TermRates:
    """Return the policy's rates."""
    return {term: lots.tax_rate(term, policy) / HUNDRED for term in GainTerm}


def is_netted(snapshot: Snapshot) -> bool:
    """Say whether the year so far is known to matter: gains, losses, or losses carried in."""
    facts, policy = snapshot.tax, snapshot.policy
    known = facts.short_gain or facts.long_gain or facts.short_carry or facts.long_carry
    return policy.tax_regime is TaxRegime.US and bool(known)


def candidates(snapshot: Snapshot) -> tuple[TermRates, ...]:
    """Return the marginal rates that may hold for a plan: the policy's, or those of each way in which a year may net.

    Both terms gain: short s, long l. Losses of one term offset gains of the other: both l, or both s. A net loss within
    the yearly cap is deducted from other income: both s. Beyond the cap: nothing.
    """
    own = rates_of(snapshot.policy)
    if not is_netted(snapshot):
        return (own,)
    short, long = own[GainTerm.SHORT], own[GainTerm.LONG]
    pairs = dict.fromkeys([(short, long), (long, long), (short, short), (ZERO, ZERO)])
    return tuple({GainTerm.SHORT: of_short, GainTerm.LONG: of_long} for of_short, of_long in pairs)


@dataclass(frozen=True, slots=True)
class LotTax:
    """What a sale of a lot means, per unit of money gained: `price` in the objective, `due` in tax now."""

    price: Decimal
    due: Decimal
    is_loss: bool
    washed: bool


@dataclass(frozen=True, slots=True)
class Forfeit:
    """What buying an asset up to `units` costs per unit, money, because it washes losses of the last 30 days."""

    per_unit: Decimal
    units: Decimal


UNTAXED = LotTax(ZERO, ZERO, is_loss=False, washed=False)


@dataclass(frozen=True)
class Levies:
    """Tax rules of one snapshot, at the marginal rates that are taken to hold."""

    snapshot: Snapshot
    rates: TermRates

    @cached_property
    def today(self) -> date:
        return self.snapshot.as_of.date()

    @cached_property
    def since(self) -> date:
        """The first day whose purchases and losses still matter to a wash sale of today."""
        return recent_from(self.today)

    @cached_property
    def taxable(self) -> frozenset[str]:
        """Ids of the accounts whose gains are taxed."""
        return taxed_accounts(self.snapshot.portfolio, self.snapshot.policy)

    @cached_property
    def recent(self) -> Mapping[str, tuple[RecentBuy, ...]]:
        """Purchases of the last 30 days by wash group, oldest first."""
        found: dict[str, list[RecentBuy]] = {}
        for purchase in sorted(self.snapshot.tax.buys, key=lambda one: (one.bought_on, one.lot_id or "")):
            if self.since <= purchase.bought_on <= self.today:
                found.setdefault(purchase.group, []).append(purchase)
        return {group: tuple(purchases) for group, purchases in found.items()}

    @exactly
    def of_lot(self, asset: Asset, account_id: str, lot: TaxLot, unit: Decimal) -> LotTax:
        """Return the tax prices of a lot at `unit`, the price of one unit in the base currency."""
        if account_id not in self.taxable:
            return UNTAXED
        worth = lot.quantity * unit
        term = lots.term(lot.holding_from, self.today)
        if lot.basis <= worth:
            return LotTax(self.rates[term], self.rates[term], is_loss=False, washed=False)
        rate = self.rates[term]
        washed = washes(asset, self.snapshot) and any(
            purchase.lot_id != lot.id for purchase in self.recent.get(group_of(asset), ())
        )
        if washed:
            return LotTax(ZERO, ZERO, is_loss=True, washed=True)
        credit = rate * self.snapshot.policy.loss_credit / HUNDRED
        if not self.worth_harvesting(lot, worth):
            credit = ZERO
        return LotTax(credit, rate, is_loss=True, washed=False)

    @exactly
    def worth_harvesting(self, lot: TaxLot, worth: Decimal) -> bool:
        """Say whether a lot's loss reaches the policy's thresholds: money, and percent of its basis."""
        policy, loss = self.snapshot.policy, lot.basis - worth
        return loss >= policy.min_harvest and loss * HUNDRED >= policy.min_harvest_share * lot.basis

    @exactly
    def of_purchase(self, asset: Asset) -> Forfeit | None:
        """Return what a purchase forfeits; the losses of several sales are taken at their mean, to 18 decimals."""
        if not washes(asset, self.snapshot):
            return None
        recent = [one for one in self.snapshot.tax.losses if one.group == group_of(asset) and one.sold_on >= self.since]
        units = sum((loss.quantity for loss in recent), ZERO)
        forfeited = sum((self.rates[loss.term] * loss.loss_per_unit * loss.quantity for loss in recent), ZERO)
        if not units or not forfeited:
            return None
        return Forfeit(quotient(forfeited, units, FORFEIT_PLACES), units)


@exactly
def best_credit(task: Task, rates: TermRates) -> Decimal:
    """Return the most that a unit of money earns that is sold at a loss, of all that may be sold; up to 18 decimals."""
    rules, best = Levies(task.snapshot, rates), ZERO
    for holding in (one for sleeve in task.sleeves for one in sleeve.sellable):
        unit = task.quotes[holding.asset.id].unit
        for lot in holding.lots:
            tax, worth = rules.of_lot(holding.asset, holding.account_id, lot, unit), lot.quantity * unit
            if tax.is_loss and worth:
                best = max(best, round_up(ROUNDED.divide(tax.price * (lot.basis - worth), worth), CREDIT_PLACES))
    return best


@exactly
def priced(levies: Levies, quotes: Mapping[str, Quote], trades: Iterable[Trade]) -> Decimal:
    """Return what tax counts for in the objective, money: gains at their rate, losses at their credit, forfeits."""
    total = ZERO
    for trade in trades:
        unit = quotes[trade.asset.id].unit
        for sale in trade.sales:
            total += levies.of_lot(trade.asset, trade.account_id, sale.lot, unit).price * sale.gain
        if trade.side is TradeSide.BUY and (forfeit := levies.of_purchase(trade.asset)):
            total += forfeit.per_unit * min(trade.quantity, forfeit.units)
    return total


@exactly
def due(levies: Levies, trades: Iterable[Trade]) -> Decimal:
    """Return the tax of sales at the marginal rates, each sale for itself, money; negative is a saving."""
    total = ZERO
    for trade in trades:
        for sale in trade.sales:
            unit = ROUNDED.divide(sale.proceeds, sale.quantity)
            total += levies.of_lot(trade.asset, trade.account_id, sale.lot, unit).due * sale.gain
    return total


@exactly
def netted_price(levies: Levies, trades: Iterable[Trade]) -> Decimal:
    """Return what tax on sales counts for in the objective when the whole year is netted; money, exact.

    beta x added tax + (1 - beta) x added tax without the losses, beta the share of a loss that counts; what purchases
    forfeit counts at the policy's rates.
    """
    gains, losses = dict.fromkeys(GainTerm, ZERO), dict.fromkeys(GainTerm, ZERO)
    own, forfeits = Levies(levies.snapshot, rates_of(levies.snapshot.policy)), ZERO
    for trade in trades:
        if trade.side is TradeSide.BUY and (forfeit := own.of_purchase(trade.asset)):
            forfeits += forfeit.per_unit * min(trade.quantity, forfeit.units)
        for sale in trade.sales if trade.account_id in levies.taxable else ():
            (gains if sale.gain > ZERO else losses)[sale.term] += sale.gain
    counted = {term: gains[term] + losses[term] for term in GainTerm}
    beta = levies.snapshot.policy.loss_credit / HUNDRED
    return forfeits + beta * _added(levies.snapshot, counted) + (1 - beta) * _added(levies.snapshot, gains)


def _added(snapshot: Snapshot, gains: Mapping[GainTerm, Decimal]) -> Decimal:
    return added_tax(snapshot.tax, gains[GainTerm.SHORT], gains[GainTerm.LONG], snapshot.policy)


@exactly
def estimate(levies: Levies, trades: Iterable[Trade]) -> TaxEstimate:
    """Estimate the tax of trades: net gains by term, losses, and what wash sales take of them; formulas in the module.

    A loss is disallowed share for share where a purchase of its group of the last 30 days is still held after the
    trades; shares of the same purchase never count, each other share counts once, oldest first (Reg. 1.1091-1).
    """
    done = list(trades)
    sold = {sale.lot.id: sale.quantity for trade in done for sale in trade.sales}
    left = {
        (group, place): purchase.quantity - (sold.get(purchase.lot_id, ZERO) if purchase.lot_id else ZERO)
        for group, purchases in levies.recent.items()
        for place, purchase in enumerate(purchases)
    }
    gains, forgone = dict.fromkeys(GainTerm, ZERO), dict.fromkeys(GainTerm, ZERO)
    losses, disallowed, tax = ZERO, ZERO, ZERO
    for trade in done:
        if trade.account_id not in levies.taxable:
            continue
        for sale in sorted(trade.sales, key=lambda one: (one.lot.acquired_on, one.lot.id)):
            gains[sale.term] += sale.gain
            if sale.gain >= ZERO:
                tax += levies.rates[sale.term] * sale.gain
                continue
            losses -= sale.gain
            units = _washed_units(levies, trade.asset, sale.lot, sale.quantity, left)
            lost = quotient(ROUNDED.multiply(-sale.gain, units), sale.quantity, 10) if units else ZERO
            disallowed += lost
            forgone[sale.term] += lost
            tax += levies.rates[sale.term] * (sale.gain + lost)
    if is_netted(levies.snapshot):
        tax = _added(levies.snapshot, {term: gains[term] + forgone[term] for term in GainTerm})
    return TaxEstimate(gains[GainTerm.SHORT], gains[GainTerm.LONG], tax, losses, disallowed, _forfeited(levies, done))


def _washed_units(
    levies: Levies, asset: Asset, lot: TaxLot, quantity: Decimal, left: dict[tuple[str, int], Decimal]
) -> Decimal:
    """Return how many of the units sold are matched with purchases, taking them from `left`."""
    if not washes(asset, levies.snapshot):
        return ZERO
    group, matched = group_of(asset), ZERO
    for place, purchase in enumerate(levies.recent.get(group, ())):
        if purchase.lot_id == lot.id:
            continue
        part = min(quantity - matched, max(ZERO, left[group, place]))
        left[group, place] -= part
        matched += part
    return matched


def _forfeited(levies: Levies, trades: Iterable[Trade]) -> Decimal:
    """Return the losses of the last 30 days that purchases wash, money; each share sold is matched once."""
    bought: dict[str, Decimal] = {}
    for trade in trades:
        if trade.side is TradeSide.BUY and washes(trade.asset, levies.snapshot):
            bought[group_of(trade.asset)] = bought.get(group_of(trade.asset), ZERO) + trade.quantity
    total = ZERO
    for loss in sorted(levies.snapshot.tax.losses, key=lambda one: one.sold_on):
        if loss.sold_on >= levies.since and bought.get(loss.group):
            part = min(loss.quantity, bought[loss.group])
            bought[loss.group] -= part
            total += part * loss.loss_per_unit
    return total
