"""Portfolios that a plan is to be proposed for without anybody asking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.core import ids
from app.core.plan import MONITOR
from app.store.db import Tx


@dataclass(frozen=True, slots=True)
class Due:
    """A portfolio that a plan is due for."""

    owner_id: int
    row_id: int
    portfolio_id: str


async def scan_due_proposals(
    tx: Tx, now: datetime, limit: int, portfolio_row_ids: Sequence[int] | None = None
) -> list[Due]:
    """Return active portfolios, of those given or of all, whose policy and alerts ask for a plan now.

    There is an unresolved DRIFT alert at CRITICAL, and no plan was made since it was raised or last escalated; no plan
    is open; and the last one that the monitor asked for, whatever became of it, and the end of the last one that was
    executed, whoever asked for it, are longer ago than the policy's cooldown.
    """
    rows = await tx.fetch(
        """
        SELECT p.id, p.owner_id, p.public_id FROM portfolios p
        WHERE p.status = 'ACTIVE' AND (p.policy->>'auto_propose')::boolean
            AND ($4::bigint[] IS NULL OR p.id = ANY ($4))
            AND EXISTS (
                SELECT FROM alerts a
                WHERE a.portfolio_id = p.id AND a.kind = 'DRIFT' AND a.severity = 'CRITICAL' AND a.status <> 'RESOLVED'
                    AND NOT EXISTS (
                        SELECT FROM plans l WHERE l.portfolio_id = p.id AND l.status <> 'FAILED'
                            AND l.created_at >= coalesce(a.escalated_at, a.raised_at)
                    )
            )
            AND NOT EXISTS (
                SELECT FROM plans l WHERE l.portfolio_id = p.id AND (
                    l.status IN ('QUEUED', 'COMPUTING', 'READY', 'APPROVED', 'EXECUTING') OR (
                        CASE WHEN l.status IN ('COMPLETED', 'PARTIAL') THEN l.ended_at
                            WHEN l.requested_by = $2 THEN l.created_at END
                        > $1::timestamptz - (p.policy->>'cooldown_s')::int * interval '1 second'
                    )
                )
            )
        ORDER BY p.id LIMIT $3
        """,
        now,
        MONITOR,
        limit,
        portfolio_row_ids,
    )
    return [Due(row["owner_id"], row["id"], ids.encode(ids.PORTFOLIO, row["public_id"])) for row in rows]
