"""A model drifts: an operator proposes for all portfolios that breached, approves by a filter, and all is worked."""

from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any, Final

from tests.journeys.desk import Desk
from tests.support import Person, Steelyard

MODEL: Final = "Half coin"
BULK: Final = """
id status endedAt progress { total done } counts { status count }
totals { currency plans trades bought { amount } sold { amount } costs { amount } }
"""
UPDATES: Final = f"subscription ($id: ID!) {{ bulkUpdated(bulkId: $id) {{ {BULK} }} }}"
ITEMS: Final = """
query ($id: ID!) {
  bulk(id: $id) { items(first: 100) { nodes { owner { subject } portfolioId planId status code message } } }
}
"""
APPROVED: Final = "query ($id: ID!) { rebalancePlan(id: $id) { status requestedBy approvedBy } }"


async def desk(person: Person, **given: Any) -> Desk:
    """Open a desk that follows the model; its plan sells 1.8 of a coin at 100 and buys 4 of a stock at 50, at once."""
    made = await Desk.open(person, twapHorizon="PT0S", **given)
    await person.done("portfolioUpdate", "portfolio { id }", portfolioId=made.portfolio_id, model=MODEL)
    return made


async def on_target(made: Desk) -> Desk:
    """Make what a desk holds what it wants."""
    shares = {made.coin: "62.5", made.stock: "31.25", "CASH": "6.25"}
    entries = [{"key": key, "percent": percent, "band": {"absolute": 5}} for key, percent in shares.items()]
    await made.person.done("targetsSet", "targets { id }", portfolioId=made.portfolio_id, entries=entries)
    return made


async def begin(person: Person, mutation: str, **given: Any) -> dict[str, Any]:
    bulk: dict[str, Any] = (await person.done(mutation, f"bulk {{ {BULK} }}", **given))["bulk"]
    return bulk


def statuses(bulk: dict[str, Any]) -> dict[str, int]:
    return {one["status"]: one["count"] for one in bulk["counts"]}


async def test_breached_portfolios_of_a_model_are_proposed_followed_approved_and_worked(steelyard: Steelyard) -> None:
    yara, zeno, operator = steelyard.person("yara"), steelyard.person("zeno"), steelyard.operator
    desks = [await desk(yara), await desk(zeno), await desk(yara, fourEyes=True)]
    calm = await on_target(await desk(yara))
    elsewhere = await Desk.open(zeno)
    await steelyard.next_hour()

    which = {"model": MODEL, "breached": True, "everybody": True}
    wanted = {"filter": which, "scope": "FULL", "idempotencyKey": "the model, today"}
    counted = await begin(operator, "bulkPropose", **wanted, dryRun=True)
    assert counted["progress"] == {"total": 3, "done": 0}
    async with AsyncExitStack() as following:
        with steelyard.standstill():
            begun = await begin(operator, "bulkPropose", **wanted, expectedPortfolios=3)
            assert await begin(operator, "bulkPropose", **wanted, expectedPortfolios=3) == begun
            ways = [operator.on_socket(UPDATES, id=begun["id"]), operator.on_stream(UPDATES, id=begun["id"])]
            feeds = [await following.enter_async_context(way) for way in ways]
            for feed in feeds:
                assert await feed.until(1) == [begun]
        for feed in feeds:
            await feed.until_end(60)
            assert feed.error is None
            done = [seen["progress"]["done"] for seen in feed.received]
            assert done == sorted(done)
            assert [seen["status"] for seen in feed.received[:-1]] == ["RUNNING"] * (len(done) - 1)
        proposed = feeds[0].received[-1]
        assert proposed == feeds[1].received[-1]
    assert (proposed["status"], statuses(proposed)) == ("DONE", {"READY": 3})
    [total] = proposed["totals"]
    assert (total["plans"], total["trades"], total["currency"]) == (3, 6, "USD")
    assert (total["bought"], total["sold"], total["costs"]) == ({"amount": "600"}, {"amount": "540"}, {"amount": "0"})
    items = (await operator.ask(ITEMS, id=begun["id"]))["bulk"]["items"]["nodes"]
    assert [(one["owner"]["subject"], one["portfolioId"]) for one in items] == [
        (each.person.subject, each.portfolio_id) for each in desks
    ]

    chosen = {"filter": {"everybody": True, "proposedIn": begun["id"], "turnoverAtMost": "20"}, "aggregate": False}
    approving = await begin(operator, "bulkApprove", **chosen, expectedPlans=3, idempotencyKey="and done")
    async with operator.on_socket(UPDATES, id=approving["id"]) as feed:
        await feed.until_end()
    assert statuses(feed.received[-1]) == {"APPROVED": 2, "REFUSED": 1}
    assert (feed.received[-1]["status"], feed.received[-1]["totals"][0]["trades"]) == ("DONE", 4)
    found = (await operator.ask(ITEMS, id=approving["id"]))["bulk"]["items"]["nodes"]
    assert [one["code"] for one in found] == [None, None, "FORBIDDEN"]
    for each, item in zip(desks[:2], found, strict=False):
        over = await each.until_over(item["planId"])
        assert (over["status"], over["approvedBy"]) == ("COMPLETED", "operator")
        assert await each.books() == ({each.coin: Decimal("8.2"), each.stock: Decimal(14)}, Decimal(80))
        await each.assert_booked_once()
        await each.assert_history_is_whole(
            "PLAN_QUEUED", "PLAN_READY", "PLAN_APPROVED", "PLAN_EXECUTING", "PLAN_COMPLETED"
        )
    for other in (desks[2], calm, elsewhere):
        assert await other.books() == ({other.coin: Decimal(10), other.stock: Decimal(10)}, Decimal(100))
    refused = (await yara.ask(APPROVED, id=found[2]["planId"]))["rebalancePlan"]
    assert refused == {"status": "READY", "requestedBy": "operator", "approvedBy": None}
