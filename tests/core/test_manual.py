"""Orders that a person works: what was recorded is what the broker says, and no order takes more than it asked for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import InvalidInput, InvalidState, LimitExceeded, SteelyardError
from app.core.manual import FillDraft, Recorded, WorkedOrder, new_fills
from app.core.order_values import BrokerKind, Fill, OrderStatus
from tests.builders import AS_OF

FIRST = Fill("a", Decimal(60), Decimal("10.5"), Decimal(1), AS_OF)
ORDER = WorkedOrder(
    "or_1",
    "pl_1-1-1",
    BrokerKind.MANUAL,
    OrderStatus.WORKING,
    Decimal(1),
    AS_OF - timedelta(hours=1),
    Recorded(Decimal(100), (FIRST,)),
)


def draft(fill_id: str = "b", units: str = "40", **given: Any) -> FillDraft:
    return FillDraft(fill_id, Decimal(units), **{"price": Decimal("10.4"), **given})


def test_new_fills_are_told_from_known_ones() -> None:
    again = FillDraft("a", Decimal(60), Decimal("10.5"), Decimal(1))
    assert new_fills(ORDER, [again, draft()], AS_OF) == (Fill("b", Decimal(40), Decimal("10.4"), Decimal(0), AS_OF),)
    assert new_fills(ORDER, [again, replace(again, filled_at=AS_OF)], AS_OF + timedelta(days=1)) == ()


@pytest.mark.parametrize(
    ("status", "recorded", "told"),
    [
        (OrderStatus.WORKING, Recorded(Decimal(100)), OrderStatus.WORKING),
        (OrderStatus.WORKING, Recorded(Decimal(100), (FIRST,)), OrderStatus.WORKING),
        (OrderStatus.WORKING, Recorded(Decimal(60), (FIRST,)), OrderStatus.FILLED),
        (OrderStatus.WORKING, Recorded(Decimal(100), (FIRST,), True), OrderStatus.CANCELLED),
    ],
)
def test_order_stands_as_recorded(status: OrderStatus, recorded: Recorded, told: OrderStatus) -> None:
    assert recorded.told("x").status is told


@pytest.mark.parametrize(
    ("order", "drafts", "error", "path", "message"),
    [
        (
            *(ORDER, [draft(units="41")], LimitExceeded, "fills 0 quantity"),
            "41 units are more than the 40 that are open of order or_1, which is for 100",
        ),
        (
            *(replace(ORDER, recorded=Recorded(Decimal(60), (FIRST,))), [draft()], InvalidState, ""),
            "the order is FILLED; nothing more can be recorded of it",
        ),
        (
            *(ORDER, [draft(units="30"), draft("c", "20")], LimitExceeded, "fills 1 quantity"),
            "20 units are more than the 10 that are open of order or_1, which is for 100",
        ),
        (ORDER, [draft(units="0.5")], InvalidInput, "fills 0 quantity", "0.5 units are no multiple of the step 1"),
        (
            *(ORDER, [draft("a")], InvalidInput, "fills 0 fillId"),
            "fill a was recorded before: 60 at 10.5, fee 1; give another fillId to a fill that came on top",
        ),
        (
            *(ORDER, [draft(filled_at=AS_OF + timedelta(seconds=1))], InvalidInput, "fills 0 filledAt"),
            "filledAt is 2024-06-03T16:00:01Z; it is 2024-06-03T16:00:00Z now",
        ),
        (
            *(ORDER, [draft(filled_at=AS_OF - timedelta(days=1))], InvalidInput, "fills 0 filledAt"),
            "filledAt is 2024-06-02T16:00:00Z; the order was handed over on 2024-06-03",
        ),
        (
            *(replace(ORDER, broker=BrokerKind.PAPER), [draft()], InvalidState, ""),
            "the order is worked by PAPER, which tells its fills",
        ),
        (
            *(replace(ORDER, status=OrderStatus.PENDING), [draft()], InvalidState, ""),
            "the order is PENDING; it is not to be worked yet",
        ),
        (
            *(replace(ORDER, status=OrderStatus.PLACING), [draft()], InvalidState, ""),
            "the order is PLACING; it is not to be worked yet",
        ),
        (
            *(replace(ORDER, status=OrderStatus.EXPIRED), [draft()], InvalidState, ""),
            "the order is EXPIRED; nothing more can be recorded of it",
        ),
        (
            *(replace(ORDER, recorded=Recorded(Decimal(100), (FIRST,), True)), [draft()], InvalidState, ""),
            "the order is CANCELLED; nothing more can be recorded of it",
        ),
        (
            *(replace(ORDER, pool="bk_1", block="bo_1"), [draft()], InvalidState, ""),
            "the order is in block bo_1 with others; record the fills of that (blockFillsRecord)",
        ),
        (
            *(replace(ORDER, pool="bk_1"), [draft()], InvalidState, ""),
            "the order waits in the pool of bulk bk_1; record the fills of its block once it is in one",
        ),
        (
            *(replace(ORDER, pool="bk_1", status=OrderStatus.FILLED), [draft()], InvalidState, ""),
            "the order is FILLED; nothing more can be recorded of it",
        ),
        (
            *(replace(ORDER, what="block"), [draft(units="41")], LimitExceeded, "fills 0 quantity"),
            "41 units are more than the 40 that are open of block or_1, which is for 100",
        ),
    ],
)
def test_fill_that_cannot_be_is_refused(
    order: WorkedOrder, drafts: Sequence[FillDraft], error: type[SteelyardError], path: str, message: str
) -> None:
    with pytest.raises(error) as refused:
        new_fills(order, drafts, AS_OF)
    assert (" ".join(refused.value.path), refused.value.message) == (path, message)
