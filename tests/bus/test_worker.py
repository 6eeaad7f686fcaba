import asyncio
import os
import signal

import pytest
from arq import Retry, cron, func

from app.bus.jobs import HEAVY, LIGHT, PLAN_COMPUTE, SCAN_CHUNK
from app.bus.worker import make_worker, run_workers
from app.settings import Settings
from tests.bus.conftest import OpenBus, StartWorker
from tests.bus.work import Context, Work, until, until_nothing_is_left


async def test_jobs_run_once_and_leave_nothing_behind(
    redis_url: str, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    bus, work = await open_bus(redis_url), Work()
    for _ in range(3):
        start_worker(redis_url, work.function)
    for number in range(300):
        await bus.enqueue(SCAN_CHUNK, number, unique=str(number))
    await until(lambda: len(work.ended) >= 300)
    await until_nothing_is_left(redis_url)
    assert sorted(work.runs) == list(range(300))


async def test_no_more_jobs_run_at_once_than_there_are_slots(
    redis_url: str, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    bus, work = await open_bus(redis_url), Work(waits=True)
    for number in range(10):
        await bus.enqueue(SCAN_CHUNK, number)
    start_worker(redis_url, work.function)
    await until(lambda: len(work.runs) == 4)
    await asyncio.sleep(0.2)
    work.go_on.set()
    await until(lambda: len(work.ended) == 10)
    assert work.most_at_once == 4


async def test_a_name_is_taken_while_its_job_runs_and_free_when_it_ended(
    redis_url: str, open_bus: OpenBus, start_worker: StartWorker
) -> None:
    bus, work = await open_bus(redis_url), Work(waits=True)
    start_worker(redis_url, work.function)
    assert await bus.enqueue(SCAN_CHUNK, 1, unique="a") is True
    await until(lambda: work.runs == [1])
    assert await bus.enqueue(SCAN_CHUNK, 2, unique="a") is False
    work.go_on.set()
    await until_nothing_is_left(redis_url)
    assert await bus.enqueue(SCAN_CHUNK, 3, unique="a") is True
    await until(lambda: work.ended == [1, 3])


async def test_a_job_that_fails_frees_its_name(redis_url: str, open_bus: OpenBus, start_worker: StartWorker) -> None:
    runs = []

    async def fail(ctx: Context) -> None:
        runs.append(ctx["job_try"])
        raise ValueError("no such run")

    bus, worker = await open_bus(redis_url), start_worker(redis_url, func(fail, name=SCAN_CHUNK))
    assert await bus.enqueue(SCAN_CHUNK, unique="a") is True
    await until_nothing_is_left(redis_url)
    assert await bus.enqueue(SCAN_CHUNK, unique="a") is True
    await until_nothing_is_left(redis_url)
    assert runs == [1, 1]
    assert worker.jobs_failed == 2


async def test_a_job_that_asks_for_it_runs_again(redis_url: str, open_bus: OpenBus, start_worker: StartWorker) -> None:
    tries = []

    async def again(ctx: Context) -> None:
        tries.append(ctx["job_try"])
        if len(tries) < 3:
            raise Retry(defer=0.05)

    bus = await open_bus(redis_url)
    start_worker(redis_url, func(again, name=SCAN_CHUNK))
    await bus.enqueue(SCAN_CHUNK)
    await until(lambda: tries == [1, 2, 3])


async def test_a_deferred_job_waits_for_its_time(redis_url: str, open_bus: OpenBus, start_worker: StartWorker) -> None:
    bus, work = await open_bus(redis_url), Work()
    start_worker(redis_url, work.function)
    await bus.enqueue(SCAN_CHUNK, 1, defer_s=0.5)
    assert 0.4 < await until(lambda: work.ended == [1]) < 10


async def test_sigterm_lets_both_workers_finish_what_they_run(redis_url: str, open_bus: OpenBus) -> None:
    bus, light, heavy = await open_bus(redis_url), Work(waits=True), Work(PLAN_COMPUTE, waits=True)
    life: list[str] = []

    async def on_startup(ctx: Context) -> None:
        life.append("up")

    async def on_shutdown(ctx: Context) -> None:
        life.append("down")

    workers = [
        make_worker(
            Settings(stop_timeout_s=5),
            redis_url,
            queue=queue,
            functions=[work.function],
            concurrency=1,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
        )
        for queue, work in ((LIGHT, light), (HEAVY, heavy))
    ]
    running = asyncio.create_task(run_workers(workers))
    for number in (1, 2):
        await bus.enqueue(SCAN_CHUNK, number)
        await bus.enqueue(PLAN_COMPUTE, number)
    await until(lambda: len(light.runs) == len(heavy.runs) == 1)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert not running.done()
    light.go_on.set()
    heavy.go_on.set()
    await asyncio.wait_for(running, 3)
    assert (len(light.ended), len(heavy.ended)) == (1, 1)
    assert life == ["up", "up", "down", "down"]


async def test_when_one_worker_cannot_start_the_other_ends_and_the_error_is_told(redis_url: str) -> None:
    async def on_startup(ctx: Context) -> None:
        raise ConnectionRefusedError("no database")

    light, heavy = Work(), Work(PLAN_COMPUTE)
    good = make_worker(Settings(), redis_url, queue=LIGHT, functions=[light.function], concurrency=1)
    bad = make_worker(
        Settings(), redis_url, queue=HEAVY, functions=[heavy.function], concurrency=1, on_startup=on_startup
    )
    with pytest.raises(ConnectionRefusedError, match="no database"):
        await asyncio.wait_for(run_workers([good, bad]), 3)


async def test_the_cron_fires_each_second_once_for_two_workers(redis_url: str, start_worker: StartWorker) -> None:
    ticks = []

    async def scan_tick(ctx: Context) -> None:
        ticks.append(ctx["score"] // 1000)

    for _ in range(2):
        start_worker(redis_url, cron_jobs=[cron(scan_tick, second=set(range(60)))])
    await until(lambda: len(ticks) == 2)
    assert ticks[1] - ticks[0] == 1
