"""Owners: who rows belong to. A token's issuer and subject together name one; subject alone may be anybody's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import ids
from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class Owner:
    """An authenticated principal. `id` is the row, `public_id` what is shown."""

    id: int
    public_id: str
    issuer: str
    subject: str


async def find_or_create(tx: Tx, issuer: str, subject: str, now: datetime, new_uuid: Callable[[], UUID]) -> Owner:
    """Return the owner of this issuer and subject; the first sight of one makes the row and its taxpayer group."""
    sql = "SELECT id, public_id FROM owners WHERE issuer = $1 AND subject = $2"
    row = await tx.row(sql, issuer, subject)
    if row is None:
        await tx.execute(
            """
            WITH new AS (
                INSERT INTO owners (public_id, issuer, subject, created_at) VALUES ($1, $2, $3, $4)
                ON CONFLICT (issuer, subject) DO NOTHING RETURNING id
            )
            INSERT INTO taxpayer_groups (owner_id) SELECT id FROM new
            """,
            new_uuid(),
            issuer,
            subject,
            now,
        )
        row = await tx.row(sql, issuer, subject)
    assert row is not None
    return Owner(row["id"], ids.encode(ids.OWNER, row["public_id"]), issuer, subject)


async def find_rows(tx: Tx, named: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the rows of owners by issuer and subject, of those that were ever seen."""
    rows = await tx.fetch(
        """
        SELECT o.id, o.issuer, o.subject
        FROM owners o JOIN unnest($1::text[], $2::text[]) AS n (issuer, subject) USING (issuer, subject)
        """,
        [issuer for issuer, _ in named],
        [subject for _, subject in named],
    )
    return {(row["issuer"], row["subject"]): row["id"] for row in rows}
