"""The sweeper rolls days up and lets old logs go, by the domain clock."""

from dataclasses import replace
from datetime import timedelta

from app.actions import keep, scans
from app.actions.access import domain_now
from app.context import Services
from app.core.scalars import write_instant
from app.store import rollups
from tests.builders import AS_OF
from tests.store.test_rollups import MONTHS
from tests.store.world import World
from tests.support import later
from tests.workers.conftest import keep as keep_portfolio
from workers import scan

DAYS = "SELECT array_agg(to_char(day, 'YYYY-MM-DD ') || measurements ORDER BY day) FROM drift_days"


async def scan_hours(services: Services, count: int, step: timedelta = timedelta(hours=1)) -> None:
    for _ in range(count):
        await scan.scan_tick({"services": services})
        bucket = scans.bucket_of(await domain_now(services), services.settings.scan_period_s)
        await scan.scan_chunk({"services": services}, write_instant(bucket), 0)
        await later(services, step)


async def test_a_day_is_rolled_up_after_midnight(services: Services, world: World) -> None:
    await keep_portfolio(world)
    await scan_hours(services, 8)
    await keep.tidy(services)
    assert await domain_now(services) - AS_OF < timedelta(hours=8, minutes=1)
    assert await world.sql(DAYS) == ["2024-06-03 8"]
    await scan_hours(services, 2)
    await keep.tidy(services)
    assert await world.sql(DAYS) == ["2024-06-03 8"]


async def test_months_and_days_go_when_they_were_kept_long_enough(services: Services, world: World) -> None:
    settings = services.settings.model_copy(update={"drift_log_days": 30, "drift_day_days": 60})
    services = replace(services, settings=settings)
    await keep_portfolio(world)
    await scan_hours(services, 3, timedelta(days=20))
    await keep.tidy(services)
    # The clock stands at the 2nd of August: June ended 32 days ago.
    assert await world.sql(MONTHS) == ["drift_logs_202407"]
    assert await world.sql(DAYS) == ["2024-06-03 1", "2024-06-23 1", "2024-07-13 1"]
    await later(services, timedelta(days=10))
    await keep.tidy(services)
    assert await world.sql(DAYS) == ["2024-06-23 1", "2024-07-13 1"]
    assert await world.sql(MONTHS) == ["drift_logs_202407"]


async def test_all_that_is_left_by_default_is_the_figures_of_days(services: Services, world: World) -> None:
    await keep_portfolio(world)
    await scan_hours(services, 2, timedelta(days=300))
    await later(services, timedelta(days=3000))
    await keep.tidy(services)
    assert await world.sql(MONTHS) is None
    assert await world.sql(DAYS) == ["2024-06-03 1", "2025-03-30 1"]


async def test_a_worker_leaves_it_to_the_one_that_is_at_it(services: Services, world: World) -> None:
    await keep_portfolio(world)
    await scan_hours(services, 1, timedelta(days=200))
    async with services.store.shared() as tx:
        assert await rollups.scan_take_roll_up_turn(tx)
        await keep.tidy(services)
    assert await world.sql(DAYS) is None
    assert await world.sql(MONTHS) == ["drift_logs_202406"]
    await keep.tidy(services)
    assert await world.sql(DAYS) == ["2024-06-03 1"]
