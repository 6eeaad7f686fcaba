"""Alerts of one portfolio over plain HTTP: followed, cut by a restart of the API, gone on with from the last id."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from tests.support import Person, Steelyard

PRICES = ("150", "200", "100")


@asynccontextmanager
async def follow(
    person: Person, portfolio_id: str, last: str | None
) -> AsyncIterator[AsyncIterator[httpx2.ServerSentEvent]]:
    url = f"{person.steelyard.http}/api/rebalancing/{portfolio_id}/drift/stream"
    headers = {"authorization": f"Bearer {person.token}", **({"last-event-id": last} if last else {})}
    async with (
        httpx2.AsyncClient(timeout=20, trust_env=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200
        yield aiter(httpx2.EventSource(response))


async def test_a_client_goes_on_from_the_last_id_through_a_restart_of_the_api(steelyard: Steelyard) -> None:
    await steelyard.operator.list_asset("RSTS", "100")
    await steelyard.operator.list_asset("RSTB", "50", assetClass="BOND")
    person = steelyard.person("rst")
    portfolio_id = await person.create(
        accounts=[{"lots": [{"symbol": "RSTS", "quantity": "6"}, {"symbol": "RSTB", "quantity": "8"}]}],
        targets=[
            {"key": "RSTS", "percent": 60, "band": {"absolute": 5}},
            {"key": "RSTB", "percent": 40, "band": {"absolute": 40}},
        ],
    )
    told, last = [], None
    for price in PRICES:
        async with follow(person, portfolio_id, last) as events:
            begun = await anext(events)
            assert (begun.event, begun.id) == ("begin", last or begun.id)
            last = begun.id
            if price == PRICES[0]:  # nothing was told yet: the first id is all there is to go on from
                assert steelyard.api is not None
                await asyncio.to_thread(steelyard.api.stop)
                assert [event async for event in events] == []
                steelyard.serve()
        await steelyard.operator.record({"RSTS": price})
        await steelyard.next_hour()
        async with follow(person, portfolio_id, last) as events:
            assert (await anext(events)).event == "begin"
            event = await anext(events)
            told.append(json.loads(event.data)["kind"])
            last = event.id
    assert told == ["RAISED", "ESCALATED", "RESOLVED"]
