"""Whoever approves, executes and cancels at the same time: no order is sent twice, and none after the end."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from app.actions import approving, plans
from app.context import Context, Services
from app.core.errors import InvalidState
from app.core.order_values import Ticket
from app.store import history
from tests.builders import snapshot
from tests.store.world import World
from tests.support import enter
from tests.workers.broking import ScriptedBroker
from tests.workers.test_execute import advance, approved, at_last, never


@pytest.fixture
async def alice(services: Services) -> Context:
    return await enter(services, "alice")


async def check_chains(world: World) -> None:
    async with world.store.shared(reading=True) as tx:
        chains, _ = await history.scan_check_chains(tx, 0, 100)
    assert chains
    assert [chain.first_broken for chain in chains.values()] == [None] * len(chains)


@pytest.mark.parametrize("workers_first", [True, False])
async def test_a_plan_is_executed_or_cancelled_never_both_and_no_order_is_sent_twice(
    services: Services, world: World, alice: Context, workers_first: bool
) -> None:
    ends = set()
    for number in range(4):
        plan_id = await approved(world, alice)
        broker = ScriptedBroker(at_last if number % 2 else never)
        working = [advance(services, alice, plan_id, broker) for _ in range(2)]
        cancelling = [approving.cancel(alice, plan_id, "stop") for _ in range(2)]
        calls = [*working, *cancelling] if workers_first else [*cancelling, *working]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [one for one in done if isinstance(one, BaseException) and not isinstance(one, InvalidState)] == []
        for _ in range(3):
            await advance(services, alice, plan_id, broker)
        plan = await plans.find(alice, plan_id)
        end, booked = plan.status.value, {order.client_id: order.filled for order in plan.orders if order.filled}
        ends.add(end)
        assert end in ("CANCELLED", "COMPLETED", "PARTIAL")
        assert booked == broker.filled()
        assert (end == "CANCELLED") == (not booked)
        sent = [call for call in broker.calls if call.startswith("place")]
        assert len(sent) == len(set(sent))
    await check_chains(world)
    assert "CANCELLED" in ends


def below(ticket: Ticket) -> list[str]:
    """Fill all at once: AAPL at a loss, and BND so that what it brought is enough."""
    return [f"{ticket.quantity} @ {'140' if ticket.asset.symbol == 'AAPL' else '40'}"]


async def test_a_loss_is_booked_into_a_portfolio_that_is_imported_meanwhile_and_nobody_fails(
    services: Services, world: World, alice: Context
) -> None:
    kept = await world.keep(snapshot("9 AAPL {160 USD 2024-05-27} @ 150", {"AAPL": "100"}), "Imported")
    (account,) = kept.snapshot.portfolio.accounts
    plan_ids = [await approved(world, alice) for _ in range(2)]
    brokers = [ScriptedBroker(below) for _ in plan_ids]

    async def import_often() -> None:
        for number in range(8):
            async with world.writing() as tx:
                await world.hold(tx, kept.row.public_id, replace(account, cash={"USD": Decimal(number)}))

    pairs = list(zip(plan_ids, brokers, strict=True))
    working = [advance(services, alice, plan_id, broker) for plan_id, broker in pairs for _ in range(2)]
    await asyncio.wait_for(asyncio.gather(*working, import_often()), 60)
    for plan_id, broker in pairs:
        await advance(services, alice, plan_id, broker)
        assert (await plans.find(alice, plan_id)).status.value == "COMPLETED"
    assert await world.sql("SELECT sum(quantity) FROM replacements") == Decimal("1.6")
    async with world.reading() as tx:
        lines = await history.load_history(world.owner_id, tx, kept.row.id, 100)
    assert [line.kind for line in lines].count("LOTS_WASHED") == 2
    await check_chains(world)
