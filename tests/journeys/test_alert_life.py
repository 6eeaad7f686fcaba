"""An outage is one alert an owner; what is open is told again when it should be, and silent when somebody said so."""

import itertools
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

from tests.support import ALERTS, Feed, Person, Steelyard

LIFE = """
subscription ($after: String, $only: [ID!]) {
  driftAlerts(after: $after, portfolioIds: $only) {
    kind alert { id portfolioId kind key severity status message snoozedUntil remindedAt raisedAt }
  }
}
"""
HOUR = timedelta(hours=1)

_numbers = itertools.count(1)


def kinds(feed: Feed) -> list[str]:
    return [event["kind"] for event in feed.received]


async def drifting(steelyard: Steelyard, person: Person, **policy: object) -> tuple[str, str]:
    """Create a portfolio of which a stock is 75 % instead of 60; return its id and the stock.

    Only a scan finds that out: the prices were looked at before.
    """
    number = next(_numbers)
    stock, bond = f"AF{number}S", f"AF{number}B"
    await steelyard.operator.list_asset(stock, "200")
    await steelyard.operator.list_asset(bond, "50", assetClass="BOND")
    await steelyard.until_passed()
    portfolio_id = await person.create(
        accounts=[{"lots": [{"symbol": stock, "quantity": "6"}, {"symbol": bond, "quantity": "8"}]}],
        targets=[
            {"key": stock, "percent": 60, "band": {"absolute": 10}},
            {"key": bond, "percent": 40, "band": {"absolute": 40}},
        ],
        policy=policy,
    )
    return portfolio_id, stock


async def test_an_outage_of_the_feed_is_raised_once_and_resolved_once_for_each_owner(steelyard: Steelyard) -> None:
    coin = f"AF{next(_numbers)}C"
    await steelyard.operator.list_asset(coin, "100", assetClass="CRYPTO")
    await steelyard.until_passed()
    people = [steelyard.person(subject) for subject in ("olga", "otto")]
    portfolios: dict[str, list[str]] = {person.subject: [] for person in people}
    for _ in range(3):
        for person in people:
            lots = [{"symbol": coin, "quantity": "1"}]
            made = await person.create(accounts=[{"lots": lots}], targets=[{"key": coin, "percent": 100}])
            portfolios[person.subject].append(made)
    after = await steelyard.cursor()
    async with AsyncExitStack() as following:
        feeds = [
            await following.enter_async_context(way)
            for person in people
            for only in (None, portfolios[person.subject][:1])
            for way in [person.on_socket(LIFE, after=after, only=only)]
        ]
        await steelyard.next_hour()  # the prices are an hour old, which is fresh enough
        await steelyard.next_hour()
        for feed in feeds:
            await feed.until(1)
        for _ in range(3):
            await steelyard.next_hour()
        await steelyard.operator.record({coin: "101"})
        for feed in feeds:
            await feed.until(2)
        await steelyard.next_hour()  # fresh
        await steelyard.next_hour()  # old again
        for feed in feeds:
            await feed.until(3)
            assert kinds(feed) == ["RAISED", "RESOLVED", "RAISED"]
            first, second, _ = (event["alert"] for event in feed.received)
            assert (first["kind"], first["portfolioId"], first["severity"]) == ("DATA_STALE", None, "WARNING")
            assert first["message"].startswith("At ")
            assert first["message"].endswith(f" drift of 3 portfolios could not be judged: no fresh price for {coin}.")
            assert second["id"] == first["id"]
            assert second["message"] == "No portfolio that is watched lacks a fresh price any more, after 3 hours."
        # It is shown with each of the portfolios, and ends with the last of them.
        query = "query ($id: ID!) { portfolio(id: $id) { alerts(first: 1) { nodes { kind status } } } }"
        for person in people:
            for number, portfolio_id in enumerate(portfolios[person.subject], 1):
                [shown] = (await person.ask(query, id=portfolio_id))["portfolio"]["alerts"]["nodes"]
                assert shown == {"kind": "DATA_STALE", "status": "OPEN"}
                await person.done("portfolioUpdate", "portfolio { id }", portfolioId=portfolio_id, status="PAUSED")
                [shown] = (await person.ask(query, id=portfolio_id))["portfolio"]["alerts"]["nodes"]
                assert shown["status"] == ("RESOLVED" if number == 3 else "OPEN")
        for feed in feeds:
            await feed.until(4)
            await feed.silence(0.2)
            assert kinds(feed) == ["RAISED", "RESOLVED", "RAISED", "RESOLVED"]


async def test_an_open_alert_is_told_again_until_somebody_has_seen_it(steelyard: Steelyard) -> None:
    person = steelyard.person("rita")
    portfolio_id, stock = await drifting(steelyard, person, remindAfter="PT2H")
    async with person.on_socket(LIFE, after=await steelyard.cursor()) as feed:
        for _ in range(5):
            await steelyard.next_hour()
        [raised, first, second] = (event["alert"] for event in await feed.until(3))
        assert kinds(feed) == ["RAISED", "REMINDED", "REMINDED"]
        assert {alert["portfolioId"] for alert in (raised, first, second)} == {portfolio_id}
        started = datetime.fromisoformat(raised["raisedAt"])
        assert datetime.fromisoformat(first["remindedAt"]) == started + 2 * HOUR
        assert datetime.fromisoformat(second["remindedAt"]) == started + 4 * HOUR
        assert second["message"] == f"{stock} is at 75 %, target 60 %, band 50 to 70 %: still outside."
        await person.done("alertAcknowledge", "alert { id }", alertId=raised["id"])
        for _ in range(4):
            await steelyard.next_hour()
        await steelyard.operator.record({stock: "100"})
        await steelyard.next_hour()
        await feed.until(5)
        assert kinds(feed)[3:] == ["ACKNOWLEDGED", "RESOLVED"]


async def test_a_snoozed_alert_is_silent_until_then_and_told_once(steelyard: Steelyard) -> None:
    person = steelyard.person("sven")
    await drifting(steelyard, person, remindAfter="PT1H")
    async with person.on_socket(LIFE, after=await steelyard.cursor()) as feed:
        await steelyard.next_hour()
        [event] = await feed.until(1)
        until = datetime.fromisoformat(event["alert"]["raisedAt"]) + 3 * HOUR
        given: dict[str, Any] = {"alertId": event["alert"]["id"], "until": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
        snoozed = (await person.done("alertSnooze", "alert { snoozedUntil status }", **given))["alert"]
        assert datetime.fromisoformat(snoozed["snoozedUntil"]) == until
        assert snoozed["status"] == "OPEN"
        await steelyard.next_hour()
        await steelyard.next_hour()
        await feed.until(2)
        await feed.silence(0.3)
        await steelyard.next_hour()
        await feed.until(3)
        assert kinds(feed) == ["RAISED", "SNOOZED", "REMINDED"]
        assert feed.received[-1]["alert"]["snoozedUntil"] is None


async def test_a_pause_ends_what_is_open(steelyard: Steelyard) -> None:
    person = steelyard.person("tina")
    portfolio_id, _ = await drifting(steelyard, person)
    after = await steelyard.cursor()
    async with (
        person.on_socket(LIFE, after=after) as feed,
        person.on_socket(ALERTS, after=after, least="CRITICAL") as urgent,
    ):
        await steelyard.next_hour()
        await feed.until(1)
        await person.done("portfolioUpdate", "portfolio { id }", portfolioId=portfolio_id, status="PAUSED")
        await feed.until(2)
        await steelyard.next_hour()
        await person.done("portfolioUpdate", "portfolio { id }", portfolioId=portfolio_id, status="ACTIVE")
        await steelyard.next_hour()
        await feed.until(3)
        # Who asks for what is urgent hears of its end too, as the alert keeps the worst it has been.
        assert kinds(feed) == [event["kind"] for event in await urgent.until(3)] == ["RAISED", "RESOLVED", "RAISED"]
    message = "The portfolio is paused; nothing is watched until it is active again."
    assert feed.received[1]["alert"]["message"] == message
