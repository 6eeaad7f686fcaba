"""The scan lives through many hours: one drift log for each portfolio and hour, none missing, none doubled."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from app.actions import scans
from app.actions.access import domain_now
from app.context import wall_now
from app.store.clock import Clock, set_clock
from tests.builders import AS_OF
from tests.journeys.fragile import PORTFOLIOS, Fragile
from tests.support import later, until

HOURS = 12

LOGS = """
    SELECT count(*), count(DISTINCT (portfolio_id, bucket)), count(DISTINCT bucket), min(bucket), max(bucket)
    FROM drift_logs WHERE bucket > $1
"""
OPEN = "SELECT count(*) FROM scan_runs WHERE status = 'RUNNING' OR gap_from IS NOT NULL"
RUNS = """
    SELECT count(*), count(*) FILTER (WHERE status = 'DONE'), count(DISTINCT bucket), min(bucket),
        extract(epoch FROM max(bucket) - min(bucket))::int
    FROM scan_runs WHERE bucket > $1
"""


async def test_many_hours_with_two_workers_that_race_leave_one_log_for_each_portfolio_and_hour(
    fragile: Fragile,
) -> None:
    fragile.dismiss()
    for _ in range(2):
        fragile.steelyard.work("light", light_jobs=10)
    [(before,)] = await fragile.steelyard.rows("SELECT coalesce(max(bucket), $1) FROM scan_runs", AS_OF)
    async with fragile.steelyard.services() as services:
        for _ in range(HOURS):
            await fragile.move_price()
            await later(services)
            opened = await asyncio.gather(*(scans.tick(services) for _ in range(3)))
            assert sum(bucket is not None for bucket in opened) <= 1
            await fragile.until_ended(scans.bucket_of(await domain_now(services), 3600))
    first, last = before + timedelta(hours=1), before + timedelta(hours=HOURS)
    logs = PORTFOLIOS * HOURS
    assert await fragile.steelyard.rows(LOGS, before) == [(logs, logs, HOURS, first, last)]
    await fragile.assert_each_portfolio_once(last)


async def test_a_scan_every_second_by_the_workers_own_clock_measures_each_portfolio_once_a_second(
    fragile: Fragile,
) -> None:
    fragile.dismiss()
    began = await fragile.now() + timedelta(hours=1)
    async with fragile.steelyard.services() as services, services.store.shared() as tx:
        await set_clock(tx, Clock(wall_now(), began, Decimal(1)))
    workers = [fragile.steelyard.work("light", light_jobs=10, scan_period_s=1) for _ in range(2)]

    async def four_seconds_are_scanned() -> bool:
        [(done,)] = await fragile.steelyard.rows(
            "SELECT count(*) FROM scan_runs WHERE bucket >= $1 AND status = 'DONE'", began
        )
        return int(done) >= 4

    await until(four_seconds_are_scanned)
    await fragile.steelyard.stand(await fragile.now())

    async def none_is_open() -> bool:
        return await fragile.steelyard.rows(OPEN) == [(0,)]

    await until(none_is_open)
    for worker in workers:
        worker.kill()
    before = began - timedelta(seconds=1)
    [(seconds, scanned, distinct, first, span)] = await fragile.steelyard.rows(RUNS, before)
    # No second is without a run: the workers took a few to start, and those are recorded as missed.
    assert (distinct, first, span) == (seconds, began, seconds - 1)
    [figures] = await fragile.steelyard.rows(LOGS, before)
    assert figures[:3] == (PORTFOLIOS * scanned, PORTFOLIOS * scanned, scanned)


PASSED = """
    SELECT extract(epoch FROM r.bucket - $1)::int / 3600, r.kind, r.status, count(d.portfolio_id),
        count(DISTINCT d.portfolio_id), max(d.value)::int
    FROM scan_runs r LEFT JOIN drift_logs d USING (bucket) WHERE r.bucket > $1 GROUP BY r.bucket, r.kind, r.status
    ORDER BY r.bucket
"""


async def test_hours_without_a_worker_are_made_up_for_or_recorded_as_missed_by_those_that_come(
    fragile: Fragile,
) -> None:
    await fragile.scan()
    fragile.dismiss()
    [(before,)] = await fragile.steelyard.rows("SELECT max(bucket) FROM scan_runs")
    alerts = await fragile.steelyard.rows("SELECT count(*) FROM outbox WHERE topic = 'alert'")
    raised = fragile.raised
    for hour in range(1, 30):
        async with fragile.steelyard.services() as services:
            await later(services)
        if hour in (3, 27):
            await fragile.move_price()
    assert fragile.raised is raised
    workers = [fragile.steelyard.work("light", light_jobs=10, sweep_s=0.5) for _ in range(2)]

    async def all_are_accounted_for() -> bool:
        [figures] = await fragile.steelyard.rows(RUNS, before)
        return bool(figures[0] == 29 and await fragile.steelyard.rows(OPEN) == [(0,)])

    await until(all_are_accounted_for)
    for worker in workers:
        worker.kill()
    full, value = (PORTFOLIOS, PORTFOLIOS), 1300 if raised else 1000
    scanned = {27: ("CATCH_UP", "DONE", *full, value), 29: ("SCHEDULED", "DONE", *full, value)}
    missed = ("CATCH_UP", "MISSED", 0, 0, None)
    assert await fragile.steelyard.rows(PASSED, before) == [(hour, *scanned.get(hour, missed)) for hour in range(1, 30)]
    assert await fragile.steelyard.rows("SELECT count(*) FROM outbox WHERE topic = 'alert'") == alerts
