"""So often within a while, and not once more, whoever else asks at the same time."""

import asyncio
from datetime import datetime, timedelta

from app.store import allowances
from tests.builders import AS_OF
from tests.store.world import World

MINUTE = timedelta(minutes=1)


async def take(world: World, at: datetime, what: str = "samples", most: int = 3) -> datetime | None:
    async with world.writing() as tx:
        return await allowances.take(world.owner_id, tx, what, most, MINUTE, at)


async def test_what_was_taken_comes_back_one_by_one(world: World) -> None:
    seconds = [timedelta(seconds=second) for second in (0, 20, 40, 50, 60, 79, 80, 100, 110)]
    told = [await take(world, AS_OF + second) for second in seconds]
    free, later = None, [AS_OF + timedelta(seconds=second) for second in (60, 80, 120)]
    assert told == [free, free, free, later[0], free, later[1], free, free, later[2]]
    assert await world.sql("SELECT cardinality(taken) FROM allowances") == 3


async def test_one_thing_and_one_owner_have_nothing_to_do_with_another(world: World) -> None:
    bob = await world.other()
    assert [await take(world, AS_OF, most=1) for _ in range(2)] == [None, AS_OF + MINUTE]
    assert await take(world, AS_OF, "codes", most=1) is None
    assert await take(bob, AS_OF, most=1) is None


async def test_of_eight_at_once_only_so_many_get_one(world: World) -> None:
    told = await asyncio.gather(*(take(world, AS_OF) for _ in range(8)))
    assert sorted(told, key=bool) == [None] * 3 + [AS_OF + MINUTE] * 5
