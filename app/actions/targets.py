"""Targets: set as a new version, or only checked; their history."""

from collections.abc import Sequence
from dataclasses import replace

from app.actions.pages import Page, key_of, page_of, row_of
from app.actions.portfolios import Loaded, TargetsMeta, check_writable, parse_targets, require
from app.context import Context, new_uuid
from app.core import targets as core
from app.core.drift import Snapshot, windows_of
from app.core.targets import TargetDraft, Targets
from app.store import assets
from app.store import targets as rows
from app.store.closes import with_closes
from app.store.db import Tx
from app.store.market import load_market
from app.store.portfolios import check_version


async def set_targets(
    context: Context,
    portfolio_id: str,
    drafts: Sequence[TargetDraft],
    *,
    expected: int | None,
    note: str | None,
    dry_run: bool,
) -> Loaded:
    """Replace a portfolio's targets by a new version and return it; a dry run stores nothing.

    What comes back from a dry run is the portfolio with the targets it would have, without a version.
    """
    async with context.store.owned(context.owner_id, reading=dry_run) as tx:
        loaded = await require(context, tx, portfolio_id)
        check_writable(loaded.row.status, "portfolioId")
        wanted = await look_up(tx, drafts, "entries")
        if dry_run:
            check_version("targets", expected, loaded.row.targets_version)
            return await with_targets(tx, loaded, wanted)
        await rows.replace_targets(
            context.owner_id,
            tx,
            portfolio_id,
            wanted,
            author=context.actor,
            now=context.now,
            new_uuid=new_uuid,
            note=note or "",
            expected_version=expected,
        )
        loaded = await require(context, tx, portfolio_id)
    await context.bus.nudge("targets", [context.owner_id])
    return loaded


async def look_up(tx: Tx, drafts: Sequence[TargetDraft], *path: str) -> Targets:
    """Look the symbols of drafts up and check them; errors are put under `path`."""
    names = await assets.load_assets_by_symbol(tx, sorted(core.symbols_of(drafts)))
    return parse_targets(drafts, names, *path)


async def with_targets(tx: Tx, loaded: Loaded, wanted: Targets) -> Loaded:
    """Return the portfolio as if it had these targets, with the assets and prices they need."""
    known = loaded.snapshot.market
    named = {asset_id for entry in wanted.entries for asset_id in entry.assets}
    more = await load_market(tx, named - known.assets.keys())
    snapshot = await _moving(tx, replace(loaded.snapshot, targets=wanted, market=known.joined(more)))
    return replace(loaded, row=replace(loaded.row, targets=None), snapshot=snapshot)


async def history(
    context: Context, loaded: Loaded, first: int, after: str | None
) -> Page[tuple[Snapshot, Targets, TargetsMeta]]:
    """List versions of the targets, newest first, each with a snapshot that knows its assets."""
    before = key_of(after, row_of)
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await rows.load_targets_history(context.owner_id, tx, loaded.row.id, first + 1, before)
        named = {asset_id for one in found for entry in one.targets.entries for asset_id in entry.assets}
        # What is held belongs to it too: bands may rest on it, and on the closes that any version needs.
        market = loaded.snapshot.market.joined(await load_market(tx, named))
        every = Targets(tuple(entry for one in found for entry in one.targets.entries))
        known = await _moving(tx, replace(loaded.snapshot, targets=every, market=market))
    snapshot = replace(known, targets=loaded.snapshot.targets)
    versions = [(snapshot, one.targets, one.meta) for one in found]
    return page_of(versions, first, lambda one: str(one[2].version))


async def _moving(tx: Tx, snapshot: Snapshot) -> Snapshot:
    """Return a snapshot with the closes that its targets' bands rest on, where they do."""
    return (await with_closes(tx, [snapshot]))[0] if windows_of(snapshot) else snapshot
