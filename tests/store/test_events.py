"""A reader of events misses none and sees none twice, whoever writes beside it."""

import asyncio
import random
from base64 import urlsafe_b64encode

import pytest

from app.core.errors import InvalidInput
from app.store import events
from tests.builders import AS_OF, snapshot
from tests.store.world import World

WRITERS, EACH, PER_TRANSACTION = 8, 40, 3


async def append(world: World, row_id: int, *subjects: str, wait_s: float = 0.0) -> None:
    async with world.writing() as tx:
        for subject in subjects:
            await events.append_event(world.owner_id, tx, row_id, "plan", subject, {"n": subject}, AS_OF)
            await asyncio.sleep(wait_s)


async def subjects_after(world: World, cursor: str | None, limit: int = 1000) -> tuple[list[str], str | None]:
    async with world.store.owned(world.owner_id) as tx:
        found = await events.load_events(world.owner_id, tx, cursor, limit)
    return [event.subject for event in found], found[-1].cursor if found else cursor


async def test_beside_eight_writers_readers_lose_none_and_repeat_none_where_one_by_numbers_loses_many(
    each_world: World,
) -> None:
    """Three readers: one that stays, one that connects anew after every page, and one that goes by numbers alone."""
    kept = await each_world.keep(snapshot("100 cash"))
    dice = random.Random(1)
    async with each_world.store.shared() as tx:
        start: str | None = await events.current_cursor(tx)
        number = await tx.value("SELECT coalesce(max(id), 0) FROM outbox")
    names = [
        [[f"{writer}-{place}-{part}" for part in range(PER_TRANSACTION)] for place in range(EACH)]
        for writer in range(WRITERS)
    ]
    wanted = [name for writer in names for transaction in writer for name in transaction]

    async def write(writer: int) -> None:
        for transaction in names[writer]:
            await append(each_world, kept.row.id, *transaction, wait_s=dice.uniform(0, 0.003))

    async def read(limit: int, pause_s: float) -> list[str]:
        seen: list[str] = []
        position = start
        while len(seen) < len(wanted):
            found, position = await subjects_after(each_world, position, limit=limit)
            seen += found
            await asyncio.sleep(pause_s)
        assert await subjects_after(each_world, position) == ([], position)
        return seen

    async def read_by_numbers() -> set[str]:
        seen: set[str] = set()
        last = number
        while not all(task.done() for task in writing):
            async with each_world.store.shared() as tx:
                rows = await tx.fetch("SELECT id, subject FROM outbox WHERE id > $1 ORDER BY id", last)
            seen.update(row["subject"] for row in rows)
            last = rows[-1]["id"] if rows else last
            await asyncio.sleep(0)
        return seen

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        reading = [group.create_task(read(17, 0)), group.create_task(read(5, 0.001))]
        writing = [group.create_task(write(writer)) for writer in range(WRITERS)]
        by_numbers = group.create_task(read_by_numbers())
    first, second = (task.result() for task in reading)
    assert first == second, "in one order, that of commits, for everybody"
    assert sorted(first) == sorted(wanted)
    places = {name: place for place, name in enumerate(first)}
    for writer in names:
        own = [places[name] for transaction in writer for name in transaction]
        assert own == sorted(own), "each writer's events keep their order"
    assert len(by_numbers.result()) < len(wanted), "or the writers were not side by side"


async def test_an_event_waits_for_older_writers_and_comes_before_theirs_or_after_but_once(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    async with world.store.shared() as tx:
        start = await events.current_cursor(tx)
    async with world.writing() as older:
        await events.append_event(world.owner_id, older, kept.row.id, "plan", "older", {}, AS_OF)
        await append(world, kept.row.id, "younger")
        assert (await subjects_after(world, start))[0] == []
        async with world.store.shared() as tx:
            owners, cursor, pending = await events.relay_owners_since(tx, start)
            assert (owners, pending) == (set(), True)
    async with world.store.shared() as tx:
        owners, cursor, pending = await events.relay_owners_since(tx, cursor)
        assert (owners, pending) == ({world.owner_id}, False)
        assert (await events.relay_owners_since(tx, cursor))[0] == set()
    assert (await subjects_after(world, start))[0] == ["older", "younger"]


async def test_now_is_after_everything_seen_and_before_everything_to_come(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    async with world.writing() as running:
        await events.append_event(world.owner_id, running, kept.row.id, "plan", "running", {}, AS_OF)
        async with world.store.shared() as tx:
            now = await events.current_cursor(tx)
    await append(world, kept.row.id, "later")
    assert (await subjects_after(world, now))[0] == ["running", "later"]


async def test_what_is_rolled_back_was_never_there(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    async with world.store.shared() as tx:
        start = await events.current_cursor(tx)

    async def fail() -> None:
        async with world.writing() as tx:
            await events.append_event(world.owner_id, tx, kept.row.id, "plan", "lost", {}, AS_OF)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await subjects_after(world, start))[0] == []


async def test_an_owner_sees_only_own_events_and_only_of_the_portfolios_asked_for(world: World) -> None:
    one, two = await world.keep(snapshot("100 cash")), await world.keep(snapshot("200 cash"))
    bob = await world.other()
    await append(world, two.row.id, "mine")
    assert (await subjects_after(bob, None))[0] == []
    async with world.reading() as tx:
        found = await events.load_events(world.owner_id, tx, None, 100, [two.row.public_id])
        assert await events.load_events(bob.owner_id, tx, None, 100, [two.row.public_id]) == []
    assert {event.portfolio_id for event in found} == {two.row.public_id}
    assert [(event.topic, event.subject, event.payload) for event in found][-1] == ("plan", "mine", {"n": "mine"})
    assert one.row.public_id not in {event.portfolio_id for event in found}


@pytest.mark.parametrize("cursor", ["", "x", "MTIz", "MS4yLjM", "ü", "LTEuMQ", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAuMQ"])
async def test_what_is_no_cursor_is_refused(world: World, cursor: str) -> None:
    async with world.reading() as tx:
        with pytest.raises(InvalidInput, match="not one that was given out"):
            await events.load_events(world.owner_id, tx, cursor, 10)


async def test_a_cursor_of_another_life_of_the_database_is_known(world: World) -> None:
    async with world.reading() as tx:
        assert await events.is_past(tx, await events.current_cursor(tx))
        ahead = urlsafe_b64encode(b"1000000000000.0").decode()
        assert not await events.is_past(tx, ahead)
