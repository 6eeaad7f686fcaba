"""Trading sessions: when what is traded at US exchanges may be traded, and crypto, which always may.

At US exchanges trades what is quoted in USD, is no CRYPTO or CASH, and names no venue or one of `US_VENUES`: 9:30 to
16:00 in New York, Monday to Friday, but for the holidays and early closes of `session_table`. A fund's order is taken
during the session and done at its close. Of other venues and currencies no hours are known: their orders are sent at
once, and whoever works them keeps them until the venue opens. Beyond the years of the table every weekday is a session
of full length, and `is_known` says so.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from app.core.portfolio import Asset, AssetClass
from app.core.session_table import CLOSED, EARLY, FIRST, LAST

US_VENUES: Final = frozenset(
    {
        *("", "US", "NYSE", "XNYS", "NASDAQ", "XNAS", "ARCA", "ARCX", "AMEX", "XASE", "BATS", "CBOE", "BZX"),
        *("IEX", "IEXG", "MEMX", "OTC"),
    }
)
"""Names of venues that keep the hours of the New York Stock Exchange; none named is one of them."""

OPENS: Final = timedelta(hours=9, minutes=30)
CLOSES: Final = timedelta(hours=16)
CLOSES_EARLY: Final = timedelta(hours=13)
DAY: Final = timedelta(days=1)
SATURDAY: Final = 5
SUNDAY: Final = 6


def keeps_hours(asset: Asset) -> bool:
    """Say whether an asset trades in the sessions of US exchanges; what does not may be traded at any time."""
    around_the_clock = asset.asset_class in (AssetClass.CRYPTO, AssetClass.CASH)
    return not around_the_clock and asset.currency == "USD" and asset.venue.upper() in US_VENUES


def is_known(instant: datetime) -> bool:
    """Say whether the table holds the holidays of the day of an instant, UTC."""
    return FIRST <= _day(instant) <= LAST


def is_open(asset: Asset, instant: datetime) -> bool:
    """Say whether an asset may be traded at an instant: opens <= instant < closes."""
    return next_open(asset, instant) == instant


def next_open(asset: Asset, instant: datetime) -> datetime:
    """Return the first instant from this one on at which an asset may be traded: itself while it may; UTC."""
    return max(instant, _session_at(instant)[0]).astimezone(UTC) if keeps_hours(asset) else instant


def closes_at(asset: Asset, instant: datetime) -> datetime | None:
    """Return when the session ends that is open at an instant, or that is the next to open; UTC, None for never."""
    return _session_at(instant)[1] if keeps_hours(asset) else None


def _session_at(instant: datetime) -> tuple[datetime, datetime]:
    """Return when the first session opens and closes that is not over at an instant."""
    day = _day(instant)
    while True:
        if day.weekday() < SATURDAY and day not in CLOSED:
            # A session lies within one day of UTC, which has the date of New York then.
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + _behind(day)
            closes = midnight + (CLOSES_EARLY if day in EARLY else CLOSES)
            if instant < closes:
                return midnight + OPENS, closes
        day += DAY


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _behind(day: date) -> timedelta:
    """Return how far New York is behind UTC in the daytime: 4 hours in summer, else 5.

    Summer begins on the second Sunday of March and ends on the first of November (Energy Policy Act of 2005).
    """
    summer = _sunday(day.year, 3, 2) <= day < _sunday(day.year, 11, 1)
    return timedelta(hours=4 if summer else 5)


def _sunday(year: int, month: int, which: int) -> date:
    """Return the first, second, ... Sunday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(SUNDAY - first.weekday()) + 7 * (which - 1))
