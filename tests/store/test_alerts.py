"""An alert is raised once, escalates, resolves; each step is one event."""

import asyncio
from datetime import datetime, timedelta

import pytest

from app.context import new_uuid
from app.core import alerts as core
from app.core import drift, ids
from app.core.alerts import AlertEventKind, AlertSeverity, AlertStatus, SleeveState
from app.core.errors import InvalidState, NotFound
from app.core.policy import Policy
from app.core.portfolio import PortfolioStatus
from app.store import alerts, events, outages, portfolios
from app.store.alerts import Alert
from tests.builders import AS_OF, absolute, snapshot
from tests.store.world import World, new_id, save_decision

HALF = {"AAPL": "50", "CASH": "50"}


async def decide(world: World, portfolio_id: str, met: asyncio.Barrier | None = None, *, scan: bool = False) -> int:
    """Measure, decide and save in one transaction, as a tick or a scan does; `met` makes several begin at once."""
    loaded = await world.find(portfolio_id)
    report = drift.measure(loaded.snapshot)
    async with world.writing() as tx:
        if met:
            await met.wait()
        states = (await alerts.scan_states(tx, [loaded.row.id])).get(loaded.row.id, {})
        decision = core.decide(states, report, loaded.row.policy, AS_OF if scan else None)
        return await save_decision(world, tx, loaded.row.id, decision)


async def told(world: World) -> list[tuple[AlertEventKind, Alert]]:
    async with world.reading() as tx:
        found = await events.load_events(world.owner_id, tx, None, 100)
    return [alerts.alert_of_payload(event.payload) for event in found if event.topic == "alert"]


async def listed(world: World, **given: object) -> list[Alert]:
    async with world.reading() as tx:
        return await alerts.load_alerts(world.owner_id, tx, 100, **given)  # type: ignore[arg-type]


async def test_a_breach_is_raised_escalated_and_resolved_once_each(each_world: World) -> None:
    kept = await each_world.keep(snapshot("10 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    portfolio_id = kept.row.public_id
    assert await decide(each_world, portfolio_id) == 0
    for price, raised in [("130", 2), ("130", 0), ("160", 2), ("100", 0), ("100", 0)]:
        await each_world.price("AAPL", price)
        assert await decide(each_world, portfolio_id) == raised
    steps = await told(each_world)
    assert [(event.value, alert.key, alert.severity.value, alert.status.value) for event, alert in steps] == [
        ("RAISED", "AAPL", "CRITICAL", "OPEN"),
        ("RAISED", "CASH", "CRITICAL", "OPEN"),
        ("ESCALATED", "AAPL", "CRITICAL", "OPEN"),
        ("ESCALATED", "CASH", "CRITICAL", "OPEN"),
        ("RESOLVED", "AAPL", "CRITICAL", "RESOLVED"),
        ("RESOLVED", "CASH", "CRITICAL", "RESOLVED"),
    ]
    found = await listed(each_world)
    assert {alert.id for alert in found} == {alert.id for _, alert in steps}
    assert found[0] == steps[-1][1]
    worst = next(alert for alert in found if alert.key == "AAPL")
    assert (worst.portfolio_id, worst.base_currency) == (portfolio_id, "USD")
    assert worst.entry
    assert str(worst.entry.actual) == "61.538462"
    assert worst.message == "AAPL is at 50 %, target 50 %, band 45 to 55 %: back inside."
    assert (worst.raised_at, worst.escalated_at, worst.resolved_at) == (AS_OF, AS_OF, AS_OF)


async def test_states_come_back_as_they_were_saved(world: World) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    states = {
        "AAPL": SleeveState(3, 2, (1, 0, 4), AS_OF, AS_OF - timedelta(microseconds=1), True, AS_OF + timedelta(days=1)),
        "CASH": SleeveState(1),
        core.DATA_KEY: SleeveState(1, 1, told_at=AS_OF, symbols=("AAPL", 'B, "{}" \u00e9')),
    }
    async with world.writing() as tx:
        decision = core.Decision(states, (), ())
        await save_decision(world, tx, kept.row.id, decision)
        assert await alerts.scan_states(tx, [kept.row.id]) == {kept.row.id: states}
        gone = core.Decision({"AAPL": SleeveState(2)}, ("CASH", core.DATA_KEY), ())
        await save_decision(world, tx, kept.row.id, gone)
        assert await alerts.scan_states(tx, [kept.row.id]) == {kept.row.id: {"AAPL": SleeveState(2)}}


@pytest.mark.parametrize("scans", [0, 4, 8])
async def test_eight_that_see_the_same_breach_raise_one_alert(world: World, scans: int) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    met = asyncio.Barrier(8)
    raised = await asyncio.gather(*(decide(world, kept.row.public_id, met, scan=place < scans) for place in range(8)))
    assert sorted(raised) == [0] * 7 + [2]
    assert len(await told(world)) == 2


async def test_many_portfolios_are_decided_in_as_many_statements_as_one(world: World) -> None:
    kept = [await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5"))) for _ in range(3)]
    counts = []
    for group in (kept[:1], kept[1:]):
        async with world.store.shared() as tx:
            before = world.store.statements
            states = await alerts.scan_states(tx, [loaded.row.id for loaded in group])
            decided = [
                alerts.Decided(
                    *(world.owner_id, loaded.row.id),
                    core.decide(
                        states.get(loaded.row.id, {}), drift.measure(loaded.snapshot), loaded.row.policy, AS_OF
                    ),
                )
                for loaded in group
            ]
            raised = await alerts.scan_save_decisions(tx, decided, now=AS_OF, new_uuid=new_uuid)
            counts.append((raised, world.store.statements - before))
    assert counts == [(2, 7), (4, 7)]


async def test_an_alert_is_acknowledged_once_and_asks_again_when_it_escalates(world: World) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    await decide(world, kept.row.public_id)
    alert_id = next(alert.id for alert in await listed(world) if alert.key == "AAPL")
    for _ in range(2):
        async with world.writing() as tx:
            seen = await alerts.acknowledge_alert(world.owner_id, tx, alert_id, actor="alice", now=AS_OF)
        assert (seen.status, seen.acknowledged_by) == (AlertStatus.ACKNOWLEDGED, "alice")
    assert [event.value for event, alert in await told(world) if alert.id == alert_id] == ["RAISED", "ACKNOWLEDGED"]
    await world.price("AAPL", "160")
    await decide(world, kept.row.public_id)
    (again,) = await listed(world, alert_ids=[alert_id])
    assert (again.status, again.acknowledged_by, again.acknowledged_at) == (AlertStatus.OPEN, None, None)
    await world.price("AAPL", "77")
    await decide(world, kept.row.public_id)
    with pytest.raises(InvalidState, match="nothing left to acknowledge"):
        async with world.writing() as tx:
            await alerts.acknowledge_alert(world.owner_id, tx, alert_id, actor="alice", now=AS_OF)


async def snooze(world: World, alert_id: str, until: datetime | None) -> Alert:
    async with world.writing() as tx:
        return await alerts.snooze_alert(world.owner_id, tx, alert_id, until=until, now=AS_OF)


async def state_of(world: World, portfolio_row_id: int, key: str = "AAPL") -> SleeveState:
    async with world.writing() as tx:
        return (await alerts.scan_states(tx, [portfolio_row_id]))[portfolio_row_id][key]


async def test_what_a_person_says_of_an_alert_is_remembered_until_it_escalates(world: World) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    await decide(world, kept.row.public_id)
    alert_id = next(alert.id for alert in await listed(world) if alert.key == "AAPL")
    until = AS_OF + timedelta(hours=3)
    for _ in range(2):
        assert (await snooze(world, alert_id, until)).snoozed_until == until
    assert (await state_of(world, kept.row.id)).snoozed_until == until
    async with world.writing() as tx:
        seen = await alerts.acknowledge_alert(world.owner_id, tx, alert_id, actor="alice", now=AS_OF)
    assert (seen.snoozed_until, seen.status) == (None, AlertStatus.ACKNOWLEDGED)
    remembered = await state_of(world, kept.row.id)
    assert (remembered.acknowledged, remembered.snoozed_until) == (True, None)
    assert (await snooze(world, alert_id, until)).status is AlertStatus.ACKNOWLEDGED
    assert (await snooze(world, alert_id, None)).snoozed_until is None
    await snooze(world, alert_id, until)
    await world.price("AAPL", "160")
    await decide(world, kept.row.public_id)
    (again,) = await listed(world, alert_ids=[alert_id])
    assert (again.status, again.snoozed_until) == (AlertStatus.OPEN, None)
    remembered = await state_of(world, kept.row.id)
    assert (remembered.acknowledged, remembered.snoozed_until, remembered.peak) == (False, None, 3)
    assert [(event.value, alert.snoozed_until) for event, alert in await told(world) if alert.id == alert_id] == [
        ("RAISED", None),
        ("SNOOZED", until),
        ("ACKNOWLEDGED", None),
        ("SNOOZED", until),
        ("SNOOZED", None),
        ("SNOOZED", until),
        ("ESCALATED", None),
    ]
    await world.price("AAPL", "77")
    await decide(world, kept.row.public_id)
    with pytest.raises(InvalidState, match="nothing left to snooze"):
        await snooze(world, alert_id, until)


async def test_a_reminder_is_written_with_how_it_stands_by_now(world: World) -> None:
    rules = Policy(default_band=absolute("5"), remind_after_s=3600)
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, policy=rules))
    await decide(world, kept.row.public_id)
    await world.price("AAPL", "115")
    loaded = await world.find(kept.row.public_id, AS_OF + timedelta(hours=1))
    async with world.writing() as tx:
        states = (await alerts.scan_states(tx, [loaded.row.id]))[loaded.row.id]
        decision = core.decide(states, drift.measure(loaded.snapshot), rules, None)
        now = loaded.snapshot.as_of
        raised = await save_decision(world, tx, loaded.row.id, decision, now)
    assert raised == 0
    (alert,) = (alert for alert in await listed(world) if alert.key == "AAPL")
    assert (alert.status, alert.raised_at, alert.reminded_at) == (AlertStatus.OPEN, AS_OF, now)
    assert alert.message == "AAPL is at 59.91984 %, target 50 %, band 45 to 55 %: still outside."
    assert alert.entry
    assert str(alert.entry.actual) == "59.91984"
    assert [event.value for event, one in await told(world) if one.id == alert.id] == ["RAISED", "REMINDED"]


@pytest.mark.parametrize("status", [PortfolioStatus.PAUSED, PortfolioStatus.ARCHIVED])
async def test_what_is_paused_is_watched_no_more(world: World, status: PortfolioStatus) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    await decide(world, kept.row.public_id)
    loaded = await world.find(kept.row.public_id)
    async with world.writing() as tx:
        await portfolios.update_portfolio(
            world.owner_id, tx, kept.row.public_id, actor="alice", now=AS_OF, status=status
        )
    found = await listed(world)
    assert [(alert.status, alert.resolved_at) for alert in found] == [(AlertStatus.RESOLVED, AS_OF)] * 2
    word = status.value.lower()
    assert {alert.message for alert in found} == {
        f"The portfolio is {word}; nothing is watched until it is active again."
    }
    assert await world.sql("SELECT count(*) FROM drift_states") == 0
    # A scan that read it before does not bring it back.
    decision = core.decide({}, drift.measure(loaded.snapshot), loaded.row.policy, AS_OF)
    async with world.store.shared() as tx:
        await alerts.scan_states(tx, [kept.row.id])
        decided = [alerts.Decided(world.owner_id, kept.row.id, decision)]
        assert await alerts.scan_save_decisions(tx, decided, now=AS_OF, new_uuid=new_uuid) == 0
    assert await world.sql("SELECT count(*) FROM drift_states") == 0
    assert [event.value for event, _ in await told(world)] == ["RAISED", "RAISED", "RESOLVED", "RESOLVED"]
    async with world.writing() as tx:
        await portfolios.update_portfolio(
            world.owner_id, tx, kept.row.public_id, actor="alice", now=AS_OF, status=PortfolioStatus.ACTIVE
        )
    assert await decide(world, kept.row.public_id) == 2


async def test_alerts_are_listed_by_portfolio_status_severity_and_page(world: World) -> None:
    one = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    two = await world.keep(snapshot("10 MSFT, 1000 cash", HALF))
    await decide(world, one.row.public_id)
    await decide(world, two.row.public_id)
    async with world.store.shared() as tx:
        assert await outages.scan_settle(tx, [world.owner_id], now=AS_OF, new_uuid=new_uuid) == {world.owner_id}
    everything = await listed(world)
    assert [alert.kind.value for alert in everything] == ["DATA_STALE", "DRIFT", "DRIFT"]
    # What is about all portfolios belongs to each.
    assert await listed(world, portfolio_ids=[two.row.public_id]) == everything[:1]
    assert await listed(world, portfolio_ids=[one.row.public_id]) == everything
    assert await listed(world, severities=[AlertSeverity.CRITICAL]) == everything[1:]
    assert await listed(world, statuses=[AlertStatus.RESOLVED]) == []
    assert await listed(world, before=everything[1].id) == everything[2:]


async def test_somebody_elses_alert_does_not_exist(world: World) -> None:
    kept = await world.keep(snapshot("13 AAPL @ 100, 1000 cash", HALF, band=absolute("5")))
    await decide(world, kept.row.public_id)
    alert_id = (await listed(world))[0].id
    bob = await world.other()
    assert await listed(bob) == []
    for unknown in (alert_id, new_id(ids.ALERT), "nonsense"):
        with pytest.raises(NotFound):
            async with bob.writing() as tx:
                await alerts.acknowledge_alert(bob.owner_id, tx, unknown, actor="bob", now=AS_OF)
        with pytest.raises(NotFound):
            await snooze(bob, unknown, AS_OF)
