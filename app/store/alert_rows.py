# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Alerts as rows: raised, changed, and told of in the event log, any number of them in as many statements as one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, AlertStatus, Transition
from app.core.drift import Entry
from app.store import documents
from app.store.db import Tx

FIELDS: Final = """
    a.id, a.public_id, a.owner_id, a.portfolio_id, a.kind, a.key, a.severity, a.status, a.message, a.entry,
    a.raised_at, a.escalated_at, a.acknowledged_at, a.acknowledged_by, a.resolved_at, a.reminded_at, a.snoozed_until
"""

# How the alerts to change are found: one kind and key is open only once.
OF_PORTFOLIO: Final = "a.portfolio_id = n.portfolio_id AND a.key IS NOT DISTINCT FROM n.key"
OF_OWNER: Final = "a.owner_id = n.owner_id AND a.portfolio_id IS NULL"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is told. `entry` is the sleeve as it was when the alert was last raised, escalated or reminded.

    Without a portfolio it is about all of the owner's.
    """

    id: str
    portfolio_id: str | None
    base_currency: str | None
    kind: AlertKind
    key: str | None
    severity: AlertSeverity
    status: AlertStatus
    message: str
    entry: Entry | None
    raised_at: datetime
    escalated_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    reminded_at: datetime | None = None
    snoozed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class News:
    """A transition, and whose it is."""

    owner_id: int
    portfolio_row_id: int | None
    transition: Transition


async def scan_write_news(
    tx: Tx, news: Sequence[News], now: datetime, new_uuid: Callable[[], UUID], *, of: str = OF_PORTFOLIO
) -> int:
    """Write what happened to alerts and tell subscribers; return how many were raised or escalated."""
    raised = [one for one in news if one.transition.event is AlertEventKind.RAISED]
    changed = [one for one in news if one.transition.event is not AlertEventKind.RAISED]
    # What ends is written first, so that the same may begin anew.
    rows = [*await _change(tx, changed, now, of), *await _raise(tx, raised, now, new_uuid)]
    await scan_tell(tx, sorted(rows, key=itemgetter("id")), now)
    urgent = (AlertEventKind.RAISED.value, AlertEventKind.ESCALATED.value)
    return sum(row["event"] in urgent for row in rows)


async def _raise(tx: Tx, raised: Sequence[News], now: datetime, new_uuid: Callable[[], UUID]) -> list[asyncpg.Record]:
    if not raised:
        return []
    return await tx.fetch(
        f"""
        INSERT INTO alerts AS a (
            public_id, owner_id, portfolio_id, kind, key, severity, status, message, entry, raised_at
        )
        SELECT n.public_id, n.owner_id, n.portfolio_id, n.kind, n.key, n.severity, 'OPEN', n.message, n.entry, $9
        FROM unnest(
            $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::uuid[]
        ) AS n (owner_id, portfolio_id, kind, key, severity, message, entry, public_id)
        RETURNING {FIELDS}, 'RAISED' AS event
        """,
        *_columns(raised),
        [new_uuid() for _ in raised],
        now,
    )


async def _change(tx: Tx, changed: Sequence[News], now: datetime, of: str) -> list[asyncpg.Record]:
    """Escalate, remind or resolve; the severity stays the worst, and what a person said stays unless it escalates."""
    if not changed:
        return []
    return await tx.fetch(
        f"""
        UPDATE alerts a SET
            severity = CASE WHEN n.event = 'ESCALATED' THEN n.severity ELSE a.severity END,
            entry = CASE WHEN n.event = 'RESOLVED' THEN a.entry ELSE n.entry END,
            status = CASE n.event WHEN 'ESCALATED' THEN 'OPEN' WHEN 'RESOLVED' THEN 'RESOLVED' ELSE a.status END,
            escalated_at = CASE WHEN n.event = 'ESCALATED' THEN $9 ELSE a.escalated_at END,
            reminded_at = CASE WHEN n.event = 'REMINDED' THEN $9 ELSE a.reminded_at END,
            acknowledged_at = CASE WHEN n.event <> 'ESCALATED' THEN a.acknowledged_at END,
            acknowledged_by = CASE WHEN n.event <> 'ESCALATED' THEN a.acknowledged_by END,
            snoozed_until = NULL,
            resolved_at = CASE WHEN n.event = 'RESOLVED' THEN $9 END,
            message = n.message
        FROM unnest(
            $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::text[]
        ) AS n (owner_id, portfolio_id, kind, key, severity, message, entry, event)
        WHERE {of} AND a.kind = n.kind AND a.status <> 'RESOLVED'
        RETURNING {FIELDS}, n.event
        """,
        *_columns(changed),
        [one.transition.event.value for one in changed],
        now,
    )


def _columns(news: Sequence[News]) -> list[list[Any]]:
    told = [one.transition for one in news]
    return [
        [one.owner_id for one in news],
        [one.portfolio_row_id for one in news],
        [transition.kind.value for transition in told],
        [transition.key for transition in told],
        [transition.severity.value for transition in told],
        [transition.message for transition in told],
        [documents.dump(transition.entry) if transition.entry else None for transition in told],
    ]


async def load_told(owner_id: int, tx: Tx, portfolio_row_id: int, kind: AlertKind, key: str) -> str | None:
    """Return what the open alert of a kind about a key says, None when there is none."""
    told: str | None = await tx.value(
        """
        SELECT message FROM alerts
        WHERE owner_id = $1 AND portfolio_id = $2 AND kind = $3 AND key = $4 AND status <> 'RESOLVED'
        """,
        owner_id,
        portfolio_row_id,
        kind.value,
        key,
    )
    return told


async def scan_resolve_all(
    tx: Tx, portfolio_row_id: int, message: str, now: datetime, kept: Collection[AlertKind]
) -> None:
    """Resolve whatever is open about a portfolio that is locked, but for the kinds that are kept."""
    rows = await tx.fetch(
        f"""
        UPDATE alerts a SET status = 'RESOLVED', resolved_at = $3, snoozed_until = NULL, message = $2
        WHERE a.portfolio_id = $1 AND a.status <> 'RESOLVED' AND NOT a.kind = ANY ($4)
        RETURNING {FIELDS}, 'RESOLVED' AS event
        """,
        portfolio_row_id,
        message,
        now,
        [kind.value for kind in kept],
    )
    await scan_tell(tx, sorted(rows, key=itemgetter("id")), now)


async def scan_tell(tx: Tx, rows: Sequence[asyncpg.Record], now: datetime) -> None:
    """Write one event for each alert that changed, with the alert as it is now; a row says `event` beside `FIELDS`."""
    if not rows:
        return
    heads = await tx.fetch(
        "SELECT id, public_id AS portfolio_public_id, base_currency FROM portfolios WHERE id = ANY ($1)",
        [row["portfolio_id"] for row in rows],
    )
    portfolios = {head["id"]: head for head in heads}
    alerts = [alert_of(row, portfolios.get(row["portfolio_id"])) for row in rows]
    await tx.execute(
        """
        INSERT INTO outbox (owner_id, portfolio_id, topic, subject, payload, created_at)
        SELECT n.owner_id, n.portfolio_id, 'alert', n.subject, n.payload, $5
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::jsonb[])
            AS n (owner_id, portfolio_id, subject, payload)
        """,
        [row["owner_id"] for row in rows],
        [row["portfolio_id"] for row in rows],
        [alert.id for alert in alerts],
        [documents.dump({"event": row["event"], "alert": alert}) for row, alert in zip(rows, alerts, strict=True)],
        now,
    )


def alert_of_payload(payload: Mapping[str, Any]) -> tuple[AlertEventKind, Alert]:
    """Return what an event of topic `alert` says: what happened, and the alert as it was then."""
    return AlertEventKind(payload["event"]), documents.from_document(Alert, payload["alert"])


def alert_of(row: asyncpg.Record, portfolio: asyncpg.Record | None) -> Alert:
    """Return the alert that a row with `FIELDS` holds; `portfolio` is the head of its portfolio, if it has one."""
    named = portfolio if row["portfolio_id"] is not None else None
    return Alert(
        id=ids.encode(ids.ALERT, row["public_id"]),
        portfolio_id=ids.encode(ids.PORTFOLIO, named["portfolio_public_id"]) if named else None,
        base_currency=named["base_currency"] if named else None,
        kind=AlertKind(row["kind"]),
        key=row["key"],
        severity=AlertSeverity(row["severity"]),
        status=AlertStatus(row["status"]),
        message=row["message"],
        entry=documents.load(Entry, row["entry"]) if row["entry"] else None,
        raised_at=row["raised_at"],
        escalated_at=row["escalated_at"],
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=row["acknowledged_by"],
        resolved_at=row["resolved_at"],
        reminded_at=row["reminded_at"],
        snoozed_until=row["snoozed_until"],
    )
