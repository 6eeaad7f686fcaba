"""The past of a taxpayer group: of all its portfolios and owners, and of nobody else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from app.context import new_uuid
from app.core.drift import Snapshot
from app.core.past import Past
from app.core.policy import Policy, TaxRegime
from app.core.portfolio import AccountKind, Asset
from app.store import accounts, past, transactions
from app.store.reading import Loaded
from app.store.transactions import Transaction
from tests.builders import AS_OF, snapshot
from tests.store.world import World

# As of 3 June 2024.
MAIN = {"main": "10 AAPL {100 USD 2020-01-02} @ 95, 4 AAPL {92 USD 2024-05-20}", "ira TAX_EXEMPT": "100 cash"}


async def kept(world: World, ledger: dict[str, str] = MAIN, policy: Policy = Policy()) -> Loaded:
    return await world.keep(snapshot(ledger, {"AAPL": "100"}, policy=policy))


def asset_of(loaded: Loaded, symbol: str = "AAPL") -> Asset:
    return next(asset for asset in loaded.snapshot.market.assets.values() if asset.symbol == symbol)


async def tell(world: World, loaded: Loaded, lines: Sequence[str], account: int = 0) -> None:
    """Record facts such as `2024-05-20 SELL 10 AAPL @ 90`."""
    facts = []
    for line in lines:
        day, side, units, symbol, _, price = line.split()
        facts.append(
            Transaction(
                *(loaded.snapshot.portfolio.accounts[account].id, asset_of(loaded, symbol).id, side),
                *(Decimal(units), Decimal(price), Decimal("1.50"), Decimal(units) * Decimal(price)),
                *("USD", date.fromisoformat(day)),
            )
        )
    async with world.writing() as tx:
        await transactions.append_transactions(
            world.owner_id, tx, loaded.row.id, facts, actor="alice", now=AS_OF, new_uuid=new_uuid
        )


async def load(world: World, loaded: Loaded | Snapshot) -> Past:
    wanted = loaded if isinstance(loaded, Snapshot) else loaded.snapshot
    async with world.reading() as tx:
        return await past.load_past(world.owner_id, tx, wanted)


def told(found: Past) -> list[str]:
    return [
        f"{one.day} {one.kind.value} {one.side.value} {one.quantity} {one.asset.symbol} @ {one.price} - {one.fees}"
        for one in found.told
    ]


def held(found: Past) -> list[tuple[str, bool]]:
    return [(f"{lot.acquired_on} {lot.quantity} {lot.asset.symbol}", bool(lot.lot_id)) for lot in found.held]


async def share_group(world: World, *others: Loaded) -> None:
    """Put accounts of other owners into the first owner's taxpayer group."""
    for other in others:
        await world.sql(
            "UPDATE accounts SET taxpayer_group_id = (SELECT min(id) FROM taxpayer_groups WHERE owner_id = $1) "
            "WHERE portfolio_id = $2",
            world.owner_id,
            other.row.id,
        )


async def test_past_is_told_in_order_with_lots_of_late_in_three_statements(each_world: World) -> None:
    loaded = await kept(each_world)
    await tell(each_world, loaded, ["2024-05-20 BUY 4 AAPL @ 92", "2020-01-02 BUY 20 AAPL @ 100"])
    await tell(each_world, loaded, ["2024-05-10 SELL 10 AAPL @ 90.5"])
    await tell(each_world, loaded, ["2024-05-10 BUY 1 AAPL @ 90"], account=1)
    before = each_world.store.statements
    found = await load(each_world, loaded)
    assert each_world.store.statements - before == 3
    assert told(found) == [
        "2020-01-02 TAXABLE BUY 20 AAPL @ 100 - 1.5",
        "2024-05-10 TAXABLE SELL 10 AAPL @ 90.5 - 1.5",
        "2024-05-10 TAX_EXEMPT BUY 1 AAPL @ 90 - 1.5",
        "2024-05-20 TAXABLE BUY 4 AAPL @ 92 - 1.5",
    ]
    assert held(found) == [("2024-05-20 4 AAPL", True)]
    assert found.held[0].lot_id == loaded.snapshot.portfolio.accounts[0].lots[1].id
    assert {one.account for one in found.told} == {account.id for account in loaded.snapshot.portfolio.accounts}
    assert found.known_from is None


async def test_other_portfolio_of_the_owner_is_of_the_group_and_its_lots_have_no_ids(world: World) -> None:
    loaded, other = await kept(world), await kept(world, {"second": "3 AAPL {90 USD 2024-05-30} @ 95"})
    await tell(world, other, ["2024-05-30 BUY 3 AAPL @ 90"])
    found = await load(world, loaded)
    assert told(found) == ["2024-05-30 TAXABLE BUY 3 AAPL @ 90 - 1.5"]
    assert held(found) == [("2024-05-20 4 AAPL", True), ("2024-05-30 3 AAPL", False)]


async def test_stranger_is_of_another_group_until_both_are_put_into_one(world: World) -> None:
    loaded, bob = await kept(world), await world.other()
    theirs = await kept(bob, {"bobs": "3 AAPL {90 USD 2024-05-30} @ 95"})
    await tell(bob, theirs, ["2024-05-30 BUY 3 AAPL @ 90"])
    assert told(await load(world, loaded)) == []
    assert held(await load(world, loaded)) == [("2024-05-20 4 AAPL", True)]
    assert held(await load(bob, theirs)) == [("2024-05-30 3 AAPL", True)]
    await share_group(world, theirs)
    theirs = await bob.find(theirs.row.public_id)
    assert told(await load(world, loaded)) == ["2024-05-30 TAXABLE BUY 3 AAPL @ 90 - 1.5"]
    assert held(await load(world, loaded)) == [("2024-05-20 4 AAPL", True), ("2024-05-30 3 AAPL", False)]
    assert held(await load(bob, theirs)) == [("2024-05-20 4 AAPL", False), ("2024-05-30 3 AAPL", True)]


async def test_what_was_not_traded_this_year_is_not_told(world: World) -> None:
    loaded = await kept(world)
    await tell(world, loaded, ["2022-01-02 BUY 20 AAPL @ 100", "2023-12-31 SELL 5 AAPL @ 90"])
    assert told(await load(world, loaded)) == []
    await tell(world, loaded, ["2024-01-01 SELL 5 AAPL @ 90"])
    assert len(told(await load(world, loaded))) == 3


async def test_group_of_identical_assets_is_told_as_a_whole(world: World) -> None:
    wanted = snapshot("1 VOO @ 90, 1 IVV @ 90, 1 BND @ 10", {"VOO": "100"})
    assets = {
        key: replace(asset, identical_group="" if key == "BND" else "S&P 500")
        for key, asset in wanted.market.assets.items()
    }
    loaded = await world.keep(replace(wanted, market=replace(wanted.market, assets=assets)))
    await tell(world, loaded, ["2021-01-04 BUY 9 IVV @ 80", "2021-01-04 BUY 9 BND @ 8", "2024-05-20 SELL 1 VOO @ 70"])
    assert told(await load(world, loaded)) == [
        "2021-01-04 TAXABLE BUY 9 IVV @ 80 - 1.5",
        "2024-05-20 TAXABLE SELL 1 VOO @ 70 - 1.5",
    ]


async def test_import_of_holdings_and_what_comes_after_today_are_no_trades(world: World) -> None:
    loaded = await kept(world)
    await tell(world, loaded, ["2024-06-04 BUY 1 AAPL @ 90"])
    assert await world.sql("SELECT count(*) FROM transactions WHERE side = 'ADJUST'") == 2
    assert told(await load(world, loaded)) == []


async def test_past_of_all_accounts_is_known_from_the_last_of_their_days(world: World) -> None:
    loaded, other = await kept(world), await kept(world, {"second": "1 AAPL @ 95"})

    async def say(which: Loaded, **days: str) -> date | None:
        given = {name: date.fromisoformat(day) for name, day in days.items()}
        async with world.writing() as tx:
            await accounts.save_history_from(world.owner_id, tx, which.row.id, given)
        return (await load(world, loaded)).known_from

    assert await say(loaded, main="2020-01-01") is None
    assert await say(loaded, ira="2021-01-01") is None
    assert await say(other, second="2019-01-01") == date(2021, 1, 1)
    assert await say(other, second="2023-01-01") == date(2023, 1, 1)
    bob = await world.other()
    async with bob.writing() as tx:
        await accounts.save_history_from(bob.owner_id, tx, loaded.row.id, {"main": date(2024, 1, 1)})
    assert (await load(world, loaded)).known_from == date(2023, 1, 1)


async def test_more_than_is_read_is_not_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "TOLD_MAX", 2)
    loaded = await kept(world, {"main": "1 AAPL @ 95"})
    async with world.writing() as tx:
        await accounts.save_history_from(world.owner_id, tx, loaded.row.id, {"main": date(2020, 1, 1)})
    await tell(world, loaded, ["2024-02-01 BUY 1 AAPL @ 90", "2024-03-01 BUY 2 AAPL @ 90"])
    assert (await load(world, loaded)).known_from == date(2020, 1, 1)
    await tell(world, loaded, ["2024-04-01 BUY 3 AAPL @ 90"])
    found = await load(world, loaded)
    assert [one.quantity for one in found.told] == [2, 3]
    assert found.known_from == date(2024, 3, 2)


async def test_nothing_is_read_where_no_tax_is_reckoned_with(world: World) -> None:
    loaded = await kept(world, policy=Policy(tax_regime=TaxRegime.NONE))
    before = world.store.statements
    assert await load(world, loaded) == Past()
    assert world.store.statements == before


async def test_kind_of_an_account_is_told(world: World) -> None:
    loaded = await kept(world)
    await tell(world, loaded, ["2024-05-10 BUY 1 AAPL @ 90"], account=1)
    assert [one.kind for one in (await load(world, loaded)).told] == [AccountKind.TAX_EXEMPT]
