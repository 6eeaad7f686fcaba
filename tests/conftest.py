"""Real servers for every test: one PostgreSQL and one Valkey a run, and a database of its own for each test."""

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath

import asyncpg
import pytest
import redis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from app.embedded import DATABASE, Endpoints, Servers
from app.settings import Settings

_numbers = itertools.count(1)

MEMORY_BYTES = 4 * 1024**3


class ByFolder(LoadScopeScheduling):
    """Keeps the tests of a folder together when several processes share the run: each has servers of its own, and the
    tests of a folder, one clock.

    The marks of xdist would do, but that of version 3.8 writes them where pytest 9.2 looks no longer, and says nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        return PurePosixPath(nodeid).parts[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    return ByFolder(config, log)


@cache
def postgres15_folder() -> Path | None:
    """Find the binaries of a PostgreSQL 15 on this machine."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for folder in (*folders, Path("/usr/lib/postgresql/15/bin")):
        if (folder / "initdb").exists():
            version = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
            if "(PostgreSQL) 15." in version.stdout:
                return folder
    return None


# The versions a test can be run on, here; the newest is always among them.
POSTGRES_VERSIONS = ["18", "15"] if postgres15_folder() else ["18"]


def embedded_settings(data_dir: Path, *, redis_url: str = "") -> Settings:
    """Settings that name no server, whatever the environment does."""
    urls = {"database_url": "", "migrate_database_url": "", "redis_url": redis_url}
    return Settings().model_copy(update={**urls, "data_dir": data_dir})


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that everybody can get to, as the servers of root run as somebody else.

    In memory where there is room: a database a test is fifteen times as fast to make there.
    """
    with tempfile.TemporaryDirectory(prefix="steelyard-test-", dir=_roomiest()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def _roomiest() -> str:
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < MEMORY_BYTES:
        return "/tmp"
    # The servers may have to be copied there to be run.
    return "/tmp" if os.statvfs(memory).f_flag & os.ST_NOEXEC else str(memory)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with temporary_folder() as folder, Servers(embedded_settings(folder), fsync=False) as servers:
        yield servers


@pytest.fixture(scope="session")
def postgres15(servers: Servers) -> Iterator[Servers]:
    """Run PostgreSQL 15; only for tests that `POSTGRES_VERSIONS` gives one."""
    with temporary_folder() as folder:
        settings = embedded_settings(folder, redis_url=servers.endpoints.redis_url)
        with Servers(settings, fsync=False, postgres_bin=postgres15_folder()) as older:
            yield older


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Give an empty Valkey."""
    with redis.Redis.from_url(servers.endpoints.redis_url) as client:
        client.flushall()
    return servers.endpoints.redis_url


@pytest.fixture
async def empty_database(servers: Servers) -> AsyncIterator[Endpoints]:
    """Give a database without any table."""
    async with _new_database(servers.endpoints) as endpoints:
        yield endpoints


@pytest.fixture(params=POSTGRES_VERSIONS)
async def each_empty_database(request: pytest.FixtureRequest) -> AsyncIterator[Endpoints]:
    """Give a database without any table, in turn on every version of PostgreSQL found."""
    servers: Servers = request.getfixturevalue("servers" if request.param == "18" else "postgres15")
    async with _new_database(servers.endpoints) as endpoints:
        yield endpoints


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> str:
    """Migrate one database a run; the tests get copies of it."""
    from app.store import db  # here, so that the tests of the other rooms do not load the store

    name = "template_migrated"
    asyncio.run(_execute(servers.endpoints, f"CREATE DATABASE {name}"))
    asyncio.run(db.migrate(_within(servers.endpoints, name).migrate_database_url))
    return name


@pytest.fixture
async def database(servers: Servers, template_database: str) -> AsyncIterator[Endpoints]:
    """Give a migrated database."""
    async with _new_database(servers.endpoints, template_database) as endpoints:
        yield endpoints


@asynccontextmanager
async def _new_database(endpoints: Endpoints, template: str = "template0") -> AsyncIterator[Endpoints]:
    name = f"test_{next(_numbers)}"
    await _execute(endpoints, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _within(endpoints, name)
    finally:
        await _execute(endpoints, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(endpoints: Endpoints, statement: str) -> None:
    connection = await asyncpg.connect(endpoints.migrate_database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _within(endpoints: Endpoints, database: str) -> Endpoints:
    return replace(
        endpoints,
        database_url=endpoints.database_url.replace(f"/{DATABASE}?", f"/{database}?"),
        migrate_database_url=endpoints.migrate_database_url.replace(f"/{DATABASE}?", f"/{database}?"),
    )
