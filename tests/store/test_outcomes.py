"""What became of a plan: worked out from what was booked, kept with it, and given back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from app.actions import outcomes
from app.core import ids
from app.core.money import ZERO
from app.core.order_values import Order, OrderStatus
from app.core.outcome import LegOutcome, Outcome
from app.core.plan import TaxEstimate
from app.core.trades import TradeSide
from app.store import documents, portfolios
from app.store.plan_reading import load_plan
from tests.builders import AS_OF
from tests.store.booth import Booth, fill, opened, second
from tests.store.world import World


async def ended(booth: Booth, name: str, status: OrderStatus, message: str = "") -> Order:
    """Return an order of the booth as it is in the end, with what is booked of it."""
    order = booth.orders[name]
    async with booth.world.reading() as tx:
        row = await tx.row(
            """
            SELECT trim_scale(filled) AS filled, trim_scale(filled_value) AS filled_value, trim_scale(fees) AS fees
            FROM orders WHERE owner_id = $1 AND public_id = $2
            """,
            *(booth.world.owner_id, ids.decode(ids.ORDER, order.id)),
        )
    assert row
    return replace(order, **row, status=status, message=message)


async def work_out(booth: Booth, *orders: Order) -> Outcome:
    async with booth.world.writing() as tx:
        await portfolios.lock_portfolio(booth.world.owner_id, tx, booth.loaded.row.public_id)
        return await outcomes.work_out(booth.world.owner_id, tx, booth.plan_id, orders, AS_OF + timedelta(hours=1))


async def test_outcome_tells_slippage_fees_tax_and_what_remains(world: World) -> None:
    booth = await opened(world)
    await second(world, {"main": "6 AAPL {170 USD 2024-05-27} @ 180"})
    await booth.book("SELL AAPL", fill("f1", "12", "179", "1.5"), fill("f2", "8", "180.5", "0.5"))
    await booth.book("BUY BND", fill("g1", "20", "80.1", "1"))
    sold = await ended(booth, "SELL AAPL", OrderStatus.FILLED)
    bought = await ended(booth, "BUY BND", OrderStatus.CANCELLED, "the price had moved")
    outcome = await work_out(booth, sold, bought)

    main = booth.loaded.snapshot.portfolio.accounts[0].id
    assert outcome.legs == (
        LegOutcome(
            *(1, "AAPL", main, TradeSide.SELL, Decimal(20), Decimal(20), Decimal(180), Decimal("179.6")),
            *(Decimal(8), Decimal("22.2222"), Decimal(2), ZERO, ZERO),
        ),
        LegOutcome(
            *(2, "BND", main, TradeSide.BUY, Decimal(45), Decimal(20), Decimal(80), Decimal("80.1")),
            *(Decimal(2), Decimal("12.5"), Decimal(1), ZERO, Decimal(25), "it was cancelled: the price had moved"),
        ),
    )
    assert (outcome.slippage, outcome.slippage_bps) == (Decimal(10), Decimal("19.2308"))  # of 3,600 + 1,600
    assert (outcome.fees, outcome.fees_planned) == (Decimal(3), ZERO)
    # 12 sold for 2,146.50 and 8 for 1,443.50, of a lot at 190; 6 of the first are washed: 133.5 / 2.
    assert outcome.tax == TaxEstimate(
        short_term_gain=Decimal(-210),
        estimated_tax=Decimal("-42.975"),
        losses=Decimal(210),
        disallowed=Decimal("66.75"),
    )
    assert outcome.tax_planned == booth.plan.summary.tax


async def test_outcome_is_kept_with_the_plan_and_comes_back_as_it_was(world: World) -> None:
    booth = await opened(world)
    await booth.book("BUY BND", fill("g1", "0.3", "80.11", "1"))
    bought = await ended(booth, "BUY BND", OrderStatus.REJECTED)
    outcome = await work_out(booth, bought)
    assert [leg.symbol for leg in outcome.legs] == ["BND"]  # the other one was never approved
    assert outcome.legs[0].why == "the broker rejected it"
    await world.sql("UPDATE plans SET outcome = $1", documents.dump(outcome))
    async with world.reading() as tx:
        stored = await load_plan(world.owner_id, tx, booth.plan_id)
    assert stored
    assert stored.outcome == outcome


async def test_nothing_filled_has_no_average_and_no_slippage(world: World) -> None:
    booth = await opened(world)
    outcome = await work_out(booth, await ended(booth, "SELL AAPL", OrderStatus.EXPIRED, "its day was over"))
    leg = outcome.legs[0]
    assert (leg.average_price, leg.slippage, leg.slippage_bps, leg.remaining) == (None, ZERO, None, Decimal(20))
    assert (outcome.slippage_bps, outcome.tax) == (None, TaxEstimate())


async def test_losses_of_before_that_a_purchase_washed_are_told(world: World) -> None:
    """What one plan sold at a loss another one buys back."""
    first = await opened(world)
    await first.book("SELL AAPL", fill("f1", "20", "180"))
    again = await second(world, {"main": "9 BND {80 USD 2020-01-02} @ 80"})
    booth = await Booth.open(world, again)
    assert [planned.trade.side for planned in booth.plan.trades] == [TradeSide.SELL, TradeSide.BUY]
    await booth.book("BUY AAPL", fill("g1", "4", "180"))
    outcome = await work_out(booth, await ended(booth, "BUY AAPL", OrderStatus.FILLED))
    assert outcome.tax == TaxEstimate(forfeited=Decimal(40))
