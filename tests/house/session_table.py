"""Writes `app/core/session_table.py`: the days on which the New York Stock Exchange is closed, or closes early.

    pip install exchange-calendars && python -m tests.house.session_table > app/core/session_table.py

The package knows the rules of the exchange and the days it closed for once; neither the application nor its tests
need it. Run it anew when the exchange announces a day.
"""

from collections import defaultdict
from datetime import date, timedelta
from importlib import import_module
from typing import Any, Final

FIRST: Final = date(2015, 1, 1)
LAST: Final = date(2035, 12, 31)
ZONE: Final = "America/New_York"

PAGE: Final = '''\
"""Days on which the New York Stock Exchange is closed though it is a weekday, and on which it closes at 13:00.

Written by `python -m tests.house.session_table` from exchange-calendars {version}, calendar XNYS. Each text is a year's
days, as month and day.
"""

from datetime import date
from typing import Final

FIRST: Final = {first}
LAST: Final = {last}


def _days(years: dict[int, str]) -> frozenset[date]:
    return frozenset(date(year, int(day[:2]), int(day[2:])) for year, text in years.items() for day in text.split())


CLOSED: Final = _days(
    {{
{closed}
    }}
)
EARLY: Final = _days(
    {{
{early}
    }}
)
'''


def page() -> str:
    """Return the text of the module."""
    calendars: Any = import_module("exchange_calendars")
    calendar = calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    opens, closes = ({one.date(): one.tz_convert(ZONE) for one in times} for times in (calendar.opens, calendar.closes))
    assert {f"{one:%H:%M}" for one in opens.values()} == {"09:30"}
    assert {f"{one:%H:%M}" for one in closes.values()} == {"13:00", "16:00"}
    every = (FIRST + timedelta(days=place) for place in range((LAST - FIRST).days + 1))
    closed = [day for day in every if day.weekday() < 5 and day not in opens]
    early = [day for day, one in closes.items() if one.hour == 13]
    version = calendars.__version__
    first, last = (f"date({day.year}, {day.month}, {day.day})" for day in (FIRST, LAST))
    return PAGE.format(version=version, first=first, last=last, closed=_lines(closed), early=_lines(early))


def _lines(days: list[date]) -> str:
    years: dict[int, list[str]] = defaultdict(list)
    for day in days:
        years[day.year].append(f"{day:%m%d}")
    return "\n".join(f'        {year}: "{" ".join(found)}",' for year, found in sorted(years.items()))


if __name__ == "__main__":
    print(page(), end="")
