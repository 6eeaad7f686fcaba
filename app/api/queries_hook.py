"""What can be read of webhooks and e-mail."""

import strawberry

from app.actions import hooks
from app.api.paging import After, First, page_info, page_size
from app.api.types_hook import EmailSubscription, EmailSubscriptionConnection, Webhook, WebhookConnection
from app.api.types_portfolio import CallerInfo
from app.core.hooks import HookKind


@strawberry.type
class HookQuery:
    @strawberry.field(description="The caller's webhooks, oldest first.")
    async def webhooks(self, info: CallerInfo, first: First = 20, after: After = None) -> WebhookConnection:
        page = await hooks.page(await info.context.context(), HookKind.WEBHOOK, page_size(first), after)
        return WebhookConnection(nodes=[Webhook.of(hook) for hook in page.items], page_info=page_info(page))

    @strawberry.field(description="The caller's e-mail subscriptions, oldest first.")
    async def emails(self, info: CallerInfo, first: First = 20, after: After = None) -> EmailSubscriptionConnection:
        page = await hooks.page(await info.context.context(), HookKind.EMAIL, page_size(first), after)
        nodes = [EmailSubscription.of(hook) for hook in page.items]
        return EmailSubscriptionConnection(nodes=nodes, page_info=page_info(page))
