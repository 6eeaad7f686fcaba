"""Bulks: what people begin for many portfolios at once, and what can be read of it."""

from collections.abc import AsyncIterator
from typing import Annotated

import strawberry
from strawberry import ID

from app.actions import bulks
from app.api.errors import UserError, payload
from app.api.inputs_bulk import BulkApproveInput, BulkCancelInput, BulkProposeInput
from app.api.paging import After, First, page_info, page_size
from app.api.types_bulk import Bulk, BulkConnection
from app.api.types_portfolio import CallerInfo
from app.context import Context
from app.core.bulks import BulkDraft
from app.core.errors import NotFound

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of proposing plans for many portfolios.")
class BulkProposePayload:
    bulk: Bulk | None = field(description="The bulk; null when there are errors. A dry run's id is nobody's.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of approving many plans.")
class BulkApprovePayload:
    bulk: Bulk | None = field(description="The bulk; null when there are errors. A dry run's id is nobody's.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of cancelling a bulk.")
class BulkCancelPayload:
    bulk: Bulk | None = field(description="The bulk, CANCELLED; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class BulkQuery:
    @field(description="One bulk; null when it does not exist or is not yours.")
    async def bulk(
        self, info: CallerInfo, id: Annotated[ID, strawberry.argument(description="Global id of the bulk.")]
    ) -> Bulk | None:
        try:
            return Bulk.of(await bulks.find(await info.context.context(), id))
        except NotFound:
            return None

    @field(description="The bulks that the caller began, newest first.")
    async def bulks(self, info: CallerInfo, first: First = 20, after: After = None) -> BulkConnection:
        page = await bulks.page(await info.context.context(), page_size(first), after)
        return BulkConnection(nodes=[Bulk.of(one) for one in page.items], page_info=page_info(page))


@strawberry.type
class BulkMutation:
    @field(
        description="Propose a plan for each of many portfolios, as `rebalancePropose` does for one; workers make "
        "them, and `bulkUpdated` follows. At most 100,000 portfolios. Those of other owners need the role operator."
    )
    async def bulk_propose(
        self,
        info: CallerInfo,
        input: Annotated[BulkProposeInput, strawberry.argument(description="What to propose, and for which.")],
    ) -> BulkProposePayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            draft = input.to_core(context.owner.issuer)
            return {"bulk": await _begun(context, draft, input.idempotency_key, dry_run=input.dry_run)}

        return await payload(BulkProposePayload, work())

    @field(
        description="Approve many plans that are READY, each as `planApprove` does at the version that it has now; "
        "what a rule does not allow is REFUSED, and the others go on. At most 100,000 plans. Those of other owners "
        "need the role operator."
    )
    async def bulk_approve(
        self,
        info: CallerInfo,
        input: Annotated[BulkApproveInput, strawberry.argument(description="Which plans, and how.")],
    ) -> BulkApprovePayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            draft = input.to_core(context.owner.issuer)
            return {"bulk": await _begun(context, draft, input.idempotency_key, dry_run=input.dry_run)}

        return await payload(BulkApprovePayload, work())

    @field(
        description="Cancel a bulk: portfolios that wait are left alone, and plans of it that are being made are "
        "cancelled; those that are made or approved stay. One that is cancelled stays so; one that is done is an "
        "InvalidStateError."
    )
    async def bulk_cancel(
        self, info: CallerInfo, input: Annotated[BulkCancelInput, strawberry.argument(description="Which bulk.")]
    ) -> BulkCancelPayload:
        async def work() -> dict[str, object]:
            return {"bulk": Bulk.of(await bulks.cancel(await info.context.context(), input.bulk_id))}

        return await payload(BulkCancelPayload, work())


async def _begun(context: Context, draft: BulkDraft, key: str, *, dry_run: bool) -> Bulk:
    if dry_run:
        return Bulk.of(await bulks.preview(context, draft), stored=False)
    return Bulk.of(await bulks.begin(context, draft, key))


@strawberry.type
class BulkSubscription:
    @strawberry.subscription(description="A bulk: as it is now, then as it gets further, until it has ended.")
    async def bulk_updated(
        self, info: CallerInfo, bulk_id: Annotated[ID, strawberry.argument(description="Global id of the bulk.")]
    ) -> AsyncIterator[Bulk]:
        context = await info.context.context()
        async for bulk in bulks.stream(context, info.context.hub, bulk_id):
            info.context.check_token()
            yield Bulk.of(bulk)
