"""What happened: the audit chain of each portfolio.

The database numbers the chain's lines and links each to the one before: hash = sha256(previous hash + canonical text).
The canonical text says all that the line says, so that no column can be edited unnoticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import asyncpg
import orjson

from app.store import documents
from app.store.db import Tx

FIRST_HASH: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a portfolio's history. `subject` is the public id of what changed, `document` how it is now."""

    sequence: int
    kind: str
    subject: str
    actor: str
    at: datetime
    document: Mapping[str, Any]
    previous_hash: str
    hash: str


async def append_history(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    kind: str,
    subject: str,
    actor: str,
    at: datetime,
    document: Mapping[str, object],
) -> None:
    """Add a line to the audit chain of a portfolio; it is locked until the end of the transaction."""
    content = {"kind": kind, "subject": subject, "actor": actor, "at": at, "document": document}
    canonical = orjson.dumps(documents.to_document(content), option=orjson.OPT_SORT_KEYS).decode()
    await tx.execute(
        """
        INSERT INTO rebalance_history (owner_id, portfolio_id, kind, subject, actor, at, canonical)
        SELECT owner_id, id, $3, $4, $5, $6, $7 FROM portfolios WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        portfolio_row_id,
        kind,
        subject,
        actor,
        at,
        canonical,
    )


async def load_history(owner_id: int, tx: Tx, portfolio_row_id: int, first: int, after_sequence: int = 0) -> list[Line]:
    """Return lines of a portfolio's history after one of them, oldest first."""
    return [_line_of(row) for row in await _rows(owner_id, tx, portfolio_row_id, first, after_sequence)]


async def verify_history(owner_id: int, tx: Tx, portfolio_row_id: int, page: int = 1000) -> int | None:
    """Return the sequence of the first line that is missing, edited or out of place, None when the chain is whole."""
    expected, previous = 1, FIRST_HASH
    while rows := await _rows(owner_id, tx, portfolio_row_id, page, expected - 1):
        for row in rows:
            if row["sequence"] != expected or row["previous_hash"] != previous or not _is_sound(row):
                return expected
            expected, previous = expected + 1, row["hash"]
    return None


async def _rows(owner_id: int, tx: Tx, portfolio_row_id: int, first: int, after_sequence: int) -> list[asyncpg.Record]:
    return await tx.fetch(
        """
        SELECT sequence, kind, subject, actor, at, previous_hash, hash, canonical FROM rebalance_history
        WHERE owner_id = $1 AND portfolio_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4
        """,
        owner_id,
        portfolio_row_id,
        after_sequence,
        first,
    )


def _line_of(row: asyncpg.Record) -> Line:
    document = orjson.loads(row["canonical"])["document"]
    return Line(
        row["sequence"],
        row["kind"],
        row["subject"],
        row["actor"],
        row["at"],
        document,
        row["previous_hash"],
        row["hash"],
    )


def _is_sound(row: asyncpg.Record) -> bool:
    content = orjson.loads(row["canonical"])
    told = (content["kind"], content["subject"], content["actor"], datetime.fromisoformat(content["at"]))
    link = sha256((row["previous_hash"] + row["canonical"]).encode()).hexdigest()
    return link == row["hash"] and told == (row["kind"], row["subject"], row["actor"], row["at"])
