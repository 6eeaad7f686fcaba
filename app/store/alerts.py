# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Alerts, and what is remembered of each sleeve between measurements.

Deciding is: lock the portfolios, load their states, ask core, save the decisions; all in one transaction, so that a
scan and a price tick about the same portfolio take turns.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, AlertStatus, Decision, SleeveState, Transition
from app.core.drift import Entry
from app.core.errors import InvalidState, NotFound
from app.store import documents
from app.store.db import Tx

_FIELDS: Final = """
    a.id, a.public_id, a.owner_id, a.portfolio_id, a.kind, a.key, a.severity, a.status, a.message, a.entry,
    a.raised_at, a.escalated_at, a.acknowledged_at, a.acknowledged_by, a.resolved_at
"""

_TURN: Final = 0x5354_4545_4C41_4C52  # any fixed number; advisory locks are per database


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is told. `entry` is the sleeve as it was when the alert was raised or last escalated."""

    id: str
    portfolio_id: str
    base_currency: str
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


@dataclass(frozen=True, slots=True)
class Decided:
    """What core decided about one portfolio."""

    owner_id: int
    portfolio_row_id: int
    decision: Decision


async def scan_take_turn(tx: Tx) -> None:
    """Begin a transaction that decides, before its first write, so that nobody acknowledges an alert beside it.

    Events are told in the order in which their transactions began to write: of an alert that is acknowledged and then
    resolved side by side, the end could be told first.
    """
    await tx.execute("SELECT pg_advisory_xact_lock_shared($1)", _TURN)


async def load_states(owner_id: int, tx: Tx, portfolio_row_id: int) -> dict[str, SleeveState]:
    """Return what is remembered of a portfolio's sleeves, and lock the portfolio so that it stays true."""
    lock = "SELECT id FROM portfolios WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE"
    if await tx.value(lock, owner_id, portfolio_row_id) is None:
        return {}
    return (await _states(tx, [portfolio_row_id])).get(portfolio_row_id, {})


async def scan_states(tx: Tx, portfolio_row_ids: Sequence[int]) -> dict[int, dict[str, SleeveState]]:
    """Return what is remembered of portfolios of any owner, by row, and lock them in the order of rows."""
    await tx.execute("SELECT FROM portfolios WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", portfolio_row_ids)
    return await _states(tx, portfolio_row_ids)


async def _states(tx: Tx, portfolio_row_ids: Sequence[int]) -> dict[int, dict[str, SleeveState]]:
    rows = await tx.fetch(
        """
        SELECT portfolio_id, key, level, peak, rising, falling, bucket FROM drift_states WHERE portfolio_id = ANY ($1)
        """,
        portfolio_row_ids,
    )
    found: dict[int, dict[str, SleeveState]] = defaultdict(dict)
    for row in rows:
        state = SleeveState(row["level"], row["peak"], row["rising"], row["falling"], row["bucket"])
        found[row["portfolio_id"]][row["key"]] = state
    return found


async def save_decision(
    owner_id: int, tx: Tx, portfolio_row_id: int, decision: Decision, *, now: datetime, new_uuid: Callable[[], UUID]
) -> int:
    """Write what was decided about one portfolio, whose states were loaded in this transaction; see below."""
    return await scan_save_decisions(tx, [Decided(owner_id, portfolio_row_id, decision)], now=now, new_uuid=new_uuid)


async def scan_save_decisions(
    tx: Tx, decided: Sequence[Decided], *, now: datetime, new_uuid: Callable[[], UUID]
) -> int:
    """Write changed states, raise, escalate and resolve alerts, and tell subscribers.

    Return how many were raised or escalated. The number of statements does not depend on that of portfolios.
    """
    await _write_states(tx, decided)
    told = [(one, transition) for one in decided for transition in one.decision.transitions]
    if not told:
        return 0
    raised = [pair for pair in told if pair[1].event is AlertEventKind.RAISED]
    changed = [pair for pair in told if pair[1].event is not AlertEventKind.RAISED]
    rows = [*await _raise(tx, raised, now, new_uuid), *await _change(tx, changed, now)]
    await _tell(tx, sorted(rows, key=itemgetter("id")), now)
    return sum(row["event"] != AlertEventKind.RESOLVED.value for row in rows)


async def _write_states(tx: Tx, decided: Sequence[Decided]) -> None:
    changed = [(one.portfolio_row_id, key, state) for one in decided for key, state in one.decision.changed.items()]
    if changed:
        await tx.execute(
            """
            INSERT INTO drift_states (portfolio_id, key, level, peak, rising, falling, bucket)
            SELECT * FROM unnest(
                $1::bigint[], $2::text[], $3::smallint[], $4::smallint[], $5::int[], $6::int[], $7::timestamptz[]
            )
            ON CONFLICT (portfolio_id, key) DO UPDATE SET level = excluded.level, peak = excluded.peak,
                rising = excluded.rising, falling = excluded.falling, bucket = excluded.bucket
            """,
            [portfolio for portfolio, _, _ in changed],
            [key for _, key, _ in changed],
            [state.level for _, _, state in changed],
            [state.peak for _, _, state in changed],
            [state.rising for _, _, state in changed],
            [state.falling for _, _, state in changed],
            [state.bucket for _, _, state in changed],
        )
    gone = [(one.portfolio_row_id, key) for one in decided for key in one.decision.gone]
    if gone:
        await tx.execute(
            """
            DELETE FROM drift_states WHERE (portfolio_id, key) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
            """,
            [portfolio for portfolio, _ in gone],
            [key for _, key in gone],
        )


async def _raise(
    tx: Tx, raised: Sequence[tuple[Decided, Transition]], now: datetime, new_uuid: Callable[[], UUID]
) -> list[asyncpg.Record]:
    if not raised:
        return []
    return await tx.fetch(
        f"""
        INSERT INTO alerts AS a (
            public_id, owner_id, portfolio_id, kind, key, severity, status, message, entry, raised_at
        )
        SELECT n.public_id, n.owner_id, n.portfolio_id, n.kind, n.key, n.severity, 'OPEN', n.message, n.entry, $9
        FROM unnest(
            $1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[]
        ) AS n (public_id, owner_id, portfolio_id, kind, key, severity, message, entry)
        RETURNING {_FIELDS}, 'RAISED' AS event
        """,
        [new_uuid() for _ in raised],
        [one.owner_id for one, _ in raised],
        *_columns(raised),
        now,
    )


async def _change(tx: Tx, changed: Sequence[tuple[Decided, Transition]], now: datetime) -> list[asyncpg.Record]:
    """Escalate and resolve. The entry stays that of the highest level; an escalated alert asks for attention anew."""
    if not changed:
        return []
    return await tx.fetch(
        f"""
        UPDATE alerts a SET
            severity = CASE WHEN n.event = 'ESCALATED' THEN n.severity ELSE a.severity END,
            entry = CASE WHEN n.event = 'ESCALATED' THEN n.entry ELSE a.entry END,
            status = CASE WHEN n.event = 'ESCALATED' THEN 'OPEN' ELSE 'RESOLVED' END,
            escalated_at = CASE WHEN n.event = 'ESCALATED' THEN $8 ELSE a.escalated_at END,
            acknowledged_at = CASE WHEN n.event = 'RESOLVED' THEN a.acknowledged_at END,
            acknowledged_by = CASE WHEN n.event = 'RESOLVED' THEN a.acknowledged_by END,
            resolved_at = CASE WHEN n.event = 'RESOLVED' THEN $8 END,
            message = n.message
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::text[])
            AS n (portfolio_id, kind, key, severity, message, entry, event)
        WHERE a.portfolio_id = n.portfolio_id AND a.kind = n.kind AND a.key IS NOT DISTINCT FROM n.key
            AND a.status <> 'RESOLVED'
        RETURNING {_FIELDS}, n.event
        """,
        *_columns(changed),
        [transition.event.value for _, transition in changed],
        now,
    )


def _columns(told: Sequence[tuple[Decided, Transition]]) -> list[list[Any]]:
    return [
        [one.portfolio_row_id for one, _ in told],
        [transition.kind.value for _, transition in told],
        [transition.key for _, transition in told],
        [transition.severity.value for _, transition in told],
        [transition.message for _, transition in told],
        [documents.dump(transition.entry) if transition.entry else None for _, transition in told],
    ]


async def _tell(tx: Tx, rows: Sequence[asyncpg.Record], now: datetime) -> None:
    """Write one event for each alert that changed, with the alert as it is now."""
    heads = await tx.fetch(
        "SELECT id, public_id AS portfolio_public_id, base_currency FROM portfolios WHERE id = ANY ($1)",
        [row["portfolio_id"] for row in rows],
    )
    portfolios = {head["id"]: head for head in heads}
    alerts = [_alert_of(row, portfolios[row["portfolio_id"]]) for row in rows]
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


async def load_alerts(
    owner_id: int,
    tx: Tx,
    first: int,
    *,
    portfolio_ids: Sequence[str] | None = None,
    statuses: Sequence[AlertStatus] | None = None,
    severities: Sequence[AlertSeverity] | None = None,
    alert_ids: Sequence[str] | None = None,
    before: str | None = None,
) -> list[Alert]:
    """Return an owner's alerts, newest first, those before one by its public id when it is given."""
    rows = await tx.fetch(
        f"""
        SELECT {_FIELDS}, p.public_id AS portfolio_public_id, p.base_currency
        FROM alerts a JOIN portfolios p ON p.id = a.portfolio_id
        WHERE a.owner_id = $1
            AND ($2::uuid[] IS NULL OR p.public_id = ANY ($2))
            AND ($3::text[] IS NULL OR a.status = ANY ($3))
            AND ($4::text[] IS NULL OR a.severity = ANY ($4))
            AND ($5::uuid[] IS NULL OR a.public_id = ANY ($5))
            AND ($6::uuid IS NULL OR a.id < (SELECT id FROM alerts WHERE owner_id = $1 AND public_id = $6))
        ORDER BY a.id DESC LIMIT $7
        """,
        owner_id,
        None if portfolio_ids is None else [ids.decode(ids.PORTFOLIO, one) for one in portfolio_ids],
        None if statuses is None else [status.value for status in statuses],
        None if severities is None else [severity.value for severity in severities],
        None if alert_ids is None else [ids.decode(ids.ALERT, one) for one in alert_ids],
        ids.decode(ids.ALERT, before) if before else None,
        first,
    )
    return [_alert_of(row, row) for row in rows]


async def acknowledge_alert(owner_id: int, tx: Tx, alert_id: str, *, actor: str, now: datetime) -> Alert:
    """Mark an open alert as seen; seen again stays as it was. Raises NotFound, or InvalidState once it is resolved."""
    await tx.execute("SELECT pg_advisory_xact_lock($1)", _TURN)
    row = await tx.row(
        f"""
        UPDATE alerts a SET status = 'ACKNOWLEDGED', acknowledged_at = $3, acknowledged_by = $4
        WHERE owner_id = $1 AND public_id = $2 AND status = 'OPEN' RETURNING {_FIELDS}, 'ACKNOWLEDGED' AS event
        """,
        owner_id,
        ids.decode(ids.ALERT, alert_id),
        now,
        actor,
    )
    if row:
        await _tell(tx, [row], now)
    found = await load_alerts(owner_id, tx, 1, alert_ids=[alert_id])
    if not found:
        raise NotFound("alert", alert_id)
    if found[0].status is AlertStatus.RESOLVED:
        raise InvalidState("the alert is resolved; there is nothing left to acknowledge", AlertStatus.RESOLVED.value)
    return found[0]


def _alert_of(row: asyncpg.Record, portfolio: asyncpg.Record) -> Alert:
    return Alert(
        id=ids.encode(ids.ALERT, row["public_id"]),
        portfolio_id=ids.encode(ids.PORTFOLIO, portfolio["portfolio_public_id"]),
        base_currency=portfolio["base_currency"],
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
    )
