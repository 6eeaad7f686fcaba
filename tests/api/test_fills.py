"""Fills as people record them: once, within the order, of their own orders; read back by the manual broker."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final
from uuid import UUID

import pytest

from app.actions.brokers import brokers_of
from app.context import Services, new_uuid
from app.core import ids
from app.core.order_values import BrokerKind, BrokerOrder, Fill, OrderStatus, OrderStyle, Ticket
from app.core.trades import TradeSide
from tests.api.conftest import Api, Caller, portfolio_of
from tests.builders import asset

_keys = count(1)
HISTORY: Final = (
    "SELECT coalesce(json_agg(canonical::json -> 'document' -> 'orders' ORDER BY sequence), '[]')::text "
    "FROM rebalance_history WHERE kind = 'FILLS_RECORDED' AND subject = $1"
)
ORDER: Final = """
    INSERT INTO orders (
        plan_id, leg, slice, owner_id, public_id, client_id, broker, account_id, asset_id, side, style, quantity,
        due_at, status, placed_at
    )
    SELECT l.id, $2, 1, l.owner_id, $3, $4, $5, a.id, s.id, 'SELL', 'LIMIT', 4, now(), $6, '2024-06-03T10:00:00Z'
    FROM plans l JOIN accounts a ON a.portfolio_id = l.portfolio_id, assets s
    WHERE l.public_id = $1 AND s.symbol = 'AAA' RETURNING 1
"""


class Executed:
    """A plan that is executed, with orders for four AAA each."""

    def __init__(self, api: Api, owner: Caller) -> None:
        self.api, self.owner = api, owner
        wanted = [{"key": "AAA", "percent": "20"}, {"key": "BBB", "percent": "80"}]
        self.portfolio = portfolio_of(owner, targets=wanted)["id"]
        made = owner.mutate("rebalancePropose", "plan { id }", portfolioId=self.portfolio, scope="FULL")
        self.plan = str(made["plan"]["id"])
        self.api.sql("UPDATE plans SET status = 'EXECUTING', wake_at = 'infinity' WHERE public_id = $1", self.row)
        self.legs = 0

    @property
    def row(self) -> UUID | None:
        return ids.decode(ids.PLAN, self.plan)

    def order(self, status: str = "WORKING", broker: str = "MANUAL") -> str:
        uuid, self.legs = new_uuid(), self.legs + 1
        self.api.sql(ORDER, self.row, self.legs, uuid, f"{self.plan}-{self.legs}-1", broker, status)
        return ids.encode(ids.ORDER, uuid)

    def record(self, *orders: dict[str, Any], key: str = "", who: Caller | None = None) -> dict[str, Any]:
        given = {"planId": self.plan, "orders": list(orders), "idempotencyKey": key or f"key {next(_keys)}"}
        return (who or self.owner).mutate("orderFillsRecord", "plan { id }", **given)

    def told(self, leg: int = 1) -> BrokerOrder | None:
        """Return what the manual broker says of an order."""
        client_id = f"{self.plan}-{leg}-1"
        ticket = Ticket(client_id, "", asset("AAA"), TradeSide.SELL, Decimal(4), OrderStyle.LIMIT)

        async def ask(services: Services) -> BrokerOrder | None:
            return await brokers_of(services)[BrokerKind.MANUAL].status(ticket)

        return self.api.run(ask)


@pytest.fixture
def executed(api: Api, owner: Caller) -> Executed:
    return Executed(api, owner)


def fill(fill_id: str = "a", units: str = "3", **given: Any) -> dict[str, Any]:
    return {"fillId": fill_id, "quantity": units, "price": "99.5", **given}


def test_fills_are_recorded_once_and_the_broker_tells_them(api: Api, executed: Executed) -> None:
    order = executed.order()
    first = {"orderId": order, "fills": [fill(fee="1.25", filledAt="2024-06-03T12:00:00Z")]}
    for _ in range(2):
        assert executed.record(first, key="same") == {"plan": {"id": executed.plan}, "userErrors": []}
    executed.record({"orderId": order, "fills": [*first["fills"], fill("b", "1", filledAt="2024-06-04T09:00:00Z")]})
    told = executed.told()
    assert told
    assert (told.status, told.broker_order_id) == (OrderStatus.FILLED, f"manual-{executed.plan}-1-1")
    assert [(one.broker_fill_id, one.quantity, one.price, one.fee) for one in told.fills] == [
        ("a", Decimal(3), Decimal("99.5"), Decimal("1.25")),
        ("b", Decimal(1), Decimal("99.5"), Decimal(0)),
    ]
    assert api.sql("SELECT count(*) FROM manual_fills WHERE client_id = $1", f"{executed.plan}-1-1") == 2
    assert api.sql("SELECT wake_at < 'infinity' FROM plans WHERE public_id = $1", executed.row)
    assert api.sql(HISTORY, executed.plan).count('"fills"') == 2


def test_done_ends_an_order_once(executed: Executed) -> None:
    order = executed.order("CANCELLING")
    for _ in range(2):
        assert executed.record({"orderId": order, "fills": [fill()], "done": True})["userErrors"] == []
    told = executed.told()
    assert told
    assert (told.status, [one.quantity for one in told.fills]) == (OrderStatus.CANCELLED, [Decimal(3)])
    refused = executed.record({"orderId": order, "fills": [fill("b", "1")]})["userErrors"]
    assert [(error["code"], error["state"]) for error in refused] == [("INVALID_STATE", "CANCELLED")]


def test_order_that_nobody_recorded_works(executed: Executed) -> None:
    executed.order()
    assert executed.told() == BrokerOrder(f"manual-{executed.plan}-1-1", OrderStatus.WORKING)
    assert executed.told(leg=2) is None


@pytest.mark.parametrize(
    ("status", "broker", "given", "code", "path"),
    [
        ("WORKING", "MANUAL", {"fills": [fill(units="5")]}, "LIMIT_EXCEEDED", ["fills", "0", "quantity"]),
        ("WORKING", "MANUAL", {"fills": [fill(), fill("b", "2")]}, "LIMIT_EXCEEDED", ["fills", "1", "quantity"]),
        (
            "WORKING",
            "MANUAL",
            {"fills": [fill(filledAt="2999-01-01T00:00:00Z")]},
            "INVALID",
            ["fills", "0", "filledAt"],
        ),
        (
            "WORKING",
            "MANUAL",
            {"fills": [fill(filledAt="2024-06-02T00:00:00Z")]},
            "INVALID",
            ["fills", "0", "filledAt"],
        ),
        ("WORKING", "MANUAL", {"fills": [fill(units="0")]}, "INVALID", ["fills", "0", "quantity"]),
        ("WORKING", "MANUAL", {"fills": [fill(fee="-1")]}, "INVALID", ["fills", "0", "fee"]),
        ("WORKING", "MANUAL", {}, "REQUIRED", ["fills"]),
        ("WORKING", "PAPER", {"fills": [fill()]}, "INVALID_STATE", []),
        ("PENDING", "MANUAL", {"fills": [fill()]}, "INVALID_STATE", []),
        ("PENDING", "MANUAL", {"done": True}, "INVALID_STATE", []),
        ("FILLED", "MANUAL", {"fills": [fill()]}, "INVALID_STATE", []),
        ("REJECTED", "MANUAL", {"done": True}, "INVALID_STATE", []),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(
    executed: Executed, status: str, broker: str, given: dict[str, Any], code: str, path: list[str]
) -> None:
    fine, order = executed.order(), executed.order(status, broker)
    before = executed.api.stored()
    errors = executed.record({"orderId": fine, "fills": [fill()]}, {"orderId": order, **given})["userErrors"]
    assert [(error["code"], error["path"]) for error in errors] == [(code, ["input", "orders", "1", *path])]
    assert executed.api.stored() == before


def test_orders_of_others_do_not_exist(api: Api, executed: Executed, operator: Caller) -> None:
    order, stranger = executed.order(), Executed(api, api.caller("stranger-of-fills"))
    mine = {"orderId": order, "fills": [fill()]}
    assert executed.record(mine, who=stranger.owner)["userErrors"][0]["code"] == "NOT_FOUND"
    assert executed.record(mine, who=operator)["userErrors"][0]["code"] == "NOT_FOUND"
    (error,) = stranger.record(mine)["userErrors"]
    assert (error["code"], error["missingId"], error["path"]) == (
        "NOT_FOUND",
        order,
        ["input", "orders", "0", "orderId"],
    )
    assert executed.told() == BrokerOrder(f"manual-{executed.plan}-1-1", OrderStatus.WORKING)


def test_one_order_named_twice_and_none_are_refused(executed: Executed) -> None:
    order = {"orderId": executed.order(), "fills": [fill(units="1")]}
    (error,) = executed.record(order, {**order, "fills": [fill("b", "1")]})["userErrors"]
    assert (error["code"], error["path"]) == ("DUPLICATE", ["input", "orders", "1", "orderId"])
    assert executed.record()["userErrors"][0]["code"] == "REQUIRED"


def post(executed: Executed, text: str, key: str | None = "csv", plan: str = "") -> Any:
    headers = {"content_type": "text/csv"} | ({"idempotency_key": key} if key else {})
    path = f"{executed.portfolio}/plans/{plan or executed.plan}/fills.csv"
    return executed.owner.rest("POST", path, text.encode(), **headers)


def test_csv_of_fills_is_recorded(executed: Executed) -> None:
    first, second = executed.order(), executed.order()
    text = (
        "order,fill_id,quantity,price,fee,filled_at,done\n"
        f"{first},a,1,99.5,0.5,2024-06-03T12:00:00Z,\n"
        f"{first},b,1,99.75,,2024-06-03T13:00:00Z,true\n"
        f"{second},,,,,,true\n"
    )
    for _ in range(2):
        answer = post(executed, text)
        assert (answer.status_code, answer.json()["id"]) == (200, executed.plan)
    told = executed.told(1)
    assert told
    assert told.status is OrderStatus.CANCELLED
    assert told.fills == (
        Fill("a", Decimal(1), Decimal("99.5"), Decimal("0.5"), datetime(2024, 6, 3, 12, tzinfo=UTC)),
        Fill("b", Decimal(1), Decimal("99.75"), Decimal(0), datetime(2024, 6, 3, 13, tzinfo=UTC)),
    )
    assert executed.told(2) == BrokerOrder(f"manual-{executed.plan}-2-1", OrderStatus.CANCELLED)


@pytest.mark.parametrize(
    ("text", "status", "detail"),
    [
        ("order,fill_id,quantity\n", 422, "the header must be order,fill_id,quantity,price"),
        ("order,fill_id,quantity,price\n", 422, "there is nothing to record"),
        ("order,fill_id,quantity,price\nor_x,a,1,2\n", 404, "order or_x does not exist"),
        ("order,fill_id,quantity,price\n{order},a,x,2\n", 422, "line 2: quantity must be a plain decimal number"),
        ("order,fill_id,quantity,price,done\n{order},a,1,2,yes\n", 422, "line 2: done must be true or false"),
        ("order,fill_id,quantity,price,done\n{order},,,,\n", 422, "line 2: fill_id must be 1 to 200 characters"),
        ("order,fill_id,quantity,price\n{order},a,5,2\n", 422, "5 units are more than the 4 that are open"),
    ],
)
def test_csv_that_cannot_be_meant_is_refused(executed: Executed, text: str, status: int, detail: str) -> None:
    answer = post(executed, text.format(order=executed.order()))
    assert answer.status_code == status, answer.text
    assert detail in answer.json()["detail"]


def test_csv_needs_a_key_and_its_own_plan(executed: Executed) -> None:
    text = f"order,fill_id,quantity,price\n{executed.order()},a,1,2\n"
    answer = post(executed, text, key=None)
    assert (answer.status_code, answer.json()["code"]) == (422, "REQUIRED")
    assert post(executed, text, plan="pl_00000000000000000000000000").status_code == 404
    assert post(executed, text).status_code == 200
    assert post(executed, text.replace(",a,", ",b,")).json()["code"] == "IDEMPOTENCY_MISMATCH"
