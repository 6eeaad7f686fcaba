"""The paper broker's market: exact fills at recorded prices, limits, sessions, parts and waits by seed."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import paper
from app.core.costs import Costs, Liquidity
from app.core.money import ZERO
from app.core.order_values import Fill, OrderStatus, OrderStyle, Ticket
from app.core.paper import PaperOrder, PaperRules
from app.core.portfolio import Asset, AssetClass, Price
from app.core.trades import TradeSide
from tests.builders import AS_OF, asset
from tests.core.samples import PROPERTY

PLAIN = asset("AAPL", step="1")
# Half a spread of 10 basis points; 0.1 % of the order is its fee, at least 1.
DEAR = replace(PLAIN, costs=Costs(rate=Decimal("0.001"), minimum=Decimal(1), half_spread=Decimal("0.001")))
# Y x sigma x sqrt(units / volume) = 1 x 0.02 x sqrt(100 / 10000) = 0.002 for 100 units.
THIN = replace(DEAR, liquidity=Liquidity(Decimal(10_000), Decimal("0.02")))
EXACTLY = PaperRules()
# Minutes from a Monday noon in New York to the end of its session, and to the beginning of Tuesday's.
CLOSE, NEXT_OPEN = 240, 1290
HALF_MINUTE = PaperRules(latency_s=30)
IN_PARTS = PaperRules(partial=Decimal(100))


def at(minutes: float) -> datetime:
    return AS_OF + timedelta(minutes=minutes)


def ticket(
    side: str = "BUY", units: str = "100", limit: str | None = None, of: Asset = PLAIN, client_id: str = "pl_1-1-1"
) -> Ticket:
    style = OrderStyle.MARKET if limit is None else OrderStyle.LIMIT
    bound = None if limit is None else Decimal(limit)
    return Ticket(client_id, "ac_1", of, TradeSide[side], Decimal(units), style, bound)


def nav(units: str) -> Ticket:
    return replace(ticket(units=units, of=asset("FUND", AssetClass.FUND)), style=OrderStyle.NAV)


def prices(*told: tuple[float, str]) -> list[Price]:
    return [Price(Decimal(number), at(minutes)) for minutes, number in told]


def worked(
    wanted: Ticket,
    told: list[Price],
    until: float,
    rules: PaperRules = EXACTLY,
    placed: float = 0,
) -> PaperOrder:
    return paper.progress(paper.accept(wanted, rules, at(placed)), told, rules, at(until))


def minutes(instant: datetime) -> float:
    return round((instant - AS_OF).total_seconds() / 60, 9)


def seen(order: PaperOrder) -> list[tuple[str, str, str, float]]:
    """Return units, price, fee and minute of each fill."""
    return [
        (str(fill.quantity), str(fill.price), str(fill.fee.normalize()), minutes(fill.filled_at))
        for fill in order.fills
    ]


@pytest.mark.parametrize(
    ("side", "of", "last", "price"),
    [
        ("BUY", PLAIN, "150", "150.00"),
        ("SELL", PLAIN, "150", "150.00"),
        ("BUY", PLAIN, "150.001", "150.01"),  # off the tick: against us
        ("SELL", PLAIN, "150.009", "150.00"),
        ("BUY", DEAR, "150", "150.15"),  # 150 x 1.001
        ("SELL", DEAR, "150", "149.85"),
        ("BUY", DEAR, "99.99", "100.09"),  # 100.08999
        ("SELL", DEAR, "99.99", "99.89"),  # 99.89001
        ("BUY", THIN, "150", "150.45"),  # 150 x (1 + 0.001 + 0.002)
        ("SELL", THIN, "150", "149.55"),
        ("SELL", THIN, "0.01", "0.01"),  # never below one tick
        ("BUY", replace(THIN, price_step=Decimal(0)), "1.23456789", "1.23827159367"),
    ],
)
def test_price_is_the_last_one_with_half_the_spread_and_impact_to_the_tick_against_us(
    side: str, of: Asset, last: str, price: str
) -> None:
    found = paper.price_at(ticket(side, of=of), Decimal(last))
    assert found == Decimal(price)


@pytest.mark.parametrize(
    ("side", "limit", "last", "price"),
    [
        ("BUY", "150.15", "150", "150.15"),  # the touch is the limit: reached, and impact does not go beyond it
        ("BUY", "150.14", "150", None),
        ("BUY", "150.30", "150", "150.30"),
        ("BUY", "151", "150", "150.45"),
        ("SELL", "149.85", "150", "149.85"),
        ("SELL", "149.86", "150", None),
        ("SELL", "149.00", "150", "149.55"),
    ],
)
def test_limit_is_reached_by_the_touch_and_no_fill_is_beyond_it(
    side: str, limit: str, last: str, price: str | None
) -> None:
    found = paper.price_at(ticket(side, limit=limit, of=THIN), Decimal(last))
    assert found == (None if price is None else Decimal(price))


def test_market_order_is_filled_at_the_price_that_holds_and_pays_the_schedule() -> None:
    order = worked(ticket(of=DEAR), prices((-600, "90"), (-5, "100")), until=1)
    assert order.status is OrderStatus.FILLED
    assert seen(order) == [("100", "100.10", "10.01", 0)]  # 0.1 % of 10010


def test_no_fill_is_at_a_price_that_cannot_be() -> None:
    most = Decimal("999999999999.999999999999999999")
    assert paper.price_at(ticket(of=DEAR), Decimal("999999999999")) == most
    assert paper.price_at(ticket(of=replace(DEAR, price_step=ZERO), limit=str(most)), Decimal("999999999999")) == most


def test_limit_order_waits_until_the_price_crosses() -> None:
    told = prices((-5, "101"), (3, "100.5"), (4, "100"), (5, "99"))
    wanted = ticket(limit="100")
    assert worked(wanted, told, until=3.9).status is OrderStatus.WORKING
    order = worked(wanted, told, until=4)
    assert (order.status, seen(order)) == (OrderStatus.FILLED, [("100", "100.00", "0", 4)])


def test_order_without_any_price_waits_for_one() -> None:
    assert worked(ticket(), [], until=60).status is OrderStatus.WORKING
    assert seen(worked(ticket(), prices((30, "100")), until=60)) == [("100", "100.00", "0", 30)]


def test_fund_order_is_filled_at_the_next_price_whatever_the_last_was() -> None:
    wanted = nav("12.5")
    assert worked(wanted, prices((-5, "20"), (0, "20.5")), until=60).status is OrderStatus.WORKING
    order = worked(wanted, prices((-5, "20"), (0, "20.5"), (300, "21.123")), until=600)
    assert (order.status, seen(order)) == (OrderStatus.FILLED, [("12.5", "21.123", "0", 300)])


def test_what_is_left_at_the_end_of_the_session_expires() -> None:
    told = prices((-5, "101"), (10, "100.01"), (CLOSE + 1, "99"))
    order = worked(ticket(limit="100"), told, until=CLOSE)
    assert (order.status, order.fills, order.message) == (OrderStatus.EXPIRED, (), "the session ended")
    assert worked(ticket(limit="100"), told, until=CLOSE + 60) == replace(order, seen_until=at(CLOSE + 60))
    assert worked(ticket(limit="100"), told, until=CLOSE - 1).status is OrderStatus.WORKING
    closing = prices((-5, "101"), (CLOSE, "99"))
    assert seen(worked(ticket(limit="100"), closing, until=CLOSE + 60)) == [("100", "99.00", "0", CLOSE)]
    coins = ticket(limit="100", of=asset("BTC"))
    assert seen(worked(coins, told, until=CLOSE + 60)) == [("100", "99.00", "0", CLOSE + 1)]


def test_order_of_the_night_is_filled_when_its_session_opens() -> None:
    told = prices((CLOSE, "100"), (NEXT_OPEN - 5, "102"))
    assert worked(ticket(), told, until=NEXT_OPEN - 1, placed=CLOSE + 60).status is OrderStatus.WORKING
    assert seen(worked(ticket(), told, until=NEXT_OPEN, placed=CLOSE + 60)) == [("100", "102.00", "0", NEXT_OPEN)]
    late = worked(ticket(limit="90"), told, until=NEXT_OPEN + 389, placed=CLOSE)
    assert late.status is OrderStatus.WORKING
    assert paper.progress(late, told[1:], EXACTLY, at(NEXT_OPEN + 390)).status is OrderStatus.EXPIRED


def test_wait_is_drawn_from_the_seed_and_the_price_after_it_counts() -> None:
    told = prices((-5, "100"), (0.3, "101"))
    early, late = ticket(client_id="pl_1-7-1"), ticket()
    assert seen(worked(early, told, 1, HALF_MINUTE)) == [("100", "100.00", "0", 0.047642)]  # 0.095284 of 30 s
    assert seen(worked(late, told, 1, HALF_MINUTE)) == [("100", "101.00", "0", 0.3682815)]
    assert worked(late, told, 0.36, HALF_MINUTE).status is OrderStatus.WORKING


def test_order_in_parts_is_filled_on_the_step_and_pays_the_minimum_once() -> None:
    rules = replace(IN_PARTS, latency_s=60)
    order = worked(ticket(of=DEAR), prices((-5, "10")), 10, rules)
    assert (order.status, seen(order)) == (
        OrderStatus.FILLED,
        [
            *(("25", "10.01", "1", 0.736563), ("25", "10.01", "0", 0.989207)),  # at least 1 for the order, not for each
            *(("25", "10.01", "0", 1.354558), ("25", "10.01", "0.001", 2.170059)),  # 0.1 % of 1001
        ],
    )
    assert worked(ticket(of=DEAR), prices((-5, "10")), 0.5, rules).status is OrderStatus.WORKING


def test_parts_that_fall_on_one_step_are_one() -> None:
    assert [fill.quantity for fill in worked(ticket(units="1"), prices((-5, "10")), 1, IN_PARTS).fills] == [1]
    assert sum(fill.quantity for fill in worked(ticket(units="2"), prices((-5, "10")), 1, IN_PARTS).fills) == 2


def test_share_of_orders_is_rejected_and_another_seed_rejects_others() -> None:
    def rejected(seed: int) -> set[int]:
        rules = PaperRules(seed=seed, rejected=Decimal(10))
        orders = {leg: paper.accept(ticket(client_id=f"pl_1-{leg}-1"), rules, AS_OF) for leg in range(1000)}
        return {leg for leg, order in orders.items() if order.status is OrderStatus.REJECTED}

    assert (len(rejected(1)), len(rejected(2))) == (116, 96)
    assert rejected(1) == rejected(1) != rejected(2)
    refused = paper.accept(ticket(), PaperRules(rejected=Decimal(100)), AS_OF)
    assert refused.told.message == "the paper broker's seed rejects it"
    assert paper.progress(refused, prices((-5, "10")), EXACTLY, at(1)) == refused


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (ticket(of=replace(PLAIN, tradable=False)), "AAPL is not traded"),
        (ticket(units="1.5"), "1.5 units are no multiple of the step 1"),
        (ticket(limit="10.005"), "the limit 10.005 is no multiple of the tick 0.01"),
    ],
)
def test_what_no_venue_takes_is_rejected(wanted: Ticket, message: str) -> None:
    order = paper.accept(wanted, EXACTLY, AS_OF)
    assert (order.status, order.message) == (OrderStatus.REJECTED, message)


def test_cancelled_order_keeps_its_fills_and_gets_no_more() -> None:
    rules = replace(IN_PARTS, latency_s=60)
    part = worked(ticket(), prices((-5, "10")), 1, rules)
    done = paper.cancel(part)
    assert (done.status, [fill.quantity for fill in done.fills]) == (OrderStatus.CANCELLED, [Decimal(25), Decimal(25)])
    assert paper.progress(done, prices((-5, "10")), rules, at(60)) == done
    filled = worked(ticket(), prices((-5, "10")), 60, rules)
    assert paper.cancel(filled) == filled


def test_price_that_comes_late_does_not_change_what_was_told() -> None:
    """A price of minute 2 that is recorded after minute 5 fills what it crosses only from minute 5 on."""
    before = worked(ticket(limit="100"), prices((-5, "101")), until=5)
    after = paper.progress(before, prices((2, "99")), EXACTLY, at(6))
    assert seen(after) == [("100", "99.00", "0", 5)]
    back = paper.progress(after, prices((2, "99")), EXACTLY, at(3))  # a clock that was moved back
    assert back == after


def told_in_steps(wanted: Ticket, told: list[Price], stops: list[float], rules: PaperRules) -> tuple[Fill, ...]:
    order = paper.accept(wanted, rules, AS_OF)
    for minutes in stops:
        known = [price for price in told if price.priced_at <= at(minutes)]
        since = [price for price in known if price.priced_at <= order.seen_until][-1:]
        window = [*since, *(price for price in known if price.priced_at > order.seen_until)]
        order = paper.progress(order, window, rules, at(minutes))
    return order.fills


@PROPERTY
@given(
    moves=st.lists(st.integers(950, 1050), min_size=1, max_size=8),
    stops=st.lists(st.integers(0, 300), max_size=6),
    limit=st.one_of(st.none(), st.integers(960, 1040)),
    side=st.sampled_from(["BUY", "SELL"]),
    rules=st.builds(PaperRules, st.integers(0, 5), st.integers(0, 1800), st.sampled_from([Decimal(0), Decimal(100)])),
)
def test_it_does_not_matter_how_often_an_order_is_asked_for(
    moves: list[int], stops: list[int], limit: int | None, side: str, rules: PaperRules
) -> None:
    told = prices(*((place * 40 - 5, str(move)) for place, move in enumerate(moves)))
    wanted = ticket(side, limit=None if limit is None else str(limit), of=THIN)
    at_once = told_in_steps(wanted, told, [300], rules)
    assert told_in_steps(wanted, told, [*sorted(stops), 300], rules) == at_once
    assert sum(fill.quantity for fill in at_once) <= wanted.quantity
    for fill in at_once:
        assert AS_OF <= fill.filled_at <= at(CLOSE)
        if limit is not None:
            assert fill.price <= limit if side == "BUY" else fill.price >= limit
