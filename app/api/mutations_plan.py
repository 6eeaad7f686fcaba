"""What people decide about plans."""

from typing import Annotated

import strawberry

from app.actions import approving
from app.api.errors import UserError, payload
from app.api.inputs_plan import PlanApproveInput, PlanCancelInput, PlanRejectInput
from app.api.types_plan import RebalancePlan, plan_of
from app.api.types_portfolio import CallerInfo

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of approving a plan.")
class PlanApprovePayload:
    plan: RebalancePlan | None = field(description="The plan, APPROVED or further on; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of rejecting a plan.")
class PlanRejectPayload:
    plan: RebalancePlan | None = field(description="The plan, REJECTED; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of cancelling a plan.")
class PlanCancelPayload:
    plan: RebalancePlan | None = field(
        description="The plan, CANCELLED, or EXECUTING until its open orders are cancelled; null when there are errors."
    )
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class PlanMutation:
    @field(
        description="Approve a plan that is READY, and have it executed. Single trades may be left out: the rest is "
        "checked again and counted anew. A plan that changed since `expectedVersion` is a VersionConflictError; any "
        "other than a READY one is an InvalidStateError, and so is one whose time is over or a price of which moved by "
        "more than the policy's `priceMoveLimit`: it is EXPIRED then. With the policy's `fourEyes`, who asked for it "
        "may not approve it (FORBIDDEN); what the monitor asked for, anybody may."
    )
    async def plan_approve(
        self,
        info: CallerInfo,
        input: Annotated[PlanApproveInput, strawberry.argument(description="Which plan, and what of it.")],
    ) -> PlanApprovePayload:
        async def work() -> dict[str, object]:
            approved = await approving.approve(
                await info.context.context(),
                input.plan_id,
                expected=input.expected_version,
                exclude=input.checked_exclude(),
                key=input.idempotency_key,
            )
            return {"plan": plan_of(approved)}

        return await payload(PlanApprovePayload, work())

    @field(description="Reject a plan that is READY. One that is rejected stays so; any other is an InvalidStateError.")
    async def plan_reject(
        self,
        info: CallerInfo,
        input: Annotated[PlanRejectInput, strawberry.argument(description="Which plan, and why.")],
    ) -> PlanRejectPayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            rejected = await approving.reject(context, input.plan_id, input.checked_reason(), input.expected_version)
            return {"plan": plan_of(rejected)}

        return await payload(PlanRejectPayload, work())

    @field(
        description="Cancel a plan that is QUEUED, COMPUTING, APPROVED or EXECUTING. The search for it is stopped; its "
        "open orders are cancelled, and it is EXECUTING until that is confirmed; what is filled stays so. One that is "
        "cancelled stays so; any other is an InvalidStateError."
    )
    async def plan_cancel(
        self,
        info: CallerInfo,
        input: Annotated[PlanCancelInput, strawberry.argument(description="Which plan, and why.")],
    ) -> PlanCancelPayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            return {"plan": plan_of(await approving.cancel(context, input.plan_id, input.checked_reason()))}

        return await payload(PlanCancelPayload, work())
