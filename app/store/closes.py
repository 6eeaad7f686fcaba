"""Closing prices: the last price of each UTC day, kept by `assets.record_prices` for statistics."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, timedelta

from app.core import drift, ids
from app.core.drift import Snapshot
from app.core.stats import TRACKING_WINDOW_DAYS, Closes
from app.store.assets import asset_uuids
from app.store.db import Tx


async def with_closes(tx: Tx, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Return snapshots of one instant with the closes of what they hold or want, of days that are over. One statement.

    They reach as far back as the tracking error and the bands in force look.
    """
    if not snapshots:
        return []
    used = [drift.used_assets(snapshot) for snapshot in snapshots]
    windows = set().union(*(drift.windows_of(snapshot) for snapshot in snapshots))
    today = snapshots[0].as_of.astimezone(UTC).date()
    since = today - timedelta(days=max({TRACKING_WINDOW_DAYS, *windows}))
    found = await load_closes(tx, set().union(*used), since, today)
    return [
        replace(snapshot, closes={key: found[key] for key in mine if key in found})
        for snapshot, mine in zip(snapshots, used, strict=True)
    ]


async def load_closes(tx: Tx, asset_ids: Collection[str], since: date, before: date) -> dict[str, Closes]:
    """Return closes by public asset id, of days since <= day < before; who has none is left out.

    One statement, one row an asset. As large as assets times days: a window is at most ten years.
    """
    rows = await tx.fetch(
        """
        SELECT a.public_id, array_agg(d.day - date '0001-01-01' + 1 ORDER BY d.day) AS days,
            array_agg(d.price::float8 ORDER BY d.day) AS prices
        FROM price_days d JOIN assets a ON a.id = d.asset_id
        WHERE a.public_id = ANY ($1) AND d.day >= $2 AND d.day < $3
        GROUP BY a.public_id
        """,
        asset_uuids(sorted(asset_ids)),
        since,
        before,
    )
    # Days come as their ordinals and assets of one market have the same: each set is made once, and aligning two
    # assets compares the address of one tuple.
    known: dict[tuple[int, ...], tuple[date, ...]] = {}
    found = {}
    for row in rows:
        ordinals = tuple(row["days"])
        days = known.get(ordinals) or known.setdefault(ordinals, tuple(map(date.fromordinal, ordinals)))
        found[ids.encode(ids.ASSET, row["public_id"])] = Closes(days, tuple(row["prices"]))
    return found
