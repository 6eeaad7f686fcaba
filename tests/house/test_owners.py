"""Whose rows: every load and save names the owner first, and every statement on owners' rows asks for the owner."""

import ast
import re
from typing import Final

import asyncpg
import pytest

from app.embedded import Endpoints
from tests.house.sources import Function, modules, texts_of

# Rooms whose rows are nobody's, or everybody's: they take no owner.
SHARED: Final = {
    f"app/store/{name}.py" for name in ("assets", "brokers", "closes", "market", "clock", "paper", "scans", "owners")
}
# Work over all owners is named so.
OVER_ALL: Final = ("scan_", "relay_")
# The position of the log in time, and the switch for all, which are nobody's.
NOBODYS: Final = {
    "app/store/events.py current_cursor",
    "app/store/events.py is_past",
    "app/store/events.py gone_before",
    "app/store/halts.py load_trading_halt",
}
# Statements by keys that were looked up for an owner, in the same transaction.
BY_KEY: Final = {
    "app/store/alerts.py _watched": "which of the portfolios that were decided about, and locked for it, are active",
    "app/store/manual.py _fills": "of orders that were looked up for an owner, or by scan_recorded",
    "app/store/reading.py _load": "accounts of the heads that were asked for by owner, and lots of those accounts",
}
OWNED: Final = {
    *("accounts", "alerts", "drift_logs", "idempotency_keys", "outbox", "plan_trades", "plans", "portfolios"),
    *("allowances", "deliveries", "drift_days", "fills", "hooks", "manual_ends", "manual_fills", "orders"),
    *("lot_sales", "replacements", "bulks", "bulk_items"),
    *("block_fills", "block_members", "block_pieces", "blocks", "pool_orders"),
    *("rebalance_history", "target_versions", "tax_lots", "taxpayer_groups", "transactions"),
}
# The same tables under the names that statements share.
JOINED: Final = {r"\{JOINED\}", r"\{_HEADS\}"}
TOUCHED: Final = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|ONLY)\s+(?:{'|'.join(OWNED)})\b|{'|'.join(JOINED)}")


def takers(name: str, tree: ast.Module) -> list[str]:
    """Return public functions that work in a transaction and do not take the owner before it."""
    if name in SHARED:
        return []
    found = []
    for function in tree.body:
        if not isinstance(function, Function) or function.name.startswith(("_", *OVER_ALL)):
            continue
        taken = [argument.arg for argument in function.args.args]
        if "tx" in taken and taken[:2] != ["owner_id", "tx"]:
            found.append(f"{name} {function.name}")
    return found


def unasked(name: str, tree: ast.Module) -> list[str]:
    """Return functions with a statement on owners' rows that does not ask for the owner."""
    return [
        f"{name} {function.name}"
        for function in ast.walk(tree)
        if isinstance(function, Function) and not function.name.startswith(OVER_ALL)
        if any(TOUCHED.search(text) and "owner_id" not in text for text in texts_of(function))
    ]


STORE: Final = modules("app/store")


def test_every_load_and_save_takes_the_owner_first() -> None:
    found = [one for module in STORE for one in takers(module.name, module.tree)]
    assert set(found) == NOBODYS


def test_every_statement_on_owners_rows_asks_for_the_owner() -> None:
    found = [one for module in STORE if module.name not in SHARED for one in unasked(module.name, module.tree)]
    assert set(found) == set(BY_KEY)


@pytest.mark.parametrize(
    ("text", "took", "asked"),
    [
        ("async def load_x(owner_id, tx): await tx.fetch('SELECT FROM plans WHERE owner_id = $1')", [], []),
        ("async def load_x(tx, owner_id): await tx.fetch('SELECT FROM plans WHERE owner_id = $1')", ["x load_x"], []),
        ("async def load_x(owner_id, tx): await tx.fetch('SELECT FROM plans WHERE id = $1')", [], ["x load_x"]),
        ("async def load_x(owner_id, tx): await tx.fetch(f'UPDATE plans SET {a} = 1')", [], ["x load_x"]),
        ("async def load_x(owner_id, tx): await tx.fetch(f'SELECT 1 FROM {JOINED} WHERE p.id = $2')", [], ["x load_x"]),
        ("async def scan_x(tx): await tx.fetch('SELECT FROM plans')", [], []),
    ],
)
def test_function_that_forgets_the_owner_is_found(text: str, took: list[str], asked: list[str]) -> None:
    assert (takers("x", ast.parse(text)), unasked("x", ast.parse(text))) == (took, asked)


async def test_tables_of_owners_are_these(database: Endpoints) -> None:
    connection = await asyncpg.connect(database.migrate_database_url)
    rows = await connection.fetch(
        "SELECT relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "WHERE attname = 'owner_id' AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    await connection.close()
    assert {row["relname"] for row in rows} == OWNED
