"""The bus as the rest of the house sees it: enqueue a job, nudge the readers, follow the nudges.

The database is the truth and a sweeper enqueues again what got lost, so a bus that is away delays and never fails.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Collection
from typing import TypeVar

import structlog
from arq.connections import ArqRedis

from app.bus import nudges
from app.bus.connection import AWAY, Backoff, connect, stop_if_told
from app.bus.jobs import QUEUE_OF

T = TypeVar("T")

log = structlog.get_logger(__name__)

# A caller has its answer in the database already: it waits no longer than a person would not notice.
WAIT_S = 1.0

# Enough for hundreds of callers at once, as each holds one for a millisecond.
CONNECTIONS = 20


class Bus:
    """A client of Valkey or Redis that can be opened, and used, while the server is away."""

    def __init__(self, redis: ArqRedis, redis_url: str, wait_s: float) -> None:
        self._redis = redis
        self._redis_url = redis_url
        self._wait_s = wait_s

    @classmethod
    async def open(cls, redis_url: str, *, wait_s: float = WAIT_S) -> "Bus":
        """Make a bus for `redis_url`; every call on it ends within about `wait_s`. It connects on its first use."""
        return cls(connect(redis_url, answer_s=wait_s, connections=CONNECTIONS), redis_url, wait_s)

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def ping(self) -> bool:
        """Say whether the server answers."""
        return bool(await self._attempt(self._redis.ping(), "ping"))

    async def enqueue(self, job: str, *args: str | int, unique: str | None = None, defer_s: float = 0) -> bool:
        """Put a job into its queue; return False when it waits or runs already, or when the server is away.

        `unique` names the job among those of its kind; the name is free again when the job has ended.
        """
        assert all(isinstance(arg, str | int) for arg in args), f"jobs carry ids and plain JSON, not {args!r}"
        queued = await self._attempt(
            self._redis.enqueue_job(
                job,
                *args,
                _job_id=None if unique is None else f"{job}:{unique}",
                _queue_name=QUEUE_OF[job],
                _defer_by=defer_s,
            ),
            "enqueue",
            job=job,
            unique=unique,
        )
        return queued is not None

    async def nudge(self, topic: str, owner_ids: Collection[int]) -> None:
        """Tell the readers that `topic` has news for these owners. To be called after the commit."""
        if not owner_ids:
            return
        note = nudges.encode(topic, owner_ids)
        await self._attempt(
            self._redis.xadd(nudges.STREAM, {"note": note}, maxlen=nudges.STREAM_LENGTH, approximate=True),
            "nudge",
            topic=topic,
        )

    async def nudges(self) -> AsyncGenerator[set[int], None]:
        """Yield the owners with news, for ever; the empty set means: look at everything.

        That is so at the start, after the server was away, and when notes were lost. One reader a process is enough.
        """
        redis = connect(self._redis_url, answer_s=nudges.BLOCK_S + self._wait_s, connections=1)
        reader = nudges.Reader(redis)
        backoff = Backoff()
        try:
            while True:
                stop_if_told()
                try:
                    owners = await reader.read()
                except AWAY as error:
                    reader.lose_place()
                    wait_s = backoff.next_s()
                    log.warning("bus_away", doing="nudges", error=str(error), retry_s=wait_s)
                    await asyncio.sleep(wait_s)
                    continue
                backoff.reset()
                if owners is not None:
                    yield set(owners)
        finally:
            await redis.aclose(close_connection_pool=True)

    async def _attempt(self, call: Awaitable[T], doing: str, **facts: object) -> T | None:
        try:
            async with asyncio.timeout(self._wait_s):
                answer = await call
            stop_if_told()
            return answer
        except AWAY as error:
            log.warning("bus_away", doing=doing, error=str(error) or type(error).__name__, **facts)
            return None
