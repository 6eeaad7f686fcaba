"""What a plan is made of: the request, trades with their reasons, totals, the proof, advice."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum

from app.core.drift import Report
from app.core.money import ZERO
from app.core.optimize.allocate import PlanScope
from app.core.order_values import Execution
from app.core.trades import Skip, Trade


class PlanStatus(Enum):
    """Life of a plan."""

    QUEUED = "QUEUED"
    COMPUTING = "COMPUTING"
    READY = "READY"
    NOTHING_TO_DO = "NOTHING_TO_DO"
    APPROVED = "APPROVED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class TradeReason(Enum):
    """Why a trade is in a plan."""

    REDUCE_OVERWEIGHT = "REDUCE_OVERWEIGHT"
    FILL_UNDERWEIGHT = "FILL_UNDERWEIGHT"
    RAISE_CASH = "RAISE_CASH"
    INVEST_CASH = "INVEST_CASH"
    EXIT_UNTARGETED = "EXIT_UNTARGETED"
    HARVEST_LOSS = "HARVEST_LOSS"
    SUBSTITUTE = "SUBSTITUTE"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to plan: scope, cash flow in the base currency (plus comes in), symbols to leave alone, not buy or not sell.

    `sell_lots` are the ids of the only lots that may be sold under SPEC_ID.

    Cash that comes in arrives in the first account; cash that is taken out may come from any.
    """

    scope: PlanScope = PlanScope.BREACHED_ONLY
    cash_flow: Decimal = ZERO
    exclude: tuple[str, ...] = ()
    no_buy: tuple[str, ...] = ()
    no_sell: tuple[str, ...] = ()
    sell_lots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedTrade:
    """A trade with its reason, a sentence that explains it, and how it is to be worked.

    `execution` is None only in plans that were made before there were any.
    """

    trade: Trade
    reason: TradeReason
    explanation: str
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class TaxEstimate:
    """Gains less losses of taxable sales by term, and the tax on them; negative is a saving.

    `losses` are those realised, >= 0, `disallowed` those of them that a wash sale takes away, and `forfeited` the
    losses of recent sales that the purchases wash. Gains are before any of that; the tax is after.
    """

    short_term_gain: Decimal = ZERO
    long_term_gain: Decimal = ZERO
    estimated_tax: Decimal = ZERO
    losses: Decimal = ZERO
    disallowed: Decimal = ZERO
    forfeited: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """Totals in the base currency. `turnover` is half the traded value in percent of B, None when B is 0.

    `saved` is what the plan costs less, in costs and tax, than selling what is overweight by HIFO and buying straight
    to the targets; None where that cannot be done.
    """

    bought: Decimal
    sold: Decimal
    turnover: Decimal | None
    fees: Decimal
    spread: Decimal
    tax: TaxEstimate
    net_cash: Decimal
    impact: Decimal = ZERO
    saved: Decimal | None = None


class ProofStatus(Enum):
    """How good a plan is proven to be: OPTIMAL within the gap that counts, else FEASIBLE."""

    OPTIMAL = "OPTIMAL"
    FEASIBLE = "FEASIBLE"


@dataclass(frozen=True, slots=True)
class Proof:
    """How good a plan is: J of it and of doing nothing, a proven lower bound of J, all money, half-even to 10 decimals.

    gap = max(0, objective - bound) as a share of V. `engine` found it, looking at `nodes` cases.
    """

    status: ProofStatus
    objective: Decimal
    bound: Decimal
    gap: Decimal
    hold: Decimal
    nodes: int
    engine: str


@dataclass(frozen=True, slots=True)
class WaitAdvice:
    """A lot that is sold short-term and turns long-term soon: from when, in how many days, and what waiting saves."""

    symbol: str
    lot_id: str
    long_from: date
    days: int
    saves: Decimal
    text: str


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
    proof: Proof | None = None
    advice: tuple[WaitAdvice, ...] = ()
