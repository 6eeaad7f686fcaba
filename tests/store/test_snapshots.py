"""What was stored comes back as the same values, to the last digit, in a written number of statements."""

import pickle
from datetime import timedelta
from decimal import Decimal

from app.core import drift
from app.core.portfolio import AssetClass
from app.store import portfolios, reading
from tests.builders import AS_OF, absolute, asset, relative, sleeve, snapshot, weights
from tests.store.world import World


async def test_a_snapshot_comes_back_as_it_was_stored(each_world: World) -> None:
    wanted = snapshot(
        {
            "main": "10.000000000000000001 AAPL {150.5 USD 2024-01-05} @ 180.123456789012345678, 500.0000000001 cash",
            "pension TAX_DEFERRED": "3 BND {70 USD 2023-02-01} @ 71, 2 BND {69 USD 2022-02-01}, 20 EUR cash",
        },
        {
            "AAPL": sleeve("60.5", "AAPL", band=absolute("2.5")),
            "BONDS": sleeve("29.5", of=AssetClass.BOND),
            "CASH": "10",
        },
        band=relative("20", floor="1"),
        assets=[asset("BND", AssetClass.BOND, step="0.001", min_notional="5")],
        rates={"EUR/USD": "1.085"},
    )
    kept = (await each_world.keep(wanted)).snapshot

    main, pension = kept.portfolio.accounts
    assert (main.name, main.kind.value, dict(main.cash)) == ("main", "TAXABLE", {"USD": Decimal("500.0000000001")})
    assert [lot.quantity for lot in main.lots] == [Decimal("10.000000000000000001")]
    assert [str(lot.basis) for lot in main.lots] == ["1505"]
    assert [(lot.acquired_on.year, str(lot.quantity)) for lot in pension.lots] == [(2022, "2"), (2023, "3")]
    assert kept.policy == wanted.policy
    assert kept.targets
    assert [(entry.key, str(entry.percent), entry.band) for entry in kept.targets.entries] == [
        ("AAPL", "60.5", absolute("2.5")),
        ("BONDS", "29.5", None),
        ("CASH", "10", None),
    ]
    prices = {kept.market.assets[key].symbol: str(price.value) for key, price in kept.market.prices.items()}
    assert prices == {"AAPL": "180.123456789012345678", "BND": "71", "EUR": "1.085"}
    assert weights(drift.measure(kept)) == weights(drift.measure(wanted))


async def test_a_portfolio_takes_four_statements_and_so_do_many(world: World) -> None:
    for place in range(3):
        await world.keep(snapshot("10 AAPL @ 180, 500 cash", {"AAPL": "60", "CASH": "40"}), name=f"P{place}")
    async with world.reading() as tx:
        before = world.store.statements
        found = await reading.load_snapshots(world.owner_id, tx, None, AS_OF, 100)
        assert world.store.statements - before == 4
        assert [loaded.row.name for loaded in found] == ["P0", "P1", "P2"]
        await reading.load_snapshot(world.owner_id, tx, found[0].row.public_id, AS_OF)
        assert world.store.statements - before == 8


async def test_pages_go_on_after_a_row(world: World) -> None:
    kept = [await world.keep(snapshot("100 cash"), name=f"P{place}") for place in range(3)]
    async with world.reading() as tx:
        first = await reading.load_snapshots(world.owner_id, tx, None, AS_OF, 2)
        rest = await reading.load_snapshots(world.owner_id, tx, None, AS_OF, 2, first[-1].row.id)
    assert [loaded.row.public_id for loaded in first + rest] == [loaded.row.public_id for loaded in kept]


async def test_somebody_elses_portfolio_does_not_exist(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 180", {"AAPL": "100"}))
    bob = await world.other()
    async with bob.reading() as tx:
        assert await reading.load_snapshot(bob.owner_id, tx, kept.row.public_id, AS_OF) is None
        assert await reading.load_snapshots(bob.owner_id, tx, [kept.row.public_id], AS_OF, 10) == []
        assert await portfolios.load_portfolio(bob.owner_id, tx, kept.row.public_id) is None


async def test_what_is_no_id_is_not_found(world: World) -> None:
    async with world.reading() as tx:
        for wrong in ("", "pf_", "pf_zzzzzzzzzzzzzzzzzzzzzzzzzz", "as_00000000000000000000000000", "pf_\x00"):
            assert await reading.load_snapshot(world.owner_id, tx, wrong, AS_OF) is None


async def test_a_portfolio_without_anything_has_no_targets_and_no_value(world: World) -> None:
    kept = await world.keep(snapshot(""))
    assert kept.snapshot.targets is None
    assert kept.row.targets_version == 0
    assert drift.measure(kept.snapshot).status is drift.DriftStatus.NO_TARGETS


async def test_a_snapshot_can_go_to_another_process(world: World) -> None:
    kept = await world.keep(snapshot("10 AAPL @ 180", {"AAPL": "100"}))
    assert pickle.loads(pickle.dumps(kept.snapshot)) == kept.snapshot


async def test_only_a_newer_price_becomes_the_latest(world: World) -> None:
    kept = await world.keep(snapshot("1 AAPL @ 180", {"AAPL": "100"}))
    await world.price("AAPL", "170", AS_OF - timedelta(days=1))
    assert drift.measure((await world.find(kept.row.public_id)).snapshot).valuation.value == 180
    await world.price("AAPL", "190", AS_OF + timedelta(days=1))
    after = await world.find(kept.row.public_id, AS_OF + timedelta(days=1))
    assert drift.measure(after.snapshot).valuation.value == 190


async def test_a_reading_transaction_sees_one_instant(world: World) -> None:
    kept = await world.keep(snapshot("1 AAPL @ 180", {"AAPL": "100"}))
    async with world.reading() as tx:
        before = await reading.load_snapshot(world.owner_id, tx, kept.row.public_id, AS_OF)
        await world.price("AAPL", "999", AS_OF + timedelta(hours=1))
        assert await reading.load_snapshot(world.owner_id, tx, kept.row.public_id, AS_OF) == before


async def test_many_portfolios_of_many_owners_share_a_scan(world: World) -> None:
    bob = await world.other()
    one = await world.keep(snapshot("1 AAPL @ 180", {"AAPL": "100"}))
    two = await bob.keep(snapshot("2 AAPL @ 180", {"AAPL": "100"}))
    async with world.store.shared(reading=True) as tx:
        found = await reading.scan_snapshots(tx, AS_OF, one.row.id, two.row.id, AS_OF)
    assert [(loaded.row.owner_id, loaded.snapshot.market.prices) for loaded in found] == [
        (world.owner_id, {}),
        (bob.owner_id, {}),
    ], "no price is pinned for this bucket"
    assert [loaded.snapshot.portfolio for loaded in found] == [one.snapshot.portfolio, two.snapshot.portfolio]
