"""A plan is approved once, by who may, as it was looked at and at prices that are still good; or it ends otherwise."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from app.actions import alerts, approving, computing, plans, portfolios, targets
from app.actions.plans import StoredPlan
from app.context import Context, Services
from app.core.drafts import LotDraft
from app.core.errors import (
    Duplicate,
    Forbidden,
    IdempotencyMismatch,
    InvalidInput,
    InvalidState,
    NotFound,
    SteelyardError,
    VersionConflict,
)
from app.core.optimize.allocate import PlanScope
from app.core.plan import MONITOR, PlanRequest
from app.core.policy import Policy
from app.core.portfolio import PortfolioStatus
from app.core.targets import TargetDraft
from app.store import approvals, history
from app.store import plans as rows
from app.store import portfolios as portfolio_rows
from tests.builders import AS_OF, snapshot
from tests.store.world import World
from tests.support import enter, later
from tests.workers.conftest import forget, waiting
from tests.workers.test_optimize import events

HOUR = timedelta(hours=1)
FULL = PlanRequest(PlanScope.FULL)
HALVES = [TargetDraft(Decimal(50), symbol) for symbol in ("A", "C")]


async def keep(world: World, policy: Policy | None = None) -> str:
    """Store 40 A, 40 B and 20 C at 10, wanted at 30, 30 and 40 percent: two sales of 10 pay for 20 C."""
    wanted = {"A": "30", "B": "30", "C": "40"}
    kept = await world.keep(snapshot("40 A @ 10, 40 B @ 10, 20 C @ 10", wanted, policy=policy))
    return kept.row.public_id


async def propose(services: Services, alice: Context, portfolio_id: str) -> StoredPlan:
    """Make a plan as a worker does; return it READY, at version 3."""
    plan = await plans.propose(alice, portfolio_id, FULL, dry_run=False, wait_s=0, key=None)
    await computing.compute(services, alice.owner_id, plan.id)
    await forget(services)
    return await plans.find(alice, plan.id)


async def approve(context: Context, plan: StoredPlan, *left_out: int, key: str = "once") -> StoredPlan:
    exclude = [plan.trade_ids[place] for place in left_out]
    return await approving.approve(context, plan.id, expected=plan.version, exclude=exclude, key=key)


async def again(services: Services, subject: str = "alice", actor: str | None = None) -> Context:
    """Return a context of now, perhaps of a tool."""
    context = await enter(services, subject)
    return replace(context, actor=actor) if actor else context


async def status_of(context: Context, plan: StoredPlan) -> str:
    return (await plans.find(context, plan.id)).status.value


async def last_line(world: World) -> tuple[str, str, dict[str, Any]]:
    """Return kind, actor and document of what was written last, and check the whole chain."""
    row = await world.sql("SELECT max(id) FROM portfolios")
    async with world.reading() as tx:
        [line] = await history.load_latest(world.owner_id, tx, row, 1, None)
        assert await history.verify_history(world.owner_id, tx, row) is None
    return line.kind, line.actor, dict(line.document)


async def outcomes(*calls: Coroutine[Any, Any, StoredPlan]) -> list[str]:
    """Run calls at once; return the status of each one's plan, or the code of its error, sorted."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    return sorted(map(outcome_of, done))


def outcome_of(done: StoredPlan | BaseException) -> str:
    if isinstance(done, SteelyardError):
        return done.code
    if isinstance(done, BaseException):
        raise done
    return done.status.value


async def test_a_plan_is_approved_and_handed_to_a_worker(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    assert (plan.status.value, plan.version) == ("READY", 3)
    await later(services, HOUR)
    approved = await approve(await again(services), plan)
    assert (approved.status.value, approved.version) == ("APPROVED", 4)
    assert (approved.approved_by, approved.approved_at) == ("alice", AS_OF + HOUR)
    assert (approved.left_out, approved.rest, approved.plan) == (frozenset(), None, plan.plan)
    assert await waiting(services) == [f"plan_execute:{plan.id}"]
    assert await world.sql("SELECT wake_at FROM plans") == AS_OF + HOUR
    assert await events(world, plan.id) == ["QUEUED", "COMPUTING", "READY", "APPROVED"]


async def test_the_history_says_who_approved_what_before_and_after(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    await approve(await again(services, actor="robot"), plan, 2)
    kind, actor, document = await last_line(world)
    assert (kind, actor) == ("PLAN_APPROVED", "robot")
    assert (document["status"], document["version"], document["trades"]) == ("APPROVED", 4, 2)
    before = document["before"]
    assert (before["status"], before["version"], before["trades"]) == ("READY", 3, 3)
    assert document["left_out"] == [plan.trade_ids[2]]
    assert (before["summary"]["bought"], document["summary"]["bought"]) == ("200", "0")


async def test_trades_that_are_left_out_stay_to_be_seen_and_the_rest_is_counted_anew(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    await world.price("C", "10.4", AS_OF)
    approved = await approve(alice, plan, 2)
    assert approved.left_out == {plan.trade_ids[2]}
    assert approved.plan == plan.plan
    assert approved.trade_ids == plan.trade_ids
    assert approved.rest
    assert (approved.rest.summary.bought, approved.rest.summary.sold) == (Decimal(0), Decimal(200))
    weights = {entry.key: entry.actual for entry in approved.rest.after.entries}
    assert weights == {"A": Decimal("37.5"), "B": Decimal("37.5"), "C": Decimal(25)}
    stored = await world.sql("SELECT string_agg(approved::text, ' ' ORDER BY sequence) FROM plan_trades")
    assert stored == "true true false"


async def test_rest_that_cannot_be_done_is_refused_and_the_plan_stays_ready(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    with pytest.raises(
        InvalidInput, match=r"without A the rest cannot be done: account main would be overdrawn by 100"
    ):
        await approve(alice, plan, 0)
    assert await status_of(alice, plan) == "READY"
    assert (await approve(alice, plan)).status.value == "APPROVED"  # the key is free again


async def test_what_is_left_out_has_to_be_some_trades_of_the_plan(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))

    async def refused(kind: type[SteelyardError], *exclude: str) -> tuple[str, Sequence[str]]:
        with pytest.raises(kind) as error:
            await approving.approve(alice, plan.id, expected=plan.version, exclude=exclude, key="k")
        return error.value.message, error.value.path

    first = plan.trade_ids[0]
    assert await refused(NotFound, first, "tr_x") == ("trade tr_x does not exist", ("excludeTradeIds", "1"))
    assert await refused(Duplicate, first, first) == (f"trade {first} is given twice", ("excludeTradeIds", "1"))
    everything = "all 3 trades are left out; reject the plan instead"
    assert await refused(InvalidInput, *plan.trade_ids) == (everything, ("excludeTradeIds",))
    assert await status_of(alice, plan) == "READY"


async def test_eight_people_who_approve_at_once_execute_once(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    found = await outcomes(*(approve(alice, plan, key=f"key {number}") for number in range(8)))
    assert found == ["APPROVED"] + ["INVALID_STATE"] * 7
    assert await events(world, plan.id) == ["QUEUED", "COMPUTING", "READY", "APPROVED"]
    assert await world.sql("SELECT count(*) FROM rebalance_history WHERE kind = 'PLAN_APPROVED'") == 1
    assert await waiting(services) == [f"plan_execute:{plan.id}"]


async def test_one_who_approves_eight_times_with_one_key_is_answered_alike(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    assert await outcomes(*(approve(alice, plan, 2) for _ in range(8))) == ["APPROVED"] * 8
    assert await events(world, plan.id) == ["QUEUED", "COMPUTING", "READY", "APPROVED"]
    assert (await plans.find(alice, plan.id)).version == 4
    with pytest.raises(IdempotencyMismatch):
        await approve(alice, plan)


async def test_of_approving_rejecting_proposing_and_new_targets_at_once_the_plan_sees_one(
    services: Services, world: World, alice: Context
) -> None:
    portfolio_id = await keep(world)
    for number in range(6):
        plan = await propose(services, alice, portfolio_id)
        aims = targets.set_targets(alice, portfolio_id, HALVES, expected=None, note=None, dry_run=False)
        asked: list[Coroutine[Any, Any, object]] = [
            approve(alice, plan, key=f"{number}"),
            approving.reject(alice, plan.id, "no", None),
            aims,
            approving.cancel(alice, plan.id, ""),
        ]
        done = await asyncio.gather(*asked[number % 4 :], *asked[: number % 4], return_exceptions=True)
        assert [one for one in done if isinstance(one, Exception) and not isinstance(one, InvalidState)] == []
        told = await events(world, plan.id)
        assert told[:3] == ["QUEUED", "COMPUTING", "READY"]
        assert told[3:] in (["APPROVED"], ["APPROVED", "CANCELLED"], ["REJECTED"], ["SUPERSEDED"])
        if told[-1] == "APPROVED":
            await approving.cancel(alice, plan.id, "")
    await last_line(world)


async def test_whoever_decides_waits_for_the_other_writers_of_the_portfolio(
    services: Services, world: World, alice: Context
) -> None:
    portfolio_id = await keep(world)
    plan = await propose(services, alice, portfolio_id)
    async with world.writing() as tx:
        await portfolio_rows.lock_portfolio(world.owner_id, tx, portfolio_id)
        rejecting = asyncio.create_task(approving.reject(alice, plan.id, "", None))
        done, _ = await asyncio.wait([rejecting], timeout=0.2)
        assert not done
        await rows.supersede_open_plans(
            world.owner_id, tx, await world.sql("SELECT max(id) FROM portfolios"), "x", AS_OF
        )
    with pytest.raises(InvalidState, match="the plan is SUPERSEDED; only one that is READY can be rejected"):
        await rejecting


async def test_a_plan_at_another_version_is_not_approved(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    with pytest.raises(VersionConflict, match="plan is at version 3, not 2"):
        await approve(alice, replace(plan, version=2))
    assert await status_of(alice, plan) == "READY"


async def test_a_plan_of_somebody_else_does_not_exist(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    bob = await again(services, "bob")
    for call in (approve(bob, plan), approving.reject(bob, plan.id, "", None), approving.cancel(bob, plan.id, "")):
        with pytest.raises(NotFound, match=f"plan {plan.id} does not exist"):
            await call
    assert await status_of(alice, plan) == "READY"


async def test_a_superseded_plan_is_not_approved(services: Services, world: World, alice: Context) -> None:
    portfolio_id = await keep(world)
    plan = await propose(services, alice, portfolio_id)
    await propose(services, alice, portfolio_id)
    with pytest.raises(InvalidState, match="the plan is SUPERSEDED; only one that is READY can be approved") as error:
        await approve(alice, plan)
    assert error.value.state == "SUPERSEDED"


@pytest.mark.parametrize("changed", ["targets", "holdings", "policy"])
async def test_a_ready_plan_is_superseded_by_what_it_was_made_from(
    services: Services, world: World, alice: Context, changed: str
) -> None:
    portfolio_id = await keep(world)
    plan = await propose(services, alice, portfolio_id)
    await change(alice, portfolio_id, changed)
    assert await status_of(alice, plan) == "SUPERSEDED"
    async with world.reading() as tx:
        row = await world.sql("SELECT max(id) FROM portfolios")
        lines = await history.load_latest(world.owner_id, tx, row, 2, None)
    superseded = next(line for line in lines if line.kind == "PLAN_SUPERSEDED")
    assert superseded.document == {
        "status": "SUPERSEDED",
        "version": 4,
        "before": {"status": "READY", "version": 3},
    }


async def change(alice: Context, portfolio_id: str, what: str) -> None:
    if what == "targets":
        await targets.set_targets(alice, portfolio_id, HALVES, expected=None, note=None, dry_run=False)
    elif what == "holdings":
        account = (await portfolios.find(alice, portfolio_id)).snapshot.portfolio.accounts[0]
        lots = [LotDraft("A", Decimal(1), Decimal(10), AS_OF.date())]
        await portfolios.import_holdings(alice, account.id, lots, cash=None, balances=None, key=None)
    else:
        await update(alice, portfolio_id, change=lambda policy: replace(policy, min_trade=Decimal(1)))


async def update(alice: Context, portfolio_id: str, **given: Any) -> None:
    await portfolios.update(
        alice, portfolio_id, **{"name": None, "status": None, "change": None, "expected": None, **given}
    )


@pytest.mark.parametrize("status", ["APPROVED", "EXECUTING"])
async def test_an_approved_plan_stays_whatever_is_aimed_at_and_keeps_holdings_from_being_replaced(
    services: Services, world: World, alice: Context, status: str
) -> None:
    portfolio_id = await keep(world)
    plan = await approve(alice, await propose(services, alice, portfolio_id))
    await world.sql("UPDATE plans SET status = $1", status)
    await change(alice, portfolio_id, "targets")
    await change(alice, portfolio_id, "policy")
    assert await status_of(alice, plan) == status
    message = f"plan {plan.id} is {status}; wait until it has ended, or cancel it"
    with pytest.raises(InvalidState, match=message) as error:
        await change(alice, portfolio_id, "holdings")
    assert (error.value.state, error.value.path) == (status, ("accountId",))
    with pytest.raises(InvalidState, match=message):
        await plans.propose(alice, portfolio_id, FULL, dry_run=False, wait_s=0, key=None)
    with pytest.raises(InvalidState, match=message):
        await update(alice, portfolio_id, status=PortfolioStatus.ARCHIVED)
    shown = await plans.propose(alice, portfolio_id, FULL, dry_run=True, wait_s=0, key=None)
    assert shown.status.value == "READY"
    assert await status_of(alice, plan) == status


async def test_a_plan_expires_with_its_time_as_it_is_approved(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    await later(services, timedelta(hours=24))
    late = await again(services)
    with pytest.raises(
        InvalidState, match=r"it could be approved until 2024-06-04 16:00 UTC\. Propose anew\."
    ) as error:
        await approve(late, plan)
    assert error.value.state == "EXPIRED"
    ended = await plans.find(late, plan.id)
    assert (ended.status.value, ended.version) == ("EXPIRED", 4)
    with pytest.raises(InvalidState, match="the plan is EXPIRED; only one that is READY can be approved"):
        await approve(late, plan)
    assert (await last_line(world))[:2] == ("PLAN_EXPIRED", "alice")
    assert await waiting(services) == []


async def test_a_plan_expires_as_it_is_approved_when_a_price_moved_too_far(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    await world.price("C", "10.51", AS_OF)
    moved = "The plan has expired: C moved from 10 to 10.51, by 5.1 %; the policy allows 5 %."
    with pytest.raises(InvalidState) as error:
        await approve(alice, plan)
    assert (error.value.message, error.value.state) == (f"{moved} Propose anew.", "EXPIRED")
    ended = await plans.find(alice, plan.id)
    assert (ended.status.value, ended.reason) == ("EXPIRED", moved)
    assert (await last_line(world))[2]["reason"] == moved


async def test_a_price_of_a_trade_that_is_left_out_may_move(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    await world.price("C", "20", AS_OF)
    assert (await approve(alice, plan, 2)).status.value == "APPROVED"


async def test_the_sweeper_expires_plans_a_price_of_which_moved_too_far(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    await world.price("C", "10.5", AS_OF)
    await world.price("A", "10.4", AS_OF)
    await approving.scan_expire(services)
    assert await status_of(alice, plan) == "READY"
    await world.price("C", "9.4", AS_OF)
    await world.price("A", "10.5001", AS_OF)
    await approving.scan_expire(services)
    ended = await plans.find(alice, plan.id)
    told = "The plan has expired: C moved from 10 to 9.4, by 6 %; the policy allows 5 %."
    assert (ended.status.value, ended.reason) == ("EXPIRED", told)
    assert (await last_line(world))[:2] == ("PLAN_EXPIRED", "steelyard")


async def test_without_a_limit_no_price_ends_a_plan(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world, Policy(price_move_limit=None)))
    await world.price("C", "100", AS_OF)
    await approving.scan_expire(services)
    assert (await approve(alice, plan)).status.value == "APPROVED"


@pytest.mark.parametrize("bound", ["EXPIRE_MAX", "LOOK_MAX"])
async def test_the_sweeper_expires_more_than_one_transaction_takes(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(approving, bound, 1)
    made = [await propose(services, alice, await keep(world)) for _ in range(3)]
    await later(services, timedelta(hours=24))
    await approving.scan_expire(services)
    assert [await status_of(alice, plan) for plan in made] == ["EXPIRED"] * 3


async def test_with_four_eyes_who_asked_for_a_plan_does_not_approve_it(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world, Policy(four_eyes=True)))
    with pytest.raises(Forbidden, match="alice asked for this plan; the policy wants four eyes"):
        await approve(alice, plan)
    assert await status_of(alice, plan) == "READY"
    assert (await approve(await again(services, actor="second"), plan)).approved_by == "second"


async def test_what_the_monitor_asked_for_anybody_approves(services: Services, world: World, alice: Context) -> None:
    portfolio_id = await keep(world, Policy(four_eyes=True))
    monitor = replace(alice, actor=MONITOR)
    plan = await propose(services, monitor, portfolio_id)
    assert plan.requested_by == MONITOR
    assert [alert.status.value for alert in (await alerts.page(alice, 10, None)).items] == ["OPEN"]
    assert (await approve(alice, plan)).status.value == "APPROVED"
    [alert] = (await alerts.page(alice, 10, None)).items
    assert (alert.status.value, alert.message) == ("RESOLVED", "The plan is approved; its orders come next.")


async def test_nothing_is_approved_while_trading_is_halted(services: Services, world: World, alice: Context) -> None:
    plan = await propose(services, alice, await keep(world))
    await world.sql("UPDATE portfolios SET halted_at = now()")
    with pytest.raises(InvalidState, match="trading of the portfolio is halted; nothing is approved meanwhile"):
        await approve(alice, plan)
    await world.sql("UPDATE portfolios SET halted_at = NULL")
    await world.sql("UPDATE trading_halt SET halted_at = now(), reason = 'the venue is down'")
    with pytest.raises(InvalidState, match="trading is halted for all: the venue is down"):
        await approve(alice, plan)
    await world.sql("UPDATE trading_halt SET halted_at = NULL")
    assert (await approve(alice, plan)).status.value == "APPROVED"


async def test_a_plan_is_rejected_with_a_reason_once(services: Services, world: World, alice: Context) -> None:
    portfolio_id = await keep(world)
    plan = await propose(services, replace(alice, actor=MONITOR), portfolio_id)
    with pytest.raises(VersionConflict):
        await approving.reject(alice, plan.id, "too late", 2)
    rejected = await approving.reject(alice, plan.id, "too much tax", plan.version)
    assert (rejected.status.value, rejected.version, rejected.reason) == ("REJECTED", 4, "too much tax")
    assert await approving.reject(alice, plan.id, "again", None) == rejected
    kind, _, document = await last_line(world)
    assert (kind, document) == (
        "PLAN_REJECTED",
        {
            "status": "REJECTED",
            "version": 4,
            "before": {"status": "READY", "version": 3},
            "reason": "too much tax",
        },
    )
    [alert] = (await alerts.page(alice, 10, None)).items
    assert (alert.status.value, alert.message) == ("RESOLVED", "The plan is rejected.")
    with pytest.raises(InvalidState, match="the plan is REJECTED; only one that is READY can be approved"):
        await approve(alice, plan)


async def test_an_approved_plan_is_cancelled_before_any_order(services: Services, world: World, alice: Context) -> None:
    plan = await approve(alice, await propose(services, alice, await keep(world)))
    with pytest.raises(InvalidState, match="the plan is APPROVED; only one that is READY can be rejected"):
        await approving.reject(alice, plan.id, "", None)
    cancelled = await approving.cancel(alice, plan.id, "changed my mind")
    assert (cancelled.status.value, cancelled.version, cancelled.reason) == ("CANCELLED", 5, "changed my mind")
    assert await approving.cancel(alice, plan.id, "") == cancelled
    assert await world.sql("SELECT wake_at IS NULL AND ended_at = $1 FROM plans", AS_OF)
    again = await propose(services, alice, plan.portfolio_id)
    assert again.status.value == "READY"


async def test_whoever_executes_a_plan_is_asked_to_cancel_it_once(
    services: Services, world: World, alice: Context
) -> None:
    plan = await approve(alice, await propose(services, alice, await keep(world)))
    await world.sql("UPDATE plans SET status = 'EXECUTING', wake_at = NULL")
    await forget(services)
    await later(services, HOUR)
    asked = await approving.cancel(await again(services, actor="robot"), plan.id, "stop")
    assert (asked.status.value, asked.cancel_asked_at, asked.version) == ("EXECUTING", AS_OF + HOUR, 5)
    assert await world.sql("SELECT cancel_asked_by || ' ' || (wake_at = cancel_asked_at) FROM plans") == "robot true"
    assert await waiting(services) == [f"plan_execute:{plan.id}"]
    assert (await last_line(world))[:2] == ("PLAN_CANCEL_ASKED", "robot")
    await later(services, HOUR)
    assert await approving.cancel(await again(services), plan.id, "") == asked


@pytest.mark.parametrize("status", ["READY", "NOTHING_TO_DO", "COMPLETED", "PARTIAL", "REJECTED", "EXPIRED", "FAILED"])
async def test_what_is_over_or_ready_is_not_cancelled(
    services: Services, world: World, alice: Context, status: str
) -> None:
    plan = await propose(services, alice, await keep(world))
    await world.sql("UPDATE plans SET status = $1", status)
    with pytest.raises(InvalidState) as error:
        await approving.cancel(alice, plan.id, "")
    assert error.value.state == status
    assert await status_of(alice, plan) == status


async def test_a_step_that_is_not_from_where_the_plan_is_writes_nothing(
    services: Services, world: World, alice: Context
) -> None:
    plan = await propose(services, alice, await keep(world))
    async with world.writing() as tx:
        locked = await approvals.lock_plan(world.owner_id, tx, plan.id)
        assert locked
        stale = rows.PlanHandle(locked.id, locked.public_id, locked.portfolio_row_id, locked.status, 2)
        with pytest.raises(AssertionError, match="a plan changed under its lock"):
            await approvals.reject_plan(world.owner_id, tx, stale, "", actor="x", now=AS_OF)
    assert await status_of(alice, plan) == "READY"


async def test_an_archived_portfolio_approves_nothing(services: Services, world: World, alice: Context) -> None:
    portfolio_id = await keep(world)
    plan = await propose(services, alice, portfolio_id)
    async with world.writing() as tx:
        await portfolio_rows.lock_portfolio(world.owner_id, tx, portfolio_id)
        await tx.execute("UPDATE portfolios SET status = 'ARCHIVED' WHERE owner_id = $1", world.owner_id)
    with pytest.raises(InvalidState, match="the portfolio is archived"):
        await approve(alice, plan)


async def test_a_crash_before_the_commit_leaves_the_plan_ready_and_the_key_free(
    services: Services, world: World, alice: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await propose(services, alice, await keep(world))
    whole = approvals.approve_plan

    async def crash(*args: Any, **given: Any) -> None:
        await whole(*args, **given)
        raise RuntimeError("killed")

    monkeypatch.setattr(approvals, "approve_plan", crash)
    with pytest.raises(RuntimeError, match="killed"):
        await approve(alice, plan)
    assert await status_of(alice, plan) == "READY"
    monkeypatch.undo()
    assert (await approve(alice, plan)).status.value == "APPROVED"
    assert orjson.loads(await world.sql("SELECT response FROM idempotency_keys")) == {"id": plan.id}
