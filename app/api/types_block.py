"""The schema's types of blocks."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry import ID, Info

from app.actions.blocks import Share
from app.api.graphql import Caller
from app.api.paging import After, First, page_info, page_size
from app.api.types import Money, Node, PageInfo, money
from app.core.money import PRICE_PLACES, quotient
from app.core.order_values import Block as CoreBlock
from app.core.order_values import BrokerKind, OrderStatus
from app.core.policy import OrderStyle
from app.core.trades import TradeSide

field = strawberry.field


@strawberry.type(description="Order in a block, and its share of what the block was filled.")
class BlockOrder:
    order_id: ID = field(description="Global id of the order.")
    plan_id: ID = field(description="Global id of its plan.")
    client_id: str = field(description="The order's own client id; its broker only knows that of the block.")
    quantity: Decimal = field(description="Units that it brought into the block.")
    filled_quantity: Decimal = field(description="Units of the block's fills that it was handed out by now.")
    fees: Money = field(description="Its part of the fees, in the asset's currency.")

    @classmethod
    def of(cls, share: Share, currency: str) -> "BlockOrder":
        return cls(
            order_id=ID(share.order_id),
            plan_id=ID(share.plan_id),
            client_id=share.client_id,
            quantity=share.quantity,
            filled_quantity=share.filled,
            fees=money(share.fees, currency),
        )


@strawberry.type(description="Page of orders in a block, in the order in which they share.")
class BlockOrderConnection:
    nodes: list[BlockOrder] = field(description="The orders.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(
    description="Orders in one asset, of portfolios whose plans were approved in one bulk, put together: what their "
    "broker gets instead of them. What is filled of it is shared out pro rata, exact to the asset's step."
)
class Block(Node):
    currency: strawberry.Private[str]
    bulk_id: ID = field(description="Global id of the bulk in which its orders' plans were approved.")
    client_id: str = field(description="Id under which its broker knows it.")
    broker: BrokerKind = field(description="Who works it.")
    broker_order_id: str | None = field(description="The broker's own id of it; null until it has answered.")
    account_id: ID = field(description="Global id of the account of its first order; it is told to the broker.")
    symbol: str = field(description="What is traded.")
    side: TradeSide = field(description="Buy or sell.")
    style: OrderStyle = field(description="How its broker is to work it.")
    quantity: Decimal = field(description="Units ordered: what its orders had left when they were put together.")
    limit: Money | None = field(description="Limit price: the strictest of its orders'; null for a style without one.")
    status: OrderStatus = field(description="Where the block is in its life.")
    filled_quantity: Decimal = field(description="Units that are filled; of these less than a step an order may wait.")
    average_price: Money | None = field(
        description="Mean price of its fills, rounded half-even to 18 decimals; null without any."
    )
    fees: Money = field(description="Fees that its broker has charged so far, in the asset's currency.")
    placed_at: datetime | None = field(description="When it was last sent.")
    ended_at: datetime | None = field(description="When it ended.")
    message: str | None = field(description="Why it ended, or what its broker said.")

    @field(description="The orders in it, in the order in which they share.")
    async def orders(self, info: Info[Caller, None], first: First = 20, after: After = None) -> BlockOrderConnection:
        page = await info.context.block_shares.load((str(self.id), page_size(first), after))
        nodes = [BlockOrder.of(share, self.currency) for share in page.items]
        return BlockOrderConnection(nodes=nodes, page_info=page_info(page))

    @classmethod
    def of(cls, block: CoreBlock) -> "Block":
        currency = block.asset.currency
        mean = quotient(block.filled_value, block.filled, PRICE_PLACES) if block.filled else None
        return cls(
            id=ID(block.id),
            currency=currency,
            bulk_id=ID(block.gathered_in),
            client_id=block.client_id,
            broker=block.broker,
            broker_order_id=block.broker_order_id,
            account_id=ID(block.account_id),
            symbol=block.asset.symbol,
            side=block.side,
            style=block.style,
            quantity=block.quantity,
            limit=None if block.limit is None else money(block.limit, currency),
            status=block.status,
            filled_quantity=block.filled,
            average_price=None if mean is None else money(mean, currency),
            fees=money(block.fees, currency),
            placed_at=block.placed_at,
            ended_at=block.ended_at,
            message=block.message or None,
        )


@strawberry.type(description="Page of blocks, newest first.")
class BlockConnection:
    nodes: list[Block] = field(description="The blocks.")
    page_info: PageInfo = field(description="Where this page stands.")
