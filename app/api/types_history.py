"""The schema's types of the past: drift history, and health over a range of time."""

from datetime import datetime, timedelta

import strawberry

from app.actions.drift import Stretch
from app.actions.pages import Page
from app.api.paging import page_info
from app.api.scalars import Duration, Percent
from app.api.types import Money, PageInfo, money, percent_or_none
from app.api.types_drift import Drift
from app.core import health
from app.core.drift import DriftStatus

field = strawberry.field


@strawberry.type(description="What the health scans measured of a portfolio in one stretch of time.")
class DriftLog:
    bucket: datetime = field(description="Start of the scan's bucket, hour, day or week (Monday), UTC.")
    measurements: int = field(description="How many times it was measured.")
    missed: int = field(description="Buckets in which it should have been measured and was not.")
    breached: int = field(description="Measurements with the status BREACHED.")
    status: DriftStatus | None = field(description="Status of the last measurement; null when all were missed.")
    worst: DriftStatus | None = field(description="Worst status of all measurements; null when all were missed.")
    value: Money | None = field(description="Value at the last measurement; null when it had none.")
    max_abs_drift: Percent | None = field(
        description="Largest absolute drift of any sleeve at the last measurement, in points."
    )
    lowest: Percent | None = field(description="Least `maxAbsDrift` of all measurements.")
    highest: Percent | None = field(description="Greatest `maxAbsDrift` of all measurements.")
    drift: Drift | None = field(
        description="The last measurement in full, at the instant and the pinned prices of its scan; null when all "
        "were missed, and where only the figures of days are still kept."
    )

    @classmethod
    def of(cls, stretch: Stretch) -> "DriftLog":
        period = stretch.period
        return cls(
            bucket=period.bucket,
            measurements=period.measurements,
            missed=period.missed,
            breached=period.breached,
            status=period.status,
            worst=period.worst,
            value=None if period.value is None else money(period.value, period.base_currency),
            max_abs_drift=percent_or_none(period.max_abs_drift),
            lowest=percent_or_none(period.lowest),
            highest=percent_or_none(period.highest),
            drift=Drift.of(stretch.report) if stretch.report else None,
        )


@strawberry.type(description="Page of a drift history, newest first.")
class DriftLogConnection:
    nodes: list[DriftLog] = field(description="The stretches of time.")
    page_info: PageInfo = field(description="Where this page stands.")

    @classmethod
    def of(cls, page: Page[Stretch]) -> "DriftLogConnection":
        return cls(nodes=[DriftLog.of(one) for one in page.items], page_info=page_info(page))


@strawberry.type(description="A time during which measurements of a portfolio were BREACHED, one after the other.")
class Breach:
    started_at: datetime = field(description="Bucket of the first measurement outside the band.")
    ended_at: datetime | None = field(description="Bucket of the first one back within; null while it lasts.")
    duration: Duration = field(description="From its start to its end, or to the last measurement while it lasts.")


@strawberry.type(description="The measurement with the largest drift.")
class WorstBucket:
    bucket: datetime = field(description="Its bucket.")
    max_abs_drift: Percent = field(description="Largest absolute drift of any sleeve, in points.")


@strawberry.type(
    description="How a portfolio kept to its bands over a range of time. A breach from before the range starts with "
    "it; stale prices and missed buckets neither start nor end one."
)
class PortfolioHealth:
    measured: int = field(description="Buckets in which it was measured.")
    missed: int = field(description="Buckets in which it should have been measured and was not.")
    stale: int = field(description="Measurements that decided nothing, because of stale prices.")
    in_band: Percent | None = field(
        description="Share of decided measurements at which every sleeve was within its band; null without any."
    )
    breaches: int = field(description="How many times it went out of its bands.")
    longest_breach: Breach | None = field(description="The longest breach; null without any.")
    mean_recovery: Duration | None = field(description="Mean duration of the breaches that ended; null without any.")
    longest_recovery: Duration | None = field(description="Longest of them; null without any.")
    worst: WorstBucket | None = field(description="The measurement with the largest drift; null without any.")
    open_since: datetime | None = field(description="Start of a breach that lasts; null without one.")

    @classmethod
    def of(cls, found: health.Health) -> "PortfolioHealth":
        longest, worst = found.longest, found.worst
        return cls(
            measured=found.measured,
            missed=found.missed,
            stale=found.stale,
            in_band=percent_or_none(found.in_band),
            breaches=found.breaches,
            longest_breach=Breach(
                started_at=longest.started_at, ended_at=longest.ended_at, duration=_seconds(longest.duration)
            )
            if longest
            else None,
            mean_recovery=_seconds_or_none(found.mean_recovery),
            longest_recovery=_seconds_or_none(found.longest_recovery),
            worst=WorstBucket(bucket=worst.bucket, max_abs_drift=Percent(worst.max_abs_drift)) if worst else None,
            open_since=found.open_since,
        )


@strawberry.type(description="The scan with the largest share of portfolios outside their bands.")
class BusiestBucket:
    bucket: datetime = field(description="Its bucket.")
    measured: int = field(description="Portfolios measured whose prices were fresh.")
    breached: int = field(description="Those of them with a sleeve outside its band.")
    share: Percent = field(description="Share of them that are outside.")


@strawberry.type(description="How all portfolios of all owners kept to their bands over a range of time.")
class HealthOverview:
    scanned: int = field(description="Buckets that were scanned.")
    missed: int = field(description="Buckets that were missed.")
    measurements: int = field(description="Portfolios measured, over all buckets.")
    stale: int = field(description="Measurements that decided nothing, because of stale prices.")
    in_band: Percent | None = field(
        description="Share of the other measurements without a sleeve outside its band; null without any."
    )
    worst: BusiestBucket | None = field(description="The bucket with the largest share outside; null without any.")
    alerts: int = field(description="Alerts of drift that were raised.")
    mean_recovery: Duration | None = field(
        description="Mean time from the raising of those alerts to their end; null while none ended."
    )
    longest_recovery: Duration | None = field(description="Longest of these times; null while none ended.")
    oldest_open: datetime | None = field(
        description="When the oldest alert of drift was raised that is not resolved, whether in the range or before."
    )

    @classmethod
    def of(cls, found: health.Overview) -> "HealthOverview":
        return cls(
            scanned=found.scanned,
            missed=found.missed,
            measurements=found.measurements,
            stale=found.stale,
            in_band=percent_or_none(found.in_band),
            worst=_busiest(found.worst) if found.worst else None,
            alerts=found.alerts,
            mean_recovery=_seconds_or_none(found.mean_recovery),
            longest_recovery=_seconds_or_none(found.longest_recovery),
            oldest_open=found.oldest_open,
        )


def _busiest(worst: health.BusiestBucket) -> BusiestBucket:
    share = health.share(worst.breached, worst.decided)
    assert share is not None
    return BusiestBucket(bucket=worst.bucket, measured=worst.decided, breached=worst.breached, share=Percent(share))


def _seconds(duration: timedelta) -> Duration:
    return Duration(duration // timedelta(seconds=1))


def _seconds_or_none(duration: timedelta | None) -> Duration | None:
    return None if duration is None else _seconds(duration)
