"""A plan that is worked to its end: what was filled is booked, and what became of it is kept with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.actions import executing
from app.context import Services
from app.core.money import ZERO
from app.core.order_values import BrokerKind, BrokerOrder, Fill, OrderStatus, Ticket
from app.core.plan import PlanStatus
from app.core.trades import TradeSide
from app.store.plan_reading import load_plan
from tests.builders import AS_OF
from tests.store.booth import Booth, opened
from tests.store.world import World


@dataclass
class Counter:
    """A broker that fills what it is handed at once: sales a dollar below 180, purchases in part and never again."""

    part: Decimal

    async def place(self, ticket: Ticket) -> BrokerOrder:
        sells = ticket.side is TradeSide.SELL
        units = ticket.quantity if sells else self.part
        fill = Fill(f"{ticket.client_id}-1", units, Decimal(179) if sells else Decimal(80), Decimal("0.5"), AS_OF)
        status = OrderStatus.FILLED if units == ticket.quantity else OrderStatus.CANCELLED
        return BrokerOrder("b1", status, (fill,), "" if status is OrderStatus.FILLED else "no more on offer")

    async def cancel(self, ticket: Ticket) -> None:
        raise AssertionError(ticket)

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        raise AssertionError(ticket)

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        return None


async def approved(world: World) -> Booth:
    booth = await opened(world)
    async with world.raw(owner=True) as connection:
        await connection.execute("DELETE FROM orders")
        await connection.execute("UPDATE plans SET status = 'APPROVED', wake_at = $1", AS_OF)
        await connection.execute("UPDATE accounts SET execution = 'PAPER'")
    return booth


async def test_a_plan_ends_with_its_outcome(services: Services, world: World) -> None:
    booth = await approved(world)
    await executing.advance(services, world.owner_id, booth.plan_id, {BrokerKind.PAPER: Counter(Decimal(30))})
    async with world.reading() as tx:
        stored = await load_plan(world.owner_id, tx, booth.plan_id)
    assert stored
    assert stored.status is PlanStatus.PARTIAL
    assert stored.outcome
    assert [(leg.symbol, leg.filled, leg.remaining, leg.why) for leg in stored.outcome.legs] == [
        ("AAPL", Decimal(20), ZERO, ""),
        ("BND", Decimal(30), Decimal(15), "it was cancelled: no more on offer"),
    ]
    assert (stored.outcome.slippage, stored.outcome.fees) == (Decimal(20), Decimal(1))
    assert await booth.cash() == {"USD": Decimal(1179)}  # 3,580 - 0.50 - 2,400 - 0.50
