"""A job under a test's control, and waiting for what it does."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from arq import func
from redis.asyncio import Redis

from app.bus.jobs import SCAN_CHUNK

Context = dict[Any, Any]


async def until(true: Callable[[], bool], within_s: float = 8.0) -> float:
    """Wait until something is true and return how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not true within {within_s} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


class Work:
    """A job that notes its runs, and whose end the test decides. It is the chunk job unless named otherwise."""

    def __init__(self, name: str = SCAN_CHUNK, *, waits: bool = False) -> None:
        self.runs: list[str | int] = []
        self.ended: list[str | int] = []
        self.most_at_once = 0
        self.go_on = asyncio.Event()
        if not waits:
            self.go_on.set()
        self.function = func(self._run, name=name)

    async def _run(self, ctx: Context, number: str | int) -> None:
        self.runs.append(number)
        self.most_at_once = max(self.most_at_once, len(self.runs) - len(self.ended))
        await self.go_on.wait()
        self.ended.append(number)


async def keys_left(redis_url: str) -> list[bytes]:
    async with Redis.from_url(redis_url) as redis:
        return sorted(key for key in await redis.keys("*") if not key.endswith(b"health-check"))


async def until_nothing_is_left(redis_url: str, within_s: float = 8.0) -> None:
    give_up_at = time.monotonic() + within_s
    while left := await keys_left(redis_url):
        assert time.monotonic() < give_up_at, f"still there: {left}"
        await asyncio.sleep(0.02)
