"""Accounts: in which portfolio each is, its broker, who works its orders, and how far back its past is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from app.core import ids
from app.core.portfolio import BrokerKind
from app.store import events, history, plans
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio


async def load_place(owner_id: int, tx: Tx, account_id: str) -> tuple[str, str] | None:
    """Return the public id of the portfolio an account is in and its name there, None when this owner has none such."""
    row = await tx.row(
        """
        SELECT p.public_id, a.name FROM accounts a JOIN portfolios p ON p.id = a.portfolio_id
        WHERE a.owner_id = $1 AND a.public_id = $2
        """,
        owner_id,
        ids.decode(ids.ACCOUNT, account_id),
    )
    return (ids.encode(ids.PORTFOLIO, row["public_id"]), row["name"]) if row else None


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What to change of an account, None what stays; an empty broker is none."""

    broker: str | None = None
    execution: BrokerKind | None = None


async def change_account(
    owner_id: int,
    tx: Tx,
    portfolio: StoredPortfolio,
    account_id: str,
    change: AccountChange,
    actor: str,
    now: datetime,
) -> bool:
    """Change an account of a portfolio that is locked; plans made before are superseded.

    True when somebody else works its orders from now on: they have not said yet what they hold.
    """
    moved = await tx.value(
        """
        UPDATE accounts a SET execution = coalesce($4, b.execution),
            broker_id = CASE WHEN $3::text IS NULL THEN b.broker_id ELSE (SELECT id FROM brokers WHERE name = $3) END,
            reconciled_at = CASE WHEN coalesce($4, b.execution) = b.execution THEN b.reconciled_at END,
            asked_at = CASE WHEN coalesce($4, b.execution) = b.execution THEN b.asked_at END
        FROM accounts b WHERE a.owner_id = $1 AND a.public_id = $2 AND b.id = a.id
        RETURNING a.execution <> b.execution
        """,
        owner_id,
        ids.decode(ids.ACCOUNT, account_id),
        change.broker,
        change.execution.value if change.execution else None,
    )
    version = await tx.value(
        """
        UPDATE portfolios SET version = version + 1, updated_at = $3 WHERE owner_id = $1 AND id = $2 RETURNING version
        """,
        owner_id,
        portfolio.id,
        now,
    )
    await plans.supersede_open_plans(owner_id, tx, portfolio.id, actor, now, queued=False)
    told = {"broker": change.broker, "execution": change.execution}
    document = {"version": version} | {name: value for name, value in told.items() if value is not None}
    await history.append_history(owner_id, tx, portfolio.id, "ACCOUNT_UPDATED", account_id, actor, now, document)
    await events.append_event(owner_id, tx, portfolio.id, "portfolio", portfolio.public_id, {"version": version}, now)
    return bool(moved)


async def save_history_from(owner_id: int, tx: Tx, portfolio_row_id: int, days: Mapping[str, date]) -> None:
    """Say from which day on the purchases and sales of accounts, by their names, are all recorded."""
    await tx.execute(
        """
        UPDATE accounts a SET history_from = n.day FROM unnest($3::text[], $4::date[]) AS n (name, day)
        WHERE a.owner_id = $1 AND a.portfolio_id = $2 AND a.name = n.name
        """,
        owner_id,
        portfolio_row_id,
        list(days),
        list(days.values()),
    )
