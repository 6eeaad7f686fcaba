"""That data is stale is one alert of an owner's, whoever measures side by side; and plans that are ready."""

import asyncio
import random
from datetime import datetime, timedelta

import asyncpg
import pytest

from app.context import new_uuid
from app.core import alerts as core
from app.core.alerts import AlertSeverity, AlertStatus, SleeveState
from app.core.policy import Policy
from app.core.portfolio import PortfolioStatus
from app.store import alerts, outages, portfolios
from app.store.reading import Loaded
from tests.builders import AS_OF, snapshot
from tests.store.test_alerts import listed, told
from tests.store.world import World

HOUR = timedelta(hours=1)
FRESH = core.Decision({}, (core.DATA_KEY,), ())


def stale(*symbols: str, since: datetime = AS_OF) -> core.Decision:
    return core.Decision({core.DATA_KEY: SleeveState(1, 1, told_at=since, symbols=symbols)}, (), ())


async def kept(world: World, count: int, **policy: int) -> list[Loaded]:
    rules = Policy(**policy)  # type: ignore[arg-type]
    return [await world.keep(snapshot("10 AAPL @ 100", {"AAPL": "100"}, policy=rules)) for _ in range(count)]


async def write(world: World, loaded: Loaded, decision: core.Decision) -> None:
    async with world.store.shared() as tx:
        await alerts.scan_take_turn(tx, [loaded.row.id])
        await alerts.scan_states(tx, [loaded.row.id])
        decided = [alerts.Decided(loaded.row.owner_id, loaded.row.id, decision)]
        await alerts.scan_save_decisions(tx, decided, now=AS_OF, new_uuid=new_uuid)


async def settle(world: World, *owners: int, now: datetime = AS_OF) -> set[int]:
    async with world.store.shared() as tx:
        return await outages.scan_settle(tx, owners or [world.owner_id], now=now, new_uuid=new_uuid)


async def unsettled(world: World, now: datetime = AS_OF) -> list[int]:
    async with world.store.shared() as tx:
        return await outages.scan_unsettled(tx, now, 10)


async def kinds(world: World) -> list[str]:
    return [event.value for event, _ in await told(world)]


async def test_an_outage_of_many_portfolios_is_one_alert_from_first_to_last(each_world: World) -> None:
    world = each_world
    one, two = await kept(world, 2)
    await write(world, one, stale("MSFT", "AAPL", since=AS_OF + HOUR))
    await write(world, two, stale("AAPL", "EUR/USD"))
    assert await unsettled(world) == [world.owner_id]
    assert await settle(world) == {world.owner_id}
    assert await unsettled(world) == []
    assert await settle(world) == set()
    (alert,) = await listed(world)
    assert (alert.kind.value, alert.portfolio_id, alert.key, alert.entry) == ("DATA_STALE", None, None, None)
    assert (alert.severity, alert.status, alert.base_currency) == (AlertSeverity.WARNING, AlertStatus.OPEN, None)
    assert alert.message == (
        "At 2024-06-03 16:00 UTC drift of 2 portfolios could not be judged: no fresh price for AAPL, EUR/USD, MSFT."
    )
    await write(world, one, FRESH)
    assert await settle(world) == set()
    await write(world, two, FRESH)
    assert await settle(world, now=AS_OF + 5 * HOUR) == {world.owner_id}
    (alert,) = await listed(world)
    assert (alert.status, alert.resolved_at) == (AlertStatus.RESOLVED, AS_OF + 5 * HOUR)
    assert alert.message == "No portfolio that is watched lacks a fresh price any more, after 5 hours."
    assert await kinds(world) == ["RAISED", "RESOLVED"]


async def test_chunks_of_two_owners_side_by_side_raise_and_resolve_one_alert_each(world: World) -> None:
    bob = await world.other()
    mine, his = await kept(world, 4), await kept(bob, 4)
    owners = [world.owner_id, bob.owner_id]

    async def chunk(loaded: Loaded, decision: core.Decision, met: asyncio.Barrier, *, swap: bool) -> set[int]:
        await met.wait()
        await write(world, loaded, decision)
        return await settle(world, *(reversed(owners) if swap else owners))

    for decision in (stale("AAPL"), FRESH) * 3:
        met = asyncio.Barrier(8)
        chunks = [chunk(one, decision, met, swap=place % 2 == 1) for place, one in enumerate([*mine, *his])]
        counts = [len(one) for one in await asyncio.gather(*chunks)]
        assert sum(counts) == 2
    for owner in (world, bob):
        assert await kinds(owner) == ["RAISED", "RESOLVED"] * 3
        assert len({alert.id for _, alert in await told(owner)}) == 3


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_measures_and_pauses_side_by_side_is_told_alternately_and_ends_true(
    world: World, seed: int
) -> None:
    chance = random.Random(seed)
    mine = await kept(world, 4)

    async def flip(loaded: Loaded, plan: list[str]) -> None:
        for step in plan:
            if step == "pause":
                for status in (PortfolioStatus.PAUSED, PortfolioStatus.ACTIVE):
                    async with world.writing() as tx:
                        await portfolios.update_portfolio(
                            *(world.owner_id, tx, loaded.row.public_id), actor="alice", now=AS_OF, status=status
                        )
                    await settle(world)
            else:
                await write(world, loaded, stale("AAPL") if step == "stale" else FRESH)
                await settle(world)

    plans = [[chance.choice(["stale", "fresh", "pause"]) for _ in range(12)] for _ in mine]
    await asyncio.gather(*(flip(one, plan) for one, plan in zip(mine, plans, strict=True)))
    waiting = await world.sql("SELECT count(*) FROM drift_states WHERE key = ' data'")
    assert await unsettled(world) == []
    series = [(event, alert) for event, alert in await told(world) if alert.kind.value == "DATA_STALE"]
    assert [event.value for event, _ in series] == ["RAISED", "RESOLVED"] * (len(series) // 2) + ["RAISED"] * (
        len(series) % 2
    )
    assert len(series) % 2 == bool(waiting)


async def test_the_database_refuses_a_second_open_alert_about_data(world: World) -> None:
    (one,) = await kept(world, 1)
    await write(world, one, stale("AAPL"))
    await settle(world)
    async with world.raw() as connection:
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(
                """
                INSERT INTO alerts (public_id, owner_id, kind, severity, status, message, raised_at)
                SELECT gen_random_uuid(), owner_id, kind, severity, 'OPEN', message, raised_at FROM alerts
                """
            )
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE alerts SET kind = 'DRIFT'")


async def test_the_last_portfolio_that_waits_is_paused_and_the_alert_ends(world: World) -> None:
    one, two = await kept(world, 2)
    for loaded in (one, two):
        await write(world, loaded, stale("AAPL"))
    await settle(world)
    for loaded, left in ((one, []), (two, [world.owner_id])):
        async with world.writing() as tx:
            await portfolios.update_portfolio(
                *(world.owner_id, tx, loaded.row.public_id), actor="alice", now=AS_OF, status=PortfolioStatus.PAUSED
            )
        assert await unsettled(world) == left
    await settle(world, now=AS_OF + HOUR)
    (alert,) = await listed(world)
    assert alert.message == "No portfolio that is watched lacks a fresh price any more, after 60 minutes."


async def test_an_outage_is_told_again_by_the_most_eager_policy_unless_it_is_acknowledged_or_snoozed(
    world: World,
) -> None:
    (never,) = await kept(world, 1)
    (daily,) = await kept(world, 1, remind_after_s=86_400)
    (often,) = await kept(world, 1, remind_after_s=7200)
    for loaded in (never, daily, often):
        await write(world, loaded, stale("AAPL"))
    assert await settle(world) == {world.owner_id}
    assert await unsettled(world, AS_OF + 2 * HOUR - timedelta(microseconds=1)) == []
    assert await unsettled(world, AS_OF + 2 * HOUR) == [world.owner_id]
    await settle(world, now=AS_OF + 2 * HOUR)
    await settle(world, now=AS_OF + 3 * HOUR)
    (alert,) = await listed(world)
    assert (alert.reminded_at, alert.status) == (AS_OF + 2 * HOUR, AlertStatus.OPEN)
    assert alert.message == (
        "At 2024-06-03 18:00 UTC drift of 3 portfolios could not be judged, the first since 2024-06-03 16:00 UTC: "
        "no fresh price for AAPL."
    )
    async with world.writing() as tx:
        now, until = AS_OF + 3 * HOUR, AS_OF + 9 * HOUR
        await alerts.snooze_alert(world.owner_id, tx, alert.id, until=until, now=now)
    assert await settle(world, now=AS_OF + 8 * HOUR) == set()
    await settle(world, now=AS_OF + 9 * HOUR)
    async with world.writing() as tx:
        await alerts.acknowledge_alert(world.owner_id, tx, alert.id, actor="alice", now=AS_OF + 9 * HOUR)
    assert await settle(world, now=AS_OF + 100 * HOUR) == set()
    async with world.writing() as tx:
        now, until = AS_OF + 100 * HOUR, AS_OF + 101 * HOUR
        await alerts.snooze_alert(world.owner_id, tx, alert.id, until=until, now=now)
    await settle(world, now=until)
    (alert,) = await listed(world)
    assert (alert.status, alert.snoozed_until, alert.reminded_at) == (AlertStatus.ACKNOWLEDGED, None, until)
    said = ["RAISED", "REMINDED", "SNOOZED", "REMINDED", "ACKNOWLEDGED", "SNOOZED", "REMINDED"]
    assert await kinds(world) == said


async def test_many_owners_are_settled_in_as_many_statements_as_one(world: World) -> None:
    owners = [world, *[await world.other(f"bob {number}") for number in range(4)]]
    for owner in owners:
        (one,) = await kept(owner, 1)
        await write(owner, one, stale("AAPL"))
    counts = []
    for group in (owners[:1], owners[1:]):
        before = world.store.statements
        assert len(await settle(world, *(owner.owner_id for owner in group))) == len(group)
        counts.append(world.store.statements - before)
    assert counts == [5, 5]
