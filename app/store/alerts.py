# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Alerts, and what is remembered of each sleeve between measurements.

Deciding is: lock the portfolios, load their states, ask core, save the decisions; all in one transaction, so that a
scan and a price tick about the same portfolio take turns.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from app.core import ids
from app.core.alert_words import PAUSED
from app.core.alerts import (
    OUTLIVES_PAUSE,
    AlertKind,
    AlertSeverity,
    AlertStatus,
    Decision,
    SleeveState,
    state_key,
)
from app.core.errors import InvalidState, NotFound
from app.core.portfolio import PortfolioStatus
from app.store import turns
from app.store.alert_rows import FIELDS, News, alert_of, scan_resolve_all, scan_tell, scan_write_news
from app.store.alert_rows import Alert as Alert
from app.store.alert_rows import alert_of_payload as alert_of_payload
from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class Decided:
    """What core decided about one portfolio."""

    owner_id: int
    portfolio_row_id: int
    decision: Decision


async def scan_take_turn(tx: Tx, portfolio_row_ids: Sequence[int]) -> None:
    """Begin a transaction that decides about portfolios, before its first write: nobody else writes about them."""
    await turns.scan_take_turns(tx, turns.PORTFOLIO, portfolio_row_ids)


_STATE: Final = "level, peak, runs, bucket, told_at, acknowledged, snoozed_until, symbols"


async def scan_states(tx: Tx, portfolio_row_ids: Sequence[int]) -> dict[int, dict[str, SleeveState]]:
    """Return what is remembered of portfolios of any owner, by row, and lock them in the order of rows."""
    await tx.execute("SELECT FROM portfolios WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", portfolio_row_ids)
    rows = await tx.fetch(
        f"SELECT portfolio_id, key, {_STATE} FROM drift_states WHERE portfolio_id = ANY ($1)", portfolio_row_ids
    )
    found: dict[int, dict[str, SleeveState]] = defaultdict(dict)
    for row in rows:
        found[row["portfolio_id"]][row["key"]] = SleeveState(
            row["level"],
            row["peak"],
            tuple(row["runs"]),
            row["bucket"],
            row["told_at"],
            row["acknowledged"],
            row["snoozed_until"],
            tuple(row["symbols"]),
        )
    return found


async def scan_save_decisions(
    tx: Tx, decided: Sequence[Decided], *, now: datetime, new_uuid: Callable[[], UUID]
) -> int:
    """Write changed states, raise, escalate, remind of and resolve alerts, and tell subscribers.

    Return how many were raised or escalated. The number of statements does not depend on that of portfolios. Whether
    an owner's alert about data has to change is seen after the commit: `outages.scan_settle`.
    """
    decided = await _watched(tx, [one for one in decided if one.decision != _SAME])
    await _write_states(tx, decided)
    news = [
        News(one.owner_id, one.portfolio_row_id, transition)
        for one in decided
        for transition in one.decision.transitions
    ]
    return await scan_write_news(tx, news, now, new_uuid)


_SAME: Final = Decision({}, (), ())


async def _watched(tx: Tx, decided: Sequence[Decided]) -> list[Decided]:
    """Leave out what was paused or archived since it was read; the portfolios are locked by now."""
    if not decided:
        return []
    rows = await tx.fetch(
        "SELECT id FROM portfolios WHERE id = ANY ($1) AND status = 'ACTIVE'",
        [one.portfolio_row_id for one in decided],
    )
    active = {row["id"] for row in rows}
    return [one for one in decided if one.portfolio_row_id in active]


async def _write_states(tx: Tx, decided: Sequence[Decided]) -> None:
    changed = [
        _document(one.portfolio_row_id, key, state) for one in decided for key, state in one.decision.changed.items()
    ]
    if changed:
        await tx.execute(
            f"""
            INSERT INTO drift_states (portfolio_id, key, {_STATE})
            SELECT portfolio_id, key, {_STATE} FROM jsonb_to_recordset($1) AS n (
                portfolio_id bigint, key text, level smallint, peak smallint, runs int[], bucket timestamptz,
                told_at timestamptz, acknowledged boolean, snoozed_until timestamptz, symbols text[]
            )
            ON CONFLICT (portfolio_id, key) DO UPDATE SET level = excluded.level, peak = excluded.peak,
                runs = excluded.runs, bucket = excluded.bucket, told_at = excluded.told_at,
                acknowledged = excluded.acknowledged, snoozed_until = excluded.snoozed_until,
                symbols = excluded.symbols
            """,
            orjson.dumps(changed).decode(),
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


def _document(portfolio_row_id: int, key: str, state: SleeveState) -> dict[str, object]:
    values = {name: getattr(state, name) for name in SleeveState.__slots__}
    return {"portfolio_id": portfolio_row_id, "key": key, **values}


async def forget_portfolio(
    owner_id: int, tx: Tx, portfolio_row_id: int, status: PortfolioStatus, now: datetime
) -> None:
    """Resolve the alerts of a portfolio that is locked and watched no more, and forget its states.

    Orders of one that is paused are worked on, and brokers asked what they hold: alerts about these stay.
    """
    await tx.execute(
        """
        DELETE FROM drift_states s USING portfolios p
        WHERE s.portfolio_id = p.id AND p.owner_id = $1 AND p.id = $2
        """,
        owner_id,
        portfolio_row_id,
    )
    kept = OUTLIVES_PAUSE if status is PortfolioStatus.PAUSED else ()
    await scan_resolve_all(tx, portfolio_row_id, PAUSED[status], now, kept)


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
    """Return an owner's alerts, newest first, those before one by its public id when it is given.

    Those about all of the owner's portfolios belong to each of them.
    """
    rows = await tx.fetch(
        f"""
        SELECT {FIELDS}, p.public_id AS portfolio_public_id, p.base_currency
        FROM alerts a LEFT JOIN portfolios p ON p.id = a.portfolio_id
        WHERE a.owner_id = $1
            AND ($2::uuid[] IS NULL OR a.portfolio_id IS NULL OR p.public_id = ANY ($2))
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
    return [alert_of(row, row) for row in rows]


async def acknowledge_alert(owner_id: int, tx: Tx, alert_id: str, *, actor: str, now: datetime) -> Alert:
    """Mark an open alert as seen: nothing more is told of it until it escalates or ends, and a snooze is over.

    Seen again it stays as it was. Raises NotFound, or InvalidState once it is resolved.
    """
    await _take_turn_of(owner_id, tx, alert_id)
    row = await tx.row(
        f"""
        UPDATE alerts a SET status = 'ACKNOWLEDGED', acknowledged_at = $3, acknowledged_by = $4, snoozed_until = NULL
        WHERE owner_id = $1 AND public_id = $2 AND status = 'OPEN' RETURNING {FIELDS}, 'ACKNOWLEDGED' AS event
        """,
        owner_id,
        ids.decode(ids.ALERT, alert_id),
        now,
        actor,
    )
    return await _said(owner_id, tx, alert_id, row, "acknowledge", now)


async def snooze_alert(owner_id: int, tx: Tx, alert_id: str, *, until: datetime | None, now: datetime) -> Alert:
    """Tell nothing of an alert until an instant, unless it escalates or ends; None ends the snooze it has.

    Raises NotFound, or InvalidState once it is resolved.
    """
    await _take_turn_of(owner_id, tx, alert_id)
    row = await tx.row(
        f"""
        UPDATE alerts a SET snoozed_until = $3
        WHERE owner_id = $1 AND public_id = $2 AND status <> 'RESOLVED' AND snoozed_until IS DISTINCT FROM $3
        RETURNING {FIELDS}, 'SNOOZED' AS event
        """,
        owner_id,
        ids.decode(ids.ALERT, alert_id),
        until,
    )
    return await _said(owner_id, tx, alert_id, row, "snooze", now)


async def _take_turn_of(owner_id: int, tx: Tx, alert_id: str) -> None:
    """Wait, before the first write, for whoever may change an alert: writers of its portfolio, scans and ticks."""
    await tx.execute(
        f"""
        SELECT CASE WHEN portfolio_id IS NULL
            THEN pg_advisory_xact_lock({turns.OWNER}, {turns.key(turns.OWNER, "owner_id")})
            ELSE pg_advisory_xact_lock({turns.PORTFOLIO}, {turns.key(turns.PORTFOLIO, "portfolio_id")})
        END FROM alerts WHERE owner_id = $1 AND public_id = $2
        """,
        owner_id,
        ids.decode(ids.ALERT, alert_id),
    )


async def _said(owner_id: int, tx: Tx, alert_id: str, row: asyncpg.Record | None, what: str, now: datetime) -> Alert:
    """Let the next measurement know what a person said of an alert, tell it, and return the alert as it is."""
    if row:
        await tx.execute(
            "UPDATE drift_states SET acknowledged = $3, snoozed_until = $4 WHERE portfolio_id = $1 AND key = $2",
            row["portfolio_id"],
            state_key(AlertKind(row["kind"]), row["key"]),
            row["status"] == AlertStatus.ACKNOWLEDGED.value,
            row["snoozed_until"],
        )
        await scan_tell(tx, [row], now)
    found = await load_alerts(owner_id, tx, 1, alert_ids=[alert_id])
    if not found:
        raise NotFound("alert", alert_id)
    if found[0].status is AlertStatus.RESOLVED:
        raise InvalidState(f"the alert is resolved; there is nothing left to {what}", AlertStatus.RESOLVED.value)
    return found[0]
