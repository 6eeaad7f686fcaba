"""Where an account is found: in which portfolio, under which name; its broker, and how far back its past is known."""

from collections.abc import Mapping
from datetime import date, datetime

from app.core import ids
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


async def change_broker(
    owner_id: int, tx: Tx, portfolio: StoredPortfolio, account_id: str, broker: str, actor: str, now: datetime
) -> None:
    """Name the broker of an account of a portfolio that is locked, or none; plans made before are superseded."""
    await tx.execute(
        """
        UPDATE accounts SET broker_id = (SELECT id FROM brokers WHERE name = $3) WHERE owner_id = $1 AND public_id = $2
        """,
        owner_id,
        ids.decode(ids.ACCOUNT, account_id),
        broker,
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
    document = {"version": version, "broker": broker}
    await history.append_history(owner_id, tx, portfolio.id, "ACCOUNT_UPDATED", account_id, actor, now, document)
    await events.append_event(owner_id, tx, portfolio.id, "portfolio", portfolio.public_id, {"version": version}, now)


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
