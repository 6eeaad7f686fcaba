"""The schema's types of the health monitor."""

from datetime import datetime

import strawberry
from strawberry import ID

from app.actions.scans import Run
from app.api.types import Node, PageInfo

field = strawberry.field


@strawberry.type(description="One run of the health monitor over one bucket of time.")
class HealthScan(Node):
    bucket: datetime = field(description="Start of the bucket, by the domain clock.")
    as_of: datetime = field(description="Instant, and pinned prices, that every portfolio was measured at.")
    started_at: datetime = field(description="When it started, by the wall clock.")
    ended_at: datetime | None = field(description="When it ended; null while it runs.")
    due: int = field(description="Portfolios that were active when it started.")
    scanned: int = field(description="Portfolios measured; 0 until it ends.")
    breached: int = field(description="Portfolios with a sleeve outside its band; 0 until it ends.")
    alerts: int = field(description="Alerts that were raised or escalated; 0 until it ends.")
    failed: int = field(description="Portfolios that could not be measured; the log says why.")


@strawberry.type(description="Page of scans, newest first.")
class HealthScanConnection:
    nodes: list[HealthScan] = field(description="The scans.")
    page_info: PageInfo = field(description="Where this page stands.")


def scan_of(run: Run) -> HealthScan:
    """Return a scan as the schema shows it."""
    return HealthScan(
        id=ID(run.id),
        bucket=run.bucket,
        as_of=run.as_of,
        started_at=run.started_at,
        ended_at=run.ended_at,
        due=run.due,
        scanned=run.scanned,
        breached=run.breached,
        alerts=run.alerts,
        failed=run.failed,
    )
