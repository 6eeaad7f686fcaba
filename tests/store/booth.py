"""A portfolio whose plan is being executed: an order for each trade, and fills that are booked for them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.context import new_uuid
from app.core import ids, past
from app.core import plan as core
from app.core.drift import Snapshot
from app.core.money import plain
from app.core.optimize.allocate import PlanScope
from app.core.order_values import BrokerKind, Fill, Order, OrderStatus, OrderStyle, client_id
from app.core.plan import Plan, PlanRequest
from app.core.policy import Policy
from app.core.tax import TaxFacts
from app.store import booking, neighbours, plans, portfolios
from app.store import past as pasts
from app.store.db import Tx
from app.store.plans import Made
from app.store.reading import Loaded
from tests.builders import AS_OF, asset, snapshot
from tests.store.world import World

FULL = PlanRequest(PlanScope.FULL)
TAXED = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(15))


def fill(number: str, quantity: str, price: str, fee: str = "0", at: datetime = AS_OF) -> Fill:
    return Fill(number, Decimal(quantity), Decimal(price), Decimal(fee), at)


class Booth:
    """A portfolio with a plan that is worked, an order for each leg, and fills that come for them."""

    def __init__(self, world: World, loaded: Loaded, plan: Plan, plan_id: str) -> None:
        self.world, self.loaded, self.plan, self.plan_id = world, loaded, plan, plan_id
        self.orders: dict[str, Order] = {}

    @classmethod
    async def open(cls, world: World, loaded: Loaded, plan: Plan | None = None) -> "Booth":
        done = plan or core.propose(loaded.snapshot, FULL)
        made = Made(done, loaded.row.targets_version or None, "d" * 64, AS_OF + timedelta(days=1), 7, b"inputs")
        async with world.writing() as tx:
            await portfolios.lock_portfolio(world.owner_id, tx, loaded.row.public_id)
            told: dict[str, Any] = {"requested_by": "alice", "now": AS_OF, "new_uuid": new_uuid, "made": made}
            plan_id = await plans.save_plan(world.owner_id, tx, loaded.row.id, FULL, **told)
            await tx.execute("UPDATE plans SET status = 'EXECUTING' WHERE portfolio_id = $1", loaded.row.id)
        booth = cls(world, loaded, done, plan_id)
        for leg, planned in enumerate(done.trades, 1):
            trade = planned.trade
            name = f"{trade.side.value} {trade.asset.symbol}"
            booth.orders[name] = await booth.order(leg, 1, trade.quantity)
        return booth

    async def order(self, leg: int, number: int, quantity: Decimal) -> Order:
        """Write an order of a leg as it is worked."""
        trade, uuid = self.plan.trades[leg - 1].trade, new_uuid()
        order = Order(
            id=ids.encode(ids.ORDER, uuid),
            plan_id=self.plan_id,
            leg=leg,
            slice=number,
            client_id=client_id(self.plan_id, leg, number),
            broker=BrokerKind.MANUAL,
            account_id=trade.account_id,
            asset=trade.asset,
            side=trade.side,
            style=OrderStyle.MARKET,
            quantity=quantity,
            limit=None,
            due_at=AS_OF,
            status=OrderStatus.WORKING,
        )
        await self.world.sql(
            """
            INSERT INTO orders (plan_id, leg, slice, owner_id, public_id, client_id, broker, account_id, asset_id, side,
                style, quantity, due_at, status)
            SELECT l.id, $2, $3, $4, $5, $6, 'MANUAL', t.account_id, t.asset_id, t.side, 'MARKET', $7, $8, 'WORKING'
            FROM plans l JOIN plan_trades t ON t.plan_id = l.id AND t.sequence = $2 WHERE l.public_id = $1
            """,
            *(ids.decode(ids.PLAN, self.plan_id), leg, number, self.world.owner_id, uuid, order.client_id, quantity),
            AS_OF,
        )
        return order

    async def book(self, order: str | Order, *fills: Fill) -> tuple[Fill, ...]:
        owner_id, which = self.world.owner_id, self.orders[order] if isinstance(order, str) else order

        async def book(tx: Tx, locked: frozenset[int]) -> tuple[Fill, ...]:
            await portfolios.lock_portfolio(owner_id, tx, self.loaded.row.public_id)
            told: dict[str, Any] = {"actor": "broker", "now": AS_OF, "new_uuid": new_uuid, "locked": locked}
            return await booking.book_fills(owner_id, tx, which, fills, **told)

        return await neighbours.with_locks(self.world.store, owner_id, book)

    async def lots(self, as_of: datetime = AS_OF) -> list[str]:
        found = await self.world.find(self.loaded.row.public_id, as_of)
        names = {asset.id: asset.symbol for asset in found.snapshot.market.assets.values()}
        return [
            f"{plain(lot.quantity)} {names[lot.asset_id]} cost {plain(lot.basis)} of {lot.acquired_on}"
            + (f" held from {lot.holding_from}" if lot.holding_from != lot.acquired_on else "")
            for account in found.snapshot.portfolio.accounts
            for lot in sorted(account.lots, key=lambda lot: (lot.acquired_on, lot.holding_from, lot.quantity))
        ]

    async def cash(self) -> Mapping[str, Decimal]:
        found = await self.world.find(self.loaded.row.public_id)
        return found.snapshot.portfolio.accounts[0].cash

    async def facts(self, as_of: datetime = AS_OF) -> TaxFacts:
        """What the next plan knows of the past."""
        found = await self.world.find(self.loaded.row.public_id, as_of)
        async with self.world.reading() as tx:
            return past.with_facts(found.snapshot, await pasts.load_past(self.world.owner_id, tx, found.snapshot)).tax


def drifted(policy: Policy = TAXED, **more: str) -> Snapshot:
    """20 AAPL are to be sold, of the newer lot first, and 45 BND to be bought."""
    ledger = {"main": "30 AAPL {100 USD 2020-01-02} @ 180, 20 AAPL {190 USD 2024-05-20}", **more}
    steps = [asset("AAPL", step="0.01"), asset("BND", step="0.01")]
    return snapshot(ledger, {"AAPL": "60", "BND": "40"}, prices={"BND": "80"}, policy=policy, assets=steps)


async def opened(world: World, wanted: Snapshot | None = None) -> Booth:
    return await Booth.open(world, await world.keep(wanted or drifted()))


async def second(world: World, ledger: Mapping[str, str]) -> Loaded:
    """Another portfolio of the same owner, which keeps AAPL too."""
    return await world.keep(snapshot(ledger, {"AAPL": "100"}, policy=TAXED), "Second")
