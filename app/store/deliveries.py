# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Messages to hooks, as their owner sees them: listed, replayed, and the ones written on an owner's word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.hooks import DeliveryStatus, HookEvent, HookKind
from app.store.db import Tx

CONFIRM: Final = "CONFIRM"
"""The type of a message with a code, which is no event."""

_FIELDS: Final = """
    d.id, d.public_id, d.type, d.status, d.attempts, d.created_at, d.due, d.last_at, d.last_status, d.last_error
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one hook; its id is the webhook-id. `event` is None for a code, `due_at` while it waits."""

    id: str
    event: HookEvent | None
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    due_at: datetime | None
    last_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead delivery, and where it should have gone."""

    kind: HookKind
    address: str
    delivery: Delivery


async def add_code(owner_id: int, tx: Tx, hook_row_id: int, uuid: UUID, now: datetime) -> None:
    """Write the message with a code; the code is made when it is sent."""
    await tx.execute(
        """
        INSERT INTO deliveries (owner_id, hook_id, public_id, type, status, due, created_at)
        VALUES ($1, $2, $3, $4, 'PENDING', $5, $5)
        """,
        owner_id,
        hook_row_id,
        uuid,
        CONFIRM,
        now,
    )


async def load_deliveries(
    owner_id: int,
    tx: Tx,
    hook_row_id: int,
    first: int,
    *,
    statuses: Sequence[DeliveryStatus] | None = None,
    before: str | None = None,
) -> list[Delivery]:
    """Return what went or goes to a hook, newest first, what came before one by its public id when it is given."""
    rows = await tx.fetch(
        f"""
        SELECT {_FIELDS} FROM deliveries d
        WHERE d.owner_id = $1 AND d.hook_id = $2 AND ($3::text[] IS NULL OR d.status = ANY ($3))
            AND ($4::uuid IS NULL OR d.id < (SELECT id FROM deliveries WHERE owner_id = $1 AND public_id = $4))
        ORDER BY d.id DESC LIMIT $5
        """,
        owner_id,
        hook_row_id,
        None if statuses is None else [status.value for status in statuses],
        ids.decode(ids.DELIVERY, before) if before else None,
        first,
    )
    return [_delivery_of(row) for row in rows]


async def load_dead(owner_id: int, tx: Tx, first: int) -> list[Letter]:
    """Return an owner's dead deliveries, newest first."""
    rows = await tx.fetch(
        f"""
        SELECT {_FIELDS}, h.kind, h.address FROM deliveries d JOIN hooks h ON h.id = d.hook_id
        WHERE d.owner_id = $1 AND d.status = 'DEAD' AND h.deleted_at IS NULL ORDER BY d.id DESC LIMIT $2
        """,
        owner_id,
        first,
    )
    return [Letter(HookKind(row["kind"]), row["address"], _delivery_of(row)) for row in rows]


async def missing_deliveries(owner_id: int, tx: Tx, delivery_ids: Sequence[str]) -> set[str]:
    """Return which of these an owner has no delivery of."""
    known = {one: ids.decode(ids.DELIVERY, one) for one in delivery_ids}
    rows = await tx.fetch(
        """
        SELECT d.public_id FROM deliveries d JOIN hooks h ON h.id = d.hook_id
        WHERE d.owner_id = $1 AND d.public_id = ANY ($2) AND h.deleted_at IS NULL
        """,
        owner_id,
        list(filter(None, known.values())),
    )
    found = {row["public_id"] for row in rows}
    return {one for one, uuid in known.items() if uuid not in found}


async def replay_deliveries(
    owner_id: int,
    tx: Tx,
    now: datetime,
    *,
    delivery_ids: Sequence[str] | None = None,
    hook_row_id: int | None = None,
) -> int:
    """Make dead deliveries due again, with all their tries: some, those of one hook, or all. Return how many.

    Those of a disabled hook wait until it is enabled; those of a mailbox that is not confirmed stay dead. The hooks
    stay as they are until the transaction ends: one that is deleted in between would keep what is due for ever.
    """
    rows = await tx.fetch(
        """
        WITH h AS (
            SELECT id, enabled FROM hooks
            WHERE owner_id = $1 AND deleted_at IS NULL AND (kind = 'WEBHOOK' OR confirmed_at IS NOT NULL)
                AND ($4::bigint IS NULL OR id = $4)
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE deliveries d SET status = 'PENDING', due = CASE WHEN h.enabled THEN $2::timestamptz END, tries = 0,
            first_at = NULL, ended_at = NULL
        FROM h
        WHERE d.owner_id = $1 AND d.status = 'DEAD' AND h.id = d.hook_id
            AND ($3::uuid[] IS NULL OR d.public_id = ANY ($3))
        RETURNING d.id
        """,
        owner_id,
        now,
        None if delivery_ids is None else [ids.decode(ids.DELIVERY, one) for one in delivery_ids],
        hook_row_id,
    )
    return len(rows)


def _delivery_of(row: asyncpg.Record) -> Delivery:
    return Delivery(
        id=ids.encode(ids.DELIVERY, row["public_id"]),
        event=None if row["type"] == CONFIRM else HookEvent(row["type"]),
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        due_at=row["due"],
        last_attempt_at=row["last_at"],
        last_status_code=row["last_status"],
        last_error=row["last_error"],
    )
