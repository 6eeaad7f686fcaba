"""Halts of trading: of one portfolio, by its owner, and of all, by operators. While one lasts no order is sent.

Ending one, and beginning it, makes the plans that it concerns due at once.
"""

from dataclasses import dataclass
from datetime import datetime

from app.core import ids
from app.store import events, history
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio


@dataclass(frozen=True, slots=True)
class TradingHalt:
    """Whether trading is halted for all: since when, by whom and why; None and empty while it is not."""

    halted_at: datetime | None
    halted_by: str = ""
    reason: str = ""


async def halt_portfolio(
    owner_id: int, tx: Tx, portfolio: StoredPortfolio, reason: str, *, actor: str, now: datetime
) -> list[str]:
    """Halt a portfolio that is locked; return the plans, by public id, whose orders are to be cancelled."""
    return await _change(owner_id, tx, portfolio, now, "PORTFOLIO_HALTED", reason, actor, now)


async def resume_portfolio(
    owner_id: int, tx: Tx, portfolio: StoredPortfolio, *, actor: str, now: datetime
) -> list[str]:
    """End the halt of a portfolio that is locked; return the plans, by public id, that go on."""
    return await _change(owner_id, tx, portfolio, None, "PORTFOLIO_RESUMED", "", actor, now)


async def _change(
    owner_id: int,
    tx: Tx,
    portfolio: StoredPortfolio,
    halted_at: datetime | None,
    kind: str,
    reason: str,
    actor: str,
    now: datetime,
) -> list[str]:
    """Write a halt or its end; nothing where it is so already."""
    if (halted_at is None) is (portfolio.halted_at is None):
        return []
    await tx.execute(
        "UPDATE portfolios SET halted_at = $3, updated_at = $4 WHERE owner_id = $1 AND id = $2",
        owner_id,
        portfolio.id,
        halted_at,
        now,
    )
    document = {"halted_at": halted_at, "reason": reason, "before": {"halted_at": portfolio.halted_at}}
    await history.append_history(owner_id, tx, portfolio.id, kind, portfolio.public_id, actor, now, document)
    payload = {"version": portfolio.version, "halted": halted_at is not None}
    await events.append_event(owner_id, tx, portfolio.id, "portfolio", portfolio.public_id, payload, now)
    rows = await tx.fetch(
        """
        UPDATE plans SET wake_at = $3
        WHERE owner_id = $1 AND portfolio_id = $2 AND status IN ('APPROVED', 'EXECUTING') RETURNING public_id
        """,
        owner_id,
        portfolio.id,
        now,
    )
    return [ids.encode(ids.PLAN, row["public_id"]) for row in rows]


async def load_trading_halt(tx: Tx) -> TradingHalt:
    """Return whether trading is halted for all."""
    row = await tx.row("SELECT halted_at, halted_by, reason FROM trading_halt")
    assert row is not None, "the migration writes the row"
    return TradingHalt(row["halted_at"], row["halted_by"], row["reason"])


async def scan_halt_all(tx: Tx, reason: str, *, actor: str, now: datetime) -> TradingHalt:
    """Halt trading for all, and return how it is: who halted first, and why, stays."""
    await tx.execute(
        "UPDATE trading_halt SET halted_at = $1, halted_by = $2, reason = $3 WHERE halted_at IS NULL",
        now,
        actor,
        reason,
    )
    return await load_trading_halt(tx)


async def scan_resume_all(tx: Tx) -> TradingHalt:
    """End the halt for all."""
    await tx.execute("UPDATE trading_halt SET halted_at = NULL, halted_by = '', reason = ''")
    return await load_trading_halt(tx)


async def scan_wake_all(tx: Tx, now: datetime) -> list[tuple[int, str]]:
    """Make every plan that is executed due; return owner and public id of each. A transaction of its own."""
    rows = await tx.fetch(
        """
        UPDATE plans SET wake_at = $1 WHERE id IN (
            SELECT id FROM plans WHERE status IN ('APPROVED', 'EXECUTING') ORDER BY id FOR NO KEY UPDATE
        ) RETURNING owner_id, public_id
        """,
        now,
    )
    return [(row["owner_id"], ids.encode(ids.PLAN, row["public_id"])) for row in rows]
