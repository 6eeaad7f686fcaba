"""A worker in a process of its own, for tests that kill it: `python -m tests.bus.lone_worker URL`."""

import asyncio
import sys
from typing import Any

from arq import func
from redis.asyncio import Redis

from app.bus.jobs import LIGHT, SCAN_CHUNK
from app.bus.worker import make_worker, run_workers
from app.settings import Settings

STARTED = "test:started"

# It ends by itself should nobody be left to kill it.
LIFE_S = 60.0


async def run_for_ever(url: str) -> None:
    async with Redis.from_url(url) as redis:
        await redis.rpush(STARTED, "lone")
    await asyncio.Event().wait()


async def main(url: str) -> None:
    async def scan_chunk(ctx: dict[Any, Any]) -> None:
        await run_for_ever(url)

    settings = Settings(job_lease_s=1, stop_timeout_s=1)
    chunk = func(scan_chunk, name=SCAN_CHUNK)
    async with asyncio.timeout(LIFE_S):
        await run_workers([make_worker(settings, url, queue=LIGHT, functions=[chunk], concurrency=1)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
