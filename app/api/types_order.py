"""The schema's types of orders."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry import ID, Info, Private

from app.api.graphql import Caller
from app.api.types import Money, Node, money
from app.api.types_block import Block
from app.core.money import PRICE_PLACES, quotient
from app.core.order_values import BrokerKind, OrderStatus
from app.core.order_values import Order as CoreOrder
from app.core.policy import OrderStyle
from app.core.trades import TradeSide

field = strawberry.field


@strawberry.type(
    description="Order that works a trade of a plan, or a part of it: a slice, or the rest of an order before it."
)
class Order(Node):
    pooled: Private[bool]
    trade_id: ID = field(description="Global id of the trade that it works.")
    slice: int = field(description="Place among the orders of its trade, from 1.")
    client_id: str = field(description="Id under which its broker knows it: made of the plan, the trade and the slice.")
    broker: BrokerKind = field(description="Who works it.")
    broker_order_id: str | None = field(description="The broker's own id of it; null until it has answered.")
    account_id: ID = field(description="Global id of the account it is in.")
    symbol: str = field(description="What is traded.")
    side: TradeSide = field(description="Buy or sell.")
    style: OrderStyle = field(description="How its broker is to work it; a slice of a TWAP is an order with a limit.")
    quantity: Decimal = field(description="Units ordered.")
    limit: Money | None = field(description="Limit price; null for a style without one, and until it is first sent.")
    status: OrderStatus = field(description="Where the order is in its life.")
    filled_quantity: Decimal = field(description="Units that are filled and booked.")
    average_price: Money | None = field(
        description="Mean price of its fills, rounded half-even to 18 decimals; null without any."
    )
    fees: Money = field(description="Fees that its broker has charged so far, in the asset's currency.")
    due_at: datetime = field(description="From when on it may be sent.")
    placed_at: datetime | None = field(description="When it was last sent.")
    ended_at: datetime | None = field(description="When it ended.")
    message: str | None = field(description="What it waits for, why it ended, or what its broker said.")

    @field(
        description="The block that it was put into last, with other orders in the asset; null for one that goes to "
        "its broker by itself, and while it waits to be put into the first."
    )
    async def block(self, info: Info[Caller, None]) -> Block | None:
        found = await info.context.blocks.load(self.client_id) if self.pooled else None
        return Block.of(found) if found else None


def order_of(order: CoreOrder, trade_ids: Mapping[int, str]) -> Order:
    """Return an order as the schema shows it; `trade_ids` are the ids of the plan's trades by their place."""
    currency = order.asset.currency
    mean = quotient(order.filled_value, order.filled, PRICE_PLACES) if order.filled else None
    return Order(
        id=ID(order.id),
        pooled=order.pool is not None,
        trade_id=ID(trade_ids[order.leg]),
        slice=order.slice,
        client_id=order.client_id,
        broker=order.broker,
        broker_order_id=order.broker_order_id,
        account_id=ID(order.account_id),
        symbol=order.asset.symbol,
        side=order.side,
        style=order.style,
        quantity=order.quantity,
        limit=None if order.limit is None else money(order.limit, currency),
        status=order.status,
        filled_quantity=order.filled,
        average_price=None if mean is None else money(mean, currency),
        fees=money(order.fees, currency),
        due_at=order.due_at,
        placed_at=order.placed_at,
        ended_at=order.ended_at,
        message=order.message or None,
    )
