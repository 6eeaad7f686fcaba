"""What plans were made from, as it is kept with each: a document of core values, deflated.

They are a part of the audit trail: never changed, and gone only with their plan. The history tells the sha256 of the
bytes, and `inputs_digest`, that of the values in them.

Measured on the machine of the tests: 3 kB for 40 lots in 12 assets, 19 kB for 500 lots in 25, 218 kB for 5,000 in 500;
closing prices, kept only where a band in force rests on volatility, are 3 bytes each with two decimals.
"""

import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson

from app.core import ids
from app.core.replay import Head, Inputs
from app.store import documents
from app.store.db import Tx

# The usual one: 9 takes three times as long for five percent.
_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class Kept:
    """The stored inputs of a plan, packed; their digest as its row tells it, and both digests as the history does."""

    packed: bytes
    digest: str
    told_digest: str | None
    told_seal: str | None


def pack(inputs: Inputs) -> bytes:
    """Return inputs as the bytes that are kept."""
    return zlib.compress(documents.dump(inputs).encode(), _LEVEL)


def seal(packed: bytes) -> str:
    """Return what the history tells of the bytes that are kept, to the last of them: their sha256, in hexadecimal."""
    return sha256(packed).hexdigest()


def head_of(packed: bytes) -> Head:
    """Return the head alone, which can be read whatever version made the plan."""
    return documents.from_document(Head, orjson.loads(zlib.decompress(packed))["head"])


def unpack(packed: bytes) -> Inputs:
    """Return inputs equal to those that were packed; only of the shape that is this version's."""
    return documents.load(Inputs, zlib.decompress(packed).decode())


async def load_inputs(owner_id: int, tx: Tx, plan_id: str) -> Kept | None:
    """Return what a plan was made from; None for one that is not made, or was made before inputs were kept."""
    row = await tx.row(
        """
        SELECT l.inputs, l.inputs_digest, h.document->>'inputs_digest' AS told_digest,
            h.document->>'inputs' AS told_seal
        FROM plans l LEFT JOIN LATERAL (
            SELECT canonical::jsonb->'document' AS document FROM rebalance_history
            WHERE owner_id = $1 AND portfolio_id = l.portfolio_id AND subject = $3
                AND kind IN ('PLAN_READY', 'PLAN_NOTHING_TO_DO')
            ORDER BY sequence LIMIT 1
        ) h ON true
        WHERE l.owner_id = $1 AND l.public_id = $2 AND l.inputs IS NOT NULL
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
        plan_id,
    )
    if row is None:
        return None
    return Kept(row["inputs"], row["inputs_digest"], row["told_digest"], row["told_seal"])


async def scan_owner_of(tx: Tx, plan_id: str) -> int | None:
    """Return whose plan it is; None when there is no such plan."""
    uuid = ids.decode(ids.PLAN, plan_id)
    found: int | None = await tx.value("SELECT owner_id FROM plans WHERE public_id = $1", uuid)
    return found
