"""Alerts: listed, acknowledged, snoozed, followed; and those that no single measurement decides."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.actions.access import domain_now
from app.actions.live import Hub, check, follow
from app.actions.pages import Page, id_of, key_of, page_of
from app.context import Context, Services, new_uuid, wall_now
from app.core import ids, scalars
from app.core.alerts import AlertEventKind, AlertSeverity, AlertStatus
from app.core.errors import InvalidInput, NotFound
from app.store import alerts, events, outages, plan_alerts
from app.store.alerts import Alert as Alert

SNOOZE_MAX: Final = timedelta(days=90)
SCAN_PATIENCE: Final = timedelta(minutes=1)
SETTLE_MAX: Final = 500  # owners in one transaction, which holds back every reader of events

_URGENCY = {severity: rank for rank, severity in enumerate(AlertSeverity)}


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened to an alert, and the alert as it was then."""

    cursor: str
    kind: AlertEventKind
    alert: Alert


async def page(
    context: Context,
    first: int,
    after: str | None,
    *,
    portfolio_id: str | None = None,
    statuses: Sequence[AlertStatus] | None = None,
    least: AlertSeverity = AlertSeverity.INFO,
) -> Page[Alert]:
    """List the caller's alerts, newest first."""
    before = key_of(after, id_of(ids.ALERT))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await alerts.load_alerts(
            context.owner_id,
            tx,
            first + 1,
            portfolio_ids=None if portfolio_id is None else [portfolio_id],
            statuses=statuses,
            severities=[one for one in AlertSeverity if _URGENCY[one] >= _URGENCY[least]],
            before=before,
        )
    return page_of(found, first, lambda alert: alert.id)


async def begin(context: Context, after: str | None = None) -> str:
    """Return the cursor to follow alerts from: the one that was given, if it is good; without one, that of now.

    What is read after this knows everything before the cursor; what it does not know comes after the cursor.
    """
    if after is None:
        async with context.store.shared(reading=True) as tx:
            return await events.current_cursor(tx)
    await check(context, after)
    return after


async def acknowledge(context: Context, alert_id: str) -> Alert:
    """Mark an alert as seen by a person."""
    async with context.store.owned(context.owner_id) as tx:
        try:
            alert = await alerts.acknowledge_alert(context.owner_id, tx, alert_id, actor=context.actor, now=context.now)
        except NotFound as error:
            raise error.under("alertId") from None
    await context.bus.nudge("alert", [context.owner_id])
    return alert


async def snooze(context: Context, alert_id: str, until: datetime | None) -> Alert:
    """Be told nothing of an alert until an instant of the domain clock, at most 90 days on; None ends the snooze."""
    if until is not None and not context.now < until <= context.now + SNOOZE_MAX:
        now, last = (scalars.write_instant(at) for at in (context.now, context.now + SNOOZE_MAX))
        message = (
            f"until is {scalars.write_instant(until)}; it must be after {now} and at most {SNOOZE_MAX.days} days on"
        )
        raise InvalidInput(f"{message}, {last}", ["until"])
    async with context.store.owned(context.owner_id) as tx:
        try:
            alert = await alerts.snooze_alert(context.owner_id, tx, alert_id, until=until, now=context.now)
        except NotFound as error:
            raise error.under("alertId") from None
    await context.bus.nudge("alert", [context.owner_id])
    return alert


async def settle(services: Services, owner_ids: Sequence[int] | None = None, *, scanned: bool = False) -> None:
    """Make the owners' alerts about data what their portfolios' states say, of all owners unless some are given.

    A scan settles when all is `scanned`, so that an alert counts every portfolio; whoever else comes leaves it to the
    scan that runs, for a while.
    """
    now = await domain_now(services)
    since = None if scanned else wall_now() - SCAN_PATIENCE
    while True:
        async with services.store.shared() as tx:
            due = await outages.scan_unsettled(tx, now, SETTLE_MAX, owner_ids, scanning_since=since)
        if not due:
            return
        async with services.store.shared() as tx:
            told = await outages.scan_settle(tx, due, now=now, new_uuid=new_uuid, scanning_since=since)
        await services.bus.nudge("alert", told)
        if len(due) < SETTLE_MAX:
            return


async def sweep(services: Services) -> None:
    """Settle what a crash left, and remind of plans that wait; of what drifts, measuring it reminds."""
    now = await domain_now(services)
    async with services.store.shared() as tx:
        told = await plan_alerts.scan_remind(tx, now, SETTLE_MAX)
    await services.bus.nudge("alert", told)
    await settle(services)


async def stream(
    context: Context, hub: Hub, after: str | None, portfolio_ids: Sequence[str] | None, least: AlertSeverity
) -> AsyncIterator[AlertEvent]:
    """Yield what happens to the caller's alerts, after a cursor or from now on, each event once."""
    async for event in follow(context, hub, context.owner_id, after, portfolio_ids):
        if event.topic != "alert":
            continue
        kind, alert = alerts.alert_of_payload(event.payload)
        if _URGENCY[alert.severity] >= _URGENCY[least]:
            yield AlertEvent(event.cursor, kind, alert)
