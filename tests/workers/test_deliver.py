"""What is committed reaches every hook that takes it, signed, at least once, under one id; none waits for others."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.actions import hooks, relay
from app.context import Context, Services, wall_now
from app.core.alerts import AlertEventKind, AlertSeverity
from app.core.errors import NotFound
from app.core.hooks import DeliveryStatus, HookEvent, HookKind
from app.core.targets import Targets
from app.courier import webhooks
from app.store import events
from app.store.hooks import delete_hook
from tests.builders import AS_OF
from tests.receiver import Receiver, receiving
from tests.store.world import World
from tests.support import enter
from tests.workers.hooked import delivering, hook_at, portfolio, quick, rows, tell, until_rows

RAISED = "ALERT_RAISED"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def owner(alice: Context) -> Context:
    return replace(alice, settings=quick(alice).settings)


async def due_now(world: World) -> None:
    """Let the time until the next try pass."""
    await world.sql("UPDATE deliveries SET due = now() WHERE status = 'PENDING' AND due IS NOT NULL")


async def test_an_alert_arrives_signed_and_is_written_off(services: Services, world: World, owner: Context) -> None:
    async with receiving() as receiver, delivering(services):
        hook, secret = await hook_at(owner, receiver.url)
        await tell(world, await portfolio(world), "AAPL")
        [message] = await receiver.until(1)
        await until_rows(world, [(RAISED, "DELIVERED", 1, None, 204)], "type, status, attempts, due, last_status")
    message.verify(secret)
    assert message.headers["content-type"] == "application/json"
    assert (message.json["type"], message.json["timestamp"]) == ("alert.raised", "2024-06-03T16:00:00Z")
    data = message.json["data"]
    assert (data["kind"], data["key"], data["severity"], data["status"]) == ("DRIFT", "AAPL", "CRITICAL", "OPEN")
    assert (data["message"], data["entry"]["drift"]) == ("AAPL: RAISED", "9.230769")
    assert data["entry"]["band"] == {"kind": "ABSOLUTE", "lower": "55", "upper": "65"}
    assert data["entry"]["toTarget"] == {"amount": "-120", "currency": "USD"}
    page = await hooks.deliveries_page(owner, hook, 10, None, [DeliveryStatus.DELIVERED])
    assert [(one.id, one.event, one.last_error) for one in page.items] == [(message.id, HookEvent.ALERT_RAISED, None)]
    [kept] = (await hooks.page(owner, HookKind.WEBHOOK, 10, None)).items
    assert (kept.failures, kept.last_delivered_at is not None) == (0, True)


async def test_a_hook_is_told_only_of_what_it_takes(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    kept = await portfolio(world)
    await tell(world, kept, "BEFORE")
    bob = await enter(services, "bob")
    async with receiving() as elsewhere, delivering(services):
        await hook_at(owner, receiver.url, HookEvent.ALERT_RAISED, least=AlertSeverity.CRITICAL)
        await hook_at(bob, elsewhere.url)
        await tell(world, kept, "MILD", severity=AlertSeverity.WARNING)
        await tell(world, kept, "WANTED")
        await tell(world, kept, "WANTED", event=AlertEventKind.RESOLVED)
        await receiver.until(1)
        await receiver.silence()
        assert [message.json["data"]["key"] for message in receiver.received] == ["WANTED"]
        assert elsewhere.received == []


async def test_what_is_over_is_told_to_whom_heard_of_it(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    """The severity that counts is the alert's own, not that of its end."""
    kept = await portfolio(world)
    await hook_at(owner, receiver.url, least=AlertSeverity.CRITICAL)
    async with delivering(services):
        await tell(world, kept, "AAPL")
        await tell(world, kept, "AAPL", event=AlertEventKind.RESOLVED, severity=AlertSeverity.INFO)
        told = [message.json for message in await receiver.until(2)]
    by_type = {one["type"]: one["data"]["status"] for one in told}
    assert by_type == {"alert.raised": "OPEN", "alert.resolved": "RESOLVED"}


async def test_plans_and_targets_are_told(services: Services, world: World, owner: Context, receiver: Receiver) -> None:
    kept = await portfolio(world)
    await hook_at(owner, receiver.url, HookEvent.PLAN_READY, HookEvent.TARGETS_CHANGED)
    async with delivering(services):
        async with world.writing() as tx:
            wanted = kept.snapshot.targets
            assert wanted
            await world.aim(tx, kept.row.public_id, Targets(wanted.entries))
            await events.append_event(
                world.owner_id, tx, kept.row.id, "plan", "pl_x", {"status": "QUEUED", "version": 1}, AS_OF
            )
            await events.append_event(
                world.owner_id, tx, kept.row.id, "plan", "pl_x", {"status": "READY", "version": 2}, AS_OF
            )
        told = [message.json for message in await receiver.until(2)]
        await receiver.silence()
    found = {one["type"]: one["data"] for one in told}
    assert set(found) == {"targets.changed", "plan.ready"}
    assert found["targets.changed"]["version"] == 2
    assert found["plan.ready"] == {"id": "pl_x", "portfolioId": kept.row.public_id, "status": "READY"}


async def test_nothing_is_sent_before_the_commit(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    kept = await portfolio(world)
    await hook_at(owner, receiver.url, HookEvent.PLAN_READY)
    ready = {"status": "READY", "version": 2}
    async with delivering(services):
        async with world.writing() as older:
            await events.append_event(world.owner_id, older, kept.row.id, "plan", "older", ready, AS_OF)
            async with world.writing() as tx:
                await events.append_event(world.owner_id, tx, kept.row.id, "plan", "younger", ready, AS_OF)
            await receiver.silence()
            assert receiver.received == []
        told = [message.json["data"]["id"] for message in await receiver.until(2)]
    assert sorted(told) == ["older", "younger"]


async def test_a_receiver_that_fails_is_tried_again_under_the_same_id(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    receiver.answers = [500, 503]
    _, secret = await hook_at(owner, receiver.url)
    async with delivering(services):
        await tell(world, await portfolio(world), "AAPL")
        columns = "status, attempts, last_status, extract(epoch FROM due - last_at) BETWEEN $1 AND $1 + 1.1"
        for attempt, (status, least) in enumerate(((500, 4), (503, 8)), 1):
            await receiver.until(attempt)
            waits = columns.replace("$1 + 1.1", str(least * 1.25 + 0.5)).replace("$1", str(least))
            await until_rows(world, [("PENDING", attempt, status, True)], waits)
            [kept] = (await hooks.page(owner, HookKind.WEBHOOK, 10, None)).items
            assert kept.failures == attempt
            await due_now(world)
        await until_rows(world, [("DELIVERED", 3, None)], "status, attempts, last_error")
    assert len({(message.id, message.body) for message in receiver.received}) == 1
    for message in receiver.received:
        message.verify(secret)
    [kept] = (await hooks.page(owner, HookKind.WEBHOOK, 10, None)).items
    assert kept.failures == 0


async def test_a_receiver_that_hangs_holds_up_nobody_else(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    never = asyncio.Event()

    async def hang() -> int:
        await never.wait()
        return 204

    async with receiving([hang] * 30) as hanging:
        await hook_at(owner, hanging.url)
        await hook_at(owner, receiver.url)
        async with delivering(services):
            await tell(world, await portfolio(world), *[f"K{number}" for number in range(15)])
            began = time.monotonic()
            await receiver.until(15)
            assert time.monotonic() - began < 3
            await hanging.until(4)
            await hanging.silence()
            assert hanging.most_at_once == 4
            never.set()
            await hanging.until(15)
    assert hanging.most_at_once == 4
    assert len({message.id for message in hanging.received}) == 15


async def test_however_many_receivers_hang_the_others_are_told_at_once(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    never = asyncio.Event()

    async def hang() -> int:
        await never.wait()
        return 204

    bob = await enter(services, "bob")
    async with receiving([hang] * 1000) as hanging:
        for number in range(19):
            await hook_at(bob, f"{hanging.url}/{number}")
        await hook_at(owner, receiver.url)
        # What they are known for: nothing reached them the last time.
        await world.sql("UPDATE hooks SET failing_since = now() WHERE address LIKE $1", f"{hanging.url}/%")
        theirs = World(world.store, world.endpoints, bob.owner_id)
        await tell(theirs, await portfolio(theirs), *"ABCD")
        async with delivering(services):
            await hanging.until(10)
            await tell(world, await portfolio(world), *[f"K{number}" for number in range(15)])
            began = time.monotonic()
            await receiver.until(15)
            assert time.monotonic() - began < 2
            assert hanging.most_at_once == 10
            never.set()
            await hanging.until(19 * 4)


async def test_a_redirect_is_not_followed(services: Services, world: World, owner: Context, receiver: Receiver) -> None:
    async with receiving([302]) as redirecting:
        redirecting.more["location"] = receiver.url
        await hook_at(owner, redirecting.url)
        async with delivering(services):
            await tell(world, await portfolio(world), "AAPL")
            await until_rows(world, [("PENDING", 1, 302)], "status, attempts, last_status")
    assert receiver.received == []


async def test_two_workers_never_send_the_same_message(services: Services, world: World, owner: Context) -> None:
    kept = await portfolio(world)
    async with receiving() as receiver, delivering(services), delivering(services):
        await hook_at(owner, receiver.url)
        for batch in range(10):
            await tell(world, kept, *[f"{batch}-{number}" for number in range(15)], now=AS_OF + timedelta(hours=batch))
        await receiver.until(150)
        await until_rows(world, [("DELIVERED", 1)] * 150, "status, attempts")
    assert len({message.id for message in receiver.received}) == len(receiver.received) == 150
    assert len({message.json["data"]["id"] for message in receiver.received}) == 150


async def test_without_redis_messages_only_come_later(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    await hook_at(owner, receiver.url)
    nowhere = replace(services, bus=await type(services.bus).open("unix:///nowhere/valkey.sock"))
    async with delivering(nowhere):
        await tell(world, await portfolio(world), "AAPL")
        await receiver.until(1)
    await nowhere.bus.close()


async def test_both_secrets_sign_during_a_rotation_and_one_after_it(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    hook, old = await hook_at(owner, receiver.url)
    rotated, new = await hooks.rotate_secret(owner, hook.id)
    assert new != old
    assert rotated.previous_until
    assert timedelta(hours=23) < rotated.previous_until - owner.wall <= timedelta(hours=24)
    kept = await portfolio(world)
    async with delivering(services):
        await tell(world, kept, "AAPL")
        [first] = await receiver.until(1)
        first.verify(old)
        first.verify(new)
        await world.sql("UPDATE hooks SET previous_until = now()")
        await tell(world, kept, "BND")
        _, second = await receiver.until(2)
    second.verify(new)
    with pytest.raises(Exception, match="No matching signature"):
        second.verify(old)


async def test_gone_disables_the_hook_and_what_waits_is_sent_once_it_is_enabled(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    receiver.answers = [410]
    hook, _ = await hook_at(owner, receiver.url)
    kept = await portfolio(world)
    async with delivering(services):
        await tell(world, kept, "AAPL")
        await until_rows(world, [("PENDING", 1, None, 410)], "status, attempts, due, last_status")
        [disabled] = (await hooks.page(owner, HookKind.WEBHOOK, 10, None)).items
        assert not disabled.enabled
        assert disabled.disabled_reason == "the receiver answered 410: it wants no more messages"
        await tell(world, kept, "MISSED")
        await receiver.silence()
        enabled = await hooks.update_webhook(owner, hook.id, enabled=True)
        assert (enabled.enabled, enabled.disabled_reason, enabled.failures) == (True, None, 0)
        await tell(world, kept, "BND")
        await receiver.until(3)
    assert receiver.received[0].id in [message.id for message in receiver.received[1:]]
    assert {message.json["data"]["key"] for message in receiver.received} == {"AAPL", "BND"}


async def test_after_three_days_a_message_is_dead_its_hook_disabled_and_it_can_be_replayed(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    receiver.answers = [500, 500]
    hook, _ = await hook_at(owner, receiver.url)
    async with delivering(services):
        await tell(world, await portfolio(world), "AAPL")
        await until_rows(world, [("PENDING", 1, 500)], "status, attempts, last_status")
        await world.sql("UPDATE deliveries SET first_at = first_at - interval '3 days'")
        await world.sql("UPDATE hooks SET failing_since = failing_since - interval '3 days'")
        await due_now(world)
        await until_rows(world, [("DEAD", 2, None)], "status, attempts, due")
        [dead] = await hooks.letters(owner)
        assert hooks.written(dead).endswith(f"  ALERT_RAISED  {receiver.url}  after 2 tries: answered 500")
        [disabled] = (await hooks.page(owner, HookKind.WEBHOOK, 10, None)).items
        assert disabled.disabled_reason == "nothing was delivered for 3 days; the last try ended with: answered 500"
        assert await hooks.replay(owner, [dead.delivery.id], None) == 1
        assert await hooks.replay(owner, [dead.delivery.id], None) == 0
        await receiver.silence()
        await hooks.update_webhook(owner, hook.id, enabled=True)
        await until_rows(world, [("DELIVERED", 3)], "status, attempts")
    assert {message.id for message in receiver.received} == {dead.delivery.id}


@pytest.mark.parametrize("way", ["hook", "all", "one"])
async def test_dead_letters_are_replayed_by_their_owner_only(
    services: Services, world: World, owner: Context, way: str
) -> None:
    async with receiving([500] * 3) as receiver:
        hook, _ = await hook_at(owner, receiver.url)
        async with delivering(services):
            await tell(world, await portfolio(world), "A", "B", "C")
            await until_rows(world, [("PENDING", 500)] * 3, "status, last_status")
            await world.sql("UPDATE deliveries SET status = 'DEAD', ended_at = now(), due = NULL")
            dead = [letter.delivery.id for letter in await hooks.letters(owner)]
            bob = await enter(services, "bob")
            with pytest.raises(NotFound):
                await hooks.replay(bob, None, hook.id)
            with pytest.raises(NotFound):
                await hooks.replay(bob, dead[:1], None)
            assert await hooks.replay_all(bob) == 0
            assert await hooks.letters(bob) == []
            ways: dict[str, Any] = {"hook": (None, hook.id), "one": (dead[:1], None)}
            count = await hooks.replay_all(owner) if way == "all" else await hooks.replay(owner, *ways[way])
            assert count == (1 if way == "one" else 3)
            await receiver.until(3 + count)
    assert len({message.id for message in receiver.received}) == 3


async def test_what_cannot_be_sent_from_here_is_a_try_that_failed(
    services: Services, world: World, owner: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ValueError

    await hook_at(owner, "http://127.0.0.1:9/")
    monkeypatch.setattr(webhooks, "send", fail)
    async with delivering(services):
        await tell(world, await portfolio(world), "AAPL")
        why = "it could not be sent from here; the logs of the server say why"
        await until_rows(world, [("PENDING", 1, why, None)], "status, attempts, last_error, lease_until")


async def test_deleting_a_hook_cancels_what_is_pending(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    receiver.answers = [500]
    hook, _ = await hook_at(owner, receiver.url)
    kept = await portfolio(world)
    async with delivering(services):
        await tell(world, kept, "AAPL")
        await until_rows(world, [("PENDING", 1, 500)], "status, attempts, last_status")
        await hooks.delete(owner, HookKind.WEBHOOK, hook.id)
        await tell(world, kept, "BND")
        await receiver.silence()
    assert await rows(world) == [(RAISED, "CANCELLED", 1)]
    assert (await hooks.page(owner, HookKind.WEBHOOK, 10, None)).items == ()
    assert await world.sql("SELECT secret FROM hooks") == ""
    with pytest.raises(NotFound):
        await hooks.rotate_secret(owner, hook.id)


async def test_a_dead_letter_of_a_hook_that_is_deleted_meanwhile_stays_dead(
    services: Services, world: World, owner: Context
) -> None:
    hook, _ = await hook_at(owner, "http://127.0.0.1:9/")
    await tell(world, await portfolio(world), "AAPL")
    await relay.relay_page(services)
    await world.sql("UPDATE deliveries SET status = 'DEAD', ended_at = now(), due = NULL")
    async with world.writing() as tx:
        await delete_hook(world.owner_id, tx, hook.row_id, wall_now())
        replaying = asyncio.create_task(hooks.replay_all(owner))
        await asyncio.wait([replaying], timeout=0.2)
    assert await replaying == 0
    assert await rows(world) == [(RAISED, "DEAD", 0)]


async def test_an_answer_that_comes_after_its_lease_changes_nothing(
    services: Services, world: World, owner: Context, receiver: Receiver
) -> None:
    slow = asyncio.Event()

    async def wait() -> int:
        await slow.wait()
        return 500

    receiver.answers = [wait]
    await hook_at(owner, receiver.url)
    async with delivering(services):
        await tell(world, await portfolio(world), "AAPL")
        await receiver.until(1)
        await world.sql("UPDATE deliveries SET lease_until = now()")
        await until_rows(world, [("DELIVERED", 2)], "status, attempts")
        slow.set()
        await receiver.silence()
    assert await rows(world, "status, attempts, last_status") == [("DELIVERED", 2, 204)]
