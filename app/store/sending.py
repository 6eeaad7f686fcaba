"""Messages that are due: taken under a lease that is committed before anything is sent, and written off after.

A worker that dies in between leaves its lease, and once that is over another sends the message again, under the same
id. `attempts` is the number of leases ever given: who writes the outcome must hold the last one.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from app.core import ids
from app.core.hooks import HookKind
from app.store.db import Tx
from app.store.hooks import secrets_of

LEASE_S: Final = 30
"""Longer than any send lasts."""
HOOK_SENDS_MAX: Final = 4
"""Messages of one hook that are on their way at once; while none reaches it, one."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is ours to send. `payload` is None for a digest or a code that was never tried."""

    row_id: int
    id: str
    type: str
    payload: str | None
    attempts: int
    tries: int
    first_at: datetime
    owner_id: int
    hook_row_id: int
    kind: HookKind
    failing: bool
    address: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Health:
    """How a hook does: since when nothing reached it."""

    enabled: bool
    failing_since: datetime | None


async def relay_claim(tx: Tx, now: datetime, room: int, failing_room: int) -> list[Claimed]:
    """Take messages that are due, at most `room`, the longest due of each hook first; commit before sending.

    At most `failing_room` are to hooks that nothing reached the last time: each may take as long as it is waited for,
    and what goes to others comes before them. Hooks with something due are found by their index, not by reading past
    what waits for others. A hook that another worker takes from at this moment is left out.
    """
    free = "d.status = 'PENDING' AND d.due <= $1 AND (d.lease_until IS NULL OR d.lease_until <= $1)"
    leased = (
        "(SELECT count(*) FROM deliveries l WHERE l.hook_id = h.id AND l.status = 'PENDING' AND l.lease_until > $1)"
    )
    most = "CASE WHEN h.failing_since IS NULL THEN $2 ELSE 1 END"
    hooks = await tx.fetch(
        f"""
        WITH RECURSIVE waiting (hook_id) AS (
            (SELECT hook_id FROM deliveries WHERE status = 'PENDING' AND due IS NOT NULL ORDER BY hook_id LIMIT 1)
            UNION ALL
            SELECT (
                SELECT d.hook_id FROM deliveries d
                WHERE d.status = 'PENDING' AND d.due IS NOT NULL AND d.hook_id > w.hook_id ORDER BY d.hook_id LIMIT 1
            ) FROM waiting w WHERE w.hook_id IS NOT NULL
        )
        SELECT h.id, h.failing_since IS NOT NULL AS failing FROM waiting w JOIN hooks h ON h.id = w.hook_id
        CROSS JOIN LATERAL (
            SELECT d.due FROM deliveries d WHERE d.hook_id = h.id AND {free} ORDER BY d.due LIMIT 1
        ) AS first
        WHERE h.enabled AND {leased} < {most} ORDER BY failing, first.due LIMIT $3 FOR NO KEY UPDATE OF h SKIP LOCKED
        """,  # noqa: S608
        now,
        HOOK_SENDS_MAX,
        room,
    )
    failing = [row["id"] for row in hooks if row["failing"]][:failing_room]
    chosen = [row["id"] for row in hooks if not row["failing"]] + failing
    if not chosen:
        return []
    rows = await tx.fetch(
        f"""
        UPDATE deliveries u SET lease_until = $3, attempts = u.attempts + 1, tries = u.tries + 1,
            first_at = coalesce(u.first_at, $1), last_at = $1
        FROM (
            SELECT picked.id, h.failing_since IS NOT NULL AS failing FROM hooks h CROSS JOIN LATERAL (
                SELECT d.id, d.due FROM deliveries d WHERE d.hook_id = h.id AND {free} ORDER BY d.due, d.id
                LIMIT greatest(0, {most} - {leased}) FOR NO KEY UPDATE SKIP LOCKED
            ) AS picked WHERE h.id = ANY ($4) ORDER BY failing, picked.due, picked.id LIMIT $5
        ) AS chosen JOIN deliveries c ON c.id = chosen.id JOIN hooks k ON k.id = c.hook_id
        WHERE u.id = chosen.id
        RETURNING u.id, u.public_id, u.type, u.payload, u.attempts, u.tries, u.first_at, u.owner_id, u.hook_id, k.kind,
            chosen.failing, k.address, k.secret, k.previous_secret, k.previous_until
        """,  # noqa: S608
        now,
        HOOK_SENDS_MAX,
        now + timedelta(seconds=LEASE_S),
        chosen,
        room,
    )
    return [_claimed_of(row, now) for row in rows]


async def relay_lines(tx: Tx, row_ids: Collection[int]) -> dict[int, list[tuple[int, str]]]:
    """Take the lines out of digests that are about to be sent for the first time, in the order of events."""
    rows = await tx.fetch(
        "DELETE FROM digest_lines WHERE delivery_id = ANY ($1) RETURNING delivery_id, event, line", list(row_ids)
    )
    found: dict[int, list[tuple[int, str]]] = {row_id: [] for row_id in row_ids}
    for row in sorted(rows, key=lambda row: row["event"]):
        found[row["delivery_id"]].append((row["event"], row["line"]))
    return found


async def relay_freeze(tx: Tx, row_id: int, payload: str) -> None:
    """Write what a digest says; from now on it says the same."""
    await tx.execute("UPDATE deliveries SET payload = $2 WHERE id = $1", row_id, payload)


async def relay_lock_hook(tx: Tx, hook_row_id: int) -> Health:
    """Lock a hook whose health is about to change, before its deliveries."""
    row = await tx.row("SELECT enabled, failing_since FROM hooks WHERE id = $1 FOR NO KEY UPDATE", hook_row_id)
    assert row is not None, "a hook stays as long as its deliveries"
    return Health(row["enabled"], row["failing_since"])


async def relay_delivered(tx: Tx, claimed: Claimed, status_code: int | None, now: datetime) -> bool:
    """Write that a message arrived; False when it was cancelled, or taken over by another worker."""
    written = await tx.value(
        """
        UPDATE deliveries SET status = 'DELIVERED', due = NULL, lease_until = NULL, ended_at = $3, last_status = $4,
            last_error = NULL
        WHERE id = $1 AND attempts = $2 AND status = 'PENDING' RETURNING id
        """,
        claimed.row_id,
        claimed.attempts,
        now,
        status_code,
    )
    await tx.execute(
        "UPDATE hooks SET failures = 0, failing_since = NULL, last_delivered_at = $2 WHERE id = $1",
        claimed.hook_row_id,
        now,
    )
    return written is not None


async def relay_failed(
    tx: Tx, claimed: Claimed, status_code: int | None, error: str, now: datetime, due: datetime | None, *, dead: bool
) -> bool:
    """Write that a message did not arrive: dead, or due again, or waiting with its hook when `due` is None."""
    written = await tx.value(
        """
        UPDATE deliveries SET status = CASE WHEN $7 THEN 'DEAD' ELSE 'PENDING' END, due = $6, lease_until = NULL,
            ended_at = CASE WHEN $7 THEN $5::timestamptz END, last_status = $3, last_error = $4
        WHERE id = $1 AND attempts = $2 AND status = 'PENDING' RETURNING id
        """,
        claimed.row_id,
        claimed.attempts,
        status_code,
        error,
        now,
        due,
        dead,
    )
    await tx.execute(
        "UPDATE hooks SET failures = failures + 1, failing_since = coalesce(failing_since, $2) WHERE id = $1",
        claimed.hook_row_id,
        now,
    )
    return written is not None


def _claimed_of(row: asyncpg.Record, now: datetime) -> Claimed:
    return Claimed(
        row_id=row["id"],
        id=ids.encode(ids.DELIVERY, row["public_id"]),
        type=row["type"],
        payload=row["payload"],
        attempts=row["attempts"],
        tries=row["tries"],
        first_at=row["first_at"],
        owner_id=row["owner_id"],
        hook_row_id=row["hook_id"],
        kind=HookKind(row["kind"]),
        failing=row["failing"],
        address=row["address"],
        secrets=tuple(secrets_of(row["secret"], row["previous_secret"], row["previous_until"], now)),
    )
