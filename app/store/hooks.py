# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Hooks: where an owner wants to be told, by webhook or by e-mail.

A deleted hook stays as a row without secrets until its last delivery is forgotten. Locks: the hook, then its
deliveries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.alerts import AlertSeverity
from app.core.hooks import CODE_S, CODE_TRIES, PREVIOUS_SECRET_S, HookEvent, HookKind
from app.store.db import Tx

PREFIX: Final = {HookKind.WEBHOOK: ids.WEBHOOK, HookKind.EMAIL: ids.EMAIL}

_FIELDS: Final = """
    id, public_id, kind, address, events, min_severity, enabled, disabled_reason, secret, previous_secret,
    previous_until, confirmed_at, failures, last_delivered_at, created_at
"""


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook or an e-mail subscription. `address` is its URL or mailbox; a mailbox is `confirmed_at` some time."""

    row_id: int
    id: str
    kind: HookKind
    address: str
    events: tuple[HookEvent, ...]
    least: AlertSeverity
    enabled: bool
    disabled_reason: str | None
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_until: datetime | None
    confirmed_at: datetime | None
    failures: int
    last_delivered_at: datetime | None
    created_at: datetime

    def secrets(self, now: datetime) -> list[str]:
        """Return what a message is signed with: the one of before too, while a rotation lasts."""
        return secrets_of(self.secret, self.previous_secret, self.previous_until, now)


def secrets_of(secret: str, previous: str | None, until: datetime | None, now: datetime) -> list[str]:
    """Return the secrets that are valid now, the newest first."""
    return [secret, previous] if previous and until and now < until else [secret]


async def take_turn(owner_id: int, tx: Tx) -> int:
    """Let hooks of an owner be made one at a time, and return how many there are."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('hooks of ' || $1::bigint, 0))", owner_id)
    count: int = await tx.value("SELECT count(*) FROM hooks WHERE owner_id = $1 AND deleted_at IS NULL", owner_id)
    return count


async def create_hook(
    owner_id: int,
    tx: Tx,
    uuid: UUID,
    *,
    kind: HookKind,
    address: str,
    events: Sequence[HookEvent],
    least: AlertSeverity,
    secret: str,
    now: datetime,
) -> Hook:
    """Write a new hook. It hears of what is committed after this."""
    row = await tx.row(
        f"""
        INSERT INTO hooks (owner_id, public_id, kind, address, events, min_severity, enabled, secret, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, true, $7, $8) RETURNING {_FIELDS}
        """,
        owner_id,
        uuid,
        kind.value,
        address,
        [event.value for event in events],
        least.value,
        secret,
        now,
    )
    assert row is not None
    return _hook_of(row)


async def load_hooks(owner_id: int, tx: Tx, kind: HookKind, first: int, after: str | None = None) -> list[Hook]:
    """Return an owner's hooks of one kind, oldest first, those after one by its public id when it is given."""
    rows = await tx.fetch(
        f"""
        SELECT {_FIELDS} FROM hooks WHERE owner_id = $1 AND kind = $2 AND deleted_at IS NULL
            AND ($3::uuid IS NULL OR id > (SELECT id FROM hooks WHERE owner_id = $1 AND public_id = $3))
        ORDER BY id LIMIT $4
        """,
        owner_id,
        kind.value,
        ids.decode(PREFIX[kind], after) if after else None,
        first,
    )
    return [_hook_of(row) for row in rows]


async def find_hook(owner_id: int, tx: Tx, kind: HookKind, hook_id: str, *, lock: bool = False) -> Hook | None:
    """Return a hook of an owner; with `lock` it stays as it is until the transaction ends."""
    row = await tx.row(
        f"""
        SELECT {_FIELDS} FROM hooks WHERE owner_id = $1 AND kind = $2 AND public_id = $3 AND deleted_at IS NULL
        {"FOR NO KEY UPDATE" if lock else ""}
        """,
        owner_id,
        kind.value,
        ids.decode(PREFIX[kind], hook_id),
    )
    return _hook_of(row) if row else None


async def save_hook(
    owner_id: int, tx: Tx, row_id: int, *, address: str, events: Sequence[HookEvent], least: AlertSeverity
) -> None:
    """Change where and of what a hook is told."""
    await tx.execute(
        "UPDATE hooks SET address = $3, events = $4, min_severity = $5 WHERE owner_id = $1 AND id = $2",
        owner_id,
        row_id,
        address,
        [event.value for event in events],
        least.value,
    )


async def enable_hook(owner_id: int, tx: Tx, row_id: int, now: datetime) -> None:
    """Enable a hook anew: what waited is due now, with all its tries; it hears of what is committed from now on."""
    await tx.execute(
        """
        UPDATE hooks SET enabled = true, disabled_reason = NULL, failures = 0, failing_since = NULL,
            since = pg_current_snapshot()
        WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        row_id,
    )
    await tx.execute(
        """
        UPDATE deliveries SET due = $3, tries = 0, first_at = NULL
        WHERE owner_id = $1 AND hook_id = $2 AND status = 'PENDING'
        """,
        owner_id,
        row_id,
        now,
    )


async def disable_hook(owner_id: int, tx: Tx, row_id: int, reason: str) -> None:
    """Disable a hook: what is pending waits until it is enabled again."""
    await tx.execute(
        "UPDATE hooks SET enabled = false, disabled_reason = $3 WHERE owner_id = $1 AND id = $2",
        owner_id,
        row_id,
        reason,
    )
    await tx.execute(
        "UPDATE deliveries SET due = NULL WHERE owner_id = $1 AND hook_id = $2 AND status = 'PENDING'",
        owner_id,
        row_id,
    )


async def rotate_secret(owner_id: int, tx: Tx, row_id: int, secret: str, now: datetime) -> None:
    """Give a hook a new secret; the one of before stays valid for a day."""
    await tx.execute(
        """
        UPDATE hooks SET previous_secret = secret, previous_until = $4, secret = $3 WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        row_id,
        secret,
        now + timedelta(seconds=PREVIOUS_SECRET_S),
    )


async def delete_hook(owner_id: int, tx: Tx, row_id: int, now: datetime) -> None:
    """Delete a hook and cancel what is pending."""
    await tx.execute(
        """
        UPDATE hooks SET deleted_at = $3, enabled = false, secret = '', previous_secret = NULL, code_digest = NULL
        WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        row_id,
        now,
    )
    await cancel_pending(owner_id, tx, row_id, now)


async def cancel_pending(owner_id: int, tx: Tx, row_id: int, now: datetime) -> None:
    """Cancel what waits for a hook."""
    await tx.execute(
        """
        UPDATE deliveries SET status = 'CANCELLED', due = NULL, lease_until = NULL, ended_at = $3
        WHERE owner_id = $1 AND hook_id = $2 AND status = 'PENDING'
        """,
        owner_id,
        row_id,
        now,
    )


async def unconfirm(owner_id: int, tx: Tx, row_id: int) -> None:
    """Ask for a mailbox to be confirmed, as if it were new."""
    await tx.execute(
        """
        UPDATE hooks SET confirmed_at = NULL, code_digest = NULL, code_until = NULL, code_tries = 0
        WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        row_id,
    )


async def try_code(owner_id: int, tx: Tx, row_id: int, digest: str, now: datetime) -> tuple[bool, int]:
    """Count a try, and confirm the mailbox if the code is right and still good; return that and the tries left.

    The caller commits either way: a wrong try is counted, too.
    """
    row = await tx.row(
        """
        UPDATE hooks SET code_tries = code_tries + 1,
            confirmed_at = CASE WHEN code_digest = $3 AND code_until > $4 AND code_tries < $5 THEN $4 END,
            since = pg_current_snapshot()
        WHERE owner_id = $1 AND id = $2 RETURNING confirmed_at IS NOT NULL AS done, code_tries
        """,
        owner_id,
        row_id,
        digest,
        now,
        CODE_TRIES,
    )
    assert row is not None
    return row["done"], max(0, CODE_TRIES - row["code_tries"])


async def relay_new_code(tx: Tx, row_id: int, digest: str, now: datetime) -> None:
    """Remember the code that is about to be sent, as its digest. Tries go on counting."""
    await tx.execute(
        "UPDATE hooks SET code_digest = $2, code_until = $3 WHERE id = $1",
        row_id,
        digest,
        now + timedelta(seconds=CODE_S),
    )


def _hook_of(row: asyncpg.Record) -> Hook:
    kind = HookKind(row["kind"])
    return Hook(
        row_id=row["id"],
        id=ids.encode(PREFIX[kind], row["public_id"]),
        kind=kind,
        address=row["address"],
        events=tuple(HookEvent(event) for event in row["events"]),
        least=AlertSeverity(row["min_severity"]),
        enabled=row["enabled"],
        disabled_reason=row["disabled_reason"],
        secret=row["secret"],
        previous_secret=row["previous_secret"],
        previous_until=row["previous_until"],
        confirmed_at=row["confirmed_at"],
        failures=row["failures"],
        last_delivered_at=row["last_delivered_at"],
        created_at=row["created_at"],
    )
