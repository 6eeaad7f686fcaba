"""Drift: measured live, against targets in force or a what-if; the log of what was measured."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from app.actions import portfolios, targets
from app.actions.pages import Page, key_of, page_of
from app.actions.portfolios import Loaded
from app.context import Context
from app.core import drift as core
from app.core import scalars
from app.core.drift import Report
from app.core.targets import TargetDraft
from app.store import closes, logs
from app.store.logs import DriftLog as DriftLog

LAST: Final = datetime.max.replace(tzinfo=UTC)


async def measure(context: Context, portfolio_id: str, *, tracking: bool = False) -> Report:
    """Measure a portfolio at the latest prices; `tracking` adds the tracking error, which takes its closes."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        snapshot = (await portfolios.require(context, tx, portfolio_id)).snapshot
        if tracking:
            (snapshot,) = await closes.with_closes(tx, [snapshot])
    return core.measure(snapshot, tracking=tracking)


def measure_loaded(loaded: Loaded) -> Report:
    """Measure a portfolio that is loaded already."""
    return core.measure(loaded.snapshot)


async def what_if(context: Context, loaded: Loaded, drafts: Sequence[TargetDraft]) -> Loaded:
    """Return a portfolio as if it had other targets; nothing is stored."""
    async with context.store.shared(reading=True) as tx:
        wanted = await targets.look_up(tx, drafts, "against")
        return await targets.with_targets(tx, loaded, wanted)


async def tracking_errors(context: Context, asked: Sequence[tuple[Loaded, Report]]) -> list[Decimal | None]:
    """Work out the tracking errors of portfolios that are measured, with one statement for the closes of all."""
    async with context.store.shared(reading=True) as tx:
        known = await closes.with_closes(tx, [loaded.snapshot for loaded, _ in asked])
    pairs = [(snapshot, report) for snapshot, (_, report) in zip(known, asked, strict=True)]
    return await asyncio.to_thread(lambda: [core.tracking_error(*pair) for pair in pairs])


async def measured_at(context: Context, loaded: Loaded, at: datetime) -> Report | None:
    """Return what the last scan up to an instant measured, None before the first."""
    until = at + timedelta.resolution if at < LAST else None
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await logs.load_drift_history(context.owner_id, tx, loaded.row.id, 1, until=until)
    return found[0].report if found else None


async def history(
    context: Context,
    loaded: Loaded,
    first: int,
    after: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Page[DriftLog]:
    """List what the scans measured, newest bucket first."""
    before = key_of(after, scalars.instant)
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await logs.load_drift_history(
            context.owner_id, tx, loaded.row.id, first + 1, before=before, since=since, until=until
        )
    return page_of(found, first, lambda one: scalars.write_instant(one.bucket))
