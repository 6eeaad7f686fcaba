"""What a person can say of orders worked by hand."""

from typing import Annotated

import strawberry

from app.actions import recording, settling
from app.api.errors import UserError, payload
from app.api.inputs_fills import OrderFillsRecordInput, OrderSettleInput
from app.api.types_plan import RebalancePlan, plan_of
from app.api.types_portfolio import CallerInfo

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of recording fills.")
class OrderFillsRecordPayload:
    plan: RebalancePlan | None = field(
        description="The plan; its orders show the fills once they are booked, which `planUpdated` tells."
    )
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of settling an order.")
class OrderSettlePayload:
    plan: RebalancePlan | None = field(description="The plan with the order as it ended; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class FillsMutation:
    @field(
        description="Record what became of orders that a person works (MANUAL), all or none. Fills are facts, kept for "
        "good, and are booked at once: lots, cash and transactions. A fill that was recorded before, in the same "
        "words, is passed over; one beyond the order is a LimitExceeded error, one of an order that waits or has "
        "ended an InvalidStateError."
    )
    async def order_fills_record(
        self,
        info: CallerInfo,
        input: Annotated[OrderFillsRecordInput, strawberry.argument(description="What to record.")],
    ) -> OrderFillsRecordPayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            plan = await recording.record(context, input.plan_id, input.drafts(), input.idempotency_key)
            return {"plan": plan_of(plan)}

        return await payload(OrderFillsRecordPayload, work())

    @field(
        description="Say what became of an order that is UNKNOWN, as its broker shows it to you: what was filled, and "
        "that nothing more comes. The fills are booked, and the order is CANCELLED, or FILLED when that is all of it. "
        "Its broker is neither asked about it nor sent it again, and what was left of its trade is not tried. Any "
        "other order is an InvalidStateError."
    )
    async def order_settle(
        self,
        info: CallerInfo,
        input: Annotated[OrderSettleInput, strawberry.argument(description="Which order, and what became of it.")],
    ) -> OrderSettlePayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            plan = await settling.settle(context, input.plan_id, input.to_core(), input.idempotency_key)
            return {"plan": plan_of(plan)}

        return await payload(OrderSettlePayload, work())
