"""Drift: measured live, against targets in force or a what-if; the log of what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.actions import portfolios, targets
from app.actions.pages import Page, key_of, page_of
from app.actions.portfolios import Loaded
from app.context import Context
from app.core import drift as core
from app.core import scalars
from app.core.drift import Report
from app.core.health import Resolution
from app.core.targets import TargetDraft
from app.store import logs, periods
from app.store.periods import Period


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
