"""Price ticks: a recorded price leads to alerts at once, through the same decision as the scan, and no log."""

import asyncio
from time import monotonic
from typing import Final

from app.actions import alerts as alert_actions
from app.actions.access import domain_now
from app.actions.deciding import Told, decide, measure_all, tell
from app.actions.waking import PENDING_S
from app.bus.jobs import PRICES_TICK
from app.context import Services
from app.store import alerts, reading, ticks
from app.store.ticks import Moved, Pass

RUN_S: Final = 60.0
"""A job goes on for so long, far less than it may; the sweeper asks for another when there is more."""
PENDING_MAX: Final = 100
"""A price whose commit waits for an older transaction is looked for again so often."""
TOUCHED_MAX: Final = 20_000
"""So many portfolios are looked up at once; they are decided about by the pages of a scan's chunk."""


async def enqueue(services: Services) -> None:
    """Ask for a pass over the prices that changed. While one waits, every other is the same."""
    await services.bus.enqueue(PRICES_TICK, unique="one")


async def sweep(services: Services) -> None:
    """Ask again where prices wait: the database is the truth, and a job may get lost."""
    async with services.store.shared() as tx:
        await ticks.scan_begin_anew(tx)
        waiting = await ticks.scan_has_ticks(tx)
    if waiting:
        await enqueue(services)


async def run(services: Services) -> int:
    """Decide about the portfolios that rest on changed prices until none waits; return how many those were.

    The owners' alerts about data are settled at the end, so that one counts every portfolio; the sweeper settles what
    a crash leaves.
    """
    ends, touched, pending = monotonic() + RUN_S, 0, 0
    unsettled: set[int] = set()
    while monotonic() < ends and pending < PENDING_MAX:
        async with services.store.shared() as tx:
            begun = await ticks.scan_open_pass(tx)
            moved = await ticks.scan_moved(tx, begun) if begun else None
            waiting = begun is not None or await ticks.scan_has_ticks(tx)
        if begun and moved:
            pending = 0
            try:
                touched += await _go_through(services, begun, moved, ends, unsettled)
            except _MovedOn:
                break
        elif waiting:
            pending += 1
            await asyncio.sleep(PENDING_S)
        else:
            break
    if unsettled:
        await alert_actions.settle(services, sorted(unsettled))
    return touched


class _MovedOn(Exception):
    """Somebody else is at the same pass, and was faster."""


async def _go_through(services: Services, begun: Pass, moved: Moved, ends: float, unsettled: set[int]) -> int:
    """Go through the portfolios of a pass, from where it is, until its end or that of our time."""
    done, touched = begun, 0
    size = services.settings.scan_chunk_portfolios
    while monotonic() < ends:
        async with services.store.shared(reading=True) as tx:
            found = await ticks.scan_touched(tx, moved, done.after, TOUCHED_MAX)
        for start in range(0, len(found), size):
            page = found[start : start + size]
            told = await _decide_page(services, done, page, page[-1])
            unsettled.update(one.owner_id for one in told if one.data)
            done, touched = Pass(done.since, done.until, page[-1]), touched + len(page)
            if monotonic() >= ends:
                return touched
        if len(found) < TOUCHED_MAX:
            await _decide_page(services, done, [], None)
            return touched
    return touched


async def _decide_page(services: Services, of: Pass, page: list[int], last: int | None) -> list[Told]:
    """Decide about a page of portfolios and write how far the pass has got; None is to its end. Return what to tell.

    The measuring is outside the transaction that writes, as it is in a scan. If a scan has begun since, or decided at
    newer prices, it is done again within, lest an older price had the last word: so it is done at most twice.
    """
    now = await domain_now(services)
    async with services.store.shared(reading=True) as tx:
        seen = await ticks.scan_snapshot(tx)
        loaded = await reading.scan_snapshots_now(tx, page, now) if page else []
    measured = await asyncio.to_thread(measure_all, loaded)
    rows = [one.row.id for one, _ in measured]
    async with services.store.shared() as tx:
        await alerts.scan_take_turn(tx, rows)
        if not await ticks.scan_hold_pass(tx, of):
            raise _MovedOn
        states = await alerts.scan_states(tx, rows)
        if await ticks.scan_overtaken(tx, rows, seen):
            measured = await asyncio.to_thread(measure_all, await reading.scan_snapshots_now(tx, rows, now))
        told = await decide(tx, measured, states, bucket=None, now=now)
        await ticks.scan_note_decisions(tx, rows)
        await ticks.scan_move_on(tx, of, last)
    await tell(services, told)
    return told
