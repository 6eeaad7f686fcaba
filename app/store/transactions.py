"""Transactions: facts about accounts, only ever added."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from app.core import ids
from app.core.errors import NotFound
from app.store.assets import load_asset_keys
from app.store.db import Tx

COLUMNS: Final = (
    *("public_id", "owner_id", "account_id", "asset_id", "side", "quantity", "price", "fees", "amount", "currency"),
    *("traded_on", "actor", "recorded_at"),
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """BUY, SELL, DEPOSIT, WITHDRAW, or the ADJUST of an import. Account and asset are public ids.

    `amount` is money in `currency`. Of an ADJUST, quantity is what the holding moved by and amount its basis or cash.
    """

    account_id: str
    asset_id: str | None
    side: str
    quantity: Decimal | None
    price: Decimal | None
    fees: Decimal | None
    amount: Decimal | None
    currency: str
    traded_on: date


async def append_transactions(
    owner_id: int,
    tx: Tx,
    portfolio_row_id: int,
    transactions: Sequence[Transaction],
    *,
    actor: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
) -> None:
    """Add facts to accounts of a portfolio. They explain the past; lots and cash are what `replace_holdings` says."""
    assets = await load_asset_keys(tx, [fact.asset_id for fact in transactions if fact.asset_id])
    rows = await tx.fetch(
        "SELECT id, public_id FROM accounts WHERE owner_id = $1 AND portfolio_id = $2", owner_id, portfolio_row_id
    )
    accounts = {ids.encode(ids.ACCOUNT, row["public_id"]): row["id"] for row in rows}
    for fact in transactions:
        if fact.account_id not in accounts:
            raise NotFound("account", fact.account_id)
    records = [
        (
            *(new_uuid(), owner_id, accounts[fact.account_id], assets[fact.asset_id] if fact.asset_id else None),
            *(fact.side, fact.quantity, fact.price, fact.fees, fact.amount, fact.currency, fact.traded_on, actor, now),
        )
        for fact in transactions
    ]
    await tx.copy("transactions", COLUMNS, records)


async def load_transactions(
    owner_id: int, tx: Tx, portfolio_row_id: int, first: int, after: int = 0
) -> list[tuple[int, Transaction]]:
    """Return the facts of a portfolio with their rows, in the order they were recorded, after one of them."""
    rows = await tx.fetch(
        """
        SELECT t.id, c.public_id AS account, a.public_id AS asset, t.side, trim_scale(t.quantity) AS quantity,
            trim_scale(t.price) AS price, trim_scale(t.fees) AS fees, trim_scale(t.amount) AS amount, t.currency,
            t.traded_on
        FROM transactions t JOIN accounts c ON c.id = t.account_id LEFT JOIN assets a ON a.id = t.asset_id
        WHERE t.owner_id = $1 AND c.portfolio_id = $2 AND t.id > $3 ORDER BY t.id LIMIT $4
        """,
        owner_id,
        portfolio_row_id,
        after,
        first,
    )
    return [
        (
            row["id"],
            Transaction(
                ids.encode(ids.ACCOUNT, row["account"]),
                ids.encode(ids.ASSET, row["asset"]) if row["asset"] else None,
                *(row["side"], row["quantity"], row["price"], row["fees"], row["amount"]),
                row["currency"],
                row["traded_on"],
            ),
        )
        for row in rows
    ]
