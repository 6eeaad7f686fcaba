"""Bulks: one thing done for many portfolios, each by itself, with how far it has got and what came of it.

Bulk (PROPOSE plans, or APPROVE those that are READY) ── Item (a portfolio, and what became of it)
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from app.core.plan_values import PlanRequest


class BulkKind(Enum):
    """What a bulk does for each of its portfolios."""

    PROPOSE = "PROPOSE"
    APPROVE = "APPROVE"


class BulkStatus(Enum):
    """Life of a bulk."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


class ItemStatus(Enum):
    """What became of a portfolio in a bulk; it waits until its turn has come and its plan is made.

    READY, NOTHING_TO_DO and FAILED are those of the plan that was proposed; REFUSED is what a rule does not allow, as
    the item's code and message say; CANCELLED is what the bulk did not get to.
    """

    WAITING = "WAITING"
    READY = "READY"
    NOTHING_TO_DO = "NOTHING_TO_DO"
    FAILED = "FAILED"
    APPROVED = "APPROVED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class BulkFilter:
    """Which portfolios a bulk is about: active ones that meet everything that is given.

    `owners` are (issuer, subject), for operators: None is the caller alone, an empty one everybody. `breached` asks for
    portfolios with a sleeve, a holding without a target, or the whole outside its band, as last watched by scan or
    tick. `proposed_in` is the id of a bulk that proposed the plan.
    The three limits are percents of the value before: a plan's turnover, its fees, spread and impact, and its
    estimated tax may be at most that.
    """

    owners: tuple[tuple[str, str], ...] | None = None
    portfolio_ids: tuple[str, ...] | None = None
    model: str | None = None
    breached: bool = False
    proposed_in: str | None = None
    turnover_at_most: Decimal | None = None
    cost_at_most: Decimal | None = None
    tax_at_most: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BulkDraft:
    """What a bulk is to do. `request` is what to propose, None to approve.

    With `pooled` the orders of what is approved, in one asset and of one owner, are put together. `expected` is how
    many portfolios there are to be, None where that was not counted before.
    """

    kind: BulkKind
    filter: BulkFilter
    request: PlanRequest | None = None
    pooled: bool = True
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class BulkTotal:
    """Sums over the plans of a bulk in one base currency, as they were planned."""

    currency: str
    plans: int
    trades: int
    bought: Decimal
    sold: Decimal
    costs: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk as it stands. `counts` are its items by status; `totals` are of the plans that are READY or approved."""

    id: str
    draft: BulkDraft
    status: BulkStatus
    actor: str
    created_at: datetime
    ended_at: datetime | None
    counts: dict[ItemStatus, int]
    totals: tuple[BulkTotal, ...]


@dataclass(frozen=True, slots=True)
class BulkItem:
    """What became of one portfolio. `owner` is (issuer, subject); `code` and `message` say why, where it is needed."""

    place: int
    owner: tuple[str, str]
    portfolio_id: str
    portfolio_name: str
    plan_id: str | None
    status: ItemStatus
    code: str
    message: str
    ended_at: datetime | None
