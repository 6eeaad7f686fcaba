"""One Steelyard for the journeys of this folder: an API and a worker on the run's servers, at a standing clock.

Its database is the one the servers came with, which nothing else uses. Each test has people and symbols of its own.
"""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from app.embedded import Servers
from app.store import db
from tests.builders import AS_OF
from tests.conftest import embedded_settings, temporary_folder
from tests.journeys.fragile import Fragile
from tests.support import Steelyard

# Plans of more lots go to the worker.
INLINE_LOTS = 3


@pytest.fixture(scope="package")
def steelyard(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steelyard]:
    endpoints = servers.endpoints
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.flushall()
    asyncio.run(db.migrate(endpoints.migrate_database_url))
    steelyard = Steelyard(
        endpoints,
        tmp_path_factory.mktemp("journeys"),
        inline_lots=INLINE_LOTS,
        scan_chunk_portfolios=2,
        # Orders on paper are filled at once, as the clock stands.
        paper_latency_s=0,
        paper_partial_percent=0,
        sweep_s=1,
        block_window_s=2,
        event_poll_s=0.5,
    )
    try:
        asyncio.run(steelyard.stand(AS_OF))
        steelyard.serve()
        steelyard.work()
        yield steelyard
    finally:
        steelyard.close()


@pytest.fixture(scope="package")
def the_fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    # With every commit on the disk, as in production: without, a killed PostgreSQL forgets the last of them.
    with temporary_folder() as folder, Servers(embedded_settings(folder)) as servers:
        asyncio.run(db.migrate(servers.endpoints.migrate_database_url))
        steelyard = Steelyard(
            servers.endpoints,
            tmp_path_factory.mktemp("fragile"),
            scan_chunk_portfolios=1,
            light_jobs=1,
            job_lease_s=1,
            paper_latency_s=0,
            paper_partial_percent=0,
            sweep_s=0.5,
            event_poll_s=0.5,
            stop_timeout_s=2,
        )
        fragile = Fragile(servers, steelyard)
        try:
            asyncio.run(steelyard.stand(AS_OF))
            steelyard.serve()
            asyncio.run(fragile.seed())
            yield fragile
        finally:
            steelyard.close()


@pytest.fixture
def fragile(the_fragile: Fragile) -> Iterator[Fragile]:
    """Give a Steelyard whose servers may be killed: an API, and workers as far as tests started them."""
    api = the_fragile.steelyard.api
    if not api or not api.running:
        the_fragile.steelyard.serve()
    yield the_fragile
    the_fragile.servers.revive()
