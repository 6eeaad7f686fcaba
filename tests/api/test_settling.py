"""Orders that are UNKNOWN, settled over the API: once, by their owner, and only what can be."""

from itertools import count
from typing import Any

import pytest

from app.core import ids
from tests.api.conftest import Api, Caller
from tests.api.test_fills import Executed, fill

_keys = count(1)
ORDERS = "plan { id orders { id status filledQuantity endedAt message } }"


@pytest.fixture
def executed(api: Api, owner: Caller) -> Executed:
    return Executed(api, owner)


def settle(executed: Executed, order: str, *, who: Caller | None = None, **given: Any) -> dict[str, Any]:
    given = {"planId": executed.plan, "orderId": order, "reason": "seen there", "fills": [], **given}
    return (who or executed.owner).mutate("orderSettle", ORDERS, **{"idempotencyKey": f"key {next(_keys)}", **given})


def test_order_is_settled_once_and_the_plan_shows_it(api: Api, executed: Executed) -> None:
    order = executed.order("UNKNOWN", "PAPER")
    told = fill("T-1", "3", fee="1.25", filledAt="2024-06-03T12:00:00Z")
    for _ in range(2):
        answer = settle(executed, order, fills=[told], idempotencyKey="same")
        assert answer["userErrors"] == []
        (shown,) = answer["plan"]["orders"]
        assert (shown["status"], shown["filledQuantity"]) == ("CANCELLED", "3")
        assert shown["message"] == "settled by hand: seen there"
        assert shown["endedAt"]
    booked = "SELECT count(*) FROM fills f JOIN plans l ON l.id = f.plan_id WHERE l.public_id = $1"
    assert api.sql(booked, executed.row) == 1
    again = settle(executed, order, fills=[fill("T-1", "2")], idempotencyKey="same")
    assert [error["code"] for error in again["userErrors"]] == ["IDEMPOTENCY_MISMATCH"]
    assert api.sql("SELECT wake_at < 'infinity' FROM plans WHERE public_id = $1", executed.row)


def test_order_of_which_all_was_filled_is_filled(executed: Executed) -> None:
    order = executed.order("UNKNOWN", "PAPER")
    (shown,) = settle(executed, order, fills=[fill("a", "3"), fill("b", "1")])["plan"]["orders"]
    assert (shown["status"], shown["filledQuantity"]) == ("FILLED", "4")


@pytest.mark.parametrize(
    ("status", "given", "code", "path"),
    [
        ("WORKING", {}, "INVALID_STATE", ["orderId"]),
        ("CANCELLED", {"fills": [fill()]}, "INVALID_STATE", ["orderId"]),
        ("UNKNOWN", {"orderId": "or_00000000000000000000000000"}, "NOT_FOUND", ["orderId"]),
        ("UNKNOWN", {"fills": [fill(units="5")]}, "LIMIT_EXCEEDED", ["fills", "0", "quantity"]),
        ("UNKNOWN", {"fills": [fill(units="0")]}, "INVALID", ["fills", "0", "quantity"]),
        ("UNKNOWN", {"fills": [fill(filledAt="2999-01-01T00:00:00Z")]}, "INVALID", ["fills", "0", "filledAt"]),
        ("UNKNOWN", {"fills": [fill(filledAt="2024-06-02T00:00:00Z")]}, "INVALID", ["fills", "0", "filledAt"]),
        ("UNKNOWN", {"reason": ""}, "INVALID", ["reason"]),
        ("UNKNOWN", {"idempotencyKey": ""}, "INVALID", ["idempotencyKey"]),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    executed: Executed, status: str, given: dict[str, Any], code: str, path: list[str]
) -> None:
    order = executed.order(status, "PAPER")
    before = executed.api.stored()
    errors = settle(executed, order, **given)["userErrors"]
    assert [(error["code"], error["path"]) for error in errors] == [(code, ["input", *path])]
    assert executed.api.stored() == before


def test_orders_of_others_do_not_exist(api: Api, executed: Executed, operator: Caller) -> None:
    order, stranger = executed.order("UNKNOWN"), Executed(api, api.caller("stranger-of-settling"))
    for who in (stranger.owner, operator):
        assert settle(executed, order, who=who)["userErrors"][0]["code"] == "NOT_FOUND"
    (error,) = settle(stranger, order)["userErrors"]
    assert (error["code"], error["missingId"], error["path"]) == ("NOT_FOUND", order, ["input", "orderId"])
    uuid = ids.decode(ids.ORDER, order)
    assert api.sql("SELECT status FROM orders WHERE public_id = $1", uuid) == "UNKNOWN"
