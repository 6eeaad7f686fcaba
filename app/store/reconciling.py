"""Accounts that brokers work: when they were last reconciled, what the books say they hold, and the alert about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from app.core import ids
from app.core.order_values import BrokerKind
from app.store.db import Tx

EVERY: Final = timedelta(days=1)
RETRY: Final = timedelta(minutes=10)
"""How long a broker is left alone that did not answer, or whose account changed while it was asked."""


@dataclass(frozen=True, slots=True)
class DueAccount:
    """An account to reconcile, and the version of its portfolio before its broker is asked."""

    owner_id: int
    portfolio_id: str
    account_id: str
    name: str
    broker: BrokerKind
    version: int


async def scan_take_due(tx: Tx, now: datetime, limit: int) -> list[DueAccount]:
    """Take the accounts whose broker is to be asked: once a day, and after each plan; never while one is executed."""
    rows = await tx.fetch(
        """
        UPDATE accounts a SET asked_at = $1 FROM portfolios p
        WHERE p.id = a.portfolio_id AND a.id IN (
            SELECT c.id FROM accounts c
            WHERE c.execution <> 'MANUAL' AND (c.asked_at IS NULL OR c.asked_at <= $1::timestamptz - $3::interval)
                AND (
                    c.reconciled_at IS NULL OR c.reconciled_at <= $1::timestamptz - $2::interval
                    OR EXISTS (
                        SELECT FROM plans l WHERE l.portfolio_id = c.portfolio_id AND l.ended_at > c.reconciled_at
                    )
                )
                AND NOT EXISTS (
                    SELECT FROM plans l
                    WHERE l.portfolio_id = c.portfolio_id AND l.status IN ('APPROVED', 'EXECUTING')
                )
            ORDER BY c.id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
        )
        RETURNING a.owner_id, a.public_id, a.name, a.execution, p.public_id AS portfolio_public_id, p.version
        """,
        now,
        EVERY,
        RETRY,
        limit,
    )
    return [
        DueAccount(
            row["owner_id"],
            ids.encode(ids.PORTFOLIO, row["portfolio_public_id"]),
            ids.encode(ids.ACCOUNT, row["public_id"]),
            row["name"],
            BrokerKind(row["execution"]),
            row["version"],
        )
        for row in rows
    ]


async def load_units(owner_id: int, tx: Tx, account_id: str) -> dict[str, Decimal]:
    """Return the units that an account holds by the books, by symbol."""
    rows = await tx.fetch(
        """
        SELECT s.symbol, trim_scale(sum(l.quantity)) AS units
        FROM tax_lots l JOIN accounts c ON c.id = l.account_id JOIN assets s ON s.id = l.asset_id
        WHERE l.owner_id = $1 AND c.owner_id = $1 AND c.public_id = $2 GROUP BY s.symbol
        """,
        owner_id,
        ids.decode(ids.ACCOUNT, account_id),
    )
    return {row["symbol"]: row["units"] for row in rows}


async def is_executing(owner_id: int, tx: Tx, portfolio_row_id: int) -> bool:
    """Say whether a plan of a portfolio that is locked is being executed."""
    found = await tx.value(
        """
        SELECT true FROM plans
        WHERE owner_id = $1 AND portfolio_id = $2 AND status IN ('APPROVED', 'EXECUTING')
        """,
        owner_id,
        portfolio_row_id,
    )
    return bool(found)


async def save_reconciled(owner_id: int, tx: Tx, account_id: str, now: datetime) -> None:
    """Note when the broker of an account said what it holds."""
    await tx.execute(
        "UPDATE accounts SET reconciled_at = $3 WHERE owner_id = $1 AND public_id = $2",
        owner_id,
        ids.decode(ids.ACCOUNT, account_id),
        now,
    )
