"""Sessions of US exchanges to the minute, over holidays, early closes, weekends and changes of the clocks."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.core import sessions
from app.core.portfolio import Asset, AssetClass
from app.core.session_table import CLOSED, EARLY, FIRST, LAST
from tests.builders import asset

AAPL = asset("AAPL")
NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    """Read `day hour:minute` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opens", "closes"),
    [
        ("2026-11-24 14:29", "2026-11-24 14:30", "2026-11-24 21:00"),  # a minute before the bell
        ("2026-11-24 14:30", "2026-11-24 14:30", "2026-11-24 21:00"),
        ("2026-11-24 20:59", "2026-11-24 20:59", "2026-11-24 21:00"),
        ("2026-11-24 21:00", "2026-11-25 14:30", "2026-11-25 21:00"),  # the closing bell is not in the session
        ("2026-11-25 21:00", "2026-11-27 14:30", "2026-11-27 18:00"),  # Thanksgiving, then a short Friday
        ("2026-11-26 15:00", "2026-11-27 14:30", "2026-11-27 18:00"),
        ("2026-11-27 17:59", "2026-11-27 17:59", "2026-11-27 18:00"),
        ("2026-11-27 18:00", "2026-11-30 14:30", "2026-11-30 21:00"),  # and the weekend
        ("2026-11-28 23:30", "2026-11-30 14:30", "2026-11-30 21:00"),
        ("2026-12-24 18:00", "2026-12-28 14:30", "2026-12-28 21:00"),  # Christmas is a Friday
        ("2026-12-31 21:00", "2027-01-04 14:30", "2027-01-04 21:00"),  # New Year's Day too
        ("2026-03-06 21:00", "2026-03-09 13:30", "2026-03-09 20:00"),  # clocks go forward on the Sunday between
        ("2026-10-30 20:00", "2026-11-02 14:30", "2026-11-02 21:00"),  # and back
        ("2025-01-08 21:00", "2025-01-10 14:30", "2025-01-10 21:00"),  # closed once, to mourn a president
        ("2021-12-23 21:00", "2021-12-27 14:30", "2021-12-27 21:00"),  # Christmas on a Saturday is kept on Friday
        ("2021-12-31 15:00", "2021-12-31 15:00", "2021-12-31 21:00"),  # New Year on a Saturday is not
    ],
)
def test_sessions_of_new_york(now: str, opens: str, closes: str) -> None:
    assert sessions.next_open(AAPL, at(now)) == at(opens)
    assert sessions.closes_at(AAPL, at(now)) == at(closes)
    assert sessions.is_open(AAPL, at(now)) is (now == opens)


def test_bell_is_that_of_new_york_on_every_day_of_the_table() -> None:
    """The rule for summer time, against the zone database."""
    day, opened = FIRST, 0
    while day <= LAST:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        opens = sessions.next_open(AAPL, midnight)
        if opens.date() == day:
            local = opens.astimezone(NEW_YORK)
            closes = sessions.closes_at(AAPL, midnight)
            assert closes
            assert (local.date(), local.hour, local.minute) == (day, 9, 30)
            assert closes.astimezone(NEW_YORK).hour == (13 if day in EARLY else 16)
            opened += 1
        else:
            assert day.weekday() >= 5 or day in CLOSED
        day += timedelta(days=1)
    assert opened == 5276


def test_table_holds_weekdays_only_and_no_day_twice() -> None:
    assert (len(CLOSED), len(EARLY), CLOSED & EARLY) == (202, 44, frozenset())
    assert {day.weekday() for day in CLOSED | EARLY} <= set(range(5))


@pytest.mark.parametrize(
    ("traded", "hours"),
    [
        (asset("AAPL"), True),
        (asset("VTI", AssetClass.ETF, venue="ARCX"), True),
        (asset("TLT", AssetClass.BOND, venue="nasdaq"), True),
        (asset("VFIAX", AssetClass.FUND), True),
        (asset("GLD", AssetClass.COMMODITY), True),
        (asset("X", AssetClass.OTHER), True),
        (asset("BTC"), False),
        (asset("BTC", venue="NYSE"), False),
        (asset("EUR", AssetClass.CASH), False),
        (asset("SAP", currency="EUR"), False),
        (asset("SHEL", venue="XLON"), False),  # quoted in dollars, but said to be elsewhere
    ],
    ids=lambda value: value.id if isinstance(value, Asset) else None,
)
def test_what_keeps_the_hours_of_us_exchanges(traded: Asset, hours: bool) -> None:
    sunday = at("2026-11-22 12:00")
    assert sessions.keeps_hours(traded) is hours
    assert sessions.is_open(traded, sunday) is not hours
    assert sessions.next_open(traded, sunday) == (at("2026-11-23 14:30") if hours else sunday)
    assert sessions.closes_at(traded, sunday) == (at("2026-11-23 21:00") if hours else None)


def test_beyond_the_table_every_weekday_is_a_session() -> None:
    christmas = at("2036-12-25 12:00")
    assert not sessions.is_known(christmas)
    assert sessions.next_open(AAPL, christmas) == at("2036-12-25 14:30")
    assert sessions.next_open(AAPL, at("2014-07-05 12:00")) == at("2014-07-07 13:30")
    assert [sessions.is_known(at(day)) for day in ("2014-12-31 23:59", "2015-01-01 00:00", "2035-12-31 23:59")] == [
        *(False, True, True)
    ]


def test_instants_of_another_zone_are_the_same_instants() -> None:
    tokyo = datetime(2026, 11, 25, 0, 0, tzinfo=ZoneInfo("Asia/Tokyo"))  # still the 24th in New York and in UTC
    assert sessions.next_open(AAPL, tokyo) == at("2026-11-24 15:00")
    assert date(2026, 11, 26) in CLOSED
