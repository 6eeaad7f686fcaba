"""Blocks, as they can be read."""

from typing import Annotated

import strawberry
from strawberry import ID

from app.actions import blocks
from app.api.paging import After, First, page_info, page_size
from app.api.types_block import Block, BlockConnection
from app.api.types_portfolio import CallerInfo


@strawberry.type
class BlockQuery:
    @strawberry.field(
        description="Blocks of the caller's orders, newest first: orders of plans that were approved in one bulk, put "
        "together by asset."
    )
    async def blocks(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        bulk_id: Annotated[
            ID | None, strawberry.argument(description="Keep only blocks of this bulk; all when null.")
        ] = None,
    ) -> BlockConnection:
        context = await info.context.context()
        page = await blocks.page(context, page_size(first), after, str(bulk_id) if bulk_id is not None else None)
        return BlockConnection(nodes=[Block.of(one) for one in page.items], page_info=page_info(page))
