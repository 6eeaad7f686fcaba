"""Assets by whatever name is unique, and prices that only move forward."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.core import ids
from app.core.costs import Costs
from app.core.errors import InvalidInput
from app.core.portfolio import Asset, AssetClass, Price
from app.store import assets
from app.store.assets import Quote
from app.store.db import Tx
from tests.builders import AS_OF
from tests.builders import asset as drafted
from tests.store.world import World, new_id


async def keep(world: World, *wanted: Asset) -> list[Asset]:
    async with world.store.shared() as tx:
        return [await assets.save_asset(tx, replace(one, id=new_id(ids.ASSET)), AS_OF) for one in wanted]


async def test_an_asset_comes_back_as_it_was_stored(each_world: World) -> None:
    wanted = replace(
        drafted("BTC", AssetClass.CRYPTO, step="0.00000001", min_notional="10", venue="X", tradable=False),
        name="Bitcoin",
        price_step=Decimal("0.01"),
        identical_group="btc",
        costs=Costs(Decimal("0.5"), Decimal("0.001"), Decimal(1), Decimal("0.0005")),
    )
    (kept,) = await keep(each_world, wanted)
    async with each_world.store.shared() as tx:
        keys = await assets.load_asset_keys(tx, [kept.id])
        found = await assets.load_assets(tx, [keys[kept.id], -1])
    assert found == {keys[kept.id]: replace(wanted, id=kept.id)}


async def test_a_known_asset_is_changed_and_keeps_its_id(world: World) -> None:
    (first,) = await keep(world, drafted("AAPL"))
    (second,) = await keep(world, replace(drafted("AAPL"), name="Apple"))
    assert second == replace(first, name="Apple")


async def test_a_name_finds_the_asset_it_is_unique_for(world: World) -> None:
    xetra, nyse, euro, bond = await keep(
        world,
        *(drafted("SAP", currency="EUR", venue="XETR"), drafted("SAP", venue="NYSE"), drafted("EUR", AssetClass.CASH)),
        drafted("BND", AssetClass.BOND),
    )
    async with world.store.shared() as tx:
        found = await assets.load_assets_by_symbol(tx, ["BND", "BND:USD", "SAP:EUR", "SAP:USD:NYSE", "EUR", "NONE"])
        assert found == {"BND": bond, "BND:USD": bond, "SAP:EUR": xetra, "SAP:USD:NYSE": nyse, "EUR": euro}
        with pytest.raises(InvalidInput, match="SAP may mean SAP:EUR:XETR, SAP:USD:NYSE; write the one that is meant"):
            await assets.load_assets_by_symbol(tx, ["SAP"])


async def test_a_search_pages_through_symbols_and_names(world: World) -> None:
    await keep(world, *(drafted(symbol) for symbol in ("AA", "AB", "A_C", "B")), replace(drafted("Z"), name="Apple"))
    async with world.store.shared(reading=True) as tx:
        first = await assets.find_assets(tx, "a", 2)
        rest = await assets.find_assets(tx, "a", 9, first[-1][0].id)
        exact = await assets.find_assets(tx, "A_", 9)
        everything = await assets.find_assets(tx, "", 9)
    assert [asset.symbol for asset, _ in first + rest] == ["AA", "AB", "A_C", "Z"]
    assert [asset.symbol for asset, _ in exact] == ["A_C"]
    assert len(everything) == 5


async def recorded(tx: Tx, asset_id: str, since: datetime) -> list[Price]:
    """Return the history of an asset's prices, oldest first."""
    rows = await tx.fetch(
        "SELECT price, priced_at, h.source FROM price_history h JOIN assets a ON a.id = h.asset_id "
        "WHERE a.public_id = $1 AND priced_at >= $2 ORDER BY priced_at",
        ids.decode(ids.ASSET, asset_id),
        since,
    )
    return [Price(*row.values()) for row in rows]


async def test_prices_are_recorded_in_one_statement_and_the_latest_only_moves_forward(each_world: World) -> None:
    aapl, bnd = await keep(each_world, drafted("AAPL"), drafted("BND"))
    hour = timedelta(hours=1)
    quotes = [
        Quote(aapl.id, Decimal("180.000000000000000001"), AS_OF, "a"),
        Quote(aapl.id, Decimal(170), AS_OF - hour, "a"),
        Quote(bnd.id, Decimal(70), AS_OF, "a"),
        Quote(bnd.id, Decimal(71), AS_OF, "b"),
        Quote(new_id(ids.ASSET), Decimal(1), AS_OF, "a"),
    ]
    async with each_world.store.shared() as tx:
        before = each_world.store.statements
        assert await assets.record_prices(tx, quotes, AS_OF) == 3
        assert each_world.store.statements - before == 1
        assert await assets.record_prices(tx, [Quote(aapl.id, Decimal(160), AS_OF - 2 * hour, "late")], AS_OF) == 1
        latest = await assets.load_latest_prices(tx, [aapl.id, bnd.id])
        history = await recorded(tx, aapl.id, AS_OF - hour)
    assert latest == {
        aapl.id: Price(Decimal("180.000000000000000001"), AS_OF, "a"),
        bnd.id: Price(Decimal(71), AS_OF, "b"),
    }
    assert history == [Price(Decimal(170), AS_OF - hour, "a"), latest[aapl.id]]


async def test_the_same_prices_again_change_nothing(world: World) -> None:
    (aapl,) = await keep(world, drafted("AAPL"))
    quote = Quote(aapl.id, Decimal(180), AS_OF, "a")
    async with world.store.shared() as tx:
        assert [await assets.record_prices(tx, [quote], AS_OF) for _ in range(2)] == [1, 1]
        assert await recorded(tx, aapl.id, AS_OF) == [Price(Decimal(180), AS_OF, "a")]
