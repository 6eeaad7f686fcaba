"""Allowances: what an owner may do at most so often within a while, by the wall clock, whichever process is asked."""

from datetime import datetime, timedelta

from app.store.db import Tx


async def take(owner_id: int, tx: Tx, what: str, most: int, within: timedelta, now: datetime) -> datetime | None:
    """Take one of `most` that may be taken within a while; when none is left, return when the next one may be.

    Whoever takes at the same time waits for the end of this transaction; if that fails, nothing was taken.
    """
    taken = await tx.value(
        """
        INSERT INTO allowances AS a (owner_id, what, taken) VALUES ($1, $2, ARRAY[$3::timestamptz])
        ON CONFLICT (owner_id, what) DO UPDATE
            SET taken = ARRAY(SELECT t FROM unnest(a.taken) t WHERE t > $4 ORDER BY t) || excluded.taken
            WHERE (SELECT count(*) FROM unnest(a.taken) t WHERE t > $4) < $5
        RETURNING owner_id
        """,
        owner_id,
        what,
        now,
        now - within,
        most,
    )
    if taken is not None:
        return None
    oldest: datetime = await tx.value(
        """
        SELECT t FROM allowances a, unnest(a.taken) t WHERE a.owner_id = $1 AND a.what = $2 AND t > $3
        ORDER BY t DESC OFFSET $4 LIMIT 1
        """,
        owner_id,
        what,
        now - within,
        most - 1,
    )
    return oldest + within
