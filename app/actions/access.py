"""Who is calling, and at which instant: the context of every verb."""

from datetime import datetime
from typing import Final

from app.context import Context, Services, new_uuid, wall_now
from app.store import clock, owners
from app.store.db import Store, StoreUnavailable
from app.store.owners import Owner

Unavailable = StoreUnavailable

# Owners never change, so a process looks each up once; bounded, so that strangers cannot fill the memory.
_KNOWN_MAX: Final = 10_000
_known: dict[tuple[Store, str, str], Owner] = {}


async def enter(services: Services, *, issuer: str, subject: str, tool: str | None, roles: frozenset[str]) -> Context:
    """Return the context of a caller now: an owner is (issuer, subject); a tool acts in the owner's name."""
    wall = wall_now()
    key = (services.store, issuer, subject)
    owner = _known.get(key)
    async with services.store.shared() as tx:
        if owner is None:
            owner = await owners.find_or_create(tx, issuer, subject, wall, new_uuid)
        now = (await clock.read_clock(tx)).at(wall)
    if len(_known) >= _KNOWN_MAX:
        _known.clear()
    _known[key] = owner
    return Context(
        settings=services.settings,
        store=services.store,
        bus=services.bus,
        run=services.run,
        owner=owner,
        actor=tool or subject,
        roles=roles,
        now=now,
        wall=wall,
    )


async def domain_now(services: Services) -> datetime:
    """Read the domain clock: the wall clock, except where the demo or a test moved it."""
    async with services.store.shared() as tx:
        return (await clock.read_clock(tx)).at(wall_now())
