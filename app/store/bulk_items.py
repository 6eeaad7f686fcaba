# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The portfolios of a bulk: each is taken by one runner, under a lease, and has one outcome.

    WAITING -> READY, NOTHING_TO_DO, FAILED, APPROVED, REFUSED, CANCELLED

Whoever writes the outcome does so while the item waits, so the first counts. A runner that dies leaves its lease, and
once that is over the next goes on from what the database knows: the plan of the item, and the state of that plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from app.core import ids
from app.core.bulks import BulkItem, ItemStatus
from app.core.plan_values import PlanStatus
from app.store.bulks import BulkHandle
from app.store.db import Tx
from app.store.owners import Owner


@dataclass(frozen=True, slots=True)
class Taken:
    """An item in the hands of a runner, and whose portfolio it is. `plan_version` is that which was looked at."""

    place: int
    owner: Owner
    portfolio_id: str
    plan_id: str | None
    plan_version: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item; `code` and `message` say why, where it is needed."""

    status: ItemStatus
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PlanNow:
    """How a plan stands, and why it could not be made, where that is so."""

    status: PlanStatus
    code: str
    message: str


async def load_items(
    owner_id: int,
    tx: Tx,
    bulk_id: str,
    first: int,
    *,
    after: int = 0,
    statuses: Sequence[ItemStatus] | None = None,
    of_others: bool,
) -> list[BulkItem]:
    """Return items of a bulk of the owner's in their order, those after a place; `of_others` too, or only own ones."""
    rows = await tx.fetch(
        """
        WITH page AS MATERIALIZED (
            SELECT * FROM bulk_items
            WHERE bulk_id = (SELECT id FROM bulks WHERE owner_id = $1 AND public_id = $2) AND place > $3::bigint
                AND ($4::text[] IS NULL OR status = ANY ($4)) AND ($6 OR owner_id = $1)
            ORDER BY place LIMIT $5
        )
        SELECT i.place, o.issuer, o.subject, p.public_id AS portfolio_public_id, p.name,
            l.public_id AS plan_public_id, i.status, i.code, i.message, i.ended_at
        FROM page i JOIN owners o ON o.id = i.owner_id JOIN portfolios p ON p.id = i.portfolio_id
            LEFT JOIN plans l ON l.id = i.plan_id
        ORDER BY i.place
        """,
        owner_id,
        ids.decode(ids.BULK, bulk_id),
        after,
        None if statuses is None else [status.value for status in statuses],
        first,
        of_others,
    )
    return [
        BulkItem(
            place=row["place"],
            owner=(row["issuer"], row["subject"]),
            portfolio_id=ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]),
            portfolio_name=row["name"],
            plan_id=ids.encode(ids.PLAN, row["plan_public_id"]) if row["plan_public_id"] else None,
            status=ItemStatus(row["status"]),
            code=row["code"],
            message=row["message"],
            ended_at=row["ended_at"],
        )
        for row in rows
    ]


_TAKEN: Final = """
    SELECT i.place, o.id AS owner_id, o.public_id AS owner_public_id, o.issuer, o.subject,
        p.public_id AS portfolio_public_id, l.public_id AS plan_public_id, i.plan_version
    FROM taken i JOIN owners o ON o.id = i.owner_id JOIN portfolios p ON p.id = i.portfolio_id
        LEFT JOIN plans l ON l.id = i.plan_id
"""


async def scan_take_item(tx: Tx, bulk: BulkHandle, now: datetime, until: datetime) -> Taken | None:
    """Take the first item of a running bulk that nobody has, until an instant of the wall clock; None without one."""
    row = await tx.row(
        f"""
        WITH taken AS (
            UPDATE bulk_items SET leased_until = $3 WHERE (bulk_id, place) = (
                SELECT i.bulk_id, i.place FROM bulk_items i JOIN bulks b ON b.id = i.bulk_id
                WHERE i.bulk_id = $1 AND i.status = 'WAITING' AND b.status = 'RUNNING'
                    AND (i.leased_until IS NULL OR i.leased_until <= $2)
                ORDER BY i.place LIMIT 1 FOR NO KEY UPDATE OF i SKIP LOCKED
            ) RETURNING *
        )
        {_TAKEN}
        """,
        bulk.id,
        now,
        until,
    )
    if row is None:
        return None
    return Taken(
        row["place"],
        Owner(row["owner_id"], ids.encode(ids.OWNER, row["owner_public_id"]), row["issuer"], row["subject"]),
        ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]),
        ids.encode(ids.PLAN, row["plan_public_id"]) if row["plan_public_id"] else None,
        row["plan_version"],
    )


async def scan_hold_items(tx: Tx, bulk: BulkHandle, places: Sequence[int], until: datetime) -> None:
    """Renew the leases of items that are worked on."""
    await tx.execute(
        "UPDATE bulk_items SET leased_until = $3 WHERE bulk_id = $1 AND place = ANY ($2) AND status = 'WAITING'",
        bulk.id,
        list(places),
        until,
    )


async def lock_item(owner_id: int, tx: Tx, bulk: BulkHandle, place: int) -> tuple[bool, str | None]:
    """Lock an item after its portfolio; return whether it waits still, and its plan, if it has one by now."""
    row = await tx.row(
        """
        SELECT i.status = 'WAITING' AS waits, l.public_id FROM bulk_items i LEFT JOIN plans l ON l.id = i.plan_id
        WHERE i.owner_id = $1 AND i.bulk_id = $2 AND i.place = $3 FOR NO KEY UPDATE OF i
        """,
        owner_id,
        bulk.id,
        place,
    )
    assert row is not None
    return row["waits"], ids.encode(ids.PLAN, row["public_id"]) if row["public_id"] else None


async def set_plan(owner_id: int, tx: Tx, bulk: BulkHandle, place: int, plan_id: str) -> None:
    """Write which plan was queued for an item that is locked."""
    await tx.execute(
        """
        UPDATE bulk_items i SET plan_id = l.id FROM plans l
        WHERE i.owner_id = $1 AND i.bulk_id = $2 AND i.place = $3 AND l.owner_id = $1 AND l.public_id = $4
        """,
        owner_id,
        bulk.id,
        place,
        ids.decode(ids.PLAN, plan_id),
    )


async def end_item(owner_id: int, tx: Tx, bulk: BulkHandle, place: int, outcome: Outcome, now: datetime) -> bool:
    """Write what became of an item; False where that is written already."""
    found = await tx.value(
        """
        UPDATE bulk_items SET status = $4, code = $5, message = $6, ended_at = $7
        WHERE owner_id = $1 AND bulk_id = $2 AND place = $3 AND status = 'WAITING' RETURNING place
        """,
        owner_id,
        bulk.id,
        place,
        outcome.status.value,
        outcome.code,
        outcome.message,
        now,
    )
    return found is not None


async def load_plan_now(owner_id: int, tx: Tx, plan_id: str) -> PlanNow:
    """Return how a plan of an item stands."""
    row = await tx.row(
        "SELECT status, error FROM plans WHERE owner_id = $1 AND public_id = $2",
        owner_id,
        ids.decode(ids.PLAN, plan_id),
    )
    assert row is not None
    error = orjson.loads(row["error"]) if row["error"] else {}
    return PlanNow(PlanStatus(row["status"]), error.get("code", ""), error.get("message", ""))


async def scan_begun_items(tx: Tx, bulk: BulkHandle) -> list[tuple[int, int, str]]:
    """Return place, owner and plan of the items of a cancelled bulk that wait for a plan: few, as runners are."""
    rows = await tx.fetch(
        """
        SELECT i.place, i.owner_id, l.public_id FROM bulk_items i JOIN plans l ON l.id = i.plan_id
        WHERE i.bulk_id = $1 AND i.status = 'WAITING' ORDER BY i.place
        """,
        bulk.id,
    )
    return [(row["place"], row["owner_id"], ids.encode(ids.PLAN, row["public_id"])) for row in rows]
