"""Drift and scans, followed: as they are now, then as they change, at the follower's pace."""

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest
import redis

from tests.support import Person, Steelyard, until

DRIFT = """
subscription ($id: ID!, $every: Duration! = "PT1S") {
  driftUpdated(portfolioId: $id, every: $every) { status maxAbsDrift value { amount } targetsVersion stale }
}
"""
SCAN = "subscription { scanUpdated { bucket kind status due chunks chunksDone scanned endedAt } }"

_numbers = itertools.count(1)


async def watched(steelyard: Steelyard, subject: str) -> tuple[Person, str, str]:
    """Return a person with 6 of a stock at 100 and 400 in cash, wanted at 60 and 40; its id; and the stock."""
    stock = f"LV{next(_numbers)}"
    await steelyard.operator.list_asset(stock, "100")
    person = steelyard.person(subject)
    accounts = [{"lots": [{"symbol": stock, "quantity": "6"}], "cash": "400"}]
    targets = [{"key": stock, "percent": 60, "band": {"absolute": 5}}, {"key": "CASH", "percent": 40}]
    return person, await person.create(accounts=accounts, targets=targets), stock


def values(received: list[dict[str, Any]]) -> list[Decimal]:
    return [Decimal(answer["value"]["amount"]) for answer in received]


async def test_drift_is_told_as_it_is_and_again_when_price_targets_or_holdings_change(steelyard: Steelyard) -> None:
    person, portfolio_id, stock = await watched(steelyard, "lea")
    async with (
        person.on_socket(DRIFT, id=portfolio_id) as socket,
        person.on_stream(DRIFT, id=portfolio_id) as stream,
    ):
        for feed in (socket, stream):
            [first] = await feed.until(1)
            assert (first["status"], first["maxAbsDrift"], first["targetsVersion"]) == ("WITHIN", "0", 1)
        await steelyard.operator.record({stock: "150"})
        for feed in (socket, stream):
            assert (await feed.until(2))[1] == {
                "status": "BREACHED",
                "maxAbsDrift": "9.230769",
                "targetsVersion": 1,
                "stale": False,
                "value": {"amount": "1300"},
            }
        entries = [{"key": stock, "percent": 70}, {"key": "CASH", "percent": 30}]
        await person.done("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=entries)
        for feed in (socket, stream):
            assert [(one["targetsVersion"], one["status"]) for one in await feed.until(3)][2] == (2, "WITHIN")
        # Prices of what it does not rest on, and news of other kinds, change nothing.
        await steelyard.operator.list_asset(f"{stock}X", "5")
        await person.create()
        await socket.silence(1.5)


async def test_many_prices_in_a_moment_are_one_answer_the_last(steelyard: Steelyard) -> None:
    person, portfolio_id, stock = await watched(steelyard, "max")
    async with person.on_socket(DRIFT, id=portfolio_id, every="PT2S") as feed:
        await feed.until(1)
        for price in range(101, 116):
            await steelyard.operator.record({stock: str(price)})

        async def last_told() -> bool:
            return values(feed.received)[-1] == 6 * 115 + 400

        await until(last_told)
        assert 2 <= len(feed.received) <= 4


async def test_without_valkey_drift_is_told_a_little_later(steelyard: Steelyard) -> None:
    person, portfolio_id, stock = await watched(steelyard, "nia")
    async with person.on_socket(DRIFT, id=portfolio_id) as feed:
        await feed.until(1)
        with redis.Redis.from_url(steelyard.endpoints.redis_url) as client:
            await steelyard.operator.record({stock: "120"})
            client.flushall()
        assert values(await feed.until(2))[1] == 1120


async def test_somebody_elses_drift_is_not_there(steelyard: Steelyard) -> None:
    _, portfolio_id, _ = await watched(steelyard, "olaf")
    stranger = steelyard.person("stranger")
    for foreign in (portfolio_id, "pf_00000000000000000000000000"):
        async with stranger.on_socket(DRIFT, id=foreign) as feed:
            await feed.until_end()
        assert "NOT_FOUND" in str(feed.error)
        assert feed.received == []


@pytest.mark.parametrize("every", ["PT0S", "PT3601S"])
async def test_a_pace_out_of_bounds_is_refused(steelyard: Steelyard, every: str) -> None:
    person, portfolio_id, _ = await watched(steelyard, "pia")
    async with person.on_socket(DRIFT, id=portfolio_id, every=every) as feed:
        await feed.until_end()
    assert "it must be from PT1S to PT1H" in str(feed.error)


async def test_an_operator_sees_a_scan_from_its_start_to_its_end_and_the_next(steelyard: Steelyard) -> None:
    await watched(steelyard, "quinn")
    await steelyard.next_hour()
    async with steelyard.operator.on_socket(SCAN) as feed:
        [now] = await feed.until(1)
        assert (now["status"], now["chunks"], now["scanned"]) == ("DONE", now["chunksDone"], now["due"])
        figures = await steelyard.next_hour()

        async def over() -> bool:
            newest = feed.received[-1]
            return bool(newest["bucket"] == figures["bucket"] and newest["status"] == "DONE")

        await until(over)
        assert feed.received[-1]["scanned"] == figures["due"]
        told = [(one["bucket"], one["chunksDone"], one["scanned"]) for one in feed.received]
        assert told == sorted(told)
        assert {one["kind"] for one in feed.received} == {"SCHEDULED"}


async def test_who_is_no_operator_sees_no_scan(steelyard: Steelyard) -> None:
    async with steelyard.person("rita").on_socket(SCAN) as feed:
        await feed.until_end()
    assert "FORBIDDEN" in str(feed.error)


async def test_a_stream_that_is_left_leaves_nothing_behind(steelyard: Steelyard) -> None:
    person, portfolio_id, _ = await watched(steelyard, "sven")

    async def streams() -> int:
        answer = await person.send("GET", "/metrics")
        [line] = [line for line in answer.text.splitlines() if line.startswith("steelyard_streams ")]
        return int(float(line.split()[1]))

    before = await streams()
    async with person.on_socket(DRIFT, id=portfolio_id) as one, person.on_stream(DRIFT, id=portfolio_id) as other:
        await asyncio.gather(one.until(1), other.until(1))
        assert await streams() == before + 2

    async def left() -> bool:
        return await streams() <= before

    await until(left)
