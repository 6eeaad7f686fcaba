"""Targets of every live version sum to exactly 100, also against raw SQL and under concurrent writers."""

import asyncio
import re
from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from app.core.errors import InvalidInput, NotFound, TargetsSum, VersionConflict
from app.core.targets import Target, Targets
from app.store import events, history, targets
from tests.builders import absolute, snapshot
from tests.store.world import World

CASH_ONLY = Targets((Target("CASH", Decimal(100)),))
VERSION = """
INSERT INTO target_versions (public_id, portfolio_id, owner_id, version, author, note, effective_at, changes, sealed)
VALUES (gen_random_uuid(), $1, $2, $3, 'raw', '', now(), 0, $4) RETURNING id
"""
ENTRY = """
INSERT INTO target_allocations (target_version_id, position, key, percent, asset_ids)
VALUES ($1, $2, $3, $4, '{}')
"""
SEAL = "UPDATE target_versions SET sealed = true WHERE id = $1"


async def unsealed(world: World, connection: "asyncpg.Connection[asyncpg.Record]", *percents: str) -> tuple[int, int]:
    """Write an open version by raw SQL; return its row and its portfolio's."""
    kept = await world.keep(snapshot(""))
    version: int = await connection.fetchval(VERSION, kept.row.id, world.owner_id, 1, False)
    for place, percent in enumerate(percents):
        await connection.execute(ENTRY, version, place, f"S{place}", Decimal(percent))
    return version, kept.row.id


@pytest.mark.parametrize(
    ("percents", "message"),
    [
        (["60", "39.5"], "targets sum to 99.5; 0.5 is missing"),
        (["60", "40.000001"], "targets sum to 100.000001; 0.000001 is too much"),
        ([], "targets sum to 0; 100 is missing"),
    ],
)
async def test_the_database_refuses_to_seal_any_other_sum(world: World, percents: list[str], message: str) -> None:
    async with world.raw() as connection:
        version, _ = await unsealed(world, connection, *percents)
        with pytest.raises(asyncpg.CheckViolationError, match=re.escape(message)):
            await connection.execute(SEAL, version)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO target_allocations (target_version_id, position, key, percent, asset_ids) "
        "VALUES ($1, 9, 'X', 0, '{}')",
        "UPDATE target_allocations SET percent = 50 WHERE target_version_id = $1",
        "UPDATE target_versions SET sealed = false WHERE id = $1",
        "UPDATE target_versions SET note = 'later' WHERE id = $1",
    ],
)
async def test_a_sealed_version_never_changes(world: World, statement: str) -> None:
    async with world.raw() as connection:
        version, _ = await unsealed(world, connection, "60", "40")
        await connection.execute(SEAL, version)
        with pytest.raises(asyncpg.RestrictViolationError, match="sealed"):
            await connection.execute(statement, version)


@pytest.mark.parametrize("table", ["target_allocations", "target_versions"])
async def test_not_even_the_owner_of_the_tables_deletes_sealed_targets(world: World, table: str) -> None:
    await world.keep(snapshot("100 cash", {"CASH": "100"}))
    async with world.raw(owner=True) as connection:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(f"DELETE FROM {table}")
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(f"TRUNCATE {table} CASCADE")


async def test_an_entry_cannot_move_into_a_sealed_version(world: World) -> None:
    async with world.raw() as connection:
        sealed, portfolio = await unsealed(world, connection, "60", "40")
        await connection.execute(SEAL, sealed)
        other = await connection.fetchval(VERSION, portfolio, world.owner_id, 2, False)
        await connection.execute(ENTRY, other, 5, "more", Decimal(1))
        move = "UPDATE target_allocations SET target_version_id = $1 WHERE target_version_id = $2"
        with pytest.raises(asyncpg.RestrictViolationError, match="sealed"):
            await connection.execute(move, sealed, other)


async def test_a_version_is_not_born_sealed(world: World) -> None:
    async with world.raw() as connection:
        _, portfolio = await unsealed(world, connection)
        with pytest.raises(asyncpg.RestrictViolationError, match="after its entries"):
            await connection.execute(VERSION, portfolio, world.owner_id, 2, True)


async def test_a_portfolio_points_only_to_a_sealed_version_of_its_own(world: World) -> None:
    point = "UPDATE portfolios SET targets_id = $2 WHERE id = $1"
    async with world.raw() as connection:
        version, portfolio = await unsealed(world, connection, "100")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.execute(point, portfolio, version)
        await connection.execute(SEAL, version)
        _, another = await unsealed(world, connection, "100")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.execute(point, another, version)
        await connection.execute(point, portfolio, version)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_sealing_and_writing_never_pass_each_other(world: World, isolation: str) -> None:
    """Both begin before either commits; a sealed version must sum to 100 whoever is first."""

    async def attempt(statement: str, *args: object) -> None:
        async with world.raw() as connection:
            try:
                async with connection.transaction(isolation=isolation):  # type: ignore[arg-type]
                    await connection.fetchval("SELECT count(*) FROM owners")
                    await met.wait()
                    await connection.execute(statement, *args)
                    await asyncio.sleep(0.01)
            except (asyncpg.RestrictViolationError, asyncpg.CheckViolationError, asyncpg.SerializationError):
                pass

    for _ in range(10):
        met = asyncio.Barrier(2)
        async with world.raw() as connection:
            version, _ = await unsealed(world, connection, "60", "40")
        await asyncio.gather(attempt(SEAL, version), attempt(ENTRY, version, 7, "late", Decimal(50)))
    wrong = """
        SELECT count(*) FROM target_versions v WHERE sealed
        AND (SELECT sum(percent) FROM target_allocations WHERE target_version_id = v.id) <> 100
    """
    assert await world.sql(wrong) == 0


async def test_of_eight_that_expect_no_targets_one_wins(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))

    async def set_them() -> int:
        async with world.writing() as tx:
            return (await world.aim(tx, kept.row.public_id, CASH_ONLY, expected=0)).meta.version

    results = await asyncio.gather(*(set_them() for _ in range(8)), return_exceptions=True)
    assert results.count(1) == 1
    conflicts = [(one.expected, one.actual) for one in results if isinstance(one, VersionConflict)]
    assert conflicts == [(0, 1)] * 7


async def test_eight_that_expect_nothing_take_turns(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))

    async def set_them() -> int:
        async with world.writing() as tx:
            return (await world.aim(tx, kept.row.public_id, CASH_ONLY)).meta.version

    assert sorted(await asyncio.gather(*(set_them() for _ in range(8)))) == list(range(1, 9))
    async with world.reading() as tx:
        assert await history.verify_history(world.owner_id, tx, kept.row.id) is None
        told = await events.load_events(world.owner_id, tx, None, 100)
    assert [event.payload["version"] for event in told if event.topic == "targets"] == list(range(1, 9))


async def test_versions_are_listed_newest_first_with_what_they_said(world: World) -> None:
    kept = await world.keep(snapshot("1 AAPL @ 180", {"AAPL": "100"}))
    assert kept.snapshot.targets
    aapl = kept.snapshot.targets.entries[0]
    wanted = Targets(
        (replace(aapl, percent=Decimal("33.333333"), band=absolute("2")), Target("CASH", Decimal("66.666667")))
    )
    async with world.writing() as tx:
        await world.aim(tx, kept.row.public_id, wanted, expected=1)
    async with world.reading() as tx:
        found = await targets.load_targets_history(world.owner_id, tx, kept.row.id, 10)
        older = await targets.load_targets_history(world.owner_id, tx, kept.row.id, 10, before_version=2)
    assert [one.targets for one in found] == [replace(wanted, version=2), kept.snapshot.targets]
    assert [one.meta.version for one in older] == [1]
    assert (await world.find(kept.row.public_id)).snapshot.targets == replace(wanted, version=2)


async def test_what_is_refused_leaves_the_targets_as_they_were(world: World) -> None:
    kept = await world.keep(snapshot("100 cash", {"CASH": "100"}))
    unknown = Targets((Target("X", Decimal(100), ("as_00000000000000000000000000",)),))
    for wanted, error in [(unknown, InvalidInput), (Targets((Target("CASH", Decimal(99)),)), TargetsSum)]:
        with pytest.raises(error):
            async with world.writing() as tx:
                await world.aim(tx, kept.row.public_id, wanted)
    bob = await world.other()
    with pytest.raises(NotFound):
        async with bob.writing() as tx:
            await bob.aim(tx, kept.row.public_id, CASH_ONLY)
    assert (await world.find(kept.row.public_id)) == kept
