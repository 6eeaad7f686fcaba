"""Approving a plan: who may, what has moved since, and what is left of it when trades are left out.

What is approved is what was looked at: the plan at its own prices. So the rest is counted at these, while the prices of
now decide only whether the plan is still good. Lots and cash are those of now.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from app.core import drift, levies, past
from app.core.alert_words import of_move
from app.core.check_plan import faults_of
from app.core.drift import Report, Snapshot
from app.core.errors import Forbidden, InvalidInput, InvalidState, StaleData
from app.core.levies import Levies
from app.core.money import HUNDRED, ONE, ROUNDED, ZERO, exactly, quotient
from app.core.needs import quotes_of, task_of
from app.core.past import Past
from app.core.plan_values import Plan, PlanStatus, PlanSummary
from app.core.policy import Policy
from app.core.portfolio import Asset, AssetClass, Market, Price
from app.core.totals import totals_of
from app.core.trades import Trade, TradeSide, money, settle

PATH = ("excludeTradeIds",)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a plan without the trades that were left out: totals, and drift when all of it is done."""

    summary: PlanSummary
    after: Report


def check_eyes(policy: Policy, requested_by: str, actor: str) -> None:
    """Refuse who asked for a plan to approve it, where the policy wants four eyes."""
    if policy.four_eyes and actor == requested_by:
        raise Forbidden(f"{actor} asked for this plan; the policy wants four eyes, so somebody else has to approve it")


@exactly
def check_fresh(snapshot: Snapshot, trades: Sequence[Trade]) -> None:
    """Refuse trades whose prices of now are missing or too old to say whether they have moved."""
    quotes = quotes_of(snapshot)
    old = {trade.asset.symbol: trade.asset.id for trade in trades if trade.asset.id not in quotes}
    if old:
        known = [snapshot.market.prices[key].priced_at for key in old.values() if key in snapshot.market.prices]
        message = f"nobody can say whether prices have moved; missing or too old: {', '.join(old)}"
        raise StaleData(message, tuple(old), min(known, default=None))


@exactly
def moved(snapshot: Snapshot, trades: Sequence[Trade]) -> str | None:
    """Say which price moved most since the plan, where one moved by more than the policy allows; None where none did.

    |now - then| > limit x then, strictly, in the asset's currency; the percent is rounded half-even to 6 decimals.
    """
    limit = snapshot.policy.price_move_limit
    if limit is None:
        return None
    changes = []
    for trade in trades:
        then, now = trade.price.value, snapshot.market.prices[trade.asset.id].value
        if abs(now - then) * HUNDRED > limit * then:
            changes.append((quotient(abs(now - then) * HUNDRED, then, 6), trade.asset.symbol, then, now))
    if not changes:
        return None
    percent, symbol, then, now = max(changes, key=lambda change: change[0])
    return of_move(symbol, then, now, percent, limit)


@exactly
def rest_of(snapshot: Snapshot, told: Past, plan: Plan, left_out: Collection[int]) -> Rest:
    """Check what is left of a plan against the portfolio of now, and count it at the plan's prices; money is exact.

    `left_out` are places in `plan.trades`. Raises InvalidInput where leaving these out overdraws an account, lets a
    withdrawal fall short or exceeds the tax budget; InvalidState where the portfolio no longer bears the plan.
    """
    then = past.with_facts(at_prices_of(snapshot, plan), told)
    kept = [planned.trade for place, planned in enumerate(plan.trades) if place not in left_out]
    task = task_of(then, drift.measure(then), plan.request)
    rules = Levies(then, levies.rates_of(then.policy))
    names = ", ".join(planned.trade.asset.symbol for place, planned in enumerate(plan.trades) if place in left_out)
    cash = _cash_after(then, plan, kept)
    faults = [*_cash_faults(then, plan, kept, cash), *faults_of(task, rules, kept)]
    if faults and left_out:
        raise InvalidInput(f"without {names} the rest cannot be done: {'; '.join(faults)}", PATH)
    if faults:
        message = f"the plan no longer fits: {'; '.join(faults)}; propose anew"
        raise InvalidState(message, PlanStatus.READY.value)
    after = drift.measure(replace(then, portfolio=settle(then.portfolio, kept, cash, then.as_of.date())))
    after = replace(after, valuation=replace(after.valuation, prices_at=plan.after.valuation.prices_at))
    return Rest(totals_of(kept, plan.before.base, levies.estimate(rules, kept), None), after)


@exactly
def at_prices_of(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """Return a portfolio with the prices and rates that a plan was made at, as of then.

    A price that only weighed is taken from what it made the holding worth, which is exact; what neither was held nor
    is traded keeps its price of now.
    """
    before = plan.before
    rates = _rates_of(plan)
    prices = {planned.trade.asset.id: planned.trade.price for planned in plan.trades}
    priced_at = before.as_of  # they were fresh then
    for entry in before.entries:
        for member in entry.members:
            if member.quantity:
                unit = ROUNDED.divide(member.value, member.quantity * rates[member.asset.currency])
                prices.setdefault(member.asset.id, Price(unit, priced_at))
    pinned = dict(_pinned(rates, before.valuation.base_currency))
    known = snapshot.market
    pins = {asset.id: Price(rate, priced_at) for asset, rate in pinned.items()}
    assets = {**known.assets, **{asset.id: asset for asset in pinned}}
    market = Market(assets, {**known.prices, **prices, **pins}, known.brokers)
    return replace(snapshot, market=market, as_of=before.as_of)


def _rates_of(plan: Plan) -> dict[str, Decimal]:
    """Return the rates to the base currency that a plan reckoned with: of what was held, and of what is traded."""
    rates = {plan.before.valuation.base_currency: ONE, **plan.before.valuation.rates}
    for planned in plan.trades:
        trade = planned.trade
        rates.setdefault(trade.asset.currency, ROUNDED.divide(trade.value, trade.quantity * trade.price.value))
    return rates


def _pinned(rates: Mapping[str, Decimal], base: str) -> Iterator[tuple[Asset, Decimal]]:
    """Yield a rate to the base as the price of an asset; the direct way counts before all others."""
    for currency, rate in rates.items():
        if currency != base:
            yield Asset(f"{currency}/{base}", currency, AssetClass.CASH, base), rate


def _cash_after(then: Snapshot, plan: Plan, trades: Sequence[Trade]) -> dict[str, Decimal]:
    """Return cash in the base currency by account when trades are done; a deposit comes into the first account.

    A withdrawal is taken where most is. Whoever pays it makes no difference to what is measured.
    """
    base = then.portfolio.base_currency
    cash = {account.id: account.cash.get(base, ZERO) for account in then.portfolio.accounts}
    cash[next(iter(cash))] += max(ZERO, plan.request.cash_flow)
    for trade in trades:
        cash[trade.account_id] += (trade.value if trade.side is TradeSide.SELL else -trade.value) - trade.costs.total
    owed = max(ZERO, -plan.request.cash_flow)
    for key in sorted(cash, key=lambda key: (-cash[key], key)):
        part = min(owed, max(ZERO, cash[key]))
        cash[key], owed = cash[key] - part, owed - part
    return cash


def _cash_faults(then: Snapshot, plan: Plan, kept: Sequence[Trade], cash: Mapping[str, Decimal]) -> Iterator[str]:
    """Say which accounts are overdrawn, and whether a withdrawal falls shorter than the whole plan let it."""
    for account in then.portfolio.accounts:
        if cash[account.id] < ZERO:
            yield f"account {account.name} would be overdrawn by {money(-cash[account.id])}"
    whole = _net_of(planned.trade for planned in plan.trades)
    short = _short(then, plan, _net_of(kept))
    if short > _short(then, plan, whole):
        yield f"the withdrawal would fall short by {money(short)}"


def _net_of(trades: Iterator[Trade] | Sequence[Trade]) -> Decimal:
    signed = ((trade.value if trade.side is TradeSide.SELL else -trade.value) - trade.costs.total for trade in trades)
    return sum(signed, ZERO)


def _short(then: Snapshot, plan: Plan, net: Decimal) -> Decimal:
    """Return by how much a withdrawal falls short when trades bring in `net`; 0 where nothing is taken out."""
    base, flow = then.portfolio.base_currency, plan.request.cash_flow
    cash = sum((account.cash.get(base, ZERO) for account in then.portfolio.accounts), ZERO)
    return max(ZERO, -(cash + flow + net)) if flow < ZERO else ZERO
