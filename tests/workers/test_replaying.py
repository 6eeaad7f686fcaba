"""Stored plans are made again from what they were made from: the same to the last digit, or it is said what is not."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from app.actions import computing, market, plans, replaying
from app.actions.market import PriceDraft
from app.actions.replaying import Replayed
from app.context import Context, Services
from app.core import ids, replay
from app.core.errors import NotFound, SolverMissing
from app.core.optimize import highs
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest
from app.core.policy import Policy
from app.core.replay import Difference, ReplayVerdict
from app.core.stats import LEAST_RETURNS
from app.store import inputs
from tests.builders import AS_OF, asset, moving_band, sleeve, snapshot
from tests.store.world import World
from tests.support import enter, later
from tests.workers.conftest import keep

FULL = PlanRequest(PlanScope.FULL)


async def made(services: Services, alice: Context, portfolio_id: str, request: PlanRequest = FULL) -> str:
    """Have a worker make a plan; return its id."""
    plan = await plans.propose(alice, portfolio_id, request, dry_run=False, wait_s=0, key=None)
    await computing.compute(services, alice.owner_id, plan.id)
    return plan.id


async def made_at_once(alice: Context, portfolio_id: str, request: PlanRequest = FULL) -> str:
    patient = alice.settings.model_copy(update={"inline_lots": 100, "inline_s": 30.0})
    plan = await plans.propose(
        replace(alice, settings=patient), portfolio_id, request, dry_run=False, wait_s=0, key=None
    )
    assert plan.plan
    return plan.id


async def edit(world: World, statement: str, *args: object) -> Any:
    """Change what is stored as only the owner of the tables can."""
    async with world.raw(owner=True) as connection:
        await connection.execute("SET session_replication_role = replica")
        return await connection.fetchval(statement, *args)


async def test_plans_of_a_worker_and_made_at_once_agree(services: Services, world: World, alice: Context) -> None:
    portfolio_id = await keep(world)
    by_worker, at_once = await made(services, alice, portfolio_id), await made_at_once(alice, portfolio_id)
    found = [await replaying.scan_replay(services, plan_id) for plan_id in (by_worker, at_once)]
    for one, plan_id in zip(found, (by_worker, at_once), strict=True):
        stored = await plans.find(alice, plan_id)
        row = ids.decode(ids.PLAN, plan_id)
        size = await world.sql("SELECT length(inputs) FROM plans WHERE public_id = $1", row)
        assert one == Replayed(plan_id, ReplayVerdict.AGREES, None, "exact-1", stored.inputs_digest, size)


async def test_a_plan_agrees_when_everything_has_changed_since(
    services: Services, world: World, alice: Context
) -> None:
    """With closes, losses of the past and fractions of cents; then prices move, days pass, and the asset is renamed."""
    start = snapshot(
        {
            "main": "33.333333333 AAPL {150 USD 2024-01-05} @ 180.1234567, 10 AAPL {190 USD 2021-01-05}, 900 cash",
            "pension TAX_DEFERRED": "7 BND {70 USD 2023-02-01} @ 71.1, 100 cash",
        },
        {"AAPL": sleeve("40", band=moving_band()), "BND": sleeve("40"), "GLD": sleeve("20")},
        prices={"GLD": "201.17", "BND": "71.1"},
        assets=[asset("AAPL", step="0.001"), asset("GLD", tradable=False)],
        policy=Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(15)),
    )
    loaded = await world.keep(start)
    for day in range(LEAST_RETURNS + 1, 0, -1):
        await world.price("AAPL", str(180 + day % 3), AS_OF - timedelta(days=day))
    await world.price("AAPL", "180.1234567", AS_OF)
    plan_id = await made_at_once(alice, loaded.row.public_id)
    packed = await world.sql("SELECT inputs FROM plans")
    assert any(closes.prices for closes in inputs.unpack(packed).snapshot.closes.values())
    await later(services, timedelta(days=3))
    operator = await enter(services, "olga", "operator")
    await market.record_prices(operator, [PriceDraft("AAPL", Decimal(5), None, "test")])
    await edit(world, "UPDATE assets SET name = 'Renamed', quantity_step = 1")
    async with world.writing() as tx:
        await world.hold(tx, loaded.row.public_id, *start.portfolio.accounts[:0])
    assert (await plans.find(alice, plan_id)).status.value == "SUPERSEDED"
    assert (await replaying.scan_replay(services, plan_id)).verdict is ReplayVerdict.AGREES


async def test_whatever_is_edited_in_a_plan_is_told(services: Services, world: World, alice: Context) -> None:
    plan_id = await made(services, alice, await keep(world))
    before = await plans.find(alice, plan_id)
    assert before.plan
    assert before.plan.proof
    await edit(world, "UPDATE plan_trades SET explanation = 'Trust me.', quantity = 3 WHERE side = 'SELL'")
    await edit(world, "UPDATE plans SET proof = jsonb_set(proof, '{bound}', '\"1\"')")
    sold, bound = before.plan.trades[0], before.plan.proof.bound
    found = await replaying.scan_replay(services, plan_id)
    assert found.verdict is ReplayVerdict.DIFFERS
    assert found.differences == (
        Difference("trades[0].trade.quantity", "3", f"{sold.trade.quantity:f}".rstrip("0").rstrip(".")),
        Difference("trades[0].explanation", "Trust me.", sold.explanation),
        Difference("proof.bound", "1", f"{bound.normalize():f}"),
    )
    head, _, explained, _ = replaying.lines(found)
    assert head.startswith(f"{plan_id} differs in 3 places (")
    assert explained == f"- trades[0].explanation: 'Trust me.' is stored, {sold.explanation!r} was found"


async def test_inputs_that_were_edited_are_found_out_by_the_history(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await made(services, alice, await keep(world))
    packed = await world.sql("SELECT inputs FROM plans")
    kept = inputs.unpack(packed)
    digest = kept.digest
    cash = replace(kept, request=PlanRequest(PlanScope.FULL, Decimal(1)))
    await edit(world, "UPDATE plans SET inputs = $1, inputs_digest = $2", inputs.pack(cash), cash.digest)
    found = await replaying.scan_replay(services, plan_id)
    assert (found.verdict, found.differences) == (
        ReplayVerdict.DIFFERS,
        (
            Difference("history.inputs", inputs.seal(packed), inputs.seal(inputs.pack(cash))),
            Difference("history.inputs_digest", digest, cash.digest),
        ),
    )
    await edit(world, "UPDATE plans SET inputs = $1, inputs_digest = $2", b"broken", digest)
    assert [one.at for one in (await replaying.scan_replay(services, plan_id)).differences] == ["history.inputs"]
    line = orjson.loads(await world.sql("SELECT canonical FROM rebalance_history WHERE kind = 'PLAN_READY'"))
    assert (line["document"]["inputs"], line["document"]["inputs_digest"]) == (inputs.seal(packed), digest)


async def test_a_plan_that_the_clock_stopped_cannot_be_replayed(
    services: Services, world: World, alice: Context
) -> None:
    hurried = replace(services, settings=services.settings.model_copy(update={"solver_s": 1e-9}))
    found = await replaying.scan_replay(services, await made(hurried, alice, await keep(world)))
    assert (found.verdict, found.why) == (
        ReplayVerdict.CANNOT_TELL,
        "the search was stopped by the clock after 1e-09 s, before it came to its own end",
    )


async def test_a_plan_of_another_engine_or_shape_cannot_be_replayed(
    services: Services, world: World, alice: Context
) -> None:
    plan_id = await made(services, alice, await keep(world))
    with patch.object(replay, "ENGINE", "exact-2"):
        found = await replaying.scan_replay(services, plan_id)
    assert list(replaying.lines(found)) == [
        f"{plan_id} cannot be replayed: it was made by the engine exact-1; this is exact-2"
    ]
    with patch.object(replay, "shape_here", lambda: "0" * 64):
        found = await replaying.scan_replay(services, plan_id)
    assert found.why == (
        "it was made by a version whose portfolios, policies or assets have other fields than this one's"
    )


async def test_a_plan_that_was_made_with_another_highs_says_so_whatever_was_found(
    services: Services, world: World, alice: Context
) -> None:
    plan_id, then = await made(services, alice, await keep(world)), highs.version()
    with patch.object(highs, "version", lambda: "9.9.9"):
        found = await replaying.scan_replay(services, plan_id)
        assert found.verdict is ReplayVerdict.AGREES
        told = f"it was made with HiGHS {then}, and again with HiGHS 9.9.9: where it is asked, answers may differ"
        assert list(replaying.lines(found))[1:] == [told]
        assert replaying.document(found)["solver"] == told
        await edit(world, "UPDATE plans SET proof = jsonb_set(proof, '{bound}', '\"1\"')")
        assert list(replaying.lines(await replaying.scan_replay(services, plan_id)))[-1] == told
    assert (await replaying.scan_replay(services, plan_id)).solver is None


async def test_a_plan_that_needs_a_solver_which_is_not_here_cannot_be_replayed(
    services: Services, world: World, alice: Context
) -> None:
    async def without(function: Any, *args: Any, watch: Any = None) -> Any:
        raise SolverMissing("this plan needs HiGHS")

    plan_id = await made(services, alice, await keep(world))
    found = await replaying.scan_replay(replace(services, run=without), plan_id)
    assert (found.verdict, found.why) == (ReplayVerdict.CANNOT_TELL, "this plan needs HiGHS")


async def test_what_was_not_made_or_has_no_inputs_cannot_be_replayed(
    services: Services, world: World, alice: Context
) -> None:
    waiting = await plans.propose(alice, await keep(world), FULL, dry_run=False, wait_s=0, key=None)
    found = await replaying.scan_replay(services, waiting.id)
    assert found == Replayed(waiting.id, ReplayVerdict.CANNOT_TELL, "it is QUEUED and was never made")
    await computing.compute(services, alice.owner_id, waiting.id)
    await edit(world, "UPDATE plans SET inputs = NULL")
    found = await replaying.scan_replay(services, waiting.id)
    assert found == Replayed(waiting.id, ReplayVerdict.CANNOT_TELL, "it was made before inputs were kept with plans")


async def test_a_plan_is_replayed_for_its_owner_only(services: Services, world: World, alice: Context) -> None:
    plan_id = await made(services, alice, await keep(world))
    bob = await enter(services, "bob")
    with pytest.raises(NotFound):
        await replaying.replay(bob.owner_id, services, plan_id)
    assert (await replaying.replay(alice.owner_id, services, plan_id)).verdict is ReplayVerdict.AGREES
    async with world.store.owned(bob.owner_id) as tx:
        assert await inputs.load_inputs(bob.owner_id, tx, plan_id) is None
    for absent in ("pl_00000000000000000000000000", "nonsense"):
        with pytest.raises(NotFound, match=f"plan {absent} does not exist"):
            await replaying.scan_replay(services, absent)


async def test_a_dry_run_keeps_nothing(world: World, alice: Context) -> None:
    await plans.propose(alice, await keep(world), FULL, dry_run=True, wait_s=0, key=None)
    assert await world.sql("SELECT count(*) FROM plans") == 0
