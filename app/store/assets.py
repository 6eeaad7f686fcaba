# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Assets and prices. They belong to nobody: operators write them, everybody reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.costs import Costs, Liquidity, Tier
from app.core.errors import InvalidInput
from app.core.portfolio import Asset, AssetClass, Price
from app.store import documents
from app.store.db import Tx

COLUMNS: Final = """
    a.id, a.public_id, a.symbol, a.currency, a.venue, a.name, a.asset_class, a.tradable, a.identical_group,
    trim_scale(a.quantity_step) AS quantity_step, trim_scale(a.price_step) AS price_step,
    trim_scale(a.min_notional) AS min_notional, trim_scale(a.fee_fixed) AS fee_fixed,
    trim_scale(a.fee_rate) AS fee_rate, trim_scale(a.fee_minimum) AS fee_minimum,
    trim_scale(a.half_spread) AS half_spread, trim_scale(a.fee_cap) AS fee_cap, a.fee_tiers, a.liquidity
"""
PRICE_COLUMNS: Final = "trim_scale(p.price) AS price, p.priced_at, p.source"


@dataclass(frozen=True, slots=True)
class Quote:
    """A price of one asset, by its public id, as it comes in."""

    asset_id: str
    price: Decimal
    priced_at: datetime
    source: str


def asset_of(row: asyncpg.Record) -> Asset:
    """Return the core value of a row with `COLUMNS`."""
    return Asset(
        id=ids.encode(ids.ASSET, row["public_id"]),
        symbol=row["symbol"],
        asset_class=AssetClass(row["asset_class"]),
        currency=row["currency"],
        venue=row["venue"],
        name=row["name"],
        quantity_step=row["quantity_step"],
        price_step=row["price_step"],
        min_notional=row["min_notional"],
        tradable=row["tradable"],
        identical_group=row["identical_group"],
        costs=_costs_of(row),
        liquidity=documents.load(Liquidity, row["liquidity"]) if row["liquidity"] else None,
    )


def _costs_of(row: asyncpg.Record) -> Costs:
    tiers = documents.load(tuple[Tier, ...], row["fee_tiers"]) if row["fee_tiers"] else ()
    return Costs(row["fee_fixed"], row["fee_rate"], row["fee_minimum"], row["half_spread"], row["fee_cap"], tiers)


def price_of(row: asyncpg.Record) -> Price | None:
    """Return the price of a row with `PRICE_COLUMNS`, None when the left join found none."""
    return None if row["price"] is None else Price(row["price"], row["priced_at"], row["source"])


def asset_uuids(asset_ids: Sequence[str]) -> list[UUID]:
    """Return the keys of public asset ids; what is no id of an asset is nobody's key and left out."""
    return [uuid for asset_id in asset_ids if (uuid := ids.decode(ids.ASSET, asset_id))]


async def load_assets(tx: Tx, rows: Sequence[int]) -> dict[int, Asset]:
    """Return assets by row; unknown rows are left out."""
    sql = f"SELECT {COLUMNS} FROM assets a WHERE id = ANY ($1)"
    return {row["id"]: asset_of(row) for row in await tx.fetch(sql, rows)}


async def load_asset_keys(tx: Tx, asset_ids: Sequence[str]) -> dict[str, int]:
    """Return row ids by public id, or raise InvalidInput for the first that is no asset."""
    rows = await tx.fetch("SELECT id, public_id FROM assets WHERE public_id = ANY ($1)", asset_uuids(asset_ids))
    keys = {ids.encode(ids.ASSET, row["public_id"]): row["id"] for row in rows}
    for asset_id in asset_ids:
        if asset_id not in keys:
            raise InvalidInput(f"asset {asset_id} does not exist; an operator can add it", ["assets"])
    return keys


async def load_assets_by_symbol(tx: Tx, symbols: Sequence[str]) -> dict[str, Asset]:
    """Return assets by what they were called: SYMBOL where that is unique, SYMBOL:CURRENCY or SYMBOL:CURRENCY:VENUE.

    Unknown names are left out; a name that several assets have raises InvalidInput and says which they are.
    """
    wanted = {name: _name_parts(name) for name in symbols}
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM assets a WHERE symbol = ANY ($1) ORDER BY symbol, currency, venue",
        [symbol for parts in wanted.values() for symbol in (parts[0], ":".join(parts))],
    )
    assets = [asset_of(row) for row in rows]
    found: dict[str, Asset] = {}
    for name, parts in wanted.items():
        matches = [asset for asset in assets if asset.symbol == name] or [
            asset for asset in assets if (asset.symbol, asset.currency, asset.venue)[: len(parts)] == parts
        ]
        if len(matches) > 1:
            choices = ", ".join(_full_name(asset) for asset in matches)
            raise InvalidInput(f"{name} may mean {choices}; write the one that is meant", ["assets"])
        if matches:
            found[name] = matches[0]
    return found


async def known_symbols(tx: Tx, symbols: Sequence[str]) -> set[str]:
    """Return those of some symbols that an asset has, one or several."""
    rows = await tx.fetch("SELECT DISTINCT symbol FROM assets WHERE symbol = ANY ($1)", symbols)
    return {row["symbol"] for row in rows}


def _name_parts(name: str) -> tuple[str, ...]:
    return tuple(name.split(":", 2))


def _full_name(asset: Asset) -> str:
    return f"{asset.symbol}:{asset.currency}:{asset.venue}" if asset.venue else f"{asset.symbol}:{asset.currency}"


async def find_assets(tx: Tx, search: str, first: int, after: str | None = None) -> list[tuple[Asset, Price | None]]:
    """Return assets whose symbol or name starts with `search`, by symbol, with their latest prices.

    `after` is the public id of the last asset of the page before.
    """
    pattern = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS}, {PRICE_COLUMNS} FROM assets a LEFT JOIN prices p ON p.asset_id = a.id
        WHERE (a.symbol ILIKE $1 OR a.name ILIKE $1) AND (
            $2::uuid IS NULL
            OR (symbol, currency, venue) > (SELECT symbol, currency, venue FROM assets WHERE public_id = $2)
        )
        ORDER BY symbol, currency, venue LIMIT $3
        """,
        pattern,
        ids.decode(ids.ASSET, after) if after else None,
        first,
    )
    return [(asset_of(row), price_of(row)) for row in rows]


async def save_asset(tx: Tx, asset: Asset, now: datetime) -> Asset:
    """Write an asset, new or known by (symbol, currency, venue); a known one keeps its id."""
    row = await tx.row(
        f"""
        INSERT INTO assets AS a (
            public_id, symbol, currency, venue, name, asset_class, quantity_step, price_step, min_notional, tradable,
            identical_group, fee_fixed, fee_rate, fee_minimum, half_spread, fee_cap, fee_tiers, liquidity, updated_at
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
        ON CONFLICT (symbol, currency, venue) DO UPDATE SET
            name = excluded.name, asset_class = excluded.asset_class, quantity_step = excluded.quantity_step,
            price_step = excluded.price_step, min_notional = excluded.min_notional, tradable = excluded.tradable,
            identical_group = excluded.identical_group, fee_fixed = excluded.fee_fixed, fee_rate = excluded.fee_rate,
            fee_minimum = excluded.fee_minimum, half_spread = excluded.half_spread, fee_cap = excluded.fee_cap,
            fee_tiers = excluded.fee_tiers, liquidity = excluded.liquidity, updated_at = excluded.updated_at
        RETURNING {COLUMNS}
        """,
        ids.decode(ids.ASSET, asset.id),
        asset.symbol,
        asset.currency,
        asset.venue,
        asset.name,
        asset.asset_class.value,
        asset.quantity_step,
        asset.price_step,
        asset.min_notional,
        asset.tradable,
        asset.identical_group,
        asset.costs.fixed,
        asset.costs.rate,
        asset.costs.minimum,
        asset.costs.half_spread,
        asset.costs.cap,
        documents.dump(asset.costs.tiers) if asset.costs.tiers else None,
        documents.dump(asset.liquidity) if asset.liquidity else None,
        now,
    )
    assert row is not None
    return asset_of(row)


async def record_prices(tx: Tx, quotes: Sequence[Quote], now: datetime) -> int:
    """Write prices to the history, as the latest and as the day's close where none is newer; return how many were of
    known assets.

    One statement. Of two quotes for one asset and instant, the later in the list counts. Rows are written in the
    order of assets, so that two recorders take turns instead of deadlocking.
    """
    recorded = await tx.value(
        """
        WITH given AS (
            SELECT DISTINCT ON (a.id, q.priced_at) a.id AS asset_id, q.price, q.priced_at, q.source
            FROM unnest($1::uuid[], $2::numeric[], $3::timestamptz[], $4::text[])
                WITH ORDINALITY AS q (public_id, price, priced_at, source, place)
            JOIN assets a USING (public_id)
            ORDER BY a.id, q.priced_at, q.place DESC
        ), history AS (
            INSERT INTO price_history (asset_id, priced_at, price, source)
            SELECT asset_id, priced_at, price, source FROM given ORDER BY asset_id, priced_at
            ON CONFLICT (asset_id, priced_at) DO UPDATE SET price = excluded.price, source = excluded.source
            RETURNING 1
        ), latest AS (
            INSERT INTO prices AS p (asset_id, price, priced_at, source, recorded_at)
            SELECT DISTINCT ON (asset_id) asset_id, price, priced_at, source, $5 FROM given
            ORDER BY asset_id, priced_at DESC
            ON CONFLICT (asset_id) DO UPDATE SET
                price = excluded.price, priced_at = excluded.priced_at, source = excluded.source,
                recorded_at = excluded.recorded_at, xid = pg_current_xact_id()
            WHERE p.priced_at <= excluded.priced_at
        ), days AS (
            INSERT INTO price_days AS p (asset_id, day, price, priced_at)
            SELECT DISTINCT ON (asset_id, day) asset_id, (priced_at AT TIME ZONE 'UTC')::date AS day, price, priced_at
            FROM given ORDER BY asset_id, day, priced_at DESC
            ON CONFLICT (asset_id, day) DO UPDATE SET price = excluded.price, priced_at = excluded.priced_at
            WHERE p.priced_at <= excluded.priced_at
        )
        SELECT count(*) FROM history
        """,
        [ids.decode(ids.ASSET, quote.asset_id) for quote in quotes],
        [quote.price for quote in quotes],
        [quote.priced_at for quote in quotes],
        [quote.source for quote in quotes],
        now,
    )
    return int(recorded)


async def load_latest_prices(tx: Tx, asset_ids: Sequence[str]) -> dict[str, Price]:
    """Return the latest price of each asset that has one, by public id."""
    rows = await tx.fetch(
        f"SELECT a.public_id, {PRICE_COLUMNS} FROM assets a JOIN prices p ON p.asset_id = a.id "
        "WHERE a.public_id = ANY ($1)",
        asset_uuids(asset_ids),
    )
    return {
        ids.encode(ids.ASSET, row["public_id"]): Price(row["price"], row["priced_at"], row["source"]) for row in rows
    }
