"""A small world to test the store in: an owner, and portfolios kept from the builders' snapshots."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from app.context import new_uuid
from app.core import ids
from app.core.alerts import Decision
from app.core.drift import Snapshot
from app.core.money import MONEY_PLACES, round_half_even
from app.core.portfolio import Account
from app.core.targets import Target, Targets
from app.embedded import Endpoints
from app.store import alerts, assets, holdings, owners, portfolios, reading, targets
from app.store.assets import Quote
from app.store.db import Store, Tx
from app.store.reading import Loaded
from tests.builders import AS_OF


def new_id(prefix: str) -> str:
    return ids.encode(prefix, new_uuid())


class World:
    """The store, and who owns what is kept in it."""

    def __init__(self, store: Store, endpoints: Endpoints, owner_id: int) -> None:
        self.store, self.endpoints, self.owner_id = store, endpoints, owner_id

    @classmethod
    async def of(cls, store: Store, endpoints: Endpoints) -> "World":
        return cls(store, endpoints, await find_owner(store, "alice"))

    async def other(self, subject: str = "bob") -> "World":
        """The same store, as somebody else sees it."""
        return World(self.store, self.endpoints, await find_owner(self.store, subject))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        async with self.store.owned(self.owner_id) as tx:
            yield tx

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        async with self.store.owned(self.owner_id, reading=True) as tx:
            yield tx

    async def keep(self, wanted: Snapshot, name: str = "Test") -> Loaded:
        """Store a snapshot: assets and prices, then the portfolio with its holdings and targets, under new ids."""
        async with self.store.shared() as tx:
            known = await keep_market(tx, wanted)
        async with self.writing() as tx:
            head = await portfolios.create_portfolio(
                self.owner_id,
                tx,
                name=name,
                base_currency=wanted.portfolio.base_currency,
                policy=wanted.policy,
                actor="alice",
                now=wanted.as_of,
                new_uuid=new_uuid,
            )
            accounts = [renamed(account, known) for account in wanted.portfolio.accounts]
            await self.hold(tx, head.public_id, *accounts, now=wanted.as_of)
            if wanted.targets:
                await self.aim(tx, head.public_id, targets_with(wanted.targets, known), now=wanted.as_of)
        return await self.find(head.public_id, wanted.as_of)

    async def hold(self, tx: Tx, portfolio_id: str, *accounts: Account, now: datetime = AS_OF, **given: Any) -> None:
        await holdings.replace_holdings(
            self.owner_id, tx, portfolio_id, accounts, actor="alice", now=now, new_uuid=new_uuid, **given
        )

    async def aim(
        self, tx: Tx, portfolio_id: str, wanted: Targets, now: datetime = AS_OF, expected: int | None = None
    ) -> targets.StoredTargets:
        return await targets.replace_targets(
            self.owner_id,
            tx,
            portfolio_id,
            wanted,
            author="alice",
            now=now,
            new_uuid=new_uuid,
            expected_version=expected,
        )

    async def find(self, portfolio_id: str, as_of: datetime = AS_OF) -> Loaded:
        async with self.reading() as tx:
            found = await reading.load_snapshot(self.owner_id, tx, portfolio_id, as_of)
        assert found
        return found

    async def price(self, symbol: str, number: str, priced_at: datetime = AS_OF) -> None:
        async with self.store.shared() as tx:
            asset = (await assets.load_assets_by_symbol(tx, [symbol]))[symbol]
            await assets.record_prices(tx, [Quote(asset.id, Decimal(number), priced_at, "test")], priced_at)

    @asynccontextmanager
    async def raw(self, *, owner: bool = False) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A plain connection as the application's role, or as the owner of the tables."""
        url = self.endpoints.migrate_database_url if owner else self.endpoints.database_url
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            await connection.close()

    async def sql(self, statement: str, *args: object) -> Any:
        """Run one statement as the application's role."""
        async with self.raw() as connection:
            return await connection.fetchval(statement, *args)


async def find_owner(store: Store, subject: str) -> int:
    async with store.shared() as tx:
        return (await owners.find_or_create(tx, "test", subject, AS_OF, new_uuid)).id


async def keep_market(tx: Tx, wanted: Snapshot) -> Mapping[str, str]:
    """Store assets and prices; return the ids they are stored under, by the builders' ids."""
    known = {}
    for asset in wanted.market.assets.values():
        kept = await assets.save_asset(tx, replace(asset, id=new_id(ids.ASSET)), wanted.as_of)
        known[asset.id] = kept.id
    prices = wanted.market.prices.items()
    quotes = [Quote(known[key], price.value, price.priced_at, price.source) for key, price in prices]
    await assets.record_prices(tx, quotes, wanted.as_of)
    return known


def renamed(account: Account, known: Mapping[str, str]) -> Account:
    """Give an account of the builders new ids."""
    lots = tuple(
        replace(lot, id=new_id(ids.LOT), asset_id=known[lot.asset_id], basis=round_half_even(lot.basis, MONEY_PLACES))
        for lot in account.lots
    )
    return replace(account, id=new_id(ids.ACCOUNT), lots=lots)


def targets_with(wanted: Targets, known: Mapping[str, str]) -> Targets:
    return Targets(tuple(_target_with(entry, known) for entry in wanted.entries))


def _target_with(entry: Target, known: Mapping[str, str]) -> Target:
    return replace(entry, assets=tuple(known[key] for key in entry.assets))


async def save_decision(world: World, tx: Tx, portfolio_row_id: int, decision: Decision, now: datetime = AS_OF) -> int:
    """Save what was decided about one portfolio, as a scan does for many."""
    decided = [alerts.Decided(world.owner_id, portfolio_row_id, decision)]
    return await alerts.scan_save_decisions(tx, decided, now=now, new_uuid=new_uuid)
