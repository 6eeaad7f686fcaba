# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Brokers and their fees. They belong to nobody: operators write them, everybody reads them."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import asyncpg

from app.core.costs import Tier
from app.core.portfolio import AssetClass, Broker
from app.store import documents
from app.store.db import Tx

COLUMNS: Final = """
    b.name AS broker, b.currency AS broker_currency, trim_scale(b.conversion) AS broker_conversion,
    b.fees AS broker_fees
"""


def broker_of(row: asyncpg.Record) -> Broker:
    """Return the core value of a row with `COLUMNS`."""
    fees = documents.load(dict[AssetClass, tuple[Tier, ...]], row["broker_fees"])
    return Broker(row["broker"], row["broker_currency"], row["broker_conversion"], fees)


async def load_brokers(tx: Tx, names: Collection[str]) -> dict[str, Broker]:
    """Return brokers by name; unknown ones are left out."""
    rows = await tx.fetch(f"SELECT {COLUMNS} FROM brokers b WHERE b.name = ANY ($1)", list(names))
    return {row["broker"]: broker_of(row) for row in rows}


async def list_brokers(tx: Tx, first: int, after: int = 0) -> list[tuple[int, Broker]]:
    """Return brokers by row, in the order in which they were first recorded, after a row."""
    rows = await tx.fetch(f"SELECT b.id, {COLUMNS} FROM brokers b WHERE b.id > $1 ORDER BY b.id LIMIT $2", after, first)
    return [(row["id"], broker_of(row)) for row in rows]


async def save_broker(tx: Tx, broker: Broker, now: datetime) -> None:
    """Write a broker, new or known by its name."""
    await tx.execute(
        """
        INSERT INTO brokers (name, currency, conversion, fees, updated_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (name) DO UPDATE SET currency = excluded.currency, conversion = excluded.conversion,
            fees = excluded.fees, updated_at = excluded.updated_at
        """,
        broker.name,
        broker.currency,
        broker.conversion,
        documents.dump(broker.fees),
        now,
    )
