"""Too many alerts at once: some one by one, the rest in a digest that counts exactly what was left out."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from app.actions import relay
from app.context import Context, Services
from app.core.alerts import AlertEventKind, AlertSeverity
from app.store.reading import Loaded
from tests.builders import AS_OF
from tests.receiver import Receiver, receiving
from tests.store.world import World
from tests.support import until
from tests.workers.hooked import delivering, hook_at, portfolio, quick, rows, tell, until_rows

DIGEST = "ALERT_DIGEST"
RAISED = "ALERT_RAISED"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def owner(alice: Context) -> Context:
    return replace(alice, settings=quick(alice).settings)


@pytest.fixture
async def kept(world: World) -> Loaded:
    return await portfolio(world)


def names(first: int, last: int) -> list[str]:
    return [f"K{number:02}" for number in range(first, last)]


async def test_the_rest_of_a_storm_is_one_digest_that_counts_it(
    services: Services, world: World, owner: Context, receiver: Receiver, kept: Loaded
) -> None:
    await hook_at(owner, receiver.url)
    await tell(world, kept, *names(0, 20), severity=AlertSeverity.WARNING)
    await tell(world, kept, *names(20, 33))
    await tell(world, kept, *names(20, 22), event=AlertEventKind.RESOLVED)
    async with delivering(services, storm_alerts=5, storm_digest_s=0):
        await until_rows(world, [(DIGEST, "DELIVERED", 1), *[(RAISED, "DELIVERED", 1)] * 5])
    bodies = [message.json for message in receiver.received]
    [digest] = [body["data"] for body in bodies if body["type"] == "alert.digest"]
    told = {body["data"]["key"] for body in bodies if body["type"] == "alert.raised"}
    assert told == set(names(0, 5))
    assert digest["count"] == 30
    assert digest["alerts"] == [
        {"kind": "DRIFT", "severity": "CRITICAL", "event": RAISED, "count": 13},
        {"kind": "DRIFT", "severity": "CRITICAL", "event": "ALERT_RESOLVED", "count": 2},
        {"kind": "DRIFT", "severity": "WARNING", "event": RAISED, "count": 15},
    ]
    assert (digest["portfolioCount"], digest["portfolioIds"]) == (1, [kept.row.public_id])
    assert [alert["severity"] for alert in digest["worst"]] == ["CRITICAL"] * 10


async def test_a_digest_waits_and_what_comes_after_its_first_try_starts_another(
    services: Services, world: World, owner: Context, receiver: Receiver, kept: Loaded
) -> None:
    receiver.answers = [204, 204, 500]
    await hook_at(owner, receiver.url)
    stormy = quick(services, storm_alerts=2, storm_digest_s=30)
    for first, last in ((0, 3), (3, 7)):  # over two pages of the log
        await tell(world, kept, *names(first, last))
        await relay.relay_page(stormy)
    waits = "type, status, attempts, round(extract(epoch FROM due - created_at))::int"
    assert sorted(await rows(world, waits)) == [(DIGEST, "PENDING", 0, 30), *[(RAISED, "PENDING", 0, 0)] * 2]
    async with delivering(stormy, storm_alerts=2, storm_digest_s=30):
        await receiver.until(2)
        await receiver.silence()
        await world.sql("UPDATE deliveries SET due = now() WHERE type = $1", DIGEST)
        await receiver.until(3)
        tried = "SELECT count(*) = 1 FROM deliveries WHERE type = $1 AND last_status = 500"
        await until(lambda: world.sql(tried, DIGEST))
        await tell(world, kept, *names(7, 10))

        async def another() -> bool:
            return bool(await world.sql("SELECT count(*) = 2 FROM deliveries WHERE type = $1", DIGEST))

        await until(another)
        await world.sql("UPDATE deliveries SET due = now() WHERE status = 'PENDING'")
        await receiver.until(5)
    digests = [message for message in receiver.received if message.json["type"] == "alert.digest"]
    counts = sorted((message.id, message.json["data"]["count"]) for message in digests)
    assert sorted(count for _, count in counts) == [3, 5, 5]
    assert len({message.body for message in digests if message.json["data"]["count"] == 5}) == 1
    assert await world.sql("SELECT count(*) FROM digest_lines") == 0


async def test_prices_that_fall_for_a_minute_are_one_storm(
    services: Services, world: World, owner: Context, receiver: Receiver, kept: Loaded
) -> None:
    await hook_at(owner, receiver.url)
    stormy = quick(services, storm_alerts=3, storm_digest_s=30)
    for number, second in enumerate((0, 1, 59, 60)):  # the clock was at a full minute
        await tell(world, kept, *names(number * 2, number * 2 + 2), now=AS_OF + timedelta(seconds=second))
        await relay.relay_page(stormy)
    assert [kind for kind, _, _ in await rows(world)] == [RAISED, RAISED, DIGEST, RAISED, RAISED, RAISED]
    assert await world.sql("SELECT count(*) FROM digest_lines") == 3


async def test_a_storm_is_of_one_hook_and_one_minute(
    services: Services, world: World, owner: Context, receiver: Receiver, kept: Loaded
) -> None:
    async with receiving() as calm:
        await hook_at(owner, receiver.url)
        await hook_at(owner, calm.url, least=AlertSeverity.CRITICAL)
        async with delivering(services, storm_alerts=3, storm_digest_s=30):
            await tell(world, kept, *names(0, 3), severity=AlertSeverity.WARNING)
            await tell(world, kept, *names(3, 6))
            await tell(world, kept, *names(6, 9), now=AS_OF + timedelta(hours=1))
            await receiver.until(6)
            await calm.until(6)
            await receiver.silence()
    assert {message.json["type"] for message in [*receiver.received, *calm.received]} == {"alert.raised"}
    lines = "SELECT count(*) FROM digest_lines"
    assert await world.sql(lines) == 3
    assert await world.sql("SELECT count(*) FROM deliveries WHERE type = $1 AND payload IS NULL", DIGEST) == 1


async def test_nothing_of_a_storm_is_lost_or_told_twice_while_digests_come_and_go(
    services: Services, world: World, owner: Context, receiver: Receiver, kept: Loaded
) -> None:
    await hook_at(owner, receiver.url)
    async with (
        delivering(services, storm_alerts=4, storm_digest_s=0),
        delivering(services, storm_alerts=4, storm_digest_s=0),
    ):
        for batch in range(12):
            await tell(world, kept, *names(batch * 5, batch * 5 + 5))

        async def all_told() -> bool:
            bodies = [message.json for message in receiver.received]
            return bool(sum(body["data"].get("count", 1) for body in bodies) >= 60)

        await until(all_told)
        await receiver.silence()
    bodies = [orjson.loads(message.body) for message in receiver.received]
    singles = [body["data"]["key"] for body in bodies if body["type"] == "alert.raised"]
    assert sorted(singles) == names(0, 4)
    assert sum(body["data"]["count"] for body in bodies if body["type"] == "alert.digest") == 56
    assert len({message.id for message in receiver.received}) == len(receiver.received)
