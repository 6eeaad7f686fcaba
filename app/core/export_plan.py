"""Writing a plan as the offline answer: the fields of the API, numbers as strings, money with up to 8 decimals."""

from decimal import Decimal
from typing import Any

from app.core.costs import TradeCosts
from app.core.execution import slices_of
from app.core.export import MONEY_SHOWN, render_drift
from app.core.lots import LotSale
from app.core.money import plain, round_half_even
from app.core.order_values import Execution, OrderStyle
from app.core.plan import Plan, PlannedTrade, PlanSummary, WaitAdvice
from app.core.portfolio import Portfolio
from app.core.scalars import write_duration, write_instant
from app.core.trades import Skip, Trade


def render_plan(plan: Plan, portfolio: Portfolio) -> dict[str, Any]:
    """Return the answer of `propose --json`: trades in the order they should be placed, then what was left out.

    Money is in the portfolio's base currency, but for prices: those are in the asset's. `gap` is a share of V.
    """
    accounts = {account.id: account.name for account in portfolio.accounts}
    proof = plan.proof
    return {
        "status": plan.status.value,
        "scope": plan.request.scope.value,
        "cashFlow": _money(plan.request.cash_flow),
        "baseCurrency": portfolio.base_currency,
        "proof": None if proof is None else proof.status.value,
        "objective": None if proof is None else _money(proof.objective),
        "bound": None if proof is None else _money(proof.bound),
        "gap": None if proof is None else plain(proof.gap),
        "hold": None if proof is None else _money(proof.hold),
        "nodes": None if proof is None else proof.nodes,
        "engine": None if proof is None else proof.engine,
        "trades": [_trade(planned, accounts) for planned in plan.trades],
        "skipped": [_skip(skip) for skip in plan.skipped],
        "advice": [_advice(advice) for advice in plan.advice],
        "warnings": list(plan.warnings),
        "before": render_drift(plan.before),
        "after": render_drift(plan.after),
        "summary": _summary(plan.summary, len(plan.trades)),
    }


def _money(amount: Decimal) -> str:
    return plain(round_half_even(amount, MONEY_SHOWN))


def _trade(planned: PlannedTrade, accounts: dict[str, str]) -> dict[str, Any]:
    trade = planned.trade
    return {
        "key": trade.key,
        "symbol": trade.asset.symbol,
        "account": accounts[trade.account_id],
        "side": trade.side.value,
        "quantity": plain(trade.quantity),
        "price": plain(trade.price.value),
        "currency": trade.asset.currency,
        "value": _money(trade.value),
        "costs": _costs(trade.costs),
        "lots": [_sale(sale) for sale in trade.sales],
        "reason": planned.reason.value,
        "explanation": planned.explanation,
        "execution": None if planned.execution is None else _execution(trade, planned.execution),
    }


def _execution(trade: Trade, execution: Execution) -> dict[str, Any]:
    """Write how a trade is worked: the fields of the API's type for its style."""
    opens = execution.not_before
    shared = {
        "style": execution.style.value,
        "rationale": execution.why,
        "notBefore": None if opens is None else write_instant(opens),
    }
    if execution.limit is not None:
        return shared | {"limitPrice": plain(execution.limit)}
    if execution.style is not OrderStyle.TWAP:
        return shared
    first, *others = slices_of(trade.quantity, execution, trade.asset, trade.price.value)
    duration = write_duration(len(others) * execution.interval_s)
    return shared | {"duration": duration, "slices": 1 + len(others), "sliceQuantity": plain(first)}


def _costs(costs: TradeCosts) -> dict[str, str]:
    parts = {"fee": costs.fee, "spread": costs.spread, "impact": costs.impact, "total": costs.total}
    return {name: _money(amount) for name, amount in parts.items()}


def _sale(sale: LotSale) -> dict[str, str]:
    return {
        "lot": sale.lot.id,
        "acquiredOn": sale.lot.acquired_on.isoformat(),
        "quantity": plain(sale.quantity),
        "proceeds": _money(sale.proceeds),
        "basis": _money(sale.basis),
        "gain": _money(sale.gain),
        "term": sale.term.value,
    }


def _skip(skip: Skip) -> dict[str, Any]:
    return {
        "key": skip.key,
        "symbol": skip.asset.symbol if skip.asset else None,
        "side": skip.side.value,
        "value": _money(skip.value),
        "reason": skip.reason.value,
        "explanation": skip.explanation,
    }


def _advice(advice: WaitAdvice) -> dict[str, Any]:
    return {
        "symbol": advice.symbol,
        "lot": advice.lot_id,
        "longFrom": advice.long_from.isoformat(),
        "days": advice.days,
        "saves": _money(advice.saves),
        "text": advice.text,
    }


def _summary(summary: PlanSummary, trades: int) -> dict[str, Any]:
    tax = summary.tax
    return {
        "trades": trades,
        "bought": _money(summary.bought),
        "sold": _money(summary.sold),
        "turnover": None if summary.turnover is None else plain(summary.turnover),
        "costs": _costs(TradeCosts(summary.fees, summary.spread, summary.impact)),
        "tax": {
            "shortTermGain": _money(tax.short_term_gain),
            "longTermGain": _money(tax.long_term_gain),
            "lossesHarvested": _money(tax.losses),
            "washSaleDisallowed": _money(tax.disallowed),
            "forfeited": _money(tax.forfeited),
            "estimatedTax": _money(tax.estimated_tax),
        },
        "netCash": _money(summary.net_cash),
        "savedAgainstNaive": None if summary.saved is None else _money(summary.saved),
    }
