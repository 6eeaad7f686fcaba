"""Blocks: what orders get of what was filled of them together, who is put together, and what is done about a block."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.core import blocks
from app.core.blocks import Piece, Tended, Waiting, allocate, decide, fill_id, gather, is_late, standing
from app.core.desk import Act
from app.core.money import EXACT, ZERO, exactly, plain
from app.core.order_values import Block, BrokerKind, CancelCause, Fill, OrderStatus, OrderStyle
from app.core.trades import TradeSide
from tests.builders import AS_OF, asset
from tests.core.samples import PROPERTY

LATER: Final = timedelta(seconds=15)


def fills(*told: str) -> list[Fill]:
    """Read fills: `units @ price` or `units @ price fee F`."""
    read = []
    for number, text in enumerate(told, 1):
        units, _, price, *fee = text.split()
        read.append(Fill(f"f{number}", Decimal(units), Decimal(price), Decimal(fee[1]) if fee else ZERO, AS_OF))
    return read


def shared(quantities: str, step: str, *told: str, ended: bool = False) -> list[str]:
    """Write the pieces: `member: units of fill.since fee F`."""
    pieces = allocate([Decimal(one) for one in quantities.split()], Decimal(step), fills(*told), ended=ended)
    return [
        f"{one.member}: {plain(one.quantity)} of {one.fill}.{one.since}" + (f" fee {plain(one.fee)}" if one.fee else "")
        for one in pieces
    ]


@pytest.mark.parametrize(
    ("quantities", "step", "told", "ended", "expected"),
    [
        pytest.param("10", "1", ["10 @ 5"], False, ["1: 10 of 1.1"], id="a block of one has all"),
        pytest.param(
            "6 3 1", "1", ["10 @ 5"], False, ["1: 6 of 1.1", "2: 3 of 1.1", "3: 1 of 1.1"], id="full is exact"
        ),
        pytest.param("6 3 1", "1", ["5 @ 5"], False, ["1: 3 of 1.1", "2: 1 of 1.1"], id="1 waits: 3, 1.5 and 0.5"),
        pytest.param(
            "6 3 1", "1", ["5 @ 5"], True, ["1: 3 of 1.1", "2: 1 of 1.1", "2: 1 of 1.2"], id="ties go to the first"
        ),
        pytest.param(
            "5 5 5", "1", ["7 @ 5"], True, ["1: 2 of 1.1", "2: 2 of 1.1", "3: 2 of 1.1", "1: 1 of 1.2"], id="7 of 15"
        ),
        pytest.param(
            "1 8", "1", ["4 @ 5"], True, ["2: 3 of 1.1", "2: 1 of 1.2"], id="0.44 and 3.56: the larger remainder"
        ),
        pytest.param(
            "6 3 1",
            "1",
            ["5 @ 5 fee 1", "5 @ 6"],
            False,
            [
                *("1: 3 of 1.1 fee 0.6", "2: 1 of 1.1 fee 0.2", "1: 1 of 1.2 fee 0.2"),
                *("1: 2 of 2.2", "2: 2 of 2.2", "3: 1 of 2.2"),
            ],
            id="what waited goes out first",
        ),
        pytest.param(
            "1 1 1",
            "0",
            ["1 @ 5 fee 0.01"],
            True,
            [
                *(f"{place}: 0.{'3' * 18} of 1.1 fee 0.0033333333" for place in (1, 2, 3)),
                "1: 0.000000000000000001 of 1.2 fee 0.0000000001",
            ],
            id="a step of 0 is 18 decimals, and the last piece has the rest of the fee",
        ),
        pytest.param(
            "0.5 0.25", "0.5", ["0.75 @ 5"], False, ["1: 0.5 of 1.1", "2: 0.25 of 1.1"], id="off the step, but full"
        ),
        pytest.param("5 5", "1", [], True, [], id="nothing filled"),
        pytest.param("100 1", "1", ["1 @ 5"], True, ["1: 1 of 1.2"], id="the small one gets nothing of one unit"),
    ],
)
def test_fills_are_shared_out(quantities: str, step: str, told: list[str], ended: bool, expected: list[str]) -> None:
    assert shared(quantities, step, *told, ended=ended) == expected


def test_piece_is_known_by_block_fill_and_when_it_was_handed_out() -> None:
    assert fill_id("bo_1", 2, 3) == "bo_1/2/3"


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Decimal], Decimal, list[Fill]]:
    """Draw orders on a step, and fills on it of at most what they are together."""
    step = draw(st.sampled_from(["1", "0.001", "100", "0.5", "0.000000000000000001"]))
    unit = Decimal(step)
    steps = draw(st.lists(st.integers(1, draw(st.sampled_from([3, 1000, 10**13]))), min_size=1, max_size=12))
    left, read = sum(steps), []
    for number in range(draw(st.integers(0, 6))):
        taken = left if draw(st.booleans()) and number == 5 else draw(st.integers(1, max(left, 1)))
        if not left:
            break
        price = draw(st.decimals("0.01", "9999", places=4))
        fee = draw(st.decimals(0, 50, places=draw(st.sampled_from([0, 2, 10]))))
        read.append(Fill(f"f{number}", EXACT.multiply(Decimal(taken), unit), price, fee, AS_OF))
        left -= taken
    return [EXACT.multiply(Decimal(one), unit) for one in steps], draw(st.sampled_from([unit, ZERO])), read


def of_member(pieces: tuple[Piece, ...], member: int) -> Decimal:
    return EXACT.add(ZERO, sum_of([piece.quantity for piece in pieces if piece.member == member]))


@exactly
def sum_of(numbers: list[Decimal]) -> Decimal:
    return sum(numbers, ZERO)


@given(cases())
@settings(PROPERTY)
@exactly
def test_units_value_and_fees_are_conserved(case: tuple[list[Decimal], Decimal, list[Fill]]) -> None:
    quantities, step, told = case
    pieces = allocate(quantities, step, told, ended=True)
    for number, fill in enumerate(told, 1):
        mine = [piece for piece in pieces if piece.fill == number]
        assert sum((piece.quantity for piece in mine), ZERO) == fill.quantity
        assert sum((piece.fee for piece in mine), ZERO) == fill.fee
        assert all(piece.quantity > ZERO and piece.fee >= ZERO for piece in mine)
    value = sum((piece.quantity * told[piece.fill - 1].price for piece in pieces), ZERO)
    assert value == sum((fill.quantity * fill.price for fill in told), ZERO)
    assert len({(piece.member, piece.fill, piece.since) for piece in pieces}) == len(pieces)


@given(cases())
@settings(PROPERTY)
@exactly
def test_each_piece_is_on_the_step_and_nobody_gets_more_than_it_ordered(
    case: tuple[list[Decimal], Decimal, list[Fill]],
) -> None:
    quantities, step, told = case
    pieces = allocate(quantities, step, told, ended=True)
    assert not step or all(not piece.quantity % step for piece in pieces)
    for member, quantity in enumerate(quantities, 1):
        assert of_member(pieces, member) <= quantity


@given(cases())
@settings(PROPERTY)
@exactly
def test_each_ends_less_than_a_step_from_its_share_and_exactly_with_its_own_when_all_is_filled(
    case: tuple[list[Decimal], Decimal, list[Fill]],
) -> None:
    quantities, step, told = case
    whole, filled = sum(quantities, ZERO), sum((fill.quantity for fill in told), ZERO)
    unit = step or Decimal("1e-18")
    pieces = allocate(quantities, step, told, ended=True)
    for member, quantity in enumerate(quantities, 1):
        mine = of_member(pieces, member)
        assert abs(mine * whole - quantity * filled) < unit * whole
        assert filled < whole or mine == quantity


@given(cases(), st.data())
@settings(PROPERTY)
def test_more_fills_never_change_what_was_handed_out(
    case: tuple[list[Decimal], Decimal, list[Fill]], data: st.DataObject
) -> None:
    quantities, step, told = case
    assume(told)
    known = data.draw(st.integers(0, len(told)))
    before = allocate(quantities, step, told[:known], ended=False)
    for after in (allocate(quantities, step, told, ended=False), allocate(quantities, step, told, ended=True)):
        assert after[: len(before)] == before


@given(cases())
@settings(PROPERTY)
@exactly
def test_while_a_block_works_less_than_a_step_for_each_order_waits_in_it(
    case: tuple[list[Decimal], Decimal, list[Fill]],
) -> None:
    quantities, step, told = case
    pieces = allocate(quantities, step, told, ended=False)
    filled = sum((fill.quantity for fill in told), ZERO)
    waits = filled - sum((piece.quantity for piece in pieces), ZERO)
    assert ZERO <= waits < (step or Decimal("1e-18")) * len(quantities)


def test_a_thousand_orders_and_their_fills_are_shared_out_exactly() -> None:
    quantities = [Decimal(number % 37 + 1) for number in range(blocks.MEMBERS_MAX)]
    told = fills(*["300 @ 10 fee 3"] * 50)
    pieces = allocate(quantities, Decimal(1), told, ended=True)
    assert sum(piece.quantity for piece in pieces) == 15_000
    assert sum(piece.fee for piece in pieces) == 150


# Gathering.


def waiting(number: int, **given: Any) -> Waiting:
    told: dict[str, Any] = {
        "client_id": f"pl_{number}-1-1",
        "broker": BrokerKind.PAPER,
        "account_id": f"ac_{number}",
        "account_broker": None,
        "asset": asset("AAPL", step="1"),
        "side": TradeSide.BUY,
        "style": OrderStyle.LIMIT,
        "left": Decimal(number),
        "limit": Decimal(100 + number),
        "arrived_at": AS_OF + timedelta(seconds=number),
    }
    return Waiting(**told | given)


def gathered(*orders: Waiting, window_s: float = 5, wall: datetime = AS_OF + LATER) -> list[str]:
    """Put together and write: `AAPL BUY 3 @ 101 in ac_1: 1 2`."""
    names = count(1)
    made = gather(orders, "bk_1", wall - timedelta(seconds=window_s), AS_OF, wall, lambda: f"bo_{next(names)}")
    return [
        f"{one.block.asset.symbol} {one.block.side.value} {plain(one.block.quantity)} @ {one.block.limit} "
        f"in {one.block.account_id}: {' '.join(member.client_id[3:-4] for member in one.members)}"
        for one in made
    ]


def test_orders_alike_are_put_together_at_the_strictest_limit_in_the_account_of_the_first() -> None:
    assert gathered(waiting(2), waiting(1), waiting(3)) == ["AAPL BUY 6 @ 101 in ac_1: 1 2 3"]
    sales = [waiting(number, side=TradeSide.SELL) for number in (2, 1, 3)]
    assert gathered(*sales) == ["AAPL SELL 6 @ 103 in ac_1: 1 2 3"]


def test_orders_without_a_limit_make_a_block_without_one() -> None:
    free = [waiting(number, limit=None, style=OrderStyle.MARKET) for number in (1, 2)]
    assert gathered(*free) == ["AAPL BUY 3 @ None in ac_1: 1 2"]


@pytest.mark.parametrize(
    "other",
    [
        {"broker": BrokerKind.MANUAL},
        {"account_broker": 7},
        {"asset": asset("BND", step="1")},
        {"side": TradeSide.SELL},
        {"style": OrderStyle.MARKET},
    ],
    ids=["broker", "fees", "asset", "side", "style"],
)
def test_orders_that_differ_in_this_are_not_put_together(other: dict[str, Any]) -> None:
    assert len(gathered(waiting(1), waiting(2, **other))) == 2


def test_window_begins_with_the_first_order_and_takes_all_that_came_until_it_ends() -> None:
    orders = waiting(1), waiting(5), waiting(2, asset=asset("BND"))
    assert gathered(*orders, wall=AS_OF + timedelta(seconds=5.9)) == []
    assert gathered(*orders, wall=AS_OF + timedelta(seconds=6)) == ["AAPL BUY 6 @ 101 in ac_1: 1 5"]


def test_block_has_at_most_so_many_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MEMBERS_MAX", 2)
    orders = [waiting(number) for number in (1, 2, 3)]
    assert gathered(*orders) == ["AAPL BUY 3 @ 101 in ac_1: 1 2", "AAPL BUY 3 @ 103 in ac_3: 3"]


def test_block_is_to_be_handed_in_by_who_made_it() -> None:
    [made] = gather([waiting(1)], "bk_1", AS_OF + LATER, AS_OF, AS_OF + LATER, lambda: "bo_1")
    assert (made.block.status, made.block.ask_at) == (OrderStatus.PLACING, AS_OF + 2 * LATER)
    assert (made.block.client_id, made.block.gathered_in) == ("bo_1", "bk_1")
    assert made.block.ticket.pool is None


NIGHT: Final = AS_OF + timedelta(hours=9)


@pytest.mark.parametrize(
    ("given", "at", "late"),
    [
        ({}, AS_OF, False),
        ({}, NIGHT, True),
        ({"asset": asset("BTC")}, NIGHT, False),
        ({"broker": BrokerKind.MANUAL}, NIGHT, False),
        ({"style": OrderStyle.NAV}, NIGHT, False),
    ],
    ids=["session", "night", "coin", "by hand", "fund"],
)
def test_order_is_late_after_its_session(given: dict[str, Any], at: datetime, late: bool) -> None:
    assert is_late(waiting(1, **given), at) is late


# Deciding.


SOON: Final = AS_OF + timedelta(seconds=1)


def block(status: str = "WORKING", **given: Any) -> Block:
    [made] = gather([waiting(1), waiting(2)], "bk_1", SOON, AS_OF, SOON, lambda: "bo_1")
    return replace(made.block, status=OrderStatus[status], **{"ask_at": AS_OF, **given})


@pytest.mark.parametrize(
    ("status", "ask_at", "flags", "expected"),
    [
        ("PLACING", SOON, {}, None),
        ("PLACING", AS_OF, {}, "ASK PLACING"),
        ("PLACING", AS_OF, {"leaving": True}, "ASK PLACING"),
        ("WORKING", SOON, {}, None),
        ("WORKING", AS_OF, {}, "ASK WORKING"),
        ("WORKING", SOON, {"leaving": True}, "CANCEL CANCELLING STOP"),
        ("WORKING", AS_OF, {"held": True}, "ASK WORKING"),
        ("CANCELLING", SOON, {"leaving": True}, None),
        ("CANCELLING", AS_OF, {"leaving": True}, "ASK CANCELLING"),
        ("UNKNOWN", SOON, {"leaving": True}, None),
        ("UNKNOWN", AS_OF, {"leaving": True}, "ASK UNKNOWN"),
        ("PENDING", None, {}, "PLACE PLACING"),
        ("PENDING", SOON, {}, None),
        ("PENDING", SOON, {"leaving": True}, "KEEP CANCELLED STOP"),
        ("PENDING", None, {"held": True}, "KEEP CANCELLED STOP"),
    ],
)
def test_what_is_done_about_a_block(
    status: str, ask_at: datetime | None, flags: dict[str, bool], expected: str | None
) -> None:
    steps = decide([Tended(block(status, ask_at=ask_at), **flags)], AS_OF, AS_OF)
    told = [
        " ".join([step.act.value, step.block.status.value, *([step.block.cause.value] if step.block.cause else [])])
        for step in steps
    ]
    assert told == ([expected] if expected else [])
    assert all(step.block.ask_at == AS_OF + LATER for step in steps if step.act is not Act.KEEP)


def test_block_that_was_not_sent_in_its_session_is_not_sent_at_all() -> None:
    [step] = decide([Tended(block("PENDING"))], NIGHT, AS_OF)
    assert (step.act, step.block.status, step.block.cause) == (Act.KEEP, OrderStatus.CANCELLED, CancelCause.STOP)


@pytest.mark.parametrize(
    ("status", "cause", "left", "leaves", "expected"),
    [
        ("WORKING", None, 3, True, "WORKING"),
        ("UNKNOWN", None, 3, True, "WORKING"),
        ("FILLED", None, 0, False, "FILLED"),
        ("CANCELLED", "STOP", 3, False, "WORKING"),
        ("CANCELLED", "STOP", 3, True, "CANCELLED"),
        ("CANCELLED", "STOP", 0, True, "FILLED"),
        ("CANCELLED", None, 3, False, "CANCELLED"),
        ("CANCELLED", None, 3, True, "CANCELLED"),
        ("REJECTED", None, 3, False, "REJECTED"),
        ("EXPIRED", None, 3, False, "EXPIRED"),
        ("EXPIRED", "STOP", 3, False, "EXPIRED"),
        ("EXPIRED", None, 0, False, "FILLED"),
    ],
)
def test_how_an_order_stands(status: str, cause: str | None, left: int, leaves: bool, expected: str) -> None:
    made = block(status, cause=CancelCause[cause] if cause else None)
    assert standing(made, Decimal(left), leaves=leaves) is OrderStatus[expected]
