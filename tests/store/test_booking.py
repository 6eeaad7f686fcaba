"""Fills are booked: lots, cash, facts and the wash ledger move together, once, however the fills are batched."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from app.context import new_uuid
from app.core.errors import InvalidInput, NotFound
from app.core.lots import GainTerm
from app.core.money import ZERO, plain
from app.core.policy import LotMethod, Policy, TaxRegime
from app.core.tax import RecentBuy, RecentLoss
from app.store import booking, history, transactions
from app.store.transactions import Transaction
from tests.builders import AS_OF, asset, snapshot
from tests.store.booth import TAXED, Booth, drifted, fill, opened, second
from tests.store.world import World


async def value(world: World, sql: str, *arguments: object) -> Any:
    return await world.sql(sql, *arguments)


async def test_fills_move_lots_cash_facts_and_the_order_together(world: World) -> None:
    booth = await opened(world)
    assert [(p.trade.side.value, plain(p.trade.quantity)) for p in booth.plan.trades] == [
        ("SELL", "20"),
        ("BUY", "45"),
    ]
    sold = (fill("f1", "12", "181", "1.5"), fill("f2", "7.5", "180.5", "0.5"))
    assert await booth.book("SELL AAPL", *sold) == sold
    await booth.book("BUY BND", fill("g1", "20", "80.1", "1"), fill("g2", "10", "79.9"))

    assert await booth.lots() == [
        "30 AAPL cost 3000 of 2020-01-02",
        "0.5 AAPL cost 95 of 2024-05-20",
        "30 BND cost 2402 of 2024-06-03",
    ]
    assert await booth.cash() == {"USD": Decimal("1121.75")}  # 2170.5 + 1353.25 - 2402
    order = await value(world, "SELECT filled || ' ' || filled_value || ' ' || fees FROM orders WHERE side = 'SELL'")
    assert order == "19.5 3525.75 2.0"
    async with world.reading() as tx:
        facts = await transactions.load_transactions(world.owner_id, tx, booth.loaded.row.id, 100)
        lines = await history.load_history(world.owner_id, tx, booth.loaded.row.id, 100)
        assert await history.verify_history(world.owner_id, tx, booth.loaded.row.id) is None
    assert [(f.side, f.quantity, f.price, f.fees, f.amount) for _, f in facts if f.side in ("BUY", "SELL")] == [
        ("SELL", Decimal(12), Decimal(181), Decimal("1.5"), Decimal("2170.5")),
        ("SELL", Decimal("7.5"), Decimal("180.5"), Decimal("0.5"), Decimal("1353.25")),
        ("BUY", Decimal(20), Decimal("80.1"), Decimal(1), Decimal(1603)),
        ("BUY", Decimal(10), Decimal("79.9"), Decimal(0), Decimal(799)),
    ]
    booked = [line for line in lines if line.kind == "FILLS_BOOKED"]
    assert [(line.subject, line.actor, line.document["cash"]) for line in booked] == [
        (booth.orders["SELL AAPL"].id, "broker", {"USD": "3523.75"}),
        (booth.orders["BUY BND"].id, "broker", {"USD": "-2402"}),
    ]
    assert await value(world, "SELECT status FROM plans") == "EXECUTING"
    after = await world.find(booth.loaded.row.public_id)
    assert after.row.version == booth.loaded.row.version + 2


async def test_a_fill_told_again_is_booked_once_and_with_other_numbers_refused(world: World) -> None:
    booth = await opened(world)
    first = fill("f1", "2", "181")
    await booth.book("SELL AAPL", first)
    assert await booth.book("SELL AAPL", first, fill("f2", "3", "181"), fill("f2", "3", "181")) == (
        fill("f2", "3", "181"),
    )
    assert await booth.book("SELL AAPL", first) == ()
    assert (await booth.cash())["USD"] == Decimal(905)
    with pytest.raises(InvalidInput, match=r"fill f1 was booked as 2 @ 181, fee 0, and now is 2 @ 182, fee 0"):
        await booth.book("SELL AAPL", fill("f1", "2", "182"))


async def test_fills_beyond_the_order_and_numbers_that_cannot_be_are_refused_and_nothing_is_booked(
    world: World,
) -> None:
    booth = await opened(world)
    for wrong, message in (
        ((fill("f1", "19", "180"), fill("f2", "2", "180")), "fill f2 of 2 would bring order .* to 21; 20 were"),
        ((fill("f1", "0", "180"),), "fill f1 needs a quantity and a price above 0"),
        ((fill("f1", "1", "180", "-1"),), "fee of fill f1 -1 is below 0"),
        ((fill("f1", "1", "1.0000000000000000001"),), "price of fill f1 .* has 19 decimal places"),
    ):
        with pytest.raises(InvalidInput, match=message):
            await booth.book("SELL AAPL", *wrong)
    assert await booth.cash() == {}
    assert await value(world, "SELECT count(*) FROM fills") == 0
    other = await world.other()
    with pytest.raises(NotFound):
        async with other.writing() as tx:
            await booking.book_fills(
                *(other.owner_id, tx, booth.orders["SELL AAPL"], (fill("f1", "1", "180"),)),
                actor="bob",
                now=AS_OF,
                new_uuid=new_uuid,
            )


async def end_state(booth: Booth) -> object:
    rows = await booth.world.sql(
        """
        SELECT jsonb_agg(jsonb_build_array(
            trim_scale(s.quantity), trim_scale(s.proceeds), trim_scale(s.basis), s.is_loss
        ) ORDER BY s.id)
        FROM lot_sales s JOIN plans l ON l.id = s.plan_id
        WHERE l.portfolio_id = $1
        """,
        booth.loaded.row.id,
    )
    return await booth.lots(), await booth.cash(), rows


async def test_the_end_is_the_same_however_fills_are_batched(world: World) -> None:
    sold = [
        fill(f"f{n}", units, price, "0.37")
        for n, (units, price) in enumerate([("3.3", "181.11"), ("7.1", "179.3333"), ("2.05", "180"), ("7.55", "181")])
    ]
    bought = [fill(f"g{n}", "5.7", "80.0123", "0.11") for n in range(4)]
    ends = []
    for cuts in ([0, 4], [0, 1, 4], [0, 1, 2, 3, 4]):
        world_of = await world.other(f"owner-{len(cuts)}")
        booth = await opened(world_of)
        for order, fills in (("SELL AAPL", sold), ("BUY BND", bought)):
            for start, stop in pairwise(cuts):
                await booth.book(order, *fills[start:stop])
        ends.append(await end_state(booth))
    assert ends[0] == ends[1] == ends[2]


async def test_slices_of_a_leg_take_the_lots_it_names_one_after_the_other(world: World) -> None:
    booth = await opened(world, drifted(Policy(lot_method=LotMethod.FIFO)))
    sales = booth.plan.trades[0].trade.sales
    assert [plain(sale.quantity) for sale in sales] == ["20"]
    await booth.book("SELL AAPL", fill("f1", "9", "180"))
    second = await booth.order(1, 2, Decimal(11))
    await booth.book(second, fill("f1", "11", "180"))
    assert (await booth.lots())[0] == "10 AAPL cost 1000 of 2020-01-02"


async def test_a_loss_goes_into_the_lot_that_replaces_it_in_another_portfolio_and_the_next_plan_knows(
    world: World,
) -> None:
    booth = await opened(world)
    kept = await second(world, {"main": "6 AAPL {170 USD 2024-05-27} @ 180, 1 cash", "ira TAX_EXEMPT": "1 AAPL {1}"})
    other = Booth(world, kept, booth.plan, "")
    await booth.book("SELL AAPL", fill("f1", "8", "180"))
    assert await other.lots() == [
        "6 AAPL cost 1080 of 2024-05-27 held from 2024-05-13",
        "1 AAPL cost 1 of 2020-01-02",
    ]
    await booth.book("SELL AAPL", fill("f2", "12", "180"))
    facts = await booth.facts()
    assert facts.buys == ()
    group = booth.orders["SELL AAPL"].asset.id
    assert facts.losses == (
        RecentLoss(group, Decimal(2), Decimal(10), GainTerm.SHORT, AS_OF.date()),
        RecentLoss(group, Decimal(12), Decimal(10), GainTerm.SHORT, AS_OF.date()),
    )
    assert (facts.short_gain, facts.long_gain) == (Decimal(-140), ZERO)
    assert (await booth.facts(AS_OF + timedelta(days=31))).losses == ()


async def test_what_a_stranger_of_the_taxpayer_group_holds_is_left_alone(world: World) -> None:
    bob = await world.other()
    kept = await second(bob, {"main": "6 AAPL {170 USD 2024-05-27} @ 180"})
    booth = await opened(world)
    await world.sql(
        "UPDATE accounts SET taxpayer_group_id = (SELECT id FROM taxpayer_groups WHERE owner_id = $1) "
        "WHERE owner_id = $2",
        *(world.owner_id, bob.owner_id),
    )
    await booth.book("SELL AAPL", fill("f1", "20", "180"))
    assert await Booth(bob, kept, booth.plan, "").lots() == ["6 AAPL cost 1020 of 2024-05-27"]


async def test_a_purchase_washes_losses_that_were_only_told_and_the_next_plan_knows(world: World) -> None:
    booth = await opened(world)
    bnd = booth.orders["BUY BND"].asset.id
    main = booth.loaded.snapshot.portfolio.accounts[0].id
    told = [
        Transaction(main, bnd, side, Decimal(30), Decimal(price), ZERO, Decimal(1), "USD", day)
        for side, price, day in (
            ("BUY", "90", AS_OF.date() - timedelta(days=60)),
            ("SELL", "85", AS_OF.date() - timedelta(days=10)),
        )
    ]
    async with world.writing() as tx:
        await transactions.append_transactions(
            *(world.owner_id, tx, booth.loaded.row.id, told), actor="alice", now=AS_OF, new_uuid=new_uuid
        )
    assert [loss.quantity for loss in (await booth.facts()).losses] == [Decimal(30)]
    await booth.book("BUY BND", fill("g1", "20", "80"))
    assert [(loss.quantity, loss.loss_per_unit) for loss in (await booth.facts()).losses] == [(Decimal(10), Decimal(5))]
    await booth.book("BUY BND", fill("g2", "20", "80"))
    facts = await booth.facts()
    assert facts.losses == ()
    assert facts.short_gain == ZERO
    lots = await booth.lots()
    assert lots[2:] == [
        "30 BND cost 2550 of 2024-06-03 held from 2024-04-14",
        "10 BND cost 800 of 2024-06-03",
    ]
    newest = next(
        lot.id
        for account in (await world.find(booth.loaded.row.public_id)).snapshot.portfolio.accounts
        for lot in account.lots
        if lot.asset_id == bnd and lot.holding_from == AS_OF.date()
    )
    assert [buy for buy in facts.buys if buy.group == bnd] == [RecentBuy(bnd, Decimal(10), AS_OF.date(), newest)]


async def test_no_wash_where_the_policy_knows_no_tax(world: World) -> None:
    booth = await opened(world, drifted(replace(TAXED, tax_regime=TaxRegime.NONE)))
    other = Booth(world, await second(world, {"main": "6 AAPL {170 USD 2024-05-27} @ 180"}), booth.plan, "")
    await booth.book("SELL AAPL", fill("f1", "8", "180"))
    assert await other.lots() == ["6 AAPL cost 1020 of 2024-05-27"]


async def test_money_is_converted_at_the_rate_of_the_plan(world: World) -> None:
    wanted = snapshot(
        "10 SAP {100 USD 2020-01-02} @ 150, 10 AAPL {100 USD 2020-01-02} @ 100",
        {"SAP": "50", "AAPL": "50"},
        rates={"EUR/USD": "1.1"},
        assets=[asset("SAP", currency="EUR", step="0.01"), asset("AAPL", step="0.01")],
        policy=TAXED,
    )
    booth = await opened(world, wanted)
    await world.price("EUR", "1.3")
    await booth.book("SELL SAP", fill("f1", "1", "155", "2"))
    assert await booth.cash() == {"USD": Decimal("168.3")}
    assert await value(world, "SELECT amount || ' ' || currency FROM transactions WHERE side = 'SELL'") == (
        "153.0000000000 EUR"
    )


async def test_what_a_broker_did_is_booked_even_if_the_account_had_not_that_much(world: World) -> None:
    booth = await opened(world)
    await booth.book("BUY BND", fill("g1", "2", "80", "1"))
    assert await booth.cash() == {"USD": Decimal(-161)}


async def test_lots_that_somebody_took_away_are_made_up_for_and_it_is_in_the_history(world: World) -> None:
    booth = await opened(world)
    account = booth.loaded.snapshot.portfolio.accounts[0]
    async with world.writing() as tx:
        await world.hold(tx, booth.loaded.row.public_id, replace(account, lots=account.lots[:1]))
    await booth.book("SELL AAPL", fill("f1", "20", "180"))
    assert await booth.lots() == ["10 AAPL cost 1000 of 2020-01-02"]
    async with world.reading() as tx:
        lines = await history.load_history(world.owner_id, tx, booth.loaded.row.id, 100)
    assert lines[-1].document["notes"] == [
        "20 of 20 units were taken by MIN_TAX: the lots that the plan names are gone."
    ]


async def test_bookings_of_a_taxpayer_group_side_by_side_see_each_other(world: World) -> None:
    """Each sells 10 of 20 at a loss; what is left of the one replaces what the other sold, each share once."""
    booths = [await opened(world) for _ in range(2)]
    orders = [await booth.order(1, 2, Decimal(20)) for booth in booths]
    fills = [fill(f"f{n}", "1", "180") for n in range(10)]
    await asyncio.gather(
        *(booth.book(order, one) for booth, order in zip(booths, orders, strict=True) for one in fills)
    )
    matched = await value(world, "SELECT sum(quantity) FROM replacements")
    replaced = await value(world, "SELECT sum(quantity) FROM tax_lots WHERE replaced")
    sold = await value(world, "SELECT sum(quantity) FROM lot_sales")
    assert (matched, replaced, sold) == (Decimal(20), Decimal(20), Decimal(20))
