# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""The past of a taxpayer group, for planning: three statements, whatever portfolios and owners the group spans.

A plan may use the group's amounts; whose they are is not among them. Lots of other portfolios come without ids.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from app.core import ids, past
from app.core.drift import Snapshot
from app.core.money import ZERO
from app.core.past import NO_PAST, BookedSale, Held, Past, Told
from app.core.policy import TaxRegime
from app.core.portfolio import AccountKind, Asset
from app.core.trades import TradeSide
from app.store import assets
from app.store.db import Tx

# Of one group. Who trades more of what was traded this year is known to the plan from a later day on.
TOLD_MAX: Final = 5_000

_ACCOUNTS: Final = f"""
    SELECT c.public_id AS account_public_id, c.history_from, l.public_id AS lot_public_id,
        trim_scale(l.quantity) AS lot_quantity, l.acquired_on, l.replaced, {assets.COLUMNS}
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
        WHERE c.taxpayer_group_id = ANY ($1) AND t.side IN ('BUY', 'SELL') AND t.traded_on <= $3 AND NOT t.booked
    )
    SELECT t.id AS told_id, t.account_public_id, t.kind, t.side, trim_scale(t.quantity) AS quantity,
        trim_scale(t.price) AS unit_price, trim_scale(t.fees) AS fees, t.traded_on,
        (SELECT trim_scale(sum(r.quantity)) FROM replacements r WHERE r.told_id = t.id) AS washed, {assets.COLUMNS}
    FROM told t JOIN assets a ON a.id = t.asset_id
    WHERE t.wash_group IN (SELECT wash_group FROM told WHERE traded_on >= $2)
    ORDER BY t.traded_on DESC, t.id DESC LIMIT $4
"""
# Sales by fills, with what is disallowed of their losses: their lots are known, so no ledger has to find them.
_BOOKED: Final = f"""
    SELECT c.public_id AS account_public_id, c.kind, p.base_currency, s.sold_on, s.acquired_on, s.holding_from,
        trim_scale(s.quantity) AS quantity, trim_scale(s.proceeds) AS proceeds, trim_scale(s.basis) AS basis,
        CASE WHEN s.is_loss THEN trim_scale(s.quantity - coalesce(r.units, 0)) ELSE 0 END AS unwashed,
        coalesce(r.loss, 0) AS disallowed, coalesce(r.permanent, 0) AS permanent, {assets.COLUMNS}
    FROM accounts c JOIN portfolios p ON p.id = c.portfolio_id JOIN lot_sales s ON s.account_id = c.id
        JOIN assets a ON a.id = s.asset_id
        LEFT JOIN LATERAL (
            SELECT sum(quantity) AS units, sum(loss) AS loss, sum(loss) FILTER (WHERE permanent) AS permanent
            FROM replacements WHERE sale_id = s.id
        ) r ON true
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
    sold = await tx.fetch(
        f"{_BOOKED} WHERE c.taxpayer_group_id = ANY ($1) AND s.sold_on BETWEEN $2 AND $3 ORDER BY s.sold_on, s.id",
        groups,
        past.needed_from(today),
        today,
    )
    days = {row["account_public_id"]: row["history_from"] for row in rows}
    known_from = past.known_since(days.values())
    if len(told) > TOLD_MAX:
        told = told[:TOLD_MAX]
        cut = told[-1]["traded_on"] + timedelta(days=1)
        known_from = known_from and max(known_from, cut)
    held = tuple(_held_of(row, own) for row in rows if row["lot_public_id"])
    return Past(tuple(map(_told_of, reversed(told))), held, known_from, tuple(map(_booked_of, sold)))


async def load_sold(owner_id: int, tx: Tx, plan_id: str) -> list[BookedSale]:
    """Return what the fills of a plan sold of lots, in the order it was booked."""
    rows = await tx.fetch(
        f"""
        {_BOOKED} JOIN plans l ON l.id = s.plan_id
        WHERE s.owner_id = $1 AND l.owner_id = $1 AND l.public_id = $2 ORDER BY s.id
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
    )
    return list(map(_booked_of, rows))


async def load_forfeited(owner_id: int, tx: Tx, plan_id: str) -> Decimal:
    """Return the losses of before that what a plan bought has washed, as far as it is still held."""
    found: Decimal = await tx.value(
        """
        SELECT trim_scale(coalesce(sum(r.loss), 0)) FROM plans l JOIN orders o ON o.plan_id = l.id AND o.side = 'BUY'
            JOIN tax_lots t ON t.purchase_id = o.public_id JOIN replacements r ON r.lot_public_id = t.public_id
        WHERE l.owner_id = $1 AND t.owner_id = $1 AND r.owner_id = $1 AND l.public_id = $2
        """,
        owner_id,
        ids.decode(ids.PLAN, plan_id),
    )
    return found


async def scan_told(tx: Tx, group: int, asset: Asset, today: date) -> list[Told]:
    """Return what is told of one taxpayer group and of what is substantially identical to an asset, up to today."""
    rows = await tx.fetch(_TOLD, [group], past.needed_from(today), today, TOLD_MAX)
    told = map(_told_of, reversed(rows))
    return [one for one in told if past.group_of(one.asset) == past.group_of(asset)]


def _held_of(row: asyncpg.Record, own: frozenset[str]) -> Held:
    account_id = ids.encode(ids.ACCOUNT, row["account_public_id"])
    lot_id = ids.encode(ids.LOT, row["lot_public_id"]) if account_id in own else ""
    return Held(lot_id, account_id, assets.asset_of(row), row["lot_quantity"], row["acquired_on"], row["replaced"])


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
        row["washed"] or ZERO,
        row["told_id"],
    )


def _booked_of(row: asyncpg.Record) -> BookedSale:
    return BookedSale(
        row["sold_on"],
        ids.encode(ids.ACCOUNT, row["account_public_id"]),
        AccountKind(row["kind"]),
        assets.asset_of(row),
        row["base_currency"],
        row["acquired_on"],
        row["holding_from"],
        *(row[name] for name in ("quantity", "proceeds", "basis", "unwashed", "disallowed", "permanent")),
    )
