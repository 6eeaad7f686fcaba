import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.bus import nudges
from tests.bus.conftest import OpenBus
from tests.bus.server import OwnServer

NEWS_S = 8.0


async def next_news(reader: AsyncIterator[set[int]]) -> set[int]:
    async with asyncio.timeout(NEWS_S):
        return await anext(reader)


async def test_a_reader_first_looks_at_everything_then_hears_each_nudge(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    await bus.nudge("alerts", [1, 2])
    reader = bus.nudges()
    assert await next_news(reader) == set()
    await bus.nudge("alerts", [3, 4])
    assert await next_news(reader) == {3, 4}
    await bus.nudge("plans", [4])
    assert await next_news(reader) == {4}
    await reader.aclose()


async def test_nudges_that_came_meanwhile_are_heard_as_one(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    reader = bus.nudges()
    await next_news(reader)
    for owner_id in (1, 2, 3):
        await bus.nudge("alerts", [owner_id])
    assert await next_news(reader) == {1, 2, 3}
    await reader.aclose()


async def test_a_nudge_about_nobody_is_not_sent(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    await bus.nudge("alerts", [])
    async with Redis.from_url(redis_url) as redis:
        assert await redis.exists(nudges.STREAM) == 0


@pytest.mark.parametrize(("owners", "heard"), [(500, set(range(500))), (501, set())])
async def test_a_nudge_about_too_many_is_about_everybody(
    owners: int, heard: set[int], redis_url: str, open_bus: OpenBus
) -> None:
    bus = await open_bus(redis_url)
    reader = bus.nudges()
    await next_news(reader)
    await bus.nudge("alerts", range(owners))
    assert await next_news(reader) == heard
    await reader.aclose()


@pytest.mark.parametrize(
    "note", [b"", b"not json", b"[]", b'{"owners": ["x"]}', b'{"owners": 5}', b'{"topic": "alerts"}']
)
def test_a_note_nobody_can_read_is_about_everybody(note: bytes) -> None:
    assert nudges.owners_of(note) == nudges.EVERYBODY


async def test_the_stream_is_bounded(redis_url: str, open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudges, "STREAM_LENGTH", 100)
    bus = await open_bus(redis_url)
    for _ in range(10):
        await asyncio.gather(*(bus.nudge("alerts", [owner_id]) for owner_id in range(50)))
    async with Redis.from_url(redis_url) as redis:
        assert 100 <= await redis.xlen(nudges.STREAM) <= 200  # cut by whole nodes of 100 notes


async def test_a_reader_that_fell_behind_the_cut_looks_at_everything(redis_url: str, open_bus: OpenBus) -> None:
    bus = await open_bus(redis_url)
    reader = bus.nudges()
    await next_news(reader)
    await bus.nudge("alerts", [1])
    assert await next_news(reader) == {1}
    await bus.nudge("alerts", [2])
    await bus.nudge("alerts", [3])
    async with Redis.from_url(redis_url) as redis:
        await redis.xtrim(nudges.STREAM, maxlen=1, approximate=False)
    assert await next_news(reader) == set()
    await bus.nudge("alerts", [4])
    assert await next_news(reader) == {4}
    await reader.aclose()


async def test_an_emptied_server_makes_a_reader_look_at_everything(
    redis_url: str, open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nudges, "BLOCK_S", 0.2)
    bus = await open_bus(redis_url)
    await bus.nudge("alerts", [1])
    reader = bus.nudges()
    await next_news(reader)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    assert await next_news(reader) == set()
    await bus.nudge("alerts", [2])
    assert await next_news(reader) == {2}
    await reader.aclose()


async def test_nudges_reach_a_reader_after_the_server_was_killed(own_server: OwnServer, open_bus: OpenBus) -> None:
    bus = await open_bus(own_server.url)
    reader = bus.nudges()
    await next_news(reader)
    waiting = asyncio.create_task(next_news(reader))
    await asyncio.sleep(0)
    own_server.kill()
    await bus.nudge("alerts", [1])
    own_server.start()
    assert await waiting == set()
    await bus.nudge("alerts", [2])
    assert await next_news(reader) == {2}
    await reader.aclose()


async def test_a_reader_waits_for_a_server_that_starts_later(own_server: OwnServer, open_bus: OpenBus) -> None:
    own_server.kill()
    bus = await open_bus(own_server.url)
    reader = bus.nudges()
    waiting = asyncio.create_task(next_news(reader))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    own_server.start()
    assert await waiting == set()
    await reader.aclose()


async def test_a_reader_that_is_told_to_stop_stops_though_a_command_loses_it(
    redis_url: str, open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = nudges.Reader.read

    async def losing(reader: nudges.Reader) -> frozenset[int] | None:
        with contextlib.suppress(asyncio.CancelledError):  # as the library does when its answer comes together with it
            return await read(reader)
        return None

    monkeypatch.setattr(nudges.Reader, "read", losing)
    bus, reads = await open_bus(redis_url), asyncio.Event()

    async def follow() -> None:
        async for _ in bus.nudges():
            reads.set()

    following = asyncio.create_task(follow())
    await reads.wait()
    following.cancel()
    await asyncio.wait([following], timeout=NEWS_S)
    assert following.cancelled()


async def test_who_is_told_to_stop_while_nudging_stops_though_the_command_loses_it(
    redis_url: str, open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, begun = await open_bus(redis_url), asyncio.Event()

    async def losing(*_: object, **__: object) -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    monkeypatch.setattr(Redis, "xadd", losing)
    nudging = asyncio.create_task(bus.nudge("alerts", [1]))
    await begun.wait()
    nudging.cancel()
    await asyncio.wait([nudging], timeout=NEWS_S)
    assert nudging.cancelled()
