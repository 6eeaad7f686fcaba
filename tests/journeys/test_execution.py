"""From a breach to filled orders: approved over GraphQL or REST, worked by a worker, followed by who wants to."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest

from tests.journeys.desk import UPDATES, Desk
from tests.support import Person, Steelyard, until

SLICE = timedelta(minutes=5)
AT_ONCE = {"twapHorizon": "PT0S"}
BOOKED = """
SELECT t.side, t.quantity, t.price, t.amount FROM transactions t JOIN assets a ON a.id = t.asset_id
WHERE a.symbol = $1 AND t.side <> 'ADJUST' ORDER BY t.id
"""
AFTER = """
query ($id: ID!) {
  rebalancePlan(id: $id) {
    outcome {
      trades { side ordered filled remaining plannedPrice { amount } averagePrice { amount } }
      slippage { amount } fees { amount }
    }
  }
}
"""
DRIFT = "query ($id: ID!) { portfolio(id: $id) { drift { status } } }"


@pytest.fixture
def xenia(steelyard: Steelyard) -> Person:
    return steelyard.person("xenia")


def orders(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return side, units and status of a plan's orders."""
    return [(one["side"], one["quantity"], one["status"]) for one in plan["orders"]]


def codes(payload: dict[str, Any]) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


async def test_a_breach_is_planned_approved_and_worked_until_it_is_over(steelyard: Steelyard, xenia: Person) -> None:
    desk = await Desk.open(xenia)
    plan = await desk.propose()
    styles = [(trade["side"], trade["quantity"], trade["execution"]["style"]) for trade in plan["trades"]]
    assert styles == [("SELL", "1.8", "TWAP"), ("BUY", "4", "LIMIT")]
    async with xenia.on_socket(UPDATES, id=plan["id"]) as feed:
        await feed.until(1)
        assert codes(await desk.approve(plan)) == []
        for sold in (1, 2, 3):
            await desk.until_filled(plan["id"], "SELL", sold)
            await steelyard.later(SLICE)
        await feed.until_end()
    statuses = [status for status, _ in groupby(seen["status"] for seen in feed.received)]
    assert statuses == ["READY", "APPROVED", "EXECUTING", "COMPLETED"]
    slices = [[one["status"] for one in seen["orders"]] for seen in feed.received if seen["orders"]]
    assert slices[0] == ["PENDING"] * 4
    assert ["FILLED", "PENDING", "PENDING", "PENDING"] in slices
    last = feed.received[-1]
    assert orders(last) == [("SELL", "0.6", "FILLED")] * 3 + [("BUY", "4", "FILLED")]
    assert [one["limit"]["amount"] for one in last["orders"]] == ["99.9", "99.9", "99.9", "50.05"]
    assert await desk.books() == ({desk.coin: Decimal("8.2"), desk.stock: Decimal(14)}, Decimal(80))
    assert await steelyard.rows(BOOKED, desk.coin) == [("SELL", Decimal("0.6"), Decimal(100), Decimal(60))] * 3
    assert await steelyard.rows(BOOKED, desk.stock) == [("BUY", Decimal(4), Decimal(50), Decimal(200))]
    outcome = (await xenia.ask(AFTER, id=plan["id"]))["rebalancePlan"]["outcome"]
    assert [tuple(trade.values())[:4] for trade in outcome["trades"]] == [
        ("SELL", "1.8", "1.8", "0"),
        ("BUY", "4", "4", "0"),
    ]
    assert (outcome["slippage"], outcome["fees"]) == ({"amount": "0"}, {"amount": "0"})
    assert (await xenia.ask(DRIFT, id=desk.portfolio_id))["portfolio"]["drift"]["status"] == "WITHIN"
    await desk.assert_booked_once()
    await desk.assert_history_is_whole("PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING", "PLAN_COMPLETED")


async def test_what_is_approved_by_several_at_once_is_executed_once(xenia: Person) -> None:
    desk = await Desk.open(xenia, **AT_ONCE)
    plan = await desk.propose()
    payloads = await asyncio.gather(*(desk.approve(plan, key) for key in ("one", "one", "two", "three")))
    ways = sorted(tuple(codes(payload)) for payload in payloads[2:])
    assert codes(payloads[0]) == codes(payloads[1])
    assert [*ways, tuple(codes(payloads[0]))].count(()) == 1
    assert {code for payload in payloads for code in codes(payload)} <= {"INVALID_STATE", "VERSION_CONFLICT"}
    over = await desk.until_over(plan["id"])
    assert (over["status"], len(over["orders"])) == ("COMPLETED", 2)
    assert codes(await desk.approve(plan, "four")) == ["INVALID_STATE"]
    await desk.assert_booked_once()
    await desk.assert_history_is_whole("PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING", "PLAN_COMPLETED")


async def test_a_plan_that_is_cancelled_in_the_middle_keeps_what_is_filled(xenia: Person) -> None:
    desk = await Desk.open(xenia)
    plan = await desk.propose()
    await desk.approve(plan)
    await desk.until_filled(plan["id"], "SELL", 1)
    await xenia.done("planCancel", "plan { id }", planId=plan["id"], reason="enough")
    over = await desk.until_over(plan["id"])
    assert (over["status"], over["reason"]) == ("PARTIAL", "enough")
    assert orders(over) == [
        ("SELL", "0.6", "FILLED"),
        ("SELL", "0.6", "CANCELLED"),
        ("SELL", "0.6", "CANCELLED"),
        ("BUY", "4", "CANCELLED"),
    ]
    outcome = (await xenia.ask(AFTER, id=plan["id"]))["rebalancePlan"]["outcome"]
    assert [(trade["filled"], trade["remaining"]) for trade in outcome["trades"]] == [("0.6", "1.2"), ("0", "4")]
    assert await desk.books() == ({desk.coin: Decimal("9.4"), desk.stock: Decimal(10)}, Decimal(160))
    await desk.assert_booked_once()
    again = await desk.propose()
    assert [trade["quantity"] for trade in again["trades"]] == ["1.2", "4"]


async def test_a_halted_portfolio_waits_and_then_goes_on(steelyard: Steelyard, xenia: Person) -> None:
    desk = await Desk.open(xenia)
    plan = await desk.propose()
    await desk.approve(plan)
    await desk.until_filled(plan["id"], "SELL", 1)
    await xenia.done("portfolioHalt", "portfolio { id }", portfolioId=desk.portfolio_id, reason="look first")
    await steelyard.later(2 * SLICE)

    async def waits() -> bool:
        messages = {one["message"] for one in (await desk.plan(plan["id"]))["orders"][1:]}
        return messages == {"waits: trading is halted"}

    await until(waits)
    assert orders(await desk.plan(plan["id"]))[1:3] == [("SELL", "0.6", "PENDING")] * 2
    await xenia.done("portfolioResume", "portfolio { id }", portfolioId=desk.portfolio_id)
    for sold in (2, 3):
        await desk.until_filled(plan["id"], "SELL", sold)
        await steelyard.later(SLICE)
    assert (await desk.until_over(plan["id"]))["status"] == "COMPLETED"
    await desk.assert_booked_once()


async def test_a_plan_is_approved_over_rest_at_the_version_that_was_seen(xenia: Person) -> None:
    desk = await Desk.open(xenia, **AT_ONCE)
    plan = await desk.propose()
    path = f"/api/rebalancing/{desk.portfolio_id}/plans/{plan['id']}/approve"
    etag, key = f'"v{plan["version"]}"', {"idempotency-key": plan["id"]}
    assert (await xenia.send("POST", path, {}, key)).status_code == 428
    assert (await xenia.send("POST", path, {}, {**key, "if-match": '"v99"'})).status_code == 412
    answers = [await xenia.send("POST", path, {}, {**key, "if-match": etag}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert (await desk.until_over(plan["id"]))["status"] == "COMPLETED"
    await desk.assert_booked_once()
    await desk.assert_history_is_whole("PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING", "PLAN_COMPLETED")


async def test_a_plan_is_completed_by_the_fills_that_a_person_records(xenia: Person) -> None:
    desk = await Desk.open(xenia, execution="MANUAL", **AT_ONCE)
    plan = await desk.propose()
    await desk.approve(plan)

    async def fill(side: str, **given: str) -> None:
        def is_told(one: dict[str, Any]) -> bool:
            return bool(one["side"] == side and one["status"] == "WORKING")

        async def told() -> bool:
            return any(map(is_told, (await desk.plan(plan["id"]))["orders"]))

        await until(told)
        [order] = filter(is_told, (await desk.plan(plan["id"]))["orders"])
        filled = {"orderId": order["id"], "fills": [{"fillId": side, **given}]}
        asked = {"planId": plan["id"], "orders": [filled], "idempotencyKey": f"{plan['id']}-{side}"}
        for _ in range(2):
            await xenia.done("orderFillsRecord", "plan { id }", **asked)

    await fill("SELL", quantity="1.8", price="101", fee="1.8")
    await fill("BUY", quantity="4", price="49.5", fee="1")
    over = await desk.until_over(plan["id"])
    assert orders(over) == [("SELL", "1.8", "FILLED"), ("BUY", "4", "FILLED")]
    assert over["status"] == "COMPLETED"
    assert await desk.books() == ({desk.coin: Decimal("8.2"), desk.stock: Decimal(14)}, Decimal(81))
    outcome = (await xenia.ask(AFTER, id=plan["id"]))["rebalancePlan"]["outcome"]
    assert (outcome["slippage"], outcome["fees"]) == ({"amount": "-3.8"}, {"amount": "2.8"})


async def test_units_and_cash_are_conserved_over_plans_at_moving_prices(steelyard: Steelyard, xenia: Person) -> None:
    desk = await Desk.open(xenia, **AT_ONCE)
    for number, prices in enumerate((("100", "50"), ("137.31", "48.07"), ("61.9", "55.5"), ("90.01", "49.99")), 1):
        await steelyard.operator.record(dict(zip((desk.coin, desk.stock), prices, strict=True)))
        plan = await desk.propose()
        assert codes(await desk.approve(plan)) == []
        assert (await desk.until_over(plan["id"]))["status"] in ("COMPLETED", "PARTIAL")
        await desk.assert_booked_once()
        kinds = ("PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING")
        assert [kind for kind in await desk.history() if kind in kinds] == list(kinds) * number
    await desk.assert_history_is_whole()


async def test_approving_cancelling_and_superseding_at_once_leave_one_story(xenia: Person) -> None:
    async def race() -> str:
        desk = await Desk.open(xenia)
        plan = await desk.propose()
        entries = [{"key": desk.coin, "percent": 60}, {"key": desk.stock, "percent": 40}]
        answers = await asyncio.gather(
            desk.approve(plan),
            xenia.change("planCancel", "plan { id }", planId=plan["id"]),
            xenia.change("planReject", "plan { id }", planId=plan["id"]),
            xenia.change("targetsSet", "targets { version }", portfolioId=desk.portfolio_id, entries=entries),
        )
        approved = not codes(answers[0])
        if approved:
            await xenia.change("planCancel", "plan { id }", planId=plan["id"])
        over = await desk.until_over(plan["id"])
        assert approved == (over["approvedBy"] == "xenia") == (over["status"] in ("PARTIAL", "CANCELLED"))
        await desk.assert_booked_once()
        last = (await desk.history())[-1]
        assert last in (f"PLAN_{over['status']}", "TARGETS_SET")
        await desk.assert_history_is_whole()
        return str(over["status"])

    await asyncio.gather(*(race() for _ in range(4)))
