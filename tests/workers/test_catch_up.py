"""Buckets that passed without a worker: made up for where their prices are stored, recorded as missed where not."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.actions import scans
from app.context import Context, Services
from app.core.scalars import write_instant
from app.store import scans as rows
from app.store.scans import Run
from tests.builders import AS_OF
from tests.store.world import World
from tests.support import later
from tests.workers.conftest import keep

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


async def runs(services: Services) -> list[tuple[int, str, str, int, int]]:
    """Return hour, kind, status, due and scanned of the runs, oldest first."""

    def line(run: Run) -> tuple[int, str, str, int, int]:
        return (run.bucket - AS_OF) // HOUR, run.kind.value, run.status.value, run.due, run.scanned

    async with services.store.shared(reading=True) as tx:
        return [line(run) for run in reversed(await rows.runs(tx, 2000))]


async def measure(services: Services) -> None:
    """Do all chunks that wait."""
    async with services.store.shared(reading=True) as tx:
        waiting = await rows.unfinished_chunks(tx, 1000)
    for bucket, number in waiting:
        await scans.measure_chunk(services, write_instant(bucket), number)


async def scan(services: Services) -> None:
    await scans.tick(services)
    await measure(services)


async def logged(world: World) -> list[Any]:
    """Return hour, status and value of the log's rows, by bucket and portfolio."""
    told = """
        SELECT array_agg(ARRAY[(extract(epoch FROM bucket - $1) / 3600)::int::text, status, trim_scale(value)::text]
            ORDER BY bucket, portfolio_id) FROM drift_logs
    """
    return list(await world.sql(told, AS_OF) or [])


async def test_hours_with_prices_are_made_up_for_and_the_others_are_recorded_as_missed(
    services: Services, world: World
) -> None:
    await keep(world, "100")
    await scan(services)
    await world.price("AAPL", "110", AS_OF + 2 * HOUR + MINUTE)
    await world.price("AAPL", "120", AS_OF + 2 * HOUR + 59 * MINUTE)
    await world.price("AAPL", "200", AS_OF + 4 * HOUR)
    await later(services, 4 * HOUR + MINUTE)
    await scan(services)
    assert await runs(services) == [
        (0, "SCHEDULED", "DONE", 1, 1),
        (1, "CATCH_UP", "MISSED", 0, 0),
        (2, "CATCH_UP", "DONE", 1, 1),
        (3, "CATCH_UP", "MISSED", 0, 0),
        (4, "SCHEDULED", "DONE", 1, 1),
    ]
    assert await logged(world) == [["0", "WITHIN", "1000"], ["2", "WARNING", "1120"], ["4", "BREACHED", "1600"]]
    as_of = await world.sql("SELECT as_of FROM drift_logs WHERE bucket = $1", AS_OF + 2 * HOUR)
    assert as_of == AS_OF + 2 * HOUR + 59 * MINUTE
    assert await world.sql("SELECT count(*) FROM scan_prices") == 0


async def test_a_late_hour_alerts_nobody_even_when_it_comes_before_the_current_one(
    services: Services, world: World
) -> None:
    await keep(world, "100")
    await scan(services)
    await world.price("AAPL", "150", AS_OF + HOUR)
    await world.price("AAPL", "100", AS_OF + 2 * HOUR)
    await later(services, 2 * HOUR)
    await scans.tick(services)
    await scans.measure_chunk(services, write_instant(AS_OF + HOUR), 0)
    await measure(services)
    assert await logged(world) == [["0", "WITHIN", "1000"], ["1", "BREACHED", "1300"], ["2", "WITHIN", "1000"]]
    assert await world.sql("SELECT count(*) FROM alerts") == 0


async def test_hours_more_than_a_day_old_are_missed_whatever_prices_there_are(services: Services, world: World) -> None:
    await keep(world, "100")
    await scan(services)
    for hour in range(1, 30):
        await world.price("AAPL", str(100 + hour), AS_OF + hour * HOUR)
    await later(services, 29 * HOUR)
    await scan(services)
    found = await runs(services)
    assert [hour for hour, *_ in found] == list(range(30))
    assert [hour for hour, _, status, *_ in found if status == "MISSED"] == [1, 2, 3, 4]
    assert await world.sql("SELECT count(*) FROM drift_logs") == 26
    # Each hour at its own price.
    assert (await logged(world))[1:3] == [["5", "WITHIN", "1030"], ["6", "WITHIN", "1036"]]


@pytest.mark.parametrize("change", ["holdings", "policy", "targets"])
async def test_what_has_changed_since_is_not_measured_with_what_it_is_now(
    services: Services, world: World, change: str
) -> None:
    changed, same = await keep(world, "100"), await keep(world, "100")
    row = (await world.find(changed)).row.id
    await scan(services)
    await world.price("AAPL", "110", AS_OF + HOUR)
    await world.price("AAPL", "120", AS_OF + 2 * HOUR)
    statement = {
        "holdings": "UPDATE accounts SET synced_at = $2 WHERE portfolio_id = $1",
        "policy": "UPDATE portfolios SET updated_at = $2 WHERE id = $1",
        "targets": "UPDATE target_versions SET effective_at = $2 WHERE portfolio_id = $1",
    }[change]
    async with world.raw(owner=True) as connection:
        await connection.execute("ALTER TABLE target_versions DISABLE TRIGGER guard")
        await connection.execute(statement, row, AS_OF + HOUR + timedelta(microseconds=1))
    await later(services, 2 * HOUR)
    await scan(services)
    assert await logged(world) == [
        *(["0", "WITHIN", "1000"], ["0", "WITHIN", "1000"]),
        *(["1", "MISSED", None], ["1", "WITHIN", "1060"]),
        *(["2", "WARNING", "1120"], ["2", "WARNING", "1120"]),
    ]
    async with services.store.shared(reading=True) as tx:
        late = (await rows.runs(tx, 3))[1]
    assert (late.due, late.scanned, late.failed, late.alerts) == (2, 1, 1, 0)
    assert (await world.find(same)).row.id > row


async def test_a_portfolio_that_was_not_there_yet_has_no_row(services: Services, world: World) -> None:
    await keep(world, "100")
    await scan(services)
    await world.price("AAPL", "110", AS_OF + HOUR)
    young = (await world.find(await keep(world, "100"))).row.id
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE portfolios SET created_at = $2 WHERE id = $1", young, AS_OF + 2 * HOUR)
    await later(services, 2 * HOUR)
    await scan(services)
    assert await world.sql("SELECT array_agg(bucket) FROM drift_logs WHERE portfolio_id = $1", young) == [
        AS_OF + 2 * HOUR
    ]


async def test_workers_that_race_fill_each_hour_once(services: Services, world: World) -> None:
    for _ in range(3):
        await keep(world, "100")
    await scan(services)
    for hour in range(1, 6):
        await world.price("AAPL", str(100 + hour), AS_OF + hour * HOUR)
    await later(services, 9 * HOUR)
    await asyncio.gather(*(scans.tick(services) for _ in range(6)))
    await scans.tick(services)
    await asyncio.gather(*(measure(services) for _ in range(4)))
    assert [(hour, status, scanned) for hour, _, status, _, scanned in await runs(services)] == [
        *((hour, "DONE", 3) for hour in range(6)),
        *((hour, "MISSED", 0) for hour in (6, 7, 8)),
        (9, "DONE", 3),
    ]
    assert await world.sql("SELECT count(*) FROM drift_logs") == 7 * 3


async def test_a_long_gap_is_filled_tick_by_tick_oldest_first(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "GAP_MAX", 4)
    await scans.tick(services)
    await later(services, 11 * HOUR)
    for known in ([0, 1, 2, 3, 4, 11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 11], list(range(12)), list(range(12))):
        await scans.tick(services)
        assert [hour for hour, *_ in await runs(services)] == known


async def test_of_hours_with_prices_only_so_many_are_opened_by_one_tick(
    services: Services, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "LATE_RUNS_MAX", 2)
    await keep(world, "100")
    await scan(services)
    for hour in (2, 3, 4, 5):
        await world.price("AAPL", "101", AS_OF + hour * HOUR)
    await later(services, 7 * HOUR)
    for known in ([0, 1, 2, 3, 7], [0, 1, 2, 3, 4, 5, 6, 7]):
        await scan(services)
        assert [hour for hour, *_ in await runs(services)] == known
    assert [hour for hour, _, status, *_ in await runs(services) if status == "MISSED"] == [1, 6]


async def test_nothing_is_missed_before_the_first_scan_of_all(services: Services, world: World) -> None:
    await keep(world, "100")
    await world.price("AAPL", "110", AS_OF - HOUR)
    await scan(services)
    assert await runs(services) == [(0, "SCHEDULED", "DONE", 1, 1)]


async def test_another_length_of_buckets_begins_where_the_old_ones_ended(services: Services) -> None:
    def every(period_s: int) -> Services:
        return Services(
            services.settings.model_copy(update={"scan_period_s": period_s}),
            *(services.store, services.bus, services.run),
        )

    async def buckets() -> list[datetime]:
        async with services.store.shared(reading=True) as tx:
            return [run.bucket for run in reversed(await rows.runs(tx, 100))]

    await scans.tick(every(1800))
    await later(services, timedelta(hours=3))
    await scans.tick(every(3600))  # half past four lies in the hour that was scanned
    assert await buckets() == [AS_OF + hour * HOUR for hour in range(4)]
    await later(services, HOUR)
    await scans.tick(every(1200))
    assert await buckets() == [AS_OF + hour * HOUR for hour in range(5)]


async def test_an_operator_sees_what_was_missed(services: Services, alice: Context) -> None:
    await scans.tick(services)
    await later(services, 2 * HOUR)
    await scans.tick(services)
    async with services.store.shared(reading=True) as tx:
        missed = (await rows.runs(tx, 2))[1]
    assert (missed.bucket, missed.as_of, missed.status.value) == (AS_OF + HOUR, AS_OF + HOUR, "MISSED")
    assert (missed.chunks, missed.chunks_done, missed.ended_at) == (0, 0, missed.started_at)
