"""Brokers come back as they were stored, and with the portfolios whose accounts name them."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from app.core import ids
from app.core.costs import Costs, Liquidity, Tier
from app.core.portfolio import Account, AssetClass, Broker
from app.store import assets, brokers, history, portfolios
from app.store.accounts import AccountChange, change_account
from tests.builders import AS_OF, snapshot
from tests.builders import asset as drafted
from tests.store.world import World, new_id

MINI: Final = Tier(minimum=Decimal("9.0000000001"), rate=Decimal("0.0025"))
FAST: Final = Tier(Decimal(0), Decimal("0.5"), Decimal("0.00000079"), Decimal(99), Decimal(500))
NORDIC: Final = Broker("Nordic", "SEK", Decimal("0.0025"), {AssetClass.STOCK: (MINI, FAST), AssetClass.BOND: (MINI,)})
PLAIN: Final = Broker("Plain", "USD")


async def keep(world: World, *wanted: Broker) -> None:
    async with world.store.shared() as tx:
        for broker in wanted:
            await brokers.save_broker(tx, broker, AS_OF)


async def test_brokers_come_back_as_they_were_stored_last(each_world: World) -> None:
    await keep(each_world, PLAIN, Broker("Nordic", "USD"), NORDIC)
    async with each_world.store.shared() as tx:
        (row, first), (_, second) = await brokers.list_brokers(tx, 9)
        assert (first, second) == (PLAIN, NORDIC)
        assert [broker for _, broker in await brokers.list_brokers(tx, 1, row)] == [NORDIC]
        assert await brokers.load_brokers(tx, ["Plain", "Nobody"]) == {"Plain": PLAIN}


async def test_costs_and_liquidity_of_an_asset_come_back_as_they_were_stored(each_world: World) -> None:
    costs = Costs(Decimal(1), Decimal("0.001"), cap=Decimal("20.5"), tiers=(MINI, replace(FAST, above=Decimal("7.25"))))
    liquidity = Liquidity(Decimal("1000000.5"), Decimal("0.0125"), Decimal("0.8"))
    wanted = replace(drafted("AAPL", costs=costs), liquidity=liquidity)
    for one in (wanted, drafted("AAPL")):
        async with each_world.store.shared() as tx:
            kept = await assets.save_asset(tx, replace(one, id=new_id(ids.ASSET)), AS_OF)
            assert (await assets.load_assets_by_symbol(tx, ["AAPL"]))["AAPL"] == kept == replace(one, id=kept.id)


async def test_a_snapshot_knows_the_brokers_of_its_accounts(world: World) -> None:
    await keep(world, NORDIC, PLAIN)
    start = snapshot({"main": "10 AAPL @ 180", "more": "3 AAPL", "rest": "1 AAPL"})
    main, more, rest = start.portfolio.accounts
    held = replace(main, broker="Nordic"), more, replace(rest, broker="Nordic")
    loaded = await world.keep(replace(start, portfolio=replace(start.portfolio, accounts=held)))
    assert [account.broker for account in loaded.snapshot.portfolio.accounts] == ["Nordic", "", "Nordic"]
    assert loaded.snapshot.market.brokers == {"Nordic": NORDIC}


async def test_an_import_of_holdings_leaves_the_broker_and_a_change_is_recorded(world: World) -> None:
    await keep(world, NORDIC, PLAIN)
    loaded = await world.keep(snapshot("10 AAPL @ 180"))
    (account,) = loaded.snapshot.portfolio.accounts
    await change(world, loaded.row.public_id, account, "Nordic")
    async with world.writing() as tx:
        await world.hold(tx, loaded.row.public_id, replace(account, lots=()))
    found = await world.find(loaded.row.public_id)
    assert found.snapshot.portfolio.accounts[0].broker == "Nordic"
    assert found.row.version == loaded.row.version + 2
    await change(world, loaded.row.public_id, account, "")
    assert (await world.find(loaded.row.public_id)).snapshot.portfolio.accounts[0].broker == ""
    async with world.reading() as tx:
        lines = await history.load_history(world.owner_id, tx, loaded.row.id, 100, after_sequence=2)
        assert await history.verify_history(world.owner_id, tx, loaded.row.id) is None
    assert [(line.kind, line.subject, line.document.get("broker")) for line in lines] == [
        ("ACCOUNT_UPDATED", account.id, "Nordic"),
        ("HOLDINGS_IMPORTED", loaded.row.public_id, None),
        ("ACCOUNT_UPDATED", account.id, ""),
    ]


async def change(world: World, portfolio_id: str, account: Account, broker: str) -> None:
    async with world.writing() as tx:
        head = await portfolios.lock_portfolio(world.owner_id, tx, portfolio_id)
        await change_account(world.owner_id, tx, head, account.id, AccountChange(broker), "alice", AS_OF)
