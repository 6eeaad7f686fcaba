"""The relay's place in the log: it survives, starts anew after a dump, and the log is cut off behind it only."""

import asyncio
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from app.actions import live, relay
from app.actions.live import Hub
from app.context import Context, Services, wall_now
from app.core.errors import InvalidInput
from app.store import events, idempotency
from app.store import relay as rows
from app.store.reading import Loaded
from tests.builders import AS_OF
from tests.receiver import receiving
from tests.store.world import World
from tests.workers.hooked import delivering, hook_at, portfolio, quick, tell

EVENTS = "SELECT count(*) FROM outbox"
DELIVERIES = "SELECT count(*) FROM deliveries"


@pytest.fixture
def owner(alice: Context) -> Context:
    return replace(alice, settings=quick(alice).settings)


@pytest.fixture
async def kept(world: World) -> Loaded:
    return await portfolio(world)


async def cursor_now(world: World) -> str:
    async with world.store.shared() as tx:
        return await events.current_cursor(tx)


async def trim(world: World, after: timedelta, limit: int = 1000) -> dict[str, int]:
    async with world.store.shared() as tx:
        return await rows.relay_trim(tx, wall_now() + after, limit)


async def test_an_event_is_relayed_once_though_the_relay_is_asked_again(
    services: Services, world: World, owner: Context, kept: Loaded
) -> None:
    await hook_at(owner, "http://127.0.0.1:9/")
    await tell(world, kept, "A", "B")
    assert [(await relay.relay_page(services)).written for _ in range(3)] == [2, 0, 0]
    await world.sql("UPDATE outbox_marks SET xid = '0', event = 0 WHERE name = 'relayed'")
    await relay.relay_page(services)
    assert await world.sql(DELIVERIES) == 2


async def test_an_event_that_cannot_be_told_holds_up_no_other(
    services: Services, world: World, owner: Context, kept: Loaded
) -> None:
    await hook_at(owner, "http://127.0.0.1:9/")
    await tell(world, kept, "A", "B")
    async with world.writing() as tx:
        await tx.execute(
            "INSERT INTO outbox (owner_id, portfolio_id, topic, subject, payload, created_at) VALUES "
            "($1, $2, 'alert', 'broken', '{\"event\": \"RAISED\", \"alert\": {}}', $3)",
            world.owner_id,
            kept.row.id,
            AS_OF,
        )
    await tell(world, kept, "C")
    with structlog.testing.capture_logs() as logged:
        assert (await relay.relay_page(services)).written == 3
    assert [entry["event"] for entry in logged] == ["event_not_told"]


async def test_while_one_relays_the_other_does_not_wait(services: Services, world: World, kept: Loaded) -> None:
    await tell(world, kept, "A")
    async with world.store.shared() as tx:
        assert await rows.relay_take_place(tx)
        assert (await relay.relay_page(services)).written == 0


async def test_a_hook_hears_what_was_committed_after_it_though_it_began_before(
    services: Services, world: World, owner: Context, kept: Loaded
) -> None:
    ready = {"status": "READY", "version": 1}
    async with world.writing() as running:
        await events.append_event(
            world.owner_id, running, kept.row.id, "targets", "running", {"version": 1}, kept.row.created_at
        )
        await tell(world, kept, "BEFORE")
        await hook_at(owner, "http://127.0.0.1:9/")
        await events.append_event(world.owner_id, running, kept.row.id, "plan", "pl_x", ready, kept.row.created_at)
    await tell(world, kept, "AFTER")
    await world.sql("UPDATE hooks SET events = events || '{PLAN_READY}'")
    assert (await relay.relay_page(services)).written == 2
    told = "SELECT array_agg(payload->'data'->>'key' ORDER BY id) FROM deliveries"
    assert await world.sql(told) == [None, "AFTER"]


async def test_after_a_restore_from_a_dump_the_relay_starts_at_now(
    services: Services, world: World, owner: Context, kept: Loaded
) -> None:
    """The dump brings places and events of a life with higher numbers."""
    async with receiving() as receiver:
        await hook_at(owner, receiver.url)
        await tell(world, kept, "OLD")
        async with world.raw(owner=True) as connection:
            await connection.execute("UPDATE outbox SET xid = (xid::text::bigint + 1000000000)::text::xid8")
            await connection.execute("UPDATE outbox_marks SET xid = (xid::text::bigint + 1000000000)::text::xid8")
            await connection.execute("UPDATE hooks SET since = '1000000000:1000000000:'::pg_snapshot")
        with structlog.testing.capture_logs() as logs:
            await relay.relay_page(services)
        assert [line["event"] for line in logs] == ["relay_starts_anew"]
        assert (await trim(world, timedelta()))["events"] > 0
        assert await world.sql(EVENTS) == 0
        async with delivering(services):
            await tell(world, kept, "NEW")
            [message] = await receiver.until(1)
            await receiver.silence()
        assert message.json["data"]["key"] == "NEW"
        assert (
            await world.sql("SELECT count(*) FROM outbox_marks WHERE xid > pg_snapshot_xmax(pg_current_snapshot())")
            == 0
        )


async def test_the_log_loses_what_is_a_week_old_and_relayed(services: Services, world: World, kept: Loaded) -> None:
    await tell(world, kept, "A", "B", "C")
    there = await world.sql(EVENTS)
    assert (await trim(world, timedelta(days=8)))["events"] == 0, "nothing was relayed yet"
    await relay.relay_page(services)
    assert (await trim(world, timedelta(days=6)))["events"] == 0
    await tell(world, kept, "D")
    assert (await trim(world, timedelta(days=8), 2))["events"] == 2, "in steps"
    assert (await trim(world, timedelta(days=8)))["events"] == there - 2
    assert await world.sql(EVENTS) == 1, "the last was not relayed"


async def test_a_cursor_of_what_is_gone_is_refused_and_one_behind_it_goes_on(
    services: Services, world: World, kept: Loaded
) -> None:
    first = await cursor_now(world)
    await tell(world, kept, "A", "B")
    last = await cursor_now(world)
    await relay.relay_page(services)
    await trim(world, timedelta(days=8))
    await tell(world, kept, "C")
    hub = Hub(services)
    for gone in (first, urlsafe_b64encode(b"0.0").decode()):
        with pytest.raises(InvalidInput, match=r"^events before 20.* are gone; read the alerts once and subscribe"):
            await anext(live.follow(services, hub, world.owner_id, gone))
    event = await anext(live.follow(services, hub, world.owner_id, last))
    assert event.payload["alert"]["key"] == "C"


async def test_who_follows_one_portfolio_reads_what_is_about_others_once(
    services: Services, world: World, kept: Loaded
) -> None:
    followed, begun = await portfolio(world), await cursor_now(world)
    await tell(world, kept, "A", "B")
    only = [followed.row.public_id]
    reached, page = await live._read(services, world.owner_id, begun, only)
    assert page == []
    await tell(world, followed, "C")
    async with world.store.shared() as tx:
        for after, left in ((begun, ["A", "B", "C"]), (reached, ["C"])):
            found = await events.load_events(world.owner_id, tx, after, 10)
            assert [event.payload["alert"]["key"] for event in found if event.topic == "alert"] == left
    _, page = await live._read(services, world.owner_id, reached, only)
    assert [event.payload["alert"]["key"] for event in page] == ["C"]


async def test_while_one_forgets_the_other_does_not_wait(services: Services, world: World) -> None:
    keys = "SELECT count(*) FROM idempotency_keys"
    await world.sql(
        "INSERT INTO idempotency_keys VALUES ($1, 'old', 'x', '', '{}', now() - interval '3 days')", world.owner_id
    )
    async with world.store.shared() as tx:
        assert await rows.relay_take_trim_turn(tx)
        await rows.relay_trim(tx, wall_now(), 10)
        async with asyncio.timeout(2):
            await relay.relay_trim(services)
        assert await world.sql(keys) == 1
    assert await world.sql(keys) == 0


async def test_deliveries_and_keys_are_forgotten_in_their_time(
    services: Services, world: World, owner: Context, kept: Loaded
) -> None:
    hook, _ = await hook_at(owner, "http://127.0.0.1:9/")
    await tell(world, kept, *"ABCD")
    await relay.relay_page(services)
    async with world.raw() as connection:
        for key, status in zip("ABC", ("DELIVERED", "DEAD", "CANCELLED"), strict=True):
            await connection.execute(
                "UPDATE deliveries SET status = $2, ended_at = now() WHERE payload->'data'->>'key' = $1", key, status
            )
    async with world.writing() as tx:
        await idempotency.begin(world.owner_id, tx, "k", "x", "d", wall_now())
        await idempotency.finish(world.owner_id, tx, "k", {})
    left = "SELECT array_agg(status ORDER BY status) FROM deliveries"
    assert (await trim(world, timedelta(hours=47)))["keys"] == 0
    assert (await trim(world, timedelta(hours=49)))["keys"] == 1
    await trim(world, timedelta(days=6, hours=23))
    assert await world.sql(left) == ["CANCELLED", "DEAD", "DELIVERED", "PENDING"]
    await trim(world, timedelta(days=7, hours=1))
    assert await world.sql(left) == ["DEAD", "PENDING"]
    await world.sql("UPDATE hooks SET deleted_at = now() WHERE id = $1", hook.row_id)
    await world.sql("UPDATE deliveries SET status = 'CANCELLED', ended_at = now() WHERE status = 'PENDING'")
    await trim(world, timedelta(days=31))
    assert await world.sql(left) is None
    assert await world.sql("SELECT count(*) FROM hooks") == 0
