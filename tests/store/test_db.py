"""Transactions, and a database that is away."""

import asyncio

import asyncpg
import pytest

from app.core.errors import InvalidInput
from app.embedded import Endpoints
from app.store import db, portfolios
from app.store.db import Store, StoreUnavailable
from tests.builders import snapshot
from tests.store.world import World


async def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    async def fail() -> None:
        async with store.shared() as tx:
            await tx.execute("UPDATE domain_clock SET rate = 60")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.shared() as tx:
        assert await tx.value("SELECT rate FROM domain_clock") == 1


async def test_an_owners_transaction_names_the_owner_and_forgets_it(store: Store) -> None:
    setting = "SELECT nullif(current_setting('steelyard.owner_id', true), '')"
    async with store.owned(42) as tx:
        assert await tx.value(setting) == "42"
    async with store.shared() as tx:
        assert await tx.value(setting) is None


async def test_a_reading_transaction_writes_nothing(store: Store) -> None:
    with pytest.raises(Exception, match="read-only transaction"):
        async with store.shared(reading=True) as tx:
            await tx.execute("UPDATE domain_clock SET rate = 60")


async def test_one_process_may_have_several_stores(database: Endpoints) -> None:
    first = await Store.open(database.database_url, pool=1)
    second = await Store.open(database.migrate_database_url, pool=1)
    async with first.shared() as one, second.shared() as two:
        assert await one.value("SELECT current_user") == "steelyard_app"
        assert await two.value("SELECT current_user") == "steelyard_owner"
    await first.close()
    assert await second.ping()
    await second.close()


async def test_a_transaction_works_in_any_task(store: Store) -> None:
    async def count() -> int:
        async with store.shared() as tx:
            return int(await tx.value("SELECT 1"))

    assert sum(await asyncio.gather(*(asyncio.create_task(count()) for _ in range(30)))) == 30


async def test_a_lost_connection_is_unavailable_and_the_next_one_works(world: World) -> None:
    async def be_cut_off() -> None:
        async with world.store.shared() as tx:
            pid = await tx.value("SELECT pg_backend_pid()")
            async with world.raw(owner=True) as killer:
                await killer.execute("SELECT pg_terminate_backend($1)", pid)
            await tx.value("SELECT 1")

    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await be_cut_off()
    assert await world.store.ping()


async def test_who_stands_still_with_a_turn_in_hand_loses_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is frozen, or whose machine is gone, must not keep the others from a portfolio for ever."""
    loaded = await world.keep(snapshot("10 AAPL @ 100", {"AAPL": "100"}))
    monkeypatch.setitem(db._LIMITS, "idle_in_transaction_session_timeout", "300ms")
    frozen = await Store.open(world.endpoints.database_url, pool=1)

    async def stand_still() -> None:
        async with frozen.owned(world.owner_id) as tx:
            await portfolios.take_turn(world.owner_id, tx, loaded.row.public_id)
            async with asyncio.timeout(10), world.writing() as other:
                await portfolios.lock_portfolio(world.owner_id, other, loaded.row.public_id)

    with pytest.raises(StoreUnavailable):
        await stand_still()
    await frozen.close()


async def test_an_argument_of_the_wrong_kind_is_our_mistake_and_not_an_outage(store: Store) -> None:
    with pytest.raises(asyncpg.DataError, match="integer"):
        async with store.shared() as tx:
            await tx.value("SELECT $1::int", "one")


async def test_deadlocks_are_unavailable_so_that_the_caller_tries_again(world: World) -> None:
    bob = await world.other()
    lock = "SELECT FROM owners WHERE id = $1 FOR UPDATE"
    async with world.raw(owner=True) as grantor:
        await grantor.execute("GRANT UPDATE ON owners TO steelyard_app")

    async def cross(first: int, second: int, met: asyncio.Barrier) -> None:
        async with world.store.shared() as tx:
            await tx.execute(lock, first)
            await met.wait()
            await tx.execute(lock, second)

    met = asyncio.Barrier(2)
    pairs = [(world.owner_id, bob.owner_id), (bob.owner_id, world.owner_id)]
    results = await asyncio.gather(*(cross(*pair, met) for pair in pairs), return_exceptions=True)
    assert [type(result) for result in results if result] == [StoreUnavailable]


async def test_a_database_that_is_away_is_found_out_by_use() -> None:
    store = await Store.open("postgresql://steelyard_app@/steelyard?host=/tmp/nowhere", pool=1)
    assert not await store.ping()
    with pytest.raises(StoreUnavailable):
        async with store.shared() as tx:
            await tx.value("SELECT 1")
    with pytest.raises(StoreUnavailable):
        await db.pending("postgresql://steelyard_app@/steelyard?host=/tmp/nowhere")
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me@localhost/steelyard",
        "postgresql://localhost/steelyard",
        "postgresql://me@localhost",
        "postgresql://me@localhost/steelyard?hots=/tmp",
        "postgresql://me@localhost:port/steelyard",
        "",
    ],
)
async def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="database URL"):
        await Store.open(url, pool=1)
