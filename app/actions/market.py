"""Assets and prices, written by operators for everybody."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from app.actions import ticks
from app.actions.pages import Page, id_of, key_of, page_of, row_of
from app.context import Context
from app.core import ids
from app.core.brokers import check_broker
from app.core.errors import InvalidInput, LimitExceeded, Required
from app.core.portfolio import Asset, Broker, Price
from app.core.scalars import write_instant
from app.store import assets, brokers
from app.store.assets import Quote

PRICES_MAX: Final = 500
AHEAD: Final = timedelta(minutes=5)
OLDEST: Final = datetime(1900, 1, 1, tzinfo=UTC)  # and the database takes the first instant of year 1 for no instant
SEARCH_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class PriceDraft:
    """A price as somebody observed it, by the asset's name; None is now."""

    symbol: str
    price: Decimal
    priced_at: datetime | None
    source: str


async def save_asset(context: Context, asset: Asset) -> tuple[Asset, Price | None]:
    """Add an asset, or change the one with this symbol, currency and venue; return it with its latest price."""
    context.require_operator()
    async with context.store.shared() as tx:
        saved = await assets.save_asset(tx, replace(asset, id=context.new_id(ids.ASSET)), context.now)
        return saved, (await assets.load_latest_prices(tx, [saved.id])).get(saved.id)


async def record_prices(context: Context, drafts: Sequence[PriceDraft]) -> int:
    """Record prices of known assets, all or none; the latest of an asset counts from now on, and may alert at once."""
    context.require_operator()
    if not drafts:
        raise Required("no prices are given", ["prices"])
    if len(drafts) > PRICES_MAX:
        raise LimitExceeded(f"there are {len(drafts)} prices; at most {PRICES_MAX} are allowed at once", ["prices"])
    async with context.store.shared() as tx:
        names = await assets.load_assets_by_symbol(tx, sorted({draft.symbol for draft in drafts}))
        quotes = [_quote(draft, names, context.now, place) for place, draft in enumerate(drafts)]
        recorded = await assets.record_prices(tx, quotes, context.now)
    await asyncio.gather(ticks.enqueue(context), context.bus.nudge("price", [context.owner_id]))
    return recorded


def _quote(draft: PriceDraft, names: dict[str, Asset], now: datetime, place: int) -> Quote:
    asset = names.get(draft.symbol)
    if asset is None:
        raise InvalidInput(f"no asset has the symbol {draft.symbol}; add it first", ["prices", place, "symbol"])
    priced_at = draft.priced_at or now
    check_instant(priced_at, now, "prices", place)
    return Quote(asset.id, draft.price, priced_at, draft.source)


def check_instant(priced_at: datetime, now: datetime, *path: str | int) -> None:
    """Refuse a price of long ago, and of the future, but for clocks that are a little ahead of ours."""
    if priced_at < OLDEST:
        found, limit = write_instant(priced_at), write_instant(OLDEST)
        raise InvalidInput(f"pricedAt {found} is before {limit}, the oldest that is allowed", [*path, "pricedAt"])
    if priced_at > now + AHEAD:
        found, limit = write_instant(priced_at), write_instant(now + AHEAD)
        raise InvalidInput(f"pricedAt {found} is in the future; at most {limit} is allowed", [*path, "pricedAt"])


async def save_broker(context: Context, broker: Broker) -> Broker:
    """Add a broker, or change the one of this name; its fees count from now on in all accounts that name it."""
    context.require_operator()
    async with context.store.shared() as tx:
        await brokers.save_broker(tx, check_broker(broker), context.now)
    return broker


async def broker_page(context: Context, first: int, after: str | None) -> Page[tuple[int, Broker]]:
    """List brokers, those that were recorded first before the others."""
    last = key_of(after, row_of) or 0
    async with context.store.shared(reading=True) as tx:
        found = await brokers.list_brokers(tx, first + 1, last)
    return page_of(found, first, lambda one: str(one[0]))


async def page(context: Context, search: str, first: int, after: str | None) -> Page[tuple[Asset, Price | None]]:
    """List assets whose symbol or name starts with a text, by symbol."""
    if len(search) > SEARCH_MAX:
        raise InvalidInput(f"search has {len(search)} characters; at most {SEARCH_MAX} are allowed", ["search"])
    last = key_of(after, id_of(ids.ASSET))
    async with context.store.shared(reading=True) as tx:
        found = await assets.find_assets(tx, search, first + 1, last)
    return page_of(found, first, lambda one: one[0].id)
