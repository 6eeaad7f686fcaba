"""Idempotency keys: the same key and request get the same answer. Key, effect and answer are one transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from app.core.errors import IdempotencyMismatch
from app.store import documents
from app.store.db import Tx


async def begin(
    owner_id: int, tx: Tx, key: str, operation: str, request_digest: str, now: datetime
) -> Mapping[str, Any] | None:
    """Take a key before its effect; return the stored answer where the same request was answered before.

    A request with the same key that runs at this moment is waited for. Raises IdempotencyMismatch when the key was
    used for something else.
    """
    taken = await tx.value(
        """
        INSERT INTO idempotency_keys (owner_id, key, operation, request_digest, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (owner_id, key) DO NOTHING RETURNING key
        """,
        owner_id,
        key,
        operation,
        request_digest,
        now,
    )
    if taken is not None:
        return None
    stored = await find(owner_id, tx, key, operation, request_digest)
    if stored is None:  # it was forgotten in between, two days old
        return await begin(owner_id, tx, key, operation, request_digest, now)
    return stored


async def find(owner_id: int, tx: Tx, key: str, operation: str, request_digest: str) -> Mapping[str, Any] | None:
    """Return the stored answer to a request with this key, None where there is none, or none yet; writes nothing.

    Raises IdempotencyMismatch when the key was used for something else.
    """
    row = await tx.row(
        "SELECT operation, request_digest, response FROM idempotency_keys WHERE owner_id = $1 AND key = $2",
        owner_id,
        key,
    )
    if row is None:
        return None
    if (row["operation"], row["request_digest"]) != (operation, request_digest):
        raise IdempotencyMismatch(f"the key {key} was used for another request; take a new key", ["idempotencyKey"])
    assert row["response"] is not None, "a key is committed only with its answer"
    stored: Mapping[str, Any] = orjson.loads(row["response"])
    return stored


async def finish(owner_id: int, tx: Tx, key: str, response: Mapping[str, object]) -> None:
    """Store the answer to a request, in the transaction of its key and effect."""
    await tx.execute(
        "UPDATE idempotency_keys SET response = $3 WHERE owner_id = $1 AND key = $2",
        owner_id,
        key,
        documents.dump(response),
    )
