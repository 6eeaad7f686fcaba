"""Plans of several portfolios that were approved in one bulk with a pool, and what their broker and their books say.

Portfolio n holds n times 6 AAPL at 150 and 8 BND at 50 and wants 60 and 40 percent: 0.8 n AAPL are sold, 2.4 n BND
bought, in steps of 0.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final

from app.actions import approving, executing, plans, pools
from app.actions.brokers import PoolBooks, brokers_of
from app.actions.calling import Brokers
from app.brokers.pool import Pooled
from app.brokers.protocol import Broker
from app.context import Context, Services, new_uuid, wall_now
from app.core import ids
from app.core.money import plain
from app.core.optimize.allocate import PlanScope
from app.core.order_values import Block, BrokerKind, Order, Ticket
from app.core.plan import PlanRequest
from app.core.policy import Policy
from app.store import pools as stored
from app.store.pools import Share
from tests.builders import asset, snapshot
from tests.store.world import World

WINDOW: Final = timedelta(seconds=5)
LAST: Final = {"AAPL": "150", "BND": "50"}
_names = count(1)


def at_last(ticket: Ticket) -> list[str]:
    """Fill all at once, at the last price."""
    return [f"{ticket.quantity} @ {LAST[ticket.asset.symbol]}"]


def never(ticket: Ticket) -> list[str]:
    return []


@dataclass
class Wall:
    """The wall clock, which can be moved."""

    passed: timedelta = timedelta()

    def now(self) -> datetime:
        return wall_now() + self.passed


@dataclass
class Pit:
    """A bulk, the plans that it approved, and the broker behind the pool: None is those of a worker."""

    services: Services
    world: World
    alice: Context
    wall: Wall
    broker: Broker | None
    bulk_id: str = ""
    plans: list[str] = field(default_factory=list)

    @property
    def brokers(self) -> Brokers:
        if self.broker is None:
            return brokers_of(self.services)
        return {BrokerKind.PAPER: Pooled(self.broker, PoolBooks(self.services))}

    async def open(self, *sizes: int, policy: Policy | None = None, ended: bool = True) -> "Pit":
        """Approve a plan of a portfolio of each size in one bulk."""
        uuid, now = new_uuid(), self.alice.now
        self.bulk_id = ids.encode(ids.BULK, uuid)
        bulk = await self.world.sql(
            "INSERT INTO bulks (public_id, owner_id, kind, status, draft, actor, created_at, ended_at) "
            "VALUES ($1, $2, 'APPROVE', $3, '{}', 'alice', $4, $5) RETURNING id",
            *(uuid, self.alice.owner_id, "DONE" if ended else "RUNNING", now, now if ended else None),
        )
        for size in sizes:
            plan_id = await self._approve(size, policy)
            uuids = [ids.decode(ids.PLAN, plan_id)]
            await self.world.sql("UPDATE plans SET pool_id = $1 WHERE public_id = ANY ($2)", bulk, uuids)
            self.plans.append(plan_id)
        return self

    async def _approve(self, size: int, policy: Policy | None) -> str:
        held = f"{6 * size} AAPL @ 150, {8 * size} BND @ 50"
        wanted = snapshot(
            held,
            {"AAPL": "60", "BND": "40"},
            policy=policy,
            assets=[asset("AAPL", step="0.1"), asset("BND", step="0.1")],
        )
        kept = await self.world.keep(wanted, f"Pooled {next(_names)}")
        await self.world.sql("UPDATE accounts SET execution = 'PAPER'")
        settings = self.alice.settings.model_copy(update={"inline_lots": 500})
        context = replace(self.alice, settings=settings)
        plan = await plans.propose(
            context, kept.row.public_id, PlanRequest(PlanScope.FULL), dry_run=False, wait_s=0, key=None
        )
        assert plan.plan
        assert [plain(one.trade.quantity) for one in plan.plan.trades] == [
            plain(Decimal(number) * size) for number in ("0.8", "2.4")
        ]
        return (await approving.approve(context, plan.id, expected=plan.version, exclude=[], key=plan.id)).id

    async def advance(self, *numbers: int) -> None:
        """Work plans by themselves: all, or those of these numbers."""
        for number, plan_id in enumerate(self.plans, 1):
            if not numbers or number in numbers:
                await executing.advance(self.services, self.alice.owner_id, plan_id, self.brokers)

    async def work(self, services: Services | None = None) -> None:
        """Work the pool by itself."""
        await pools.work(services or self.services, self.alice.owner_id, self.bulk_id, self.brokers)

    async def go(self, rounds: int = 1) -> None:
        """Work plans and pool as workers do: orders come, their window passes, blocks are sent, plans are told."""
        for _ in range(rounds):
            await self.advance()
            self.wall.passed += WINDOW
            await self.work()
            await self.advance()

    async def order(self, number: int, side: str = "SELL") -> Order:
        """Return the last order of a plan on one side."""
        plan = await plans.find(self.alice, self.plans[number - 1])
        return [one for one in plan.orders if one.side.value == side][-1]

    async def orders(self, side: str = "SELL") -> list[str]:
        """Write all orders on one side: `1 FILLED 0.8 of 0.8`."""
        found = []
        for number, plan_id in enumerate(self.plans, 1):
            plan = await plans.find(self.alice, plan_id)
            found += [
                f"{number} {one.status.value} {plain(one.filled)} of {plain(one.quantity)}"
                for one in plan.orders
                if one.side.value == side
            ]
        return found

    async def states(self) -> list[str]:
        return [(await plans.find(self.alice, plan_id)).status.value for plan_id in self.plans]

    async def blocks(self) -> list[Block]:
        """Return the blocks, the oldest first."""
        async with self.world.reading() as tx:
            return (await stored.load_blocks(self.alice.owner_id, tx, 100, bulk_id=self.bulk_id))[::-1]

    async def lines(self) -> list[str]:
        """Write the blocks: `SELL AAPL FILLED 2.4 of 2.4: 0.8 1.6`, with what its orders got."""
        blocks = await self.blocks()
        async with self.world.reading() as tx:
            shares = await stored.load_shares(self.alice.owner_id, tx, [block.id for block in blocks])
        return [_line(block, shares[block.id]) for block in blocks]

    async def books(self, number: int) -> list[str]:
        """Write cash and holdings of a plan's portfolio."""
        plan = await plans.find(self.alice, self.plans[number - 1])
        found = await self.world.find(plan.portfolio_id)
        [account] = found.snapshot.portfolio.accounts
        units: dict[str, Decimal] = {}
        for lot in account.lots:
            symbol = found.snapshot.market.assets[lot.asset_id].symbol
            units[symbol] = units.get(symbol, Decimal(0)) + lot.quantity
        held = [f"{plain(units[symbol])} {symbol}" for symbol in sorted(units)]
        return [*held, f"{plain(account.cash.get('USD', Decimal(0)))} cash"]

    async def assert_conserved(self) -> None:
        """What blocks were filled is what their orders were handed out, and what is booked of those."""
        totals = """
            SELECT b.client_id, b.filled, b.filled_value, b.fees FROM blocks b JOIN bulks k ON k.id = b.bulk_id
            WHERE k.public_id = $1 ORDER BY 1
        """
        handed = """
            SELECT b.client_id, coalesce(sum(h.quantity), 0), coalesce(sum(h.quantity * f.price), 0),
                coalesce(sum(h.fee), 0)
            FROM blocks b JOIN bulks k ON k.id = b.bulk_id LEFT JOIN block_pieces h ON h.block_id = b.id
            LEFT JOIN block_fills f ON f.block_id = h.block_id AND f.number = h.fill
            WHERE k.public_id = $1 GROUP BY 1 ORDER BY 1
        """
        booked = """
            SELECT split_part(f.broker_fill_id, '/', 1), sum(f.quantity), sum(f.quantity * f.price), sum(f.fee)
            FROM fills f JOIN orders o USING (plan_id, leg, slice) JOIN bulks k ON k.id = o.pool_id
            WHERE k.public_id = $1 GROUP BY 1 ORDER BY 1
        """
        told = await self._rows(totals)
        assert await self._rows(handed) == told
        assert await self._rows(booked) == [row for row in told if row[1]]

    async def _rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        async with self.world.raw() as connection:
            rows = await connection.fetch(sql, ids.decode(ids.BULK, self.bulk_id))
        return [tuple(row) for row in rows]


def _line(block: Block, shares: Sequence[Share]) -> str:
    got = " ".join(plain(share.filled) for share in shares)
    units = f"{plain(block.filled)} of {plain(block.quantity)}"
    return f"{block.side.value} {block.asset.symbol} {block.status.value} {units}: {got}"
