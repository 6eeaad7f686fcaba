# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Plans as they were written: back to core values, with ids; four statements however many plans, five with orders."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from app.core import ids
from app.core.approving import Rest
from app.core.costs import TradeCosts
from app.core.drift import Report
from app.core.lots import GainTerm, LotSale
from app.core.order_values import Execution, Order
from app.core.outcome import Outcome
from app.core.plan import (
    Plan,
    PlannedTrade,
    PlanRequest,
    PlanStatus,
    PlanSummary,
    Proof,
    TradeReason,
    WaitAdvice,
)
from app.core.portfolio import Price, TaxLot
from app.core.trades import Skip, SkipReason, Trade, TradeSide
from app.store import assets, documents, orders
from app.store.db import Tx
from app.store.plans import REQUEST, Progress, request_of

EXECUTED: Final = ("EXECUTING", "COMPLETED", "PARTIAL", "CANCELLED")
"""States of plans that may have orders."""

_TRADES: Final = f"""
    SELECT t.id AS trade_id, t.public_id AS trade_public_id, t.plan_id, t.key, t.side,
        trim_scale(t.quantity) AS quantity, trim_scale(t.price) AS price, t.priced_at, t.source,
        trim_scale(t.value) AS value, trim_scale(t.fee) AS fee, trim_scale(t.spread) AS spread,
        trim_scale(t.impact) AS impact, t.reason, t.explanation, t.approved, t.execution,
        c.public_id AS account_public_id, c.name AS account_name, {assets.COLUMNS}
    FROM plan_trades t JOIN assets a ON a.id = t.asset_id JOIN accounts c ON c.id = t.account_id
    WHERE t.owner_id = $1 AND t.plan_id = ANY ($2) ORDER BY t.plan_id, t.sequence
"""
_SALES: Final = """
    SELECT s.trade_id, s.lot_public_id, trim_scale(s.lot_quantity) AS lot_quantity,
        trim_scale(s.lot_basis) AS lot_basis, s.acquired_on, s.holding_from, trim_scale(s.quantity) AS quantity,
        trim_scale(s.proceeds) AS proceeds, trim_scale(s.basis) AS basis, trim_scale(s.gain) AS gain, s.term
    FROM plan_lot_sales s WHERE s.trade_id = ANY ($1) ORDER BY s.trade_id, s.position
"""
_SKIPS: Final = f"""
    SELECT s.plan_id, s.key, s.asset_id, s.side, trim_scale(s.value) AS value, s.reason, s.explanation, {assets.COLUMNS}
    FROM plan_skips s LEFT JOIN assets a ON a.id = s.asset_id WHERE s.plan_id = ANY ($1) ORDER BY s.plan_id, s.position
"""


@dataclass(frozen=True, slots=True)
class PlanError:
    """Why a plan could not be made."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan and its life. `plan` is there once it was made; its reports have entries but no holdings.

    `trade_ids` are the public ids of `plan.trades`, in their order; `accounts` the names of the accounts they are in.
    Of a plan that was made before there were proofs, `plan.proof` and `solve_ms` are None.

    `plan` stays as it was proposed. `left_out` are the ids of trades that were left out when it was approved, `rest` is
    what it then comes to, None where all was approved. `reason` is why it was rejected, cancelled or expired.
    """

    id: str
    portfolio_id: str
    base_currency: str
    status: PlanStatus
    version: int
    request: PlanRequest
    engine: str
    targets_version: int | None
    requested_by: str
    created_at: datetime
    ready_at: datetime | None = None
    expires_at: datetime | None = None
    inputs_digest: str | None = None
    plan: Plan | None = None
    trade_ids: tuple[str, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict)
    error: PlanError | None = None
    solve_ms: int | None = None
    progress: Progress | None = None
    outcome: Outcome | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    left_out: frozenset[str] = frozenset()
    rest: Rest | None = None
    reason: str | None = None
    cancel_asked_at: datetime | None = None
    orders: tuple[Order, ...] = ()


async def load_plan(owner_id: int, tx: Tx, plan_id: str) -> StoredPlan | None:
    """Return a plan by its public id, None when this owner has none such."""
    found = await _load(owner_id, tx, "l.public_id = $2", ids.decode(ids.PLAN, plan_id))
    return found[0] if found else None


async def load_plans(
    owner_id: int,
    tx: Tx,
    portfolio_id: str,
    first: int,
    *,
    before: str | None = None,
    statuses: Sequence[PlanStatus] | None = None,
) -> list[StoredPlan]:
    """Return a portfolio's plans, newest first, those before one by its public id when it is given."""
    return await _load(
        owner_id,
        tx,
        """
        p.public_id = $2 AND ($3::text[] IS NULL OR l.status = ANY ($3))
        AND ($4::uuid IS NULL OR l.id < (SELECT id FROM plans WHERE owner_id = $1 AND public_id = $4))
        ORDER BY l.id DESC LIMIT $5
        """,
        ids.decode(ids.PORTFOLIO, portfolio_id),
        None if statuses is None else [status.value for status in statuses],
        ids.decode(ids.PLAN, before) if before else None,
        first,
    )


async def _load(owner_id: int, tx: Tx, where: str, *arguments: object) -> list[StoredPlan]:
    rows = await tx.fetch(
        f"""
        SELECT l.id, l.public_id, p.public_id AS portfolio_public_id, p.base_currency, l.status, l.version, {REQUEST},
            l.engine, l.targets_version, l.requested_by, l.created_at, l.ready_at, l.expires_at, l.inputs_digest,
            l.before, l.after, l.summary, l.warnings, l.error, l.proof, l.advice, l.solve_ms, l.progress,
            l.approved_by, l.approved_at, l.approved, l.reason, l.cancel_asked_at, l.outcome
        FROM plans l JOIN portfolios p ON p.id = l.portfolio_id WHERE l.owner_id = $1 AND {where}
        """,
        owner_id,
        *arguments,
    )
    keys = [row["id"] for row in rows]
    trade_rows = await tx.fetch(_TRADES, owner_id, keys)
    sales = _by(await tx.fetch(_SALES, [row["trade_id"] for row in trade_rows]), "trade_id")
    trades = _by(trade_rows, "plan_id")
    skips = _by(await tx.fetch(_SKIPS, keys), "plan_id")
    worked = [row["id"] for row in rows if row["status"] in EXECUTED]
    found = await orders.load_orders(owner_id, tx, worked) if worked else {}
    return [_stored(row, trades[row["id"]], sales, skips[row["id"]], found.get(row["id"], ())) for row in rows]


def _by(rows: Sequence[asyncpg.Record], column: str) -> dict[int, list[asyncpg.Record]]:
    found: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return found


def _stored(
    row: asyncpg.Record,
    trades: Sequence[asyncpg.Record],
    sales: Mapping[int, Sequence[asyncpg.Record]],
    skips: Sequence[asyncpg.Record],
    worked: tuple[Order, ...],
) -> StoredPlan:
    request = request_of(row)
    planned = tuple(_planned_of(trade, sales[trade["trade_id"]]) for trade in trades)
    return StoredPlan(
        id=ids.encode(ids.PLAN, row["public_id"]),
        portfolio_id=ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]),
        base_currency=row["base_currency"],
        status=PlanStatus(row["status"]),
        version=row["version"],
        request=request,
        engine=row["engine"],
        targets_version=row["targets_version"],
        requested_by=row["requested_by"],
        created_at=row["created_at"],
        ready_at=row["ready_at"],
        expires_at=row["expires_at"],
        inputs_digest=row["inputs_digest"],
        plan=_plan_of(row, request, planned, tuple(map(_skip_of, skips))) if row["before"] else None,
        trade_ids=tuple(ids.encode(ids.TRADE, trade["trade_public_id"]) for trade in trades),
        accounts={ids.encode(ids.ACCOUNT, trade["account_public_id"]): trade["account_name"] for trade in trades},
        error=documents.load(PlanError, row["error"]) if row["error"] else None,
        solve_ms=row["solve_ms"],
        progress=documents.load(Progress, row["progress"]) if row["progress"] else None,
        outcome=documents.load(Outcome, row["outcome"]) if row["outcome"] else None,
        approved_by=row["approved_by"],
        approved_at=row["approved_at"],
        left_out=frozenset(
            ids.encode(ids.TRADE, trade["trade_public_id"]) for trade in trades if not trade["approved"]
        ),
        rest=documents.load(Rest, row["approved"]) if row["approved"] else None,
        reason=row["reason"],
        cancel_asked_at=row["cancel_asked_at"],
        orders=worked,
    )


def _plan_of(
    row: asyncpg.Record, request: PlanRequest, trades: tuple[PlannedTrade, ...], skips: tuple[Skip, ...]
) -> Plan:
    return Plan(
        status=PlanStatus.READY if trades else PlanStatus.NOTHING_TO_DO,
        request=request,
        before=documents.load(Report, row["before"]),
        after=documents.load(Report, row["after"]),
        trades=trades,
        skipped=skips,
        warnings=tuple(orjson.loads(row["warnings"])),
        summary=documents.load(PlanSummary, row["summary"]),
        proof=documents.load(Proof, row["proof"]) if row["proof"] else None,
        advice=tuple(documents.from_document(WaitAdvice, one) for one in orjson.loads(row["advice"] or "[]")),
    )


def _planned_of(row: asyncpg.Record, sales: Sequence[asyncpg.Record]) -> PlannedTrade:
    asset = assets.asset_of(row)
    trade = Trade(
        key=row["key"],
        asset=asset,
        account_id=ids.encode(ids.ACCOUNT, row["account_public_id"]),
        side=TradeSide(row["side"]),
        quantity=row["quantity"],
        price=Price(row["price"], row["priced_at"], row["source"]),
        value=row["value"],
        costs=TradeCosts(row["fee"], row["spread"], row["impact"]),
        sales=tuple(_sale_of(sale, asset.id) for sale in sales),
    )
    execution = documents.load(Execution, row["execution"]) if row["execution"] else None
    return PlannedTrade(trade, TradeReason(row["reason"]), row["explanation"], execution)


def _sale_of(row: asyncpg.Record, asset_id: str) -> LotSale:
    lot = TaxLot(
        id=ids.encode(ids.LOT, row["lot_public_id"]),
        asset_id=asset_id,
        quantity=row["lot_quantity"],
        basis=row["lot_basis"],
        acquired_on=row["acquired_on"],
        holding_from=row["holding_from"],
    )
    return LotSale(lot, row["quantity"], row["proceeds"], row["basis"], row["gain"], GainTerm(row["term"]))


def _skip_of(row: asyncpg.Record) -> Skip:
    asset = assets.asset_of(row) if row["asset_id"] else None
    return Skip(
        *(row["key"], asset, TradeSide(row["side"]), row["value"], SkipReason(row["reason"]), row["explanation"])
    )
