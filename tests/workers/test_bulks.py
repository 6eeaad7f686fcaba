"""One thing for many portfolios: each by itself, once, whoever else is at it, and what became of it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from app.actions import approving, bulk_items, bulks, computing, plans, portfolios
from app.actions.live import Hub
from app.context import Context, Services, on_thread, open_services, wall_now
from app.core.bulks import Bulk, BulkTotal, ItemStatus
from app.core.errors import IdempotencyMismatch, InvalidState, NotFound
from app.core.policy import Policy
from app.core.portfolio import PortfolioStatus
from app.store import bulk_items as rows
from app.store.bulk_items import Taken
from app.store.bulks import BulkHandle, find_bulk, tell_bulk
from tests.builders import AS_OF
from tests.store.world import World
from tests.support import enter, later, until
from tests.workers.broking import Fate, Killed, mortal
from tests.workers.bulking import (
    FULL,
    done,
    items,
    keep,
    message,
    plans_of,
    proposed,
    to_approve,
    to_propose,
    told,
)
from tests.workers.conftest import forget, waiting
from workers import bulk as jobs

NONE = Decimal(0)


async def keep_all(world: World, *names: str, policy: Policy | None = None) -> list[str]:
    return [await keep(world, name, policy=policy) for name in names]


async def test_a_plan_is_proposed_for_every_portfolio(services: Services, world: World, alice: Context) -> None:
    made = await keep_all(world, "one", "two", "three")
    begun = await bulks.begin(alice, to_propose(), "once")
    assert (begun.status.value, begun.counts, begun.totals) == ("RUNNING", {ItemStatus.WAITING: 3}, ())
    assert await waiting(services) == [f"bulk_run:{begun.id}:begun"]
    bulk = await done(services, alice, begun)
    assert (bulk.status.value, bulk.counts, bulk.ended_at) == ("DONE", {ItemStatus.READY: 3}, AS_OF)
    assert bulk.totals == (BulkTotal("USD", 3, 9, Decimal(600), Decimal(600), NONE, NONE),)
    await world.sql("UPDATE bulks SET result = NULL")
    assert await bulks.find(alice, bulk.id) == bulk  # what was stored as it ended is what it adds up to
    found = await items(alice, bulk)
    assert [(item.place, item.owner, item.portfolio_id) for item in found] == [
        (place, ("steelyard", "alice"), portfolio_id) for place, portfolio_id in enumerate(made, 1)
    ]
    for item in found:
        assert item.plan_id
        plan = await plans.find(alice, item.plan_id)
        assert (plan.status.value, plan.portfolio_id, plan.requested_by) == ("READY", item.portfolio_id, "alice")


@pytest.mark.parametrize("pooled", [True, False])
async def test_what_is_ready_is_approved_into_one_pool_or_none(
    services: Services, world: World, alice: Context, pooled: bool
) -> None:
    await keep_all(world, "one", "two")
    await proposed(services, alice)
    await forget(services)
    bulk = await done(services, alice, await bulks.begin(alice, to_approve(pooled=pooled), "approve"))
    assert (bulk.status.value, bulk.counts) == ("DONE", {ItemStatus.APPROVED: 2})
    assert bulk.totals == (BulkTotal("USD", 2, 6, Decimal(400), Decimal(400), NONE, NONE),)
    pool = "SELECT count(*) FROM plans l JOIN bulks b ON b.id = l.pool_id WHERE l.status = 'APPROVED' AND b.kind = $1"
    assert await world.sql(pool, "APPROVE") == (2 if pooled else 0)
    to_execute = sorted(f"plan_execute:{item.plan_id}" for item in await items(alice, bulk))
    assert await waiting(services) == sorted([f"bulk_run:{bulk.id}:begun", *to_execute])


async def test_each_portfolio_is_a_matter_of_its_own(services: Services, world: World, alice: Context) -> None:
    made = await keep_all(world, "fails", "executes", "archived", "one", "two")
    plan = await plans.propose(alice, made[1], FULL, dry_run=False, wait_s=0, key=None)
    await computing.compute(services, alice.owner_id, plan.id)
    ready = await plans.find(alice, plan.id)
    await approving.approve(alice, plan.id, expected=ready.version, exclude=(), key="x")
    bulk = await bulks.begin(alice, to_propose(), "once")
    await world.sql("UPDATE portfolios SET targets_id = NULL WHERE name = 'fails'")
    await portfolios.update(
        alice, made[2], name=None, status=PortfolioStatus.ARCHIVED, change=None, model=None, expected=None
    )
    bulk = await done(services, alice, bulk)
    assert await told(alice, bulk) == [
        ("fails", "FAILED", "INVALID_STATE"),
        ("executes", "REFUSED", "INVALID_STATE"),
        ("archived", "REFUSED", "INVALID_STATE"),
        ("one", "READY", ""),
        ("two", "READY", ""),
    ]
    assert [item.message for item in await items(alice, bulk, ItemStatus.FAILED, ItemStatus.REFUSED)] == [
        "the portfolio has no targets; set them first",
        f"plan {plan.id} is APPROVED; wait until it has ended, or cancel it",
        "the portfolio is archived; make it ACTIVE first",
    ]
    assert bulk.totals[0].plans == 2


async def test_where_there_is_nothing_to_do_the_item_says_so(services: Services, world: World, alice: Context) -> None:
    await keep(world, "level", "30 A @ 10, 30 B @ 10, 40 C @ 10")
    bulk = await proposed(services, alice)
    assert (bulk.counts, bulk.totals) == ({ItemStatus.NOTHING_TO_DO: 1}, ())


async def test_a_mistake_of_ours_ends_the_item_and_no_other(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await keep_all(world, "one", "two")
    whole = bulk_items._queue

    async def break_down(context: Context, bulk: Any, item: Any) -> str | None:
        if item.portfolio_id == first:
            raise ZeroDivisionError
        return await whole(context, bulk, item)

    monkeypatch.setattr(bulk_items, "_queue", break_down)
    bulk = await proposed(services, alice)
    assert await told(alice, bulk) == [("one", "FAILED", "INTERNAL"), ("two", "READY", "")]


async def test_the_same_key_is_the_same_bulk_and_another_input_is_refused(
    services: Services, world: World, alice: Context
) -> None:
    await keep(world)
    first = await bulks.begin(alice, to_propose(), "once")
    await keep(world)
    assert await bulks.begin(alice, to_propose(), "once") == first
    for draft in (to_propose(expected=1), to_approve()):
        with pytest.raises(IdempotencyMismatch):
            await bulks.begin(alice, draft, "once")
    at_once = await asyncio.gather(*(bulks.begin(alice, to_propose(), "other") for _ in range(4)))
    assert {bulk.id for bulk in at_once} == {at_once[0].id}
    assert (at_once[0].counts, await world.sql("SELECT count(*) FROM bulks")) == ({ItemStatus.WAITING: 2}, 2)
    bulk = await done(services, alice, first)
    assert await bulks.begin(alice, to_propose(), "once") == bulk


async def test_a_bulk_belongs_to_who_began_it(services: Services, world: World, alice: Context) -> None:
    await keep(world)
    bulk = await bulks.begin(alice, to_propose(), "once")
    bob = await enter(services, "bob")
    for call in (bulks.find(bob, bulk.id), bulks.cancel(bob, bulk.id)):
        with pytest.raises(NotFound, match=f"bulk {bulk.id} does not exist"):
            await call
    assert await items(bob, bulk) == ()
    assert (await bulks.page(bob, 10, None)).items == ()
    assert await bulks.run(services, bob.owner_id, bulk.id) is False
    assert (await bulks.find(alice, bulk.id)).counts == {ItemStatus.WAITING: 1}


async def test_bulks_and_their_items_come_in_pages(services: Services, world: World, alice: Context) -> None:
    await keep_all(world, *"abcde")
    made = [await bulks.begin(alice, to_propose(), str(number)) for number in range(3)]
    first = await bulks.page(alice, 2, None)
    second = await bulks.page(alice, 2, first.end_cursor)
    assert [*first.items, *second.items] == made[::-1]
    assert (first.more, second.more) == (True, False)
    await world.sql("UPDATE bulk_items SET status = 'FAILED', ended_at = now() WHERE place IN (2, 4, 5)")
    failed = await bulks.items(alice, made[0].id, 2, None, [ItemStatus.FAILED])
    rest = await bulks.items(alice, made[0].id, 2, failed.end_cursor, [ItemStatus.FAILED])
    assert [item.portfolio_name for item in (*failed.items, *rest.items)] == ["b", "d", "e"]
    assert (failed.more, rest.more) == (True, False)


async def test_a_plan_that_was_superseded_or_cancelled_meanwhile_refuses_the_item(
    services: Services, world: World, alice: Context
) -> None:
    await keep(world)
    bulk = await bulks.begin(alice, to_propose(), "once")

    async def newer(function: Callable[..., Any], *args: Any, watch: Any = None) -> Any:
        made = await on_thread(function, *args, watch=watch)
        [portfolio] = (await portfolios.page(alice, 1, None)).items
        await plans.propose(alice, portfolio.row.public_id, FULL, dry_run=False, wait_s=0, key=None)
        return made

    bulk = await done(replace(services, run=newer), alice, bulk)
    assert await told(alice, bulk) == [("Test", "REFUSED", "INVALID_STATE")]
    assert await message(alice, bulk) == (
        "the plan is SUPERSEDED: somebody cancelled it, asked for a newer one, or changed the portfolio"
    )
    assert await plans_of(world) == [("Test", "QUEUED", 1), ("Test", "SUPERSEDED", 1)]


async def test_what_has_changed_since_the_bulk_began_is_not_approved(
    services: Services, world: World, alice: Context
) -> None:
    made = await keep_all(world, "newer", "moved", "rejected", "good")
    await proposed(services, alice)
    bulk = await bulks.begin(alice, to_approve(), "approve")
    third = (await items(alice, bulk))[2]
    await world.sql("UPDATE plans SET version = version + 1 WHERE portfolio_id = (SELECT min(id) FROM portfolios)")
    moved = "UPDATE plans SET expires_at = now() - interval '100 years' WHERE portfolio_id = $1"
    await world.sql(moved, (await world.find(made[1])).row.id)
    assert third.plan_id
    await approving.reject(alice, third.plan_id, "no", None)
    bulk = await done(services, alice, bulk)
    assert await told(alice, bulk) == [
        ("newer", "REFUSED", "VERSION_CONFLICT"),
        ("moved", "REFUSED", "INVALID_STATE"),
        ("rejected", "REFUSED", "INVALID_STATE"),
        ("good", "APPROVED", ""),
    ]
    assert (await items(alice, bulk))[0].message.startswith("plan is at version 4, not 3;")
    assert await plans_of(world) == [
        ("good", "APPROVED", 1),
        ("moved", "EXPIRED", 1),
        ("newer", "READY", 1),
        ("rejected", "REJECTED", 1),
    ]
    assert bulk.totals[0].plans == 1


async def test_with_four_eyes_somebody_else_has_to_approve(services: Services, world: World, alice: Context) -> None:
    await keep_all(world, "strict", policy=Policy(four_eyes=True))
    await keep(world, "free")
    await proposed(services, alice)
    bulk = await done(services, alice, await bulks.begin(alice, to_approve(), "alone"))
    assert await told(alice, bulk) == [("strict", "REFUSED", "FORBIDDEN"), ("free", "APPROVED", "")]
    second = replace(alice, actor="second")
    bulk = await done(services, second, await bulks.begin(second, to_approve(), "second"))
    assert (bulk.actor, await told(alice, bulk)) == ("second", [("strict", "APPROVED", "")])
    assert await world.sql("SELECT count(*) FROM plans WHERE approved_by = 'second'") == 1


async def test_a_plan_of_a_bulk_is_made_by_who_works_on_the_bulk(
    services: Services, world: World, alice: Context
) -> None:
    await keep(world)
    bulk = await bulks.begin(alice, to_propose(), "once")
    seen: list[int] = []

    async def looked_at(function: Callable[..., Any], *args: Any, watch: Any = None) -> Any:
        seen.append(await computing.scan_unfinished(services))
        return await on_thread(function, *args, watch=watch)

    assert (await done(replace(services, run=looked_at), alice, bulk)).counts == {ItemStatus.READY: 1}
    assert seen == [0]


# Several at once


@asynccontextmanager
async def another(services: Services) -> AsyncIterator[Services]:
    """Open the connections of another worker."""
    async with open_services(services.settings, on_thread) as opened:
        yield opened


@pytest.mark.parametrize("kind", ["PROPOSE", "APPROVE"])
async def test_two_workers_share_a_bulk_and_do_each_portfolio_once(
    services: Services, world: World, alice: Context, kind: str
) -> None:
    await keep_all(world, *"abcdefgh")
    if kind == "APPROVE":
        await proposed(services, alice)
    draft = to_propose() if kind == "PROPOSE" else to_approve()
    bulk = await bulks.begin(alice, draft, "once")
    async with another(services) as other:
        runs = [bulks.run(one, alice.owner_id, bulk.id) for one in (services, other)]
        assert await asyncio.gather(*runs) == [False, False]
    bulk = await bulks.find(alice, bulk.id)
    outcome = "READY" if kind == "PROPOSE" else "APPROVED"
    assert (bulk.status.value, bulk.counts) == ("DONE", {ItemStatus(outcome): 8})
    assert await plans_of(world) == [(name, outcome, 1) for name in "abcdefgh"]
    once = "SELECT count(*) FROM rebalance_history WHERE kind = $1"
    assert await world.sql(once, "PLAN_READY" if kind == "PROPOSE" else "PLAN_APPROVED") == 8
    assert await world.sql("SELECT max(version) FROM plans") == (3 if kind == "PROPOSE" else 4)


@pytest.mark.parametrize(("kind", "steps"), [("PROPOSE", 16), ("APPROVE", 12)])
async def test_whoever_is_killed_at_any_step_is_followed_by_one_who_does_the_rest_once(
    services: Services, world: World, alice: Context, kind: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = timedelta()
    monkeypatch.setattr(bulks, "wall_now", lambda: wall_now() + passed)
    settings = services.settings.model_copy(update={"heavy_jobs": 1})  # a process has one fate
    services = replace(services, settings=settings)
    at, killed = 0, True
    while killed:
        at += 1
        name = f"at {at}"
        await keep(world, name)
        last = await world.sql("SELECT count(*) FROM portfolios")
        await world.sql("UPDATE portfolios SET model = $1 WHERE name = $2", name, name)
        which = replace(to_propose().filter, model=name)
        if kind == "APPROVE":
            await proposed(services, alice, which, f"propose {at}")
        draft = to_propose(which) if kind == "PROPOSE" else to_approve(which)
        bulk = await bulks.begin(alice, draft, name)
        killed = False
        try:
            await bulks.run(mortal(services, Fate(at)), alice.owner_id, bulk.id)
        except Killed:
            killed = True
        await bulks.run(services, alice.owner_id, bulk.id)  # somebody looks before the lease is over
        passed += timedelta(seconds=settings.job_lease_s + 1)
        await bulks.run(services, alice.owner_id, bulk.id)
        ended = await bulks.find(alice, bulk.id)
        outcome = "READY" if kind == "PROPOSE" else "APPROVED"
        assert (ended.status.value, ended.counts) == ("DONE", {ItemStatus(outcome): 1}), at
        assert (name, outcome, 1) in await plans_of(world)
        assert len(await plans_of(world)) == last
    assert at == steps + 1


async def take(services: Services, bulk: BulkHandle, now: datetime) -> Taken | None:
    async with services.store.shared() as tx:
        return await rows.scan_take_item(tx, bulk, now, now + timedelta(seconds=5))


async def handle(services: Services, context: Context, bulk: Bulk) -> BulkHandle:
    async with services.store.owned(context.owner_id) as tx:
        found = await find_bulk(context.owner_id, tx, bulk.id)
    assert found
    return found


async def test_of_many_who_take_at_once_each_gets_another_item(
    services: Services, world: World, alice: Context
) -> None:
    await keep_all(world, *"abcd")
    bulk = await handle(services, alice, await bulks.begin(alice, to_propose(), "once"))
    for now in (AS_OF, AS_OF + timedelta(seconds=5)):  # and once more when the leases are over
        taken = await asyncio.gather(*(take(services, bulk, now) for _ in range(8)))
        assert sorted(one.place for one in taken if one) == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["PROPOSE", "APPROVE"])
async def test_two_who_have_the_same_item_as_a_lease_was_lost_do_it_once(
    services: Services, world: World, alice: Context, kind: str
) -> None:
    await keep_all(world, "one")
    if kind == "APPROVE":
        await proposed(services, alice)
    begun = await bulks.begin(alice, to_propose() if kind == "PROPOSE" else to_approve(), "once")
    bulk = await handle(services, alice, begun)
    slow, quick = await take(services, bulk, AS_OF), await take(services, bulk, AS_OF + timedelta(seconds=5))
    assert slow == quick
    assert slow
    await asyncio.gather(*(bulk_items.work(services, bulk, slow) for _ in range(3)))
    await bulk_items.work(services, bulk, slow)
    outcome = "READY" if kind == "PROPOSE" else "APPROVED"
    assert await told(alice, begun) == [("one", outcome, "")]
    assert await plans_of(world) == [("one", outcome, 1)]


async def test_an_item_in_somebodys_hands_is_nobody_elses_until_the_lease_is_over(
    services: Services, world: World, alice: Context
) -> None:
    await keep_all(world, "held", "free")
    bulk = await bulks.begin(alice, to_propose(), "once")
    await world.sql("UPDATE bulk_items SET leased_until = now() + interval '1 hour' WHERE place = 1")
    assert await bulks.run(services, alice.owner_id, bulk.id) is False
    assert [status for _, status, _ in await told(alice, bulk)] == ["WAITING", "READY"]
    assert (await bulks.find(alice, bulk.id)).status.value == "RUNNING"
    await world.sql("UPDATE bulk_items SET leased_until = now() WHERE place = 1")
    assert (await done(services, alice, bulk)).counts == {ItemStatus.READY: 2}


async def test_who_works_on_an_item_for_long_keeps_it(services: Services, world: World, alice: Context) -> None:
    await keep(world)
    settings = services.settings.model_copy(update={"job_lease_s": 0.3})
    bulk = await bulks.begin(alice, to_propose(), "once")
    seen: list[datetime] = []

    async def long(function: Callable[..., Any], *args: Any, watch: Any = None) -> Any:
        async def renewed() -> bool:
            seen.append(await world.sql("SELECT leased_until FROM bulk_items"))
            return len(set(seen)) > 3

        await until(renewed)
        return await on_thread(function, *args, watch=watch)

    patient = replace(services, settings=settings, run=long)
    assert (await done(patient, alice, bulk)).counts == {ItemStatus.READY: 1}


# Cancelled


async def test_a_bulk_that_is_cancelled_in_the_middle_leaves_what_is_done_and_cancels_what_is_being_made(
    services: Services, world: World, alice: Context
) -> None:
    await keep_all(world, "made", "making", "waits")
    bulk = await bulks.begin(alice, to_propose(), "once")
    begun = asyncio.Event()

    async def endless(function: Callable[..., Any], *args: Any, watch: Any = None) -> Any:
        if await world.sql("SELECT count(*) FROM bulk_items WHERE status = 'READY'"):
            begun.set()

            async def told_to_stop() -> bool:
                return bool(watch(1, 0.5))

            await until(told_to_stop)
        return await on_thread(function, *args, watch=watch)

    settings = services.settings.model_copy(update={"heavy_jobs": 1})
    running = asyncio.create_task(bulks.run(replace(services, settings=settings, run=endless), alice.owner_id, bulk.id))
    await asyncio.wait_for(begun.wait(), 30)
    cancelled = await bulks.cancel(alice, bulk.id)
    assert (cancelled.status.value, cancelled.ended_at) == ("CANCELLED", AS_OF)
    assert cancelled.counts == {ItemStatus.READY: 1, ItemStatus.CANCELLED: 2}
    assert await running is False
    assert await bulks.find(alice, bulk.id) == cancelled == await bulks.cancel(alice, bulk.id)
    assert await plans_of(world) == [("made", "READY", 1), ("making", "CANCELLED", 1)]
    assert await world.sql("SELECT reason FROM plans WHERE status = 'CANCELLED'") == "the bulk was cancelled"


async def test_plans_that_are_approved_stay_so_when_the_bulk_is_cancelled(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep_all(world, "first", "second", "third")
    await proposed(services, alice)
    bulk = await bulks.begin(alice, to_approve(), "once")
    settings = services.settings.model_copy(update={"heavy_jobs": 1})
    whole, calls = approving._rest, 0

    async def cancel_meanwhile(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            await bulks.cancel(alice, bulk.id)
        return await whole(*args)

    monkeypatch.setattr(approving, "_rest", cancel_meanwhile)
    ended = await done(replace(services, settings=settings), alice, bulk)
    assert (ended.status.value, await told(alice, ended)) == (
        "CANCELLED",
        [("first", "APPROVED", ""), ("second", "CANCELLED", ""), ("third", "CANCELLED", "")],
    )
    assert await plans_of(world) == [("first", "APPROVED", 1), ("second", "READY", 1), ("third", "READY", 1)]
    assert ended.totals[0].plans == 1


async def test_who_dies_while_a_bulk_is_cancelled_is_followed(services: Services, world: World, alice: Context) -> None:
    await keep_all(world, "making", "waits")
    bulk = await bulks.begin(alice, to_propose(), "once")
    settings = services.settings.model_copy(update={"heavy_jobs": 1})
    with pytest.raises(Killed):  # the plan is queued, and nobody makes it
        await bulks.run(mortal(replace(services, settings=settings), Fate(5)), alice.owner_id, bulk.id)
    assert await plans_of(world) == [("making", "QUEUED", 1)]
    with pytest.raises(Killed):  # the bulk is cancelled, and its plan is not yet
        await bulks.cancel(replace(alice, store=mortal(services, Fate(2)).store), bulk.id)
    found = await bulks.find(alice, bulk.id)
    assert (found.status.value, found.ended_at) == ("CANCELLED", None)
    assert found.counts == {ItemStatus.WAITING: 1, ItemStatus.CANCELLED: 1}
    await forget(services)
    assert await bulks.scan_unfinished(services) == 1
    assert await waiting(services) == [f"bulk_run:{bulk.id}"]
    assert (await done(services, alice, bulk)).counts == {ItemStatus.CANCELLED: 2}
    assert await plans_of(world) == [("making", "CANCELLED", 1)]
    assert await bulks.scan_unfinished(services) == 0


async def test_a_bulk_that_is_done_is_not_cancelled(services: Services, world: World, alice: Context) -> None:
    await keep(world)
    bulk = await proposed(services, alice)
    with pytest.raises(InvalidState, match="the bulk is DONE; there is nothing left to cancel"):
        await bulks.cancel(alice, bulk.id)


# Worked on and followed


async def test_the_job_works_in_slices_and_once_in_a_process(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep_all(world, *"abc")
    bulk = await bulks.begin(alice, to_propose(), "once")
    await forget(services)
    ctx: dict[str, Any] = {"services": services, "bulks": {bulk.id}}
    await jobs.bulk_run(ctx, alice.owner_id, bulk.id)
    assert (await bulks.find(alice, bulk.id)).counts == {ItemStatus.WAITING: 3}
    ctx["bulks"].clear()
    monkeypatch.setattr(bulks, "RUN_S", 0.0)
    await jobs.bulk_run(ctx, alice.owner_id, bulk.id)
    [again] = await waiting(services)
    assert again.startswith(f"bulk_run:{bulk.id}:")
    monkeypatch.undo()
    await jobs.bulk_run(ctx, alice.owner_id, bulk.id)
    assert (await bulks.find(alice, bulk.id)).counts == {ItemStatus.READY: 3}
    assert (await waiting(services), ctx["bulks"]) == ([again], set())


async def test_who_follows_a_bulk_sees_it_get_further_until_it_has_ended(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulks, "TELL_S", 0.0)
    await keep_all(world, *"abcd")
    bulk = await bulks.begin(alice, to_propose(), "once")
    hub = Hub(services)
    watching = asyncio.create_task(hub.run())
    following = bulks.stream(alice, hub, bulk.id)
    settings = services.settings.model_copy(update={"heavy_jobs": 1})
    async with asyncio.timeout(20):
        seen = [await anext(following)]
        running = asyncio.create_task(bulks.run(replace(services, settings=settings), alice.owner_id, bulk.id))
        seen += [one async for one in following]
    await running
    watching.cancel()
    await asyncio.wait([watching])
    ready = [one.counts.get(ItemStatus.READY, 0) for one in seen]
    assert ready == sorted(ready)
    assert (ready[0], ready[-1], len(ready) > 2) == (0, 4, True)
    assert [one.ended_at for one in seen[:-1]] == [None] * (len(seen) - 1)
    assert seen[-1] == await bulks.find(alice, bulk.id)
    assert [one async for one in bulks.stream(alice, hub, bulk.id)] == [seen[-1]]


async def test_who_follows_a_bulk_that_takes_long_to_read_rests_longer(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(world)
    bulk = await bulks.begin(alice, to_propose(), "once")
    find, reads = bulks.find, list[tuple[float, float]]()

    async def slowly(context: Context, bulk_id: str) -> Bulk:
        began = monotonic()
        await asyncio.sleep(0.05)
        found = await find(context, bulk_id)
        reads.append((began, monotonic()))
        return found

    async def enough() -> bool:
        return len(reads) >= 4

    monkeypatch.setattr(bulks, "find", slowly)
    hub = Hub(services)
    watching = asyncio.create_task(hub.run())
    following = bulks.stream(alice, hub, bulk.id)
    async with asyncio.timeout(20):
        await anext(following)
        async with services.store.owned(alice.owner_id) as tx:
            for _ in range(3):
                await tell_bulk(alice.owner_id, tx, bulk.id, AS_OF)
        more = asyncio.ensure_future(anext(following))
        await until(enough)
    for task in (more, watching):
        task.cancel()
    await asyncio.wait([more, watching])
    for (began, ended), (again, _) in pairwise(reads[1:]):
        assert again - ended >= 3.9 * (ended - began)


async def test_a_bulk_tells_how_far_it_is_not_more_than_twice_a_second(
    services: Services, world: World, alice: Context
) -> None:
    await keep_all(world, *"abcdef")
    await later(services)
    began = asyncio.get_running_loop().time()
    bulk = await proposed(services, await enter(services, "alice"))
    passed = asyncio.get_running_loop().time() - began
    events = await world.sql("SELECT count(*) FROM outbox WHERE topic = 'bulk' AND subject = $1", bulk.id)
    assert 1 <= events <= 2 + passed / bulks.TELL_S
