"""The way to PostgreSQL: the pool, transactions, migrations.

Tortoise describes the tables, makes their migrations and keeps the pool; statements are SQL on its asyncpg
connections. All work happens in a transaction: `owned(owner_id)` for one owner's rows, `shared()` for rows that belong
to nobody and for `scan_` and `relay_` work over all owners.
"""

import asyncio
import pkgutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError, OperationalError
from tortoise.migrations.executor import MigrationExecutor
from tortoise.transactions import in_transaction

from app.core.errors import InvalidInput
from app.store import migrations

CONNECT_S: Final = 5.0
ACQUIRE_S: Final = 10.0  # for a connection of the pool
STATEMENT_S: Final = 60.0  # PostgreSQL ends a statement, asyncpg gives up on a silent network soon after
IDLE_S: Final = 15.0  # an open transaction that does nothing keeps readers of events and takers of turns waiting
PING_S: Final = 2.0

MIGRATE_LOCK: Final = 0x5354_4545_4C59_4152  # any fixed number; advisory locks are per database

_SESSION: Final = {
    "application_name": "steelyard",
    "jit": "off",  # statements are short; compiling them costs more than running them
    "timezone": "UTC",
}
_LIMITS: Final = {
    "statement_timeout": f"{STATEMENT_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{IDLE_S:.0f}s",
}
_AWAY: Final = (
    OSError,
    TimeoutError,
    DBConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg makes of a server that hangs up between two messages
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, still starting, or the statement took too long
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock or serialisation failure: the same call may succeed now
    asyncpg.InvalidAuthorizationSpecificationError,  # no such role, or another password
    asyncpg.InvalidCatalogNameError,  # no such database
)
_BROKEN: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError)
_UNSTORABLE: Final = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


class StoreUnavailable(Exception):
    """The database is away, or gave up on a transaction that another one was in the way of. Trying again may help."""


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise StoreUnavailable(f"the database is not available: {type(error).__name__}") from error


class Tx:
    """One open transaction. Every call is one round trip."""

    def __init__(self, store: "Store", connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        self._store = store
        self._connection = connection

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        with self._counted():
            return await self._connection.fetch(sql, *args)

    async def row(self, sql: str, *args: object) -> asyncpg.Record | None:
        with self._counted():
            return await self._connection.fetchrow(sql, *args)

    async def value(self, sql: str, *args: object) -> Any:
        with self._counted():
            return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> None:
        with self._counted():
            await self._connection.execute(sql, *args)

    async def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._counted():
            await self._connection.executemany(sql, rows)

    async def copy(self, table: str, columns: Sequence[str], records: Iterable[Sequence[object]]) -> None:
        """Write rows by COPY: the fastest way in, and part of the transaction like any other."""
        with self._counted():
            await self._connection.copy_records_to_table(table, columns=columns, records=records)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._store.statements += 1
        try:
            with _reachable():
                yield
        except _UNSTORABLE:
            raise InvalidInput("a text holds the character U+0000, which cannot be stored; leave it out") from None
        except asyncpg.UndefinedTableError as error:
            raise StoreUnavailable("the database lacks tables; `steelyard migrate` makes them") from error


class Store:
    """The pool of one process. Opening it does not connect yet: a database that is away is found out by use."""

    def __init__(self, context: TortoiseContext) -> None:
        self._context = context
        self.statements = 0

    @classmethod
    async def open(cls, url: str, *, pool: int) -> "Store":
        config = _config(url, settings=_SESSION | _LIMITS, command_timeout=STATEMENT_S + 5, pool=pool)
        # Each store has a context of its own, so that one process may have several, and any task may use them.
        with TortoiseContext() as context:
            await context.init(config=config)
        return cls(context)

    async def close(self) -> None:
        await self._context.close_connections()

    async def ping(self) -> bool:
        """Say within two seconds whether the database answers."""
        try:
            async with asyncio.timeout(PING_S), self._context.db().acquire_connection() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except _AWAY:
            return False

    @asynccontextmanager
    async def owned(self, owner_id: int, *, reading: bool = False) -> AsyncIterator[Tx]:
        """Open a transaction for one owner's rows; `reading` sees one instant throughout and writes nothing."""
        async with self._transaction(reading) as (tx, connection):
            with _reachable():
                await connection.execute("SELECT set_config('steelyard.owner_id', $1, true)", str(owner_id))
            yield tx

    @asynccontextmanager
    async def shared(self, *, reading: bool = False) -> AsyncIterator[Tx]:
        """Open a transaction for rows that are nobody's, and for work over all owners."""
        async with self._transaction(reading) as (tx, _):
            yield tx

    @asynccontextmanager
    async def _transaction(self, reading: bool) -> AsyncIterator[tuple[Tx, "PoolConnectionProxy[asyncpg.Record]"]]:
        try:
            async with AsyncExitStack() as stack:
                with _reachable():
                    async with asyncio.timeout(ACQUIRE_S):
                        connection = await stack.enter_async_context(self._context.db().acquire_connection())
                    isolation = "repeatable_read" if reading else "read_committed"
                    transaction = connection.transaction(isolation=isolation, readonly=reading)
                    await transaction.start()
                try:
                    yield Tx(self, connection), connection
                except BaseException:
                    with suppress(*_AWAY):
                        await transaction.rollback()
                    raise
                with _reachable():
                    await transaction.commit()
        except _BROKEN as error:  # in giving it back to the pool
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a connection that breaks must not hide that we are to stop
                raise asyncio.CancelledError from error
            raise StoreUnavailable(f"the database is not available: {type(error).__name__}") from error


async def migrate(url: str) -> list[str]:
    """Bring the schema up to date and return the names of what was applied.

    All of it is one transaction under an advisory lock: two at once take turns, and a crash leaves nothing half done.
    """
    config = _config(url, settings=_SESSION, command_timeout=None, pool=1)
    applied: list[str] = []

    def note(event: str, _: str, name: str) -> None:
        if event == "apply_done":
            applied.append(name)

    with _reachable():
        async with TortoiseContext() as context:
            await context.init(config=config)
            async with in_transaction() as connection:
                await connection.execute_query("SELECT pg_advisory_xact_lock($1)", [MIGRATE_LOCK])
                executor = MigrationExecutor(connection, config["apps"])
                try:
                    # The executor asks for applied migrations first, and in a transaction that must not fail.
                    await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
                    await executor.migrate(progress=note)
                except OperationalError as error:
                    if not isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
                        raise
                    message = f"{error}; migrations need the role that owns the tables"
                    raise InvalidInput(message, ["STEELYARD_MIGRATE_DATABASE_URL"]) from None
    return applied


async def pending(url: str) -> list[str]:
    """Return the names of migrations that the database does not have yet, in order."""
    known = sorted(name for _, name, _ in pkgutil.iter_modules(migrations.__path__))
    with _reachable():
        async with asyncio.timeout(CONNECT_S):
            connection = await asyncpg.connect(**_connect_arguments(url))
        try:
            if await connection.fetchval("SELECT to_regclass('tortoise_migrations')") is None:
                return known
            applied = {row["name"] for row in await connection.fetch("SELECT name FROM tortoise_migrations")}
        finally:
            await connection.close()
    return [name for name in known if name not in applied]


def _config(url: str, *, settings: Mapping[str, str], command_timeout: float | None, pool: int) -> dict[str, Any]:
    credentials = {
        **_connect_arguments(url),
        "timeout": CONNECT_S,
        "command_timeout": command_timeout,
        "server_settings": dict(settings),
        "minsize": 1,
        "maxsize": pool,
    }
    return {
        "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
        "apps": {
            "store": {
                "models": ["app.store.tables"],
                "migrations": migrations.__name__,
                "default_connection": "default",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


def _connect_arguments(url: str) -> dict[str, Any]:
    """Read `postgresql://user:password@host:port/database`, or `...@/database?host=/folder` for a Unix socket."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", "") or parts.hostname
    port = options.pop("port", "") or parts.netloc.rpartition("@")[2].partition(":")[2] or "5432"
    sslmode = options.pop("sslmode", "")
    user = unquote(parts.username or "")
    database = unquote(parts.path.removeprefix("/"))
    whole = host and user and database and port.isdecimal()
    if parts.scheme not in ("postgresql", "postgres") or not whole:
        raise InvalidInput("a database URL reads postgresql://user:password@host:port/database", ["DATABASE_URL"])
    if options:
        raise InvalidInput(f"the database URL has options that are not known: {', '.join(options)}", ["DATABASE_URL"])
    arguments: dict[str, Any] = {
        "host": host,
        "port": int(port),
        "user": user,
        "password": unquote(parts.password) if parts.password else None,
        "database": database,
    }
    return arguments | ({"ssl": sslmode} if sslmode else {})
