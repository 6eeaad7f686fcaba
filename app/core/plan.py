"""Plans: trades that bring a portfolio back towards its targets, why each is there, and why others are not.

    measure -> wanted value of each sleeve (optimize) -> sells -> buys from real cash -> measure again

The plan is honest about what it does not know yet: it chooses lots by the policy's method and estimates tax, but does
not look at wash sales; a loss that is realised is pointed out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum

from app.core import bands, drift, lots
from app.core.drift import DriftStatus, Entry, Report, Snapshot
from app.core.errors import InvalidInput, InvalidState, StaleData
from app.core.funding import buy, dearest
from app.core.lots import GainTerm, LotSale
from app.core.money import (
    HUNDRED,
    ONE,
    QUANTITY_PLACES,
    ROUNDED,
    ZERO,
    exactly,
    plain,
    quotient,
    round_up,
)
from app.core.needs import Sleeve, quotes_of, sleeves_of
from app.core.optimize.allocate import PlanScope, SleeveNeed, wanted_values
from app.core.portfolio import AccountKind
from app.core.targets import CASH
from app.core.trades import Desk, Quote, Skip, SkipReason, Trade, TradeSide, money, settle

ENGINE = "water-fill-1"
MONITOR = "monitor"
"""Who asked for a plan that nobody asked for: the health monitor, where the policy says so."""


class PlanStatus(Enum):
    """Life of a plan."""

    QUEUED = "QUEUED"
    COMPUTING = "COMPUTING"
    READY = "READY"
    NOTHING_TO_DO = "NOTHING_TO_DO"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"
    FAILED = "FAILED"


class TradeReason(Enum):
    """Why a trade is in a plan."""

    REDUCE_OVERWEIGHT = "REDUCE_OVERWEIGHT"
    FILL_UNDERWEIGHT = "FILL_UNDERWEIGHT"
    RAISE_CASH = "RAISE_CASH"
    INVEST_CASH = "INVEST_CASH"
    EXIT_UNTARGETED = "EXIT_UNTARGETED"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to plan: scope, cash flow in the base currency (plus comes in), symbols to leave alone.

    Cash that comes in arrives in the first account; cash that is taken out may come from any.
    """

    scope: PlanScope = PlanScope.BREACHED_ONLY
    cash_flow: Decimal = ZERO
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedTrade:
    """A trade with its reason and a sentence that explains it."""

    trade: Trade
    reason: TradeReason
    explanation: str


@dataclass(frozen=True, slots=True)
class TaxEstimate:
    """Gains less losses of taxable sales by term, and the tax on them; negative is a saving. Wash sales not applied."""

    short_term_gain: Decimal = ZERO
    long_term_gain: Decimal = ZERO
    estimated_tax: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """Totals in the base currency. `turnover` is half the traded value in percent of B, None when B is 0."""

    bought: Decimal
    sold: Decimal
    turnover: Decimal | None
    fees: Decimal
    spread: Decimal
    tax: TaxEstimate
    net_cash: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """A finished plan. The same inputs, told apart by `inputs_digest`, always make the same plan."""

    status: PlanStatus
    request: PlanRequest
    before: Report
    after: Report
    trades: tuple[PlannedTrade, ...]
    skipped: tuple[Skip, ...]
    warnings: tuple[str, ...]
    summary: PlanSummary


MAX_ATTEMPTS = 4
SMALLEST_LOSS = Decimal("0.01")  # the basis of a part is rounded, so smaller ones need not be real


@exactly
def propose(snapshot: Snapshot, request: PlanRequest) -> Plan:
    """Plan trades for a snapshot.

    Sizes are on B + deployable cash + cash flow. Sells come first, lots by the policy's method; buys spend only
    base-currency cash their own account has then, largest shortfall first; no account's cash ever goes below zero, no
    lot is oversold, nothing is both bought and sold. Raises StaleData when a held asset has no fresh price,
    InvalidState when there is nothing to plan, InvalidInput for a withdrawal that nothing can pay.
    """
    before = drift.measure(snapshot)
    _refuse(snapshot, before, request)
    quotes = quotes_of(snapshot)
    sleeves = sleeves_of(snapshot, before, quotes, exclude=request.exclude, flow=request.cash_flow)
    extra = ZERO
    for _ in range(MAX_ATTEMPTS):
        desk, short = _attempt(snapshot, request, before, sleeves, quotes, extra)
        if not short:
            break
        # Costs ate a part of what was raised: raise that much more, beyond what was rounded up already.
        extra += desk.rounded_up + _grossed_up(short, sleeves)
    return _finish(snapshot, request, before, desk, sleeves, short)


def _grossed_up(short: Decimal, sleeves: Sequence[Sleeve]) -> Decimal:
    """Return what must be raised so that `short` is left after the costs of the dearest asset; up to 18 decimals."""
    share = dearest(holding.asset for sleeve in sleeves for holding in sleeve.sellable)
    return round_up(ROUNDED.divide(short, ONE - share), QUANTITY_PLACES) if share < ONE else short


def _attempt(
    snapshot: Snapshot,
    request: PlanRequest,
    before: Report,
    sleeves: Sequence[Sleeve],
    quotes: Mapping[str, Quote],
    extra: Decimal,
) -> tuple[Desk, Decimal]:
    """Work all trades, raising `extra` besides; return the desk and how much of a withdrawal could not be paid."""
    flow = request.cash_flow - extra
    size, reserve = _sizes(snapshot, before, request.scope, flow)
    wanted = _wanted(snapshot, sleeves, request.scope, flow, size)
    desk = Desk(snapshot.portfolio, snapshot.policy, quotes, snapshot.as_of.date())
    for sleeve, goal in zip(sleeves, wanted, strict=True):
        if goal < sleeve.entry.value and sleeve.sellable:
            desk.sell(sleeve.entry.key, sleeve.sellable, sleeve.entry.value - goal, at_least=flow < ZERO)
    short = desk.move_cash(request.cash_flow)
    if reserve is None:
        foreign = (before.valuation.cash or ZERO) - desk.cash_before
        cash_goal = next(goal for sleeve, goal in zip(sleeves, wanted, strict=True) if sleeve.entry.key == CASH)
        reserve = max(ZERO, cash_goal - foreign)
    buy(desk, sleeves, wanted, sum(desk.cash.values(), ZERO) - reserve)
    _explain_untouched(desk, sleeves, snapshot, request)
    return desk, short


def _refuse(snapshot: Snapshot, before: Report, request: PlanRequest) -> None:
    if before.status is DriftStatus.NO_TARGETS:
        raise InvalidState("the portfolio has no targets; set them first", before.status.value)
    if before.stale:
        symbols = (*before.valuation.missing, *before.valuation.stale)
        message = f"no plan without fresh prices; missing or too old: {', '.join(symbols)}"
        raise StaleData(message, symbols, before.valuation.prices_at)
    known = {asset.symbol for asset in snapshot.market.assets.values()}
    for place, symbol in enumerate(request.exclude):
        if symbol not in known:
            raise InvalidInput(f"{symbol} is neither held nor targeted; is it misspelt?", ["exclude", place])
    worth = before.valuation.value
    assert worth is not None
    if worth + request.cash_flow < ZERO:
        raise InvalidInput(
            f"{plain(-request.cash_flow)} cannot be taken out of a portfolio worth {plain(worth)}", ["cashFlow"]
        )
    if worth + max(ZERO, request.cash_flow) <= ZERO:
        raise InvalidState("the portfolio holds nothing and has no cash to invest", before.status.value)


def _sizes(snapshot: Snapshot, before: Report, scope: PlanScope, flow: Decimal) -> tuple[Decimal, Decimal | None]:
    """Return the value to spread over the sleeves, and the cash that stays; None when the sleeve CASH says how much."""
    valuation, targets = before.valuation, snapshot.targets
    assert targets
    assert valuation.value is not None
    assert before.base is not None
    if targets.has_cash:
        return before.base + flow, None
    currency = valuation.base_currency
    available = sum((account.cash.get(currency, ZERO) for account in snapshot.portfolio.accounts), flow)
    buffer = snapshot.policy.cash_buffer * (valuation.value + flow) / HUNDRED
    # The buffer is kept when there is cash for it; only FULL sells to fill it up.
    reserve = max(ZERO, buffer if scope is PlanScope.FULL else min(buffer, available))
    return before.base + available - reserve, reserve


def _wanted(
    snapshot: Snapshot, sleeves: Sequence[Sleeve], scope: PlanScope, flow: Decimal, size: Decimal
) -> list[Decimal]:
    needs = [
        SleeveNeed(
            key=sleeve.entry.key,
            target=sleeve.entry.target,
            value=sleeve.entry.value,
            width=sleeve.entry.width,
            breached=sleeve.entry.status is DriftStatus.BREACHED,
            can_buy=sleeve.buyable is not None or sleeve.entry.key == CASH,
            can_sell=bool(sleeve.sellable) or sleeve.entry.key == CASH,
        )
        for sleeve in sleeves
    ]
    kept = bands.share_kept(snapshot.policy.destination, snapshot.policy.band_kept)
    return wanted_values(needs, size, scope=scope, kept=kept, withdrawing=flow < ZERO)


def _explain_untouched(desk: Desk, sleeves: Sequence[Sleeve], snapshot: Snapshot, request: PlanRequest) -> None:
    """Give a reason for every sleeve that is off its target and has neither a trade nor a reason yet."""
    touched = {trade.key for trade in desk.trades} | {skip.key for skip in desk.skips}
    for sleeve in sleeves:
        entry = sleeve.entry
        if entry.key in touched or entry.key == CASH or not entry.to_target:
            continue
        side = TradeSide.BUY if entry.to_target > ZERO else TradeSide.SELL
        asset = sleeve.buyable or (entry.members[0].asset if entry.members else None)
        reason = _obstacle(sleeve, side, snapshot, request)
        if reason:
            desk.skip(entry.key, asset, side, abs(entry.to_target), *reason)


def _obstacle(
    sleeve: Sleeve, side: TradeSide, snapshot: Snapshot, request: PlanRequest
) -> tuple[SkipReason, str] | None:
    entry = sleeve.entry
    if side is TradeSide.BUY and sleeve.obstacle:
        return sleeve.obstacle
    if side is TradeSide.SELL and request.cash_flow < ZERO and not snapshot.policy.allow_sells:
        return SkipReason.SELLS_DISABLED, "the policy does not allow sells"
    if request.scope is not PlanScope.FULL and entry.status is not DriftStatus.BREACHED:
        band = f"{plain(entry.lower)} to {plain(entry.upper)} %"
        return SkipReason.WITHIN_BAND, f"{plain(entry.actual)} % is within its band of {band}"
    if side is TradeSide.BUY:
        return None
    if not snapshot.policy.allow_sells:
        return SkipReason.SELLS_DISABLED, "the policy does not allow sells"
    if request.scope is PlanScope.CASH_FLOW:
        return SkipReason.SELLS_DISABLED, "a cash-flow plan sells only to raise a withdrawal"
    if not sleeve.sellable and entry.members:
        excluded = any(member.asset.symbol in request.exclude for member in entry.members)
        if excluded:
            return SkipReason.EXCLUDED, "it is excluded from this plan"
        return SkipReason.NOT_TRADABLE, "it cannot be traded at present"
    return None


def _finish(
    snapshot: Snapshot,
    request: PlanRequest,
    before: Report,
    desk: Desk,
    sleeves: Sequence[Sleeve],
    short: Decimal,
) -> Plan:
    portfolio = settle(snapshot.portfolio, desk.trades, desk.cash, snapshot.as_of.date())
    _check(snapshot, desk)
    after = drift.measure(replace(snapshot, portfolio=portfolio))
    entries = {sleeve.entry.key: sleeve.entry for sleeve in sleeves}
    reached = {entry.key: entry.actual for entry in after.entries}
    planned = tuple(_planned(trade, entries[trade.key], reached.get(trade.key, ZERO), request) for trade in desk.trades)
    status = PlanStatus.READY if planned else PlanStatus.NOTHING_TO_DO
    warnings = _warnings(desk, short)
    return Plan(status, request, before, after, planned, tuple(desk.skips), warnings, _summary(snapshot, before, desk))


def _check(snapshot: Snapshot, desk: Desk) -> None:
    """Check the promises again, independently of how the trades were made: a plan that breaks one is our mistake."""
    held = {lot.id: lot.quantity for account in snapshot.portfolio.accounts for lot in account.lots}
    sides: dict[str, TradeSide] = {}
    for trade in desk.trades:
        assert sides.setdefault(trade.asset.id, trade.side) is trade.side, f"{trade.asset.symbol} is bought and sold"
        assert sum((sale.quantity for sale in trade.sales), ZERO) == (
            trade.quantity if trade.side is TradeSide.SELL else ZERO
        )
        for sale in trade.sales:
            held[sale.lot.id] -= sale.quantity
    assert all(quantity >= ZERO for quantity in held.values()), "a lot is oversold"
    assert all(amount >= ZERO for amount in desk.cash.values()), "an account is overdrawn"


_WHY = {TradeReason.RAISE_CASH: "cash is needed: ", TradeReason.INVEST_CASH: "there is cash to invest: "}


def _planned(trade: Trade, entry: Entry, reached: Decimal, request: PlanRequest) -> PlannedTrade:
    breached = entry.status is DriftStatus.BREACHED or request.scope is PlanScope.FULL
    if trade.side is TradeSide.BUY:
        underweight = breached and entry.to_target > ZERO
        reason = TradeReason.FILL_UNDERWEIGHT if underweight else TradeReason.INVEST_CASH
    elif not entry.targeted:
        reason = TradeReason.EXIT_UNTARGETED
    else:
        overweight = breached and entry.to_target < ZERO
        reason = TradeReason.REDUCE_OVERWEIGHT if overweight else TradeReason.RAISE_CASH
    verb = "buying" if trade.side is TradeSide.BUY else "selling"
    text = (
        f"{entry.key} is at {plain(entry.actual)} %, target {plain(entry.target)} %, band {plain(entry.lower)} to "
        f"{plain(entry.upper)} %; {_WHY.get(reason, '')}{verb} {plain(trade.quantity)} {trade.asset.symbol} for "
        f"{money(trade.value)}. After all trades it is at {plain(reached)} %."
    )
    return PlannedTrade(trade, reason, text)


def _warnings(desk: Desk, short: Decimal) -> tuple[str, ...]:
    warnings = []
    losses = -sum((sale.gain for sale in _taxable_sales(desk) if sale.gain < ZERO), ZERO)
    if losses >= SMALLEST_LOSS:
        warnings.append(
            f"Losses of {money(losses)} are realised; wash sales are not checked: a purchase of the same "
            "asset within 30 days before or after may disallow them."
        )
    for account_id, amount in desk.paid_from.items():
        account = desk.accounts[account_id]
        if account.kind is not AccountKind.TAXABLE:
            warnings.append(
                f"{money(amount)} of the withdrawal comes out of {account.name} ({account.kind.value}); taking money "
                "out of it may be taxed or penalised by itself, which is not in the estimate."
            )
    if short:
        warnings.append(f"The withdrawal falls short by {money(short)}: nothing else can be sold.")
    return tuple(warnings)


def _taxable_sales(desk: Desk) -> list[LotSale]:
    return [
        sale
        for trade in desk.trades
        for sale in trade.sales
        if desk.accounts[trade.account_id].kind is AccountKind.TAXABLE
    ]


def _summary(snapshot: Snapshot, before: Report, desk: Desk) -> PlanSummary:
    bought = sum((trade.value for trade in desk.trades if trade.side is TradeSide.BUY), ZERO)
    sold = sum((trade.value for trade in desk.trades if trade.side is TradeSide.SELL), ZERO)
    fees = sum((trade.costs.fee for trade in desk.trades), ZERO)
    spread = sum((trade.costs.spread for trade in desk.trades), ZERO)
    sales = _taxable_sales(desk)
    gains = {
        term: sum((sale.gain for sale in sales if sale.term is term), ZERO) for term in (GainTerm.SHORT, GainTerm.LONG)
    }
    tax = TaxEstimate(gains[GainTerm.SHORT], gains[GainTerm.LONG], lots.estimated_tax(sales, snapshot.policy))
    turnover = quotient((bought + sold) * 50, before.base, 6) if before.base else None
    return PlanSummary(bought, sold, turnover, fees, spread, tax, sold - bought - fees - spread)
