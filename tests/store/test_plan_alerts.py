"""A plan of the monitor's is told of when it is ready, and that it is so no longer; a person's own plan is not."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from app.context import new_uuid
from app.core.alerts import AlertKind, AlertSeverity, AlertStatus
from app.core.errors import InvalidState
from app.core.plan import MONITOR
from app.core.portfolio import PortfolioStatus
from app.store import alerts, approvals, plan_alerts, plans, portfolios
from app.store.plans import Made
from app.store.reading import Loaded
from tests.builders import AS_OF, snapshot
from tests.store.test_alerts import listed, told
from tests.store.test_plans import FULL, LATER, claim, drifted, finish, make
from tests.store.world import World

HOUR = timedelta(hours=1)


async def save(world: World, loaded: Loaded, made: Made | None, requested_by: str = MONITOR) -> str:
    async with world.writing() as tx:
        await portfolios.lock_portfolio(world.owner_id, tx, loaded.row.public_id)
        return await plans.save_plan(
            *(world.owner_id, tx, loaded.row.id, FULL),
            requested_by=requested_by,
            now=AS_OF,
            new_uuid=new_uuid,
            made=made,
        )


async def remind(world: World, hours: int) -> set[int]:
    async with world.store.shared() as tx:
        return await plan_alerts.scan_remind(tx, AS_OF + hours * HOUR, 10)


async def test_a_plan_of_the_monitor_is_told_of_until_it_is_superseded(world: World) -> None:
    loaded = await drifted(world)
    made = make(loaded)
    plan_id = await save(world, loaded, None)
    assert await listed(world) == []
    assert await finish(world, await claim(world, plan_id), made)
    (alert,) = await listed(world)
    assert (alert.kind, alert.key, alert.severity) == (AlertKind.PLAN_READY, None, AlertSeverity.INFO)
    assert alert.portfolio_id == loaded.row.public_id
    assert alert.message == (
        f"A plan of {len(made.plan.trades)} trades is ready to be looked at; "
        "it may be approved until 2024-06-04 16:00 UTC."
    )
    await save(world, loaded, made)
    await save(world, loaded, made, requested_by="alice")
    assert [(event.value, one.status.value) for event, one in await told(world)] == [
        ("RAISED", "OPEN"),
        ("RESOLVED", "RESOLVED"),
        ("RAISED", "OPEN"),
        ("RESOLVED", "RESOLVED"),
    ]
    assert {one.message for one in await listed(world)} == {
        "The plan is superseded: targets, holdings or policy changed, or a newer plan was made."
    }


async def test_a_plan_of_the_monitor_expires_and_so_does_its_alert(world: World) -> None:
    loaded = await drifted(world)
    await save(world, loaded, make(loaded))
    async with world.store.shared() as tx:
        await approvals.scan_expire_plans(tx, LATER, [loaded.row.id])
    (alert,) = await listed(world)
    assert (alert.status, alert.resolved_at) == (AlertStatus.RESOLVED, LATER)
    assert alert.message == "The plan has expired; its prices are too old to act on."


async def test_a_plan_that_is_made_while_its_portfolio_is_paused_is_not_told_of(world: World) -> None:
    loaded = await drifted(world)
    claimed = await claim(world, await save(world, loaded, None))
    async with world.writing() as tx:
        await portfolios.update_portfolio(
            *(world.owner_id, tx, loaded.row.public_id), actor="alice", now=AS_OF, status=PortfolioStatus.PAUSED
        )
    assert await finish(world, claimed, make(loaded))
    assert await listed(world) == []


async def test_nothing_to_do_is_nothing_to_tell(world: World) -> None:
    loaded = await world.keep(snapshot("10 AAPL @ 100", {"AAPL": "100"}))
    await save(world, loaded, make(loaded))
    assert await listed(world) == []


@pytest.mark.parametrize("_", range(3))
async def test_what_a_person_says_beside_the_end_of_a_plan_is_never_told_after_it(world: World, _: int) -> None:
    loaded = await drifted(world)
    made = make(loaded)
    await save(world, loaded, made)
    (alert,) = await listed(world)
    met = asyncio.Barrier(6)

    async def say(hours: int) -> None:
        await met.wait()
        with suppress(InvalidState):
            async with world.writing() as tx:
                until = AS_OF + hours * HOUR
                await alerts.snooze_alert(world.owner_id, tx, alert.id, until=until, now=AS_OF)

    async def end() -> None:
        await met.wait()
        await save(world, loaded, made, requested_by="alice")

    await asyncio.gather(*(say(hours) for hours in range(1, 6)), end())
    series = [event.value for event, _ in await told(world)]
    assert series == ["RAISED", *["SNOOZED"] * (len(series) - 2), "RESOLVED"]


async def test_a_plan_is_told_of_again_as_policy_and_people_say(world: World) -> None:
    loaded = await drifted(world)
    await save(world, loaded, make(loaded))
    assert await remind(world, 1000) == set()
    async with world.writing() as tx:
        # By hand: a new policy would supersede the plan.
        await tx.execute(
            "UPDATE portfolios SET policy = policy || '{\"remind_after_s\": 7200}' WHERE owner_id = $1", world.owner_id
        )
    (alert,) = await listed(world)
    assert [await remind(world, hours) for hours in (1, 2, 3)] == [set(), {world.owner_id}, set()]
    async with world.writing() as tx:
        until = AS_OF + 9 * HOUR
        await alerts.snooze_alert(world.owner_id, tx, alert.id, until=until, now=AS_OF)
    assert [await remind(world, hours) for hours in (8, 9, 10, 11)] == [
        set(),
        {world.owner_id},
        set(),
        {world.owner_id},
    ]
    async with world.writing() as tx:
        await alerts.acknowledge_alert(world.owner_id, tx, alert.id, actor="alice", now=AS_OF)
    assert await remind(world, 1000) == set()
    assert [event.value for event, _ in await told(world)] == [
        *("RAISED", "REMINDED", "SNOOZED", "REMINDED", "REMINDED", "ACKNOWLEDGED"),
    ]
