# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Bulks: what is asked for, of which portfolios, how far it is, and its end.

    RUNNING -> DONE, CANCELLED

A bulk has ended, and says when, once none of its items waits any more; one that is CANCELLED is so at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.alerts import DATA_KEY
from app.core.bulks import Bulk, BulkDraft, BulkFilter, BulkKind, BulkStatus, BulkTotal, ItemStatus
from app.store import documents, events
from app.store.db import Tx

BREACHED: Final = 2
"""The level of what is watched from which on it is outside its band."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose portfolios a bulk may be about: rows of owners, None for all of them. `proposed_in` is a bulk's row."""

    owner_ids: Sequence[int] | None
    proposed_in: int | None = None


@dataclass(frozen=True, slots=True)
class BulkHandle:
    """A bulk as its runners need it. `owner` is issuer and subject of who began it."""

    id: int
    public_id: str
    owner_id: int
    owner: tuple[str, str]
    draft: BulkDraft
    status: BulkStatus
    actor: str
    ended: bool

    @property
    def told(self) -> dict[str, object]:
        """What the history of a portfolio says of it: who began it, beside the actor, who may be a tool of theirs."""
        issuer, subject = self.owner
        return {"id": self.public_id, "issuer": issuer, "subject": subject}


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of a bulk; once it has ended it is stored, as adding it up takes the longer the larger it is."""

    counts: dict[ItemStatus, int]
    totals: tuple[BulkTotal, ...]


_ACTIVE: Final = f"""
    FROM portfolios p WHERE p.status = 'ACTIVE' AND ($1::bigint[] IS NULL OR p.owner_id = ANY ($1))
        AND ($2::uuid[] IS NULL OR p.public_id = ANY ($2)) AND ($3::text IS NULL OR p.model = $3)
        AND (NOT $4 OR EXISTS (
            SELECT FROM drift_states s
            WHERE s.portfolio_id = p.id AND s.level >= {BREACHED} AND s.key <> '{DATA_KEY}'
        ))
"""
_PLANNED: Final = f"""
    FROM (SELECT p.* {_ACTIVE}) p JOIN plans l ON l.portfolio_id = p.id
    WHERE l.status = 'READY'
        AND ($5::bigint IS NULL OR l.id IN (SELECT i.plan_id FROM bulk_items i WHERE i.bulk_id = $5))
        AND ($6::numeric IS NULL OR 50 * ((l.summary ->> 'bought')::numeric + (l.summary ->> 'sold')::numeric)
            <= $6 * (l.before ->> 'base')::numeric)
        AND ($7::numeric IS NULL OR 100 * (
                (l.summary ->> 'fees')::numeric + (l.summary ->> 'spread')::numeric
                + coalesce((l.summary ->> 'impact')::numeric, 0)
            ) <= $7 * (l.before -> 'valuation' ->> 'value')::numeric)
        AND ($8::numeric IS NULL OR 100 * (l.summary -> 'tax' ->> 'estimated_tax')::numeric
            <= $8 * (l.before -> 'valuation' ->> 'value')::numeric)
"""
_PICKED: Final = {BulkKind.PROPOSE: _ACTIVE, BulkKind.APPROVE: _PLANNED}
_PLAN: Final = {
    BulkKind.PROPOSE: "NULL::bigint AS plan_id, NULL::int AS plan_version",
    BulkKind.APPROVE: "l.id AS plan_id, l.version AS plan_version",
}
_SUMS: Final = """
    p.base_currency AS currency, count(*)::int AS plans,
    sum((SELECT count(*) FROM plan_trades t WHERE t.plan_id = l.id))::int AS trades,
    trim_scale(sum((l.summary ->> 'bought')::numeric)) AS bought,
    trim_scale(sum((l.summary ->> 'sold')::numeric)) AS sold,
    trim_scale(sum((l.summary ->> 'fees')::numeric + (l.summary ->> 'spread')::numeric
        + coalesce((l.summary ->> 'impact')::numeric, 0))) AS costs,
    trim_scale(sum((l.summary -> 'tax' ->> 'estimated_tax')::numeric)) AS tax
"""
_FIELDS: Final = "b.id, b.public_id, b.owner_id, b.draft, b.status, b.actor, b.created_at, b.ended_at, b.result"


def _given(kind: BulkKind, which: BulkFilter, reach: Reach) -> list[object]:
    """Return the parameters of what is picked."""
    wanted = which.portfolio_ids
    portfolios = None if wanted is None else [ids.decode(ids.PORTFOLIO, one) for one in wanted]
    given: list[object] = [reach.owner_ids, portfolios, which.model, which.breached]
    if kind is BulkKind.APPROVE:
        given += [reach.proposed_in, which.turnover_at_most, which.cost_at_most, which.tax_at_most]
    return given


async def scan_missing(tx: Tx, reach: Reach, portfolio_ids: Sequence[str]) -> int | None:
    """Return the place of the first portfolio that is nobody's within reach, None where there is none such."""
    place: int | None = await tx.value(
        """
        SELECT min(n.place) FROM unnest($2::uuid[]) WITH ORDINALITY AS n (public_id, place)
        WHERE NOT EXISTS (
            SELECT FROM portfolios p
            WHERE p.public_id = n.public_id AND ($1::bigint[] IS NULL OR p.owner_id = ANY ($1))
        )
        """,
        reach.owner_ids,
        [ids.decode(ids.PORTFOLIO, one) for one in portfolio_ids],
    )
    return None if place is None else place - 1


async def scan_count(tx: Tx, draft: BulkDraft, reach: Reach, most: int) -> tuple[int, tuple[BulkTotal, ...]]:
    """Return how many portfolios meet a draft's filter now, and to approve, what their plans come to.

    They are counted up to one more than `most`; where there are so many, nothing is summed up.
    """
    given, picked = _given(draft.kind, draft.filter, reach), _PICKED[draft.kind]
    counted = f"SELECT count(*) FROM (SELECT {picked} LIMIT ${len(given) + 1}) AS m"
    count: int = await tx.value(counted, *given, most + 1)
    if draft.kind is BulkKind.PROPOSE or count > most:
        return count, ()
    rows = await tx.fetch(f"SELECT {_SUMS} {picked} GROUP BY p.base_currency ORDER BY p.base_currency", *given)
    return count, tuple(BulkTotal(**row) for row in rows)


async def save_bulk(owner_id: int, tx: Tx, uuid: UUID, draft: BulkDraft, actor: str, now: datetime) -> int:
    """Write a new bulk, without items yet, and return its row."""
    row_id: int = await tx.value(
        """
        INSERT INTO bulks (public_id, owner_id, kind, status, draft, actor, created_at)
        VALUES ($2, $1, $3, 'RUNNING', $4, $5, $6) RETURNING id
        """,
        owner_id,
        uuid,
        draft.kind.value,
        documents.dump(draft),
        actor,
        now,
    )
    return row_id


async def scan_pin(tx: Tx, bulk_row_id: int, draft: BulkDraft, reach: Reach, most: int) -> int:
    """Write the portfolios that meet a bulk's filter now as its items, in the order of rows; return how many.

    They are at most one more than `most`.
    """
    given = _given(draft.kind, draft.filter, reach)
    count: int = await tx.value(
        f"""
        WITH pinned AS (
            INSERT INTO bulk_items (bulk_id, place, owner_id, portfolio_id, plan_id, plan_version)
            SELECT ${len(given) + 1}, row_number() OVER (ORDER BY m.id), m.owner_id, m.id, m.plan_id, m.plan_version
            FROM (
                SELECT p.id, p.owner_id, {_PLAN[draft.kind]} {_PICKED[draft.kind]}
                ORDER BY p.id LIMIT ${len(given) + 2}
            ) m RETURNING place
        )
        SELECT count(*) FROM pinned
        """,
        *given,
        bulk_row_id,
        most + 1,
    )
    return count


async def load_bulk(owner_id: int, tx: Tx, bulk_id: str) -> Bulk | None:
    """Return a bulk by its public id, None when this owner began none such."""
    found = await _load(owner_id, tx, "b.public_id = $2", ids.decode(ids.BULK, bulk_id))
    return found[0] if found else None


async def load_bulks(owner_id: int, tx: Tx, first: int, before: str | None = None) -> list[Bulk]:
    """Return an owner's bulks, newest first, those before one by its public id when it is given."""
    return await _load(
        owner_id,
        tx,
        """
        ($2::uuid IS NULL OR b.id < (SELECT id FROM bulks WHERE owner_id = $1 AND public_id = $2))
        ORDER BY b.id DESC LIMIT $3
        """,
        ids.decode(ids.BULK, before) if before else None,
        first,
    )


async def _load(owner_id: int, tx: Tx, where: str, *arguments: object) -> list[Bulk]:
    rows = await tx.fetch(f"SELECT {_FIELDS} FROM bulks b WHERE b.owner_id = $1 AND {where}", owner_id, *arguments)
    found = await _results(owner_id, tx, [row["id"] for row in rows if row["result"] is None])
    known = {row["id"]: documents.load(_Result, row["result"]) for row in rows if row["result"]}
    return [_bulk_of(row, (found | known)[row["id"]]) for row in rows]


async def _results(owner_id: int, tx: Tx, keys: Sequence[int]) -> dict[int, _Result]:
    """Add up what has become of bulks so far, by their rows."""
    if not keys:
        return {}
    counts = await _counts(owner_id, tx, keys)
    totals = await _totals(owner_id, tx, keys)
    return {key: _Result(counts[key], tuple(totals[key])) for key in keys}


async def _counts(owner_id: int, tx: Tx, keys: Sequence[int]) -> dict[int, dict[ItemStatus, int]]:
    rows = await tx.fetch(
        """
        SELECT b.id, i.status, count(*) FROM bulks b JOIN bulk_items i ON i.bulk_id = b.id
        WHERE b.owner_id = $1 AND b.id = ANY ($2) GROUP BY b.id, i.status
        """,
        owner_id,
        keys,
    )
    found: dict[int, dict[ItemStatus, int]] = defaultdict(dict)
    for row in rows:
        found[row["id"]][ItemStatus(row["status"])] = row["count"]
    return {key: {status: found[key][status] for status in ItemStatus if status in found[key]} for key in keys}


async def _totals(owner_id: int, tx: Tx, keys: Sequence[int]) -> dict[int, list[BulkTotal]]:
    rows = await tx.fetch(
        f"""
        SELECT b.id, {_SUMS} FROM bulks b JOIN bulk_items i ON i.bulk_id = b.id
            JOIN plans l ON l.id = i.plan_id JOIN portfolios p ON p.id = i.portfolio_id
        WHERE b.owner_id = $1 AND b.id = ANY ($2) AND i.status IN ('READY', 'APPROVED')
        GROUP BY b.id, p.base_currency ORDER BY p.base_currency
        """,
        owner_id,
        keys,
    )
    found: dict[int, list[BulkTotal]] = defaultdict(list)
    for row in rows:
        sums = dict(row)
        found[sums.pop("id")].append(BulkTotal(**sums))
    return found


def _bulk_of(row: asyncpg.Record, result: _Result) -> Bulk:
    return Bulk(
        id=ids.encode(ids.BULK, row["public_id"]),
        draft=documents.load(BulkDraft, row["draft"]),
        status=BulkStatus(row["status"]),
        actor=row["actor"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        counts=result.counts,
        totals=result.totals,
    )


async def find_bulk(owner_id: int, tx: Tx, bulk_id: str, *, lock: bool = False) -> BulkHandle | None:
    """Return a bulk of an owner; with `lock` nobody else ends it until the transaction does."""
    row = await tx.row(
        f"""
        SELECT {_FIELDS}, o.issuer, o.subject FROM bulks b JOIN owners o ON o.id = b.owner_id
        WHERE b.owner_id = $1 AND b.public_id = $2 {"FOR NO KEY UPDATE OF b" if lock else ""}
        """,
        owner_id,
        ids.decode(ids.BULK, bulk_id),
    )
    if row is None:
        return None
    return BulkHandle(
        id=row["id"],
        public_id=bulk_id,
        owner_id=owner_id,
        owner=(row["issuer"], row["subject"]),
        draft=documents.load(BulkDraft, row["draft"]),
        status=BulkStatus(row["status"]),
        actor=row["actor"],
        ended=row["ended_at"] is not None,
    )


async def cancel_bulk(owner_id: int, tx: Tx, bulk: BulkHandle, now: datetime) -> None:
    """Cancel a bulk that is locked, and what nobody has begun of it; plans that are being made are left to the caller.

    Nobody begins anything of it any more: whoever would looks at its item under a lock.
    """
    await tx.execute("UPDATE bulks SET status = 'CANCELLED' WHERE owner_id = $1 AND id = $2", owner_id, bulk.id)
    await tx.execute(
        """
        UPDATE bulk_items i SET status = 'CANCELLED', ended_at = $3 FROM bulks b
        WHERE b.owner_id = $1 AND b.id = $2 AND i.bulk_id = b.id AND i.status = 'WAITING'
            AND (i.plan_id IS NULL OR b.kind = 'APPROVE')
        """,
        owner_id,
        bulk.id,
        now,
    )


async def end_bulk(owner_id: int, tx: Tx, bulk: BulkHandle, now: datetime) -> bool:
    """End a bulk of which no item waits any more, and tell it; False where one does, or it has ended before."""
    status = await tx.value(
        """
        UPDATE bulks b SET ended_at = $3, status = CASE WHEN b.status = 'RUNNING' THEN 'DONE' ELSE b.status END
        WHERE b.owner_id = $1 AND b.id = $2 AND b.ended_at IS NULL
            AND NOT EXISTS (SELECT FROM bulk_items i WHERE i.bulk_id = b.id AND i.status = 'WAITING')
        RETURNING b.status
        """,
        owner_id,
        bulk.id,
        now,
    )
    if status is None:
        return False
    result = (await _results(owner_id, tx, [bulk.id]))[bulk.id]
    await tx.execute(
        "UPDATE bulks SET result = $3 WHERE owner_id = $1 AND id = $2", owner_id, bulk.id, documents.dump(result)
    )
    await tell_bulk(owner_id, tx, bulk.public_id, now)
    return True


async def tell_bulk(owner_id: int, tx: Tx, bulk_id: str, now: datetime) -> None:
    """Tell who follows a bulk that it has got further; how far is in its items."""
    await events.append_event(owner_id, tx, None, "bulk", bulk_id, {}, now)


async def scan_unfinished_bulks(tx: Tx, limit: int) -> list[tuple[int, str]]:
    """Return owner and public id of bulks that have not ended, oldest first."""
    rows = await tx.fetch("SELECT owner_id, public_id FROM bulks WHERE ended_at IS NULL ORDER BY id LIMIT $1", limit)
    return [(row["owner_id"], ids.encode(ids.BULK, row["public_id"])) for row in rows]
