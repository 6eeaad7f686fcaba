"""What a person can say of blocks."""

from typing import Annotated

import strawberry

from app.actions import blocks, settling
from app.api.errors import UserError, payload
from app.api.inputs_fills import BlockFillsRecordInput, BlockSettleInput
from app.api.types_block import Block
from app.api.types_portfolio import CallerInfo

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of recording fills of blocks.")
class BlockFillsRecordPayload:
    blocks: list[Block] | None = field(
        description="The blocks that were named, which show the fills once a worker has shared these out; null when "
        "there are errors."
    )
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of settling a block.")
class BlockSettlePayload:
    block: Block | None = field(description="The block as it ended; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class BlockMutation:
    @field(
        description="Record what became of blocks that a person works (MANUAL), all or none; by the rules of "
        "`orderFillsRecord`. What was filled is shared out among their orders pro rata, and booked at once. An order "
        "that is in a block cannot be recorded by itself."
    )
    async def block_fills_record(
        self,
        info: CallerInfo,
        input: Annotated[BlockFillsRecordInput, strawberry.argument(description="What to record.")],
    ) -> BlockFillsRecordPayload:
        async def work() -> dict[str, object]:
            recorded = await blocks.record(await info.context.context(), input.drafts(), input.idempotency_key)
            return {"blocks": [Block.of(block) for block in recorded]}

        return await payload(BlockFillsRecordPayload, work())

    @field(
        description="Say what became of a block that is UNKNOWN, as its broker shows it to you, by the rules of "
        "`orderSettle`. What was filled is shared out among its orders, which end with it."
    )
    async def block_settle(
        self,
        info: CallerInfo,
        input: Annotated[BlockSettleInput, strawberry.argument(description="Which block, and what became of it.")],
    ) -> BlockSettlePayload:
        async def work() -> dict[str, object]:
            settled = await settling.settle_block(await info.context.context(), input.to_core(), input.idempotency_key)
            return {"block": Block.of(settled)}

        return await payload(BlockSettlePayload, work())
