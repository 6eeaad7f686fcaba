"""Enumerations as the schema shows them: the same members, every one described."""

from enum import Enum
from typing import Any, TypeVar

import strawberry

from app.actions import scans
from app.core import alerts, bands, bulks, drift, health, hooks, lots, order_values, plan, policy, portfolio, trades
from app.core.optimize import allocate

E = TypeVar("E", bound=Enum)


def _show(kind: type[E], description: str, called: str | None = None, **members: str) -> None:
    """Register an enumeration of core, under its own name or another; every member must be described."""
    assert list(members) == [member.name for member in kind], f"{kind.__name__}: describe each member, in order"
    strawberry.enum(kind, name=called, description=description)
    definition: Any = getattr(kind, "__strawberry_definition__")  # noqa: B009  (mypy knows no such attribute)
    for value in definition.values:
        value.description = members[value.name]


_show(
    portfolio.AssetClass,
    "Broad class of an asset.",
    STOCK="Share of a company.",
    ETF="Exchange traded fund.",
    FUND="Mutual fund.",
    BOND="Bond or bill.",
    CRYPTO="Crypto currency.",
    COMMODITY="Commodity.",
    CASH="Cash in some currency; its price is an exchange rate.",
    OTHER="Anything else.",
)
_show(
    portfolio.AccountKind,
    "Tax treatment of an account.",
    TAXABLE="Gains are taxed when realised.",
    TAX_DEFERRED="Taxed on withdrawal; trades inside are tax-free.",
    TAX_EXEMPT="Never taxed.",
)
_show(
    portfolio.BrokerKind,
    "Who works the orders of an account.",
    MANUAL="A person, who records the fills.",
    PAPER="The paper broker: fills at recorded prices, with simulated chance. Nothing is really traded.",
    ALPACA="Alpaca, where the operator has set it up for the account.",
)
_show(
    portfolio.PortfolioStatus,
    "Whether a portfolio is watched.",
    ACTIVE="Scanned every bucket and can be rebalanced.",
    PAUSED="Kept but not scanned.",
    ARCHIVED="Read-only.",
)
_show(
    bands.BandKind,
    "How a tolerance band is made.",
    ABSOLUTE="A fixed number of percentage points either side of the target, e.g. 60 % plus or minus 5.",
    RELATIVE="A share of the target itself, with an optional floor and cap in points.",
    HYBRID="The narrower of an absolute and a relative band, as in the 5/25 rule.",
    SMART="25 % of the target, at least 1 and at most 5 points: the default.",
    VOLATILITY="A multiple of the volatility of what is held, times the target.",
    COST="As wide as the costs of trading, and tax on gains when selling, make worth while.",
)
_show(
    bands.Destination,
    "Where trades of a rebalance aim.",
    TARGET="All the way to the target.",
    HALFWAY="Half way between the band's edge and the target.",
    BAND_EDGE="Just to the edge of the band.",
    SHARE="To a share of the band, given as `bandKept`: 87.5 of a 2 point band leaves 1.75 points.",
)
_show(
    policy.LotMethod,
    "Which lots a sale takes first.",
    MIN_TAX="Lots that cost least tax now.",
    HIFO="Highest cost first.",
    FIFO="Oldest first.",
    LIFO="Newest first.",
    SPEC_ID="Only the lots that a request names, in `sellLots`; a plan that nobody asked for sells none.",
)
_show(
    policy.Objective,
    "What weighs more in a plan: how much one unit of money off target is worth, against costs and tax.",
    MIN_TAX="Costs and tax: 1 off target is worth 0.01.",
    BALANCED="Both: 1 off target is worth 0.05.",
    MIN_DRIFT="Drift: 1 off target is worth 1, which pays for nearly every trade.",
)
_show(
    policy.TaxRegime,
    "Rules that gains and losses follow.",
    US="Short and long term, wash sales, yearly cap on losses. Estimates, not tax advice.",
    NONE="No tax and no wash sales.",
)
_show(
    policy.WashRule,
    "What a plan does with a purchase that would wash a loss of the last 30 days.",
    PRICED="It is made where it is worth the tax on the loss that it forfeits.",
    STRICT="It is not made.",
)
_show(
    policy.OrderStyle,
    "How a trade is worked.",
    MARKET="One order at the market price.",
    LIMIT="One order with a limit price, for the session.",
    TWAP="Equal slices over time.",
    NAV="One order at the net asset value of the session's close.",
)
_show(
    lots.GainTerm,
    "Holding period class of a gain or loss.",
    SHORT="Held for one year or less.",
    LONG="Held for more than one year.",
)
_show(
    drift.DriftStatus,
    "Where a sleeve stands against its band, or a portfolio as a whole: the worst that applies.",
    WITHIN="Within the band; exactly on its edge is within.",
    WARNING="Within the band but past the policy's `warnAt` share of it.",
    BREACHED="Outside the band.",
    DATA_STALE="A held asset, or a rate it needs, has no price or one too old: nothing is decided. Portfolios only.",
    NO_VALUE="There is nothing to weigh. Portfolios only.",
    NO_TARGETS="No targets are set. Portfolios only.",
)
_show(
    health.Resolution,
    "Length of the stretches of time of a history, in UTC.",
    RAW="One bucket of the health scan, whatever its length.",
    HOUR="An hour.",
    DAY="A day.",
    WEEK="A week from Monday on.",
)
_show(
    alerts.AlertKind,
    "What an alert is about.",
    DRIFT="A sleeve is outside its band, or the portfolio as a whole is outside the policy's `portfolioBand`.",
    UNTARGETED="A holding in no sleeve is more than the policy's default band allows around 0.",
    DATA_STALE="Prices are missing or too old, so drift cannot be judged. One alert for all the owner's portfolios.",
    PLAN_READY="A plan that the monitor proposed is ready to be looked at.",
    BOOKS_DIFFER="A broker holds other units for an account than the books say. Its key is the id of the account.",
    ORDER_UNKNOWN="What became of an order is not known: its broker does not say. Its trade waits until it is.",
)
_show(
    alerts.AlertSeverity,
    "How urgent an alert is.",
    INFO="Of interest: a plan is ready.",
    WARNING="A band is nearly used up, data is stale, or something without a target is held.",
    CRITICAL="A band is breached; for a holding without target, by more than the band itself.",
)
_show(
    alerts.AlertStatus,
    "Life of an alert.",
    OPEN="Not yet seen by a person.",
    ACKNOWLEDGED="Seen by a person.",
    RESOLVED="No longer true.",
)
_show(
    alerts.AlertEventKind,
    "What happened to an alert.",
    RAISED="It was raised.",
    ESCALATED="It became more urgent.",
    REMINDED="It is still true: the policy's `remindAfter` passed, or a snooze ended.",
    ACKNOWLEDGED="A person has seen it.",
    SNOOZED="A person wants to be told later, or ended a snooze.",
    RESOLVED="It is no longer true.",
)
_show(
    plan.PlanStatus,
    "Life of a plan.",
    QUEUED="Waiting for a worker.",
    COMPUTING="Being made.",
    READY="Ready to be approved.",
    NOTHING_TO_DO="Nothing is worth trading.",
    APPROVED="Approved; its orders come next.",
    EXECUTING="Its orders are being worked.",
    COMPLETED="All orders are filled.",
    PARTIAL="Executed in part; what remains, and why, is in `outcome`.",
    REJECTED="Rejected by a person.",
    EXPIRED="Too old to be approved, or a price moved further than the policy allows.",
    SUPERSEDED="Targets, holdings or policy changed, or a newer plan was made.",
    CANCELLED="Cancelled before anything was traded.",
    FAILED="Could not be made; see `error`.",
)
_show(
    order_values.OrderStatus,
    "Life of an order.",
    PENDING="Waiting for its time, its session, cash, a price or the end of a halt; `message` says for which.",
    PLACING="Being handed to its broker.",
    WORKING="At its broker, not filled yet, or in part.",
    CANCELLING="Its broker was asked to cancel it and has not confirmed that.",
    UNKNOWN="Its broker does not say clearly how it stands; it is asked again, and nothing more of its trade is sent.",
    FILLED="Filled.",
    CANCELLED="Cancelled; what was filled before counts.",
    REJECTED="Not accepted by its broker.",
    EXPIRED="Ended with its session; what was filled before counts.",
)
_show(
    allocate.PlanScope,
    "What a plan covers.",
    FULL="Bring every sleeve to its destination.",
    BREACHED_ONLY="Bring back sleeves outside their band, touch others only to pay, and invest idle cash.",
    CASH_FLOW="Only buy with the cash that is there or comes in; for a withdrawal, only sell to raise it.",
    RAISE_CASH="Only sell, to raise what `cashFlow` takes out, at the least cost, tax and drift.",
    HARVEST="Only realise losses, and buy substitutes of the same sleeve for what is sold.",
)
_show(
    plan.ProofStatus,
    "How good a plan is proven to be.",
    OPTIMAL="No plan is better by more than the gap that counts, a millionth of the portfolio's value.",
    FEASIBLE="It keeps every rule; a better one may exist, by `gap` at most.",
)
_show(
    plan.TradeReason,
    "Why a trade is in a plan.",
    REDUCE_OVERWEIGHT="Its sleeve is overweight.",
    FILL_UNDERWEIGHT="Its sleeve is underweight.",
    RAISE_CASH="Sold to pay for purchases or a withdrawal.",
    INVEST_CASH="Invests cash above the buffer.",
    EXIT_UNTARGETED="Held without a target.",
    HARVEST_LOSS="Realises a loss whose tax is worth more than the sale costs.",
    SUBSTITUTE="Stands in for an asset of its sleeve that is sold at a loss.",
)
_show(trades.TradeSide, "Direction of a trade.", BUY="Buy.", SELL="Sell.")
_show(
    trades.SkipReason,
    "Why a trade is not in a plan.",
    DUST="Worth less than the policy's smallest trade.",
    BELOW_MINIMUM="Rounds to no step of the asset, or is below the venue's minimum.",
    NOT_WORTH_COST="Its fee is a larger share of it than the policy allows.",
    WITHIN_BAND="Within its band.",
    SELLS_DISABLED="The policy or the scope allows no sales.",
    NO_CASH="There is not enough cash in any account.",
    NO_MEMBER="The sleeve names only a class and holds nothing of it.",
    NO_PRICE="There is no fresh price.",
    NOT_TRADABLE="The asset cannot be traded at present.",
    EXCLUDED="Excluded from this plan by the request, or kept from being bought or sold by it or the policy.",
    WASH_SALE="It would wash a loss of the last 30 days, or is a loss that a purchase of the last 30 days washes.",
    TURNOVER_LIMIT="The policy's `maxTurnover` is used up.",
    TAX_BUDGET="The policy's `taxBudget` is used up.",
    TAX="Its tax is more than the drift it removes is worth.",
    IMPROVEMENT="It would leave more of the drift than the policy's `improvement` allows.",
)
_show(
    hooks.HookEvent,
    "What webhooks and e-mail tell.",
    ALERT_RAISED="An alert was raised.",
    ALERT_ESCALATED="An alert became more urgent.",
    ALERT_REMINDED="An alert is still open.",
    ALERT_RESOLVED="What an alert was about is over.",
    ALERT_DIGEST="More alerts came at once than are told one by one; comes with the other events about alerts.",
    PLAN_READY="A plan is ready to be looked at.",
    TARGETS_CHANGED="A portfolio has new targets.",
)
_show(
    hooks.DeliveryStatus,
    "Life of a message to a webhook or mailbox.",
    PENDING="Due, or waiting for its next try or for its webhook to be enabled.",
    DELIVERED="It arrived.",
    DEAD="It was tried for 3 days; `deliveriesReplay` sends it again.",
    CANCELLED="It will not be sent: its webhook was deleted, or its mailbox changed.",
)
_show(
    scans.ScanKind,
    "Whether a bucket of the health monitor was scanned in its time.",
    SCHEDULED="In its time.",
    CATCH_UP="After an outage, as of an instant in it and at the prices of then; nobody is alerted by it.",
)
_show(
    scans.ScanStatus,
    "How far a run of the health monitor has got.",
    RUNNING="Portfolios are being measured.",
    DONE="All were.",
    MISSED="Nobody measured in its time, and no prices of then are stored; nothing will be filled in.",
)
_show(
    bulks.BulkKind,
    "What a bulk does for each of its portfolios.",
    PROPOSE="A plan is proposed.",
    APPROVE="The plan that is READY is approved.",
)
_show(
    bulks.BulkStatus,
    "Life of a bulk.",
    RUNNING="Portfolios wait for their turn, or for their plan.",
    DONE="None waits any more.",
    CANCELLED="Its owner cancelled it; `endedAt` says when the last plan of it was stopped.",
)
_show(
    bulks.ItemStatus,
    "What became of a portfolio in a bulk.",
    called="BulkItemStatus",
    WAITING="Its turn has not come, or its plan is being made.",
    READY="Its plan is ready to be approved.",
    NOTHING_TO_DO="Nothing is worth trading.",
    FAILED="Its plan could not be made; `code` and `message` say why.",
    APPROVED="Its plan is approved and executed.",
    REFUSED="A rule does not allow it, as `code` and `message` say; a plan that was no longer good has expired.",
    CANCELLED="The bulk was cancelled before its turn, or while its plan was being made.",
)
