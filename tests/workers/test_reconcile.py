"""Brokers are asked what they hold: after a plan, and once a day; one alert an account says where the books differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.actions import portfolios, reconciling
from app.brokers.protocol import BrokerUnavailable
from app.context import Services, new_uuid
from app.core.order_values import BrokerKind, BrokerOrder, Ticket
from app.store.reading import Loaded
from tests.builders import AS_OF, snapshot
from tests.store.world import World
from tests.support import enter, stand


@dataclass
class Depot:
    """A broker that holds what it is told to, and says how often it was asked; None keeps no books."""

    held: Mapping[str, str] | None
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        self.asked.append(account_id)
        if self.away:
            raise BrokerUnavailable("no answer")
        return self.held if self.held is None else {name: Decimal(units) for name, units in self.held.items()}

    async def place(self, ticket: Ticket) -> BrokerOrder:
        raise AssertionError(ticket)

    async def cancel(self, ticket: Ticket) -> None:
        raise AssertionError(ticket)

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        raise AssertionError(ticket)


@pytest.fixture
async def loaded(world: World) -> Loaded:
    wanted = {"AAPL": "60", "BND": "40"}
    kept = await world.keep(snapshot("6 AAPL {100 USD 2020-01-02} @ 150, 2 AAPL {1}, 8 BND @ 50", wanted))
    await world.sql("UPDATE accounts SET execution = 'ALPACA'")
    return kept


AGREED = {"AAPL": "8", "BND": "8.0"}


async def reconcile(services: Services, depot: Depot, after: timedelta = timedelta(0)) -> int:
    await stand(services, AS_OF + after)
    return await reconciling.scan_reconcile(services, {BrokerKind.ALPACA: depot})


async def alerts(world: World) -> list[tuple[str, str, str]]:
    async with world.raw() as connection:
        rows = await connection.fetch(
            "SELECT payload ->> 'event' AS event, payload -> 'alert' ->> 'status' AS status, "
            "payload -> 'alert' ->> 'message' AS message FROM outbox WHERE topic = 'alert' ORDER BY id"
        )
    return [(row["event"], row["status"], row["message"]) for row in rows]


DIFFER = "The broker of the account main holds other units than the books: "
IMPORT = ". See what was traded there without us, and import the holdings."


async def test_a_difference_is_one_alert_until_broker_and_books_agree(
    services: Services, world: World, loaded: Loaded
) -> None:
    depot = Depot({"AAPL": "7.5", "GLD": "1", "BND": "8"})
    assert await reconcile(services, depot) == 1
    told = DIFFER + "AAPL 7.5 there, 8 here; GLD 1 there, 0 here" + IMPORT
    assert await alerts(world) == [("RAISED", "OPEN", told)]
    day = timedelta(days=1)
    assert await reconcile(services, depot, day) == 1  # the same is not told twice
    depot.held = {"AAPL": "7.5", "BND": "8"}
    await reconcile(services, depot, 2 * day)
    depot.held = AGREED
    await reconcile(services, depot, 3 * day)
    assert (await alerts(world))[1:] == [
        ("REMINDED", "OPEN", DIFFER + "AAPL 7.5 there, 8 here" + IMPORT),
        ("RESOLVED", "RESOLVED", "The broker of the account main holds what the books say again."),
    ]
    account = loaded.snapshot.portfolio.accounts[0].id
    assert depot.asked == [account] * 4
    assert await world.sql("SELECT kind || ' ' || key || ' ' || severity FROM alerts") == (
        f"BOOKS_DIFFER {account} CRITICAL"
    )


async def test_a_broker_is_asked_once_a_day_and_after_each_plan(
    services: Services, world: World, loaded: Loaded
) -> None:
    depot = Depot(AGREED)
    hour = timedelta(hours=1)
    assert [await reconcile(services, depot, n * hour) for n in (0, 1, 23, 24, 25)] == [1, 0, 0, 1, 0]
    await plan(world, loaded, "COMPLETED", 26)
    assert [await reconcile(services, depot, n * hour) for n in (26, 27)] == [1, 0]
    assert await alerts(world) == []


async def test_nobody_is_asked_while_a_plan_is_executed_or_for_accounts_that_a_person_works(
    services: Services, world: World, loaded: Loaded
) -> None:
    depot = Depot({"AAPL": "1"})
    await plan(world, loaded, "EXECUTING", None)
    assert await reconcile(services, depot) == 0
    await world.sql("UPDATE plans SET status = 'PARTIAL', ended_at = now()")
    await world.sql("UPDATE accounts SET execution = 'MANUAL'")
    assert await reconcile(services, depot) == 0
    assert depot.asked == []


async def test_a_broker_that_does_not_answer_is_asked_again_later_and_one_without_books_says_nothing(
    services: Services, world: World, loaded: Loaded
) -> None:
    depot = Depot({"AAPL": "1"}, away=True)
    minutes = [timedelta(minutes=n) for n in (0, 5, 10)]
    assert [await reconcile(services, depot, after) for after in minutes] == [0, 0, 0]
    assert len(depot.asked) == 2
    depot.held, depot.away = None, False
    assert await reconcile(services, depot, timedelta(minutes=20)) == 1
    assert await alerts(world) == []


async def test_an_adapter_that_breaks_keeps_nobody_else_from_being_asked(
    services: Services, world: World, loaded: Loaded
) -> None:
    class Broken(Depot):
        async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
            if not self.asked:
                self.asked.append(account_id)
                raise KeyError("qty")
            return await super().positions(account_id)

    await world.keep(snapshot("6 AAPL @ 150", {"AAPL": "100"}), "Second")
    await world.sql("UPDATE accounts SET execution = 'ALPACA'")
    depot = Broken({"AAPL": "6"})
    assert await reconcile(services, depot) == 1
    assert len(depot.asked) == 2


async def test_an_account_that_another_works_has_no_alert_about_its_broker_before(
    services: Services, world: World, loaded: Loaded
) -> None:
    alice = await enter(services, "alice")
    depot = Depot({"AAPL": "7.5", "BND": "8"})
    assert await reconcile(services, depot) == 1
    account = loaded.snapshot.portfolio.accounts[0]
    await portfolios.update_account(alice, account.id, broker=None, execution=BrokerKind.MANUAL, expected=None)
    ended = "Another works the orders of the account main now; what its broker before held is not asked any more."
    assert (await alerts(world))[1:] == [("RESOLVED", "RESOLVED", ended)]
    await world.sql("UPDATE accounts SET execution = 'ALPACA'")
    assert await reconcile(services, depot) == 1  # asked at once, and told anew


async def test_books_that_change_while_the_broker_is_asked_are_not_compared(
    services: Services, world: World, loaded: Loaded
) -> None:
    class Slow(Depot):
        async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
            await world.sql("UPDATE portfolios SET version = version + 1")
            return await super().positions(account_id)

    assert await reconcile(services, Slow({"AAPL": "1"})) == 0
    assert await alerts(world) == []


async def plan(world: World, loaded: Loaded, status: str, ended_after_h: int | None) -> None:
    ended: Any = None if ended_after_h is None else AS_OF + timedelta(hours=ended_after_h)
    await world.sql(
        """
        INSERT INTO plans (public_id, owner_id, portfolio_id, status, version, scope, cash_flow, excluded, engine,
            requested_by, created_at, warnings, ended_at)
        VALUES ($1, $2, $3, $4, 1, 'FULL', 0, '{}', 'test', 'alice', $5, '[]', $6)
        """,
        *(new_uuid(), world.owner_id, loaded.row.id, status, AS_OF, ended),
    )
