"""Figures of the whole house, where the journeys do not come by."""

from datetime import datetime, timedelta

from app.context import new_uuid
from app.store import metrics, scans
from tests.builders import AS_OF, snapshot
from tests.store.world import World

HOUR = timedelta(hours=1)


async def oldest_unscanned(world: World, now: datetime) -> int:
    async with world.store.shared(reading=True) as tx:
        return int((await metrics.scan_figures(tx, now)).oldest_unscanned_s)


async def test_a_monitor_that_never_began_is_seen_by_the_portfolios_that_wait_for_it(world: World) -> None:
    assert await oldest_unscanned(world, AS_OF) == 0
    await world.keep(snapshot("6 AAPL @ 100", {"AAPL": "100"}))
    assert await oldest_unscanned(world, AS_OF + 2 * HOUR) == 7200
    for status, waited in (("PAUSED", 0), ("ACTIVE", 7200)):
        await world.sql("UPDATE portfolios SET status = $1", status)
        assert await oldest_unscanned(world, AS_OF + 2 * HOUR) == waited
    async with world.store.shared() as tx:
        assert await scans.open_run(tx, AS_OF + 2 * HOUR, AS_OF + 2 * HOUR, 3600, 1, AS_OF, new_uuid)
        assert await scans.claim_chunk(tx, AS_OF + 2 * HOUR, 0, AS_OF)
        assert await scans.finish_run(tx, AS_OF + 2 * HOUR, AS_OF)
    assert await oldest_unscanned(world, AS_OF + 2 * HOUR) == 0
    assert await oldest_unscanned(world, AS_OF + 4 * HOUR) == 3600
