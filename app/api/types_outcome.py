"""The schema's types of what a plan's sales mean for tax, and of what became of a plan that was executed."""

from decimal import Decimal

import strawberry
from strawberry import ID

from app.actions.plans import StoredPlan
from app.api.types import Money, money
from app.core.outcome import LegOutcome, Outcome
from app.core.plan import TaxEstimate
from app.core.trades import TradeSide

field = strawberry.field


@strawberry.type(
    description="Tax of the sales in taxable accounts, in the base currency. Gains are before wash sales, the tax is "
    "after; what of the past is not known is said in the warnings. An estimate, not tax advice."
)
class TaxEffect:
    short_term_gain: Money = field(description="Short-term gains less short-term losses.")
    long_term_gain: Money = field(description="Long-term gains less long-term losses.")
    losses_harvested: Money = field(description="Losses that are realised, as a positive amount.")
    wash_sale_disallowed: Money = field(
        description="Part of those losses that purchases of the last 30 days disallow, as a positive amount."
    )
    forfeited: Money = field(
        description="Losses of the last 30 days that the plan's purchases wash, as a positive amount."
    )
    estimated_tax: Money = field(description="Tax at the policy's rates; negative is a saving.")


def tax_of(tax: TaxEstimate, currency: str) -> TaxEffect:
    """Return what sales mean for tax as the schema shows it."""
    return TaxEffect(
        short_term_gain=money(tax.short_term_gain, currency),
        long_term_gain=money(tax.long_term_gain, currency),
        losses_harvested=money(tax.losses, currency),
        wash_sale_disallowed=money(tax.disallowed, currency),
        forfeited=money(tax.forfeited, currency),
        estimated_tax=money(tax.estimated_tax, currency),
    )


@strawberry.type(description="What became of one trade of a plan.")
class TradeOutcome:
    sequence: int = field(description="Place of the trade in the plan, from 1.")
    symbol: str = field(description="What was traded.")
    account_id: ID = field(description="Global id of the account it was traded in.")
    account: str = field(description="Name of the account.")
    side: TradeSide = field(description="Buy or sell.")
    ordered: Decimal = field(description="Units that the plan trades.")
    filled: Decimal = field(description="Units that were filled.")
    remaining: Decimal = field(description="Units that were not.")
    remaining_reason: str | None = field(description="Why units remain; null when none do.")
    planned_price: Money = field(description="Price the plan reckoned with, in the asset's currency.")
    average_price: Money | None = field(description="Average price of the fills; null without any.")
    slippage: Money = field(
        description="What the fills cost more, or brought less, than at the plan's price, in the base currency; plus "
        "is worse."
    )
    slippage_bps: Decimal | None = field(
        description="Slippage per ten thousand of what was filled, at the plan's price; null when nothing was."
    )
    fees: Money = field(description="Fees of the fills, in the base currency.")
    fees_planned: Money = field(description="Fee the plan reckoned with for the whole trade.")


@strawberry.type(
    description="What became of a plan that was executed, in the base currency. Trades that were left out when it was "
    "approved are not among its trades."
)
class PlanOutcome:
    trades: list[TradeOutcome] = field(description="What became of each trade, in the order of the plan.")
    slippage: Money = field(description="Sum over the trades; plus is worse.")
    slippage_bps: Decimal | None = field(
        description="Slippage per ten thousand of what was filled, at the plan's prices; null when nothing was."
    )
    fees: Money = field(description="Fees of all fills.")
    fees_planned: Money = field(description="Fees the plan reckoned with for these trades.")
    tax: TaxEffect = field(description="Gains and losses that were realised, and the tax on them.")
    tax_planned: TaxEffect = field(description="What the plan estimated of them.")


def outcome_of(outcome: Outcome, stored: StoredPlan) -> PlanOutcome:
    """Return what became of a plan as the schema shows it."""
    currency = stored.base_currency
    return PlanOutcome(
        trades=[_trade(leg, stored) for leg in outcome.legs],
        slippage=money(outcome.slippage, currency),
        slippage_bps=outcome.slippage_bps,
        fees=money(outcome.fees, currency),
        fees_planned=money(outcome.fees_planned, currency),
        tax=tax_of(outcome.tax, currency),
        tax_planned=tax_of(outcome.tax_planned, currency),
    )


def _trade(leg: LegOutcome, stored: StoredPlan) -> TradeOutcome:
    assert stored.plan
    currency, quoted = stored.base_currency, stored.plan.trades[leg.leg - 1].trade.asset.currency
    return TradeOutcome(
        sequence=leg.leg,
        symbol=leg.symbol,
        account_id=ID(leg.account_id),
        account=stored.accounts[leg.account_id],
        side=leg.side,
        ordered=leg.ordered,
        filled=leg.filled,
        remaining=leg.remaining,
        remaining_reason=leg.why or None,
        planned_price=money(leg.planned_price, quoted),
        average_price=None if leg.average_price is None else money(leg.average_price, quoted),
        slippage=money(leg.slippage, currency),
        slippage_bps=leg.slippage_bps,
        fees=money(leg.fees, currency),
        fees_planned=money(leg.fees_planned, currency),
    )
