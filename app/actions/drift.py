"""Drift: measured live, against targets in force or a what-if; the log of what was measured."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
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
from app.core.health import Resolution
from app.core.targets import TargetDraft
from app.store import closes, logs, periods
from app.store.periods import Period

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


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stretch of a history, with its last measurement in full where that was asked for and is kept."""

    period: Period
    report: Report | None


async def history(
    context: Context,
    loaded: Loaded,
    first: int,
    after: str | None,
    resolution: Resolution,
    since: datetime | None,
    until: datetime | None,
    *,
    full: bool,
) -> Page[Stretch]:
    """List what was measured of a portfolio and what was missed, newest first; `full` with the last measurements."""
    before = key_of(after, scalars.instant)
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await periods.load_periods(
            context.owner_id, tx, loaded.row.id, first + 1, resolution, before=before, since=since, until=until
        )
        last = [period.last_at for period in found[:first] if period.last_at]
        reports = await logs.load_drift_logs(context.owner_id, tx, loaded.row.id, last) if full else {}
    stretches = [Stretch(period, reports.get(period.last_at) if period.last_at else None) for period in found]
    return page_of(stretches, first, lambda one: scalars.write_instant(one.period.bucket))
