"""A portfolio's drift, followed: as it is now, then as it changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic
from typing import Final

from app.actions import portfolios
from app.actions.access import domain_now
from app.actions.live import Hub
from app.actions.waking import woken
from app.context import Context
from app.core import drift as core
from app.core.drift import Report
from app.core.errors import InvalidInput
from app.core.portfolio import rests_on
from app.core.scalars import write_duration
from app.store.db import StoreUnavailable

EVERY_MIN_S: Final = 1
EVERY_MAX_S: Final = 3600
REMEASURE_S: Final = 60
"""Prices age while nothing else happens; a portfolio becomes stale without anybody waking its followers."""


async def drift(context: Context, hub: Hub, portfolio_id: str, every_s: int) -> AsyncIterator[Report]:
    """Yield the drift of a portfolio now, then each time it is another, at most once in `every_s`.

    It is measured when the next answer may be given, and not before: none ever waits, and one that is slow to be taken
    leaves out what lay in between.
    """
    if not EVERY_MIN_S <= every_s <= EVERY_MAX_S:
        least, most = write_duration(EVERY_MIN_S), write_duration(EVERY_MAX_S)
        raise InvalidInput(f"every is {write_duration(every_s)}; it must be from {least} to {most}", ["every"])
    last: Report | None = None
    with hub.listen(context.owner_id) as wake, hub.rest(wake) as resting:
        while True:
            began = monotonic()
            try:
                # A subscription is older than what it tells.
                loaded = await portfolios.find(replace(context, now=await domain_now(context)), portfolio_id)
            except StoreUnavailable:
                await asyncio.sleep(context.settings.event_poll_s)
                continue
            snapshot = loaded.snapshot
            if resting.on(rests_on(snapshot.portfolio, snapshot.market)):
                wake.set()  # a price may have changed after it was read, and before anybody listened
            report = core.measure(snapshot)
            if last is None or replace(last, as_of=report.as_of) != report:
                last = report
                yield report
            await asyncio.sleep(max(0.0, every_s - (monotonic() - began)))
            await woken(wake, REMEASURE_S)
