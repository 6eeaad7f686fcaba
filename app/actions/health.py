"""Health: how well bands were kept over a range of time, of one portfolio or, for operators, of all."""

from datetime import UTC, datetime, timedelta
from typing import Final

from app.actions.portfolios import Loaded
from app.context import Context
from app.core import health
from app.core.errors import InvalidInput
from app.core.health import Health, Overview
from app.store import days
from app.store import health as rows

USUAL: Final = timedelta(days=30)
LONGEST: Final = timedelta(days=3660)
# The database takes the very first and the very last instant for infinity, and days up to there have no end.
FIRST: Final = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
LAST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


async def of_portfolio(context: Context, loaded: Loaded, since: datetime | None, until: datetime | None) -> Health:
    """Return how a portfolio kept to its bands, in the last 30 days unless told otherwise."""
    since, until = _range(context, since, until)
    async with context.store.owned(context.owner_id, reading=True) as tx:
        return health.assess(await days.load_days(context.owner_id, tx, loaded.row.id, since, until))


async def overview(context: Context, since: datetime | None, until: datetime | None) -> Overview:
    """Return how all portfolios kept to their bands, in the last 30 days unless told otherwise."""
    context.require_operator()
    since, until = _range(context, since, until)
    async with context.store.shared(reading=True) as tx:
        return await rows.scan_overview(tx, since, until)


def _range(context: Context, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Return the range; without an end it ends now, without a begin it is 30 days long."""
    until = until or context.now
    since = since or max(until, FIRST + USUAL) - USUAL
    if since >= until:
        raise InvalidInput(
            f"since is {since:%Y-%m-%dT%H:%M:%SZ}; it must be before {until:%Y-%m-%dT%H:%M:%SZ}", ["since"]
        )
    if until - since > LONGEST:
        raise InvalidInput(
            f"the range is {(until - since).days} days long; at most {LONGEST.days} are allowed", ["since"]
        )
    return max(since, FIRST), min(until, LAST)
