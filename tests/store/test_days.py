"""Days say the same of a portfolio's health whether they are rolled up or worked out from the hours."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from app.core import health
from app.core.health import Breach, Health, WorstBucket
from app.store import days
from tests.builders import absolute, snapshot
from tests.store.logbook import HOUR, at, hours, roll_up, write
from tests.store.world import World

NOTHING = Health(0, 0, 0, None, 0, None, None, None, None, None)


async def portfolio(world: World, created: str = "2024-01-01") -> int:
    kept = await world.keep(snapshot("6 AAPL @ 100, 400 cash", {"AAPL": "60", "CASH": "40"}, band=absolute("5")))
    async with world.raw(owner=True) as connection:
        await connection.execute("UPDATE portfolios SET created_at = $2 WHERE id = $1", kept.row.id, at(created))
    return kept.row.id


async def assessed(world: World, row: int, since: str, until: str) -> Health:
    async with world.reading() as tx:
        return health.assess(await days.load_days(world.owner_id, tx, row, at(since), at(until)))


def told(marks: Sequence[tuple[datetime, str, Decimal]]) -> Health:
    """Say what `assess` should of hours, one by one."""
    decided = [(bucket, mark == "+") for bucket, mark, _ in marks if mark in "+w.0"]
    measured = [(bucket, drift) for bucket, mark, drift in marks if mark in "+w.?0"]
    breaches: list[Breach] = []
    since = None
    for bucket, breached in decided:
        if breached and since is None:
            since = bucket
        elif not breached and since is not None:
            breaches.append(Breach(since, bucket, bucket - since))
            since = None
    if since is not None:
        breaches.append(Breach(since, None, measured[-1][0] - since))
    within, out = (sum(mark in kinds for _, mark, _ in marks) for kinds in (".w", "+"))
    recoveries = [breach.duration for breach in breaches if breach.ended_at]
    drifts = [WorstBucket(bucket, drift) for bucket, mark, drift in marks if mark in "+w.?"]
    return Health(
        measured=len(measured),
        missed=sum(mark in "mx" for _, mark, _ in marks),
        stale=sum(mark == "?" for _, mark, _ in marks),
        in_band=health.share(within, within + out),
        breaches=len(breaches),
        longest=max(breaches, key=lambda breach: breach.duration, default=None),
        mean_recovery=health.mean(sum(recoveries, timedelta()), len(recoveries)),
        longest_recovery=max(recoveries, default=None),
        worst=max(drifts, key=lambda worst: worst.max_abs_drift, default=None),
        open_since=since,
    )


async def test_a_day_with_two_breaches_is_told_exactly(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-06-03 00:00", "..++?+w.m+.x")})
    found = await assessed(world, row, "2024-06-03", "2024-06-04")
    assert found == Health(
        measured=10,
        missed=2,
        stale=1,
        in_band=Decimal("55.555556"),
        breaches=2,
        longest=Breach(at("2024-06-03 02:00"), at("2024-06-03 06:00"), 4 * HOUR),
        mean_recovery=timedelta(hours=2, minutes=30),
        longest_recovery=4 * HOUR,
        worst=WorstBucket(at("2024-06-03 10:00"), Decimal(10)),
        open_since=None,
    )


async def test_a_breach_goes_on_over_midnight_and_the_edge_of_a_month(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-05-31 22:00", ".++?")})
    await write(world, {row: hours("2024-06-01 02:00", "m+")})
    for today in ("2024-05-31", "2024-06-01", "2024-06-02"):
        await roll_up(world, today)
        found = await assessed(world, row, "2024-05-01", "2024-07-01")
        began = at("2024-05-31 23:00")
        assert (found.breaches, found.open_since) == (1, began)
        assert found.longest == Breach(began, None, 4 * HOUR)
        assert (found.mean_recovery, found.in_band) == (None, Decimal(25))


@pytest.mark.parametrize("seed", range(6))
async def test_rolled_up_or_not_the_health_is_that_of_the_hours(world: World, seed: int) -> None:
    random = Random(seed)
    row = await portfolio(world)
    first, count = at("2024-05-29 05:00"), 24 * 5
    marks = "".join(random.choice("+++..w?0m x") for _ in range(count))
    drifts = [Decimal(random.randrange(1000)) / 8 for _ in range(count)]
    laid = hours("2024-05-29 05:00", marks)
    await write(world, {row: laid}, drifts=" ".join(map(str, drifts)))
    hourly = [(bucket, mark, drift) for (bucket, mark), drift in zip(laid.items(), drifts, strict=True)]
    since, until = "2024-05-29", "2024-06-05"
    for today in ("2024-05-29", "2024-05-31", "2024-06-05"):
        await roll_up(world, today)
        assert await assessed(world, row, since, until) == told(hourly)
        low, high = sorted(random.sample(range(count), 2))
        parts = [text.isoformat()[:16] for text in (first + low * HOUR, first + high * HOUR)]
        assert await assessed(world, row, *parts) == told(hourly[low:high])


async def test_hours_missed_before_the_portfolio_was_there_are_not_its_own(world: World) -> None:
    row = await portfolio(world, created="2024-06-03 01:30")
    await write(world, {row: hours("2024-06-03 00:00", "xxxx")})
    assert await assessed(world, row, "2024-06-03", "2024-06-04") == replace(NOTHING, missed=2)
    assert await assessed(world, row, "2024-06-04", "2024-06-05") == NOTHING


async def test_nobody_sees_the_days_of_another_owner(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-06-03 00:00", "++xm")})
    for today in ("2024-06-03", "2024-06-04"):
        await roll_up(world, today)
        assert await assessed(await world.other(), row, "2024-06-03", "2024-06-04") == NOTHING
        assert (await assessed(world, row, "2024-06-03", "2024-06-04")).measured == 2
