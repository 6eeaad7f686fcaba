import asyncio
import time

import pytest

from app.bus.jobs import SCAN_CHUNK
from tests.bus.conftest import OpenBus
from tests.bus.server import OwnServer

NOWHERE = "unix:///tmp/there-is-no-server-here.sock?db=0"


async def test_a_unique_job_is_queued_once(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    answers = await asyncio.gather(*(bus.enqueue(SCAN_CHUNK, 7, unique="run_1:7") for _ in range(50)))
    assert sorted(answers) == [False] * 49 + [True]
    assert await bus.enqueue(SCAN_CHUNK, 8, unique="run_1:8") is True


async def test_jobs_without_a_name_are_all_queued(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    assert [await bus.enqueue(SCAN_CHUNK, 7) for _ in range(3)] == [True, True, True]


async def test_one_name_serves_jobs_of_two_kinds(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    assert await bus.enqueue("scan_chunk", unique="7") is True
    assert await bus.enqueue("plan_compute", unique="7") is True


async def test_a_job_takes_only_plain_values(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    with pytest.raises(AssertionError, match="ids and plain JSON"):
        await bus.enqueue(SCAN_CHUNK, 1.5)  # type: ignore[arg-type]


async def test_without_a_server_a_bus_opens_and_nothing_raises(open_bus: OpenBus) -> None:
    bus = await open_bus(NOWHERE)
    began = time.monotonic()
    assert await bus.ping() is False
    assert await bus.enqueue(SCAN_CHUNK, 7, unique="7") is False
    await bus.nudge("alerts", [1])
    assert time.monotonic() - began < 10  # bounded; a loaded machine is slow


async def test_a_server_that_hangs_costs_a_second(own_server: OwnServer, open_bus: OpenBus) -> None:
    connected, fresh = await open_bus(own_server.url), await open_bus(own_server.url)
    assert await connected.ping() is True
    own_server.freeze()
    for bus in (connected, fresh):
        began = time.monotonic()
        assert await bus.enqueue(SCAN_CHUNK, 7) is False
        assert 0.9 < time.monotonic() - began < 10
    own_server.thaw()
    assert await connected.enqueue(SCAN_CHUNK, 7) is True
    assert await fresh.enqueue(SCAN_CHUNK, 7) is True


async def test_many_callers_of_a_server_that_hangs_wait_no_longer(own_server: OwnServer, open_bus: OpenBus) -> None:
    bus = await open_bus(own_server.url)
    own_server.freeze()
    began = time.monotonic()
    assert await asyncio.gather(*(bus.enqueue(SCAN_CHUNK, number) for number in range(100))) == [False] * 100
    assert time.monotonic() - began < 10  # bounded; a loaded machine is slow
    own_server.thaw()
    assert await asyncio.gather(*(bus.enqueue(SCAN_CHUNK, number) for number in range(100))) == [True] * 100


async def test_a_bus_works_again_after_the_server_was_killed(own_server: OwnServer, open_bus: OpenBus) -> None:
    bus = await open_bus(own_server.url)
    assert await bus.enqueue(SCAN_CHUNK, 7, unique="before") is True
    own_server.kill()
    assert await bus.enqueue(SCAN_CHUNK, 7, unique="during") is False
    own_server.start()
    assert await bus.enqueue(SCAN_CHUNK, 7, unique="after") is True
    assert await bus.enqueue(SCAN_CHUNK, 7, unique="before") is False
