"""Why each trade is in a plan and each other one is not, in one sentence with its numbers; and what waiting would save.

A trade moves money from where there is too much to where there is too little: each unit of it removes twice the price
of drift. So a lot is sold only if tax and costs of selling it and buying something else are less than that.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from app.core import levies, lots, remains
from app.core.aims import Aims, sides
from app.core.costs import cost_of
from app.core.drift import DriftStatus, Entry, Report
from app.core.levies import Levies, is_netted
from app.core.lots import GainTerm, sale_key
from app.core.money import (
    HUNDRED,
    MONEY_PLACES,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    exactly,
    floor_to_step,
    plain,
    quotient_down,
    round_half_even,
)
from app.core.needs import Obstacle, Sleeve, Task, within_band
from app.core.optimize.allocate import PlanScope
from app.core.optimize.formulate import ORDERED
from app.core.plan_values import PlannedTrade, PlanRequest, TradeReason, WaitAdvice
from app.core.policy import Policy
from app.core.portfolio import AccountKind, Asset, Holding, TaxLot
from app.core.seek import Found
from app.core.trades import Skip, SkipReason, Trade, TradeSide, dust, money, skip_of

WAIT_DAYS: Final = 60
"""Advice to wait is given for lots that turn long-term within so many days."""
SMALLEST_AMOUNT: Final = Decimal("0.01")
"""What is less than a cent off target is not worth a word."""

_WHY: Final = {TradeReason.RAISE_CASH: "cash is needed: ", TradeReason.INVEST_CASH: "there is cash to invest: "}


@exactly
def trades_of(task: Task, aims: Aims, found: Found, after: Report) -> tuple[PlannedTrade, ...]:
    """Return the trades, each with its reason and a sentence."""
    reached = {entry.key: entry.actual for entry in after.entries}
    sleeves = {sleeve.entry.key: sleeve for sleeve in task.sleeves}
    planned = []
    for trade in found.trades.trades:
        sleeve = sleeves[trade.key]
        reason = _reason(task, sleeve, trade, found)
        verb = "buying" if trade.side is TradeSide.BUY else "selling"
        entry = sleeve.entry
        text = (
            f"{entry.key} is at {plain(entry.actual)} %, target {plain(entry.target)} %, band {plain(entry.lower)} to "
            f"{plain(entry.upper)} %; {_WHY.get(reason, '')}{verb} {plain(trade.quantity)} {trade.asset.symbol} for "
            f"{money(trade.value)}. After all trades it is at {plain(reached.get(trade.key, ZERO))} %. "
            f"{_numbers(task, aims, found, sleeve, trade, reason)}"
        )
        planned.append(PlannedTrade(trade, reason, text))
    return tuple(planned)


def _reason(task: Task, sleeve: Sleeve, trade: Trade, found: Found) -> TradeReason:
    entry = sleeve.entry
    breached = entry.status is DriftStatus.BREACHED or task.request.scope in (PlanScope.FULL, PlanScope.HARVEST)
    others = {other.side for other in found.trades.trades if other.key == trade.key}
    swapped = len(others) > 1
    if trade.side is TradeSide.BUY:
        if swapped or trade.asset != sleeve.buyable[0]:
            return TradeReason.SUBSTITUTE
        underweight = breached and entry.to_target > ZERO
        return TradeReason.FILL_UNDERWEIGHT if underweight else TradeReason.INVEST_CASH
    if not entry.targeted:
        return TradeReason.EXIT_UNTARGETED
    losing = trade.account_id in found.rules.taxable and all(sale.gain < ZERO for sale in trade.sales)
    astray = entry.to_target >= ZERO and task.request.cash_flow >= ZERO and _saves(task, found.rules, trade)
    if losing and (swapped or task.request.scope is PlanScope.HARVEST or astray):
        return TradeReason.HARVEST_LOSS
    overweight = breached and entry.to_target < ZERO
    return TradeReason.REDUCE_OVERWEIGHT if overweight else TradeReason.RAISE_CASH


def _saves(task: Task, rules: Levies, trade: Trade) -> bool:
    """Say whether a sale is paid for by the tax it saves, a credit that counts now."""
    now, later = _taxes(task, rules, trade)
    return now + later < ZERO


def _numbers(task: Task, aims: Aims, found: Found, sleeve: Sleeve, trade: Trade, reason: TradeReason) -> str:
    """Say what the trade removes of drift and what it costs, now and later, and what decides."""
    benefit = _benefit(aims, found, sleeve)
    verb = "adds" if benefit < ZERO else "removes"
    text = f"At {plain(aims.price)} for each unit of money off target it {verb} {money(abs(benefit))}"
    if _traded_in(found, sleeve.entry.key) > 1:
        text += " together with the other trades of the sleeve"
    costs = [f"fee {money(trade.costs.fee)}", f"spread {money(trade.costs.spread)}"]
    if trade.costs.impact:
        costs.append(f"impact {money(trade.costs.impact)}")
    text += f"; {', '.join(costs)}"
    if trade.side is TradeSide.BUY:
        forfeit = found.rules.of_purchase(trade.asset)
        if forfeit:
            lost = forfeit.per_unit * min(trade.quantity, forfeit.units)
            text += f"; it washes a loss of the last 30 days, which defers {money(lost)} of tax saved"
        return f"{text}.{_change_words(task, aims, found, trade)}"
    now, later = _taxes(task, found.rules, trade)
    text += f", tax now {money(now)}"
    if later:
        text += f", tax later {money(later)}"
    if reason is TradeReason.HARVEST_LOSS:
        why = "The tax it saves now, less what comes later, is to be more than what selling and buying costs"
    else:
        most = plain(2 * aims.price * HUNDRED)
        why = f"It is sold as long as tax and costs of selling and buying are below {most} % of it"
    return f"{text}. {why}.{_change_words(task, aims, found, trade)}"


def _change_words(task: Task, aims: Aims, found: Found, trade: Trade) -> str:
    """Say why a few shares are bought, or kept of a holding, where that looks like an oversight."""
    small = remains.small_change(task, aims, found, trade)
    if small is None or small[1] < SMALLEST_AMOUNT:
        return ""
    few, spared = f"{plain(small[0])} {trade.asset.symbol}", money(small[1])
    if trade.side is TradeSide.BUY:
        return f" It is small change of whole shares: without the {few} J would be higher by {spared}."
    return f" The last {few} stay as small change of whole shares: J would be higher by {spared} if they went too."


def _traded_in(found: Found, key: str) -> int:
    return sum(trade.key == key for trade in found.trades.trades)


def _benefit(aims: Aims, found: Found, sleeve: Sleeve) -> Decimal:
    """Return how much of J the trades of a sleeve remove as drift, money; negative where they add to it."""
    aim, change = aims.sleeves[sleeve.entry.key], remains.change_of(found, sleeve.entry.key)
    return aims.price * (aim.off(sleeve.entry.value) - aim.off(sleeve.entry.value + change))


def _taxes(task: Task, rules: Levies, trade: Trade) -> tuple[Decimal, Decimal]:
    """Return the tax of a sale now (negative: saved), and what a loss that is used now costs later, money."""
    now, later = ZERO, ZERO
    for sale in trade.sales:
        tax = rules.of_lot(trade.asset, trade.account_id, sale.lot, task.quotes[trade.asset.id].unit)
        now += tax.due * sale.gain
        if tax.is_loss:
            later -= (tax.due - tax.price) * sale.gain
    return now, later


@exactly
def skips_of(task: Task, aims: Aims, found: Found) -> tuple[Skip, ...]:
    """Return what was left out, each with its reason: of sleeves without a trade, and what is left of those with one.

    Without a trade what is missing is told against the target; with one, against the span that the plan aims at.
    """
    skips = []
    for sleeve in task.sleeves:
        if sleeve.is_cash:
            continue
        entry, begun = sleeve.entry, {trade.side for trade in found.trades.trades if trade.key == sleeve.entry.key}
        gap = remains.gap_of(task, aims, found, sleeve) if begun else aims.sleeves[entry.key].target - entry.value
        if abs(gap) < SMALLEST_AMOUNT:
            continue
        side = TradeSide.BUY if gap > ZERO else TradeSide.SELL
        why = _turned(found, sleeve, side) if begun and side not in begun else None
        why = why or (_no_purchase if side is TradeSide.BUY else _no_sale)(task, aims, found, sleeve, abs(gap))
        asset = _asset_of(task, found, sleeve, side)
        skips.append(skip_of(entry.key, asset, side, abs(gap), *why, more=side in begun))
    return tuple(skips)


def _turned(found: Found, sleeve: Sleeve, side: TradeSide) -> Obstacle:
    """Say that a sleeve is traded the other way: nothing is both bought and sold."""
    done = next(trade for trade in found.trades.trades if trade.key == sleeve.entry.key)
    losing = side is TradeSide.BUY and any(sale.gain < ZERO for sale in done.sales)
    verb = "bought" if side is TradeSide.SELL else "sold at a loss" if losing else "sold"
    return SkipReason.NOT_WORTH_COST, f"{done.asset.symbol} is {verb} in this plan, which is worth more"


def _asset_of(task: Task, found: Found, sleeve: Sleeve, side: TradeSide) -> Asset | None:
    """Return the asset that would have been traded: one that is, the preferred member, or the first that is held."""
    begun = [trade for trade in found.trades.trades if trade.key == sleeve.entry.key and trade.side is side]
    if begun:
        return max(begun, key=lambda trade: trade.value).asset
    if side is TradeSide.BUY and sleeve.buyable:
        return sleeve.buyable[0]
    assert task.snapshot.targets
    named = next((target.assets for target in task.snapshot.targets.entries if target.key == sleeve.entry.key), ())
    if side is TradeSide.BUY and named:
        return task.snapshot.market.assets[named[0]]
    return sleeve.entry.members[0].asset if sleeve.entry.members else None


def _no_purchase(task: Task, aims: Aims, found: Found, sleeve: Sleeve, amount: Decimal) -> Obstacle:
    """Return why a sleeve below its target is not bought: the first reason that applies."""
    entry, request = sleeve.entry, task.request
    if sleeve.unbuyable:
        return sleeve.unbuyable
    if _stays(found, request, entry):
        return SkipReason.WITHIN_BAND, within_band(entry)
    if not sides(request)[0]:
        return SkipReason.NO_CASH, "a plan that raises cash buys nothing"
    if request.scope is PlanScope.HARVEST:
        return SkipReason.NO_CASH, "a harvest spends only what it sells"
    if held_back := _held_back(task, found, sleeve):
        return held_back
    asset = sleeve.buyable[0]
    if small := _dust(task, asset, task.snapshot.portfolio.buyer.id, amount):
        return small
    if limited := _limited(task, found):
        return limited
    spare = sum(found.trades.cash.values(), ZERO) - aims.cash
    least = max(SMALLEST_AMOUNT, asset.quantity_step * task.quotes[asset.id].unit, task.snapshot.policy.min_trade)
    if spare < least:
        return (
            SkipReason.NO_CASH,
            f"wanted {money(amount)}, but no more than {money(max(ZERO, spare))} is left",
        )
    return SkipReason.NOT_WORTH_COST, _verdict(aims, amount)


def _no_sale(task: Task, aims: Aims, found: Found, sleeve: Sleeve, amount: Decimal) -> Obstacle:
    """Return why a sleeve above its target is not sold: the first reason that applies."""
    entry, request = sleeve.entry, task.request
    if request.cash_flow < ZERO and not task.snapshot.policy.allow_sells:
        return SkipReason.SELLS_DISABLED, "the policy does not allow sells"
    if _stays(found, request, entry):
        return SkipReason.WITHIN_BAND, within_band(entry)
    if sleeve.unsellable:
        return sleeve.unsellable
    if not sides(request)[1]:
        return SkipReason.SELLS_DISABLED, "a cash-flow plan sells only to raise a withdrawal"
    if request.scope in (PlanScope.CASH_FLOW, PlanScope.RAISE_CASH):
        return SkipReason.NOT_WORTH_COST, "others raise the cash, and nothing more is sold than is needed"
    if request.scope is PlanScope.HARVEST:
        return SkipReason.TAX, "a harvest sells only lots at a loss that pay for it"
    if held_back := _held_back(task, found, sleeve):
        return held_back
    largest = max(sleeve.sellable, key=lambda holding: holding.value or ZERO)
    if small := _dust(task, largest.asset, largest.account_id, amount):
        return small
    return _limited(task, found) or _too_dear(task, aims, found, sleeve, amount)


def _stays(found: Found, request: PlanRequest, entry: Entry) -> bool:
    """Say whether a sleeve is left alone because it is in its band."""
    if request.scope is PlanScope.FULL or entry.status is DriftStatus.BREACHED:
        return False
    return all(trade.key != entry.key for trade in found.trades.trades)


def _held_back(task: Task, found: Found, sleeve: Sleeve) -> Obstacle | None:
    share = task.snapshot.policy.improvement
    if share is None or sleeve.entry.key not in found.frozen:
        return None
    return SkipReason.IMPROVEMENT, f"what could be traded would leave more than {plain(share)} % of its drift"


def _dust(task: Task, asset: Asset, account_id: str, amount: Decimal) -> Obstacle | None:
    """Return why trading an amount would be dust, however much cash there is."""
    quote, costs = task.quotes[asset.id], task.costs_of(account_id, asset)
    units = floor_to_step(quotient_down(amount, quote.unit, QUANTITY_PLACES), asset.quantity_step)
    return dust(task.snapshot.policy, asset, quote, costs, units)


def _limited(task: Task, found: Found) -> Obstacle | None:
    """Return the limit of the policy that the plan has reached to within a thousandth."""
    policy, base = task.snapshot.policy, task.before.base
    traded = sum((trade.value for trade in found.trades.trades), ZERO)
    if policy.max_turnover is not None and base and traded * 1001 >= 20 * policy.max_turnover * base:
        return SkipReason.TURNOVER_LIMIT, f"the plan trades the {plain(policy.max_turnover)} % that the policy allows"
    tax = levies.due(found.rules, found.trades.trades)
    if policy.tax_budget is not None and tax * 1001 >= policy.tax_budget * 1000:
        return SkipReason.TAX_BUDGET, f"the tax budget of {money(policy.tax_budget)} is used up"
    return None


def _too_dear(task: Task, aims: Aims, found: Found, sleeve: Sleeve, amount: Decimal) -> Obstacle:
    """Return what keeps the next lot from being sold: tax, or costs; with what would have to be less."""
    sold = remains.sold_of(found)
    tax, holding = min(
        (
            (_tax_share(task, found.rules, holding, lot), holding)
            for holding in sleeve.sellable
            for lot in _next_lots(task, found.rules, holding, sold)
        ),
        key=lambda pair: pair[0],
        default=(ZERO, sleeve.sellable[0]),
    )
    costs = cost_of(task.costs_of(holding.account_id, holding.asset), amount).total * HUNDRED
    share = ROUNDED.divide(costs, amount)
    if tax <= ZERO:
        return SkipReason.NOT_WORTH_COST, _verdict(aims, amount)
    most = plain(2 * aims.price * HUNDRED)
    return SkipReason.TAX, (
        f"tax takes {_short(tax)} % and costs {_short(share)} % of {_next_words(task, sold, sleeve)}, before anything "
        f"is bought; it is sold when both and the costs of buying are below {most} %"
    )


def _next_lots(task: Task, rules: Levies, holding: Holding, sold: Mapping[str, Decimal]) -> list[TaxLot]:
    """Return the lots that could go next: what is left of all, or of the first where the policy gives an order."""
    unit, policy, today = task.quotes[holding.asset.id].unit, task.snapshot.policy, rules.today
    left = [rest for lot in holding.lots if (rest := remains.left_of(lot, sold))]
    if policy.lot_method not in ORDERED:
        return left
    taxable = holding.account_id in rules.taxable
    return sorted(left, key=lambda lot: sale_key(lot, policy.lot_method, unit, policy, today, taxable=taxable))[:1]


def _next_words(task: Task, sold: Mapping[str, Decimal], sleeve: Sleeve) -> str:
    method = task.snapshot.policy.lot_method
    if method in ORDERED:
        return f"the lot that {method.value} takes next"
    begun = any(lot.id in sold for holding in sleeve.sellable for lot in holding.lots)
    return "the cheapest lot that is left" if begun else "its cheapest lot"


def _verdict(aims: Aims, amount: Decimal) -> str:
    return f"removing it is worth {money(aims.price * amount)} on each side, which costs and tax would exceed"


def _short(percent: Decimal) -> str:
    return plain(percent.quantize(Decimal("0.01"), context=ROUNDED))


def _tax_share(task: Task, rules: Levies, holding: Holding, lot: TaxLot) -> Decimal:
    """Return the tax of selling a lot in percent of what it brings."""
    unit = task.quotes[holding.asset.id].unit
    worth = lot.quantity * unit
    price = rules.of_lot(holding.asset, holding.account_id, lot, unit).price
    return ROUNDED.divide(price * (worth - lot.basis) * HUNDRED, worth) if worth else ZERO


@exactly
def advice_of(task: Task, aims: Aims, found: Found) -> tuple[WaitAdvice, ...]:
    """Return what waiting would save: short-term gains that are sold, or would be, and turn long-term soon."""
    sold = {sale.lot.id: sale.gain for trade in found.trades.trades for sale in trade.sales}
    advice: list[WaitAdvice] = []
    for sleeve in task.sleeves:
        for holding in sleeve.sellable:
            if holding.account_id not in found.rules.taxable:
                continue
            for lot in holding.lots:
                gain = sold.get(lot.id)
                if gain is None:
                    gain = _gain_held_back(task, aims, sleeve, holding, lot)
                advice += _advice(task, found.rules, holding, lot, gain)
    return tuple(advice)


def _gain_held_back(task: Task, aims: Aims, sleeve: Sleeve, holding: Holding, lot: TaxLot) -> Decimal:
    """Return the gain on the part of a lot that is too much in its sleeve, where the plan should sell and did not."""
    over = aims.sleeves[sleeve.entry.key].off(sleeve.entry.value) if sleeve.entry.to_target < ZERO else ZERO
    worth = lot.quantity * task.quotes[holding.asset.id].unit
    if not worth or not sides(task.request)[1]:
        return ZERO
    return round_half_even(ROUNDED.divide((worth - lot.basis) * min(over, worth), worth), MONEY_PLACES)


def _advice(task: Task, rules: Levies, holding: Holding, lot: TaxLot, gain: Decimal) -> Iterator[WaitAdvice]:
    long_from, today = lots.long_from(lot.holding_from), rules.today
    days = (long_from - today).days
    saves = (rules.rates[GainTerm.SHORT] - rules.rates[GainTerm.LONG]) * gain
    if 0 < days <= WAIT_DAYS and gain > ZERO and saves >= SMALLEST_AMOUNT:
        text = (
            f"Wait {days} {'day' if days == 1 else 'days'} with {holding.asset.symbol} bought on {lot.acquired_on}: "
            f"long-term from {long_from}, saves {money(saves)}."
        )
        yield WaitAdvice(holding.asset.symbol, lot.id, long_from, days, saves, text)


@exactly
def warnings_of(task: Task, found: Found, losses: Decimal) -> tuple[str, ...]:
    """Return what the owner should know: what is not known of wash sales, who pays a withdrawal, what it lacks."""
    warnings = []
    since = task.snapshot.tax.known_from
    if losses >= SMALLEST_AMOUNT and (since is None or since > found.rules.since):
        known = "nobody has said which purchases there were" if since is None else f"purchases are known from {since}"
        warnings.append(
            f"Losses of {money(losses)} are realised; {known}: another of the same asset within 30 days before may "
            "disallow them."
        )
    if is_netted(task.snapshot) and any(trade.sales for trade in found.trades.trades):
        warnings.append(
            "Tax is netted with the gains and losses of this year: the plan is the best of those for each pair of "
            "marginal rates that may hold, and is proven for its own."
        )
    for account_id, amount in found.trades.paid.items():
        account = task.accounts[account_id]
        if account.kind is not AccountKind.TAXABLE:
            warnings.append(
                f"{money(amount)} of the withdrawal comes out of {account.name} ({account.kind.value}); taking money "
                "out of it may be taxed or penalised by itself, which is not in the estimate."
            )
    if found.trades.short > SMALLEST_AMOUNT / 2:
        short, limits = money(found.trades.short), _limits(task.snapshot.policy)
        warnings.append(f"The withdrawal falls short by {short}: nothing else can be sold{limits}.")
    return tuple(warnings)


def _limits(policy: Policy) -> str:
    """Name the limits within which cash is raised."""
    tax = "" if policy.tax_budget is None else f"taxBudget {money(policy.tax_budget)}"
    traded = "" if policy.max_turnover is None else f"maxTurnover {plain(policy.max_turnover)} %"
    named = " and ".join(filter(None, (traded, tax)))
    return f" within {named}" if named else ""
