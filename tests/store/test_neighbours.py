"""A loss here is replaced in a portfolio there: that one is locked, told, and what was planned for it superseded."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.context import new_uuid
from app.core import ids
from app.core import plan as core
from app.core.portfolio import Account
from app.store import events, history, neighbours, plans, portfolios
from app.store.db import StoreUnavailable
from app.store.neighbours import OutOfReach
from app.store.plans import Made
from tests.builders import AS_OF, snapshot
from tests.store.booth import FULL, TAXED, Booth, fill, opened
from tests.store.world import World, new_id
from tests.support import until

WASHED = "6 AAPL cost 1080 of 2024-05-27 held from 2024-05-13"


async def beside(world: World, ledger: str = "6 AAPL {170 USD 2024-05-27} @ 180, 10 BND {80} @ 80") -> Booth:
    """Another portfolio of the same owner, with a plan that is READY; it drifts, as it keeps more AAPL than BND."""
    kept = await world.keep(snapshot(ledger, {"AAPL": "40", "BND": "60"}, policy=TAXED), f"Second {new_uuid()}")
    done = core.propose(kept.snapshot, FULL)
    made = Made(done, kept.row.targets_version or None, "d" * 64, AS_OF + timedelta(days=1), 7, b"inputs")
    async with world.writing() as tx:
        await portfolios.lock_portfolio(world.owner_id, tx, kept.row.public_id)
        told: dict[str, Any] = {"requested_by": "alice", "now": AS_OF, "new_uuid": new_uuid, "made": made}
        plan_id = await plans.save_plan(world.owner_id, tx, kept.row.id, FULL, **told)
    return Booth(world, kept, done, plan_id)


async def state(booth: Booth) -> tuple[str, int]:
    """The plan's status, and how often the portfolio changed since it was kept."""
    plan = await booth.world.sql("SELECT status FROM plans WHERE public_id = $1", ids.decode(ids.PLAN, booth.plan_id))
    found = await booth.world.find(booth.loaded.row.public_id)
    return plan, found.row.version - booth.loaded.row.version


async def lines(booth: Booth) -> list[history.Line]:
    async with booth.world.reading() as tx:
        assert await history.verify_history(booth.world.owner_id, tx, booth.loaded.row.id) is None
        return await history.load_history(booth.world.owner_id, tx, booth.loaded.row.id, 100)


async def test_a_portfolio_whose_lots_replace_a_loss_is_changed_as_by_anybody(world: World) -> None:
    booth, other = await opened(world), await beside(world)
    untouched = await beside(world, "6 AAPL {170 USD 2024-03-01} @ 180, 10 BND {80} @ 80")
    (lot,) = [lot for lot in other.loaded.snapshot.portfolio.accounts[0].lots if lot.basis == 1020]
    async with world.reading() as tx:
        cursor = await events.current_cursor(tx)
    await booth.book("SELL AAPL", fill("f1", "8", "180"))

    assert (await other.lots())[1] == WASHED
    assert await state(other) == ("SUPERSEDED", 1)
    assert await state(untouched) == ("READY", 0)
    superseded, washed = (await lines(other))[-2:]
    assert (superseded.kind, superseded.actor) == ("PLAN_SUPERSEDED", "broker")
    assert (washed.kind, washed.subject, washed.actor) == ("LOTS_WASHED", other.loaded.row.public_id, "broker")
    version, account = other.loaded.row.version, other.loaded.snapshot.portfolio.accounts[0].id
    was = {"quantity": "6", "basis": "1020", "holding_from": "2024-05-27"}
    assert washed.document == {
        "version": version + 1,
        "before": {"version": version},
        "plan": booth.plan_id,
        "order": booth.orders["SELL AAPL"].id,
        "lots": [
            {"account": account, "asset": lot.asset_id, "lot": lot.id, "before": was}
            | {"after": {"quantity": "6", "basis": "1080", "holding_from": "2024-05-13"}}
        ],
        "more": 0,
    }
    async with world.reading() as tx:
        told = await events.load_events(world.owner_id, tx, cursor, 100)
    assert [(one.topic, one.payload) for one in told if one.portfolio_id == other.loaded.row.public_id] == [
        ("plan", {"status": "SUPERSEDED", "version": 3}),
        ("portfolio", {"version": version + 1}),
    ]


async def test_what_is_executed_there_goes_on(world: World) -> None:
    booth, other = await opened(world), await beside(world)
    await world.sql("UPDATE plans SET status = 'APPROVED' WHERE public_id = $1", ids.decode(ids.PLAN, other.plan_id))
    await booth.book("SELL AAPL", fill("f1", "8", "180"))
    assert await state(other) == ("APPROVED", 1)


async def test_a_line_of_history_tells_of_so_many_lots_and_how_many_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LOTS_MAX", 1)
    booth = await opened(world)
    other = await beside(world, "1 AAPL {170 USD 2024-05-27} @ 180, 2 AAPL {175 USD 2024-05-28}, 9 BND {80} @ 80")
    await booth.book("SELL AAPL", fill("f1", "8", "180"))
    document = (await lines(other))[-1].document
    assert ([lot["after"]["basis"] for lot in document["lots"]], document["more"]) == (["180"], 1)


async def test_nothing_is_written_without_the_locks_of_all(world: World) -> None:
    booth, other = await opened(world), await beside(world)
    seen: list[frozenset[int]] = []

    async def book(tx: Any, locked: frozenset[int]) -> None:
        seen.append(locked)
        await portfolios.lock_portfolio(world.owner_id, tx, booth.loaded.row.public_id)
        raise OutOfReach({booth.loaded.row.id, other.loaded.row.id + len(seen)})

    with pytest.raises(StoreUnavailable, match="found other portfolios to lock 10 times"):
        await neighbours.with_locks(world.store, world.owner_id, book)
    assert [len(locked) for locked in seen] == [0, *range(2, 11)]
    assert await state(other) == ("READY", 0)


async def held_anew(other: Booth, quantity: str) -> Account:
    (account,) = other.loaded.snapshot.portfolio.accounts
    lots = [
        replace(lot, id=new_id(ids.LOT), quantity=Decimal(quantity), basis=Decimal(quantity) * 170)
        for lot in account.lots
        if lot.basis == 1020
    ]
    return replace(account, lots=tuple(lots))


async def test_a_sale_waits_for_an_import_of_the_portfolio_that_it_reaches(world: World) -> None:
    """What the import brings replaces the loss, not what it took away."""
    booth, other = await opened(world), await beside(world)
    async with asyncio.TaskGroup() as group, world.writing() as tx:
        await world.hold(tx, other.loaded.row.public_id, await held_anew(other, "3"))
        booking = group.create_task(booth.book("SELL AAPL", fill("f1", "8", "180")))

        async def waits() -> bool:
            waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND {})"
            return bool(await world.sql(waiting.format("wait_event_type = 'Lock'")))

        await until(waits)
        assert not booking.done()
    assert await other.lots() == ["3 AAPL cost 540 of 2024-05-27 held from 2024-05-13"]
    assert await state(other) == ("SUPERSEDED", 2)
    assert await world.sql("SELECT sum(quantity) FROM replacements") == Decimal(3)


async def test_sales_that_reach_each_other_and_imports_meet_and_none_fails(world: World) -> None:
    """Two sell at a loss, each into the other's lots and a third's, which is imported meanwhile, over and over."""
    booths = [await opened(world) for _ in range(2)]
    orders = [await booth.order(1, 2, Decimal(20)) for booth in booths]
    other = await beside(world)
    account = other.loaded.snapshot.portfolio.accounts[0]

    async def sell(number: int) -> None:
        for n in range(10):
            await booths[number].book(orders[number], fill(f"f{n}", "1", "180"))

    async def keep_importing() -> None:
        for n in range(10):
            async with world.writing() as tx:
                await world.hold(tx, other.loaded.row.public_id, replace(account, cash={"USD": Decimal(n)}))

    await asyncio.wait_for(asyncio.gather(sell(0), sell(1), keep_importing()), 60)
    assert await world.sql("SELECT sum(quantity) FROM lot_sales") == Decimal(20)
    assert await world.sql("SELECT count(*) FROM fills") == 20
    (status, changes), told = await state(other), await lines(other)
    kinds = [line.kind for line in told]
    assert (status, changes) == ("SUPERSEDED", 10 + kinds.count("LOTS_WASHED"))
    assert [line.document["version"] for line in told if line.kind != "TARGETS_SET" and "PLAN" not in line.kind] == [
        *range(1, other.loaded.row.version + changes + 1)
    ]
    for booth in booths:
        assert "LOTS_WASHED" in [line.kind for line in await lines(booth)]


async def test_a_fill_that_comes_late_supersedes_what_was_planned_since(world: World) -> None:
    booth = await opened(world)
    await world.sql("UPDATE plans SET status = 'PARTIAL'")
    done = core.propose((await world.find(booth.loaded.row.public_id)).snapshot, FULL)
    made = Made(done, booth.loaded.row.targets_version or None, "e" * 64, AS_OF + timedelta(days=1), 7, b"inputs")
    async with world.writing() as tx:
        await portfolios.lock_portfolio(world.owner_id, tx, booth.loaded.row.public_id)
        told: dict[str, Any] = {"requested_by": "alice", "now": AS_OF, "new_uuid": new_uuid, "made": made}
        await plans.save_plan(world.owner_id, tx, booth.loaded.row.id, FULL, **told)
    await booth.book("SELL AAPL", fill("f1", "1", "180"))
    assert await world.sql("SELECT string_agg(status, ' ' ORDER BY id) FROM plans") == "PARTIAL SUPERSEDED"
