# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The alert that a plan which nobody asked for is ready: raised and resolved in the transaction of the plan's step."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from app.core import alert_words
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, Transition
from app.store import turns
from app.store.alert_rows import FIELDS, News, scan_tell, scan_write_news
from app.store.db import Tx


async def raise_ready(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    trades: int,
    expires_at: datetime,
    *,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> None:
    """Tell that a plan is ready; the one before it is superseded, and its alert resolved, by now.

    Nothing is told of a portfolio that was paused while the plan was made; the caller holds the portfolio's lock.
    """
    watched = "SELECT id FROM portfolios WHERE owner_id = $1 AND id = $2 AND status = 'ACTIVE'"
    if await tx.value(watched, owner_id, portfolio_row_id) is None:
        return
    message = alert_words.of_plan(trades, expires_at)
    ready = Transition(AlertEventKind.RAISED, AlertKind.PLAN_READY, None, AlertSeverity.INFO, message, None)
    await scan_write_news(tx, [News(owner_id, portfolio_row_id, ready)], now, new_uuid)


async def resolve_ready(owner_id: int, tx: Tx, portfolio_row_id: int, message: str, now: datetime) -> None:
    """Resolve the alert of a plan that is ready no longer, if it has one; the caller holds the portfolio's lock."""
    rows = await tx.fetch(
        f"""
        UPDATE alerts a SET status = 'RESOLVED', resolved_at = $3, snoozed_until = NULL, message = $4
        WHERE a.owner_id = $1 AND a.portfolio_id = $2 AND a.kind = 'PLAN_READY' AND a.status <> 'RESOLVED'
        RETURNING {FIELDS}, 'RESOLVED' AS event
        """,
        owner_id,
        portfolio_row_id,
        now,
        message,
    )
    await scan_tell(tx, rows, now)


_DUE: Final = """
    a.kind = 'PLAN_READY' AND a.status <> 'RESOLVED' AND (
        a.snoozed_until <= $1 OR a.snoozed_until IS NULL AND a.status = 'OPEN'
        AND (p.policy ->> 'remind_after_s')::bigint > 0
        AND greatest(a.raised_at, a.reminded_at)
            <= $1::timestamptz - make_interval(secs => (p.policy ->> 'remind_after_s')::bigint)
    )
"""


async def scan_remind(tx: Tx, now: datetime, limit: int) -> set[int]:
    """Tell again of plans that are still ready, when their portfolio's policy or a snooze says so; return the owners.

    A transaction of its own: it waits for the portfolios' other writers before it writes.
    """
    due = await tx.fetch(
        f"SELECT a.portfolio_id FROM alerts a JOIN portfolios p ON p.id = a.portfolio_id WHERE {_DUE} LIMIT $2",
        now,
        limit,
    )
    if not due:
        return set()
    await turns.scan_take_turns(tx, turns.PORTFOLIO, [row["portfolio_id"] for row in due])
    rows = await tx.fetch(
        f"""
        UPDATE alerts a SET reminded_at = $1, snoozed_until = NULL FROM portfolios p
        WHERE p.id = a.portfolio_id AND a.portfolio_id = ANY ($2) AND {_DUE}
        RETURNING {FIELDS}, 'REMINDED' AS event
        """,
        now,
        [row["portfolio_id"] for row in due],
    )
    await scan_tell(tx, rows, now)
    return {row["owner_id"] for row in rows}
