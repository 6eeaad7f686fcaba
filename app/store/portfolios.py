# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Portfolios as rows: their head, their policy, and the lock that orders every change to what is theirs.

Locks are taken in the order portfolio, plan, history.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.errors import NotFound, VersionConflict
from app.core.policy import Policy
from app.core.portfolio import PortfolioStatus
from app.store import alerts, documents, events, history, plans, turns
from app.store.db import Tx

COLUMNS: Final = """
    p.id, p.public_id, p.owner_id, p.name, p.base_currency, p.status, p.version, p.policy, p.created_at, p.updated_at,
    p.halted_at, p.model,
    t.public_id AS targets_public_id, t.version AS targets_version, t.author, t.note, t.effective_at
"""
JOINED: Final = "portfolios p LEFT JOIN target_versions t ON t.id = p.targets_id"


@dataclass(frozen=True, slots=True)
class TargetsMeta:
    """Who set a version of targets, and when."""

    id: str
    version: int
    author: str
    note: str
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class StoredPortfolio:
    """The head of a portfolio: what is known of it without its accounts. `id` is the row, `public_id` what is shown.

    `model` is the model portfolio that it follows, None for none.
    """

    id: int
    public_id: str
    owner_id: int
    name: str
    base_currency: str
    status: PortfolioStatus
    version: int
    policy: Policy
    targets: TargetsMeta | None
    created_at: datetime
    updated_at: datetime
    halted_at: datetime | None
    model: str | None

    @property
    def targets_version(self) -> int:
        """Version of the targets, 0 while there are none."""
        return self.targets.version if self.targets else 0


def portfolio_of(row: asyncpg.Record) -> StoredPortfolio:
    """Return the head that a row with `COLUMNS` holds."""
    return StoredPortfolio(
        id=row["id"],
        public_id=ids.encode(ids.PORTFOLIO, row["public_id"]),
        owner_id=row["owner_id"],
        name=row["name"],
        base_currency=row["base_currency"],
        status=PortfolioStatus(row["status"]),
        version=row["version"],
        policy=documents.load(Policy, row["policy"]),
        targets=_meta_of(row) if row["targets_public_id"] else None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        halted_at=row["halted_at"],
        model=row["model"],
    )


def _meta_of(row: asyncpg.Record) -> TargetsMeta:
    public_id = ids.encode(ids.TARGETS, row["targets_public_id"])
    return TargetsMeta(public_id, row["targets_version"], row["author"], row["note"], row["effective_at"])


async def load_portfolio(owner_id: int, tx: Tx, portfolio_id: str) -> StoredPortfolio | None:
    """Return the head of a portfolio by its public id, None when this owner has none such."""
    row = await tx.row(
        f"SELECT {COLUMNS} FROM {JOINED} WHERE p.owner_id = $1 AND p.public_id = $2",
        owner_id,
        ids.decode(ids.PORTFOLIO, portfolio_id),
    )
    return portfolio_of(row) if row else None


# Writers queue for a portfolio here, and not for its row: see `turns`.
_TURN: Final = f"""
    SELECT id, pg_advisory_xact_lock({turns.PORTFOLIO}, {turns.key(turns.PORTFOLIO, "id")})
    FROM portfolios WHERE owner_id = $1 AND public_id = $2
"""


async def take_turn(owner_id: int, tx: Tx, portfolio_id: str) -> None:
    """Wait for the other writers of a portfolio, before this transaction writes anything."""
    await tx.execute(_TURN, owner_id, ids.decode(ids.PORTFOLIO, portfolio_id))


async def lock_portfolio(owner_id: int, tx: Tx, portfolio_id: str) -> StoredPortfolio:
    """Return the head of a portfolio and keep everybody else from changing it until the end; or raise NotFound."""
    # First the lock, then the row: a join that had to wait for its lock would still show the targets of before.
    await tx.execute(
        f"""
        WITH turn AS MATERIALIZED ({_TURN})
        SELECT FROM portfolios p JOIN turn USING (id) WHERE p.owner_id = $1 FOR NO KEY UPDATE OF p
        """,
        owner_id,
        ids.decode(ids.PORTFOLIO, portfolio_id),
    )
    found = await load_portfolio(owner_id, tx, portfolio_id)
    if found is None:
        raise NotFound("portfolio", portfolio_id, ["portfolioId"])
    return found


async def lock_portfolios(owner_id: int, tx: Tx, row_ids: Collection[int]) -> None:
    """Lock several portfolios by their rows, always in one order; before anything else in the transaction."""
    if not row_ids:
        return
    await turns.scan_take_turns(tx, turns.PORTFOLIO, row_ids)
    await tx.execute(
        "SELECT FROM portfolios WHERE owner_id = $1 AND id = ANY ($2) ORDER BY id FOR NO KEY UPDATE",
        owner_id,
        sorted(row_ids),
    )


async def create_portfolio(
    owner_id: int,
    tx: Tx,
    *,
    name: str,
    base_currency: str,
    policy: Policy,
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
    status: PortfolioStatus = PortfolioStatus.ACTIVE,
    model: str | None = None,
) -> StoredPortfolio:
    """Make a portfolio without accounts or targets, with its first line of history."""
    row = await tx.row(
        f"""
        WITH p AS (
            INSERT INTO portfolios (
                public_id, owner_id, name, base_currency, status, version, policy, created_at, updated_at, model
            ) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $7, $8) RETURNING *
        )
        SELECT {COLUMNS} FROM p LEFT JOIN target_versions t ON t.id = p.targets_id
        """,
        new_uuid(),
        owner_id,
        name,
        base_currency,
        status.value,
        documents.dump(policy),
        now,
        model,
    )
    assert row is not None
    made = portfolio_of(row)
    await note_change(owner_id, tx, made, "PORTFOLIO_CREATED", actor, now)
    return made


async def update_portfolio(
    owner_id: int,
    tx: Tx,
    portfolio_id: str,
    *,
    actor: str,
    now: datetime,
    name: str | None = None,
    status: PortfolioStatus | None = None,
    policy: Policy | None = None,
    model: str | None = None,
    expected_version: int | None = None,
) -> StoredPortfolio:
    """Change what is given; a new policy supersedes the plans made under the old one, archiving all that are open.

    An empty `model` takes it away. What is no longer active is watched no more: its alerts end.

    Raises NotFound, or VersionConflict when the portfolio is no longer at `expected_version`.
    """
    before = await lock_portfolio(owner_id, tx, portfolio_id)
    check_version("portfolio", expected_version, before.version)
    await tx.execute(
        """
        UPDATE portfolios SET version = version + 1, updated_at = $3,
            name = coalesce($4, name), status = coalesce($5, status), policy = coalesce($6, policy),
            model = nullif(coalesce($7, model), '')
        WHERE owner_id = $1 AND id = $2
        """,
        owner_id,
        before.id,
        now,
        name,
        status.value if status else None,
        documents.dump(policy) if policy else None,
        model,
    )
    if policy is not None and policy != before.policy:
        await plans.supersede_open_plans(owner_id, tx, before.id, actor, now, queued=False)
    if status is PortfolioStatus.ARCHIVED:
        await plans.supersede_open_plans(owner_id, tx, before.id, actor, now)
    if status not in (None, PortfolioStatus.ACTIVE, before.status):
        await alerts.forget_portfolio(owner_id, tx, before.id, status, now)
    after = await load_portfolio(owner_id, tx, portfolio_id)
    assert after is not None
    await note_change(owner_id, tx, after, "PORTFOLIO_UPDATED", actor, now, before=before)
    return after


def check_version(what: str, expected: int | None, actual: int) -> None:
    """Raise VersionConflict unless nothing was expected or it is so."""
    if expected is not None and expected != actual:
        raise VersionConflict(what, expected, actual, ["expectedVersion"])


async def note_change(
    owner_id: int,
    tx: Tx,
    portfolio: StoredPortfolio,
    kind: str,
    actor: str,
    now: datetime,
    *,
    before: StoredPortfolio | None = None,
    more: Mapping[str, object] | None = None,
    was: Mapping[str, object] | None = None,
) -> None:
    """Write a change of the head to the history, with how it was before, and tell those who follow it.

    `more` is told of how it is now beside the head, `was` of how it was.
    """
    document = {**_head(portfolio), **(more or {})}
    if before:
        document["before"] = {**_head(before), **(was or {})}
    await history.append_history(owner_id, tx, portfolio.id, kind, portfolio.public_id, actor, now, document)
    await events.append_event(
        owner_id, tx, portfolio.id, "portfolio", portfolio.public_id, {"version": portfolio.version}, now
    )


def _head(portfolio: StoredPortfolio) -> dict[str, object]:
    return {
        "name": portfolio.name,
        "model": portfolio.model,
        "status": portfolio.status,
        "version": portfolio.version,
        "policy": portfolio.policy,
    }
