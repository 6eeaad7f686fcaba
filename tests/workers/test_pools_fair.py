"""Many blocks at once: none keeps another waiting, and what is asked for never keeps new ones from being sent."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.actions import approving, brokers, executing, pools
from app.context import Context, Services
from app.store import pools as stored
from tests.store.world import World
from tests.workers.broking import ScriptedBroker
from tests.workers.pooling import WINDOW, Pit, Wall, never

Open = Callable[..., Coroutine[Any, Any, Pit]]


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    for module in (executing, pools, brokers):
        monkeypatch.setattr(module, "wall_now", made.now)
    return made


@pytest.fixture
def pit(services: Services, world: World, alice: Context, wall: Wall) -> Open:
    async def made(broker: ScriptedBroker, *sizes: int) -> Pit:
        return await Pit(services, world, alice, wall, broker).open(*sizes)

    return made


async def send(one: Pit, number: int) -> None:
    """Let the order of one plan become a block of its own."""
    await one.advance(number)
    one.wall.passed += WINDOW
    await one.work()


async def test_who_leaves_comes_first_and_then_what_has_waited_longest(pit: Open, world: World) -> None:
    one = await pit(ScriptedBroker(never), 1, 2, 3)
    for number in (1, 2, 3):
        await send(one, number)
    blocks = [block.id for block in await one.blocks()]
    now = one.wall.now()
    for ago_s, block in zip((1, 3, 2), blocks, strict=True):
        await world.sql("UPDATE blocks SET ask_at = $1 WHERE client_id = $2", now - timedelta(seconds=ago_s), block)

    async def tended(limit: int) -> list[str]:
        async with one.services.store.owned(one.alice.owner_id) as tx:
            return [
                found.block.id for found in await stored.load_tended(one.alice.owner_id, tx, one.bulk_id, now, limit)
            ]

    assert await tended(3) == [blocks[1], blocks[2], blocks[0]]
    await approving.cancel(one.alice, one.plans[0], "no more")
    await one.advance(1)
    assert await tended(2) == [blocks[0], blocks[1]]


async def test_new_blocks_are_sent_while_others_have_to_be_asked_for_all_the_time(
    pit: Open, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time passes so fast that what was asked for is due again at once, until the third block is sent."""
    broker = ScriptedBroker(never)
    one = await pit(broker, 1, 2, 3)
    await send(one, 1)
    await send(one, 2)

    def hurried() -> datetime:
        wall.passed += timedelta(seconds=1.5 if len(broker.orders) < 3 else 0)
        return wall.now()

    monkeypatch.setattr(pools, "wall_now", hurried)
    monkeypatch.setattr(pools, "CALLS_MAX", 2)
    monkeypatch.setattr(pools, "TENDED_MAX", 1)
    before = len(broker.calls)
    await send(one, 3)
    assert [call.split()[0] for call in broker.calls[before:]][:2] == ["status", "place"]
