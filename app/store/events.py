# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The event log: what subscribers follow, in the order of commits.

An event is seen only once every transaction that began writing before its own has ended (xid below the snapshot's
xmin). Until then a smaller (xid, id) might still appear, and a reader past it would never see it. So a cursor is
(xid, id) of the last event seen, and a reader that goes on from it misses nothing and sees nothing twice.
Writers hold back all readers: a transaction that writes events stays short.

After a restore from a dump the transaction numbers start anew, and so do cursors.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from app.core import ids
from app.core.errors import InvalidInput
from app.store import documents
from app.store.db import Tx

_PLACE: Final = re.compile(r"([0-9]{1,19})\.([0-9]{1,18})")
_VISIBLE: Final = "xid < pg_snapshot_xmin(pg_current_snapshot())"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to what an owner has. `subject` is the public id of the alert, plan or other thing.

    Without a portfolio it is about all of the owner's.
    """

    cursor: str
    portfolio_id: str | None
    topic: str
    subject: str
    payload: Mapping[str, Any]
    created_at: datetime


async def append_event(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int | None,
    topic: str,
    subject: str,
    payload: Mapping[str, object],
    now: datetime,
) -> None:
    """Add an event, without a portfolio where it is about all of the owner's; it is seen after the commit."""
    await append_events(owner_id, tx, portfolio_row_id, topic, [(subject, payload)], now)


async def append_events(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int | None,
    topic: str,
    events: Sequence[tuple[str, Mapping[str, object]]],
    now: datetime,
) -> None:
    """Add events about several subjects, in the order given."""
    await tx.execute(
        """
        INSERT INTO outbox (owner_id, portfolio_id, topic, subject, payload, created_at)
        SELECT $1, $2, $3, subject, payload, $6 FROM unnest($4::text[], $5::jsonb[]) AS e (subject, payload)
        """,
        owner_id,
        portfolio_row_id,
        topic,
        [subject for subject, _ in events],
        [documents.dump(payload) for _, payload in events],
        now,
    )


async def load_events(
    owner_id: int, tx: Tx, after: str | None, limit: int, portfolio_ids: Sequence[str] | None = None
) -> list[Event]:
    """Return an owner's events after a cursor, in the order of commits; from the beginning when there is none.

    Those about all of the owner's portfolios come whichever portfolios are asked for.
    """
    xid, event_id = ("0", 0) if after is None else _place_of(after)
    rows = await tx.fetch(
        f"""
        SELECT o.xid::text AS xid, o.id, p.public_id, o.topic, o.subject, o.payload, o.created_at
        FROM outbox o LEFT JOIN portfolios p ON p.id = o.portfolio_id
        WHERE o.owner_id = $1 AND (o.xid, o.id) > ($2::text::xid8, $3) AND o.{_VISIBLE}
            AND ($4::uuid[] IS NULL OR o.portfolio_id IS NULL OR p.public_id = ANY ($4))
        ORDER BY o.xid, o.id LIMIT $5
        """,
        owner_id,
        xid,
        event_id,
        None if portfolio_ids is None else [ids.decode(ids.PORTFOLIO, one) for one in portfolio_ids],
        limit,
    )
    return [
        Event(
            _cursor_of(row["xid"], row["id"]),
            ids.encode(ids.PORTFOLIO, row["public_id"]) if row["public_id"] else None,
            row["topic"],
            row["subject"],
            orjson.loads(row["payload"]),
            row["created_at"],
        )
        for row in rows
    ]


async def is_past(tx: Tx, cursor: str) -> bool:
    """Say whether this database can have given out a cursor: after a restore from a dump it knows none of before."""
    xid, _ = _place_of(cursor)
    return bool(await tx.value("SELECT $1::text::xid8 <= pg_snapshot_xmax(pg_current_snapshot())", xid))


async def gone_before(tx: Tx, cursor: str) -> datetime | None:
    """Return until when events are gone, by the wall clock, if a cursor lies among them; None while none is missing."""
    at: datetime | None = await tx.value(
        "SELECT at FROM outbox_marks WHERE name = 'trimmed' AND (xid, event) > ($1::text::xid8, $2)", *_place_of(cursor)
    )
    return at


async def current_cursor(tx: Tx) -> str:
    """Return a cursor that everything seen by now lies before, and everything that will be seen lies after."""
    return _cursor_of(await tx.value("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"), 0)


async def relay_owners_since(tx: Tx, cursor: str) -> tuple[set[int], str, bool]:
    """Return the owners with events after a cursor, the cursor now, and whether more is committed but not seen yet."""
    xid, event_id = _place_of(cursor)
    row = await tx.row(
        f"""
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
            (SELECT array_agg(DISTINCT owner_id) FROM outbox
                WHERE (xid, id) > ($1::text::xid8, $2) AND {_VISIBLE}) AS owners,
            EXISTS (SELECT FROM outbox WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())) AS pending
        """,
        xid,
        event_id,
    )
    assert row is not None
    return set(row["owners"] or ()), _cursor_of(row["xmin"], 0), row["pending"]


async def relay_assets_since(tx: Tx, cursor: str) -> set[str]:
    """Return the assets, by public id, with a price that was written after a cursor; one may come up again once."""
    rows = await tx.fetch(
        "SELECT a.public_id FROM prices p JOIN assets a ON a.id = p.asset_id WHERE p.xid >= $1::text::xid8",
        _place_of(cursor)[0],
    )
    return {ids.encode(ids.ASSET, row["public_id"]) for row in rows}


def _cursor_of(xid: str, event_id: int) -> str:
    return urlsafe_b64encode(f"{xid}.{event_id}".encode()).decode().rstrip("=")


def _place_of(cursor: str) -> tuple[str, int]:
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    place = _PLACE.fullmatch(text)
    if not place:
        raise InvalidInput("the cursor is not one that was given out here", ["after"])
    return place[1], int(place[2])
