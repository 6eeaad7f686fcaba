"""An import makes accounts hold exactly what it says, and writes down what it changed."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from app.context import new_uuid
from app.core import ids
from app.core.errors import Duplicate, InvalidInput, NotFound, VersionConflict
from app.core.policy import Policy
from app.core.portfolio import Account, PortfolioStatus
from app.store import portfolios, transactions
from app.store.transactions import Transaction
from tests.builders import AS_OF, snapshot, written
from tests.store.world import World, new_id


async def facts_of(world: World, portfolio_row_id: int) -> list[tuple[str, str | None, str | None, str]]:
    """Return side, quantity, amount and currency of each fact."""
    async with world.reading() as tx:
        found = await transactions.load_transactions(world.owner_id, tx, portfolio_row_id, 100)
    return [(fact.side, written(fact.quantity)[0], written(fact.amount)[0], fact.currency) for _, fact in found]


async def test_an_import_writes_what_it_adjusts(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL {150 USD 2024-01-05} @ 180, 500 cash, 20 EUR cash"))
    assert await facts_of(world, kept.row.id) == [
        ("ADJUST", "10", "1500", "USD"),
        ("ADJUST", None, "20", "EUR"),
        ("ADJUST", None, "500", "USD"),
    ]
    (main,) = kept.snapshot.portfolio.accounts
    less = replace(main.lots[0], id=new_id(ids.LOT), quantity=Decimal("7.5"), basis=Decimal(1125))
    async with world.writing() as tx:
        await world.hold(tx, kept.row.public_id, replace(main, lots=(less,), cash={"USD": Decimal(950)}))
    assert (await facts_of(world, kept.row.id))[3:] == [
        ("ADJUST", "-2.5", "-375", "USD"),
        ("ADJUST", None, "-20", "EUR"),
        ("ADJUST", None, "450", "USD"),
    ]


async def test_an_unchanged_lot_keeps_its_id_and_the_same_import_changes_nothing(world: World) -> None:
    ledger = "10 AAPL {150 USD 2024-01-05} @ 180, 10 AAPL {150 USD 2024-01-05}, 5 AAPL {160 USD 2024-02-05}"
    kept = await world.keep(snapshot(ledger))
    (main,) = kept.snapshot.portfolio.accounts
    again = replace(main, id=new_id(ids.ACCOUNT), lots=tuple(replace(lot, id=new_id(ids.LOT)) for lot in main.lots))
    before = await facts_of(world, kept.row.id)
    async with world.writing() as tx:
        await world.hold(tx, kept.row.public_id, again)
    after = await world.find(kept.row.public_id)
    assert after.snapshot.portfolio.accounts == (main,)
    assert await facts_of(world, kept.row.id) == before
    assert after.row.version == kept.row.version + 1


async def test_accounts_that_are_not_named_stay_and_new_ones_come_after(world: World) -> None:
    kept = await world.keep(snapshot({"main": "100 cash", "pension TAX_DEFERRED": "200 cash"}))
    main, pension = kept.snapshot.portfolio.accounts
    new = Account(new_id(ids.ACCOUNT), "gold", main.kind, {"USD": Decimal(1)})
    async with world.writing() as tx:
        await world.hold(tx, kept.row.public_id, replace(pension, cash={"USD": Decimal(250)}), new)
    after = (await world.find(kept.row.public_id)).snapshot.portfolio.accounts
    assert [(account.id, str(account.cash["USD"])) for account in after] == [
        (main.id, "100"),
        (pension.id, "250"),
        (new.id, "1"),
    ]


async def test_what_is_out_of_range_is_refused_and_nothing_is_stored(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 180, 100 cash"))
    (main,) = kept.snapshot.portfolio.accounts
    lot = main.lots[0]
    wrong = [
        ([replace(main, cash={"USD": Decimal(-1)})], InvalidInput, "cash -1 is below 0"),
        ([replace(main, cash={"USD": Decimal("0.00000000001")})], InvalidInput, "11 decimal places"),
        ([replace(main, lots=(replace(lot, quantity=Decimal(10) ** 15),))], InvalidInput, "must be smaller"),
        ([replace(main, lots=(replace(lot, basis=Decimal("NaN")),))], InvalidInput, "plain decimal number"),
        ([replace(main, lots=(replace(lot, asset_id="as_00000000000000000000000000"),))], InvalidInput, "not exist"),
        ([main, main], Duplicate, "main is given twice"),
    ]
    for accounts, error, message in wrong:
        with pytest.raises(error, match=message):
            async with world.writing() as tx:
                await world.hold(tx, kept.row.public_id, *accounts)
    assert await world.find(kept.row.public_id) == kept


async def test_the_database_itself_refuses_what_cannot_be(world: World) -> None:
    await world.keep(snapshot("10 AAPL @ 180, 100 cash"))
    for statement in (
        "UPDATE account_cash SET amount = -1",
        "UPDATE account_cash SET amount = 'NaN'",
        "UPDATE tax_lots SET quantity = 0",
        "UPDATE tax_lots SET quantity = 'NaN'",
        "UPDATE prices SET price = 0",
        "UPDATE prices SET price = 'NaN'",
        "UPDATE accounts SET kind = 'OFFSHORE'",
    ):
        with pytest.raises(Exception, match="violates check constraint"):
            await world.sql(statement)


async def test_nothing_can_hang_on_somebody_elses_portfolio(world: World) -> None:
    await world.keep(snapshot("10 AAPL @ 180, 100 cash"))
    bob = await world.other()
    with pytest.raises(Exception, match="violates foreign key constraint"):
        await world.sql("UPDATE accounts SET owner_id = $1", bob.owner_id)


async def test_an_import_for_an_old_version_is_a_conflict(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    (main,) = kept.snapshot.portfolio.accounts
    with pytest.raises(VersionConflict, match="portfolio is at version 2, not 1"):
        async with world.writing() as tx:
            await world.hold(tx, kept.row.public_id, main, expected_version=1)


async def test_somebody_elses_portfolio_cannot_be_changed(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    bob = await world.other()
    for change in (
        lambda tx: bob.hold(tx, kept.row.public_id, *kept.snapshot.portfolio.accounts),
        lambda tx: portfolios.update_portfolio(
            bob.owner_id, tx, kept.row.public_id, actor="bob", now=AS_OF, name="Mine"
        ),
    ):
        with pytest.raises(NotFound):
            async with bob.writing() as tx:
                await change(tx)
    assert await world.find(kept.row.public_id) == kept


async def test_an_update_changes_what_is_given_and_nothing_else(world: World) -> None:
    kept = await world.keep(snapshot("100 cash"))
    policy = Policy(warn_at=Decimal("70.5"), alert_after=3)
    async with world.writing() as tx:
        changed = await portfolios.update_portfolio(
            *(world.owner_id, tx, kept.row.public_id),
            actor="alice",
            now=AS_OF + timedelta(hours=1),
            status=PortfolioStatus.PAUSED,
            policy=policy,
            expected_version=2,
        )
    expected = replace(
        kept.row, status=PortfolioStatus.PAUSED, policy=policy, version=3, updated_at=AS_OF + timedelta(hours=1)
    )
    assert changed == (await world.find(kept.row.public_id)).row == expected
    with pytest.raises(VersionConflict):
        async with world.writing() as tx:
            await portfolios.update_portfolio(
                *(world.owner_id, tx, kept.row.public_id), actor="alice", now=AS_OF, name="X", expected_version=2
            )


async def test_transactions_are_added_and_listed_in_order(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 180, 100 cash"))
    (main,) = kept.snapshot.portfolio.accounts
    buy = Transaction(
        *(main.id, main.lots[0].asset_id, "BUY", Decimal("1.5"), Decimal("100.25"), Decimal("0.5"), None),
        currency="USD",
        traded_on=date(2024, 1, 5),
    )
    paid = Transaction(main.id, None, "DEPOSIT", None, None, None, Decimal(100), "USD", date(2024, 1, 4))
    async with world.writing() as tx:
        await transactions.append_transactions(
            world.owner_id, tx, kept.row.id, [buy, paid], actor="alice", now=AS_OF, new_uuid=new_uuid
        )
        with pytest.raises(NotFound, match="account ac_"):
            await transactions.append_transactions(
                *(world.owner_id, tx, kept.row.id, [replace(paid, account_id=new_id(ids.ACCOUNT))]),
                actor="alice",
                now=AS_OF,
                new_uuid=new_uuid,
            )
        found = await transactions.load_transactions(world.owner_id, tx, kept.row.id, 100)
        rest = await transactions.load_transactions(world.owner_id, tx, kept.row.id, 100, after=found[-2][0])
    assert [fact for _, fact in found[-2:]] == [buy, paid]
    assert [fact for _, fact in rest] == [paid]
