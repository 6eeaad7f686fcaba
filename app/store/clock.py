"""The domain clock: as_of, prices, buckets and the life of plans go by it. It is the wall clock unless it was moved."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from app.core.money import ROUNDED
from app.store.db import Tx

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Clock:
    """Domain time runs at `rate` times the wall's from where both were anchored. Moved only in demo and tests."""

    anchored_wall: datetime
    anchored_domain: datetime
    rate: Decimal

    def at(self, wall: datetime) -> datetime:
        """Return the domain's time at an instant of the wall clock, to the microsecond below."""
        passed = (wall - self.anchored_wall) // _MICROSECOND
        return self.anchored_domain + int(ROUNDED.multiply(self.rate, passed)) * _MICROSECOND


async def read_clock(tx: Tx) -> Clock:
    """Return the clock as it is set."""
    row = await tx.row("SELECT anchored_wall, anchored_domain, trim_scale(rate) AS rate FROM domain_clock")
    assert row is not None, "the migration writes the row"
    return Clock(row["anchored_wall"], row["anchored_domain"], row["rate"])


async def set_clock(tx: Tx, clock: Clock) -> None:
    """Move the clock: from now on the domain's time is what `clock` says."""
    await tx.execute(
        "UPDATE domain_clock SET anchored_wall = $1, anchored_domain = $2, rate = $3",
        clock.anchored_wall,
        clock.anchored_domain,
        clock.rate,
    )
