"""Neighbours: portfolios of a taxpayer whose lots a booking elsewhere changes: their shares replace shares sold there.

They are changed as by anybody: under their locks, with version, history, event, and plans superseded. Which they are is
known only when the fills are worked through, and locks of several portfolios are taken in one order, before the first
write. So a booking begins with the lock of its own portfolio. If it reaches further, its transaction is undone, and
begun anew with the locks of all that it is known to reach.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from app.core.books import BookLot, Books
from app.store import book_rows, events, history, plans, portfolios
from app.store.book_rows import BookRows, Home
from app.store.db import Store, StoreUnavailable, Tx

WASHED: Final = "LOTS_WASHED"
ROUNDS_MAX: Final = 10
"""Each round knows more portfolios than the one before; more are needed only while others book the same group."""
LOTS_MAX: Final = 200
"""So many lots are told in one line of the history."""

Change = tuple[BookLot | None, BookLot | None]
T = TypeVar("T")


class OutOfReach(Exception):
    """A booking changes lots of portfolios that its transaction has not locked; nothing is written yet."""

    def __init__(self, portfolio_row_ids: Collection[int]) -> None:
        super().__init__(f"portfolios {sorted(portfolio_row_ids)} are not locked")
        self.portfolio_row_ids = frozenset(portfolio_row_ids)


@dataclass(frozen=True, slots=True)
class Booker:
    """Who books, of which order's fills and when: what a neighbour's history says of it."""

    plan_id: str
    order_id: str
    actor: str
    now: datetime


async def with_locks(store: Store, owner_id: int, work: Callable[[Tx, frozenset[int]], Awaitable[T]]) -> T:
    """Do work that books in one transaction, under the locks of all portfolios whose lots it changes.

    It is given the rows of those that are locked already, and begun anew when it raises OutOfReach. Raises
    StoreUnavailable when others always change meanwhile which these are: the same call may succeed later.
    """
    locked: frozenset[int] = frozenset()
    for _ in range(ROUNDS_MAX):
        try:
            async with store.owned(owner_id) as tx:
                await portfolios.lock_portfolios(owner_id, tx, locked)
                return await work(tx, locked)
        except OutOfReach as missing:
            locked |= missing.portfolio_row_ids
    raise StoreUnavailable(f"a booking found other portfolios to lock {ROUNDS_MAX} times")


def reached(rows: BookRows, after: Books, home: int, locked: Collection[int]) -> Mapping[Home, Sequence[Change]]:
    """Return what a booking changes in other portfolios than `home`; raise OutOfReach unless all these are locked."""
    found: dict[Home, list[Change]] = defaultdict(list)
    for before, now in book_rows.changes(rows, after):
        there = before or now
        assert there is not None
        if there.account in rows.homes and rows.homes[there.account].portfolio_row_id != home:
            found[rows.homes[there.account]].append((before, now))
    keys = {beside.portfolio_row_id for beside in found}
    if not keys <= set(locked):
        raise OutOfReach({home, *keys})
    return found


async def tell(owner_id: int, tx: Tx, reached: Mapping[Home, Sequence[Change]], by: Booker) -> None:
    """Raise the versions of portfolios that a booking reached, write their history, and supersede what was planned."""
    for home in sorted(reached, key=lambda home: home.portfolio_row_id):
        row_id, changes = home.portfolio_row_id, reached[home]
        version = await tx.value(
            """
            UPDATE portfolios SET version = version + 1, updated_at = $3 WHERE owner_id = $1 AND id = $2
            RETURNING version
            """,
            owner_id,
            row_id,
            by.now,
        )
        document = {
            "version": version,
            "before": {"version": version - 1},
            "plan": by.plan_id,
            "order": by.order_id,
            "lots": list(_told(changes[:LOTS_MAX])),
            "more": len(changes[LOTS_MAX:]),
        }
        await plans.supersede_open_plans(owner_id, tx, row_id, by.actor, by.now, queued=False)
        await history.append_history(owner_id, tx, row_id, WASHED, home.portfolio_id, by.actor, by.now, document)
        told = {"version": version}
        await events.append_event(owner_id, tx, row_id, "portfolio", home.portfolio_id, told, by.now)


def _told(changes: Sequence[Change]) -> Iterable[dict[str, object]]:
    for before, now in changes:
        lot = now or before
        assert lot is not None
        yield {
            "account": lot.account,
            "asset": lot.lot.asset_id,
            "lot": lot.lot.id,
            "before": _numbers(before),
            "after": _numbers(now),
        }


def _numbers(lot: BookLot | None) -> dict[str, object] | None:
    if lot is None:
        return None
    held = lot.lot
    return {"quantity": held.quantity, "basis": held.basis, "holding_from": held.holding_from}
