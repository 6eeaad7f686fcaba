"""The schema's types of plans, built from stored plans."""

from datetime import date, datetime
from decimal import Decimal
from typing import Final

import strawberry
from strawberry import ID

from app.actions.plans import Progress, StoredPlan
from app.api.scalars import Percent
from app.api.types import Money, Node, PageInfo, money, percent_or_none
from app.api.types_drift import Drift
from app.api.types_execution import ExecutionStrategy, strategy_of
from app.api.types_order import Order, order_of
from app.api.types_outcome import PlanOutcome, TaxEffect, outcome_of, tax_of
from app.core.costs import TradeCosts as CoreCosts
from app.core.lots import GainTerm
from app.core.lots import LotSale as CoreSale
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlannedTrade as CoreTrade
from app.core.plan import PlanStatus, Proof, ProofStatus, TradeReason
from app.core.plan import PlanSummary as CoreSummary
from app.core.plan import WaitAdvice as CoreAdvice
from app.core.trades import Skip, SkipReason, TradeSide

field = strawberry.field

INT_MAX: Final = 2**31 - 1  # the largest Int of GraphQL


@strawberry.type(description="Expected costs of trades, in the base currency.")
class TradeCosts:
    fee: Money = field(description="Commissions and exchange fees.")
    spread: Money = field(description="Half the bid-ask spread.")
    impact: Money = field(description="How far the trade is expected to move the price; 0 where that is not known.")
    total: Money = field(description="Sum of the above.")


@strawberry.type(description="Totals of a plan, in the base currency.")
class PlanSummary:
    trades: int = field(description="Number of trades.")
    bought: Money = field(description="Value of all purchases.")
    sold: Money = field(description="Value of all sales.")
    turnover: Percent | None = field(description="Half the traded value in percent of the base; null without a base.")
    costs: TradeCosts = field(description="Expected costs.")
    tax: TaxEffect = field(description="Expected tax.")
    net_cash: Money = field(description="Change of cash by the trades, costs included.")
    saved_against_naive: Money | None = field(
        description="What the plan costs less, in costs and tax, than selling what is overweight by highest cost and "
        "buying straight to the targets; negative where it costs more, null where that cannot be done or "
        "trades were left out."
    )


@strawberry.type(description="Part of a lot that a trade sells.")
class LotSale:
    lot_id: ID = field(description="Global id of the lot.")
    acquired_on: date = field(description="When the lot was bought.")
    quantity: Decimal = field(description="Units sold from it.")
    proceeds: Money = field(description="Quantity times price.")
    basis: Money = field(description="Cost basis of the units sold.")
    gain: Money = field(description="Proceeds less basis.")
    term: GainTerm = field(description="Holding period class on the day of the plan.")


@strawberry.type(description="One trade of a plan.")
class PlannedTrade(Node):
    sequence: int = field(description="Place in the order of execution, from 1; sales come before purchases.")
    key: str = field(description="Sleeve the trade is for.")
    asset_id: ID = field(description="Global id of the asset.")
    symbol: str = field(description="What is traded.")
    account_id: ID = field(description="Global id of the account it is traded in.")
    account: str = field(description="Name of the account.")
    side: TradeSide = field(description="Buy or sell.")
    quantity: Decimal = field(description="Units, a multiple of the asset's step.")
    price: Money = field(description="Price the plan reckons with, in the asset's currency.")
    value: Money = field(description="Quantity times price, in the base currency.")
    costs: TradeCosts = field(description="Expected costs.")
    lots: list[LotSale] = field(description="Lots that are sold; empty for purchases.")
    reason: TradeReason = field(description="Main reason.")
    explanation: str = field(description="Explanation in one sentence.")
    approved: bool = field(description="False when it was left out as the plan was approved; true before.")
    execution: ExecutionStrategy | None = field(
        description="How it is worked; null in plans that were made before this was chosen."
    )


@strawberry.type(description="Trade that was considered and left out.")
class SkippedTrade:
    key: str = field(description="Sleeve the trade would have been for.")
    symbol: str | None = field(description="What would have been traded; null when the sleeve has nothing to buy.")
    side: TradeSide = field(description="Buy or sell.")
    value: Money = field(description="Value it would have had.")
    reason: SkipReason = field(description="Why it was left out.")
    explanation: str = field(description="Explanation in one sentence.")


@strawberry.type(
    description="How good a plan is proven to be. J, in the base currency, is what drift, costs and tax come to; less "
    "is better."
)
class PlanProof:
    status: ProofStatus = field(description="OPTIMAL, or FEASIBLE where a better plan may exist.")
    objective: Money = field(description="J of the plan.")
    bound: Money = field(description="No plan has a lower J than this, up to rounding.")
    gap: Decimal = field(description="Objective less bound as a fraction of the portfolio's value, 0 or more.")
    hold: Money = field(description="J of doing nothing.")
    nodes: int = field(description="Cases that were looked at, as far as they can be counted here: 2147483647.")
    engine: str = field(description="Engine and version that found the plan.")
    solve_ms: int | None = field(
        description="Milliseconds that making the plan took, rounded up; the rest is the same for the same inputs."
    )


@strawberry.type(description="How far a plan that is being made is.")
class PlanProgress:
    nodes: int = field(description="Cases looked at so far, as far as they can be counted here: 2147483647.")
    gap: Decimal | None = field(
        description="How far the best plan so far may be from the best there is, as a fraction of the portfolio's "
        "value; null while that is not known."
    )


@strawberry.type(description="Lot that is short-term now and turns long-term soon, and what waiting for that saves.")
class WaitAdvice:
    symbol: str = field(description="Asset of the lot.")
    lot_id: ID = field(description="Global id of the lot.")
    long_from: date = field(description="First day on which a sale is long-term.")
    days: int = field(description="Days until then.")
    saves: Money = field(description="Tax that waiting saves at the policy's rates and today's price.")
    text: str = field(description="The advice in one sentence.")


@strawberry.type(
    description="Proposal of trades that brings a portfolio back towards its targets, with what it costs and why. "
    "The same inputs always make the same plan."
)
class RebalancePlan(Node):
    portfolio_id: ID = field(description="Global id of the portfolio.")
    status: PlanStatus = field(description="Where the plan is in its life.")
    version: int = field(description="Grows by one with every change.")
    scope: PlanScope = field(description="What it covers.")
    cash_flow: Money = field(description="Cash that comes in (positive) or is taken out (negative).")
    exclude: list[str] = field(description="Symbols that are left alone.")
    no_buy: list[str] = field(description="Symbols that the request keeps from being bought.")
    no_sell: list[str] = field(description="Symbols that the request keeps from being sold.")
    sell_lots: list[ID] = field(description="Global ids of the only lots that may be sold, where it names some.")
    method: str = field(description="Method and version of planning, which the digest of its inputs pins.")
    optimal: bool = field(description="True when it is proven that no plan is better by more than the gap that counts.")
    proof: PlanProof | None = field(
        description="How good the plan is as it was proposed; null until it is made, and of plans made without a proof."
    )
    requested_by: str = field(description="Who asked for it: the owner's subject, or the tool that acts for it.")
    created_at: datetime = field(description="When it was asked for.")
    ready_at: datetime | None = field(description="When it was ready.")
    expires_at: datetime | None = field(description="Until when it is good.")
    targets_version: int | None = field(description="Version of the targets it was made for.")
    prices_at: datetime | None = field(description="Time of the oldest price it was made from.")
    inputs_digest: str | None = field(description="Digest of all inputs, to compare plans; null until it is made.")
    before: Drift | None = field(description="Drift before the plan; null until it is made.")
    after: Drift | None = field(
        description="Drift that is expected after the plan, without trades that were left out; null until it is made."
    )
    summary: PlanSummary | None = field(description="Totals, without trades that were left out; null until it is made.")
    trades: list[PlannedTrade] = field(description="Trades in the order they should be placed.")
    skipped: list[SkippedTrade] = field(description="Trades that were considered and left out, with the reason.")
    advice: list[WaitAdvice] = field(description="Lots that are worth waiting for.")
    warnings: list[str] = field(description="Things a person should know before acting on it.")
    progress: PlanProgress | None = field(
        description="How far it is while a worker makes it; null before, and for plans that were made at once."
    )
    outcome: PlanOutcome | None = field(
        description="What became of it against the plan; null until it is COMPLETED, PARTIAL or was cancelled while it "
        "was executed."
    )
    error: str | None = field(description="Why it failed.")
    approved_by: str | None = field(description="Who approved it: the owner's subject, or the tool that acts for it.")
    approved_at: datetime | None = field(description="When it was approved.")
    reason: str | None = field(description="Why it was rejected, cancelled or expired; null when nothing was said.")
    cancel_asked_at: datetime | None = field(
        description="When somebody asked to cancel it while it was executed; null while nobody has."
    )
    orders: list[Order] = field(
        description="Orders that work its trades, by trade and slice; empty until it is executed."
    )


@strawberry.type(description="Page of plans, newest first.")
class RebalancePlanConnection:
    nodes: list[RebalancePlan] = field(description="The plans.")
    page_info: PageInfo = field(description="Where this page stands.")


def plan_of(stored: StoredPlan) -> RebalancePlan:
    """Return a plan as the schema shows it."""
    plan, rest = stored.plan, stored.rest
    currency = stored.base_currency
    trades = zip(stored.trade_ids, plan.trades, strict=True) if plan else ()
    return RebalancePlan(
        id=ID(stored.id),
        portfolio_id=ID(stored.portfolio_id),
        status=stored.status,
        version=stored.version,
        scope=stored.request.scope,
        cash_flow=money(stored.request.cash_flow, currency),
        exclude=list(stored.request.exclude),
        no_buy=list(stored.request.no_buy),
        no_sell=list(stored.request.no_sell),
        sell_lots=[ID(lot_id) for lot_id in stored.request.sell_lots],
        method=stored.engine,
        optimal=bool(plan and plan.proof and plan.proof.status is ProofStatus.OPTIMAL),
        proof=_proof(plan.proof, stored.solve_ms, currency) if plan and plan.proof else None,
        requested_by=stored.requested_by,
        created_at=stored.created_at,
        ready_at=stored.ready_at,
        expires_at=stored.expires_at,
        targets_version=stored.targets_version,
        prices_at=plan.before.valuation.prices_at if plan else None,
        inputs_digest=stored.inputs_digest,
        before=Drift.of(plan.before) if plan else None,
        after=Drift.of(rest.after if rest else plan.after) if plan else None,
        summary=_summary(rest.summary if rest else plan.summary, len(plan.trades) - len(stored.left_out), currency)
        if plan
        else None,
        trades=[_trade(place, trade_id, one, stored) for place, (trade_id, one) in enumerate(trades, start=1)],
        skipped=[_skipped(skip, currency) for skip in plan.skipped] if plan else [],
        advice=[_advice(one, currency) for one in plan.advice] if plan else [],
        warnings=list(plan.warnings) if plan else [],
        progress=_progress(stored.progress) if stored.progress else None,
        outcome=outcome_of(stored.outcome, stored) if stored.outcome else None,
        error=stored.error.message if stored.error else None,
        approved_by=stored.approved_by,
        approved_at=stored.approved_at,
        reason=stored.reason,
        cancel_asked_at=stored.cancel_asked_at,
        orders=[order_of(order, dict(enumerate(stored.trade_ids, 1))) for order in stored.orders],
    )


def _progress(progress: Progress) -> PlanProgress:
    return PlanProgress(nodes=min(progress.nodes, INT_MAX), gap=progress.gap)


def _summary(found: CoreSummary, trades: int, currency: str) -> PlanSummary:
    return PlanSummary(
        trades=trades,
        bought=money(found.bought, currency),
        sold=money(found.sold, currency),
        turnover=percent_or_none(found.turnover),
        costs=_costs(CoreCosts(found.fees, found.spread, found.impact), currency),
        tax=tax_of(found.tax, currency),
        net_cash=money(found.net_cash, currency),
        saved_against_naive=None if found.saved is None else money(found.saved, currency),
    )


def _costs(costs: CoreCosts, currency: str) -> TradeCosts:
    parts = costs.fee, costs.spread, costs.impact, costs.total
    fee, spread, impact, total = (money(part, currency) for part in parts)
    return TradeCosts(fee=fee, spread=spread, impact=impact, total=total)


def _proof(proof: Proof, solve_ms: int | None, currency: str) -> PlanProof:
    return PlanProof(
        status=proof.status,
        objective=money(proof.objective, currency),
        bound=money(proof.bound, currency),
        gap=proof.gap,
        hold=money(proof.hold, currency),
        nodes=min(proof.nodes, INT_MAX),
        engine=proof.engine,
        solve_ms=solve_ms,
    )


def _advice(advice: CoreAdvice, currency: str) -> WaitAdvice:
    return WaitAdvice(
        symbol=advice.symbol,
        lot_id=ID(advice.lot_id),
        long_from=advice.long_from,
        days=advice.days,
        saves=money(advice.saves, currency),
        text=advice.text,
    )


def _trade(sequence: int, trade_id: str, planned: CoreTrade, stored: StoredPlan) -> PlannedTrade:
    trade, currency = planned.trade, stored.base_currency
    return PlannedTrade(
        id=ID(trade_id),
        sequence=sequence,
        key=trade.key,
        asset_id=ID(trade.asset.id),
        symbol=trade.asset.symbol,
        account_id=ID(trade.account_id),
        account=stored.accounts[trade.account_id],
        side=trade.side,
        quantity=trade.quantity,
        price=money(trade.price.value, trade.asset.currency),
        value=money(trade.value, currency),
        costs=_costs(trade.costs, currency),
        lots=[_sale(sale, currency) for sale in trade.sales],
        reason=planned.reason,
        explanation=planned.explanation,
        approved=trade_id not in stored.left_out,
        execution=strategy_of(trade, planned.execution) if planned.execution else None,
    )


def _sale(sale: CoreSale, currency: str) -> LotSale:
    return LotSale(
        lot_id=ID(sale.lot.id),
        acquired_on=sale.lot.acquired_on,
        quantity=sale.quantity,
        proceeds=money(sale.proceeds, currency),
        basis=money(sale.basis, currency),
        gain=money(sale.gain, currency),
        term=sale.term,
    )


def _skipped(skip: Skip, currency: str) -> SkippedTrade:
    return SkippedTrade(
        key=skip.key,
        symbol=skip.asset.symbol if skip.asset else None,
        side=skip.side,
        value=money(skip.value, currency),
        reason=skip.reason,
        explanation=skip.explanation,
    )
