"""What is told to stop lets go of everything in good time."""

import asyncio
import json
import time

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.journeys.fragile import GO_ON_S, Fragile
from tests.support import ALERTS

PROTOCOL = Subprotocol("graphql-transport-ws")


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


async def test_a_subscription_that_is_cut_by_a_stop_is_not_completed(fragile: Fragile) -> None:
    """Clients take a completed subscription for finished, and one that is cut for a reason to connect again."""
    owner, address = fragile.owner, fragile.steelyard.http
    hello = {"type": "connection_init", "payload": {"authorization": f"Bearer {owner.token}"}}
    asked = {"type": "subscribe", "id": "1", "payload": {"query": ALERTS}}
    headers = {"authorization": f"Bearer {owner.token}", "accept": "text/event-stream"}
    async with (
        connect(f"{address.replace('http', 'ws')}/graphql", subprotocols=[PROTOCOL]) as socket,
        httpx2.AsyncClient(timeout=None, trust_env=False) as client,
        client.stream("POST", f"{address}/graphql", json={"query": ALERTS}, headers=headers) as stream,
    ):
        await socket.send(json.dumps(hello))
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
        await socket.send(json.dumps(asked))
        assert fragile.steelyard.api
        await asyncio.to_thread(fragile.steelyard.api.stop)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1012
        assert "event: complete" not in (await stream.aread()).decode()
