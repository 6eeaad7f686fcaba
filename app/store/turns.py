"""Turns: who changes the same thing waits here, before its transaction's first write.

Events are told in the order of transaction numbers, and whoever waits for a row has its number already. So whoever
writes about a portfolio takes its turn first: people, plans, scans and price ticks; of two of them the one whose turn
comes later has the later number. The two keys of these advisory locks are of a space of their own, so no lock with one
key meets them.
"""

from collections.abc import Iterable
from typing import Final

from app.store.db import Tx

PORTFOLIO: Final = 1
OWNER: Final = 2
TAXPAYERS: Final = 3
POOL: Final = 4
_SHARED: Final = {PORTFOLIO: 8, OWNER: 1, TAXPAYERS: 1, POOL: 1}
"""So many neighbours share a turn: the chunk of a scan takes those of hundreds, and the server holds some thousands."""
_KEYS: Final = 2147483647


def key(what: int, row: str) -> str:
    """Write, in SQL, the second key of the lock of a portfolio's or an owner's row."""
    return f"({row} / {_SHARED[what]} % {_KEYS})::int"


async def scan_take_turns(tx: Tx, what: int, row_ids: Iterable[int]) -> None:
    """Wait for the other writers of portfolios or owners, always in one order, and keep them waiting until the end."""
    keys = sorted({row_id // _SHARED[what] % _KEYS for row_id in row_ids})
    await tx.execute("SELECT pg_advisory_xact_lock($1, key) FROM unnest($2::int[]) AS key", what, keys)
