"""The sweeper: the database is the truth, so what is unfinished there goes back into the queue."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.actions import alerts, approving, bulks, computing, keep, proposals, reconciling, relay, scans, ticks
from app.actions.access import Unavailable
from app.context import Services

log = structlog.get_logger(__name__)

Step = Callable[[Services], Awaitable[object]]

STEPS: Final[tuple[Step, ...]] = (
    scans.sweep,
    ticks.sweep,
    computing.scan_unfinished,
    bulks.scan_unfinished,
    approving.scan_expire,
    alerts.sweep,
    proposals.scan_propose,
    reconciling.scan_reconcile,
    relay.relay_trim,
    keep.tidy,
)


async def sweep_forever(services: Services) -> None:
    """Sweep at start-up and every `sweep_s`, until cancelled."""
    while True:
        for step in STEPS:
            await _take(step, services)
        await asyncio.sleep(services.settings.sweep_s)


async def _take(step: Step, services: Services) -> None:
    """Take one step; what is wrong with it must not keep those after it from being taken."""
    name = f"{step.__module__.rpartition('.')[2]}.{step.__name__}"
    try:
        await step(services)
    except Unavailable as error:
        log.warning("sweep_postponed", step=name, reason=str(error))
    except Exception:
        log.exception("sweep_failed", step=name)
