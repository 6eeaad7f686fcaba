"""The scan's jobs and their sweeper."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.actions import scans
from app.context import Services, wall_now
from app.core import alerts as core
from app.core.scalars import write_instant
from app.store import scans as rows
from app.store.scans import Run
from tests.builders import AS_OF
from tests.store.world import World
from tests.support import later
from tests.workers.conftest import forget, keep, waiting
from workers import scan

HOUR = timedelta(hours=1)


async def runs(services: Services) -> list[Run]:
    async with services.store.shared(reading=True) as tx:
        return await rows.runs(tx, 10)


def job(bucket: datetime, number: int) -> str:
    return f"scan_chunk:{write_instant(bucket)}:{number}"


@pytest.mark.parametrize(
    ("now", "period_s", "bucket"),
    [
        ("2024-06-03T16:59:59.999999", 3600, "2024-06-03T16:00:00"),
        ("2024-06-03T17:00:00", 3600, "2024-06-03T17:00:00"),
        ("2024-06-03T16:59:59.999999", 1, "2024-06-03T16:59:59"),
        ("2024-06-03T16:59:59", 86_400, "2024-06-03T00:00:00"),
        ("2024-06-03T16:59:59", 7200, "2024-06-03T16:00:00"),
    ],
)
def test_bucket_of_an_instant(now: str, period_s: int, bucket: str) -> None:
    given, expected = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, bucket))
    assert scans.bucket_of(given, period_s) == expected


async def test_of_many_ticks_at_once_one_opens_the_bucket(services: Services, world: World) -> None:
    for _ in range(3):
        await keep(world)
    opened = await asyncio.gather(*(scans.tick(services) for _ in range(6)))
    assert [bucket for bucket in opened if bucket] == [AS_OF]
    assert await waiting(services) == [job(AS_OF, 0), job(AS_OF, 1)]
    assert await scans.tick(services) is None
    await later(services)
    assert await scans.tick(services) == AS_OF + HOUR
    assert [(run.bucket, run.due) for run in await runs(services)] == [(AS_OF + HOUR, 3), (AS_OF, 3)]


async def test_a_scan_of_nothing_is_over_at_once(services: Services) -> None:
    await scan.scan_tick({"services": services})
    [run] = await runs(services)
    assert (run.status.value, run.due, run.scanned) == ("DONE", 0, 0)
    assert await waiting(services) == []


async def test_a_chunk_that_runs_twice_is_written_once(services: Services, world: World) -> None:
    await keep(world)
    await scan.scan_tick({"services": services})
    given = ({"services": services}, write_instant(AS_OF), 0)
    await asyncio.gather(*(scan.scan_chunk(*given) for _ in range(4)))
    await scan.scan_chunk(*given)
    [run] = await runs(services)
    assert (run.status.value, run.scanned, run.breached, run.alerts, run.failed) == ("DONE", 1, 1, 1, 0)
    assert await world.sql("SELECT count(*) FROM drift_logs") == 1
    assert await world.sql("SELECT count(*) FROM outbox WHERE topic = 'alert'") == 1


async def test_a_portfolio_that_cannot_be_decided_about_holds_up_no_other(
    services: Services, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = await keep(world), await keep(world)
    decide, left = core.decide, [broken]

    def fail_once(*given: Any) -> core.Decision:
        if left:
            raise ValueError(left.pop())
        return decide(*given)

    monkeypatch.setattr(core, "decide", fail_once)
    await scans.tick(services)
    await scans.measure_chunk(services, write_instant(AS_OF), 0)
    [run] = await runs(services)
    assert (run.status.value, run.scanned, run.breached, run.alerts) == ("DONE", 2, 2, 1)
    assert await world.sql("SELECT payload->'alert'->>'portfolio_id' FROM outbox WHERE topic = 'alert'") == sound


async def test_every_chunk_of_a_scan_sees_the_prices_it_began_with(services: Services, world: World) -> None:
    for _ in range(3):
        await keep(world)
    await scans.tick(services)
    await scans.measure_chunk(services, write_instant(AS_OF), 0)
    await world.price("AAPL", "100", AS_OF + timedelta(seconds=1))
    await scans.measure_chunk(services, write_instant(AS_OF), 1)
    assert await world.sql("SELECT array_agg(DISTINCT trim_scale(value)::text) FROM drift_logs") == ["1300"]


async def test_the_sweeper_puts_lost_chunks_back(services: Services, world: World) -> None:
    for _ in range(5):
        await keep(world)
    await scans.tick(services)
    await scans.measure_chunk(services, write_instant(AS_OF), 1)
    await forget(services)
    assert await waiting(services) == []
    await scans.sweep(services)
    await scans.sweep(services)
    assert await waiting(services) == [job(AS_OF, 0), job(AS_OF, 2)]


async def test_the_sweeper_closes_a_scan_whose_last_worker_died_before_it_could(
    services: Services, world: World
) -> None:
    await keep(world)
    await scans.tick(services)
    async with services.store.shared() as tx:
        assert await rows.claim_chunk(tx, AS_OF, 0, wall_now())
    assert [run.status.value for run in await runs(services)] == ["RUNNING"]
    await scans.sweep(services)
    assert [run.status.value for run in await runs(services)] == ["DONE"]
    assert await world.sql("SELECT count(*) FROM scan_prices") == 0


async def test_a_paused_portfolio_is_not_measured(services: Services, world: World) -> None:
    await keep(world)
    paused = await keep(world)
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE portfolios SET status = 'PAUSED' WHERE id = (SELECT max(id) FROM portfolios)")
    await scans.tick(services)
    await scans.measure_chunk(services, write_instant(AS_OF), 0)
    assert [(run.due, run.scanned) for run in await runs(services)] == [(1, 1)]
    row = (await world.find(paused)).row.id
    assert await world.sql("SELECT count(*) FROM drift_logs WHERE portfolio_id = $1", row) == 0


async def test_a_portfolio_whose_prices_are_too_old_is_stale_and_not_out_of_band(
    services: Services, world: World
) -> None:
    await keep(world)
    await later(services, timedelta(days=5))
    await scan.scan_tick({"services": services})
    await scan.scan_chunk({"services": services}, write_instant(AS_OF + timedelta(days=5)), 0)
    run = (await runs(services))[0]
    assert (run.status.value, run.scanned, run.stale, run.breached) == ("DONE", 1, 1, 0)
    assert await world.sql("SELECT breaches FROM drift_logs") == 1  # what it would be at the old prices


async def test_a_bucket_that_comes_late_is_logged_and_alerts_nobody(services: Services, world: World) -> None:
    await keep(world)
    await scan.scan_tick({"services": services})
    await world.price("AAPL", "100")
    await later(services)
    await scan.scan_tick({"services": services})
    for bucket in (AS_OF + HOUR, AS_OF):
        await scan.scan_chunk({"services": services}, write_instant(bucket), 0)
    assert [(run.bucket, run.breached, run.alerts) for run in await runs(services)] == [
        (AS_OF + HOUR, 0, 0),
        (AS_OF, 1, 0),
    ]
    assert await world.sql("SELECT count(*) FROM outbox WHERE topic = 'alert'") == 0
