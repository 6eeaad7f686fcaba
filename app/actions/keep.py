"""What is kept of the drift log, and for how long: days are rolled up, and old logs let go. By the domain clock."""

import time
from datetime import timedelta
from typing import Final

import structlog

from app.actions.access import domain_now
from app.actions.scans import EPOCH
from app.context import Services
from app.core.policy import DAY_S
from app.store import rollups

# A transaction that writes holds back every reader of events: so many rows take a fraction of a second.
ROWS_MAX: Final = 10_000
# The sweeper has other things to do; what is left is done the next time.
SWEEP_S: Final = 2.0

log = structlog.get_logger(__name__)


async def tidy(services: Services) -> None:
    """Roll up days that are over; when there are none, let go of what was kept long enough. One worker at a time."""
    give_up_at = time.monotonic() + SWEEP_S
    while await _roll_up(services):
        if time.monotonic() > give_up_at:
            return
    while await _let_go(services):
        if time.monotonic() > give_up_at:
            return


async def _roll_up(services: Services) -> bool:
    day = timedelta(seconds=DAY_S)
    today = EPOCH + (await domain_now(services) - EPOCH) // day * day
    async with services.store.shared() as tx:
        return await rollups.scan_take_roll_up_turn(tx) and await rollups.scan_roll_up(tx, today, ROWS_MAX)


async def _let_go(services: Services) -> bool:
    """Drop months of logs, and delete some figures of days; False when that was all."""
    now, settings = await domain_now(services), services.settings
    async with services.store.shared() as tx:
        if not await rollups.scan_take_roll_up_turn(tx):
            return False
        if dropped := await rollups.scan_drop_logs(tx, now - timedelta(days=settings.drift_log_days)):
            log.info("drift_logs_dropped", months=dropped)
        if not settings.drift_day_days:
            return False
        return await rollups.scan_forget_days(tx, now - timedelta(days=settings.drift_day_days), ROWS_MAX)
