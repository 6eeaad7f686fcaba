"""Prices move, a scan sees it, an alert is raised, and who follows hears of it: everything, in order, once."""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from app.actions import scans
from tests.support import ALERTS, Feed, Person, Steelyard

_numbers = itertools.count(1)


@dataclass
class Watched:
    """6 of a stock at 100 and 8 of a bond at 50, targets 60 and 40 percent; only the stock's band can be breached.

    At 150 the stock is at 69.23 %, outside its band of 55 to 65; at 200 it is at 75 %, outside by more than the band.
    """

    steelyard: Steelyard
    person: Person
    portfolio_id: str
    symbol: str

    async def price(self, price: str) -> None:
        """Record a price, and let an hour pass and be scanned."""
        await self.steelyard.operator.record({self.symbol: price})
        await self.steelyard.next_hour()

    async def open_alert(self) -> str:
        """Return the id of the portfolio's newest alert."""
        query = "query ($id: ID!) { portfolio(id: $id) { alerts(first: 1) { nodes { id } } } }"
        [alert] = (await self.person.ask(query, id=self.portfolio_id))["portfolio"]["alerts"]["nodes"]
        return str(alert["id"])


Watch = Callable[[str], Awaitable[Watched]]


@pytest.fixture
def watch(steelyard: Steelyard) -> Watch:
    async def make(subject: str) -> Watched:
        number = next(_numbers)
        stock, bond = f"AL{number}S", f"AL{number}B"
        await steelyard.operator.list_asset(stock, "100")
        await steelyard.operator.list_asset(bond, "50", assetClass="BOND")
        person = steelyard.person(subject)
        portfolio_id = await person.create(
            accounts=[{"lots": [{"symbol": stock, "quantity": "6"}, {"symbol": bond, "quantity": "8"}]}],
            targets=[
                {"key": stock, "percent": 60, "band": {"absolute": 5}},
                {"key": bond, "percent": 40, "band": {"absolute": 40}},
            ],
        )
        return Watched(steelyard, person, portfolio_id, stock)

    return make


def kinds(feed: Feed) -> list[str]:
    return [event["kind"] for event in feed.received]


def cursors(*feeds: Feed) -> list[str]:
    return [event["cursor"] for feed in feeds for event in feed.received]


async def test_a_breach_reaches_socket_and_stream_once(steelyard: Steelyard, watch: Watch) -> None:
    watched = await watch("amy")
    after = await steelyard.cursor()
    async with AsyncExitStack() as following:
        ways = [watched.person.on_socket(ALERTS, after=after), watched.person.on_stream(ALERTS, after=after)]
        feeds = [await following.enter_async_context(way) for way in ways]
        await watched.price("150")
        for feed in feeds:
            [event] = await feed.until(1)
            alert = event["alert"]
            assert (event["kind"], alert["key"], alert["status"]) == ("RAISED", watched.symbol, "OPEN")
            assert (alert["severity"], alert["portfolioId"]) == ("CRITICAL", watched.portfolio_id)
            assert alert["entry"] == {"actual": "69.230769", "drift": "9.230769"}
        await watched.price("151")
        await watched.price("149")
        for feed in feeds:
            await feed.silence(0.6)
        assert feeds[0].received == feeds[1].received


async def test_without_a_cursor_only_what_comes_is_told(watch: Watch) -> None:
    watched = await watch("ben")
    await watched.price("150")
    past = await watched.open_alert()
    async with watched.person.on_socket(ALERTS) as feed:
        # It cannot be seen from outside when the subscription begins, so news are made until some arrive.
        for price in ("100", "150") * 5:
            await watched.price(price)
            if feed.received:
                break
    assert feed.received
    assert (past, "RAISED") not in [(event["alert"]["id"], event["kind"]) for event in feed.received]


async def test_an_alert_is_told_through_its_life(steelyard: Steelyard, watch: Watch) -> None:
    watched = await watch("cleo")
    async with watched.person.on_socket(ALERTS, after=await steelyard.cursor()) as feed:
        await watched.price("150")
        await watched.price("200")
        acknowledged = await watched.person.done(
            "alertAcknowledge", "alert { status }", alertId=await watched.open_alert()
        )
        assert acknowledged["alert"] == {"status": "ACKNOWLEDGED"}
        await watched.price("100")
        await feed.until(4)
    told = [(event["kind"], event["alert"]["status"], event["alert"]["entry"]["drift"]) for event in feed.received]
    assert told == [
        ("RAISED", "OPEN", "9.230769"),
        ("ESCALATED", "OPEN", "15"),
        ("ACKNOWLEDGED", "ACKNOWLEDGED", "15"),
        ("RESOLVED", "RESOLVED", "15"),
    ]
    assert len({event["alert"]["id"] for event in feed.received}) == 1


async def test_a_price_that_flips_around_the_edge_raises_one_alert(steelyard: Steelyard, watch: Watch) -> None:
    watched = await watch("dan")
    async with watched.person.on_socket(ALERTS, after=await steelyard.cursor()) as feed:
        # The edge of 65 % is at 123.81, and the alert is over below 64.5 %, at 121.13.
        for price in ("124", "123", "124", "123", "121"):
            await watched.price(price)
        await feed.until(2)
        await feed.silence(0.3)
    assert kinds(feed) == ["RAISED", "RESOLVED"]


async def test_another_owner_hears_nothing(steelyard: Steelyard, watch: Watch) -> None:
    watched, other = await watch("eve"), await watch("mallory")
    after = await steelyard.cursor()
    async with (
        watched.person.on_socket(ALERTS, after=after) as hers,
        other.person.on_socket(ALERTS, after=after) as his,
        other.person.on_socket(ALERTS, after=after, only=[watched.portfolio_id]) as curious,
    ):
        await watched.price("150")
        await hers.until(1)
        await other.price("150")
        await his.until(1)
        await curious.silence(0.3)
        assert [event["alert"]["portfolioId"] for event in his.received] == [other.portfolio_id]
        assert curious.received == []
    alert_id = await watched.open_alert()
    payload = await other.person.change("alertAcknowledge", "alert { id }", alertId=alert_id)
    assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]


async def test_who_reconnects_with_a_cursor_misses_nothing_and_hears_nothing_twice(
    steelyard: Steelyard, watch: Watch
) -> None:
    watched = await watch("finn")
    async with watched.person.on_socket(ALERTS, after=await steelyard.cursor()) as first:
        await watched.price("150")
        await first.until(1)
    await watched.price("200")
    await watched.price("100")
    async with watched.person.on_stream(ALERTS, after=first.received[-1]["cursor"]) as second:
        await second.until(2)
        await watched.price("150")
        await second.until(3)
    assert kinds(first) + kinds(second) == ["RAISED", "ESCALATED", "RESOLVED", "RAISED"]
    assert len(set(cursors(first, second))) == 4


async def test_nothing_is_missed_while_the_api_is_killed_and_started_again(steelyard: Steelyard, watch: Watch) -> None:
    watched = await watch("gina")
    async with watched.person.on_socket(ALERTS, after=await steelyard.cursor()) as first:
        await watched.price("150")
        await first.until(1)
        await steelyard.operator.record({watched.symbol: "200"})
        assert steelyard.api
        steelyard.api.kill()
        await first.until_end()
    await steelyard.later()
    async with steelyard.services() as services:
        await scans.tick(services)
    steelyard.serve()
    async with watched.person.on_socket(ALERTS, after=first.received[-1]["cursor"]) as second:
        await second.until(1)
        await second.silence(0.3)
    assert kinds(first) + kinds(second) == ["RAISED", "ESCALATED"]


async def test_an_emptied_valkey_costs_no_event(steelyard: Steelyard, watch: Watch) -> None:
    watched = await watch("hans")
    after = await steelyard.cursor()
    async with watched.person.on_socket(ALERTS, after=after) as feed:
        await watched.price("150")
        await feed.until(1)
        with redis.Redis.from_url(steelyard.endpoints.redis_url) as client:
            client.flushall()
        await watched.price("200")
        await feed.until(2)
        await feed.silence(0.3)
    assert kinds(feed) == ["RAISED", "ESCALATED"]


async def test_a_subscriber_may_ask_for_some_portfolios_only(steelyard: Steelyard, watch: Watch) -> None:
    one, other = await watch("ida"), await watch("ida")
    given: dict[str, Any] = {"after": await steelyard.cursor(), "only": [other.portfolio_id], "least": "CRITICAL"}
    async with one.person.on_socket(ALERTS, **given) as feed:
        await one.price("150")
        await other.price("150")
        await feed.until(1)
        await feed.silence(0.3)
    assert [event["alert"]["portfolioId"] for event in feed.received] == [other.portfolio_id]
