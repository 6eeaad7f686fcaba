"""The sweeper: the database is the truth, so what is unfinished there goes back into the queue."""

import asyncio

import structlog

from app.actions import alerts, keep, plans, proposals, relay, scans, ticks
from app.actions.access import Unavailable
from app.context import Services

log = structlog.get_logger(__name__)


async def sweep_forever(services: Services) -> None:
    """Sweep at start-up and every `sweep_s`, until cancelled."""
    while True:
        try:
            await scans.sweep(services)
            await ticks.sweep(services)
            await plans.scan_unfinished(services)
            await plans.scan_expire(services)
            await alerts.sweep(services)
            await proposals.scan_propose(services)
            await relay.relay_trim(services)
            await keep.tidy(services)
        except Unavailable as error:
            log.warning("sweep_postponed", reason=str(error))
        except Exception:
            log.exception("sweep_failed")
        await asyncio.sleep(services.settings.sweep_s)
