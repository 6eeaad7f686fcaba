# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Plans and their life. Every step is a compare-and-set on status and version, under the portfolio's lock.

    QUEUED -> COMPUTING -> READY | NOTHING_TO_DO | FAILED;   these -> SUPERSEDED
    READY -> APPROVED | REJECTED | EXPIRED, in `approvals`, where plans are cancelled too

A portfolio has at most one open plan (QUEUED, COMPUTING, READY, APPROVED or EXECUTING); the database refuses a second.
What is APPROVED or EXECUTING is never superseded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.alert_words import PLAN_OVER
from app.core.errors import InvalidState
from app.core.optimize.allocate import PlanScope
from app.core.plan import ENGINE, MONITOR, Plan, PlannedTrade, PlanRequest, PlanStatus
from app.store import documents, events, history, inputs, plan_alerts, plan_rows, turns
from app.store.db import Tx

REQUEST: Final = "l.scope, trim_scale(l.cash_flow) AS cash_flow, l.excluded, l.no_buy, l.no_sell, l.sell_lots"
OPEN: Final = ("QUEUED", "COMPUTING", "READY")  # and not approved yet
MADE_ALREADY: Final = ("COMPUTING", "READY")  # from a snapshot that a change makes outdated


@dataclass(frozen=True, slots=True)
class Made:
    """A computed plan and what it was made from. `expires_at` is when its prices are too old to act on.

    `solve_ms` is how long it took, in milliseconds: all of a plan but this is the same whenever it is made again from
    `inputs`, which are packed.
    """

    plan: Plan
    targets_version: int | None
    inputs_digest: str
    expires_at: datetime
    solve_ms: int
    inputs: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a plan that is being made is: cases looked at, and the gap so far as a share of V, None while unknown."""

    nodes: int
    gap: Decimal | None


@dataclass(frozen=True, slots=True)
class PlanHandle:
    """A plan at one version of its life: what a compare-and-set needs."""

    id: int
    public_id: str
    portfolio_row_id: int
    status: PlanStatus
    version: int


@dataclass(frozen=True, slots=True)
class Claimed(PlanHandle):
    """A plan that is being computed, and what was asked for."""

    portfolio_id: str
    request: PlanRequest


async def save_plan(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    request: PlanRequest,
    *,
    requested_by: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
    made: Made | None = None,
    bulk: Mapping[str, object] | None = None,
) -> str:
    """Write a new plan, queued or already made, and return its public id; open plans before it are superseded.

    The caller holds the portfolio's lock, and has checked there that what the plan was made from still stands.
    `bulk` is what the history says of the bulk that it is queued in.
    """
    await supersede_open_plans(owner_id, tx, portfolio_row_id, requested_by, now)
    uuid = new_uuid()
    row = await tx.row(
        """
        INSERT INTO plans (
            public_id, owner_id, portfolio_id, status, version, scope, cash_flow, excluded, no_buy, no_sell, sell_lots,
            engine, requested_by, created_at, warnings
        ) VALUES ($1, $2, $3, 'QUEUED', 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, '[]') RETURNING id
        """,
        uuid,
        owner_id,
        portfolio_row_id,
        request.scope.value,
        request.cash_flow,
        list(request.exclude),
        list(request.no_buy),
        list(request.no_sell),
        list(request.sell_lots),
        ENGINE,
        requested_by,
        now,
    )
    assert row is not None
    public_id = ids.encode(ids.PLAN, uuid)
    handle = PlanHandle(row["id"], public_id, portfolio_row_id, PlanStatus.QUEUED, 1)
    if made is None:
        await note(
            owner_id,
            tx,
            handle,
            "PLAN_QUEUED",
            requested_by,
            now,
            {"request": request, **({"bulk": bulk} if bulk else {})},
        )
    else:
        await _write_result(owner_id, tx, handle, made, requested_by, now, new_uuid)
    return public_id


async def claim_plan(owner_id: int, tx: Tx, plan_id: str, now: datetime) -> Claimed | None:
    """Take a plan to compute: QUEUED, or COMPUTING where the worker before died. None when there is nothing to do.

    Whoever claims last may finish it; `version` grows with every claim, so it also counts the attempts.
    """
    row = await tx.row(
        f"""
        UPDATE plans l SET status = 'COMPUTING', version = l.version + 1 FROM portfolios p
        WHERE l.owner_id = $1 AND l.public_id = $2 AND l.status IN ('QUEUED', 'COMPUTING') AND p.id = l.portfolio_id
        RETURNING l.id, l.portfolio_id, p.public_id AS portfolio_public_id, l.version, {REQUEST}
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
    )
    if row is None:
        return None
    claimed = Claimed(
        *(row["id"], plan_id, row["portfolio_id"], PlanStatus.COMPUTING, row["version"]),
        portfolio_id=ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]),
        request=request_of(row),
    )
    payload = {"status": claimed.status, "version": claimed.version}
    await events.append_event(owner_id, tx, claimed.portfolio_row_id, "plan", claimed.public_id, payload, now)
    return claimed


async def finish_plan(
    owner_id: int, tx: Tx, claimed: Claimed, made: Made, *, actor: str, now: datetime, new_uuid: Callable[[], UUID]
) -> bool:
    """Write the result of a claimed plan; False when it was superseded or claimed again, and nothing is written."""
    await lock(owner_id, tx, claimed.portfolio_row_id)
    if not await _is_still(owner_id, tx, claimed):
        return False
    await _write_result(owner_id, tx, claimed, made, actor, now, new_uuid)
    return True


async def fail_plan(
    owner_id: int, tx: Tx, claimed: Claimed, *, code: str, message: str, actor: str, now: datetime
) -> bool:
    """Say why a claimed plan could not be made; False when it was superseded or claimed again."""
    await lock(owner_id, tx, claimed.portfolio_row_id)
    if not await _is_still(owner_id, tx, claimed):
        return False
    error = {"code": code, "message": message}
    await tx.execute(
        "UPDATE plans SET status = 'FAILED', version = version + 1, error = $3 WHERE owner_id = $1 AND id = $2",
        owner_id,
        claimed.id,
        documents.dump(error),
    )
    failed = moved(claimed, PlanStatus.FAILED)
    await note(owner_id, tx, failed, "PLAN_FAILED", actor, now, {"error": error}, before=claimed.status)
    return True


async def note_progress(owner_id: int, tx: Tx, claimed: Claimed, progress: Progress, now: datetime) -> bool:
    """Write how far a claimed plan is, and tell it; False when it was cancelled, superseded or claimed again.

    It is no step of the plan's life: the version stays.
    """
    found = await tx.value(
        """
        UPDATE plans SET progress = $4 WHERE owner_id = $1 AND id = $2 AND status = 'COMPUTING' AND version = $3
        RETURNING id
        """,
        owner_id,
        claimed.id,
        claimed.version,
        documents.dump(progress),
    )
    if found is None:
        return False
    payload = {"status": claimed.status, "version": claimed.version, "progress": progress}
    await events.append_event(owner_id, tx, claimed.portfolio_row_id, "plan", claimed.public_id, payload, now)
    return True


async def supersede_open_plans(
    owner_id: int, tx: Tx, portfolio_row_id: int, actor: str, now: datetime, *, queued: bool = True
) -> list[str]:
    """Supersede the open plan of a portfolio and return its public id; the caller holds the portfolio's lock.

    Without `queued` a plan that nobody works on yet stays: it will see what has changed.
    """
    rows = await tx.fetch(
        """
        UPDATE plans l SET status = 'SUPERSEDED', version = l.version + 1 FROM plans b
        WHERE l.owner_id = $1 AND l.portfolio_id = $2 AND l.status = ANY ($3) AND b.id = l.id
        RETURNING l.id, l.public_id, l.portfolio_id, l.status, l.version, b.status AS before
        """,
        owner_id,
        portfolio_row_id,
        OPEN if queued else MADE_ALREADY,
    )
    for row in rows:
        await note(owner_id, tx, handle_of(row), "PLAN_SUPERSEDED", actor, now, {}, before=PlanStatus(row["before"]))
    return [ids.encode(ids.PLAN, row["public_id"]) for row in rows]


async def refuse_while_executing(owner_id: int, tx: Tx, portfolio_row_id: int, *path: str) -> None:
    """Raise InvalidState while a plan is approved or executed; the caller holds the portfolio's lock."""
    row = await tx.row(
        """
        SELECT public_id, status FROM plans
        WHERE owner_id = $1 AND portfolio_id = $2 AND status IN ('APPROVED', 'EXECUTING')
        """,
        owner_id,
        portfolio_row_id,
    )
    if row is not None:
        plan_id = ids.encode(ids.PLAN, row["public_id"])
        message = f"plan {plan_id} is {row['status']}; wait until it has ended, or cancel it"
        raise InvalidState(message, row["status"], path)


async def scan_unfinished_plans(tx: Tx, limit: int) -> list[tuple[int, str]]:
    """Return owner and public id of plans that wait for a worker or were left by one, oldest first.

    Those of a bulk are made by who works on that.
    """
    rows = await tx.fetch(
        """
        SELECT l.owner_id, l.public_id FROM plans l
        WHERE l.status IN ('QUEUED', 'COMPUTING')
            AND NOT EXISTS (SELECT FROM bulk_items i WHERE i.plan_id = l.id AND i.status = 'WAITING')
        ORDER BY l.id LIMIT $1
        """,
        limit,
    )
    return [(row["owner_id"], ids.encode(ids.PLAN, row["public_id"])) for row in rows]


def handle_of(row: asyncpg.Record) -> PlanHandle:
    """Return a plan at the version of a row."""
    public_id = ids.encode(ids.PLAN, row["public_id"])
    return PlanHandle(row["id"], public_id, row["portfolio_id"], PlanStatus(row["status"]), row["version"])


def request_of(row: asyncpg.Record) -> PlanRequest:
    """Return what was asked for, from a row with `REQUEST`."""
    return PlanRequest(
        PlanScope(row["scope"]),
        row["cash_flow"],
        *(tuple(row[name]) for name in ("excluded", "no_buy", "no_sell", "sell_lots")),
    )


def moved(handle: PlanHandle, status: PlanStatus) -> PlanHandle:
    """Return a plan after one step of its life."""
    return PlanHandle(handle.id, handle.public_id, handle.portfolio_row_id, status, handle.version + 1)


async def lock(owner_id: int, tx: Tx, portfolio_row_id: int) -> None:
    """Wait for the other writers of a portfolio before the first write, then lock it; see portfolios.take_turn."""
    await turns.scan_take_turns(tx, turns.PORTFOLIO, [portfolio_row_id])
    await tx.execute(
        "SELECT FROM portfolios WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE", owner_id, portfolio_row_id
    )


async def _is_still(owner_id: int, tx: Tx, claimed: Claimed) -> bool:
    found = await tx.value(
        """
        SELECT id FROM plans WHERE owner_id = $1 AND id = $2 AND status = 'COMPUTING' AND version = $3
        FOR NO KEY UPDATE
        """,
        owner_id,
        claimed.id,
        claimed.version,
    )
    return found is not None


async def _write_result(
    owner_id: int,
    tx: Tx,
    handle: PlanHandle,
    made: Made,
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> None:
    plan = made.plan
    asked_by = await tx.value(
        """
        UPDATE plans SET status = $3, version = version + 1, targets_version = $4, ready_at = $5, expires_at = $6,
            inputs_digest = $7, before = $8, after = $9, summary = $10, warnings = $11, proof = $12, advice = $13,
            solve_ms = $14, inputs = $15
        WHERE owner_id = $1 AND id = $2 RETURNING requested_by
        """,
        owner_id,
        handle.id,
        plan.status.value,
        made.targets_version,
        now,
        made.expires_at,
        made.inputs_digest,
        documents.dump_report(plan.before),
        documents.dump_report(plan.after),
        documents.dump(plan.summary),
        documents.dump(plan.warnings),
        documents.dump(plan.proof) if plan.proof else None,
        documents.dump(plan.advice),
        made.solve_ms,
        made.inputs,
    )
    await plan_rows.write_rows(owner_id, tx, handle.id, plan, new_uuid)
    kind = "PLAN_READY" if plan.status is PlanStatus.READY else "PLAN_NOTHING_TO_DO"
    orders = [_order(planned) for planned in plan.trades]
    pinned = {"inputs_digest": made.inputs_digest, "inputs": inputs.seal(made.inputs)}
    document = {"request": plan.request, **pinned, "trades": orders}
    await note(owner_id, tx, moved(handle, plan.status), kind, actor, now, document, before=handle.status)
    if plan.status is PlanStatus.READY and asked_by == MONITOR:
        row_id, trades = handle.portfolio_row_id, len(plan.trades)
        await plan_alerts.raise_ready(owner_id, tx, row_id, trades, made.expires_at, now=now, new_uuid=new_uuid)


def _order(planned: PlannedTrade) -> dict[str, object]:
    trade = planned.trade
    return {
        "side": trade.side,
        "asset": trade.asset.id,
        "account": trade.account_id,
        "quantity": trade.quantity,
        "price": trade.price.value,
    }


async def note(
    owner_id: int,
    tx: Tx,
    handle: PlanHandle,
    kind: str,
    actor: str,
    now: datetime,
    document: Mapping[str, object],
    *,
    before: PlanStatus | None = None,
    over: str | None = None,
) -> None:
    """Write a step of a plan, from `before` to what the handle says, to the history and the events.

    The alert that it is ready ends where it is so no longer, with the sentence `over` or that of its status.
    """
    row_id, payload = handle.portfolio_row_id, {"status": handle.status, "version": handle.version}
    was = {"before": {"status": before, "version": handle.version - 1}} if before else {}
    line = {**payload, **was, **document}
    await history.append_history(owner_id, tx, row_id, kind, handle.public_id, actor, now, line)
    await events.append_event(owner_id, tx, row_id, "plan", handle.public_id, payload, now)
    if handle.status.value in PLAN_OVER:
        await plan_alerts.resolve_ready(owner_id, tx, row_id, over or PLAN_OVER[handle.status.value], now)
