"""Idempotency keys: the key is written first, in the effect's own transaction, so that effect and key share a fate."""

from typing import Final

from app.context import Context
from app.core import scalars
from app.core.digest import digest
from app.core.errors import InvalidInput
from app.store import idempotency
from app.store.db import Tx

KEY_MAX: Final = 200


async def begin(context: Context, tx: Tx, key: str | None, operation: str, request: object) -> str | None:
    """Return the id that the first call with this key answered, or None when this is the first.

    A call that runs at the same time is waited for. Raises IdempotencyMismatch when the key came with another input.
    """
    if key is None:
        return None
    try:
        scalars.text(key, "idempotencyKey", longest=KEY_MAX)
    except InvalidInput as error:
        raise error.under("idempotencyKey") from None
    stored = await idempotency.begin(context.owner_id, tx, key, operation, digest(request), context.wall)
    return None if stored is None else str(stored["id"])


async def finish(context: Context, tx: Tx, key: str | None, answered_id: str) -> None:
    """Store what this call answers."""
    if key is not None:
        await idempotency.finish(context.owner_id, tx, key, {"id": answered_id})
