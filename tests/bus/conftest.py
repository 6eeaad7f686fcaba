import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.typing import WorkerCoroutine

from app.bus.client import Bus
from app.bus.jobs import LIGHT
from app.bus.worker import Worker, make_worker
from app.settings import Settings
from tests.bus.server import OwnServer

OpenBus = Callable[[str], Awaitable[Bus]]
StartWorker = Callable[..., Worker]
StartLoneWorker = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    # Not pytest's folder for the test: a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="bus"))
    server = OwnServer(folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
async def open_bus() -> AsyncIterator[OpenBus]:
    """Open a bus that is closed when the test ends."""
    async with contextlib.AsyncExitStack() as opened:

        async def open_one(redis_url: str) -> Bus:
            bus = await Bus.open(redis_url)
            opened.push_async_callback(bus.close)
            return bus

        yield open_one


@pytest.fixture
async def start_worker() -> AsyncIterator[StartWorker]:
    """Start a worker in the test's own loop; it is stopped when the test ends."""
    lives: list[tuple[Worker, asyncio.Task[None]]] = []

    def start(redis_url: str, *functions: WorkerCoroutine, queue: str = LIGHT, **options: Any) -> Worker:
        settings = Settings(job_lease_s=1, stop_timeout_s=1)
        worker = make_worker(settings, redis_url, queue=queue, functions=functions, concurrency=4, **options)
        lives.append((worker, asyncio.create_task(worker.main())))
        return worker

    yield start
    for worker, _ in lives:
        worker.stop()
    await asyncio.gather(*(life for _, life in lives))


@pytest.fixture
def start_lone_worker() -> Iterator[StartLoneWorker]:
    """Start a worker in a process of its own; it is killed when the test ends."""
    with contextlib.ExitStack() as started:

        def start(redis_url: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "tests.bus.lone_worker", redis_url]
            lone = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
            started.callback(lone.wait)
            started.callback(lone.kill)
            return lone

        yield start
