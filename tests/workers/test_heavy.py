"""A plan that takes long says how far it is, and nobody computes one that nobody wants any more."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.actions import approving, computing, plans
from app.context import Context, Services, Watch, on_thread
from app.core.errors import InvalidState, NotFound
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest
from app.store import plans as plan_rows
from app.store.plans import Progress
from tests.builders import AS_OF
from tests.store.world import World
from tests.support import enter, until
from tests.workers.conftest import keep, waiting
from tests.workers.test_optimize import events, now, queued


class Long:
    """Stands for a search that goes on until it is told to stop: then it makes the plan as ever."""

    def __init__(self) -> None:
        self.watch = Watch()

    async def __call__(self, function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Any:
        assert watch
        self.watch = watch

        async def told_to_stop() -> bool:
            return watch(7, 0.125)

        await until(told_to_stop)
        return await on_thread(function, *args, watch=watch)


async def begin(services: Services, alice: Context, portfolio_id: str) -> tuple[str, Long, "asyncio.Task[None]"]:
    """Queue a plan and let a worker begin it; return once its progress is there to be seen."""
    plan_id, long = await queued(alice, portfolio_id), Long()
    working = asyncio.create_task(computing.compute(replace(services, run=long), alice.owner_id, plan_id))

    async def told() -> bool:
        return (await now(services, plan_id)).progress is not None

    await until(told)
    return plan_id, long, working


async def test_a_plan_that_is_being_made_says_how_far_it_is(services: Services, world: World, alice: Context) -> None:
    plan_id, long, working = await begin(services, alice, await keep(world))
    plan = await now(services, plan_id)
    assert (plan.status.value, plan.progress) == ("COMPUTING", Progress(7, Decimal("0.125")))
    assert (await events(world, plan_id))[:3] == ["QUEUED", "COMPUTING", "COMPUTING"]
    long.watch.stopped = True
    await working
    assert (await now(services, plan_id)).status.value == "READY"


async def test_a_cancelled_plan_is_computed_no_further(services: Services, world: World, alice: Context) -> None:
    plan_id, long, working = await begin(services, alice, await keep(world))
    cancelled = await approving.cancel(alice, plan_id, "")
    assert cancelled.status.value == "CANCELLED"
    await working
    assert long.watch.stopped
    plan = await now(services, plan_id)
    assert (plan.status.value, plan.plan, plan.version) == ("CANCELLED", None, cancelled.version)
    assert (await events(world, plan_id))[-1] == "CANCELLED"
    assert await world.sql("SELECT kind FROM rebalance_history ORDER BY sequence DESC LIMIT 1") == "PLAN_CANCELLED"
    await computing.scan_unfinished(services)
    await computing.compute(services, alice.owner_id, plan_id)
    assert (await now(services, plan_id)).status.value == "CANCELLED"


async def test_a_plan_that_waits_is_cancelled_before_anybody_begins(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await queued(alice, await keep(world))
    assert (await approving.cancel(alice, plan_id, "")).status.value == "CANCELLED"
    assert (await approving.cancel(alice, plan_id, "")).status.value == "CANCELLED"
    assert await events(world, plan_id) == ["QUEUED", "CANCELLED"]
    await computing.compute(services, alice.owner_id, plan_id)
    assert await events(world, plan_id) == ["QUEUED", "CANCELLED"]


async def test_a_plan_that_a_newer_one_supersedes_is_computed_no_further(
    services: Services, world: World, alice: Context
) -> None:
    portfolio_id = await keep(world)
    plan_id, long, working = await begin(services, alice, portfolio_id)
    newer = await queued(alice, portfolio_id)
    await working
    assert long.watch.stopped
    assert [(await now(services, one)).status.value for one in (plan_id, newer)] == ["SUPERSEDED", "QUEUED"]


async def test_a_plan_that_is_made_is_cancelled_no_more(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    await computing.compute(services, alice.owner_id, plan_id)
    with pytest.raises(InvalidState, match=r"the plan is READY; it could be cancelled while .*; reject it instead"):
        await approving.cancel(alice, plan_id, "")


async def test_a_plan_of_somebody_else_cannot_be_cancelled(services: Services, world: World, alice: Context) -> None:
    plan_id = await queued(alice, await keep(world))
    with pytest.raises(NotFound):
        await approving.cancel(await enter(services, "bob"), plan_id, "")
    assert (await now(services, plan_id)).status.value == "QUEUED"


async def test_the_worker_that_lost_its_claim_tells_no_progress(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await queued(alice, await keep(world))
    async with services.store.owned(alice.owner_id) as tx:
        first = await plan_rows.claim_plan(alice.owner_id, tx, plan_id, AS_OF)
        second = await plan_rows.claim_plan(alice.owner_id, tx, plan_id, AS_OF)
        assert first
        assert second
        progress = Progress(1, None)
        assert not await plan_rows.note_progress(alice.owner_id, tx, first, progress, AS_OF)
        assert await plan_rows.note_progress(alice.owner_id, tx, second, progress, AS_OF)


async def test_what_takes_too_long_at_once_is_left_to_a_worker(
    services: Services, world: World, alice: Context
) -> None:
    """The clock of the search is all that differs: with time to spare the same plan is there at once."""
    portfolio_id = await keep(world)
    request = PlanRequest(PlanScope.FULL)
    settings = services.settings.model_copy(update={"inline_lots": 100, "inline_s": 1e-9})
    plan = await plans.propose(
        replace(alice, settings=settings), portfolio_id, request, dry_run=False, wait_s=0, key=None
    )
    assert plan.status.value == "QUEUED"
    assert await waiting(services) == [f"plan_compute:{plan.id}"]
    patient = replace(alice, settings=settings.model_copy(update={"inline_s": 30.0}))
    plan = await plans.propose(patient, portfolio_id, request, dry_run=False, wait_s=0, key=None)
    assert plan.status.value == "READY"


async def test_nothing_is_held_while_a_plan_is_made_at_once_and_one_of_before_is_left_to_a_worker(
    services: Services, world: World, alice: Context
) -> None:
    """Somebody changes the portfolio meanwhile: that neither waits, nor is overlooked."""
    portfolio_id = await keep(world)

    async def changing(function: Callable[..., Any], *args: Any, watch: Watch | None = None) -> Any:
        made = await on_thread(function, *args, watch=watch)
        async with asyncio.timeout(5):
            await world.sql("UPDATE portfolios SET version = version + 1 RETURNING version")
        return made

    settings = services.settings.model_copy(update={"inline_lots": 100})
    busy = replace(alice, settings=settings, run=changing)
    request = PlanRequest(PlanScope.FULL)
    plan = await plans.propose(busy, portfolio_id, request, dry_run=False, wait_s=0, key="once")
    assert (plan.status.value, await waiting(services)) == ("QUEUED", [f"plan_compute:{plan.id}"])
    again = await plans.propose(busy, portfolio_id, request, dry_run=False, wait_s=0, key="once")
    assert again.id == plan.id
    await computing.compute(services, alice.owner_id, plan.id)
    assert (await now(services, plan.id)).status.value == "READY"
