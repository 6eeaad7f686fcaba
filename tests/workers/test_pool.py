"""Heavy plans compute in processes of their own, which say how far they are, stop when told to, and end with us."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures.process import BrokenProcessPool

import pytest

from app.context import Watch
from tests.support import ROOT, until
from workers.pool import Processes

A_POOL_AT_WORK = """
import asyncio, os, time
from workers.pool import Processes

processes = Processes(1)
print(asyncio.run(processes.run(os.getpid)), flush=True)
time.sleep(600)
"""


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    made = Processes(1)
    yield made
    made.close()


def count(*, watch: Callable[[int, float], bool]) -> int:
    """Count until told to stop, and say so: a gap that halves with every node."""
    nodes = 0
    while not watch(nodes, 2.0**-nodes) and nodes < 1000:
        nodes += 1
        time.sleep(0.01)
    return nodes


def test_the_processes_of_a_killed_worker_end_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", A_POOL_AT_WORK], cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        assert int(worker.stdout.readline()) != worker.pid
        worker.kill()
        # Whoever is left still holds the other end of the pipe, and this would wait for it.
        said, _ = worker.communicate(timeout=15)
        assert said == b""


async def test_a_killed_process_costs_one_call_and_not_the_ones_after_it(processes: Processes) -> None:
    first = await processes.run(os.getpid)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        await processes.run(time.sleep, 10)
    assert await processes.run(os.getpid) not in (first, os.getpid())


async def test_a_process_says_how_far_it_is_and_stops_when_told_to(processes: Processes) -> None:
    watch = Watch()
    call = asyncio.create_task(processes.run(count, watch=watch))

    async def counting() -> bool:
        return watch.nodes >= 3

    await until(counting)
    assert watch.gap == 2.0**-watch.nodes
    watch.stopped = True
    assert 3 <= await call < 1000


async def test_a_call_that_nobody_waits_for_is_told_to_stop(processes: Processes) -> None:
    """The only process there is goes on to the next call, with nothing of the one before."""
    watch = Watch()
    call = asyncio.create_task(processes.run(count, watch=watch))

    async def counting() -> bool:
        return watch.nodes > 0

    await until(counting)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    later = Watch()
    assert await processes.run(os.getpid) != os.getpid()
    again = asyncio.create_task(processes.run(count, watch=later))

    async def counts_again() -> bool:
        return 0 < later.nodes < watch.nodes + 50

    await until(counts_again)
    later.stopped = True
    assert await again < 1000


def fail(*, watch: Callable[[int, float], bool]) -> None:
    """Count until told to stop, and then find nothing."""
    count(watch=watch)
    raise ValueError("nothing was found")


async def test_a_call_that_fails_when_nobody_waits_for_it_any_more_is_no_error(processes: Processes) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    watch = Watch()
    call = asyncio.create_task(processes.run(fail, watch=watch))

    async def counting() -> bool:
        return watch.nodes > 0

    await until(counting)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    del call
    gc.collect()
    assert complaints == []


async def test_a_process_that_is_killed_when_nobody_waits_for_its_call_any_more_costs_no_other(
    processes: Processes,
) -> None:
    process = await processes.run(os.getpid)
    watch = Watch()
    call = asyncio.create_task(processes.run(count, watch=watch))

    async def counting() -> bool:
        return watch.nodes > 0

    await until(counting)
    call.cancel()
    os.kill(process, signal.SIGKILL)
    await asyncio.wait([call])
    assert call.cancelled()
    assert await processes.run(os.getpid) != process
