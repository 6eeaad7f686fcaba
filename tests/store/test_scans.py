"""A bucket is scanned once, each chunk is written once, and all of a run sees the same prices."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.context import new_uuid
from app.core import drift
from app.core.portfolio import PortfolioStatus
from app.store import logs, portfolios, reading, scans
from app.store.scans import ScanKind, ScanStatus
from tests.builders import AS_OF, absolute, asset, snapshot
from tests.store.world import World

BUCKET = AS_OF
HOUR = timedelta(hours=1)
HALF = {"AAPL": "50", "CASH": "50"}


async def open_run(world: World, bucket: datetime = BUCKET, chunk: int = 2) -> bool:
    async with world.store.shared() as tx:
        return await scans.open_run(tx, bucket, bucket, 3600, chunk, bucket, new_uuid)


async def measure(world: World, bucket: datetime, number: int, *, fail: bool = False) -> bool:
    """Do what a worker does with a chunk."""
    async with world.store.shared(reading=True) as tx:
        chunk = await scans.load_chunk(tx, bucket, number)
        if chunk is None:
            return False
        found = await reading.scan_snapshots(tx, bucket, chunk.from_id, chunk.to_id, chunk.as_of)
    measured = [(loaded.row, drift.measure(loaded.snapshot)) for loaded in found]
    async with world.store.shared() as tx:
        if not await scans.claim_chunk(tx, bucket, number, AS_OF):
            return False
        await logs.scan_write_logs(tx, bucket, measured)
        statuses = [report.status.value for _, report in measured]
        counts = {"stale": statuses.count("DATA_STALE"), "breached": statuses.count("BREACHED")}
        await scans.finish_chunk(tx, bucket, number, scanned=len(measured), **counts, alerts=0, failed=0)
        if fail:
            raise ZeroDivisionError
    return True


async def finish(world: World, bucket: datetime = BUCKET) -> ScanKind | None:
    async with world.store.shared() as tx:
        return await scans.finish_run(tx, bucket, AS_OF + HOUR)


async def log_of(world: World, row_id: int, first: int = 100, **given: datetime) -> list[logs.DriftLog]:
    async with world.reading() as tx:
        return await logs.load_drift_history(world.owner_id, tx, row_id, first, **given)


async def test_of_eight_that_open_a_bucket_one_does(world: World) -> None:
    for _ in range(3):
        await world.keep(snapshot("10 AAPL @ 100, 1000 cash", HALF))
    assert sorted(await asyncio.gather(*(open_run(world) for _ in range(8)))) == [False] * 7 + [True]
    async with world.store.shared() as tx:
        assert await scans.unfinished_chunks(tx, 10) == [(BUCKET, 0), (BUCKET, 1)]
        assert await scans.running_buckets(tx) == [BUCKET]
        (run,) = await scans.runs(tx, 10)
    assert (run.status, run.due, run.scanned, run.period_s) == (ScanStatus.RUNNING, 3, 0, 3600)


async def test_a_chunk_that_is_done_twice_is_written_once(each_world: World) -> None:
    kept = await each_world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    await open_run(each_world)
    assert sorted(await asyncio.gather(*(measure(each_world, BUCKET, 0) for _ in range(4)))) == [False] * 3 + [True]
    assert [log.bucket for log in await log_of(each_world, kept.row.id)] == [BUCKET]
    assert await finish(each_world)
    assert not await finish(each_world)
    async with each_world.store.shared() as tx:
        (run,) = await scans.runs(tx, 10)
    assert (run.status, run.scanned, run.breached, run.ended_at) == (ScanStatus.DONE, 1, 1, AS_OF + HOUR)
    assert await each_world.sql("SELECT count(*) FROM scan_prices") == 0


async def test_a_chunk_that_dies_half_way_is_done_again(world: World) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF))
    await open_run(world)
    with pytest.raises(ZeroDivisionError):
        await measure(world, BUCKET, 0, fail=True)
    assert await log_of(world, kept.row.id) == []
    assert not await finish(world)
    async with world.store.shared() as tx:
        assert await scans.unfinished_chunks(tx, 10, BUCKET) == [(BUCKET, 0)]
    assert await measure(world, BUCKET, 0)
    assert len(await log_of(world, kept.row.id)) == 1


async def test_only_active_portfolios_are_scanned_each_in_one_chunk(world: World) -> None:
    kept = [await world.keep(snapshot("10 AAPL @ 100, 1000 cash", HALF)) for _ in range(5)]
    async with world.writing() as tx:
        await portfolios.update_portfolio(
            *(world.owner_id, tx, kept[2].row.public_id), actor="alice", now=AS_OF, status=PortfolioStatus.PAUSED
        )
    await open_run(world)
    for number in (0, 1):
        assert await measure(world, BUCKET, number)
    assert [len(await log_of(world, loaded.row.id)) for loaded in kept] == [1, 1, 0, 1, 1]


async def test_a_run_without_portfolios_is_over_at_once(world: World) -> None:
    assert await open_run(world)
    assert await finish(world)


async def test_all_of_a_run_sees_the_prices_of_its_start(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 100, 1000 cash", HALF))
    await open_run(world)
    await world.price("AAPL", "200", AS_OF + HOUR)
    await measure(world, BUCKET, 0)
    (log,) = await log_of(world, kept.row.id)
    assert log.report.valuation.value == 2000


async def test_the_log_comes_back_as_it_was_measured(each_world: World) -> None:
    kept = await each_world.keep(
        snapshot(
            "33.333333333333333333 AAPL @ 180.123456789, 5 XYZ @ 7.7, 3 OLD @ 9, 1000.01 cash, 20 EUR cash",
            {"AAPL": "50", "CASH": "50"},
            assets=[asset("XYZ", venue="V")],
            rates={"EUR/USD": "1.0851"},
            ages={"OLD": timedelta(days=9)},
        )
    )
    await open_run(each_world)
    await measure(each_world, BUCKET, 0)
    report = drift.measure(kept.snapshot)
    (log,) = await log_of(each_world, kept.row.id)
    assert log.report.entries == report.entries
    assert log.report.valuation.stale == report.valuation.stale == ("OLD",)
    assert (log.report.status, log.report.base, log.report.as_of) == (report.status, report.base, BUCKET)
    assert (log.report.max_abs_drift, log.report.turnover_to_target) == (
        report.max_abs_drift,
        report.turnover_to_target,
    )
    assert log.report.valuation.value == report.valuation.value


async def test_the_log_pages_back_in_time_within_bounds(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 100, 1000 cash", HALF))
    buckets = [BUCKET + place * HOUR for place in range(4)]
    for bucket in buckets:
        await open_run(world, bucket)
        await measure(world, bucket, 0)

    def seen(found: list[logs.DriftLog]) -> list[int]:
        return [buckets.index(log.bucket) for log in found]

    row_id = kept.row.id
    assert seen(await log_of(world, row_id)) == [3, 2, 1, 0]
    assert seen(await log_of(world, row_id, 2)) == [3, 2]
    assert seen(await log_of(world, row_id, 2, before=buckets[2])) == [1, 0]
    assert seen(await log_of(world, row_id, since=buckets[1], until=buckets[3])) == [2, 1]
    assert await log_of(await world.other(), row_id) == []


async def test_partitions_are_made_once_by_many_and_for_any_month(each_world: World) -> None:
    months = [datetime(2024, month, 28, 23, tzinfo=UTC) for month in (1, 2, 2, 12)]

    async def ensure(bucket: datetime) -> None:
        async with each_world.store.shared() as tx:
            await tx.execute("SELECT ensure_drift_partition($1)", bucket)

    await asyncio.gather(*(ensure(bucket) for bucket in months * 3))
    names = await each_world.sql("SELECT array_agg(inhrelid::regclass::text) FROM pg_inherits")
    assert sorted(name for name in names if "pkey" not in name) == [
        "drift_logs_202401",
        "drift_logs_202402",
        "drift_logs_202412",
    ]


async def test_a_portfolio_has_one_row_a_bucket_whoever_writes(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 100, 1000 cash", HALF))
    await open_run(world)
    await measure(world, BUCKET, 0)
    report = drift.measure(kept.snapshot)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with world.store.shared() as tx:
            await logs.scan_write_logs(tx, BUCKET, [(kept.row, report)])
