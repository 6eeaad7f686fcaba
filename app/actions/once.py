"""Idempotency keys: the key is written first, in the effect's own transaction, so that effect and key share a fate."""

from typing import Final

from app.context import Context
from app.core import scalars
from app.core.digest import digest
from app.core.errors import InvalidInput
from app.store import idempotency, portfolios
from app.store.db import Tx

KEY_MAX: Final = 200


async def begin(
    context: Context, tx: Tx, key: str | None, operation: str, request: object, portfolio_id: str | None = None
) -> str | None:
    """Return the id that the first call with this key answered, or None when this is the first.

    `portfolio_id` is what is about to change, if it is there yet. A call that runs at the same time is waited for.
    Raises IdempotencyMismatch when the key came with another input.
    """
    if key is None:
        return None
    _check(key)
    if portfolio_id is not None:
        await portfolios.take_turn(context.owner_id, tx, portfolio_id)  # writing the key is the first write
    stored = await idempotency.begin(context.owner_id, tx, key, operation, digest(request), context.wall)
    return None if stored is None else str(stored["id"])


async def find(context: Context, tx: Tx, key: str | None, operation: str, request: object) -> str | None:
    """Return the id that a call with this key answered, None when none has ended; for what is long in the making.

    It takes nothing and waits for nobody. Raises IdempotencyMismatch when the key came with another input.
    """
    if key is None:
        return None
    _check(key)
    stored = await idempotency.find(context.owner_id, tx, key, operation, digest(request))
    return None if stored is None else str(stored["id"])


def _check(key: str) -> None:
    try:
        scalars.text(key, "idempotencyKey", longest=KEY_MAX)
    except InvalidInput as error:
        raise error.under("idempotencyKey") from None


async def finish(context: Context, tx: Tx, key: str | None, answered_id: str) -> None:
    """Store what this call answers."""
    if key is not None:
        await idempotency.finish(context.owner_id, tx, key, {"id": answered_id})
