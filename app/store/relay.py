# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""From the event log to the hooks: one relay at a time copies what was committed into deliveries, in that order.

The place of the relay moves in the transaction that writes the deliveries, and a hook has a delivery of an event at
most once; so after any crash each event is relayed exactly once. Whom a hook was made before is said by the snapshot
it was made with: what that did not see yet was committed later.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app.core import ids
from app.core.alerts import AlertSeverity
from app.core.hooks import HookEvent, HookKind
from app.store.db import Tx

_VISIBLE: Final = "xid < pg_snapshot_xmin(pg_current_snapshot())"

DELIVERED_KEPT: Final = timedelta(days=7)
DEAD_KEPT: Final = timedelta(days=30)
EVENTS_KEPT: Final = timedelta(days=7)
KEYS_KEPT: Final = timedelta(hours=48)
STORMS_KEPT: Final = timedelta(days=1)

_TRIM_TURN: Final = 0x5354_4545_4C54_5249  # any fixed number; advisory locks are per database


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where the log was relayed. `alien` is a place that this life of the database has not reached yet."""

    xid: str
    event: int
    alien: bool
    pending: bool


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An event as the log has it. The portfolio is None for what concerns an owner as a whole."""

    xid: int
    row_id: int
    owner_id: int
    portfolio_id: str | None
    portfolio_name: str | None
    topic: str
    subject: str
    payload: Any
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Listener:
    """A hook that may be told, and the snapshot of the instant it began to listen."""

    row_id: int
    owner_id: int
    kind: HookKind
    events: frozenset[HookEvent]
    least: AlertSeverity
    since: str

    def hears(self, xid: int) -> bool:
        """Say whether a transaction was committed after the hook began to listen."""
        low, high, running = self.since.split(":")
        return xid >= int(high) or (xid >= int(low) and str(xid) in running.split(","))


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message to write. Without an event it is a digest, whose payload comes later."""

    uuid: UUID
    owner_id: int
    hook_row_id: int
    event: int | None
    type: HookEvent
    payload: str | None
    due: datetime


async def relay_take_place(tx: Tx) -> Place | None:
    """Take the relay's place in the log; None when another relay has it."""
    row = await tx.row(
        """
        SELECT xid::text, event, xid > pg_snapshot_xmax(pg_current_snapshot()) AS alien,
            EXISTS (SELECT FROM outbox WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())
                AND xid < pg_snapshot_xmax(pg_current_snapshot())) AS pending
        FROM outbox_marks WHERE name = 'relayed' FOR UPDATE SKIP LOCKED
        """
    )
    return Place(row["xid"], row["event"], row["alien"], row["pending"]) if row else None


async def relay_start_anew(tx: Tx) -> None:
    """Begin at now: the database came out of a dump, and its transactions are counted anew."""
    await tx.execute(
        "UPDATE outbox_marks SET xid = pg_snapshot_xmin(pg_current_snapshot()), event = 0 WHERE name = 'relayed'"
    )
    await tx.execute("UPDATE outbox_marks SET xid = '0', event = 0, at = NULL WHERE name = 'trimmed'")
    await tx.execute("UPDATE hooks SET since = pg_current_snapshot()")


async def relay_events(tx: Tx, place: Place, limit: int) -> list[LogEvent]:
    """Return what was committed after a place, of all owners, in the order of commits."""
    rows = await tx.fetch(
        f"""
        SELECT o.xid::text AS xid, o.id, o.owner_id, p.public_id, p.name, o.topic, o.subject, o.payload, o.created_at
        FROM outbox o LEFT JOIN portfolios p ON p.id = o.portfolio_id
        WHERE (o.xid, o.id) > ($1::text::xid8, $2) AND o.{_VISIBLE} ORDER BY o.xid, o.id LIMIT $3
        """,
        place.xid,
        place.event,
        limit,
    )
    return [
        LogEvent(
            int(row["xid"]),
            row["id"],
            row["owner_id"],
            ids.encode(ids.PORTFOLIO, row["public_id"]) if row["public_id"] else None,
            row["name"],
            row["topic"],
            row["subject"],
            orjson.loads(row["payload"]),
            row["created_at"],
        )
        for row in rows
    ]


async def relay_listeners(tx: Tx, owner_ids: Collection[int]) -> list[Listener]:
    """Return the hooks of some owners that may be told, and keep them so until the transaction ends."""
    rows = await tx.fetch(
        """
        SELECT id, owner_id, kind, events, min_severity, since::text AS since FROM hooks
        WHERE owner_id = ANY ($1) AND enabled AND (kind = 'WEBHOOK' OR confirmed_at IS NOT NULL)
        ORDER BY id FOR SHARE
        """,
        list(owner_ids),
    )
    return [
        Listener(
            row["id"],
            row["owner_id"],
            HookKind(row["kind"]),
            frozenset(HookEvent(event) for event in row["events"]),
            AlertSeverity(row["min_severity"]),
            row["since"],
        )
        for row in rows
    ]


async def relay_storms(
    tx: Tx, hook_row_ids: Collection[int], minutes: Collection[datetime]
) -> dict[tuple[int, datetime], tuple[int, int | None]]:
    """Return how many alerts of a minute went to a hook one by one, and its digest if that is still open.

    An open digest is one that was not tried yet; it stays so until the transaction ends.
    """
    rows = await tx.fetch(
        """
        SELECT s.hook_id, s.at, s.told, d.id AS digest_id FROM alert_storms s
        LEFT JOIN LATERAL (
            SELECT id FROM deliveries WHERE id = s.digest_id AND status = 'PENDING' AND payload IS NULL FOR UPDATE
        ) d ON true
        WHERE s.hook_id = ANY ($1) AND s.at = ANY ($2)
        """,
        list(hook_row_ids),
        list(minutes),
    )
    return {(row["hook_id"], row["at"]): (row["told"], row["digest_id"]) for row in rows}


async def relay_write_deliveries(tx: Tx, new: Sequence[NewDelivery], now: datetime) -> dict[UUID, int]:
    """Write messages, one for each hook and event, and return their rows."""
    rows = await tx.fetch(
        """
        INSERT INTO deliveries (public_id, owner_id, hook_id, event, type, payload, due, status, created_at)
        SELECT n.*, 'PENDING', $8 FROM unnest(
            $1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::json[], $7::timestamptz[]
        ) AS n ON CONFLICT (hook_id, event) DO NOTHING RETURNING id, public_id
        """,
        [one.uuid for one in new],
        [one.owner_id for one in new],
        [one.hook_row_id for one in new],
        [one.event for one in new],
        [one.type.value for one in new],
        [one.payload for one in new],
        [one.due for one in new],
        now,
    )
    return {row["public_id"]: row["id"] for row in rows}


async def relay_write_lines(tx: Tx, lines: Sequence[tuple[int, int, str]]) -> None:
    """Write lines of digests: the delivery, the event and what it says."""
    await tx.execute(
        """
        INSERT INTO digest_lines (delivery_id, event, line)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::json[])
        """,
        [delivery for delivery, _, _ in lines],
        [event for _, event, _ in lines],
        [line for _, _, line in lines],
    )


async def relay_save_storms(tx: Tx, storms: Sequence[tuple[int, datetime, int, int | None]], now: datetime) -> None:
    """Write how many alerts of a minute went to a hook one by one, and the digest that has the rest."""
    await tx.execute(
        """
        INSERT INTO alert_storms (hook_id, at, told, digest_id, written_at)
        SELECT n.*, $5 FROM unnest($1::bigint[], $2::timestamptz[], $3::int[], $4::bigint[]) AS n
        ON CONFLICT (hook_id, at) DO UPDATE SET told = excluded.told, digest_id = excluded.digest_id
        """,
        [hook for hook, _, _, _ in storms],
        [at for _, at, _, _ in storms],
        [told for _, _, told, _ in storms],
        [digest for _, _, _, digest in storms],
        now,
    )


async def relay_move(tx: Tx, last: LogEvent) -> None:
    """Move the relay's place to an event."""
    await tx.execute(
        "UPDATE outbox_marks SET xid = $1::text::xid8, event = $2 WHERE name = 'relayed'", str(last.xid), last.row_id
    )


async def relay_take_trim_turn(tx: Tx) -> bool:
    """Make this transaction the only one that forgets; False while another one does. Two would wait for each other."""
    return bool(await tx.value("SELECT pg_try_advisory_xact_lock($1)", _TRIM_TURN))


async def relay_trim(tx: Tx, now: datetime, limit: int) -> dict[str, int]:
    """Forget what is old by the wall clock, at most `limit` of each, and return how much."""
    deliveries = await tx.fetch(
        """
        DELETE FROM deliveries WHERE id IN (
            SELECT id FROM deliveries WHERE ended_at < $1  -- by the index; younger than that, all are kept
                AND (status <> 'DEAD' OR ended_at < $2) ORDER BY ended_at LIMIT $3
        ) RETURNING id
        """,
        now - DELIVERED_KEPT,
        now - DEAD_KEPT,
        limit,
    )
    await tx.execute(
        """
        DELETE FROM hooks WHERE id IN (
            SELECT id FROM hooks h WHERE deleted_at IS NOT NULL
                AND NOT EXISTS (SELECT FROM deliveries d WHERE d.hook_id = h.id) LIMIT $1
        )
        """,
        limit,
    )
    await tx.execute(
        """
        DELETE FROM alert_storms WHERE (hook_id, at) IN (
            SELECT hook_id, at FROM alert_storms WHERE written_at < $1 ORDER BY written_at LIMIT $2
        )
        """,
        now - STORMS_KEPT,
        limit,
    )
    keys = await tx.fetch(
        """
        DELETE FROM idempotency_keys WHERE (owner_id, key) IN (
            SELECT owner_id, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2
        ) RETURNING key
        """,
        now - KEYS_KEPT,
        limit,
    )
    events = await tx.value("SELECT trim_outbox($1, $2)", now - EVENTS_KEPT, limit)
    return {"deliveries": len(deliveries), "keys": len(keys), "events": events}
