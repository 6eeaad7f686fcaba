"""How many SQL statements each journey takes: numbers that are written down, and do not grow with the data.

Counted is what the store sends, without the begin, the commit and the setting of the owner around it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from app.actions import executing, scans
from app.actions.live import Hub
from app.api.auth import Principal, Verifier
from app.api.graphql import Caller
from app.api.schema import Schema, make_schema
from app.context import OPERATOR, Services, on_thread, open_services, wall_now
from app.core.order_values import BrokerKind
from app.core.scalars import write_instant
from app.embedded import Endpoints
from app.settings import Settings
from app.store import scans as scan_rows
from tests.support import enter
from tests.workers.broking import ScriptedBroker

SECRET = "kYq7vT2m9XwR4zB8nL1cD6fH3jP5sG0a"

# One to learn the instant of the domain clock; then what the journey needs.
ENTER = 1
SNAPSHOT = 4
# What the taxpayer group has traded, which only plans ask for.
PAST = 3
DRIFT = ENTER + SNAPSHOT
CLOSES = 1
SET_TARGETS = ENTER + 21
PROPOSE = ENTER + 21 + PAST + CLOSES
APPROVE = ENTER + 28
ORDERS = 1
CREATE = ENTER + 35
ACCOUNT = ENTER + 14
IMPORT = ENTER + 31
PRICES = ENTER + 2
# Bulks with their counts and totals, the portfolios of one, and what looks up whom and what it is about.
BULKS = ENTER + 3
ITEMS = 1
BULK = ENTER + 8
# As it raises alerts: two of these look for portfolios that a plan is to be proposed for.
SCAN_CHUNK = 27


@dataclass(frozen=True)
class House:
    """The API without its wire, on a database of its own."""

    services: Services
    schema: Schema
    subject: str = "alice"

    async def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Run a document as an operator; return its data."""
        settings = self.services.settings
        principal = Principal(
            settings.jwt_issuer, self.subject, frozenset({OPERATOR}), None, wall_now() + timedelta(hours=1)
        )
        caller = Caller(self.services, Verifier(settings), Hub(self.services), principal=principal)
        result = await self.schema.execute(query, variable_values=variables, context_value=caller)
        assert not result.errors, result.errors
        assert result.data
        return result.data

    async def mutate(self, mutation: str, selection: str = "__typename", **given: Any) -> dict[str, Any]:
        name = mutation[0].upper() + mutation[1:]
        asked = f"{selection} userErrors {{ message }}"
        query = f"mutation ($input: {name}Input!) {{ {mutation}(input: $input) {{ {asked} }} }}"
        payload: dict[str, Any] = (await self.ask(query, input=given))[mutation]
        assert payload["userErrors"] == []
        return payload

    async def count(self, query: str, **variables: object) -> int:
        """Return how many statements a document takes."""
        before = self.services.store.statements
        await self.ask(query, **variables)
        return self.services.store.statements - before

    async def cost(self, mutation: str, **given: Any) -> int:
        """Return how many statements a mutation takes."""
        before = self.services.store.statements
        await self.mutate(mutation, **given)
        return self.services.store.statements - before


@pytest.fixture
async def house(database: Endpoints, redis_url: str) -> AsyncIterator[House]:
    settings = Settings(jwt_secret=SECRET, scan_period_s=1, scan_chunk_portfolios=1000).model_copy(
        update={"database_url": database.database_url, "redis_url": redis_url}
    )
    async with open_services(settings, on_thread) as services:
        house = House(services, make_schema())
        for symbol in SYMBOLS:
            await house.mutate("assetUpsert", symbol=symbol, assetClass="STOCK")
        await house.mutate("pricesRecord", prices=[{"symbol": symbol, "price": "10"} for symbol in SYMBOLS])
        yield house


SYMBOLS = [f"S{number}" for number in range(20)]


async def portfolio(house: House, held: int = 2) -> dict[str, Any]:
    """Create a portfolio far from its targets."""
    made = await house.mutate(
        "portfolioCreate",
        "portfolio { id accounts { id } }",
        name="Core",
        accounts=[{"lots": [{"symbol": symbol, "quantity": "1"} for symbol in SYMBOLS[:held]]}],
        targets=targets(held),
    )
    found: dict[str, Any] = made["portfolio"]
    return found


def targets(sleeves: int) -> list[dict[str, str]]:
    """Return targets of 1 % each, but for the first."""
    first = {"key": SYMBOLS[0], "percent": str(101 - sleeves)}
    return [first, *({"key": symbol, "percent": "1"} for symbol in SYMBOLS[1:sleeves])]


async def test_drift_of_one_portfolio(house: House) -> None:
    small, large = await portfolio(house), await portfolio(house, held=20)
    query = "query ($id: ID!) { portfolio(id: $id) { value { amount } targets { version } drift { entries { key } } } }"
    assert await house.count(query, id=small["id"]) == DRIFT
    assert await house.count(query, id=large["id"]) == DRIFT


async def test_list_of_portfolios_with_drift_takes_no_more_for_twenty_than_for_one(house: House) -> None:
    query = (
        "{ portfolios(first: 20) { nodes { name value { amount } holdings { nodes { quantity } } drift { status } } } }"
    )
    await portfolio(house)
    assert await house.count(query) == DRIFT
    for _ in range(19):
        await portfolio(house)
    assert len((await house.ask(query))["portfolios"]["nodes"]) == 20
    assert await house.count(query) == DRIFT


async def test_closes_take_one_more_for_however_many_portfolios(house: House) -> None:
    query = "{ portfolios(first: 20) { nodes { drift { trackingError depositToBand { amount { amount } } } } } }"
    await portfolio(house)
    assert await house.count(query) == DRIFT + CLOSES
    for _ in range(9):
        await portfolio(house)
    assert await house.count(query) == DRIFT + CLOSES
    made = await portfolio(house)
    moving: dict[str, Any] = {"volatility": {}}
    await house.mutate("portfolioUpdate", portfolioId=made["id"], policy={"defaultBand": moving})
    one = "query ($id: ID!) { portfolio(id: $id) { drift { status } } }"
    assert await house.count(one, id=made["id"]) == DRIFT + CLOSES


async def test_targets_are_set(house: House) -> None:
    made = await portfolio(house)
    assert await house.cost("targetsSet", portfolioId=made["id"], entries=targets(2)) == SET_TARGETS
    assert await house.cost("targetsSet", portfolioId=made["id"], entries=targets(20)) == SET_TARGETS
    dry = await house.cost("targetsSet", portfolioId=made["id"], entries=targets(20), dryRun=True)
    assert dry == ENTER + SNAPSHOT + 2


async def test_brokers_come_with_the_accounts_that_name_them(house: House) -> None:
    await house.mutate("brokerUpsert", name="X", fees=[{"assetClass": "STOCK", "fixed": "1"}])
    query = "query ($id: ID!) { portfolio(id: $id) { accounts { broker } drift { entries { key } } } }"
    made = await portfolio(house)
    assert await house.cost("accountUpdate", accountId=made["accounts"][0]["id"], broker="X") == ACCOUNT
    assert await house.count(query, id=made["id"]) == DRIFT


async def test_plan_is_made_inline(house: House) -> None:
    small, large = await portfolio(house), await portfolio(house, held=20)
    assert await house.cost("rebalancePropose", portfolioId=small["id"], scope="FULL") == PROPOSE
    assert await house.cost("rebalancePropose", portfolioId=large["id"], scope="FULL") == PROPOSE
    dry = await house.cost("rebalancePropose", portfolioId=large["id"], scope="FULL", dryRun=True)
    assert dry == ENTER + SNAPSHOT + PAST + CLOSES


async def test_plan_is_approved(house: House) -> None:
    for held in (2, 20):
        made = await portfolio(house, held=held)
        asked = "plan { id version trades { id } }"
        plan = (await house.mutate("rebalancePropose", asked, portfolioId=made["id"], scope="FULL"))["plan"]
        given = {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": plan["id"]}
        assert await house.cost("planApprove", **given) == APPROVE
    query = "query ($id: ID!) { portfolio(id: $id) { history { nodes { kind document } } } }"
    assert await house.count(query, id=made["id"]) == ENTER + SNAPSHOT + 1
    assert await house.count("query ($id: ID!) { portfolio(id: $id) { auditTrail { whole } } }", id=made["id"]) == (
        ENTER + SNAPSHOT + 2
    )


async def test_portfolio_is_created_and_its_holdings_are_replaced(house: House) -> None:
    for held in (2, 20):
        lots = [{"symbol": symbol, "quantity": "2"} for symbol in SYMBOLS[:held]]
        create = await house.cost("portfolioCreate", name="New", accounts=[{"lots": lots}], targets=targets(held))
        assert create == CREATE
    made = await portfolio(house)
    for held in (2, 20):
        lots = [{"symbol": symbol, "quantity": "3"} for symbol in SYMBOLS[:held]]
        assert await house.cost("holdingsImport", accountId=made["accounts"][0]["id"], lots=lots) == IMPORT


async def test_prices_are_recorded(house: House) -> None:
    for number in (1, 20):
        prices = [{"symbol": symbol, "price": "11"} for symbol in SYMBOLS[:number]]
        assert await house.cost("pricesRecord", prices=prices) == PRICES


async def test_plans_and_alerts_are_listed(house: House) -> None:
    made = await portfolio(house)
    plans = "query ($id: ID!) { portfolio(id: $id) { plans { nodes { trades { symbol lots { lotId } } } } } }"
    counts = []
    for _ in range(3):
        await house.mutate("rebalancePropose", portfolioId=made["id"], scope="FULL")
        counts.append(await house.count(plans, id=made["id"]))
    assert counts == [counts[0]] * 3
    assert counts[0] == ENTER + SNAPSHOT + 4
    assert await house.count("{ driftAlerts { nodes { key } } }") == ENTER + 1


async def test_orders_of_plans_take_one_more_for_however_many_plans(house: House) -> None:
    made = await portfolio(house, held=5)
    await house.mutate("accountUpdate", accountId=made["accounts"][0]["id"], execution="PAPER")
    listed = "query ($id: ID!) { portfolio(id: $id) { plans { nodes { orders { status } } } } }"
    brokers = {BrokerKind.PAPER: ScriptedBroker()}
    owner_id = (await enter(house.services, house.subject)).owner_id
    for number in (1, 2):
        asked = {"portfolioId": made["id"], "scope": "FULL"}
        plan = (await house.mutate("rebalancePropose", "plan { id version }", **asked))["plan"]
        given = {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": plan["id"]}
        await house.mutate("planApprove", **given)
        await executing.advance(house.services, owner_id, plan["id"], brokers)
        plans = (await house.ask(listed, id=made["id"]))["portfolio"]["plans"]["nodes"]
        assert [len(one["orders"]) > 0 for one in plans] == [True] * number
        assert await house.count(listed, id=made["id"]) == ENTER + SNAPSHOT + 4 + ORDERS
        await house.mutate("planCancel", planId=plan["id"])
        await executing.advance(house.services, owner_id, plan["id"], brokers)


async def test_bulks_take_no_more_for_many_portfolios_than_for_one(house: House) -> None:
    counted = "{ bulks { nodes { counts { status count } totals { plans } } } }"
    listed = "query ($id: ID!) { bulk(id: $id) { progress { done } items(first: 100) { nodes { portfolioName } } } }"
    for number in range(2):
        for _ in range(number * 9 + 1):
            await portfolio(house)
        given = {"filter": {"everybody": True}, "idempotencyKey": str(number)}
        assert await house.cost("bulkPropose", **given, dryRun=True) == ENTER + 2
        assert await house.cost("bulkPropose", **given) == BULK
        begun = (await house.mutate("bulkPropose", "bulk { id progress { total } }", **given))["bulk"]
        assert begun["progress"]["total"] == number * 10 + 1
        assert await house.count(counted) == BULKS
        assert await house.count(listed, id=begun["id"]) == BULKS + ITEMS


async def test_history_and_health_take_no_more_for_two_measurements_than_for_one(house: House) -> None:
    made = await portfolio(house)
    history = "query ($id: ID!) { portfolio(id: $id) { driftHistory(resolution: RAW) { nodes { %s } } } }"
    health = "query ($id: ID!) { portfolio(id: $id) { health { inBand } } }"
    for _ in range(2):
        bucket = None
        while bucket is None:
            bucket = await scans.tick(house.services)
        await scans.measure_chunk(house.services, write_instant(bucket), 0)
        assert await house.count(history % "highest", id=made["id"]) == ENTER + SNAPSHOT + 1
        assert await house.count(history % "drift { entries { key } }", id=made["id"]) == ENTER + SNAPSHOT + 3
        assert await house.count(health, id=made["id"]) == ENTER + SNAPSHOT + 1
    assert await house.count("{ healthOverview { scanned } }") == ENTER + 2


async def test_scan_of_a_hundred_portfolios_takes_no_more_than_of_ten(house: House) -> None:
    counts, measured = [], []
    for more in (10, 90):
        for _ in range(more):
            await portfolio(house)
        bucket = None
        while bucket is None:
            bucket = await scans.tick(house.services)
        before = house.services.store.statements
        await scans.measure_chunk(house.services, write_instant(bucket), 0)
        counts.append(house.services.store.statements - before)
        async with house.services.store.shared() as tx:
            measured.append((await scan_rows.runs(tx, 1))[0].scanned)
    assert measured == [10, 100]
    assert counts == [SCAN_CHUNK, SCAN_CHUNK]
