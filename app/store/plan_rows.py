"""The trades, lot sales and skips of a plan as rows."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from app.core import ids
from app.core.errors import NotFound
from app.core.plan import Plan, PlannedTrade
from app.store import documents
from app.store.assets import load_asset_keys
from app.store.db import Tx


async def write_rows(owner_id: int, tx: Tx, plan_key: int, plan: Plan, new_uuid: Callable[[], UUID]) -> None:
    """Write what a plan proposes and what it leaves out."""
    asset_keys = await load_asset_keys(tx, _asset_ids(plan))
    trade_keys = await _write_trades(owner_id, tx, plan_key, plan, asset_keys, new_uuid)
    await _write_sales(tx, plan, trade_keys)
    await _write_skips(tx, plan_key, plan, asset_keys)


def _asset_ids(plan: Plan) -> list[str]:
    skipped = [skip.asset.id for skip in plan.skipped if skip.asset]
    return [planned.trade.asset.id for planned in plan.trades] + skipped


async def _write_trades(
    owner_id: int, tx: Tx, plan_key: int, plan: Plan, asset_keys: Mapping[str, int], new_uuid: Callable[[], UUID]
) -> dict[int, int]:
    """Write the trades of a plan and return their rows by sequence."""
    account_keys = await _account_keys(owner_id, tx, plan)
    rows = [
        _trade_row(planned, sequence, asset_keys, account_keys, new_uuid())
        for sequence, planned in enumerate(plan.trades, 1)
    ]
    written = await tx.fetch(
        """
        INSERT INTO plan_trades (
            plan_id, owner_id, public_id, sequence, key, asset_id, account_id, side, quantity, price, currency,
            priced_at, source, value, fee, spread, impact, reason, explanation, execution
        )
        SELECT $1, $2, t.* FROM jsonb_to_recordset($3) AS t (
            public_id uuid, sequence int, key text, asset_id bigint, account_id bigint, side text, quantity numeric,
            price numeric, currency text, priced_at timestamptz, source text, value numeric, fee numeric,
            spread numeric, impact numeric, reason text, explanation text, execution jsonb
        )
        RETURNING id, sequence
        """,
        plan_key,
        owner_id,
        orjson.dumps(rows).decode(),
    )
    return {row["sequence"]: row["id"] for row in written}


async def _account_keys(owner_id: int, tx: Tx, plan: Plan) -> dict[str, int]:
    account_ids = {planned.trade.account_id for planned in plan.trades}
    rows = await tx.fetch(
        "SELECT id, public_id FROM accounts WHERE owner_id = $1 AND public_id = ANY ($2)",
        owner_id,
        [ids.decode(ids.ACCOUNT, account_id) for account_id in account_ids],
    )
    keys = {ids.encode(ids.ACCOUNT, row["public_id"]): row["id"] for row in rows}
    for account_id in account_ids - keys.keys():
        raise NotFound("account", account_id)
    return keys


def _trade_row(
    planned: PlannedTrade, sequence: int, assets: Mapping[str, int], accounts: Mapping[str, int], uuid: UUID
) -> dict[str, Any]:
    trade = planned.trade
    row = {
        "public_id": str(uuid),
        "sequence": sequence,
        "key": trade.key,
        "asset_id": assets[trade.asset.id],
        "account_id": accounts[trade.account_id],
        "side": trade.side,
        "quantity": trade.quantity,
        "price": trade.price.value,
        "currency": trade.asset.currency,
        "priced_at": trade.price.priced_at,
        "source": trade.price.source,
        "value": trade.value,
        "fee": trade.costs.fee,
        "spread": trade.costs.spread,
        "impact": trade.costs.impact,
        "reason": planned.reason,
        "explanation": planned.explanation,
        "execution": planned.execution,
    }
    return {name: documents.to_document(item) for name, item in row.items()}


async def _write_sales(tx: Tx, plan: Plan, trade_keys: Mapping[int, int]) -> None:
    columns = (
        *("trade_id", "position", "lot_public_id", "lot_quantity", "lot_basis", "acquired_on", "holding_from"),
        *("quantity", "proceeds", "basis", "gain", "term"),
    )
    records = [
        (
            trade_keys[sequence],
            position,
            ids.decode(ids.LOT, sale.lot.id),
            sale.lot.quantity,
            sale.lot.basis,
            sale.lot.acquired_on,
            sale.lot.holding_from,
            sale.quantity,
            sale.proceeds,
            sale.basis,
            sale.gain,
            sale.term.value,
        )
        for sequence, planned in enumerate(plan.trades, 1)
        for position, sale in enumerate(planned.trade.sales)
    ]
    if records:
        await tx.copy("plan_lot_sales", columns, records)


async def _write_skips(tx: Tx, plan_key: int, plan: Plan, asset_keys: Mapping[str, int]) -> None:
    records = [
        (
            plan_key,
            position,
            skip.key,
            asset_keys[skip.asset.id] if skip.asset else None,
            skip.side.value,
            skip.value,
            skip.reason.value,
            skip.explanation,
        )
        for position, skip in enumerate(plan.skipped)
    ]
    if records:
        columns = ("plan_id", "position", "key", "asset_id", "side", "value", "reason", "explanation")
        await tx.copy("plan_skips", columns, records)
