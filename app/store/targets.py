# ruff: noqa: S608 - only constants of this room go into statements; every value is a parameter
"""Targets as sealed versions: written once, never changed; the portfolio points to the one that counts.

Entries are written into an unsealed version, sealing checks their sum in the database, then the pointer moves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from app.core import ids
from app.core.bands import Band
from app.core.portfolio import AssetClass
from app.core.targets import Target, Targets, check_sum
from app.store import documents, events, history, plans
from app.store.assets import load_asset_keys
from app.store.db import Tx
from app.store.portfolios import StoredPortfolio, TargetsMeta, check_version, lock_portfolio

# The entries of version t as one JSON array, so that a head and its targets are one row.
ENTRIES: Final = """
    (SELECT jsonb_agg(jsonb_build_object(
        'key', e.key, 'percent', trim_scale(e.percent)::text, 'assets', e.asset_ids, 'class', e.asset_class,
        'band', e.band
    ) ORDER BY e.position) FROM target_allocations e WHERE e.target_version_id = t.id)
"""


@dataclass(frozen=True, slots=True)
class StoredTargets:
    """A version of a portfolio's targets, and who set it."""

    meta: TargetsMeta
    targets: Targets


def targets_of(entries: str, version: int, asset_ids: Mapping[int, str]) -> Targets:
    """Return the targets that the JSON of `ENTRIES` holds; `asset_ids` maps rows to public ids."""
    return Targets(tuple(_target_of(entry, asset_ids) for entry in orjson.loads(entries)), version)


def asset_keys_of(entries: str) -> set[int]:
    """Return the rows of the assets that the JSON of `ENTRIES` names."""
    return {key for entry in orjson.loads(entries) for key in entry["assets"]}


def _target_of(entry: dict[str, Any], asset_ids: Mapping[int, str]) -> Target:
    return Target(
        key=entry["key"],
        percent=Decimal(entry["percent"]),
        assets=tuple(asset_ids[key] for key in entry["assets"]),
        asset_class=AssetClass(entry["class"]) if entry["class"] else None,
        band=documents.from_document(Band, entry["band"]) if entry["band"] else None,
    )


async def replace_targets(
    owner_id: int,
    tx: Tx,
    portfolio_id: str,
    targets: Targets,
    *,
    author: str,
    now: datetime,
    new_uuid: Callable[[], UUID],
    note: str = "",
    expected_version: int | None = None,
) -> StoredTargets:
    """Make targets the portfolio's own: a new sealed version, with its line of history and its event.

    Plans made for the targets of before are superseded. Raises NotFound for the portfolio, InvalidInput for an unknown
    asset, and VersionConflict when the targets are no longer at `expected_version` (0: none yet).
    """
    check_sum([entry.percent for entry in targets.entries])
    portfolio = await lock_portfolio(owner_id, tx, portfolio_id)
    check_version("targets", expected_version, portfolio.targets_version)
    old = (await load_targets_history(owner_id, tx, portfolio.id, 1))[0] if portfolio.targets else None
    version = portfolio.targets_version + 1
    meta = TargetsMeta(ids.encode(ids.TARGETS, uuid := new_uuid()), version, author, note, now)
    version_key = await _open_version(owner_id, tx, portfolio, meta, uuid)
    await _write_entries(tx, version_key, targets)
    await tx.execute("UPDATE target_versions SET sealed = true WHERE owner_id = $1 AND id = $2", owner_id, version_key)
    await tx.execute(
        "UPDATE portfolios SET targets_id = $3, updated_at = $4 WHERE owner_id = $1 AND id = $2",
        owner_id,
        portfolio.id,
        version_key,
        now,
    )
    await plans.supersede_open_plans(owner_id, tx, portfolio.id, author, now, queued=False)
    before = {"version": old.meta.version, "targets": old.targets.entries} if old else None
    document = {"version": version, "note": note, "targets": targets.entries, "before": before}
    await history.append_history(owner_id, tx, portfolio.id, "TARGETS_SET", meta.id, author, now, document)
    await events.append_event(owner_id, tx, portfolio.id, "targets", meta.id, {"version": version}, now)
    return StoredTargets(meta, replace(targets, version=version))


async def _open_version(owner_id: int, tx: Tx, portfolio: StoredPortfolio, meta: TargetsMeta, uuid: UUID) -> int:
    key: int = await tx.value(
        """
        INSERT INTO target_versions (
            public_id, portfolio_id, owner_id, version, author, note, effective_at, changes, sealed
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, false) RETURNING id
        """,
        uuid,
        portfolio.id,
        owner_id,
        meta.version,
        meta.author,
        meta.note,
        meta.effective_at,
    )
    return key


async def _write_entries(tx: Tx, version_key: int, targets: Targets) -> None:
    keys = await load_asset_keys(tx, [asset_id for entry in targets.entries for asset_id in entry.assets])
    await tx.copy(
        "target_allocations",
        ("target_version_id", "position", "key", "percent", "asset_ids", "asset_class", "band"),
        [
            (
                version_key,
                position,
                entry.key,
                entry.percent,
                [keys[asset_id] for asset_id in entry.assets],
                entry.asset_class.value if entry.asset_class else None,
                documents.dump(entry.band) if entry.band else None,
            )
            for position, entry in enumerate(targets.entries)
        ],
    )


async def load_targets_history(
    owner_id: int, tx: Tx, portfolio_row_id: int, first: int, before_version: int | None = None
) -> list[StoredTargets]:
    """Return versions of a portfolio's targets, newest first, those before a version when one is given."""
    rows = await tx.fetch(
        f"""
        SELECT t.public_id, t.version, t.author, t.note, t.effective_at, {ENTRIES} AS entries FROM target_versions t
        WHERE t.owner_id = $1 AND t.portfolio_id = $2 AND t.sealed AND ($3::bigint IS NULL OR t.version < $3)
        ORDER BY t.version DESC LIMIT $4
        """,
        owner_id,
        portfolio_row_id,
        before_version,
        first,
    )
    asset_ids = await _public_ids(tx, set().union(*(asset_keys_of(row["entries"]) for row in rows)))
    return [_stored(row, asset_ids) for row in rows]


def _stored(row: asyncpg.Record, asset_ids: Mapping[int, str]) -> StoredTargets:
    public_id = ids.encode(ids.TARGETS, row["public_id"])
    meta = TargetsMeta(public_id, row["version"], row["author"], row["note"], row["effective_at"])
    return StoredTargets(meta, targets_of(row["entries"], row["version"], asset_ids))


async def _public_ids(tx: Tx, keys: set[int]) -> dict[int, str]:
    rows = await tx.fetch("SELECT id, public_id FROM assets WHERE id = ANY ($1)", list(keys))
    return {row["id"]: ids.encode(ids.ASSET, row["public_id"]) for row in rows}
