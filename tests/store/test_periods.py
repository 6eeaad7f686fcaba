"""Drift history in stretches of every length: exact figures, whatever is rolled up, missed or gone."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.drift import DriftStatus
from app.core.health import Resolution
from app.core.money import plain
from app.store import periods
from app.store.periods import Period
from tests.store.logbook import at, hours, roll_up, write
from tests.store.test_days import portfolio
from tests.store.world import World


async def load(world: World, row: int, resolution: Resolution, first: int = 100, **given: Any) -> list[Period]:
    async with world.reading() as tx:
        return await periods.load_periods(world.owner_id, tx, row, first, resolution, **given)


def line(period: Period) -> str:
    """Write a period as `bucket measured/missed/breached status worst value drift lowest..highest`."""
    numbers = (period.value, period.max_abs_drift, period.lowest, period.highest)
    value, drift, lowest, highest = ("-" if number is None else plain(number) for number in numbers)
    status, worst = (one.value if one else "-" for one in (period.status, period.worst))
    counts = f"{period.measurements}/{period.missed}/{period.breached}"
    return f"{period.bucket:%m-%d %H:%M} {counts} {status} {worst} {value} {drift} {lowest}..{highest}"


async def lines(world: World, row: int, resolution: Resolution) -> list[str]:
    return [line(period) for period in await load(world, row, resolution)]


async def test_every_resolution_tells_the_same_measurements(world: World) -> None:
    row = await portfolio(world)
    laid = hours("2024-06-30 23:00", ".+?xm+w", timedelta(minutes=30))
    await write(world, {row: laid}, drifts="1 9 2 0 0 7 4.5")
    assert await lines(world, row, Resolution.RAW) == [
        "07-01 02:00 1/0/0 WARNING WARNING 1006 4.5 4.5..4.5",
        "07-01 01:30 1/0/1 BREACHED BREACHED 1005 7 7..7",
        "07-01 01:00 0/1/0 - - - - -..-",
        "07-01 00:30 0/1/0 - - - - -..-",
        "07-01 00:00 1/0/0 DATA_STALE DATA_STALE 1002 2 2..2",
        "06-30 23:30 1/0/1 BREACHED BREACHED 1001 9 9..9",
        "06-30 23:00 1/0/0 WITHIN WITHIN 1000 1 1..1",
    ]
    assert await lines(world, row, Resolution.HOUR) == [
        "07-01 02:00 1/0/0 WARNING WARNING 1006 4.5 4.5..4.5",
        "07-01 01:00 1/1/1 BREACHED BREACHED 1005 7 7..7",
        "07-01 00:00 1/1/0 DATA_STALE DATA_STALE 1002 2 2..2",
        "06-30 23:00 2/0/1 BREACHED BREACHED 1001 9 1..9",
    ]
    days = ["07-01 00:00 3/2/1 WARNING DATA_STALE 1006 4.5 2..7", "06-30 00:00 2/0/1 BREACHED BREACHED 1001 9 1..9"]
    weeks = ["07-01 00:00 3/2/1 WARNING DATA_STALE 1006 4.5 2..7", "06-24 00:00 2/0/1 BREACHED BREACHED 1001 9 1..9"]
    for today in ("2024-06-30", "2024-07-01", "2024-07-02"):
        await roll_up(world, today)
        assert await lines(world, row, Resolution.DAY) == days
        assert await lines(world, row, Resolution.WEEK) == weeks


async def test_a_week_is_put_together_from_days_that_are_kept_and_hours_that_are_not(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-06-03 12:00", "+." + "-" * 22 + "w?x" + "-" * 21 + ".")}, "9 3" + " 0" * 48)
    for today in ("2024-06-03", "2024-06-05", "2024-06-06"):
        await roll_up(world, today)
        assert await lines(world, row, Resolution.WEEK) == ["06-03 00:00 5/1/1 WITHIN DATA_STALE 1048 0 0..9"]


@pytest.mark.parametrize(
    ("first", "days", "weeks"),
    [
        # 29 December 2024 is a Sunday: the week of the 30th is the first of 2025.
        ("2024-12-29", ["01-01", "12-31", "12-30", "12-29"], {"12-30": 3, "12-23": 1}),
        # A leap day has a day of its own, within the week that begins on Monday the 26th.
        ("2024-02-28", ["03-02", "03-01", "02-29", "02-28"], {"02-26": 4}),
        # In Europe this Sunday has 23 hours, and the one of October 25; in UTC every day has 24.
        ("2024-03-30", ["04-02", "04-01", "03-31", "03-30"], {"04-01": 2, "03-25": 2}),
        ("2024-10-26", ["10-29", "10-28", "10-27", "10-26"], {"10-28": 2, "10-21": 2}),
    ],
)
async def test_days_and_weeks_are_those_of_utc_over_year_ends_leap_days_and_summer_time(
    world: World, first: str, days: list[str], weeks: dict[str, int]
) -> None:
    row = await portfolio(world)
    await write(world, {row: hours(f"{first} 00:00", ("." * 12 + "+" * 12) * 4)}, "3" + " 0" * 95)
    for today in (first, "2026-01-01"):
        await roll_up(world, today)
        drifts = [f"0 0..{3 if day == days[-1] else 0}" for day in days]
        counts = [f"{day} 00:00 24/0/12 BREACHED BREACHED" for day in days]
        found = [line.split() for line in await lines(world, row, Resolution.DAY)]
        assert [" ".join(words[:5]) for words in found] == counts
        assert [" ".join(words[6:]) for words in found] == drifts
        found = [line.split() for line in await lines(world, row, Resolution.WEEK)]
        assert [" ".join(words[:3]) for words in found] == [
            f"{monday} 00:00 {24 * count}/0/{12 * count}" for monday, count in weeks.items()
        ]


@pytest.mark.parametrize(
    ("resolution", "starts"),
    [
        (Resolution.RAW, ["07-01 02:00", "07-01 00:00", "06-30 23:00", "05-31 10:00"]),
        (Resolution.HOUR, ["07-01 02:00", "07-01 00:00", "06-30 23:00", "05-31 10:00"]),
        (Resolution.DAY, ["07-01 00:00", "06-30 00:00", "05-31 00:00"]),
        (Resolution.WEEK, ["07-01 00:00", "06-24 00:00", "05-27 00:00"]),
    ],
)
async def test_pages_go_back_over_gaps_and_edges_of_months(
    world: World, resolution: Resolution, starts: list[str]
) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-05-31 10:00", "+")})
    await write(world, {row: hours("2024-06-30 23:00", ".+-w")})
    await roll_up(world, "2024-06-15")

    def begins(found: list[Period]) -> list[str]:
        return [f"{period.bucket:%m-%d %H:%M}" for period in found]

    assert begins(await load(world, row, resolution)) == starts
    paged, before = [], None
    while page := await load(world, row, resolution, 2, before=before):
        paged += page
        before = page[-1].bucket
    assert begins(paged) == starts
    assert await load(await world.other(), row, resolution) == []


async def test_what_begins_within_bounds_is_told_whole(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-06-03 00:00", "." * 72)})
    within: dict[str, Any] = {"since": at("2024-06-03 06:30"), "until": at("2024-06-05 06:30")}
    found = await load(world, row, Resolution.DAY, **within)
    assert [(period.bucket.day, period.measurements) for period in found] == [(5, 24), (4, 24)]
    found = await load(world, row, Resolution.HOUR, **within)
    assert (len(found), found[0].bucket, found[-1].bucket) == (48, at("2024-06-05 06:00"), at("2024-06-03 07:00"))
    assert len(await load(world, row, Resolution.RAW, **within)) == 48


async def test_hours_missed_before_the_portfolio_was_there_are_not_its_own(world: World) -> None:
    row = await portfolio(world, created="2024-06-03 01:30")
    await write(world, {row: hours("2024-06-03 00:00", "xxxx")})
    assert await lines(world, row, Resolution.HOUR) == [
        "06-03 03:00 0/1/0 - - - - -..-",
        "06-03 02:00 0/1/0 - - - - -..-",
    ]
    assert await lines(world, row, Resolution.DAY) == ["06-03 00:00 0/2/0 - - - - -..-"]


async def test_of_days_whose_hours_are_gone_there_are_days_and_weeks(world: World) -> None:
    row = await portfolio(world)
    await write(world, {row: hours("2024-05-30 20:00", "+.+w")}, drifts="9 1 8 4")
    await roll_up(world, "2024-06-01")
    async with world.raw(owner=True) as connection:
        assert await connection.fetchval("SELECT drop_drift_partitions('2024-06-01Z')") == 1
    assert await load(world, row, Resolution.HOUR) == []
    told = ["05-30 00:00 4/0/2 WARNING BREACHED 1003 4 1..9"]
    assert await lines(world, row, Resolution.DAY) == told
    assert (await load(world, row, Resolution.WEEK))[0] == Period(
        bucket=at("2024-05-27"),
        measurements=4,
        missed=0,
        breached=2,
        worst=DriftStatus.BREACHED,
        status=DriftStatus.WARNING,
        value=Decimal(1003),
        max_abs_drift=Decimal(4),
        lowest=Decimal(1),
        highest=Decimal(9),
        last_at=at("2024-05-30 23:00"),
        base_currency="USD",
    )
