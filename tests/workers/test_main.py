"""Which jobs a worker knows, when it ticks, and that nothing of it is left behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest
from arq.worker import func

from app.bus.jobs import HEAVY, LIGHT, QUEUE_OF
from app.settings import Settings
from tests.support import ROOT
from workers import main

A_POOL_AT_WORK = """
import asyncio, os, time
from workers import main

processes = main.Processes(1)
print(asyncio.run(processes.run(os.getpid)), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("job", sorted(QUEUE_OF))
def test_every_job_by_name_is_one_of_its_queues_worker(job: str) -> None:
    known = {LIGHT: main.LIGHT_JOBS, HEAVY: main.HEAVY_JOBS}[QUEUE_OF[job]]
    assert job in [func(function).name for function in known]


def test_no_worker_has_a_job_without_a_name() -> None:
    assert {func(function).name for function in (*main.LIGHT_JOBS, *main.HEAVY_JOBS)} == set(QUEUE_OF)


@pytest.mark.parametrize(
    ("period_s", "demo", "every_second"),
    [(3600, False, False), (60, False, False), (59, False, True), (1, False, True), (86_400, True, True)],
)
def test_the_clock_ticks_every_minute_or_every_second_where_buckets_are_short(
    period_s: int, demo: bool, every_second: bool
) -> None:
    tick = main._tick(Settings().model_copy(update={"scan_period_s": period_s, "demo": demo}))
    assert tick.second == (set(range(60)) if every_second else 0)
    assert (tick.run_at_startup, tick.unique) == (True, True)


def test_the_processes_of_a_killed_worker_end_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", A_POOL_AT_WORK], cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        assert int(worker.stdout.readline()) != worker.pid
        worker.kill()
        # Whoever is left still holds the other end of the pipe, and this would wait for it.
        said, _ = worker.communicate(timeout=15)
        assert said == b""


async def test_a_killed_process_costs_one_call_and_not_the_ones_after_it() -> None:
    processes = main.Processes(1)
    first = await processes.run(os.getpid)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        await processes.run(time.sleep, 10)
    assert await processes.run(os.getpid) not in (first, os.getpid())
    processes.close()
