"""Drift: measured live, against targets in force or a what-if; the log of what was measured."""

from collections.abc import Sequence
from datetime import datetime

from app.actions import portfolios, targets
from app.actions.pages import Page, key_of, page_of
from app.actions.portfolios import Loaded
from app.context import Context
from app.core import drift as core
from app.core import scalars
from app.core.drift import Report
from app.core.targets import TargetDraft
from app.store import logs
from app.store.logs import DriftLog as DriftLog


async def measure(context: Context, portfolio_id: str) -> Report:
    """Measure a portfolio at the latest prices."""
    return measure_loaded(await portfolios.find(context, portfolio_id))


def measure_loaded(loaded: Loaded) -> Report:
    """Measure a portfolio that is loaded already."""
    return core.measure(loaded.snapshot)


async def measure_against(context: Context, loaded: Loaded, drafts: Sequence[TargetDraft]) -> Report:
    """Measure a portfolio against other targets; nothing is stored."""
    async with context.store.shared(reading=True) as tx:
        wanted = await targets.look_up(tx, drafts, "against")
        return measure_loaded(await targets.with_targets(tx, loaded, wanted))


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
