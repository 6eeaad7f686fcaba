"""The schema's types of webhooks, e-mail and what is delivered to them."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID, Private

from app.actions import hooks
from app.actions.hooks import Hook
from app.api.paging import After, First, page_info, page_size
from app.api.types import Node, PageInfo
from app.api.types_portfolio import CallerInfo
from app.core.alerts import AlertSeverity
from app.core.hooks import DeliveryStatus, HookEvent

field = strawberry.field

Statuses = Annotated[
    list[DeliveryStatus] | None,
    strawberry.argument(description="Keep only deliveries in these states; all when null."),
]


@strawberry.type(description="One message to one webhook or mailbox.")
class Delivery(Node):
    event: HookEvent | None = field(description="What it tells; null for the code that confirms a mailbox.")
    status: DeliveryStatus = field(description="Where it is in its life.")
    attempts: int = field(description="How often it was tried.")
    created_at: datetime = field(description="When it was written.")
    due_at: datetime | None = field(description="When it is tried next; null when never, or while it waits.")
    last_attempt_at: datetime | None = field(description="When it was last tried.")
    last_status_code: int | None = field(description="What the receiver answered last; null when it did not.")
    last_error: str | None = field(description="Why the last try failed; null when it did not.")

    @classmethod
    def of(cls, delivery: hooks.Delivery) -> "Delivery":
        return cls(
            id=ID(delivery.id),
            event=delivery.event,
            status=delivery.status,
            attempts=delivery.attempts,
            created_at=delivery.created_at,
            due_at=delivery.due_at,
            last_attempt_at=delivery.last_attempt_at,
            last_status_code=delivery.last_status_code,
            last_error=delivery.last_error,
        )


@strawberry.type(description="Page of deliveries, newest first. Delivered ones are kept for 7 days, dead ones for 30.")
class DeliveryConnection:
    nodes: list[Delivery] = field(description="The deliveries.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(description="URL that is told what happens, signed as Standard Webhooks. Its secret is not shown.")
class Webhook(Node):
    hook: Private[Hook]
    url: str = field(description="Where messages are sent.")
    events: list[HookEvent] = field(description="What it is told of.")
    min_severity: AlertSeverity = field(description="Only alerts at least this urgent.")
    enabled: bool = field(description="False while nothing is sent.")
    disabled_reason: str | None = field(description="Why it is disabled; null while it is not.")
    created_at: datetime = field(description="When it was created.")
    last_delivered_at: datetime | None = field(description="When it last took a message.")
    failures: int = field(description="Tries that failed since it last took a message.")
    previous_secret_until: datetime | None = field(
        description="Until when the secret of before the last rotation signs too; null when there was none."
    )

    @classmethod
    def of(cls, hook: Hook) -> "Webhook":
        return cls(
            id=ID(hook.id),
            hook=hook,
            url=hook.address,
            events=list(hook.events),
            min_severity=hook.least,
            enabled=hook.enabled,
            disabled_reason=hook.disabled_reason,
            created_at=hook.created_at,
            last_delivered_at=hook.last_delivered_at,
            failures=hook.failures,
            previous_secret_until=hook.previous_until,
        )

    @field(description="What was or will be sent, newest first.")
    async def deliveries(
        self, info: CallerInfo, first: First = 20, after: After = None, statuses: Statuses = None
    ) -> DeliveryConnection:
        return await _deliveries(info, self.hook, first, after, statuses)


@strawberry.type(description="Page of webhooks, oldest first.")
class WebhookConnection:
    nodes: list[Webhook] = field(description="The webhooks.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(description="Mailbox that is told what happens, once its owner confirmed it.")
class EmailSubscription(Node):
    hook: Private[Hook]
    address: str = field(description="Where messages are sent.")
    events: list[HookEvent] = field(description="What it is told of.")
    min_severity: AlertSeverity = field(description="Only alerts at least this urgent.")
    enabled: bool = field(description="False while nothing is sent.")
    disabled_reason: str | None = field(description="Why it is disabled; null while it is not.")
    confirmed: bool = field(description="True once the code that was sent to it came back.")
    created_at: datetime = field(description="When it was created.")
    last_delivered_at: datetime | None = field(description="When it last took a message.")
    failures: int = field(description="Tries that failed since it last took a message.")

    @classmethod
    def of(cls, hook: Hook) -> "EmailSubscription":
        return cls(
            id=ID(hook.id),
            hook=hook,
            address=hook.address,
            events=list(hook.events),
            min_severity=hook.least,
            enabled=hook.enabled,
            disabled_reason=hook.disabled_reason,
            confirmed=hook.confirmed_at is not None,
            created_at=hook.created_at,
            last_delivered_at=hook.last_delivered_at,
            failures=hook.failures,
        )

    @field(description="What was or will be sent, newest first.")
    async def deliveries(
        self, info: CallerInfo, first: First = 20, after: After = None, statuses: Statuses = None
    ) -> DeliveryConnection:
        return await _deliveries(info, self.hook, first, after, statuses)


@strawberry.type(description="Page of e-mail subscriptions, oldest first.")
class EmailSubscriptionConnection:
    nodes: list[EmailSubscription] = field(description="The e-mail subscriptions.")
    page_info: PageInfo = field(description="Where this page stands.")


async def _deliveries(
    info: CallerInfo, hook: Hook, first: int, after: str | None, statuses: list[DeliveryStatus] | None
) -> DeliveryConnection:
    page = await hooks.deliveries_page(await info.context.context(), hook, page_size(first), after, statuses)
    return DeliveryConnection(nodes=[Delivery.of(one) for one in page.items], page_info=page_info(page))
