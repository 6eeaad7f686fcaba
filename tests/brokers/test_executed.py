"""Plans worked to their end by the brokers as they are: on paper, and by hand."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest

from app.actions import approving, executing, plans, portfolios, recording
from app.actions.brokers import brokers_of
from app.context import Context, Services
from app.core.costs import Tier
from app.core.manual import FillDraft, OrderDraft
from app.core.optimize.allocate import PlanScope
from app.core.order_values import BrokerKind, Order, OrderStatus
from app.core.plan import PlanRequest, PlanStatus
from app.core.portfolio import Account, AssetClass, Broker
from app.embedded import Endpoints
from app.store import brokers, executions
from app.store.plan_reading import StoredPlan
from tests.builders import AS_OF, asset, snapshot
from tests.store.world import World
from tests.support import enter, stand

NORDIC = Broker("Nordic", "USD", fees={AssetClass.STOCK: (Tier(fixed=Decimal(1)),)})


@pytest.fixture
async def alice(services: Services) -> Context:
    return await enter(services, "alice")


@pytest.fixture
async def world(services: Services, database: Endpoints, alice: Context) -> World:
    return World(services.store, database, alice.owner_id)


async def approved(world: World, alice: Context, execution: BrokerKind, broker: str = "") -> StoredPlan:
    """Approve a plan that sells 2 AAPL at 150 and buys 6 BND at 50: from 90 and 10 to 60 and 40 percent of 1,000."""
    whole = [asset("AAPL", step="1"), asset("BND", step="1")]
    held = "6 AAPL {150 USD 2024-01-05} @ 150, 2 BND {50 USD 2024-01-05} @ 50"
    loaded = await world.keep(snapshot(held, {"AAPL": "60", "BND": "40"}, assets=whole))
    account = loaded.snapshot.portfolio.accounts[0]
    await portfolios.update_account(alice, account.id, broker=broker, execution=execution, expected=None)
    request = PlanRequest(PlanScope.FULL)
    plan = await plans.propose(alice, loaded.row.public_id, request, dry_run=False, wait_s=0, key=None)
    assert plan.status is PlanStatus.READY
    return await approving.approve(alice, plan.id, expected=plan.version, exclude=(), key="approve")


async def work(services: Services, plan: StoredPlan, minutes: float) -> StoredPlan:
    """Let time pass, and have the plan worked as its waker would."""
    await stand(services, AS_OF + timedelta(minutes=minutes))
    alice = await enter(services, "alice")
    async with services.store.owned(alice.owner_id) as tx:
        await executions.hasten(alice.owner_id, tx, [plan.id], now=alice.now, wall=alice.wall)
    await executing.advance(services, alice.owner_id, plan.id, brokers_of(services))
    return await plans.find(alice, plan.id)


async def held(world: World, plan: StoredPlan) -> tuple[Mapping[str, Decimal], Decimal]:
    """Return units by symbol, and cash."""
    found = await world.find(plan.portfolio_id)
    account: Account = found.snapshot.portfolio.accounts[0]
    units: dict[str, Decimal] = {}
    for lot in account.lots:
        symbol = found.snapshot.market.assets[lot.asset_id].symbol
        units[symbol] = units.get(symbol, Decimal(0)) + lot.quantity
    return units, account.cash.get("USD", Decimal(0))


def order_of(plan: StoredPlan, symbol: str) -> Order:
    return next(order for order in plan.orders if order.asset.symbol == symbol)


async def test_plan_is_completed_on_paper_with_the_fees_of_the_accounts_broker(
    services: Services, world: World, alice: Context
) -> None:
    async with services.store.shared() as tx:
        await brokers.save_broker(tx, NORDIC, AS_OF)
    plan = await approved(world, alice, BrokerKind.PAPER, "Nordic")
    done = await work(services, plan, 1)
    assert done.status is PlanStatus.COMPLETED
    assert {(order.asset.symbol, order.status, order.filled, order.fees) for order in done.orders} == {
        ("AAPL", OrderStatus.FILLED, Decimal(2), Decimal(1)),
        ("BND", OrderStatus.FILLED, Decimal(5), Decimal(1)),  # the sixth is not paid for: 298 are left after two fees
    }
    assert await held(world, done) == ({"AAPL": Decimal(4), "BND": Decimal(7)}, Decimal(48))


async def test_plan_is_worked_by_hand_and_what_is_not_done_remains(
    services: Services, world: World, alice: Context
) -> None:
    plan = await approved(world, alice, BrokerKind.MANUAL)
    shown = await work(services, plan, 1)
    sale = order_of(shown, "AAPL")
    assert (sale.status, sale.message) == (OrderStatus.WORKING, "")
    assert order_of(shown, "BND").status is OrderStatus.PENDING
    sold = OrderDraft(sale.id, (FillDraft("T-1", Decimal(2), Decimal("151"), Decimal("0.5")),))
    alice = await enter(services, "alice")
    await recording.record(alice, plan.id, [sold], "k1")
    shown = await work(services, plan, 2)
    assert order_of(shown, "AAPL").status is OrderStatus.FILLED
    bought = order_of(shown, "BND")
    assert (bought.status, bought.quantity) == (OrderStatus.WORKING, Decimal(6))
    alice = await enter(services, "alice")
    fill = FillDraft("T-2", Decimal(4), Decimal("50"))
    await recording.record(alice, plan.id, [OrderDraft(bought.id, (fill,), done=True)], "k2")
    done = await work(services, plan, 3)
    assert done.status is PlanStatus.PARTIAL
    assert order_of(done, "BND").status is OrderStatus.CANCELLED
    assert await held(world, done) == ({"AAPL": Decimal(4), "BND": Decimal(6)}, Decimal("101.5"))


async def test_rejected_on_paper_it_ends_in_part(services: Services, world: World, alice: Context) -> None:
    settings = services.settings.model_copy(update={"paper_rejected_percent": Decimal(100)})
    services = Services(settings, services.store, services.bus, services.run)
    plan = await approved(world, alice, BrokerKind.PAPER)
    done = await work(services, plan, 1)
    assert done.status is PlanStatus.PARTIAL
    assert order_of(done, "AAPL").status is OrderStatus.REJECTED
    assert order_of(done, "AAPL").message == "the paper broker's seed rejects it"
    assert await held(world, done) == ({"AAPL": Decimal(6), "BND": Decimal(2)}, Decimal(0))
