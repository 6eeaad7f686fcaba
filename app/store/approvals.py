# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""What people decide about plans, and what time does to them. Every step is a compare-and-set under the locks.

    READY -> APPROVED | REJECTED | EXPIRED    QUEUED, COMPUTING, APPROVED -> CANCELLED    EXECUTING: asked to cancel

The locks are taken in one order: the portfolio's turn and row, then the plan. Approving twice executes once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core import ids
from app.core.alert_words import PLAN_OVER, of_move
from app.core.approving import Rest
from app.core.money import HUNDRED, quotient
from app.core.plan import PlanStatus
from app.store import documents, turns
from app.store.db import Tx
from app.store.plans import PlanHandle, handle_of, lock, moved, note

CANCELLABLE: Final = (PlanStatus.QUEUED, PlanStatus.COMPUTING, PlanStatus.APPROVED)


@dataclass(frozen=True, slots=True)
class Locked(PlanHandle):
    """A plan that nobody else changes until the end of the transaction. `halted` says why nothing may be traded."""

    cancel_asked: bool
    halted: str | None


async def lock_plan(owner_id: int, tx: Tx, plan_id: str) -> Locked | None:
    """Lock a plan and its portfolio; None when this owner has no such plan."""
    uuid = ids.decode(ids.PLAN, plan_id)
    portfolio = await tx.value("SELECT portfolio_id FROM plans WHERE owner_id = $1 AND public_id = $2", owner_id, uuid)
    if portfolio is None:
        return None
    await lock(owner_id, tx, portfolio)
    row = await tx.row(
        """
        SELECT l.id, l.public_id, l.portfolio_id, l.status, l.version, l.cancel_asked_at,
            CASE WHEN h.halted_at IS NOT NULL THEN 'trading is halted for all: ' || h.reason
                WHEN p.halted_at IS NOT NULL THEN 'trading of the portfolio is halted' END AS halted
        FROM plans l JOIN portfolios p ON p.id = l.portfolio_id, trading_halt h
        WHERE l.owner_id = $1 AND l.public_id = $2 FOR NO KEY UPDATE OF l
        """,
        owner_id,
        uuid,
    )
    assert row is not None
    handle = handle_of(row)
    return Locked(
        *(handle.id, handle.public_id, handle.portfolio_row_id, handle.status, handle.version),
        cancel_asked=row["cancel_asked_at"] is not None,
        halted=row["halted"],
    )


async def approve_plan(
    owner_id: int,
    tx: Tx,
    handle: PlanHandle,
    left_out: Sequence[str],
    rest: Rest | None,
    *,
    pool: int | None,
    actor: str,
    now: datetime,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    """Approve a READY plan that is locked, without the trades that are left out; `rest` is what then is left of it.

    It is due at once: whoever executes plans finds it, told or not. Its orders go through the `pool` of a bulk, if one
    is given. `before` and `after` go into the history.
    """
    await _set(
        *(owner_id, tx, handle, PlanStatus.APPROVED),
        "approved_by = $4, approved_at = $5, wake_at = $5, approved = $6, pool_id = $7",
        *(actor, now, documents.dump(_without_holdings(rest)) if rest else None, pool),
    )
    if left_out:
        await tx.execute(
            "UPDATE plan_trades SET approved = false WHERE owner_id = $1 AND plan_id = $2 AND public_id = ANY ($3)",
            owner_id,
            handle.id,
            [ids.decode(ids.TRADE, trade_id) for trade_id in left_out],
        )
    was = {"status": handle.status, "version": handle.version, **before}
    document = {"before": was, "left_out": list(left_out), **after}
    await note(owner_id, tx, moved(handle, PlanStatus.APPROVED), "PLAN_APPROVED", actor, now, document)


async def reject_plan(owner_id: int, tx: Tx, handle: PlanHandle, reason: str, *, actor: str, now: datetime) -> None:
    """Reject a READY plan that is locked."""
    await _end(owner_id, tx, handle, PlanStatus.REJECTED, reason, actor, now)


async def expire_plan(owner_id: int, tx: Tx, handle: PlanHandle, reason: str, *, actor: str, now: datetime) -> None:
    """Expire a READY plan that is locked, and say why."""
    await _end(owner_id, tx, handle, PlanStatus.EXPIRED, reason, actor, now)


async def cancel_plan(owner_id: int, tx: Tx, handle: PlanHandle, reason: str, *, actor: str, now: datetime) -> None:
    """Cancel a plan that is locked and of which no order was sent yet: QUEUED, COMPUTING or APPROVED."""
    assert handle.status in CANCELLABLE
    await _end(owner_id, tx, handle, PlanStatus.CANCELLED, reason, actor, now)


async def ask_to_cancel(owner_id: int, tx: Tx, handle: PlanHandle, reason: str, *, actor: str, now: datetime) -> None:
    """Ask whoever executes a plan that is locked to cancel its open orders and to stop; it is EXECUTING till then."""
    await _set(
        *(owner_id, tx, handle, PlanStatus.EXECUTING),
        "cancel_asked_by = $4, cancel_asked_at = $5, wake_at = $5, reason = $6",
        *(actor, now, reason or None),
    )
    after, document = moved(handle, handle.status), {"reason": reason}
    await note(owner_id, tx, after, "PLAN_CANCEL_ASKED", actor, now, document, before=handle.status)


async def _end(
    owner_id: int, tx: Tx, handle: PlanHandle, status: PlanStatus, reason: str, actor: str, now: datetime
) -> None:
    await _set(
        *(owner_id, tx, handle, status, "ended_at = $4, wake_at = NULL, reason = $5"),
        *(now, reason or None),
    )
    over = reason if status is PlanStatus.EXPIRED else None
    document = {"reason": reason} if reason else {}
    kind = f"PLAN_{status.value}"
    await note(owner_id, tx, moved(handle, status), kind, actor, now, document, before=handle.status, over=over)


async def _set(owner_id: int, tx: Tx, handle: PlanHandle, status: PlanStatus, what: str, *given: object) -> None:
    """Take one step of a plan's life. The lock makes it certain; the comparison makes it so whatever else is wrong."""
    found = await tx.value(
        f"""
        UPDATE plans SET status = $3, version = version + 1, {what}
        WHERE owner_id = $1 AND id = $2 AND status = '{handle.status.value}' AND version = {handle.version} RETURNING id
        """,
        owner_id,
        handle.id,
        status.value,
        *given,
    )
    assert found is not None, "a plan changed under its lock"


def _without_holdings(rest: Rest) -> Rest:
    after = documents.without_holdings(rest.after)
    return Rest(rest.summary, after)


_MOVED: Final = "abs(q.price - t.price) * 100 > (p.policy ->> 'price_move_limit')::numeric * t.price"
_DUE: Final = f"""
    SELECT max(l.id) AS last, array_agg(l.portfolio_id ORDER BY l.id) FILTER (WHERE l.expires_at <= $1 OR EXISTS (
        SELECT FROM plan_trades t JOIN prices q ON q.asset_id = t.asset_id WHERE t.plan_id = l.id AND {_MOVED}
    )) AS due
    FROM (
        SELECT id, portfolio_id, expires_at FROM plans WHERE status = 'READY' AND id > $2 ORDER BY id LIMIT $3
    ) l JOIN portfolios p ON p.id = l.portfolio_id
"""
_WHY: Final = f"""
    SELECT l.owner_id, l.id, l.public_id, l.portfolio_id, l.status, l.version, l.expires_at <= $1 AS old, m.*
    FROM plans l JOIN portfolios p ON p.id = l.portfolio_id
    LEFT JOIN LATERAL (
        SELECT a.symbol, trim_scale(t.price) AS was, trim_scale(q.price) AS now,
            trim_scale((p.policy ->> 'price_move_limit')::numeric) AS most
        FROM plan_trades t JOIN prices q ON q.asset_id = t.asset_id JOIN assets a ON a.id = t.asset_id
        WHERE t.plan_id = l.id AND {_MOVED} ORDER BY abs(q.price - t.price) / t.price DESC LIMIT 1
    ) m ON true
    WHERE l.portfolio_id = ANY ($2) AND l.status = 'READY' AND (l.expires_at <= $1 OR m.symbol IS NOT NULL)
    ORDER BY l.id
"""


async def scan_due_to_expire(tx: Tx, now: datetime, after: int, limit: int) -> tuple[list[int], int | None]:
    """Look at READY plans after a row, at most `limit`: those whose time is over, or a price of which moved too far.

    Return the rows of their portfolios, and the last plan that was looked at, None when there was none.
    """
    row = await tx.row(_DUE, now, after, limit)
    assert row is not None
    return row["due"] or [], row["last"]


async def scan_expire_plans(tx: Tx, now: datetime, portfolio_row_ids: Sequence[int]) -> list[int]:
    """Expire the READY plans of these portfolios that are still due under their locks; return each one's owner."""
    locked = sorted(portfolio_row_ids)
    await turns.scan_take_turns(tx, turns.PORTFOLIO, locked)
    await tx.execute("SELECT FROM portfolios WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", locked)
    rows = await tx.fetch(_WHY, now, locked)
    for row in rows:
        reason = PLAN_OVER["EXPIRED"]
        if not row["old"]:
            percent = quotient(abs(row["now"] - row["was"]) * HUNDRED, row["was"], 6)
            reason = of_move(row["symbol"], row["was"], row["now"], percent, row["most"])
        await expire_plan(row["owner_id"], tx, handle_of(row), reason, actor="steelyard", now=now)
    return [row["owner_id"] for row in rows]
