"""The schema's inputs of webhooks and e-mail."""

import strawberry
from strawberry import ID

from app.core.alerts import AlertSeverity
from app.core.hooks import HookEvent

field = strawberry.field

EVENTS = "What to be told of; events about alerts bring ALERT_DIGEST with them."
LEAST = "Only alerts at least this urgent."
KEY = "Any text unique to this request; a repeat returns the first result again."


@strawberry.input(description="A webhook to create.")
class WebhookCreateInput:
    url: str = field(description="Where to send: https, and an address that everybody can reach.")
    events: list[HookEvent] = field(description=EVENTS)
    min_severity: AlertSeverity = field(default=AlertSeverity.INFO, description=LEAST)
    idempotency_key: str | None = field(default=None, description=KEY)


@strawberry.input(description="What to change of a webhook; absent fields stay as they are.")
class WebhookUpdateInput:
    webhook_id: ID = field(description="Global id of the webhook.")
    url: str | None = field(default=None, description="New URL; what waits goes there too.")
    events: list[HookEvent] | None = field(default=None, description=EVENTS)
    min_severity: AlertSeverity | None = field(default=None, description=LEAST)
    enabled: bool | None = field(
        default=None, description="False to send nothing; true to send again, what waited meanwhile first."
    )


@strawberry.input(description="Which webhook gets a new secret.")
class WebhookRotateSecretInput:
    webhook_id: ID = field(description="Global id of the webhook.")


@strawberry.input(description="Which webhook to test.")
class WebhookTestInput:
    webhook_id: ID = field(description="Global id of the webhook.")
    event: HookEvent = field(default=HookEvent.ALERT_RAISED, description="What to send a sample of.")


@strawberry.input(description="Which webhook to delete.")
class WebhookDeleteInput:
    webhook_id: ID = field(description="Global id of the webhook.")


@strawberry.input(description="An e-mail subscription to create.")
class EmailCreateInput:
    address: str = field(description="Mailbox; it gets a code, and nothing else before `emailConfirm`.")
    events: list[HookEvent] = field(description=EVENTS)
    min_severity: AlertSeverity = field(default=AlertSeverity.INFO, description=LEAST)
    idempotency_key: str | None = field(default=None, description=KEY)


@strawberry.input(description="The code that was sent to a mailbox.")
class EmailConfirmInput:
    email_id: ID = field(description="Global id of the e-mail subscription.")
    code: str = field(description="The code; capitals and hyphens make no difference.")


@strawberry.input(description="What to change of an e-mail subscription; absent fields stay as they are.")
class EmailUpdateInput:
    email_id: ID = field(description="Global id of the e-mail subscription.")
    address: str | None = field(
        default=None,
        description="Mailbox; one that is new or not confirmed gets a code, and what waited is cancelled.",
    )
    events: list[HookEvent] | None = field(default=None, description=EVENTS)
    min_severity: AlertSeverity | None = field(default=None, description=LEAST)
    enabled: bool | None = field(
        default=None, description="False to send nothing; true to send again, what waited meanwhile first."
    )


@strawberry.input(description="Which e-mail subscription to test.")
class EmailTestInput:
    email_id: ID = field(description="Global id of the e-mail subscription.")
    event: HookEvent = field(default=HookEvent.ALERT_RAISED, description="What to send a sample of.")


@strawberry.input(description="Which e-mail subscription to delete.")
class EmailDeleteInput:
    email_id: ID = field(description="Global id of the e-mail subscription.")


@strawberry.input(description="Which dead deliveries to send again: give either of the two.")
class DeliveriesReplayInput:
    delivery_ids: list[ID] | None = field(default=None, description="Global ids of deliveries, at most 500.")
    hook_id: ID | None = field(default=None, description="A webhook or e-mail subscription: all of its dead ones.")
