"""From the event log to the hooks: what was committed becomes messages, and too many alerts at once become a digest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from app.actions.notices import Notice, alert_data, line, write
from app.context import Services, new_uuid, wall_now
from app.core.alerts import AlertSeverity
from app.core.hooks import ALERT_EVENTS, HookEvent, HookKind, takes
from app.store import alerts, relay
from app.store.db import Tx
from app.store.relay import Listener, LogEvent, NewDelivery

PAGE: Final = 500
TRIM_MAX: Final = 5000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Relayed:
    """What one look at the log came to: whether there is more, and whether more is committed but not seen yet."""

    written: int
    more: bool
    pending: bool


@dataclass(slots=True)
class Storm:
    """Alerts of one minute to one hook: how many went one by one, and the open digest of the rest."""

    owner_id: int
    told: int
    digest: int | None
    lines: list[tuple[int, str]]


async def relay_page(services: Services) -> Relayed:
    """Write messages for the next events of the log, if nobody else does at this moment."""
    wall = wall_now()
    async with services.store.shared() as tx:
        place = await relay.relay_take_place(tx)
        if place is None:
            return Relayed(0, more=False, pending=False)
        if place.alien:
            await relay.relay_start_anew(tx)
            log.warning("relay_starts_anew", reason="the database came out of a dump; nothing of before is sent again")
            return Relayed(0, more=True, pending=False)
        events = await relay.relay_events(tx, place, PAGE)
        if not events:
            return Relayed(0, more=False, pending=place.pending)
        listeners = await relay.relay_listeners(tx, {event.owner_id for event in events})
        written = await _write(services, tx, events, listeners, wall) if listeners else 0
        await relay.relay_move(tx, events[-1])
    return Relayed(written, more=len(events) == PAGE, pending=place.pending)


async def relay_trim(services: Services) -> None:
    """Forget old deliveries, events that were relayed, and idempotency keys. One worker at a time."""
    async with services.store.shared() as tx:
        if not await relay.relay_take_trim_turn(tx):
            return
        gone = await relay.relay_trim(tx, wall_now(), TRIM_MAX)
    if any(gone.values()):
        log.info("forgotten", **gone)


async def _write(
    services: Services, tx: Tx, events: Sequence[LogEvent], listeners: Sequence[Listener], wall: datetime
) -> int:
    storms = await _storms(tx, events, listeners)
    new: list[NewDelivery] = []
    for event, notice, severity in _notices(events):
        bodies: dict[HookKind, str] = {}
        for hook in listeners:
            if hook.owner_id != event.owner_id or not hook.hears(event.xid):
                continue
            if not takes(hook.events, hook.least, notice.event, severity):
                continue
            if notice.event in ALERT_EVENTS:
                storm = storms[hook.row_id, _minute(event)]
                if storm.told >= services.settings.storm_alerts:
                    storm.lines.append((event.row_id, line(notice)))
                    continue
                storm.told += 1
            body = bodies.setdefault(hook.kind, write(notice, hook.kind))
            new.append(NewDelivery(new_uuid(), hook.owner_id, hook.row_id, event.row_id, notice.event, body, wall))
    await _write_digests(tx, storms, wall, timedelta(seconds=services.settings.storm_digest_s))
    if new:
        await relay.relay_write_deliveries(tx, new, wall)
    return len(new) + sum(bool(storm.lines) for storm in storms.values())


async def _storms(
    tx: Tx, events: Sequence[LogEvent], listeners: Sequence[Listener]
) -> dict[tuple[int, datetime], Storm]:
    told = {(event.owner_id, _minute(event)) for event in events if event.topic == "alert"}
    wanted = [(hook, at) for hook in listeners for owner_id, at in told if hook.owner_id == owner_id]
    if not wanted:
        return {}
    found = await relay.relay_storms(tx, {hook.row_id for hook, _ in wanted}, {at for _, at in wanted})
    return {
        (hook.row_id, at): Storm(hook.owner_id, *found.get((hook.row_id, at), (0, None)), []) for hook, at in wanted
    }


def _minute(event: LogEvent) -> datetime:
    """Return the storm that an alert belongs to: a scan is one instant, but falling prices alert second by second."""
    return event.created_at.replace(second=0, microsecond=0)


async def _write_digests(tx: Tx, storms: Mapping[tuple[int, datetime], Storm], wall: datetime, wait: timedelta) -> None:
    """Add what was left out to open digests, or to new ones."""
    if not storms:
        return
    opened = {
        key: NewDelivery(new_uuid(), storm.owner_id, key[0], None, HookEvent.ALERT_DIGEST, None, wall + wait)
        for key, storm in storms.items()
        if storm.lines and storm.digest is None
    }
    rows = await relay.relay_write_deliveries(tx, list(opened.values()), wall) if opened else {}
    for key, delivery in opened.items():
        storms[key].digest = rows[delivery.uuid]
    lines = [(storm.digest, *one) for storm in storms.values() if storm.digest is not None for one in storm.lines]
    if lines:
        await relay.relay_write_lines(tx, lines)
    counted = [(hook, at, storm.told, storm.digest) for (hook, at), storm in storms.items() if storm.told]
    if counted:
        await relay.relay_save_storms(tx, counted, wall)


def _notices(events: Sequence[LogEvent]) -> Iterator[tuple[LogEvent, Notice, AlertSeverity | None]]:
    """Yield the events that hooks are told of, and the severity of those about alerts."""
    for event in events:
        try:
            told = _notice(event)
        except Exception:  # our mistake, which must not hold up everything that comes after it
            log.exception("event_not_told", row=event.row_id, topic=event.topic)
            continue
        if told:
            yield event, *told


def _notice(event: LogEvent) -> tuple[Notice, AlertSeverity | None] | None:
    name, about = event.portfolio_id, event.portfolio_name
    if event.topic == "alert":
        kind = f"ALERT_{event.payload['event']}"
        if kind in HookEvent.__members__:
            _, alert = alerts.alert_of_payload(event.payload)
            return Notice(HookEvent[kind], event.created_at, alert_data(alert), about), alert.severity
    elif event.topic == "plan" and event.payload["status"] == "READY":
        data = {"id": event.subject, "portfolioId": name, "status": "READY"}
        return Notice(HookEvent.PLAN_READY, event.created_at, data, about), None
    elif event.topic == "targets":
        data = {"id": event.subject, "portfolioId": name, "version": event.payload["version"]}
        return Notice(HookEvent.TARGETS_CHANGED, event.created_at, data, about), None
    return None
