import asyncio
import time
from functools import partial

from arq import cron, func
from redis.asyncio import Redis

from app.bus.jobs import LIGHT, SCAN_CHUNK
from tests.bus.conftest import OpenBus, StartLoneWorker, StartWorker
from tests.bus.lone_worker import STARTED
from tests.bus.server import OwnServer
from tests.bus.work import Context, Work, keys_left, until, until_nothing_is_left


async def test_a_long_job_keeps_its_lease(redis_url: str, open_bus: OpenBus, start_worker: StartWorker) -> None:
    bus, work = await open_bus(redis_url), Work(waits=True)
    start_worker(redis_url, work.function)
    start_worker(redis_url, work.function)
    await bus.enqueue(SCAN_CHUNK, 1)
    await asyncio.sleep(1.6)
    work.go_on.set()
    await until(lambda: work.ended == [1])
    assert work.runs == [1]


async def test_the_job_of_a_killed_worker_is_taken_over_within_its_lease(
    redis_url: str, open_bus: OpenBus, start_worker: StartWorker, start_lone_worker: StartLoneWorker
) -> None:
    bus, work = await open_bus(redis_url), Work()
    await bus.enqueue(SCAN_CHUNK)
    lone = start_lone_worker(redis_url)
    await its_job_started(redis_url)
    taken_over = asyncio.Event()

    async def scan_chunk(ctx: Context) -> None:
        work.runs.append(ctx["job_try"])
        taken_over.set()

    start_worker(redis_url, func(scan_chunk, name=SCAN_CHUNK))
    await asyncio.sleep(1.5)
    assert work.runs == []
    lone.kill()
    lone.wait()
    assert await until(taken_over.is_set) < 10
    assert work.runs == [2]


async def test_a_worker_told_to_stop_hands_its_job_back_at_once(
    redis_url: str, open_bus: OpenBus, start_lone_worker: StartLoneWorker
) -> None:
    bus = await open_bus(redis_url)
    await bus.enqueue(SCAN_CHUNK, unique="a")
    lone = start_lone_worker(redis_url)
    await its_job_started(redis_url)
    lone.terminate()
    began = time.monotonic()
    assert await asyncio.to_thread(lone.wait, 5) == 0
    assert 0.9 < time.monotonic() - began < 10
    assert await keys_left(redis_url) == [
        b"arq:job:scan_chunk:a",
        b"arq:retry:scan_chunk:a",
        LIGHT.encode(),
    ]


async def its_job_started(redis_url: str) -> None:
    async with Redis.from_url(redis_url, socket_timeout=10) as redis:
        assert await redis.blpop([STARTED], timeout=8) is not None


async def test_a_worker_waits_for_a_server_that_starts_later(
    own_server: OwnServer, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    own_server.kill()
    work = Work()
    start_worker(own_server.url, work.function)
    await asyncio.sleep(0.3)
    own_server.start()
    bus = await open_bus(own_server.url)
    await bus.enqueue(SCAN_CHUNK, 1)
    await until(lambda: work.ended == [1])


async def test_a_worker_that_never_reached_a_server_stops(own_server: OwnServer, start_worker: StartWorker) -> None:
    own_server.kill()
    start_worker(own_server.url, Work().function)
    await asyncio.sleep(0.1)


async def test_no_job_is_lost_when_the_server_is_killed_three_times(
    own_server: OwnServer, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    done = set()

    async def scan_chunk(ctx: Context, number: int) -> None:
        await asyncio.sleep(0.1)
        done.add(number)

    bus = await open_bus(own_server.url)
    for number in range(60):
        assert await bus.enqueue(SCAN_CHUNK, number, unique=str(number)) is True
    for _ in range(2):
        start_worker(own_server.url, func(scan_chunk, name=SCAN_CHUNK))
    for share in (5, 15, 25):
        await until(partial(has, done, share))
        own_server.kill()
        await asyncio.sleep(0.3)
        own_server.start()
    await until(lambda: len(done) == 60)
    await until_nothing_is_left(own_server.url)


def has(done: set[int], count: int) -> bool:
    return len(done) >= count


async def test_a_killed_server_costs_no_slot(
    own_server: OwnServer, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    bus, work = await open_bus(own_server.url), Work(waits=True)
    start_worker(own_server.url, work.function)
    await bus.enqueue(SCAN_CHUNK, 0)
    await until(lambda: work.runs == [0])
    for _ in range(3):
        own_server.kill()
        await asyncio.sleep(0.15)
        own_server.start()
    for number in (1, 2, 3, 4):
        assert await bus.enqueue(SCAN_CHUNK, number) is True
    await until(lambda: len(work.runs) == 4)
    work.go_on.set()
    await until(lambda: sorted(work.ended) == [0, 1, 2, 3, 4])


async def test_a_worker_does_not_start_a_job_that_it_runs_already(
    redis_url: str, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    bus, work = await open_bus(redis_url), Work(waits=True)
    worker = start_worker(redis_url, work.function)
    await bus.enqueue(SCAN_CHUNK, 1, unique="a")
    await until(lambda: work.runs == [1])
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    assert await bus.enqueue(SCAN_CHUNK, 1, unique="a") is True
    await asyncio.sleep(0.2)
    work.go_on.set()
    await until_nothing_is_left(redis_url)
    assert work.runs == [1]
    assert worker.jobs_failed == 0


async def test_a_job_that_runs_while_the_server_is_emptied_ends_and_is_not_run_twice(
    redis_url: str, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    bus, work = await open_bus(redis_url), Work(waits=True)
    workers = [start_worker(redis_url, work.function) for _ in range(2)]
    await bus.enqueue(SCAN_CHUNK, 1, unique="a")
    await until(lambda: work.runs == [1])
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    await asyncio.sleep(0.5)
    assert await bus.enqueue(SCAN_CHUNK, 1, unique="a") is True
    await asyncio.sleep(1.2)
    assert work.runs == [1]
    work.go_on.set()
    await until(lambda: work.ended == [1])
    await bus.enqueue(SCAN_CHUNK, 2, unique="b")
    await until(lambda: 2 in work.ended)
    await until_nothing_is_left(redis_url)
    assert sum(worker.jobs_failed for worker in workers) == 0


async def test_a_cron_that_runs_at_start_up_runs_again_after_an_outage(
    own_server: OwnServer, start_worker: StartWorker
) -> None:
    ticks = []

    async def scan_tick(ctx: Context) -> None:
        ticks.append(ctx["job_id"])

    start_worker(own_server.url, cron_jobs=[cron(scan_tick, month=1, day=1, hour=0, minute=0, run_at_startup=True)])
    await until(lambda: len(ticks) == 1)
    own_server.kill()
    await asyncio.sleep(0.3)
    own_server.start()
    await until(lambda: len(ticks) == 2)
