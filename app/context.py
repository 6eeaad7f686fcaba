"""What a verb needs, in one value. The only clock and the only maker of ids."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from app.bus.client import Bus
from app.core import ids
from app.core.errors import Forbidden, Required
from app.settings import Settings
from app.store.db import Store
from app.store.owners import Owner

OPERATOR = "operator"


@dataclass(slots=True)
class Watch:
    """What a long computation says of itself while it runs: cases looked at and gap; `stopped` tells it to end."""

    nodes: int = 0
    gap: float = inf
    stopped: bool = False

    def __call__(self, nodes: int, gap: float) -> bool:
        self.nodes, self.gap = nodes, gap
        return self.stopped


class Run(Protocol):
    """Runs a pure function of core where heavy work belongs: on a thread, or in a process of the heavy worker.

    With `watch` the function is handed one of that name, to call now and then: True means that it shall stop.
    """

    def __call__(self, function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Awaitable[Any]: ...


def wall_now() -> datetime:
    """Read the wall clock, in UTC: for tokens, leases, idempotency and log lines."""
    return datetime.now(UTC)


def new_uuid() -> UUID:
    """Make a UUIDv7: unique, and sorted by time."""
    return uuid7()


def new_request_id() -> str:
    """Make an id for a request that brought none."""
    return ids.encode("rq", new_uuid())


@dataclass(frozen=True, slots=True)
class Services:
    """What one process has: its settings and its connections."""

    settings: Settings
    store: Store
    bus: Bus
    run: Run


async def on_thread(function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Any:
    """Run a small pure function beside the event loop."""
    return await asyncio.to_thread(function, *args, **({"watch": watch} if watch else {}))


def require_servers(settings: Settings) -> None:
    """Refuse settings that name no servers."""
    for name, url in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        if not url:
            raise Required(f"{name} is not set; set it, or run `steelyard up`, which brings its own servers", [name])


@asynccontextmanager
async def open_services(settings: Settings, run: Run) -> AsyncIterator[Services]:
    """Open the connections of one process. Servers that are away are found out by use, not here."""
    require_servers(settings)
    store = await Store.open(settings.database_url, pool=settings.db_pool)
    bus = await Bus.open(settings.redis_url)
    try:
        yield Services(settings, store, bus, run)
    finally:
        await bus.close()
        await store.close()


@dataclass(frozen=True, slots=True)
class Context(Services):
    """One caller at one instant. `now` is the domain clock, `wall` the wall clock, both read once.

    `actor` is who really acts: the owner's subject, or the tool that acts for the owner.
    """

    owner: Owner
    actor: str
    roles: frozenset[str]
    now: datetime
    wall: datetime

    @property
    def owner_id(self) -> int:
        return self.owner.id

    def new_id(self, prefix: str) -> str:
        """Make a public id of a type."""
        return ids.encode(prefix, new_uuid())

    def require_operator(self) -> None:
        """Refuse callers without the operator's role."""
        if OPERATOR not in self.roles:
            raise Forbidden("this needs the role operator")
