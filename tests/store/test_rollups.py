"""Days are rolled up once they are over, range by range, by one worker at a time, and again when a run comes late."""

from decimal import Decimal

import pytest

from app.store import logs, rollups
from tests.store.logbook import at, hours, roll_up, write
from tests.store.test_days import portfolio
from tests.store.world import World

KEPT = "SELECT array_agg(portfolio_id ORDER BY portfolio_id) FROM drift_days WHERE day = $1"
MONTHS = """
    SELECT array_agg(inhrelid::regclass::text ORDER BY inhrelid::regclass::text) FROM pg_inherits
    WHERE inhparent = 'drift_logs'::regclass
"""


async def step(world: World, today: str, rows_max: int = 24, *, fail: bool = False) -> bool:
    async with world.store.shared() as tx:
        assert await rollups.scan_take_roll_up_turn(tx)
        found = await rollups.scan_roll_up(tx, at(today), rows_max)
        if fail:
            raise ZeroDivisionError
    return found


async def drop(world: World, kept_from: str) -> int:
    async with world.store.shared() as tx:
        return await rollups.scan_drop_logs(tx, at(kept_from))


async def test_a_day_is_rolled_up_when_it_is_over_and_no_run_is_open(each_world: World) -> None:
    world = each_world
    row = await portfolio(world)
    await write(world, {row: hours("2024-06-03 00:00", "..+")})
    assert await roll_up(world, "2024-06-03") == 0
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE scan_runs SET status = 'RUNNING' WHERE bucket = $1", at("2024-06-03 02:00"))
        assert await roll_up(world, "2024-06-04") == 0
        await connection.execute("UPDATE scan_runs SET status = 'DONE'")
    assert await roll_up(world, "2024-06-04") == 2
    assert await roll_up(world, "2024-06-04") == 0
    assert await world.sql(KEPT, at("2024-06-03")) == [row]


async def test_a_roll_up_that_dies_in_the_middle_goes_on_where_it_was(world: World) -> None:
    rows = [await portfolio(world) for _ in range(5)]
    day, marks = at("2024-06-03"), hours("2024-06-03 00:00", "." * 12)
    await write(world, dict.fromkeys(rows, marks))
    assert await step(world, "2024-06-04")
    assert await world.sql(KEPT, day) == rows[:2]
    with pytest.raises(ZeroDivisionError):
        await step(world, "2024-06-04", fail=True)
    assert await world.sql(KEPT, day) == rows[:2]
    async with world.raw(owner=True) as connection:  # were it done anew, these would come back
        await connection.execute("DELETE FROM drift_days WHERE portfolio_id = $1", rows[0])
    assert await roll_up(world, "2024-06-04", rows_max=24) == 3
    assert await world.sql(KEPT, day) == rows[1:]
    assert await world.sql("SELECT sum(measurements) FROM drift_days") == 48


async def test_a_run_that_comes_late_has_its_day_rolled_up_again(world: World) -> None:
    rows = [await portfolio(world) for _ in range(2)]
    await write(world, dict.fromkeys(rows, hours("2024-06-03 00:00", "..")))
    assert await step(world, "2024-06-04", rows_max=1)
    await write(world, {rows[0]: hours("2024-06-03 02:00", "+")})
    await roll_up(world, "2024-06-04")
    figures = "SELECT array_agg((measurements, breached, status)::text ORDER BY portfolio_id) FROM drift_days"
    assert await world.sql(figures) == ["(3,1,BREACHED)", "(2,0,WITHIN)"]
    await write(world, {rows[1]: hours("2024-06-03 03:00", "m")})
    await roll_up(world, "2024-06-04")
    assert await world.sql("SELECT array_agg(missed ORDER BY portfolio_id) FROM drift_days") == [0, 1]


async def test_one_worker_at_a_time_rolls_up(world: World) -> None:
    async with world.store.shared() as tx:
        assert await rollups.scan_take_roll_up_turn(tx)
        async with world.store.shared() as other:
            assert not await rollups.scan_take_roll_up_turn(other)


async def test_whole_months_go_when_all_their_days_are_rolled_up(each_world: World) -> None:
    world = each_world
    row = await portfolio(world)
    for month in ("04-10", "05-31", "06-01"):
        await write(world, {row: hours(f"2024-{month} 00:00", ".")})
    await roll_up(world, "2024-05-31")
    assert await drop(world, "2024-04-30") == 0
    assert await drop(world, "2024-06-01") == 1
    assert await world.sql(MONTHS) == ["drift_logs_202405", "drift_logs_202406"]
    await roll_up(world, "2024-06-01")
    assert await drop(world, "2024-06-01") == 1
    assert await drop(world, "2024-06-30") == 0
    assert await world.sql(MONTHS) == ["drift_logs_202406"]


async def test_logs_that_no_run_tells_of_are_kept(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-04-10 00:00", ".")})
    async with world.raw(owner=True) as connection:
        await connection.execute("DELETE FROM drift_rollups")
        assert await drop(world, "2024-06-01") == 0
        await connection.execute("DELETE FROM drift_logs")
    assert await drop(world, "2024-06-01") == 1


async def test_months_are_not_dropped_while_somebody_reads_them_for_long(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-04-10 00:00", ".")})
    await roll_up(world, "2024-05-01")
    async with world.reading() as tx:
        assert await tx.value("SELECT count(*) FROM drift_logs WHERE owner_id = $1", world.owner_id) == 1
        assert await drop(world, "2024-06-01") == 0
    assert await drop(world, "2024-06-01") == 1


async def test_figures_of_days_are_forgotten_a_few_at_a_time(world: World) -> None:
    rows = [await portfolio(world) for _ in range(3)]
    for day in ("01", "02", "03"):
        await write(world, dict.fromkeys(rows, hours(f"2024-06-{day} 00:00", ".")))
    await roll_up(world, "2024-06-04")
    taken = []
    for _ in range(3):
        async with world.store.shared() as tx:
            taken.append(await rollups.scan_forget_days(tx, at("2024-06-03 12:00"), 4))
    assert taken == [True, True, False]
    assert await world.sql(KEPT, at("2024-06-03")) == rows
    assert await world.sql("SELECT count(*) FROM drift_days") == 3


async def test_an_older_log_keeps_its_figures_and_loses_its_detail(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-06-03 00:00", "+")}, drifts="9")
    async with world.reading() as tx:
        (found,) = await logs.load_drift_history(world.owner_id, tx, row, 5)
    assert (found.report.breaches, found.report.max_abs_drift, found.report.entries) == (1, Decimal(9), ())
