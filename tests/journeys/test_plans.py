"""A rebalance is proposed: at once when small, by a worker when large, once for each key."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.journeys.conftest import INLINE_LOTS
from tests.support import Feed, Person, Steelyard, until

UPDATES = "subscription ($id: ID!) { planUpdated(planId: $id) { id status version trades { side quantity symbol } } }"
PLAN = "plan { id status trades { side quantity symbol } }"
TRADES = [
    {"side": "SELL", "quantity": "0.8", "symbol": "PLA"},
    {"side": "BUY", "quantity": "2.4", "symbol": "PLB"},
]


@pytest.fixture
async def paula(steelyard: Steelyard) -> Person:
    """Somebody whose portfolios hold 6 PLA at 150 and 8 PLB at 50, and want 60 and 40 percent."""
    await steelyard.operator.list_asset("PLA", "150")
    await steelyard.operator.list_asset("PLB", "50")
    return steelyard.person("paula")


async def small(person: Person) -> str:
    return await _portfolio(person, [("PLA", "6"), ("PLB", "8")])


async def large(person: Person) -> str:
    """The same in more lots than are planned at once."""
    return await _portfolio(person, [("PLA", "3"), ("PLA", "3"), ("PLB", "4"), ("PLB", "4")])


async def _portfolio(person: Person, lots: list[tuple[str, str]]) -> str:
    assert (len(lots) > INLINE_LOTS) == (len(lots) == 4)
    return await person.create(
        accounts=[{"lots": [{"symbol": symbol, "quantity": quantity} for symbol, quantity in lots]}],
        targets=[{"key": "PLA", "percent": 60}, {"key": "PLB", "percent": 40}],
    )


async def plans(person: Person, portfolio_id: str) -> list[tuple[str, str]]:
    """Return id and status of every plan that is stored, newest first."""
    query = "query ($id: ID!) { portfolio(id: $id) { plans { nodes { id status } } } }"
    found = (await person.ask(query, id=portfolio_id))["portfolio"]["plans"]["nodes"]
    return [(plan["id"], plan["status"]) for plan in found]


async def test_a_small_plan_is_ready_at_once(steelyard: Steelyard, paula: Person) -> None:
    portfolio_id = await small(paula)
    with steelyard.standstill():
        plan = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id))["plan"]
    assert (plan["status"], plan["trades"]) == ("READY", TRADES)


async def test_a_large_plan_is_made_by_a_worker_while_the_caller_waits(paula: Person) -> None:
    portfolio_id = await large(paula)
    plan = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id, wait="PT20S"))["plan"]
    assert (plan["status"], plan["trades"]) == ("READY", TRADES)


async def test_a_large_plan_is_followed_from_queued_to_ready(steelyard: Steelyard, paula: Person) -> None:
    portfolio_id = await large(paula)
    async with AsyncExitStack() as following:
        with steelyard.standstill():
            asked = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id, wait="PT0S"))["plan"]
            assert (asked["status"], asked["trades"]) == ("QUEUED", [])
            ways = [paula.on_socket(UPDATES, id=asked["id"]), paula.on_stream(UPDATES, id=asked["id"])]
            feeds = [await following.enter_async_context(way) for way in ways]
            for feed in feeds:
                await feed.until(1)
        for feed in feeds:
            await until_ready(feed)
            assert feed.received[-1]["trades"] == TRADES
        await paula.done("planReject", "plan { id }", planId=asked["id"])
        for feed in feeds:
            await feed.until_end()
            statuses = [plan["status"] for plan in feed.received]
            assert statuses in (["QUEUED", "COMPUTING", "READY", "REJECTED"], ["QUEUED", "READY", "REJECTED"])
            assert feed.error is None


async def until_ready(feed: Feed) -> None:
    async def ready() -> bool:
        return bool(feed.received) and feed.received[-1]["status"] == "READY"

    await until(ready)


async def test_rest_answers_202_and_says_where_the_plan_will_be(steelyard: Steelyard, paula: Person) -> None:
    portfolio_id = await large(paula)
    path = f"/api/rebalancing/{portfolio_id}/propose"
    with steelyard.standstill():
        answer = await paula.send("POST", path, {"scope": "FULL"}, {"prefer": "respond-async"})
        assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    where = answer.headers["location"]

    async def ready() -> bool:
        return str((await paula.send("GET", where)).json()["status"]) == "READY"

    await until(ready)


async def test_a_plan_is_superseded_by_new_targets(paula: Person) -> None:
    portfolio_id = await small(paula)
    plan = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id))["plan"]
    halves = [{"key": "PLA", "percent": 50}, {"key": "PLB", "percent": 50}]
    await paula.done("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=halves)
    assert await plans(paula, portfolio_id) == [(plan["id"], "SUPERSEDED")]


async def test_a_plan_is_superseded_by_the_next_one(paula: Person) -> None:
    portfolio_id = await small(paula)
    first = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id))["plan"]
    second = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id, scope="FULL"))["plan"]
    assert await plans(paula, portfolio_id) == [(second["id"], "READY"), (first["id"], "SUPERSEDED")]


async def test_a_queued_plan_sees_the_targets_that_were_set_meanwhile(steelyard: Steelyard, paula: Person) -> None:
    portfolio_id = await large(paula)
    halves = [{"key": "PLA", "percent": 50}, {"key": "PLB", "percent": 50}]
    with steelyard.standstill():
        plan = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id, wait="PT0S"))["plan"]
        await paula.done("targetsSet", "targets { version }", portfolioId=portfolio_id, entries=halves)
    async with paula.on_socket(UPDATES, id=plan["id"]) as feed:
        await until_ready(feed)
    made = feed.received[-1]
    assert (made["status"], made["trades"][0]["quantity"]) == ("READY", "1.66666666666")


async def test_a_dry_run_shows_the_plan_and_stores_none(paula: Person) -> None:
    portfolio_id = await large(paula)
    plan = (await paula.done("rebalancePropose", PLAN, portfolioId=portfolio_id, dryRun=True))["plan"]
    assert (plan["status"], plan["trades"]) == ("READY", TRADES)
    assert await plans(paula, portfolio_id) == []
    assert await paula.ask("query ($id: ID!) { rebalancePlan(id: $id) { id } }", id=plan["id"]) == {
        "rebalancePlan": None
    }


async def test_a_repeated_key_returns_the_first_plan(paula: Person) -> None:
    portfolio_id = await small(paula)
    asked: dict[str, Any] = {"portfolioId": portfolio_id, "idempotencyKey": f"once-{portfolio_id}"}
    first = (await paula.done("rebalancePropose", PLAN, **asked))["plan"]
    assert (await paula.done("rebalancePropose", PLAN, **asked))["plan"] == first
    assert await plans(paula, portfolio_id) == [(first["id"], "READY")]


async def test_a_key_with_another_request_is_refused(paula: Person) -> None:
    portfolio_id = await small(paula)
    asked: dict[str, Any] = {"portfolioId": portfolio_id, "idempotencyKey": f"other-{portfolio_id}"}
    first = (await paula.done("rebalancePropose", PLAN, **asked))["plan"]
    payload = await paula.change("rebalancePropose", PLAN, **asked, scope="FULL")
    assert [error["code"] for error in payload["userErrors"]] == ["IDEMPOTENCY_MISMATCH"]
    headers = {"idempotency-key": asked["idempotencyKey"]}
    rest = await paula.send("POST", f"/api/rebalancing/{portfolio_id}/propose", {"scope": "FULL"}, headers)
    assert (rest.status_code, rest.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert await plans(paula, portfolio_id) == [(first["id"], "READY")]


@pytest.mark.parametrize("portfolio", [small, large])
async def test_many_calls_at_once_with_one_key_make_one_plan(paula: Person, portfolio: Any) -> None:
    portfolio_id = await portfolio(paula)
    asked: dict[str, Any] = {"portfolioId": portfolio_id, "idempotencyKey": f"many-{portfolio_id}", "wait": "PT20S"}
    payloads = await asyncio.gather(*(paula.done("rebalancePropose", PLAN, **asked) for _ in range(8)))
    ids = {payload["plan"]["id"] for payload in payloads}
    assert len(ids) == 1
    assert await plans(paula, portfolio_id) == [(ids.pop(), "READY")]


async def test_a_key_is_its_owners_own(steelyard: Steelyard, paula: Person) -> None:
    peter = steelyard.person("peter")
    hers, his = await small(paula), await small(peter)
    first = (await paula.done("rebalancePropose", PLAN, portfolioId=hers, idempotencyKey="shared"))["plan"]
    second = (await peter.done("rebalancePropose", PLAN, portfolioId=his, idempotencyKey="shared"))["plan"]
    assert first["id"] != second["id"]
    assert await peter.ask("query ($id: ID!) { rebalancePlan(id: $id) { id } }", id=first["id"]) == {
        "rebalancePlan": None
    }
