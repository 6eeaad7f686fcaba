"""A plan is proposed by itself when a breach opens or gets worse: queued, once, no more often than the policy wants."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.actions import plans, proposals, scans, ticks
from app.context import Context, Services
from app.core.plan import PlanRequest
from app.core.policy import Policy
from app.core.portfolio import AssetClass
from app.core.scalars import write_instant
from app.store import plans as plan_rows
from tests.builders import AS_OF, absolute, sleeve, snapshot
from tests.store.world import World
from tests.support import later
from tests.workers.conftest import forget, waiting
from workers import optimize

HOUR = timedelta(hours=1)
WANTED: dict[str, Any] = {"AAPL": sleeve("60", band=absolute("5")), "BND": sleeve("40", band=absolute("40"))}


async def keep(world: World, policy: Policy | None = None, price: str = "100") -> str:
    """Store 6 AAPL and 8 BND at 50, wanted at 60 and 40 percent; plans are proposed by themselves."""
    wanted = snapshot(f"6 AAPL @ {price}, 8 BND @ 50", WANTED, policy=policy or Policy(auto_propose=True))
    return (await world.keep(wanted)).row.public_id


async def move(services: Services, world: World, price: str) -> None:
    """Record a price, and let a tick decide."""
    async with services.store.shared() as tx:
        now = await tx.value("SELECT anchored_domain FROM domain_clock")
    await world.price("AAPL", price, now)
    await ticks.run(services)


async def told(world: World) -> list[tuple[str, str, str]]:
    """Return who asked for each plan, its scope and its status, oldest first."""
    async with world.raw() as connection:
        rows = await connection.fetch("SELECT requested_by, scope, status FROM plans ORDER BY id")
    return [tuple(row) for row in rows]


async def compute(services: Services, world: World) -> None:
    """Make all queued plans."""
    for job in await waiting(services):
        if job.startswith("plan_compute:"):
            await optimize.plan_compute({"services": services}, world.owner_id, job.removeprefix("plan_compute:"))
    await forget(services)


async def test_a_breach_seen_by_a_tick_queues_a_plan_that_a_worker_makes(services: Services, world: World) -> None:
    await keep(world)
    await move(services, world, "150")
    assert await told(world) == [("monitor", "BREACHED_ONLY", "QUEUED")]
    await compute(services, world)
    assert await told(world) == [("monitor", "BREACHED_ONLY", "READY")]
    await move(services, world, "151")
    assert await proposals.scan_propose(services) == 0


async def test_a_breach_seen_by_a_scan_queues_a_plan(services: Services, world: World) -> None:
    await keep(world, price="150")
    await scans.tick(services)
    await scans.measure_chunk(services, write_instant(AS_OF), 0)
    assert await told(world) == [("monitor", "BREACHED_ONLY", "QUEUED")]


async def test_nobody_who_did_not_ask_for_it_gets_a_plan(services: Services, world: World) -> None:
    await keep(world, Policy())
    await move(services, world, "150")
    assert await told(world) == []


@pytest.mark.parametrize("status", ["PAUSED", "ARCHIVED"])
async def test_a_portfolio_that_is_not_active_gets_none(services: Services, world: World, status: str) -> None:
    await keep(world, price="150")
    async with services.store.shared() as tx:
        await tx.execute("UPDATE portfolios SET policy = policy || '{\"auto_propose\": false}'")
    await ticks.run(services)
    async with services.store.shared() as tx:
        await tx.execute("UPDATE portfolios SET policy = policy || '{\"auto_propose\": true}', status = $1", status)
    assert await world.sql("SELECT count(*) FROM alerts WHERE status = 'OPEN'") == 1
    assert await proposals.scan_propose(services) == 0


async def test_a_warning_is_not_a_breach(services: Services, world: World) -> None:
    await keep(world, Policy(auto_propose=True, alert_on_warning=True))
    await move(services, world, "120")
    assert await world.sql("SELECT count(*) FROM alerts") == 1
    assert await told(world) == []


async def test_an_escalation_asks_again_but_not_within_the_cooldown(services: Services, world: World) -> None:
    await keep(world, Policy(auto_propose=True, cooldown_s=7200))
    await move(services, world, "150")
    await compute(services, world)
    await later(services, HOUR)
    await move(services, world, "200")
    assert len(await told(world)) == 1
    await supersede(services, world)
    assert await proposals.scan_propose(services) == 0
    await later(services, HOUR - timedelta(microseconds=1))
    assert await proposals.scan_propose(services) == 0
    await later(services, timedelta(microseconds=1))
    assert await proposals.scan_propose(services) == 1
    assert [status for _, _, status in await told(world)] == ["SUPERSEDED", "QUEUED"]


@pytest.mark.parametrize("status", ["COMPLETED", "PARTIAL"])
async def test_after_a_plan_was_executed_the_cooldown_begins_at_its_end(
    services: Services, world: World, alice: Context, status: str
) -> None:
    portfolio_id = await keep(world, Policy(auto_propose=True, cooldown_s=7200))
    await plans.propose(alice, portfolio_id, PlanRequest(), dry_run=False, wait_s=0, key=None)
    await later(services, timedelta(hours=12))
    await world.sql("UPDATE plans SET status = 'EXECUTING'")
    await move(services, world, "150")
    assert len(await told(world)) == 1
    await world.sql("UPDATE plans SET status = $1, ended_at = (SELECT anchored_domain FROM domain_clock)", status)
    await later(services, 2 * HOUR - timedelta(microseconds=1))
    assert await proposals.scan_propose(services) == 0
    await later(services, timedelta(microseconds=1))
    assert await proposals.scan_propose(services) == 1
    assert await told(world) == [("alice", "BREACHED_ONLY", status), ("monitor", "BREACHED_ONLY", "QUEUED")]


@pytest.mark.parametrize("status", ["APPROVED", "EXECUTING"])
async def test_while_a_plan_is_executed_none_is_proposed(services: Services, world: World, status: str) -> None:
    await keep(world, Policy(auto_propose=True, cooldown_s=0), price="150")
    await move(services, world, "150")
    await world.sql("UPDATE plans SET status = $1", status)
    await later(services, HOUR)
    await move(services, world, "300")
    assert len(await told(world)) == 1


async def supersede(services: Services, world: World) -> None:
    """End the open plan, as a change of what it rests on does."""
    row = await world.sql("SELECT max(portfolio_id) FROM plans")
    async with services.store.owned(world.owner_id) as tx:
        await plan_rows.supersede_open_plans(world.owner_id, tx, row, "alice", AS_OF)


async def test_an_alert_for_which_somebody_made_a_plan_already_asks_for_none(
    services: Services, world: World, alice: Context
) -> None:
    portfolio_id = await keep(world, Policy())
    await move(services, world, "150")
    await plans.propose(alice, portfolio_id, PlanRequest(), dry_run=False, wait_s=0, key=None)
    await supersede(services, world)
    async with services.store.shared() as tx:
        await tx.execute("UPDATE portfolios SET policy = policy || '{\"auto_propose\": true}'")
    assert await proposals.scan_propose(services) == 0


async def test_a_plan_of_the_owner_that_is_open_is_not_superseded(
    services: Services, world: World, alice: Context
) -> None:
    portfolio_id = await keep(world)
    await plans.propose(alice, portfolio_id, PlanRequest(), dry_run=False, wait_s=0, key=None)
    await later(services)
    await move(services, world, "150")
    assert [(who, status) for who, _, status in await told(world)] == [("alice", "QUEUED")]


async def test_a_plan_that_was_refused_is_tried_again_after_the_cooldown(services: Services, world: World) -> None:
    ages = dict.fromkeys(AssetClass, 60)
    await keep(world, Policy(auto_propose=True, max_price_age_s=ages))
    await move(services, world, "150")
    await later(services)  # the prices are too old by now
    await compute(services, world)
    assert [status for _, _, status in await told(world)] == ["FAILED"]
    await later(services, timedelta(hours=23, microseconds=-1))
    assert await proposals.scan_propose(services) == 0
    await later(services, timedelta(microseconds=1))
    assert [await proposals.scan_propose(services) for _ in range(3)] == [1, 0, 0]
    assert [status for _, _, status in await told(world)] == ["FAILED", "QUEUED"]


async def test_many_at_once_propose_one_plan(services: Services, world: World) -> None:
    await keep(world, price="150")
    async with services.store.shared() as tx:
        await tx.execute("UPDATE portfolios SET policy = policy || '{\"auto_propose\": false}'")
    await ticks.run(services)
    async with services.store.shared() as tx:
        await tx.execute("UPDATE portfolios SET policy = policy || '{\"auto_propose\": true}'")
    assert sum(await asyncio.gather(*(proposals.scan_propose(services) for _ in range(6)))) == 1
    assert len(await told(world)) == 1
