"""Waiting for news that may come, or not."""

import asyncio
from contextlib import suppress


async def woken(event: asyncio.Event, wait_s: float) -> None:
    """Wait until an event is set, but not longer than `wait_s`; it is clear afterwards.

    Not by `wait_for`, which may lose a cancellation that comes together with the event.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    event.clear()
