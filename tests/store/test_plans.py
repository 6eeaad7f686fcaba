"""Plans come back as they were made, and each is worked on by one."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from app.context import new_uuid
from app.core import ids
from app.core import plan as core
from app.core.costs import Costs
from app.core.drift import Report, measure
from app.core.optimize.allocate import PlanScope
from app.core.order_values import Execution, OrderStyle
from app.core.plan import Plan, PlanRequest, PlanStatus, PlanSummary, Proof, ProofStatus, TaxEstimate, WaitAdvice
from app.core.policy import Policy
from app.embedded import Endpoints
from app.store import approvals, db, documents, events, history, plans, portfolios
from app.store.db import Store
from app.store.plan_reading import PlanError, StoredPlan, load_plan, load_plans
from app.store.plans import Claimed, Made
from app.store.reading import Loaded
from tests.builders import AS_OF, asset, snapshot
from tests.store.test_migrations import POPULATE, migrate_to
from tests.store.world import World

FULL = PlanRequest(PlanScope.FULL)
LATER = AS_OF + timedelta(days=1)
PLAN = UUID("00000000-0000-0000-0000-00000000000a")


async def drifted(world: World) -> Loaded:
    """A portfolio with something to sell, to buy and to skip, in two accounts and fractions of cents."""
    return await world.keep(
        snapshot(
            {
                "main": "33.333333333 AAPL {150 USD 2024-01-05} @ 180.1234567, 10 AAPL {190 USD 2021-01-05}, 900 cash",
                "pension TAX_DEFERRED": "7 BND {70 USD 2023-02-01} @ 71.1, 100 cash",
            },
            {"AAPL": "40", "BND": "40", "GLD": "20"},
            prices={"GLD": "201.17", "BND": "71.1"},
            assets=[
                asset("AAPL", step="0.001", costs=Costs(Decimal(1), Decimal("0.0003"), half_spread=Decimal("0.0001"))),
                asset("GLD", tradable=False),
            ],
            policy=Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(15)),
        )
    )


def make(loaded: Loaded, request: PlanRequest = FULL) -> Made:
    done = core.propose(loaded.snapshot, request)
    return Made(done, loaded.row.targets_version or None, "d" * 64, LATER, 7, b"inputs")


async def save(world: World, loaded: Loaded, made: Made | None = None, request: PlanRequest = FULL) -> str:
    async with world.writing() as tx:
        await portfolios.lock_portfolio(world.owner_id, tx, loaded.row.public_id)
        return await plans.save_plan(
            *(world.owner_id, tx, loaded.row.id, request),
            requested_by="alice",
            now=AS_OF,
            new_uuid=new_uuid,
            made=made,
        )


async def load(world: World, plan_id: str) -> StoredPlan:
    async with world.reading() as tx:
        found = await load_plan(world.owner_id, tx, plan_id)
    assert found
    return found


async def claim(world: World, plan_id: str) -> Claimed | None:
    async with world.writing() as tx:
        return await plans.claim_plan(world.owner_id, tx, plan_id, AS_OF)


async def finish(world: World, claimed: Claimed | None, made: Made) -> bool:
    assert claimed
    async with world.writing() as tx:
        return await plans.finish_plan(world.owner_id, tx, claimed, made, actor="worker", now=AS_OF, new_uuid=new_uuid)


def without_holdings(report: Report) -> Report:
    return replace(report, valuation=replace(report.valuation, holdings=()))


def as_stored(plan: Plan) -> Plan:
    return replace(plan, before=without_holdings(plan.before), after=without_holdings(plan.after))


async def test_a_plan_comes_back_as_it_was_made(each_world: World) -> None:
    loaded = await drifted(each_world)
    request = PlanRequest(PlanScope.FULL, Decimal("-10.5"), ("GLD",))
    made = make(loaded, request)
    assert made.plan.trades
    assert made.plan.skipped
    assert any(planned.trade.sales for planned in made.plan.trades)

    plan_id = await save(each_world, loaded, made, request)
    before = each_world.store.statements
    stored = await load(each_world, plan_id)
    assert each_world.store.statements - before == 4
    assert stored.plan == as_stored(made.plan)
    assert (stored.status, stored.request, stored.targets_version) == (PlanStatus.READY, request, 1)
    assert (stored.inputs_digest, stored.expires_at, stored.ready_at) == ("d" * 64, LATER, AS_OF)
    assert len(set(stored.trade_ids)) == len(made.plan.trades)
    assert set(stored.accounts.values()) <= {"main", "pension"}


def proven(plan: Plan) -> Plan:
    """Add what an optimiser says of a plan, with every digit that may be."""
    first, *rest = plan.trades
    costs = replace(first.trade.costs, impact=Decimal("0.0123456789012345"))
    advice = WaitAdvice("AAPL", "lot_1", date(2024, 6, 10), 7, Decimal("12.3456789012"), "Wait 7 days.")
    return replace(
        plan,
        trades=(replace(first, trade=replace(first.trade, costs=costs)), *rest),
        summary=replace(
            plan.summary,
            impact=Decimal("0.0123456789"),
            saved=Decimal("-1.5"),
            tax=TaxEstimate(
                *(Decimal(-20), Decimal(30), Decimal("-1.5"), Decimal("20.1"), Decimal("5.05"), Decimal("0.3")),
            ),
        ),
        proof=Proof(
            status=ProofStatus.FEASIBLE,
            objective=Decimal("12.3456789012"),
            bound=Decimal("12.3"),
            gap=Decimal("0.0000456789"),
            hold=Decimal(99),
            nodes=123_456_789_012,
            engine="sleeves-1",
        ),
        advice=(advice, replace(advice, lot_id="lot_2")),
    )


async def test_what_was_asked_and_what_was_proven_comes_back(each_world: World) -> None:
    loaded = await drifted(each_world)
    request = PlanRequest(
        *(PlanScope.RAISE_CASH, Decimal("-10.5"), ("GLD",), ("BND", "GLD"), ("AAPL",)),
        sell_lots=(loaded.snapshot.portfolio.accounts[0].lots[0].id,),
    )
    made = make(loaded)
    made = replace(made, plan=replace(proven(made.plan), request=request))
    plan_id = await save(each_world, loaded, request=request)
    claimed = await claim(each_world, plan_id)
    assert claimed
    assert claimed.request == request
    assert await finish(each_world, claimed, made)
    stored = await load(each_world, plan_id)
    assert stored.plan == as_stored(made.plan)
    assert (stored.request, stored.solve_ms) == (request, 7)


async def test_how_trades_are_worked_is_read_back(world: World) -> None:
    made = make(loaded := await drifted(world))
    ways = (
        Execution(OrderStyle.TWAP, "Why.", slices=13, interval_s=300, volatility=Decimal("61.000001")),
        Execution(OrderStyle.LIMIT, "Why.", limit=Decimal("180.12"), not_before=LATER, volatility=Decimal(0)),
        Execution(OrderStyle.NAV, "Why."),
        None,  # of before there were any
    )
    first = made.plan.trades[0]
    plan = replace(made.plan, trades=tuple(replace(first, execution=way) for way in ways))
    stored = await load(world, await save(world, loaded, replace(made, plan=plan)))
    assert stored.plan
    assert [planned.execution for planned in stored.plan.trades] == list(ways)


async def test_a_plan_of_before_there_were_proofs_is_read(empty_database: Endpoints) -> None:
    url = empty_database.migrate_database_url
    await migrate_to(url, "0009_stale_scans")
    connection = await asyncpg.connect(url)
    await connection.execute(POPULATE)
    summary = '{"bought": "5", "sold": "1", "fees": "0", "spread": "0", "tax": {}, "net_cash": "-4"}'
    report = documents.dump_report(measure(snapshot("1 AAPL @ 10", {"AAPL": "100"})))
    await connection.execute(
        """
        INSERT INTO plans (public_id, owner_id, portfolio_id, status, version, scope, cash_flow, excluded, engine,
            requested_by, created_at, ready_at, before, after, summary, warnings)
        VALUES ($1, 1, 1, 'NOTHING_TO_DO', 2, 'FULL', 2.50, '{"GLD"}', 'water-fill-1', 'alice', now(), now(), $2, $2,
            $3, '[]')
        """,
        *(PLAN, report, summary),
    )
    await connection.close()
    await db.migrate(url)
    store = await Store.open(empty_database.database_url, pool=1)
    async with store.owned(1, reading=True) as tx:
        stored = await load_plan(1, tx, ids.encode(ids.PLAN, PLAN))
    await store.close()
    assert stored
    assert stored.plan
    assert stored.request == PlanRequest(PlanScope.FULL, Decimal("2.5"), ("GLD",))
    assert (stored.engine, stored.solve_ms, stored.plan.proof, stored.plan.advice) == ("water-fill-1", None, None, ())
    assert stored.plan.summary == PlanSummary(
        *(Decimal(5), Decimal(1), None, Decimal(0), Decimal(0), TaxEstimate(), Decimal(-4)),
        impact=Decimal(0),
        saved=None,
    )


async def test_a_portfolio_on_target_has_nothing_to_do_and_no_open_plan(world: World) -> None:
    loaded = await world.keep(snapshot("10 AAPL @ 180", {"AAPL": "100"}))
    stored = await load(world, await save(world, loaded, make(loaded)))
    assert stored.status is PlanStatus.NOTHING_TO_DO
    assert stored.plan
    assert stored.plan.trades == ()
    await save(world, loaded)
    assert (await load(world, stored.id)).status is PlanStatus.NOTHING_TO_DO


async def test_a_new_plan_supersedes_the_open_one_in_the_same_transaction(world: World) -> None:
    loaded = await drifted(world)
    first = await save(world, loaded, make(loaded))
    second = await save(world, loaded)
    third = await save(world, loaded, make(loaded))
    assert [(await load(world, one)).status.value for one in (first, second, third)] == [
        "SUPERSEDED",
        "SUPERSEDED",
        "READY",
    ]
    async with world.reading() as tx:
        assert await history.verify_history(world.owner_id, tx, loaded.row.id) is None
        lines = await history.load_history(world.owner_id, tx, loaded.row.id, 100, after_sequence=3)
    assert [(line.kind, line.subject) for line in lines] == [
        ("PLAN_READY", first),
        ("PLAN_SUPERSEDED", first),
        ("PLAN_QUEUED", second),
        ("PLAN_SUPERSEDED", second),
        ("PLAN_READY", third),
    ]


async def test_the_database_refuses_a_second_open_plan(world: World) -> None:
    loaded = await drifted(world)
    await save(world, loaded, make(loaded))
    superseded = await save(world, loaded)
    await save(world, loaded)
    async with world.raw() as connection:
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("UPDATE plans SET status = 'READY' WHERE status = 'SUPERSEDED'")
    assert (await load(world, superseded)).status is PlanStatus.SUPERSEDED


async def test_eight_proposals_at_once_leave_one_open(world: World) -> None:
    loaded = await drifted(world)
    made = make(loaded)
    await asyncio.gather(*(save(world, loaded, made) for _ in range(8)))
    async with world.reading() as tx:
        found = await load_plans(world.owner_id, tx, loaded.row.public_id, 100)
    assert [plan.status.value for plan in found] == ["READY"] + ["SUPERSEDED"] * 7


async def test_a_queued_plan_is_claimed_and_finished(world: World) -> None:
    loaded = await drifted(world)
    plan_id = await save(world, loaded)
    async with world.store.shared() as tx:
        assert await plans.scan_unfinished_plans(tx, 10) == [(world.owner_id, plan_id)]
    claimed = await claim(world, plan_id)
    assert claimed
    assert (claimed.portfolio_id, claimed.request, claimed.version) == (loaded.row.public_id, FULL, 2)
    assert await finish(world, claimed, make(loaded))
    assert (await load(world, plan_id)).version == 3
    assert await claim(world, plan_id) is None
    async with world.reading() as tx:
        told = await events.load_events(world.owner_id, tx, None, 100)
    assert [event.payload for event in told if event.subject == plan_id] == [
        {"status": "QUEUED", "version": 1},
        {"status": "COMPUTING", "version": 2},
        {"status": "READY", "version": 3},
    ]


async def test_whoever_claims_last_finishes(world: World) -> None:
    loaded = await drifted(world)
    plan_id = await save(world, loaded)
    lost, last = await claim(world, plan_id), await claim(world, plan_id)
    made = make(loaded)
    assert not await finish(world, lost, made)
    assert await finish(world, last, made)
    assert not await finish(world, last, made)
    assert (await load(world, plan_id)).status is PlanStatus.READY


async def test_a_plan_that_cannot_be_made_says_why(world: World) -> None:
    loaded = await drifted(world)
    plan_id = await save(world, loaded)
    claimed = await claim(world, plan_id)
    assert claimed
    async with world.writing() as tx:
        failed = await plans.fail_plan(
            world.owner_id, tx, claimed, code="STALE_DATA", message="no price", actor="worker", now=AS_OF
        )
    assert failed
    stored = await load(world, plan_id)
    assert (stored.status, stored.error, stored.plan) == (PlanStatus.FAILED, PlanError("STALE_DATA", "no price"), None)


async def test_what_a_plan_was_made_from_changes_and_it_is_superseded(world: World) -> None:
    loaded = await drifted(world)

    async def after(change: str) -> list[str]:
        ready = await save(world, loaded, make(loaded))
        async with world.writing() as tx:
            if change == "targets":
                assert loaded.snapshot.targets
                await world.aim(tx, loaded.row.public_id, loaded.snapshot.targets)
            elif change == "holdings":
                await world.hold(tx, loaded.row.public_id, *loaded.snapshot.portfolio.accounts)
            else:
                policy = replace(loaded.row.policy, min_trade=Decimal(5)) if change == "policy" else None
                await portfolios.update_portfolio(
                    *(world.owner_id, tx, loaded.row.public_id), actor="alice", now=AS_OF, name="New", policy=policy
                )
        return [(await load(world, ready)).status.value, change]

    assert await after("targets") == ["SUPERSEDED", "targets"]
    assert await after("holdings") == ["SUPERSEDED", "holdings"]
    assert await after("policy") == ["SUPERSEDED", "policy"]
    assert await after("name") == ["READY", "name"]


async def test_a_queued_plan_outlives_a_change_that_it_will_see(world: World) -> None:
    loaded = await drifted(world)
    plan_id = await save(world, loaded)
    async with world.writing() as tx:
        await world.hold(tx, loaded.row.public_id, *loaded.snapshot.portfolio.accounts)
    assert (await load(world, plan_id)).status is PlanStatus.QUEUED


async def test_plans_expire_when_their_time_is_over(world: World) -> None:
    loaded = await drifted(world)
    plan_id = await save(world, loaded, make(loaded))
    before, row = LATER - timedelta(microseconds=1), loaded.row.id
    async with world.store.shared() as tx:
        due, last = await approvals.scan_due_to_expire(tx, before, 0, 10)
        assert due == []
        assert last
        assert await approvals.scan_due_to_expire(tx, LATER, 0, 10) == ([row], last)
        assert await approvals.scan_due_to_expire(tx, LATER, last, 10) == ([], None)
        assert await approvals.scan_expire_plans(tx, before, [row]) == []  # it is looked at again under the lock
        assert await approvals.scan_expire_plans(tx, LATER, [row]) == [world.owner_id]
        assert await approvals.scan_expire_plans(tx, LATER, [row]) == []
        assert await approvals.scan_due_to_expire(tx, LATER, 0, 10) == ([], None)
    assert (await load(world, plan_id)).status is PlanStatus.EXPIRED


async def test_plans_are_listed_newest_first_by_page_and_status(world: World) -> None:
    loaded = await drifted(world)
    saved = [await save(world, loaded) for _ in range(3)]
    async with world.reading() as tx:
        first = await load_plans(world.owner_id, tx, loaded.row.public_id, 2)
        rest = await load_plans(world.owner_id, tx, loaded.row.public_id, 2, before=first[-1].id)
        queued = await load_plans(world.owner_id, tx, loaded.row.public_id, 9, statuses=[PlanStatus.QUEUED])
    assert [plan.id for plan in first + rest] == saved[::-1]
    assert [plan.id for plan in queued] == saved[-1:]


async def test_somebody_elses_plan_does_not_exist(world: World) -> None:
    loaded = await drifted(world)
    plan_id = await save(world, loaded)
    bob = await world.other()
    async with bob.writing() as tx:
        assert await load_plan(bob.owner_id, tx, plan_id) is None
        assert await load_plans(bob.owner_id, tx, loaded.row.public_id, 10) == []
        assert await plans.claim_plan(bob.owner_id, tx, plan_id, AS_OF) is None


async def test_what_a_plan_was_made_from_never_changes(each_world: World) -> None:
    loaded = await drifted(each_world)
    plan_id = ids.decode(ids.PLAN, await save(each_world, loaded, make(loaded)))
    for owner in (False, True):
        async with each_world.raw(owner=owner) as connection:
            for what in ("inputs = 'x'", "inputs = NULL", "inputs_digest = 'x'", "inputs_digest = NULL"):
                with pytest.raises(asyncpg.RestrictViolationError, match="what a plan was made from never changes"):
                    await connection.execute(f"UPDATE plans SET {what} WHERE public_id = $1", plan_id)
            await connection.execute("UPDATE plans SET inputs = inputs, reason = 'seen' WHERE public_id = $1", plan_id)
    # Of one that was made before inputs were kept, only the digest is known; so it stays.
    async with each_world.raw(owner=True) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE plans SET inputs = NULL WHERE public_id = $1", plan_id)
    with pytest.raises(asyncpg.RestrictViolationError, match="never changes"):
        await each_world.sql("UPDATE plans SET inputs = 'made up' WHERE public_id = $1", plan_id)
