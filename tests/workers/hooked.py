"""Hooks of somebody, alerts of theirs, and workers that deliver, in the test's own process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.actions import hooks
from app.context import Context, Services
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, Decision, Transition
from app.core.drift import measure
from app.core.hooks import HookEvent
from app.store import alerts
from app.store.hooks import Hook
from app.store.reading import Loaded
from tests.builders import AS_OF, absolute, sleeve, snapshot
from tests.store.world import World, save_decision
from tests.support import until
from workers.deliver import deliver_forever

ALERTS = (HookEvent.ALERT_RAISED, HookEvent.ALERT_ESCALATED, HookEvent.ALERT_RESOLVED)


def quick(services: Services, **given: Any) -> Services:
    """Let hooks be on this machine, and look often."""
    settings = services.settings.model_copy(update={"webhook_loopback": True, "delivery_poll_s": 0.05, **given})
    return replace(services, settings=settings)


@asynccontextmanager
async def delivering(services: Services, **given: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run what a worker runs."""
    task = asyncio.create_task(deliver_forever(quick(services, **given)))
    try:
        yield task
    finally:
        task.cancel()
        _, hung = await asyncio.wait([task], timeout=10)
        assert not hung, "a worker that is told to stop stops"


async def hook_at(
    owner: Context, url: str, *events: HookEvent, least: AlertSeverity = AlertSeverity.INFO
) -> tuple[Hook, str]:
    """Make a webhook; it takes alerts unless told otherwise."""
    context = replace(owner, settings=quick(owner).settings)
    hook, secret = await hooks.create_webhook(context, url=url, events=events or ALERTS, least=least)
    assert secret
    return hook, secret


async def portfolio(world: World) -> Loaded:
    """Store 6 AAPL at 150 and 8 BND at 50, wanted at 60 and 40 percent."""
    wanted = {"AAPL": sleeve("60", band=absolute("5")), "BND": sleeve("40", band=absolute("40"))}
    return await world.keep(snapshot("6 AAPL @ 150, 8 BND @ 50", wanted))


async def tell(
    world: World,
    kept: Loaded,
    *keys: str,
    event: AlertEventKind = AlertEventKind.RAISED,
    severity: AlertSeverity = AlertSeverity.CRITICAL,
    now: datetime = AS_OF,
) -> None:
    """Raise, escalate or resolve alerts, in one transaction at one instant."""
    entry = measure(kept.snapshot).entries[0]
    told = [Transition(event, AlertKind.DRIFT, key, severity, f"{key}: {event.value}", entry) for key in keys]
    async with world.writing() as tx:
        await alerts.scan_take_turn(tx, [kept.row.id])
        decision = Decision({}, (), tuple(told))
        await save_decision(world, tx, kept.row.id, decision, now)


async def rows(world: World, columns: str = "type, status, attempts") -> list[tuple[Any, ...]]:
    """Return the deliveries in the order they were written."""
    async with world.raw() as connection:
        return [tuple(row) for row in await connection.fetch(f"SELECT {columns} FROM deliveries ORDER BY id")]


async def until_rows(
    world: World, expected: Sequence[tuple[Any, ...]], columns: str = "type, status, attempts"
) -> None:
    """Wait until the deliveries are so."""
    found: list[tuple[Any, ...]] = []

    async def so() -> bool:
        found[:] = await rows(world, columns)
        return found == list(expected)

    try:
        await until(so, 10)
    except AssertionError:
        assert found == list(expected)
        raise
