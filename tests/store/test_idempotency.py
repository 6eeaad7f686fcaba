"""The same key and request, the same answer; the effect happens once."""

import asyncio

import pytest

from app.core.errors import IdempotencyMismatch
from app.store import idempotency, portfolios
from tests.builders import AS_OF, snapshot
from tests.store.world import World


async def rename(world: World, portfolio_id: str, key: str, digest: str = "d") -> str:
    """Rename a portfolio once per key; answer its version."""
    async with world.writing() as tx:
        if stored := await idempotency.begin(world.owner_id, tx, key, "rename", digest, AS_OF):
            return str(stored["version"])
        head = await portfolios.update_portfolio(
            world.owner_id, tx, portfolio_id, actor="alice", now=AS_OF, name=f"Named {key}"
        )
        await idempotency.finish(world.owner_id, tx, key, {"version": head.version})
    return str(head.version)


async def test_eight_calls_with_one_key_have_one_effect_and_one_answer(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    answers = await asyncio.gather(*(rename(world, kept.row.public_id, "k") for _ in range(8)))
    assert answers == ["3"] * 8
    assert (await world.find(kept.row.public_id)).row.version == 3


async def test_the_same_key_for_something_else_is_refused(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    await rename(world, kept.row.public_id, "k")
    with pytest.raises(IdempotencyMismatch, match="the key k was used for another request"):
        await rename(world, kept.row.public_id, "k", digest="other")
    async with world.writing() as tx:
        with pytest.raises(IdempotencyMismatch):
            await idempotency.begin(world.owner_id, tx, "k", "remove", "d", AS_OF)


async def test_keys_are_per_owner(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    await rename(world, kept.row.public_id, "k")
    bob = await world.other()
    async with bob.writing() as tx:
        assert await idempotency.begin(bob.owner_id, tx, "k", "rename", "d", AS_OF) is None
        await idempotency.finish(bob.owner_id, tx, "k", {"version": 0})
    assert await rename(world, kept.row.public_id, "k") == "3"


async def test_a_call_that_failed_leaves_its_key_free(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))

    async def fail() -> None:
        async with world.writing() as tx:
            await idempotency.begin(world.owner_id, tx, "k", "rename", "d", AS_OF)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await rename(world, kept.row.public_id, "k") == "3"
