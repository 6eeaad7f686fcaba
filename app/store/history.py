# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""What happened: the audit chain of each portfolio.

The database numbers the chain's lines and links each to the one before: hash = sha256(previous hash + canonical text).
The canonical text says all that the line says, so that no column can be edited unnoticed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import asyncpg
import orjson

from app.core import ids
from app.store import documents
from app.store.db import Tx

FIRST_HASH: Final = "0" * 64
_COLUMNS: Final = "sequence, kind, subject, actor, at, previous_hash, hash, canonical"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a portfolio's history. `subject` is the public id of what changed, `document` how it is now.

    `canonical` is all of it as text, of which, after the hash of the line before, `hash` is the sha256.
    """

    sequence: int
    kind: str
    subject: str
    actor: str
    at: datetime
    document: Mapping[str, Any]
    previous_hash: str
    hash: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Chain:
    """How a chain stands: sound lines from the first on, the hash of the last of them, and the first that is not.

    `first_broken` is the place of a line that is missing, edited or out of place, None when the chain is whole.
    """

    lines: int
    last_hash: str
    first_broken: int | None = None


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
    await append_alike(owner_id, tx, [portfolio_row_id], kind, subject, actor, at, document)


async def append_alike(
    owner_id: int,
    tx: Tx,
    portfolio_row_ids: Sequence[int],
    kind: str,
    subject: str,
    actor: str,
    at: datetime,
    document: Mapping[str, object],
) -> None:
    """Add the same line to the audit chains of portfolios, in the order of rows: all of them are locked then."""
    content = {"kind": kind, "subject": subject, "actor": actor, "at": at, "document": document}
    canonical = orjson.dumps(documents.to_document(content), option=orjson.OPT_SORT_KEYS).decode()
    await tx.execute(
        """
        INSERT INTO rebalance_history (owner_id, portfolio_id, kind, subject, actor, at, canonical)
        SELECT owner_id, id, $3, $4, $5, $6, $7 FROM portfolios WHERE owner_id = $1 AND id = ANY ($2) ORDER BY id
        """,
        owner_id,
        portfolio_row_ids,
        kind,
        subject,
        actor,
        at,
        canonical,
    )


async def load_history(owner_id: int, tx: Tx, portfolio_row_id: int, first: int, after_sequence: int = 0) -> list[Line]:
    """Return lines of a portfolio's history after one of them, oldest first."""
    return [_line_of(row) for row in await _rows(owner_id, tx, portfolio_row_id, first, after_sequence)]


async def load_latest(
    owner_id: int, tx: Tx, portfolio_row_id: int, first: int, before_sequence: int | None
) -> list[Line]:
    """Return lines of a portfolio's history, newest first, those before one of them where it is given."""
    rows = await tx.fetch(
        f"""
        SELECT {_COLUMNS} FROM rebalance_history
        WHERE owner_id = $1 AND portfolio_id = $2 AND ($3::bigint IS NULL OR sequence < $3)
        ORDER BY sequence DESC LIMIT $4
        """,
        owner_id,
        portfolio_row_id,
        before_sequence,
        first,
    )
    return [_line_of(row) for row in rows]


async def verify_history(owner_id: int, tx: Tx, portfolio_row_id: int, page: int = 1000) -> int | None:
    """Return the sequence of the first line that is missing, edited or out of place, None when the chain is whole."""
    return (await check_history(owner_id, tx, portfolio_row_id, page)).first_broken


async def check_history(owner_id: int, tx: Tx, portfolio_row_id: int, page: int = 1000) -> Chain:
    """Go through the chain of a portfolio up to its end, or to the first line that is broken."""
    links = _Links()
    while not links.broken and (rows := await _rows(owner_id, tx, portfolio_row_id, page, links.lines)):
        for row in rows:
            links.follow(row, owner_id)
    return links.chain()


async def scan_check_chains(
    tx: Tx,
    after: int,
    portfolios: int,
    *,
    owner: int | None = None,
    portfolio_id: str | None = None,
    page: int = 10_000,
) -> tuple[dict[str, Chain], int | None]:
    """Check the chains of the next portfolios by row, of all owners or of one, or of one portfolio.

    Returns them by public id, and the row to go on after, None at the end. Every portfolio has a first line: one
    without any is broken at 1. Lines of all of them together are read by the `page`.
    """
    wanted = ids.decode(ids.PORTFOLIO, portfolio_id) if portfolio_id else None
    if portfolio_id and wanted is None:
        return {}, None
    heads = await tx.fetch(
        """
        SELECT id, public_id, owner_id FROM portfolios
        WHERE id > $1 AND ($3::bigint IS NULL OR owner_id = $3) AND ($4::uuid IS NULL OR public_id = $4)
        ORDER BY id LIMIT $2
        """,
        after,
        portfolios,
        owner,
        wanted,
    )
    links = {head["id"]: _Links() for head in heads}
    owners = {head["id"]: head["owner_id"] for head in heads}
    last = (0, 0)
    while rows := await _scan_rows(tx, list(links), last, page):
        for row in rows:
            links[row["portfolio_id"]].follow(row, owners[row["portfolio_id"]])
        last = (rows[-1]["portfolio_id"], rows[-1]["sequence"])
    chains = {ids.encode(ids.PORTFOLIO, head["public_id"]): links[head["id"]].chain() for head in heads}
    return chains, heads[-1]["id"] if len(heads) == portfolios else None


class _Links:
    """A chain while it is gone through, line by line."""

    def __init__(self) -> None:
        self.lines, self.hash, self.broken = 0, FIRST_HASH, False

    def follow(self, row: asyncpg.Record, owner_id: int) -> None:
        """Take the next line; after one that is broken nothing can be said of those that follow."""
        if self.broken:
            return
        placed = row["sequence"] == self.lines + 1 and row["previous_hash"] == self.hash
        if placed and row["owner_id"] == owner_id and _is_sound(row):
            self.lines, self.hash = self.lines + 1, row["hash"]
        else:
            self.broken = True

    def chain(self) -> Chain:
        broken = self.broken or not self.lines
        return Chain(self.lines, self.hash, self.lines + 1 if broken else None)


async def _scan_rows(tx: Tx, keys: list[int], after: tuple[int, int], first: int) -> list[asyncpg.Record]:
    return await tx.fetch(
        f"""
        SELECT portfolio_id, owner_id, {_COLUMNS} FROM rebalance_history
        WHERE portfolio_id = ANY ($1) AND (portfolio_id, sequence) > ($2, $3)
        ORDER BY portfolio_id, sequence LIMIT $4
        """,
        keys,
        *after,
        first,
    )


async def _rows(owner_id: int, tx: Tx, portfolio_row_id: int, first: int, after_sequence: int) -> list[asyncpg.Record]:
    return await tx.fetch(
        f"""
        SELECT owner_id, {_COLUMNS} FROM rebalance_history
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
        row["canonical"],
    )


def _is_sound(row: asyncpg.Record) -> bool:
    if sha256((row["previous_hash"] + row["canonical"]).encode()).hexdigest() != row["hash"]:
        return False
    try:
        content = orjson.loads(row["canonical"])
        told = (content["kind"], content["subject"], content["actor"], datetime.fromisoformat(content["at"]))
    except (ValueError, KeyError, TypeError):  # the text was not written by us
        return False
    return told == (row["kind"], row["subject"], row["actor"], row["at"])
