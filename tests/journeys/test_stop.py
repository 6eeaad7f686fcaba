"""What is told to stop lets go of everything in good time."""

import asyncio
import time

from tests.journeys.fragile import GO_ON_S, Fragile
from tests.support import ALERTS


async def test_an_api_told_to_stop_lets_go_of_its_subscribers(fragile: Fragile) -> None:
    api, after = fragile.steelyard.api, await fragile.steelyard.cursor()
    assert api
    async with (
        fragile.owner.on_stream(ALERTS, after=after) as stream,
        fragile.owner.on_socket(ALERTS, after=after) as socket,
    ):
        await stream.silence(0.3)
        began = time.monotonic()
        await asyncio.to_thread(api.stop)
        assert time.monotonic() - began < GO_ON_S
        await stream.until_end()
        await socket.until_end()
    assert "Application shutdown complete" in api.said()
