# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The past of a taxpayer group, for planning: two statements, whatever portfolios and owners the group spans.

A plan may use the group's amounts; whose they are is not among them. Lots of other portfolios come without ids.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import asyncpg

from app.core import ids, past
from app.core.drift import Snapshot
from app.core.past import NO_PAST, Held, Past, Told
from app.core.policy import TaxRegime
from app.core.portfolio import AccountKind
from app.core.trades import TradeSide
from app.store import assets
from app.store.db import Tx

# Of one group. Who trades more of what was traded this year is known to the plan from a later day on.
TOLD_MAX: Final = 5_000

_ACCOUNTS: Final = f"""
    SELECT c.public_id AS account_public_id, c.history_from, l.public_id AS lot_public_id,
        trim_scale(l.quantity) AS lot_quantity, l.acquired_on, {assets.COLUMNS}
    FROM accounts c
        LEFT JOIN tax_lots l ON l.account_id = c.id AND l.acquired_on BETWEEN $2 AND $3
        LEFT JOIN assets a ON a.id = l.asset_id
    WHERE c.taxpayer_group_id = ANY ($1) ORDER BY c.id, l.acquired_on, l.id
"""
_TOLD: Final = f"""
    WITH told AS (
        SELECT t.id, c.public_id AS account_public_id, c.kind, t.side, t.quantity, t.price, t.fees, t.traded_on,
            t.asset_id, coalesce(nullif(a.identical_group, ''), '#' || a.id) AS wash_group
        FROM accounts c JOIN transactions t ON t.account_id = c.id JOIN assets a ON a.id = t.asset_id
        WHERE c.taxpayer_group_id = ANY ($1) AND t.side IN ('BUY', 'SELL') AND t.traded_on <= $3
    )
    SELECT t.account_public_id, t.kind, t.side, trim_scale(t.quantity) AS quantity, trim_scale(t.price) AS unit_price,
        trim_scale(t.fees) AS fees, t.traded_on, {assets.COLUMNS}
    FROM told t JOIN assets a ON a.id = t.asset_id
    WHERE t.wash_group IN (SELECT wash_group FROM told WHERE traded_on >= $2)
    ORDER BY t.traded_on DESC, t.id DESC LIMIT $4
"""


async def load_past(owner_id: int, tx: Tx, snapshot: Snapshot) -> Past:
    """Return what is told of the taxpayer groups of an owner's portfolio; nothing where no tax is reckoned with."""
    if snapshot.policy.tax_regime is TaxRegime.NONE:
        return NO_PAST
    accounts = snapshot.portfolio.accounts
    groups = sorted({int(account.taxpayer_group) for account in accounts})
    own = frozenset(account.id for account in accounts)
    return await scan_past(tx, groups, own, snapshot.as_of.date())


async def scan_past(tx: Tx, groups: Sequence[int], own: frozenset[str], today: date) -> Past:
    """Return what is told of taxpayer groups, all owners', up to today; lots in accounts that are `own` with ids."""
    rows = await tx.fetch(_ACCOUNTS, groups, past.recent_from(today), today)
    told = await tx.fetch(_TOLD, groups, past.needed_from(today), today, TOLD_MAX + 1)
    days = {row["account_public_id"]: row["history_from"] for row in rows}
    known_from = past.known_since(days.values())
    if len(told) > TOLD_MAX:
        told = told[:TOLD_MAX]
        cut = told[-1]["traded_on"] + timedelta(days=1)
        known_from = known_from and max(known_from, cut)
    held = tuple(_held_of(row, own) for row in rows if row["lot_public_id"])
    return Past(tuple(map(_told_of, reversed(told))), held, known_from)


def _held_of(row: asyncpg.Record, own: frozenset[str]) -> Held:
    account_id = ids.encode(ids.ACCOUNT, row["account_public_id"])
    lot_id = ids.encode(ids.LOT, row["lot_public_id"]) if account_id in own else ""
    return Held(lot_id, account_id, assets.asset_of(row), row["lot_quantity"], row["acquired_on"])


def _told_of(row: asyncpg.Record) -> Told:
    return Told(
        row["traded_on"],
        ids.encode(ids.ACCOUNT, row["account_public_id"]),
        AccountKind(row["kind"]),
        TradeSide(row["side"]),
        assets.asset_of(row),
        row["quantity"],
        row["unit_price"],
        row["fees"],
    )
