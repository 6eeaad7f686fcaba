"""Real servers for every test: one PostgreSQL and one Valkey a run, and a database of its own for each test."""

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache, cached_property
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

# A shell has what it starts in the background ignore Ctrl-C, and so would all that is started here: it is tested, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What takes longest comes first, so that no process has much to do when the others are done; what waits for compiled
# kernels comes last. Others are between them.
FIRST_FOLDERS = ("journeys", "workers", "store", "core", "api", "cli", "house")
COMPILED_FOLDER = "core/optimize"


class ByFolder(LoadScopeScheduling):
    """Keeps the tests of a folder together when several processes share the run: each has servers of its own, and the
    tests of a folder, one clock.

    The marks of xdist would do, but that of version 3.8 writes them where pytest 9.2 looks no longer, and says nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        return folder_of(nodeid)

    def schedule(self) -> None:
        """Share out the tests; meanwhile, where others wait, a process of its own compiles the kernels for the last."""
        if self.collection is None:
            super().schedule()
            if COMPILED_FOLDER in self.workqueue:
                compiling = compile_at_leisure()
                self.config.add_cleanup(lambda: end(compiling))
        else:
            super().schedule()


def folder_of(nodeid: str) -> str:
    return str(PurePosixPath(nodeid.partition("::")[0]).parent.relative_to("tests"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = dict(zip((*FIRST_FOLDERS, "", COMPILED_FOLDER), itertools.count(), strict=False))
    items.sort(key=lambda item: ranks.get(folder_of(item.nodeid), ranks[""]))


def compile_at_leisure() -> subprocess.Popen[bytes]:
    """Start a process that compiles the optimiser's kernels while nobody else has anything to do."""
    return subprocess.Popen([sys.executable, "-m", "tests.core.optimize.compiling"], cwd=Path(__file__).parents[1])


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


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


class Databases:
    """The databases that tests have on one PostgreSQL: made and dropped over a connection that stays open."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # it leaves the loops of tests alone
        self._connection = self._runner.run(asyncpg.connect(endpoints.migrate_database_url))

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()

    @contextmanager
    def new(self, *, migrated: bool) -> Iterator[Endpoints]:
        """Make a database and drop it at the end; a migrated one is a copy of the one that is migrated once a run."""
        name = f"test_{next(_numbers)}"
        self._make(name, self._migrated if migrated else "template0")
        try:
            yield self._within(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    @cached_property
    def _migrated(self) -> str:
        from app.store import db  # here, so that the tests of the other rooms do not load the store

        name = "template_migrated"
        self._make(name, "template0")
        self._runner.run(db.migrate(self._within(name).migrate_database_url))
        return name

    def _make(self, name: str, template: str) -> None:
        # Copied as files it takes half the time, and its first session finds the catalogue cached.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    def _execute(self, statement: str) -> None:
        self._runner.run(self._connection.execute(statement))

    def _within(self, database: str) -> Endpoints:
        given = self._endpoints
        return replace(
            given,
            database_url=given.database_url.replace(f"/{DATABASE}?", f"/{database}?"),
            migrate_database_url=given.migrate_database_url.replace(f"/{DATABASE}?", f"/{database}?"),
        )


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with temporary_folder() as folder, Servers(embedded_settings(folder), fsync=False) as servers:
        yield servers


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Give an empty Valkey."""
    with redis.Redis.from_url(servers.endpoints.redis_url) as client:
        client.flushall()
    return servers.endpoints.redis_url


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    with closing(Databases(servers.endpoints)) as databases:
        yield databases


@pytest.fixture(scope="session")
def databases15(servers: Servers) -> Iterator[Databases]:
    """Run PostgreSQL 15; only for tests that `POSTGRES_VERSIONS` gives one."""
    with temporary_folder() as folder:
        settings = embedded_settings(folder, redis_url=servers.endpoints.redis_url)
        with (
            Servers(settings, fsync=False, postgres_bin=postgres15_folder()) as older,
            closing(Databases(older.endpoints)) as databases,
        ):
            yield databases


@pytest.fixture(params=POSTGRES_VERSIONS)
def each_databases(request: pytest.FixtureRequest) -> Databases:
    """Give in turn every version of PostgreSQL found."""
    found: Databases = request.getfixturevalue("databases" if request.param == "18" else "databases15")
    return found


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[Endpoints]:
    """Give a database without any table."""
    with databases.new(migrated=False) as endpoints:
        yield endpoints


@pytest.fixture
def each_empty_database(each_databases: Databases) -> Iterator[Endpoints]:
    """Give a database without any table, in turn on every version of PostgreSQL found."""
    with each_databases.new(migrated=False) as endpoints:
        yield endpoints


@pytest.fixture
def database(databases: Databases) -> Iterator[Endpoints]:
    """Give a migrated database."""
    with databases.new(migrated=True) as endpoints:
        yield endpoints


@pytest.fixture
def each_database(each_databases: Databases) -> Iterator[Endpoints]:
    """Give a migrated database, in turn on every version of PostgreSQL found."""
    with each_databases.new(migrated=True) as endpoints:
        yield endpoints
