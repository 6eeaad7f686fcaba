"""What can be changed of webhooks and e-mail."""

from typing import Annotated

import strawberry
from strawberry import ID

from app.actions import hooks
from app.api.errors import UserError, payload
from app.api.inputs_hook import (
    DeliveriesReplayInput,
    EmailConfirmInput,
    EmailCreateInput,
    EmailDeleteInput,
    EmailTestInput,
    EmailUpdateInput,
    WebhookCreateInput,
    WebhookDeleteInput,
    WebhookRotateSecretInput,
    WebhookTestInput,
    WebhookUpdateInput,
)
from app.api.types_hook import EmailSubscription, Webhook
from app.api.types_portfolio import CallerInfo
from app.core.hooks import HookKind

field = strawberry.field

ERRORS = "What was wrong; empty on success."
STATUS = "What the receiver answered; null when it did not."
LATENCY = "How long it took, in milliseconds; null when there are errors."
SIGNS = "Signs its messages from now on; shown here only, so keep it. Null when there are errors."
TROUBLE = "Why it did not arrive; null when it did."


@strawberry.type(description="Result of creating a webhook.")
class WebhookCreatePayload:
    webhook: Webhook | None = field(description="The new webhook; null when there are errors.")
    secret: str | None = field(description=SIGNS)
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of changing a webhook.")
class WebhookUpdatePayload:
    webhook: Webhook | None = field(description="The changed webhook; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of giving a webhook a new secret.")
class WebhookRotateSecretPayload:
    webhook: Webhook | None = field(description="The webhook; null when there are errors.")
    secret: str | None = field(description=SIGNS)
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="What became of a sample.")
class WebhookTestPayload:
    status_code: int | None = field(description=STATUS)
    latency_ms: int | None = field(description=LATENCY)
    error: str | None = field(description=TROUBLE)
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of deleting a webhook.")
class WebhookDeletePayload:
    deleted_id: ID | None = field(description="The id that is gone; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of creating an e-mail subscription.")
class EmailCreatePayload:
    email: EmailSubscription | None = field(
        description="The new subscription, not confirmed yet; null when there are errors."
    )
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of confirming a mailbox.")
class EmailConfirmPayload:
    email: EmailSubscription | None = field(description="The confirmed subscription; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of changing an e-mail subscription.")
class EmailUpdatePayload:
    email: EmailSubscription | None = field(description="The changed subscription; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="What became of a sample.")
class EmailTestPayload:
    status_code: int | None = field(description="Reply code of the mail server; null when there was none.")
    latency_ms: int | None = field(description=LATENCY)
    error: str | None = field(description=TROUBLE)
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of deleting an e-mail subscription.")
class EmailDeletePayload:
    deleted_id: ID | None = field(description="The id that is gone; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of sending dead deliveries again.")
class DeliveriesReplayPayload:
    replayed: int | None = field(
        description="How many are due again; those that are not dead stay as they are. Null when there are errors."
    )
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class HookMutation:
    @field(description="Create a webhook. At most 20 webhooks and e-mail subscriptions are allowed.")
    async def webhook_create(
        self, info: CallerInfo, input: Annotated[WebhookCreateInput, strawberry.argument(description="What to create.")]
    ) -> WebhookCreatePayload:
        async def work() -> dict[str, object]:
            webhook, secret = await hooks.create_webhook(
                await info.context.context(),
                url=input.url,
                events=input.events,
                least=input.min_severity,
                key=input.idempotency_key,
            )
            return {"webhook": Webhook.of(webhook), "secret": secret}

        return await payload(WebhookCreatePayload, work())

    @field(description="Change a webhook, or enable it again.")
    async def webhook_update(
        self, info: CallerInfo, input: Annotated[WebhookUpdateInput, strawberry.argument(description="What to change.")]
    ) -> WebhookUpdatePayload:
        async def work() -> dict[str, object]:
            changed = await hooks.update_webhook(
                await info.context.context(),
                input.webhook_id,
                url=input.url,
                events=input.events,
                least=input.min_severity,
                enabled=input.enabled,
            )
            return {"webhook": Webhook.of(changed)}

        return await payload(WebhookUpdatePayload, work())

    @field(description="Give a webhook a new secret. For 24 hours messages are signed with the one of before, too.")
    async def webhook_rotate_secret(
        self,
        info: CallerInfo,
        input: Annotated[WebhookRotateSecretInput, strawberry.argument(description="Which webhook.")],
    ) -> WebhookRotateSecretPayload:
        async def work() -> dict[str, object]:
            webhook, secret = await hooks.rotate_secret(await info.context.context(), input.webhook_id)
            return {"webhook": Webhook.of(webhook), "secret": secret}

        return await payload(WebhookRotateSecretPayload, work())

    @field(
        description="Send a sample to a webhook at once, enabled or not; it is tried once and not stored. At most 10 "
        "samples a minute are sent, to webhooks and mailboxes together."
    )
    async def webhook_test(
        self,
        info: CallerInfo,
        input: Annotated[WebhookTestInput, strawberry.argument(description="Which webhook, and what.")],
    ) -> WebhookTestPayload:
        async def work() -> dict[str, object]:
            sent = await hooks.test_webhook(await info.context.context(), input.webhook_id, input.event)
            return {"status_code": sent.status_code, "latency_ms": sent.latency_ms, "error": sent.error}

        return await payload(WebhookTestPayload, work())

    @field(description="Delete a webhook; what is pending is cancelled.")
    async def webhook_delete(
        self, info: CallerInfo, input: Annotated[WebhookDeleteInput, strawberry.argument(description="Which webhook.")]
    ) -> WebhookDeletePayload:
        async def work() -> dict[str, object]:
            gone = await hooks.delete(await info.context.context(), HookKind.WEBHOOK, input.webhook_id)
            return {"deleted_id": ID(gone.id)}

        return await payload(WebhookDeletePayload, work())

    @field(description="Create an e-mail subscription, and send its mailbox a code; at most 6 codes an hour.")
    async def email_create(
        self, info: CallerInfo, input: Annotated[EmailCreateInput, strawberry.argument(description="What to create.")]
    ) -> EmailCreatePayload:
        async def work() -> dict[str, object]:
            email = await hooks.create_email(
                await info.context.context(),
                address=input.address,
                events=input.events,
                least=input.min_severity,
                key=input.idempotency_key,
            )
            return {"email": EmailSubscription.of(email)}

        return await payload(EmailCreatePayload, work())

    @field(description="Confirm a mailbox by its code, which is good for 24 hours and 5 tries.")
    async def email_confirm(
        self, info: CallerInfo, input: Annotated[EmailConfirmInput, strawberry.argument(description="The code.")]
    ) -> EmailConfirmPayload:
        async def work() -> dict[str, object]:
            email = await hooks.confirm_email(await info.context.context(), input.email_id, input.code)
            return {"email": EmailSubscription.of(email)}

        return await payload(EmailConfirmPayload, work())

    @field(
        description="Change an e-mail subscription, enable it again, or ask for a new code; at most 6 codes an hour."
    )
    async def email_update(
        self, info: CallerInfo, input: Annotated[EmailUpdateInput, strawberry.argument(description="What to change.")]
    ) -> EmailUpdatePayload:
        async def work() -> dict[str, object]:
            changed = await hooks.update_email(
                await info.context.context(),
                input.email_id,
                address=input.address,
                events=input.events,
                least=input.min_severity,
                enabled=input.enabled,
            )
            return {"email": EmailSubscription.of(changed)}

        return await payload(EmailUpdatePayload, work())

    @field(
        description="Send a sample to a confirmed mailbox at once; it is tried once and not stored. At most 10 samples "
        "a minute are sent, to webhooks and mailboxes together."
    )
    async def email_test(
        self,
        info: CallerInfo,
        input: Annotated[EmailTestInput, strawberry.argument(description="Which subscription, and what.")],
    ) -> EmailTestPayload:
        async def work() -> dict[str, object]:
            sent = await hooks.test_email(await info.context.context(), input.email_id, input.event)
            return {"status_code": sent.status_code, "latency_ms": sent.latency_ms, "error": sent.error}

        return await payload(EmailTestPayload, work())

    @field(description="Delete an e-mail subscription; what is pending is cancelled.")
    async def email_delete(
        self,
        info: CallerInfo,
        input: Annotated[EmailDeleteInput, strawberry.argument(description="Which subscription.")],
    ) -> EmailDeletePayload:
        async def work() -> dict[str, object]:
            gone = await hooks.delete(await info.context.context(), HookKind.EMAIL, input.email_id)
            return {"deleted_id": ID(gone.id)}

        return await payload(EmailDeletePayload, work())

    @field(description="Send dead deliveries again, with all their tries and the same ids.")
    async def deliveries_replay(
        self,
        info: CallerInfo,
        input: Annotated[DeliveriesReplayInput, strawberry.argument(description="Which deliveries.")],
    ) -> DeliveriesReplayPayload:
        async def work() -> dict[str, object]:
            count = await hooks.replay(await info.context.context(), input.delivery_ids, input.hook_id)
            return {"replayed": count}

        return await payload(DeliveriesReplayPayload, work())
