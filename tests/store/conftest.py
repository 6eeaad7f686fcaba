"""A migrated database, opened as the application's role."""

from collections.abc import AsyncIterator

import pytest

from app.embedded import Endpoints
from app.store.db import Store
from tests.store.world import World


@pytest.fixture
async def store(database: Endpoints) -> AsyncIterator[Store]:
    opened = await Store.open(database.database_url, pool=10)
    yield opened
    await opened.close()


@pytest.fixture
async def world(store: Store, database: Endpoints) -> World:
    return await World.of(store, database)


@pytest.fixture
async def each_world(each_database: Endpoints) -> AsyncIterator[World]:
    """Give a world on every version of PostgreSQL found."""
    opened = await Store.open(each_database.database_url, pool=10)
    yield await World.of(opened, each_database)
    await opened.close()
