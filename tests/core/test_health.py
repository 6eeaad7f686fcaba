"""Breaches run from day to day, and nothing is said of nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.core.health import Breach, Day, Health, WorstBucket, assess, breaches_of, mean, share

MONDAY = datetime(2024, 6, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def at(hour: int) -> datetime:
    return MONDAY + hour * HOUR


def day(place: int, begins_breached: bool | None, *turns: int) -> Day:
    """Return a day whose last measurement is that of 23 o'clock."""
    start = MONDAY + place * DAY
    instants = tuple(at(24 * place + turn) for turn in turns)
    return Day(start, 24, last_at=start + 23 * HOUR, begins_breached=begins_breached, turns=instants)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], []),
        ([day(0, False, 0)], []),
        ([day(0, None), day(1, None)], []),
        ([day(0, True, 3, 5)], [(3, 5)]),
        ([day(0, False, 0, 3, 5, 7)], [(3, 5), (7, None)]),
        ([day(0, True, 3), day(1, True, 0), day(2, False, 2)], [(3, 50)]),
        ([day(0, True, 3), day(1, None), day(2, False, 0, 4)], [(3, 48), (52, None)]),
        ([day(0, True, 3, 5), day(1, True, 1)], [(3, 5), (25, None)]),
    ],
)
def test_breaches_go_on_until_a_decision_ends_them(days: list[Day], expected: list[tuple[int, int | None]]) -> None:
    last = 24 * len(days) - 1
    assert breaches_of(days) == [
        Breach(at(start), None if end is None else at(end), ((last if end is None else end) - start) * HOUR)
        for start, end in expected
    ]


def test_of_no_days_there_is_nothing_to_say() -> None:
    assert assess([]) == Health(0, 0, 0, None, 0, None, None, None, None, None)


def test_of_what_is_equally_bad_the_first_counts() -> None:
    days = [
        Day(MONDAY + place * DAY, 1, 0, 1, highest=Decimal(3), highest_at=at(24 * place), last_at=at(24 * place))
        for place in range(2)
    ]
    assert assess(days).worst == WorstBucket(at(0), Decimal(3))
    twice = assess([day(0, True, 3, 5, 8, 10)])
    assert twice.longest == Breach(at(3), at(5), 2 * HOUR)


def test_shares_and_means_are_rounded_half_even() -> None:
    assert [share(1, 3), share(2, 3), share(0, 5)] == [Decimal("33.333333"), Decimal("66.666667"), Decimal(0)]
    assert share(0, 0) is None
    assert mean(timedelta(seconds=5), 2) == timedelta(seconds=2)
    assert mean(timedelta(seconds=7), 2) == timedelta(seconds=4)
    assert mean(timedelta(), 0) is None
