"""Accounts and what lies in them: cash and tax lots are state, transactions are facts that are only added."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core import ids, money
from app.core.errors import Duplicate
from app.core.money import ZERO, exactly
from app.core.portfolio import Account, TaxLot
from app.store import import_sums, plans, transactions
from app.store.assets import load_asset_keys, load_assets
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio, check_version, load_portfolio, lock_portfolio, note_change

IMPORTED: Final = "IMPORT"

_LOT_COLUMNS: Final = (
    *("public_id", "owner_id", "account_id", "asset_id", "quantity", "basis"),
    *("acquired_on", "holding_from", "origin"),
)


@dataclass(frozen=True, slots=True)
class _Before:
    """What an account held before an import."""

    key: int
    cash: Mapping[str, Decimal]
    lots: Mapping[int, TaxLot]  # by row


async def replace_holdings(
    owner_id: int,
    tx: Tx,
    portfolio_id: str,
    accounts: Sequence[Account],
    *,
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
    expected_version: int | None = None,
) -> StoredPortfolio:
    """Make the named accounts hold exactly this, and return the portfolio at its new version.

    An account is known by its name in the portfolio and keeps its id, its broker and its execution; a new one takes
    those given, in the order given, after those that are there. Accounts that are not named stay as they are, and so
    does a `history_from` where none is given. A lot that is unchanged keeps its id. Every difference in a holding or in
    cash becomes an ADJUST transaction; plans made before are superseded.
    Raises NotFound for the portfolio, VersionConflict, and InvalidInput for an unknown asset or a number out of range.
    """
    _check(accounts)
    portfolio = await lock_portfolio(owner_id, tx, portfolio_id)
    check_version("portfolio", expected_version, portfolio.version)
    asset_keys = await load_asset_keys(tx, [lot.asset_id for account in accounts for lot in account.lots])
    before = await _upsert_accounts(owner_id, tx, portfolio, accounts, now)
    await _replace_cash(owner_id, tx, accounts, before)
    await _replace_lots(owner_id, tx, accounts, before, asset_keys)
    records = [
        (new_uuid(), owner_id, *fact, now.date(), actor, now)
        for account in accounts
        for fact in _differences(account, before[account.name], portfolio.base_currency, asset_keys)
    ]
    await tx.copy("transactions", transactions.COLUMNS, records)
    await tx.execute(
        "UPDATE portfolios SET version = version + 1, updated_at = $3 WHERE owner_id = $1 AND id = $2",
        owner_id,
        portfolio.id,
        now,
    )
    await plans.supersede_open_plans(owner_id, tx, portfolio.id, actor, now, queued=False)
    after = await load_portfolio(owner_id, tx, portfolio_id)
    assert after is not None
    found, left = await _told(tx, accounts, before, asset_keys)
    more, was = {"holdings": left}, {"holdings": found}
    await note_change(owner_id, tx, after, "HOLDINGS_IMPORTED", actor, now, before=portfolio, more=more, was=was)
    return after


async def _told(
    tx: Tx, accounts: Sequence[Account], before: Mapping[str, _Before], asset_keys: Mapping[str, int]
) -> tuple[dict[str, object], dict[str, object]]:
    """Return what the import found in the accounts and what it left there, in sums."""
    keys = {int(lot.asset_id) for held in before.values() for lot in held.lots.values()}
    names = {key: asset_id for asset_id, key in asset_keys.items()}
    if gone := sorted(keys - names.keys()):
        names |= {key: asset.id for key, asset in (await load_assets(tx, gone)).items()}
    renamed = (
        ([replace(lot, asset_id=names[int(lot.asset_id)]) for lot in held.lots.values()], held.cash)
        for held in before.values()
    )
    left = import_sums.sums_of((account.lots, account.cash) for account in accounts)
    return import_sums.documents_of([account.name for account in accounts], import_sums.sums_of(renamed), left)


def _check(accounts: Sequence[Account]) -> None:
    """Refuse what the tables would round or refuse: the same bounds as at the door."""
    names: set[str] = set()
    for place, account in enumerate(accounts):
        if account.name in names:
            raise Duplicate(f"account {account.name} is given twice", ["accounts", place, "name"])
        names.add(account.name)
        for amount in account.cash.values():
            money.parse(amount, places=money.MONEY_PLACES, minimum=ZERO, limit=money.MONEY_LIMIT, what="cash")
        for lot in account.lots:
            quantity, places = lot.quantity, money.QUANTITY_PLACES
            money.parse(quantity, places=places, minimum=ZERO, limit=money.QUANTITY_LIMIT, what="quantity")
            money.parse(lot.basis, places=money.MONEY_PLACES, minimum=ZERO, limit=money.MONEY_LIMIT, what="basis")


async def _upsert_accounts(
    owner_id: int,
    tx: Tx,
    portfolio: StoredPortfolio,
    accounts: Sequence[Account],
    now: datetime,
) -> dict[str, _Before]:
    """Make or update the accounts; return what each held before."""
    rows = await tx.fetch(
        """
        INSERT INTO accounts AS a (
            public_id, owner_id, portfolio_id, taxpayer_group_id, name, kind, position, history_from, synced_at,
            broker_id, execution
        )
        SELECT n.public_id, $1, $2, (SELECT min(id) FROM taxpayer_groups WHERE owner_id = $1), n.name, n.kind,
            n.place + (SELECT count(*) FROM accounts WHERE portfolio_id = $2), n.history_from, $7, b.id, n.execution
        FROM unnest($3::uuid[], $4::text[], $5::text[], $6::date[], $8::text[], $9::text[])
            WITH ORDINALITY AS n (public_id, name, kind, history_from, broker, execution, place)
        LEFT JOIN brokers b ON b.name = n.broker
        ON CONFLICT (portfolio_id, name) DO UPDATE SET
            kind = excluded.kind, synced_at = excluded.synced_at,
            history_from = coalesce(excluded.history_from, a.history_from)
        RETURNING id, name
        """,
        owner_id,
        portfolio.id,
        [ids.decode(ids.ACCOUNT, account.id) for account in accounts],
        [account.name for account in accounts],
        [account.kind.value for account in accounts],
        [account.history_from for account in accounts],
        now,
        [account.broker for account in accounts],
        [account.execution.value for account in accounts],
    )
    keys = {row["name"]: row["id"] for row in rows}
    cash = await _cash_by_account(owner_id, tx, list(keys.values()))
    lots = await _lots_by_account(owner_id, tx, list(keys.values()))
    return {name: _Before(key, cash[key], lots[key]) for name, key in keys.items()}


async def _cash_by_account(owner_id: int, tx: Tx, keys: list[int]) -> dict[int, dict[str, Decimal]]:
    rows = await tx.fetch(
        """
        SELECT account_id, currency, trim_scale(amount) AS amount FROM account_cash
        WHERE account_id IN (SELECT id FROM accounts WHERE owner_id = $1 AND id = ANY ($2))
        """,
        owner_id,
        keys,
    )
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for row in rows:
        found[row["account_id"]][row["currency"]] = row["amount"]
    return found


async def _lots_by_account(owner_id: int, tx: Tx, keys: list[int]) -> dict[int, dict[int, TaxLot]]:
    """Return lots by account and row; the asset of a lot is its row here, as text."""
    rows = await tx.fetch(
        """
        SELECT id, public_id, account_id, asset_id, trim_scale(quantity) AS quantity, trim_scale(basis) AS basis,
            acquired_on, holding_from
        FROM tax_lots WHERE owner_id = $1 AND account_id = ANY ($2) ORDER BY id
        """,
        owner_id,
        keys,
    )
    found: dict[int, dict[int, TaxLot]] = defaultdict(dict)
    for row in rows:
        found[row["account_id"]][row["id"]] = _lot_of(row)
    return found


def _lot_of(row: asyncpg.Record) -> TaxLot:
    lot_id = ids.encode(ids.LOT, row["public_id"])
    return TaxLot(lot_id, str(row["asset_id"]), row["quantity"], row["basis"], row["acquired_on"], row["holding_from"])


async def _replace_cash(owner_id: int, tx: Tx, accounts: Sequence[Account], before: Mapping[str, _Before]) -> None:
    await tx.execute(
        "DELETE FROM account_cash WHERE account_id IN (SELECT id FROM accounts WHERE owner_id = $1 AND id = ANY ($2))",
        owner_id,
        [held.key for held in before.values()],
    )
    records = [
        (before[account.name].key, currency, amount)
        for account in accounts
        for currency, amount in account.cash.items()
    ]
    await tx.copy("account_cash", ("account_id", "currency", "amount"), records)


async def _replace_lots(
    owner_id: int, tx: Tx, accounts: Sequence[Account], before: Mapping[str, _Before], asset_keys: Mapping[str, int]
) -> None:
    gone: list[int] = []
    records: list[tuple[object, ...]] = []
    for account in accounts:
        held = before[account.name]
        left, added = _unmatched(held.lots, account.lots, asset_keys)
        gone += left
        records += [
            (
                *(ids.decode(ids.LOT, lot.id), owner_id, held.key, asset_keys[lot.asset_id], lot.quantity, lot.basis),
                *(lot.acquired_on, lot.holding_from, IMPORTED),
            )
            for lot in added
        ]
    await tx.execute("DELETE FROM tax_lots WHERE owner_id = $1 AND id = ANY ($2)", owner_id, gone)
    await tx.copy("tax_lots", _LOT_COLUMNS, records)


def _unmatched(
    held: Mapping[int, TaxLot], wanted: Sequence[TaxLot], asset_keys: Mapping[str, int]
) -> tuple[list[int], list[TaxLot]]:
    """Return rows of lots that are no longer there, and lots that are new; equal ones are neither."""
    rows: dict[TaxLot, list[int]] = defaultdict(list)
    for row, lot in held.items():
        rows[replace(lot, id="")].append(row)
    added = []
    for lot in wanted:
        same = rows[replace(lot, id="", asset_id=str(asset_keys[lot.asset_id]))]
        if same:
            same.pop(0)
        else:
            added.append(lot)
    return [row for same in rows.values() for row in same], added


@exactly
def _differences(
    account: Account, held: _Before, base_currency: str, asset_keys: Mapping[str, int]
) -> list[tuple[Any, ...]]:
    """Return what an import adjusts: account, asset, side, quantity, price, fees, amount and currency of each."""
    moved: dict[int, tuple[Decimal, Decimal]] = {}
    signed = [(-1, int(lot.asset_id), lot) for lot in held.lots.values()]
    for sign, asset, lot in signed + [(1, asset_keys[lot.asset_id], lot) for lot in account.lots]:
        quantity, basis = moved.get(asset, (ZERO, ZERO))
        moved[asset] = quantity + sign * lot.quantity, basis + sign * lot.basis
    facts: list[tuple[Any, ...]] = [
        (held.key, asset, "ADJUST", quantity, None, None, basis, base_currency)
        for asset, (quantity, basis) in moved.items()
        if quantity or basis
    ]
    for currency in sorted({*held.cash, *account.cash}):
        amount = account.cash.get(currency, ZERO) - held.cash.get(currency, ZERO)
        if amount:
            facts.append((held.key, None, "ADJUST", None, None, None, amount, currency))
    return facts
