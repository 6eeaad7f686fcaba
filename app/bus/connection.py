"""How we reach Valkey or Redis: lazily, over few connections, with a bound on every wait."""

import asyncio

from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from app.bus import jobs
from app.core.errors import InvalidInput

# What is raised while the server is away, starting, full or hung. A timeout is an OSError.
AWAY = (RedisError, OSError)

# A job may wait out a long week-end without workers; after that the database, which is the truth, asks for it again.
JOB_LIFE_MS = 7 * 86_400 * 1000

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0


class Backoff:
    """Waits between attempts to reach the server: each twice the one before, none longer than five seconds."""

    def __init__(self) -> None:
        self._next_s = FIRST_WAIT_S

    def reset(self) -> None:
        self._next_s = FIRST_WAIT_S

    def next_s(self) -> float:
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, LONGEST_WAIT_S)
        return wait_s


def connect(redis_url: str, *, answer_s: float, connections: int) -> ArqRedis:
    """Return a client that waits `answer_s` for a connection and for an answer. It connects on its first use."""
    try:
        pool = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=connections,
            timeout=answer_s,
            socket_timeout=answer_s,
            socket_connect_timeout=answer_s,
        )
    except ValueError:
        raise InvalidInput(
            "a Redis URL reads redis://host:port/0, rediss://host:port/0 or unix:///path?db=0", ["REDIS_URL"]
        ) from None
    return ArqRedis(
        pool_or_conn=pool,
        job_serializer=jobs.encode,
        job_deserializer=jobs.decode,
        expires_extra_ms=JOB_LIFE_MS,
    )


def stop_if_told() -> None:
    """Raise the CancelledError that a command has lost: the library sends by `wait_for`, which may swallow one."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
