"""Hooks: where an owner is told what happens, by webhook or by e-mail; made, changed, tested, deleted, and replayed."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from app.actions import notices, once
from app.actions.codes import digest_of
from app.actions.deliver import NO_MAIL, send_mail
from app.actions.pages import Page, id_of, key_of, page_of
from app.actions.samples import sample
from app.context import Context, new_uuid
from app.core import ids
from app.core.alerts import AlertSeverity
from app.core.errors import InvalidInput, InvalidState, LimitExceeded, NotFound, Required
from app.core.hooks import (
    CODE_TRIES,
    CODES_MAX,
    CODES_WITHIN_S,
    HOOKS_MAX,
    SAMPLES_MAX,
    SAMPLES_WITHIN_S,
    DeliveryStatus,
    HookEvent,
    HookKind,
    parse_events,
)
from app.core.scalars import write_duration, write_instant
from app.courier import mail, wall, webhooks
from app.courier.sent import Sent as Sent
from app.store import allowances, deliveries, hooks
from app.store.db import Tx
from app.store.deliveries import Delivery as Delivery
from app.store.deliveries import Letter as Letter
from app.store.hooks import Hook as Hook

SECRET_BYTES: Final = 32
REPLAY_MAX: Final = 500
LETTERS_MAX: Final = 500
SHOWN_AGAIN: Final = timedelta(hours=24)
"""A repeat of the request that made a webhook gets the same answer, its secret too, for as long as keys promise."""

_NAMES: Final = {HookKind.WEBHOOK: ("webhook", "webhookId"), HookKind.EMAIL: ("email", "emailId")}


async def create_webhook(
    context: Context, *, url: str, events: Sequence[HookEvent], least: AlertSeverity, key: str | None = None
) -> tuple[Hook, str | None]:
    """Make a webhook and its secret. The secret is shown here only; None once it was rotated, or after a day."""
    wanted, address = parse_events(events), await _reachable(context, url)
    async with context.store.owned(context.owner_id) as tx:
        stored = await once.begin(context, tx, key, "webhookCreate", (address, wanted, least))
        if stored:
            hook = await _require(context, tx, HookKind.WEBHOOK, stored)
            shown = hook.previous_secret is None and context.wall - hook.created_at < SHOWN_AGAIN
            return hook, hook.secret if shown else None
        hook = await _create(context, tx, HookKind.WEBHOOK, address, wanted, least, _new_secret())
        await once.finish(context, tx, key, hook.id)
    return hook, hook.secret


async def create_email(
    context: Context, *, address: str, events: Sequence[HookEvent], least: AlertSeverity, key: str | None = None
) -> Hook:
    """Make an e-mail subscription and send its code; nothing else is sent before the code is confirmed."""
    wanted, mailbox = parse_events(events), _mailbox(context, address)
    async with context.store.owned(context.owner_id) as tx:
        stored = await once.begin(context, tx, key, "emailCreate", (mailbox, wanted, least))
        if stored:
            return await _require(context, tx, HookKind.EMAIL, stored)
        hook = await _create(context, tx, HookKind.EMAIL, mailbox, wanted, least, "")
        await _send_code(context, tx, hook)
        await once.finish(context, tx, key, hook.id)
    await context.bus.nudge("hook", [context.owner_id])
    return hook


async def update_webhook(
    context: Context,
    hook_id: str,
    *,
    url: str | None = None,
    events: Sequence[HookEvent] | None = None,
    least: AlertSeverity | None = None,
    enabled: bool | None = None,
) -> Hook:
    """Change a webhook; what is None stays. What waits goes to the new URL."""
    async with context.store.owned(context.owner_id) as tx:
        await _require(context, tx, HookKind.WEBHOOK, hook_id)  # before anybody's name is looked up
    address = None if url is None else await _reachable(context, url)
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, HookKind.WEBHOOK, hook_id)
        await _change(context, tx, hook, address, events, least, enabled)
        changed = await _require(context, tx, HookKind.WEBHOOK, hook_id)
    await context.bus.nudge("hook", [context.owner_id])
    return changed


async def update_email(
    context: Context,
    hook_id: str,
    *,
    address: str | None = None,
    events: Sequence[HookEvent] | None = None,
    least: AlertSeverity | None = None,
    enabled: bool | None = None,
) -> Hook:
    """Change an e-mail subscription; what is None stays.

    An address that is new, or not confirmed yet, gets a code, and what waited is cancelled.
    """
    mailbox = None if address is None else _mailbox(context, address)
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, HookKind.EMAIL, hook_id)
        await _change(context, tx, hook, mailbox, events, least, enabled)
        if mailbox and (mailbox != hook.address or not hook.confirmed_at):
            await hooks.unconfirm(context.owner_id, tx, hook.row_id)
            await hooks.cancel_pending(context.owner_id, tx, hook.row_id, context.wall)
            await _send_code(context, tx, hook)
        changed = await _require(context, tx, HookKind.EMAIL, hook_id)
    await context.bus.nudge("hook", [context.owner_id])
    return changed


async def confirm_email(context: Context, hook_id: str, code: str) -> Hook:
    """Confirm a mailbox by the code that was sent to it. A wrong code counts, also when the caller is told so."""
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, HookKind.EMAIL, hook_id)
        if hook.confirmed_at:
            return hook
        done, left = await hooks.try_code(context.owner_id, tx, hook.row_id, digest_of(code), context.wall)
        hook = await _require(context, tx, HookKind.EMAIL, hook_id)
    if not done:
        advice = f"{left} of {CODE_TRIES} tries are left" if left else "no tries are left"
        raise InvalidInput(
            f"the code is not the one that was sent in the last 24 hours; {advice}; emailUpdate with the address "
            "sends a new one",
            ["code"],
        )
    return hook


async def rotate_secret(context: Context, hook_id: str) -> tuple[Hook, str]:
    """Give a webhook a new secret, shown here only; the one of before signs beside it for a day."""
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, HookKind.WEBHOOK, hook_id)
        await hooks.rotate_secret(context.owner_id, tx, hook.row_id, _new_secret(), context.wall)
        rotated = await _require(context, tx, HookKind.WEBHOOK, hook_id)
    return rotated, rotated.secret


async def delete(context: Context, kind: HookKind, hook_id: str) -> Hook:
    """Delete a hook and cancel what is pending."""
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, kind, hook_id)
        await hooks.delete_hook(context.owner_id, tx, hook.row_id, context.wall)
    return hook


async def test_webhook(context: Context, hook_id: str, event: HookEvent) -> Sent:
    """Send a sample at once, whatever the webhook takes; it is no event and is not stored."""
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, HookKind.WEBHOOK, hook_id)
        await _allow(context, tx, "samples", SAMPLES_MAX, SAMPLES_WITHIN_S)
    return await webhooks.send(
        hook.address,
        message_id=context.new_id(ids.DELIVERY),
        at=context.wall,
        secrets=hook.secrets(context.wall),
        body=notices.write(sample(event), HookKind.WEBHOOK).encode(),
        loopback=context.settings.webhook_loopback,
    )


async def test_email(context: Context, hook_id: str, event: HookEvent) -> Sent:
    """Send a sample at once to a mailbox that is confirmed."""
    async with context.store.owned(context.owner_id) as tx:
        hook = await _require(context, tx, HookKind.EMAIL, hook_id)
    if not hook.confirmed_at:
        message = "the address is not confirmed; call emailConfirm with the code that was sent to it"
        raise InvalidState(message, "UNCONFIRMED", ["emailId"])
    async with context.store.owned(context.owner_id) as tx:
        await _allow(context, tx, "samples", SAMPLES_MAX, SAMPLES_WITHIN_S)
    payload = notices.write(sample(event), HookKind.EMAIL)
    return await send_mail(context, hook.address, context.new_id(ids.DELIVERY), payload)


async def page(context: Context, kind: HookKind, first: int, after: str | None) -> Page[Hook]:
    """List the caller's hooks of one kind, oldest first."""
    last = key_of(after, id_of(hooks.PREFIX[kind]))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await hooks.load_hooks(context.owner_id, tx, kind, first + 1, last)
    return page_of(found, first, lambda hook: hook.id)


async def deliveries_page(
    context: Context, hook: Hook, first: int, after: str | None, statuses: Sequence[DeliveryStatus] | None
) -> Page[Delivery]:
    """List what went or goes to a hook, newest first."""
    before = key_of(after, id_of(ids.DELIVERY))
    async with context.store.owned(context.owner_id, reading=True) as tx:
        found = await deliveries.load_deliveries(
            context.owner_id, tx, hook.row_id, first + 1, statuses=statuses, before=before
        )
    return page_of(found, first, lambda delivery: delivery.id)


async def replay(context: Context, delivery_ids: Sequence[str] | None, hook_id: str | None) -> int:
    """Make dead deliveries due again: those named, or all of one hook. Return how many; the others stay as they are."""
    if (delivery_ids is None) == (hook_id is None):
        raise Required("give either deliveryIds or hookId", ["deliveryIds"])
    if delivery_ids is not None and len(delivery_ids) > REPLAY_MAX:
        raise LimitExceeded(f"there are {len(delivery_ids)} items; at most {REPLAY_MAX} are allowed", ["deliveryIds"])
    async with context.store.owned(context.owner_id) as tx:
        row_id = None if hook_id is None else await _row_of_either(context, tx, hook_id)
        missing = await deliveries.missing_deliveries(context.owner_id, tx, delivery_ids or [])
        for place, delivery_id in enumerate(delivery_ids or []):
            if delivery_id in missing:
                raise NotFound("delivery", delivery_id, ["deliveryIds", place])
        count = await deliveries.replay_deliveries(
            context.owner_id, tx, context.wall, delivery_ids=delivery_ids, hook_row_id=row_id
        )
    await context.bus.nudge("hook", [context.owner_id])
    return count


async def letters(context: Context) -> list[Letter]:
    """Return the caller's dead deliveries, newest first, at most 500."""
    async with context.store.owned(context.owner_id, reading=True) as tx:
        return await deliveries.load_dead(context.owner_id, tx, LETTERS_MAX)


def written(letter: Letter) -> str:
    """Write a dead delivery as one line."""
    dead = letter.delivery
    when = write_instant(dead.last_attempt_at) if dead.last_attempt_at else ""
    what = dead.event.value if dead.event else "code"
    return f"{dead.id}  {when}  {what}  {letter.address}  after {dead.attempts} tries: {dead.last_error}"


async def replay_all(context: Context) -> int:
    """Make all dead deliveries of the caller due again, and return how many."""
    async with context.store.owned(context.owner_id) as tx:
        count = await deliveries.replay_deliveries(context.owner_id, tx, context.wall)
    await context.bus.nudge("hook", [context.owner_id])
    return count


async def _create(
    context: Context,
    tx: Tx,
    kind: HookKind,
    address: str,
    events: Sequence[HookEvent],
    least: AlertSeverity,
    secret: str,
) -> Hook:
    count = await hooks.take_turn(context.owner_id, tx)
    if count >= HOOKS_MAX:
        raise LimitExceeded(f"there are {count} webhooks and e-mails already; at most {HOOKS_MAX} are allowed")
    return await hooks.create_hook(
        context.owner_id,
        tx,
        new_uuid(),
        kind=kind,
        address=address,
        events=events,
        least=least,
        secret=secret,
        now=context.wall,
    )


async def _send_code(context: Context, tx: Tx, hook: Hook) -> None:
    """Let a code be sent; not too many, as nobody has asked for them at the other end."""
    await _allow(context, tx, "codes", CODES_MAX, CODES_WITHIN_S)
    await deliveries.add_code(context.owner_id, tx, hook.row_id, new_uuid(), context.wall)


async def _allow(context: Context, tx: Tx, what: str, most: int, within_s: int) -> None:
    within = timedelta(seconds=within_s)
    again = await allowances.take(context.owner_id, tx, what, most, within, context.wall)
    if again:
        when = write_instant(again.replace(microsecond=0) + timedelta(seconds=1))
        raise LimitExceeded(
            f"{most} {what} were sent within {write_duration(within_s)}, which is the most; try again at {when}"
        )


async def _change(
    context: Context,
    tx: Tx,
    hook: Hook,
    address: str | None,
    events: Sequence[HookEvent] | None,
    least: AlertSeverity | None,
    enabled: bool | None,
) -> None:
    wanted = hook.events if events is None else parse_events(events)
    await hooks.save_hook(
        context.owner_id, tx, hook.row_id, address=address or hook.address, events=wanted, least=least or hook.least
    )
    if enabled and not hook.enabled:
        await hooks.enable_hook(context.owner_id, tx, hook.row_id, context.wall)
    if enabled is False and hook.enabled:
        await hooks.disable_hook(context.owner_id, tx, hook.row_id, "disabled by its owner")


async def _require(context: Context, tx: Tx, kind: HookKind, hook_id: str) -> Hook:
    hook = await hooks.find_hook(context.owner_id, tx, kind, hook_id, lock=True)
    if hook is None:
        what, field = _NAMES[kind]
        raise NotFound(what, hook_id, [field])
    return hook


async def _row_of_either(context: Context, tx: Tx, hook_id: str) -> int:
    for kind in HookKind:
        if hook := await hooks.find_hook(context.owner_id, tx, kind, hook_id, lock=True):
            return hook.row_id
    raise NotFound("hook", hook_id, ["hookId"])


async def _reachable(context: Context, url: str) -> str:
    """Return a URL in its normal form; refuse one that cannot be reached from here, or must not be."""
    address = wall.check_url(url, loopback=context.settings.webhook_loopback)
    await wall.resolve(address, loopback=context.settings.webhook_loopback)
    return address


def _mailbox(context: Context, address: str) -> str:
    mailbox = mail.check_address(address)
    if not context.settings.smtp_url or not context.settings.mail_from:
        raise InvalidInput(NO_MAIL, ["address"])
    return mailbox


def _new_secret() -> str:
    return webhooks.new_secret(secrets.token_bytes(SECRET_BYTES))
