"""Plans that wait for a worker, are lost, fail, or get too old."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.actions import approving, computing, plans
from app.actions.plans import StoredPlan
from app.context import Context, Services, Watch
from app.core.money import ZERO
from app.core.optimize import highs
from app.core.optimize.allocate import PlanScope
from app.core.optimize.highs import Found, Program, Stop
from app.core.plan import PlanRequest
from app.store.plans import claim_plan
from tests.builders import AS_OF, snapshot
from tests.store.world import World
from tests.support import enter, later
from tests.workers.conftest import forget, keep, waiting
from workers import optimize


async def queued(alice: Context, portfolio_id: str) -> str:
    request = PlanRequest(PlanScope.FULL, ZERO, ())
    plan = await plans.propose(alice, portfolio_id, request, dry_run=False, wait_s=0, key=None)
    assert plan.status.value == "QUEUED"
    return plan.id


async def now(services: Services, plan_id: str) -> StoredPlan:
    return await plans.find(await enter(services, "alice"), plan_id)


async def events(world: World, plan_id: str) -> list[str]:
    """Return the statuses that subscribers are told, in order."""
    told = "SELECT array_agg(payload->>'status' ORDER BY xid, id) FROM outbox WHERE subject = $1"
    return list(await world.sql(told, plan_id))


async def test_a_queued_plan_is_made(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    assert await waiting(services) == [f"plan_compute:{plan_id}"]
    await optimize.plan_compute({"services": services}, alice.owner_id, plan_id)
    plan = await now(services, plan_id)
    assert plan.status.value == "READY"
    assert plan.plan
    assert [(trade.trade.side.value, trade.trade.asset.symbol) for trade in plan.plan.trades] == [
        ("SELL", "AAPL"),
        ("BUY", "BND"),
    ]
    assert await events(world, plan_id) == ["QUEUED", "COMPUTING", "READY"]


async def test_a_plan_that_is_made_twice_is_written_once(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    await asyncio.gather(*(computing.compute(services, alice.owner_id, plan_id) for _ in range(4)))
    await computing.compute(services, alice.owner_id, plan_id)
    assert (await now(services, plan_id)).status.value == "READY"
    assert await world.sql("SELECT count(*) FROM plan_trades") == 2
    assert (await events(world, plan_id)).count("READY") == 1


async def test_the_sweeper_puts_a_lost_plan_back(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    await forget(services)
    assert await waiting(services) == []
    await computing.scan_unfinished(services)
    await computing.scan_unfinished(services)
    assert await waiting(services) == [f"plan_compute:{plan_id}"]


async def test_a_plan_whose_worker_died_is_made_by_the_next(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    async with services.store.owned(alice.owner_id) as tx:
        assert await claim_plan(alice.owner_id, tx, plan_id, AS_OF)
    await forget(services)
    await computing.scan_unfinished(services)
    assert await waiting(services) == [f"plan_compute:{plan_id}"]
    await computing.compute(services, alice.owner_id, plan_id)
    assert (await now(services, plan_id)).status.value == "READY"


async def test_a_plan_that_cannot_be_made_fails_with_its_reason(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await queued(alice, await keep(world))
    await later(services, timedelta(days=5))
    await computing.compute(services, alice.owner_id, plan_id)
    plan = await now(services, plan_id)
    assert plan.status.value == "FAILED"
    assert plan.error
    assert plan.error.code == "STALE_DATA"
    assert "AAPL" in plan.error.message
    assert await events(world, plan_id) == ["QUEUED", "COMPUTING", "FAILED"]
    await computing.scan_unfinished(services)
    await forget(services)
    await computing.scan_unfinished(services)
    assert await waiting(services) == []


async def test_a_plan_that_breaks_our_code_fails_and_is_not_tried_for_ever(
    services: Services, world: World, alice: Context
) -> None:
    async def divide(function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Any:
        raise ZeroDivisionError

    plan_id = await queued(alice, await keep(world))
    await computing.compute(replace(services, run=divide), alice.owner_id, plan_id)
    plan = await now(services, plan_id)
    assert plan.error
    assert (plan.status.value, plan.error.code) == ("FAILED", "INTERNAL")


async def test_a_plan_whose_process_was_killed_is_tried_again(services: Services, world: World, alice: Context) -> None:
    async def break_down(function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Any:
        raise BrokenProcessPool

    plan_id = await queued(alice, await keep(world))
    with pytest.raises(BrokenProcessPool):
        await computing.compute(replace(services, run=break_down), alice.owner_id, plan_id)
    await forget(services)
    await computing.scan_unfinished(services)
    assert await waiting(services) == [f"plan_compute:{plan_id}"]
    await computing.compute(services, alice.owner_id, plan_id)
    assert (await now(services, plan_id)).status.value == "READY"


async def test_a_plan_that_is_too_old_expires(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    await computing.compute(services, alice.owner_id, plan_id)
    await later(services, timedelta(hours=24) - timedelta(microseconds=1))
    await approving.scan_expire(services)
    assert (await now(services, plan_id)).status.value == "READY"
    await later(services, timedelta(microseconds=1))
    await approving.scan_expire(services)
    assert (await now(services, plan_id)).status.value == "EXPIRED"
    assert await events(world, plan_id) == ["QUEUED", "COMPUTING", "READY", "EXPIRED"]


async def test_a_plan_that_highs_contradicts_itself_about_fails_with_a_sentence(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(program: Program, stop: Stop, *, warm: bool) -> Found:
        return Found(None, math.inf, 0, infeasible=True, seconds=0.0)

    monkeypatch.setattr(highs, "solve", lie)
    ledger = {"main": "6 AAPL @ 150, 8 BND @ 50", "ira TAX_EXEMPT": "1 AAPL"}
    kept = await world.keep(snapshot(ledger, {"AAPL": "60", "BND": "40"}))
    plan_id = await queued(alice, kept.row.public_id)
    await computing.compute(services, alice.owner_id, plan_id)
    plan = await now(services, plan_id)
    assert plan.error
    assert (plan.status.value, plan.error.code) == ("FAILED", "SOLVER_FAILED")
    assert plan.error.message.startswith("the solver says that no plan is possible")
