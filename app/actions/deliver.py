"""Messages to hooks on their way: relayed from the event log, taken when due, sent, and written off.

Each worker has one of these. Redis only nudges; without it the database is looked at every `delivery_poll_s`.
"""

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import orjson
import structlog

from app.actions import notices, relay
from app.actions.codes import digest_of, new_code
from app.actions.waking import PENDING_S, woken
from app.context import Services, wall_now
from app.core.hooks import GIVE_UP_S, HookEvent, HookKind, retry_after_ms
from app.courier import mail, webhooks
from app.courier.sent import Sent
from app.store import hooks, sending
from app.store.db import StoreUnavailable, Tx
from app.store.deliveries import CONFIRM
from app.store.sending import Claimed, Health

SENDS_MAX: Final = 20
"""Messages that one worker has on their way at once."""
FAILING_MAX: Final = 10
"""So many of them may be to hooks that nothing reached the last time, lest those that hang hold up the others."""
STOP_S: Final = 2.0
"""How long messages that are on their way are waited for when the worker stops; the rest is sent again by another."""
NO_MAIL: Final = "no mail server is set: STEELYARD_SMTP_URL and STEELYARD_MAIL_FROM are needed to send e-mail"

log = structlog.get_logger(__name__)


class Deliverer:
    """The relay and the sender of one worker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._poll_s = services.settings.delivery_poll_s
        self._news = asyncio.Event()
        self._due = asyncio.Event()
        self._sending: dict[asyncio.Task[None], Claimed] = {}

    async def run(self) -> None:
        """Relay and send until cancelled; then wait a moment for what is on its way."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_nudges())
                group.create_task(self._relay())
                group.create_task(self._send())
        finally:
            if self._sending:
                _, late = await asyncio.wait(self._sending, timeout=STOP_S)
                for task in late:
                    task.cancel()

    async def _follow_nudges(self) -> None:
        while True:
            try:
                async for _ in self._services.bus.nudges():
                    self._news.set()
                    self._due.set()
            except Exception:
                log.exception("nudges_not_followed")  # events are looked for without them, only later
                await asyncio.sleep(self._poll_s)

    async def _relay(self) -> None:
        wait_s = 0.0
        while True:
            await woken(self._news, wait_s)
            wait_s = self._poll_s
            try:
                relayed = await relay.relay_page(self._services)
            except StoreUnavailable as error:
                log.warning("relay_postponed", reason=str(error))
                continue
            except Exception:
                log.exception("relay_failed")  # whatever it was, the hooks go on depending on this loop
                continue
            if relayed.written:
                self._due.set()
            wait_s = 0.0 if relayed.more else PENDING_S if relayed.pending else self._poll_s

    async def _send(self) -> None:
        wait_s = 0.0
        while True:
            await woken(self._due, wait_s)
            room = SENDS_MAX - len(self._sending)
            failing_room = FAILING_MAX - sum(claimed.failing for claimed in self._sending.values())
            taken: list[Claimed] = []
            if room:
                try:
                    taken = await claim(self._services, room, failing_room)
                except StoreUnavailable as error:
                    log.warning("sending_postponed", reason=str(error))
                except Exception:
                    log.exception("sending_failed")
            for claimed in taken:
                task = asyncio.create_task(self._deliver(claimed))
                self._sending[task] = claimed
                task.add_done_callback(self._sent)
            wait_s = 0.0 if len(taken) == room > 0 else self._poll_s

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._due.set()

    async def _deliver(self, claimed: Claimed) -> None:
        try:
            await finish(self._services, claimed, await send(self._services, claimed))
        except StoreUnavailable as error:
            log.warning("outcome_not_written", delivery=claimed.id, reason=str(error))  # sent again after its lease
        except Exception:
            log.exception("outcome_not_written", delivery=claimed.id)


async def claim(services: Services, room: int, failing_room: int) -> list[Claimed]:
    """Take messages that are due; digests and codes are written now."""
    now = wall_now()
    async with services.store.shared() as tx:
        taken = await sending.relay_claim(tx, now, room, failing_room)
        digests = [one.row_id for one in taken if one.payload is None and one.type == HookEvent.ALERT_DIGEST.value]
        lines = await sending.relay_lines(tx, digests) if digests else {}
        return [await _written(tx, one, [text for _, text in lines.get(one.row_id, [])], now) for one in taken]


async def _written(tx: Tx, claimed: Claimed, lines: list[str], now: datetime) -> Claimed:
    if claimed.type == CONFIRM:
        code = new_code()
        await hooks.relay_new_code(tx, claimed.hook_row_id, digest_of(code), now)
        return replace(claimed, payload=notices.code_mail(code))
    if claimed.payload is None:
        payload = notices.write(notices.digest(lines), claimed.kind)
        await sending.relay_freeze(tx, claimed.row_id, payload)
        return replace(claimed, payload=payload)
    return claimed


async def send(services: Services, claimed: Claimed) -> Sent:
    """Send one message and return what became of it; nothing is written.

    What is wrong with it on our side is a try that failed, too: else it would be tried for ever, and nobody told.
    """
    try:
        return await _send(services, claimed)
    except Exception:
        log.exception("delivery_failed", delivery=claimed.id)
        return Sent(None, 0, "it could not be sent from here; the logs of the server say why")


async def _send(services: Services, claimed: Claimed) -> Sent:
    assert claimed.payload is not None
    if claimed.kind is HookKind.EMAIL:
        return await send_mail(services, claimed.address, claimed.id, claimed.payload)
    return await webhooks.send(
        claimed.address,
        message_id=claimed.id,
        at=wall_now(),
        secrets=claimed.secrets,
        body=claimed.payload.encode(),
        loopback=services.settings.webhook_loopback,
    )


async def send_mail(services: Services, address: str, message_id: str, payload: str) -> Sent:
    """Send one e-mail."""
    settings = services.settings
    if not settings.smtp_url or not settings.mail_from:
        return Sent(None, 0, NO_MAIL)
    told = orjson.loads(payload)
    return await mail.send(
        settings.smtp_url,
        sender=settings.mail_from,
        to=address,
        subject=told["subject"],
        text=told["text"],
        message_id=message_id,
        at=wall_now(),
    )


async def finish(services: Services, claimed: Claimed, sent: Sent) -> None:
    """Write what became of a message: delivered, due again, or dead. A hook nothing reaches for days is disabled."""
    now = wall_now()
    async with services.store.shared() as tx:
        health = await sending.relay_lock_hook(tx, claimed.hook_row_id)
        if sent.ok:
            written = await sending.relay_delivered(tx, claimed, sent.status_code, now)
        else:
            written = await _fail(tx, claimed, sent, health, now)
    log.info(
        "delivered" if sent.ok else "not_delivered",
        delivery=claimed.id,
        type=claimed.type,
        attempt=claimed.attempts,
        status=sent.status_code,
        latency_ms=sent.latency_ms,
        written=written,
    )


async def _fail(tx: Tx, claimed: Claimed, sent: Sent, health: Health, now: datetime) -> bool:
    error = sent.error or f"answered {sent.status_code}"
    limit = timedelta(seconds=GIVE_UP_S)
    reason = None
    if health.enabled and sent.gone and claimed.kind is HookKind.WEBHOOK:
        reason = "the receiver answered 410: it wants no more messages"
    elif health.enabled and health.failing_since and now - health.failing_since >= limit:
        reason = f"nothing was delivered for 3 days; the last try ended with: {error}"
    dead = now - claimed.first_at >= limit
    wait = timedelta(milliseconds=retry_after_ms(claimed.tries, secrets.randbelow(1000)))
    due = now + wait if health.enabled and not reason and not dead else None
    written = await sending.relay_failed(tx, claimed, sent.status_code, error, now, due, dead=dead)
    if reason:
        await hooks.disable_hook(claimed.owner_id, tx, claimed.hook_row_id, reason)
        log.warning("hook_disabled", hook=claimed.hook_row_id, reason=reason)
    return written
