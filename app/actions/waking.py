"""Waiting for news that may come, or not."""

import asyncio
from contextlib import suppress
from typing import Final

PENDING_S: Final = 0.02
"""What is committed but waits for an older transaction to end is looked for again after this long."""


async def woken(event: asyncio.Event, wait_s: float) -> None:
    """Wait until an event is set, but not longer than `wait_s`; it is clear afterwards.

    Not by `wait_for`, which may lose a cancellation that comes together with the event.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    event.clear()
