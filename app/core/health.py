"""Health: how well a portfolio kept to its bands over a range of time, from the figures of its days.

A measurement is decided when it says WITHIN, WARNING or BREACHED (or that there is nothing to weigh); DATA_STALE says
nothing, and a missed bucket even less. A breach is a run of decided measurements that are BREACHED: it starts at the
first of them and ends at the next decided one that is not. What is undecided in between neither starts nor ends it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from app.core.money import HUNDRED, PERCENT_PLACES, quotient


class Resolution(Enum):
    """How long the stretches are that a history tells of."""

    RAW = "RAW"
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"


@dataclass(frozen=True, slots=True)
class Day:
    """What was measured of a portfolio in one UTC day, or the part of it that was asked for.

    Counts are of buckets: `in_band` are WITHIN or WARNING, `breached` BREACHED, `stale` DATA_STALE; `missed` were not
    measured. `turns` are the buckets whose decision differs from the one before in the day, the first decided one
    among them, and `begins_breached` is what that one says. `highest` is the largest absolute drift, in points.
    """

    start: datetime
    measurements: int = 0
    missed: int = 0
    in_band: int = 0
    breached: int = 0
    stale: int = 0
    highest: Decimal | None = None
    highest_at: datetime | None = None
    last_at: datetime | None = None
    begins_breached: bool | None = None
    turns: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Breach:
    """A run of breached measurements. `ended_at` is None while it lasts; `duration` is then that of what is known."""

    started_at: datetime
    ended_at: datetime | None
    duration: timedelta


@dataclass(frozen=True, slots=True)
class WorstBucket:
    """The bucket with the largest absolute drift, in points."""

    bucket: datetime
    max_abs_drift: Decimal


@dataclass(frozen=True, slots=True)
class Health:
    """How a portfolio kept to its bands. What there is nothing to say of is None.

    `in_band` is the share of decided measurements without a breach, in percent. The times to recover are those of
    breaches that ended; the mean is rounded half-even to seconds. `open_since` is when a breach began that lasts.
    """

    measured: int
    missed: int
    stale: int
    in_band: Decimal | None
    breaches: int
    longest: Breach | None
    mean_recovery: timedelta | None
    longest_recovery: timedelta | None
    worst: WorstBucket | None
    open_since: datetime | None


@dataclass(frozen=True, slots=True)
class BusiestBucket:
    """The bucket with the largest share of its portfolios BREACHED, among the `decided`: measured, and not stale."""

    bucket: datetime
    decided: int
    breached: int


@dataclass(frozen=True, slots=True)
class Overview:
    """How all portfolios kept to their bands. What there is nothing to say of is None.

    `scanned` and `missed` count buckets, `measurements` portfolios in buckets, `stale` those of them that say
    DATA_STALE and `breached` those that say BREACHED. `alerts` are those of drift that were raised in the range,
    `recovered` those of them that are resolved, after `recovery_total` and at most `longest_recovery`. `oldest_open`
    is when the oldest drift alert was raised that is still not resolved, in the range or before it.
    """

    scanned: int
    missed: int
    measurements: int
    stale: int
    breached: int
    worst: BusiestBucket | None
    alerts: int
    recovered: int
    recovery_total: timedelta
    longest_recovery: timedelta | None
    oldest_open: datetime | None

    @property
    def in_band(self) -> Decimal | None:
        """100 x (measurements - stale - breached) / (measurements - stale), percent, half-even to 6 decimals."""
        decided = self.measurements - self.stale
        return share(decided - self.breached, decided)

    @property
    def mean_recovery(self) -> timedelta | None:
        return mean(self.recovery_total, self.recovered)


def assess(days: Sequence[Day]) -> Health:
    """Return the health over days, which are given oldest first.

    in_band = 100 x sum in_band / sum (in_band + breached), percent, rounded half-even to 6 decimals. Of breaches, or
    of buckets, that are equally long or high the first counts. A breach from before the first day starts there.
    """
    within = sum(day.in_band for day in days)
    breached = sum(day.breached for day in days)
    breaches = breaches_of(days)
    recoveries = [breach.duration for breach in breaches if breach.ended_at]
    worst = [WorstBucket(d.highest_at, d.highest) for d in days if d.highest_at and d.highest is not None]
    return Health(
        measured=sum(day.measurements for day in days),
        missed=sum(day.missed for day in days),
        stale=sum(day.stale for day in days),
        in_band=share(within, within + breached),
        breaches=len(breaches),
        longest=max(breaches, key=lambda breach: breach.duration, default=None),
        mean_recovery=mean(sum(recoveries, timedelta()), len(recoveries)),
        longest_recovery=max(recoveries, default=None),
        worst=max(worst, key=lambda bucket: bucket.max_abs_drift, default=None),
        open_since=breaches[-1].started_at if breaches and breaches[-1].ended_at is None else None,
    )


def breaches_of(days: Iterable[Day]) -> list[Breach]:
    """Return the breaches of days, oldest first; only the last may be open."""
    found: list[Breach] = []
    since: datetime | None = None
    last_at: datetime | None = None
    for day in days:
        last_at = day.last_at or last_at
        breached = bool(day.begins_breached)
        for at in day.turns:
            if breached:
                since = since or at
            elif since:
                found.append(Breach(since, at, at - since))
                since = None
            breached = not breached
    if since:
        assert last_at
        found.append(Breach(since, None, last_at - since))
    return found


def share(part: int, whole: int) -> Decimal | None:
    """Return 100 x part / whole in percent, rounded half-even to 6 decimals; None of nothing."""
    return quotient(part * HUNDRED, Decimal(whole), PERCENT_PLACES) if whole else None


def mean(total: timedelta, count: int) -> timedelta | None:
    """Return total / count, rounded half-even to seconds; None of none."""
    if not count:
        return None
    microseconds = Decimal(total // timedelta(microseconds=1))
    return timedelta(seconds=int(quotient(microseconds, Decimal(count * 1_000_000), 0)))
