"""What a person says of an order that nobody knows of: how it ends, and how that stands to what its broker says."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from app.core.errors import InvalidInput, InvalidState
from app.core.manual import FillDraft
from app.core.order_values import BrokerKind, BrokerOrder, CancelCause, Fill, Order, OrderStatus, OrderStyle
from app.core.settling import Place, SettleDraft, check_pooled, difference, fills_to_book, is_news, settled
from app.core.trades import TradeSide
from tests.builders import AS_OF, asset

ORDER = Order(
    id="or_1",
    client_id="pl_1-1-1",
    broker=BrokerKind.PAPER,
    account_id="ac_1",
    asset=asset("A", step="1"),
    side=TradeSide.SELL,
    style=OrderStyle.LIMIT,
    quantity=Decimal(10),
    limit=Decimal(99),
    status=OrderStatus.UNKNOWN,
    cause=CancelCause.REPRICE,
    placed_at=AS_OF - timedelta(hours=1),
    ask_at=AS_OF,
    asks=3,
    lost=2,
    plan_id="pl_1",
    leg=1,
    slice=1,
    due_at=AS_OF,
)


def fill(name: str, units: str, price: str = "100", fee: str = "0") -> Fill:
    return Fill(name, Decimal(units), Decimal(price), Decimal(fee), AS_OF)


def draft(name: str, units: str) -> FillDraft:
    return FillDraft(name, Decimal(units), Decimal(100))


@pytest.mark.parametrize(
    ("filled", "status"), [("0", OrderStatus.CANCELLED), ("9", OrderStatus.CANCELLED), ("10", OrderStatus.FILLED)]
)
def test_order_ends_with_what_is_booked_and_is_asked_for_no_more(filled: str, status: OrderStatus) -> None:
    after = settled(replace(ORDER, filled=Decimal(filled)), "as they say", AS_OF)
    assert (after.status, after.cause, after.message) == (status, CancelCause.SETTLED, "settled by hand: as they say")
    assert (after.ended_at, after.ask_at, after.asks, after.lost) == (AS_OF, None, 0, 0)


def test_fills_are_those_that_are_not_booked() -> None:
    booked = (fill("a", "4"),)
    told = SettleDraft("or_1", (draft("a", "4"), draft("b", "6")), "seen")
    assert fills_to_book(ORDER, "order", booked, told, AS_OF) == (fill("b", "6"),)
    with pytest.raises(InvalidInput, match="fill a was recorded before: 4 at 100, fee 0"):
        fills_to_book(ORDER, "order", booked, SettleDraft("or_1", (draft("a", "5"),), "seen"), AS_OF)


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.UNKNOWN])
def test_only_what_is_unknown_is_settled(status: OrderStatus) -> None:
    with pytest.raises(InvalidState, match=f"the block is {status.value}; only one that is UNKNOWN can be settled"):
        fills_to_book(replace(ORDER, status=status), "block", (), SettleDraft("bo_1", (), "seen"), AS_OF)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Place(OrderStatus.WORKING, "bo_1"), "the order is in block bo_1 with others; settle that (blockSettle)"),
        (
            Place(OrderStatus.WORKING, None),
            "the order waits in the pool of bulk bk_1; the pool knows how it stands, and says so soon",
        ),
        (Place(OrderStatus.CANCELLED, None), None),
        (None, None),
    ],
)
def test_order_that_its_pool_has_is_not_settled_by_itself(place: Place | None, message: str | None) -> None:
    pooled = replace(ORDER, pool="bk_1")
    if message is None:
        check_pooled(pooled, place)
        return
    with pytest.raises(InvalidState) as refused:
        check_pooled(pooled, place)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("booked", "told", "news"),
    [
        ([], [fill("f", "1")], True),
        ([fill("f", "1")], [fill("f", "1"), fill("g", "2")], True),
        ([fill("f", "1")], [fill("g", "1")], False),
        ([fill("f", "1")], [fill("f", "1", "101"), fill("g", "2")], False),
        ([fill("f", "1")], [fill("f", "1", "100", "0.1"), fill("g", "2")], False),
        ([fill("f", "1")], [], False),
    ],
)
def test_what_is_told_late_is_news_where_all_that_is_booked_is_among_it(
    booked: list[Fill], told: list[Fill], *, news: bool
) -> None:
    assert is_news(booked, told) is news


@pytest.mark.parametrize(
    ("status", "fills", "said"),
    [
        (OrderStatus.CANCELLED, [fill("x", "1"), fill("y", "3")], ""),
        (OrderStatus.WORKING, [fill("x", "4")], "it is WORKING there"),
        (OrderStatus.CANCELLED, [fill("x", "3")], "3 units are filled for 300 USD, not 4 for 400 USD"),
        (OrderStatus.FILLED, [fill("x", "4", "100.5")], "4 units are filled for 402 USD, not 4 for 400 USD"),
    ],
)
def test_difference_to_what_a_broker_says(status: OrderStatus, fills: list[Fill], said: str) -> None:
    order = replace(ORDER, filled=Decimal(4), filled_value=Decimal(400))
    assert difference(order, BrokerOrder("b", status, tuple(fills))) == said
