# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Markets: assets with their latest prices, and every currency's rate."""

from collections.abc import Collection

from app.core.portfolio import Market
from app.store.assets import COLUMNS, PRICE_COLUMNS, asset_of, asset_uuids, price_of
from app.store.db import Tx


async def load_market(tx: Tx, asset_ids: Collection[str]) -> Market:
    """Return these assets and all of class CASH, with the latest price of each that has one. One statement."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS}, {PRICE_COLUMNS} FROM assets a LEFT JOIN prices p ON p.asset_id = a.id
        WHERE a.public_id = ANY ($1) OR a.asset_class = 'CASH'
        """,
        asset_uuids(list(asset_ids)),
    )
    found = [(asset_of(row), price_of(row)) for row in rows]
    return Market({asset.id: asset for asset, _ in found}, {asset.id: price for asset, price in found if price})
