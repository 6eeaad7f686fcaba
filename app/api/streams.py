"""Server-sent events on their way out: what keeps a stream alive, and the three ways in which it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

PULSE_S: Final = 15.0


async def carry(
    stream: AsyncIterator[str], closing: asyncio.Event, *, left_s: float, farewell: str, pulse: str | None
) -> AsyncIterator[str]:
    """Hand a stream on until it ends, or its time is up, which the farewell says; quiet, it gets a pulse.

    When the process stops it is cut without a word: a client then connects again.
    """
    stopping = asyncio.ensure_future(closing.wait())
    over = asyncio.ensure_future(asyncio.sleep(max(0.0, left_s)))
    following: asyncio.Future[str | None] | None = None
    try:
        while not stopping.done():
            following = following or asyncio.ensure_future(anext(stream, None))
            watched: list[asyncio.Future[Any]] = [following, stopping, over]
            await asyncio.wait(watched, timeout=PULSE_S if pulse else None, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                yield farewell
                return
            if following.done():
                chunk, following = following.result(), None
                if chunk is None:
                    return
                yield chunk
            elif pulse and not stopping.done():
                yield pulse
    finally:
        stopping.cancel()
        over.cancel()
        if following is not None and not following.done():
            following.cancel()  # whoever listened is gone, or we are about to be: a stream at work closes like this
            await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()  # type: ignore[attr-defined]
