"""Who waits for news is woken by it, or by the time; and who is told to stop stops."""

import asyncio

import pytest

from app.actions.waking import woken


async def test_news_wakes_and_are_taken() -> None:
    event = asyncio.Event()
    event.set()
    await woken(event, 60)
    assert not event.is_set()


async def test_without_news_time_wakes() -> None:
    event = asyncio.Event()
    await woken(event, 0.01)
    assert not event.is_set()


async def test_a_stop_that_comes_together_with_news_is_not_lost() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(woken(event, 60))
    await asyncio.sleep(0)
    event.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
