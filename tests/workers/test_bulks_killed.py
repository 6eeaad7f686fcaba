"""Workers that are killed in the middle of a bulk, as `kill -9` does, and every portfolio is done exactly once.

A step is held by a trigger that waits, in the step's own transaction, for a lock of the test's: what is before it is
committed, and nothing of it is yet. There are two hands to a worker, so two portfolios are held before it is killed.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from app.actions import bulks
from app.context import Context, Services
from app.core.bulks import Bulk, ItemStatus
from app.embedded import Endpoints
from app.store import history
from tests.store.world import World
from tests.support import Steelyard, until
from tests.workers.bulking import keep, plans_of, to_approve, to_propose

NAMES: Final = [f"{number:02}" for number in range(1, 7)]
STEPS: Final = {
    "made": ("plans", "NEW.status = 'READY'"),
    "told": ("bulk_items", "NEW.status = 'READY'"),
    "approved": ("plans", "NEW.status = 'APPROVED' AND OLD.status = 'READY'"),
    "ended": ("bulk_items", "NEW.status = 'APPROVED'"),
}
STOP: Final = """
CREATE FUNCTION stop_at() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, NEW.portfolio_id::int);
    RETURN NEW;
END $$;
"""
BEYOND: Final = 101
"""The first of the test's own advisory locks."""
WITHIN_S: Final = 60.0
"""Starting a heavy worker and its processes takes its time on a machine that is busy."""


@pytest.fixture
async def traps(database: Endpoints) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Give a connection whose advisory locks hold portfolios: the step's number, the portfolio's row."""
    connection = await asyncpg.connect(database.migrate_database_url)
    triggers = [
        f"CREATE TRIGGER stop_{step} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({when}) "
        f"EXECUTE FUNCTION stop_at({BEYOND + number})"
        for number, (step, (table, when)) in enumerate(STEPS.items())
    ]
    await connection.execute(";".join([STOP, *triggers]))
    yield connection
    await connection.close()


@pytest.fixture
def steelyard(database: Endpoints, tmp_path: Path) -> Iterator[Steelyard]:
    made = Steelyard(database, tmp_path, job_lease_s=1, sweep_s=0.5, heavy_jobs=2, inline_lots=0)
    yield made
    made.close()


async def kill_at(
    world: World,
    steelyard: Steelyard,
    traps: "asyncpg.Connection[asyncpg.Record]",
    held: dict[str, str],
) -> None:
    """Let a worker begin, kill it once the portfolios by these names are held at their steps, and let go."""
    for name, step in held.items():
        number = BEYOND + list(STEPS).index(step)
        await traps.execute("SELECT pg_advisory_lock($1, id::int) FROM portfolios WHERE name = $2", number, name)
    worker = steelyard.work("heavy")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid > 100"

    async def all_held() -> bool:
        return bool(await world.sql(waiting) == len(held))

    await until(all_held, WITHIN_S)
    worker.kill()
    await traps.execute("SELECT pg_advisory_unlock_all()")


async def ended(context: Context, bulk: Bulk) -> Bulk:
    async def over() -> bool:
        return (await bulks.find(context, bulk.id)).ended_at is not None

    await until(over, WITHIN_S)
    return await bulks.find(context, bulk.id)


async def assert_done_once(services: Services, world: World, kind: str, status: str) -> None:
    """Each portfolio has one plan, that is so, and one line of history that says it."""
    assert await plans_of(world) == [(name, status, 1) for name in NAMES]
    lines = "SELECT count(*) FILTER (WHERE kind = $1), count(DISTINCT portfolio_id) FROM rebalance_history"
    async with world.raw() as connection:
        assert tuple(await connection.fetchrow(lines, kind) or ()) == (len(NAMES), len(NAMES))
    async with services.store.shared(reading=True) as tx:
        chains, _ = await history.scan_check_chains(tx, 0, 100)
    assert [chain.first_broken for chain in chains.values()] == [None] * len(NAMES)


@pytest.mark.parametrize("kind", ["PROPOSE", "APPROVE"])
async def test_a_bulk_whose_workers_are_killed_is_done_once_for_every_portfolio(
    services: Services,
    world: World,
    alice: Context,
    steelyard: Steelyard,
    traps: "asyncpg.Connection[asyncpg.Record]",
    kind: str,
) -> None:
    for name in NAMES:
        await keep_apart(world, name)
    bulk = await bulks.begin(alice, to_propose(), "propose")
    if kind == "APPROVE":
        await bulks.run(services, alice.owner_id, bulk.id)
        bulk = await bulks.begin(alice, to_approve(), "approve")
    status = ItemStatus.READY if kind == "PROPOSE" else ItemStatus.APPROVED
    held = {"03": "made", "04": "told"} if kind == "PROPOSE" else {"03": "approved", "04": "ended"}
    await kill_at(world, steelyard, traps, held)
    assert (await bulks.find(alice, bulk.id)).counts == {status: 2, ItemStatus.WAITING: 4}
    steelyard.work("heavy")
    bulk = await ended(alice, bulk)
    assert (bulk.status.value, bulk.counts) == ("DONE", {status: len(NAMES)})
    await assert_done_once(services, world, f"PLAN_{status.value}", status.value)


async def keep_apart(world: World, name: str) -> None:
    """Store a portfolio that takes turns with no other: neither a neighbour's by its row."""
    await world.sql("SELECT count(nextval(pg_get_serial_sequence('portfolios', 'id'))) FROM generate_series(1, 8)")
    await keep(world, name)
