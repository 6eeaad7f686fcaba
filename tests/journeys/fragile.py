"""A Steelyard whose servers may be killed: a dozen portfolios of one owner, each of them a chunk of the scan.

Every scan finds the price on the other side of the band, so it raises or resolves one alert for each portfolio.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import asyncpg

from app.actions import scans, ticks
from app.actions.access import domain_now
from app.context import Services, wall_now
from app.core.scalars import write_instant
from app.embedded import Servers
from app.store import assets
from app.store.assets import Quote
from app.store.clock import read_clock
from tests.support import ALERTS, Child, Feed, Person, Steelyard, later, until

PORTFOLIOS: Final = 12
GO_ON_S: Final = 10.0


@dataclass
class Fragile:
    servers: Servers
    steelyard: Steelyard
    raised: bool = False

    @property
    def owner(self) -> Person:
        return self.steelyard.person("olga")

    async def seed(self) -> None:
        await self.steelyard.operator.list_asset("STOCK", "100")
        await self.steelyard.operator.list_asset("BOND", "50", assetClass="BOND")
        lots = [{"symbol": "STOCK", "quantity": "6"}, {"symbol": "BOND", "quantity": "8"}]
        targets = [
            {"key": "STOCK", "percent": 60, "band": {"absolute": 5}},
            {"key": "BOND", "percent": 40, "band": {"absolute": 40}},
        ]
        creations = [self.owner.create(accounts=[{"lots": lots}], targets=targets) for _ in range(PORTFOLIOS)]
        await asyncio.gather(*creations)
        # So that no worker that starts has prices to pass, or an hour to scan, beside those of the test.
        async with self.steelyard.services() as services:
            await ticks.run(services)
            bucket = await scans.tick(services)
            assert bucket
            await self.measure(services, bucket)

    def worker(self) -> Child:
        """Return the only worker that runs; where there is none, or more than one, start one that is."""
        running = [worker for worker in self.steelyard.workers if worker.running]
        if len(running) == 1:
            return running[0]
        self.dismiss()
        return self.steelyard.work("light")

    def dismiss(self) -> None:
        """End all workers at once."""
        for worker in self.steelyard.workers:
            worker.kill()
        self.steelyard.workers.clear()

    async def scan(self) -> None:
        """Scan an hour, so that no worker that starts has one to scan."""
        self.worker()
        await self.until_ended(await self.open_scan())

    async def now(self) -> datetime:
        """Read the domain clock."""
        async with self.steelyard.services() as services:
            return await domain_now(services)

    async def move_price(self, *, ticked: bool = False) -> None:
        """Move the price across the band. Unless it is to be `ticked`, only a scan finds out: it counts as looked at.

        A pass that is under way then finds that somebody has moved on: it would take the cursor back to before.
        """
        self.raised = not self.raised
        price = "150" if self.raised else "100"
        if ticked:
            await self.steelyard.operator.record({"STOCK": price})
            return
        async with self.steelyard.services() as services, services.store.shared() as tx:
            stock = (await assets.load_assets_by_symbol(tx, ["STOCK"]))["STOCK"]
            now = (await read_clock(tx)).at(wall_now())
            await assets.record_prices(tx, [Quote(stock.id, Decimal(price), now, "test")], now)
            after = "(pg_current_xact_id()::text::bigint + 1)::text::xid8"
            await tx.execute(f"UPDATE relay_cursors SET xid = {after}, until = NULL, after_id = 0")

    async def open_scan(self) -> datetime:
        """Move the price, and the clock by an hour; open the scan and return its bucket."""
        await self.move_price()
        return await self.next_hour()

    async def next_hour(self) -> datetime:
        """Move the clock by an hour, open the scan and return its bucket."""
        async with self.steelyard.services() as services:
            await later(services)
            await scans.tick(services)
        [(bucket,)] = await self.steelyard.rows("SELECT max(bucket) FROM scan_runs")
        assert isinstance(bucket, datetime)
        return bucket

    @asynccontextmanager
    async def held_in_mid_scan(self) -> AsyncIterator[datetime]:
        """Open a scan that gets as far as a portfolio which somebody holds, and let go of it in the end.

        The worker waits for the portfolio inside the transaction that marks and writes its chunk. The price has moved
        before that: a pass that is under way holds the cursor while it waits for a portfolio.
        """
        await self.move_price()
        held = await self._hold()
        try:
            bucket = await self.next_hour()
            await until(self._somebody_waits)
            assert 0 < await self.chunks_done(bucket) < PORTFOLIOS
            yield bucket
        finally:
            # The test may have ended the database, and our hold with it.
            with suppress(asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
                await held.close(timeout=1)

    @asynccontextmanager
    async def held_in_mid_tick(self) -> AsyncIterator[None]:
        """Record a price whose pass gets as far as a portfolio which somebody holds, and let go of it in the end.

        It is recorded before that: prices are passed in the order of commits, behind whoever began before them.
        """
        with self.steelyard.standstill():
            await self.move_price(ticked=True)
            held = await self._hold()
        try:
            await until(self._somebody_waits)
            [(after,)] = await self.steelyard.rows("SELECT after_id FROM relay_cursors")
            assert after > 0
            yield
        finally:
            await held.close(timeout=1)

    async def _hold(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Lock a portfolio in the middle for as long as the connection lives."""
        connection = await asyncpg.connect(self.steelyard.endpoints.migrate_database_url)
        await connection.transaction().start()
        middle = "SELECT id FROM portfolios ORDER BY id OFFSET $1 LIMIT 1"
        await connection.execute(f"SELECT FROM portfolios WHERE id = ({middle}) FOR UPDATE", PORTFOLIOS // 2)
        return connection

    async def _somebody_waits(self) -> bool:
        waiting = """
            SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT FROM portfolios%'
        """
        return await self.steelyard.rows(waiting) == [(1,)]

    async def measure(self, services: Services, bucket: datetime) -> None:
        """Measure all chunks of a scan in the test's own process."""
        for number in range(PORTFOLIOS):
            await scans.measure_chunk(services, write_instant(bucket), number)

    async def chunks_done(self, bucket: datetime) -> int:
        statement = "SELECT count(*) FROM scan_chunks WHERE bucket = $1 AND done_at IS NOT NULL"
        [(done,)] = await self.steelyard.rows(statement, bucket)
        return int(done)

    async def until_ended(self, bucket: datetime) -> float:
        async def ended() -> bool:
            statement = "SELECT status FROM scan_runs WHERE bucket = $1"
            return await self.steelyard.rows(statement, bucket) == [("DONE",)]

        return await until(ended, 30)

    async def assert_each_portfolio_once(self, bucket: datetime) -> None:
        """Nothing lost, nothing doubled: one log, one event and one alert for each portfolio."""
        rows = self.steelyard.rows
        logs = "SELECT count(*), count(DISTINCT portfolio_id) FROM drift_logs WHERE bucket = $1"
        assert await rows(logs, bucket) == [(PORTFOLIOS, PORTFOLIOS)]
        figures = "SELECT sum(scanned), sum(alerts), sum(failed) FROM scan_chunks WHERE bucket = $1"
        assert await rows(figures, bucket) == [(PORTFOLIOS, PORTFOLIOS if self.raised else 0, 0)]
        events = """
            SELECT count(*), count(DISTINCT portfolio_id), min(payload->>'event'), max(payload->>'event')
            FROM outbox WHERE topic = 'alert' AND created_at = (SELECT as_of FROM scan_runs WHERE bucket = $1)
        """
        kind = "RAISED" if self.raised else "RESOLVED"
        assert await rows(events, bucket) == [(PORTFOLIOS, PORTFOLIOS, kind, kind)]
        unresolved = "SELECT count(*) FROM alerts WHERE status <> 'RESOLVED'"
        assert await rows(unresolved) == [(PORTFOLIOS if self.raised else 0,)]

    @asynccontextmanager
    async def each_told_once(self) -> AsyncIterator[Feed]:
        """Follow the alerts; in the end there must be one event for each portfolio, and none more."""
        async with self.owner.on_socket(ALERTS, after=await self.steelyard.cursor()) as feed:
            yield feed
            await feed.until(PORTFOLIOS)
            await feed.silence(0.3)
        assert len({event["alert"]["portfolioId"] for event in feed.received}) == PORTFOLIOS
        assert {event["kind"] for event in feed.received} == {"RAISED" if self.raised else "RESOLVED"}

    @contextmanager
    def standstill_of(self, server: str) -> Iterator[None]:
        """Let `postgres` or `valkey` answer nobody for a while."""
        pid = self.servers.pids()[server]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def kill(self, server: str) -> None:
        """End `postgres` or `valkey` as a crash would; `servers.revive()` brings it back."""
        os.kill(self.servers.pids()[server], signal.SIGKILL)
        deadline = time.monotonic() + GO_ON_S
        while server not in self.servers.check():
            assert time.monotonic() < deadline, f"{server} is still there"
            time.sleep(0.01)
