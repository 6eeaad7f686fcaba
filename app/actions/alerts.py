"""Alerts: listed, acknowledged, followed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from app.actions.live import Hub, follow
from app.actions.pages import Page, id_of, key_of, page_of
from app.context import Context
from app.core import ids
from app.core.alerts import AlertEventKind, AlertSeverity, AlertStatus
from app.core.errors import NotFound
from app.store import alerts
from app.store.alerts import Alert as Alert

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


async def acknowledge(context: Context, alert_id: str) -> Alert:
    """Mark an alert as seen by a person."""
    async with context.store.owned(context.owner_id) as tx:
        try:
            alert = await alerts.acknowledge_alert(context.owner_id, tx, alert_id, actor=context.actor, now=context.now)
        except NotFound as error:
            raise error.under("alertId") from None
    await context.bus.nudge("alert", [context.owner_id])
    return alert


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
