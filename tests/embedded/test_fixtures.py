"""The fixtures that every other folder builds on."""

import asyncpg
import pytest
import redis

from app.embedded import Endpoints


async def roles_and_tables(endpoints: Endpoints) -> tuple[str, str, int]:
    owner = await asyncpg.connect(endpoints.migrate_database_url)
    app = await asyncpg.connect(endpoints.database_url)
    try:
        tables = await owner.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        return await owner.fetchval("SELECT current_user"), await app.fetchval("SELECT current_user"), tables
    finally:
        await owner.close()
        await app.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_an_empty_database_of_its_own(empty_database: Endpoints, turn: int) -> None:
    assert await roles_and_tables(empty_database) == ("steelyard_owner", "steelyard_app", 0)
    owner = await asyncpg.connect(empty_database.migrate_database_url)
    await owner.execute("CREATE TABLE left_behind ()")
    await owner.close()


async def test_every_version_of_postgresql_found_gives_an_empty_database(each_empty_database: Endpoints) -> None:
    assert await roles_and_tables(each_empty_database) == ("steelyard_owner", "steelyard_app", 0)


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_valkey(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.keys() == []
        client.set("left", "behind")


async def test_migrated_database_is_a_copy_of_the_one_migrated_once(database: Endpoints) -> None:
    owner, app, tables = await roles_and_tables(database)
    assert (owner, app) == ("steelyard_owner", "steelyard_app")
    assert tables > 0
