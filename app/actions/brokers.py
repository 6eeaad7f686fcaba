"""The brokers of a process: an adapter for each kind, with its settings and the books it keeps."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime

from app.brokers.alpaca import AlpacaBroker
from app.brokers.manual import ManualBroker
from app.brokers.paper import PaperBroker
from app.brokers.pool import Pooled
from app.brokers.protocol import Broker, BrokerUnavailable
from app.bus.jobs import POOL_WORK
from app.context import Services, wall_now
from app.core.brokers import costs_of
from app.core.errors import StaleData
from app.core.manual import Recorded
from app.core.order_values import ENDED, BrokerKind, BrokerOrder, Ticket
from app.core.paper import PaperOrder, PaperRules
from app.core.portfolio import Account, AccountKind, Market, Price, Rates
from app.settings import Settings
from app.store import clock, manual, paper, pool_orders
from app.store.db import Store, StoreUnavailable, Tx


def brokers_of(services: Services) -> Mapping[BrokerKind, Broker]:
    """Return a broker of every kind; one that is not set up says so when it is asked for something."""
    settings, store = services.settings, services.store
    kinds: Mapping[BrokerKind, Broker] = {
        BrokerKind.MANUAL: ManualBroker(lambda client_id: _recorded(store, client_id)),
        BrokerKind.PAPER: PaperBroker(lambda: _paper_books(store), _paper_rules(settings)),
        BrokerKind.ALPACA: AlpacaBroker.of(settings),
    }
    return {kind: Pooled(broker, PoolBooks(services)) for kind, broker in kinds.items()}


def _paper_rules(settings: Settings) -> PaperRules:
    return PaperRules(
        settings.paper_seed, settings.paper_latency_s, settings.paper_partial_percent, settings.paper_rejected_percent
    )


class _PaperPage:
    """The paper broker's books in one transaction."""

    def __init__(self, tx: Tx, now: datetime) -> None:
        self._tx, self.now = tx, now

    async def add(self, order: PaperOrder) -> None:
        await paper.add_order(self._tx, order)

    async def find(self, client_id: str) -> PaperOrder | None:
        order = await paper.lock_order(self._tx, client_id)
        if order is None or order.status in ENDED:
            return order
        name, market = await paper.scan_fee_market(self._tx, order.ticket.account_id)
        return replace(order, ticket=_priced(order.ticket, name, market))

    async def save(self, before: PaperOrder, after: PaperOrder) -> None:
        await paper.save_progress(self._tx, before, after)

    async def prices(self, asset_id: str, since: datetime, until: datetime, most: int) -> Sequence[Price]:
        return await paper.load_prices(self._tx, asset_id, since, until, most)


def _priced(ticket: Ticket, broker: str, market: Market) -> Ticket:
    """Return a ticket with the fees of the account's broker, in the asset's currency; without a rate, the asset's."""
    asset, account = ticket.asset, Account(ticket.account_id, "", AccountKind.TAXABLE, broker=broker)
    try:
        costs = costs_of(Rates(market, asset.currency), account, asset)
    except StaleData:
        return ticket
    return replace(ticket, asset=replace(asset, costs=costs))


class PoolBooks:
    """The pool's books: a transaction for each line."""

    def __init__(self, services: Services) -> None:
        self._services, self._store = services, services.store

    async def join(self, ticket: Ticket) -> None:
        with _at_hand():
            async with self._store.shared() as tx:
                place = await pool_orders.scan_join(tx, ticket, wall_now())
        if place:
            owner_id, bulk_id = place
            # Under another name than who asks for what is due at once, which this must not keep waiting.
            name, window_s = f"{bulk_id}:{owner_id}:window", self._services.settings.block_window_s
            await self._services.bus.enqueue(POOL_WORK, owner_id, bulk_id, unique=name, defer_s=window_s)

    async def leave(self, client_id: str) -> None:
        with _at_hand():
            async with self._store.shared() as tx:
                await pool_orders.scan_leave(tx, client_id, wall_now())

    async def find(self, client_id: str) -> BrokerOrder | None:
        with _at_hand():
            async with self._store.shared(reading=True) as tx:
                kept = await pool_orders.scan_find(tx, client_id)
        if kept is not None and kept.unknown:
            raise BrokerUnavailable(kept.unknown)
        return kept.order if kept else None


@contextmanager
def _at_hand() -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        raise BrokerUnavailable(f"the pool's books are away: {error}") from error


@asynccontextmanager
async def _paper_books(store: Store) -> AsyncIterator[_PaperPage]:
    try:
        async with store.shared() as tx:
            yield _PaperPage(tx, (await clock.read_clock(tx)).at(wall_now()))
    except StoreUnavailable as error:
        raise BrokerUnavailable(f"the paper broker's books are away: {error}") from error


async def _recorded(store: Store, client_id: str) -> Recorded | None:
    try:
        async with store.shared(reading=True) as tx:
            return await manual.scan_recorded(tx, client_id)
    except StoreUnavailable as error:
        raise BrokerUnavailable(f"what people recorded cannot be read: {error}") from error
