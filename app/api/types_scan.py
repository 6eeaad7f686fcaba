"""The schema's types of the health monitor."""

from datetime import datetime

import strawberry
from strawberry import ID

from app.actions.scans import Run, ScanKind, ScanStatus
from app.api.types import Node, PageInfo

field = strawberry.field


@strawberry.type(description="One run of the health monitor over one bucket of time.")
class HealthScan(Node):
    bucket: datetime = field(description="Start of the bucket, by the domain clock.")
    as_of: datetime = field(description="Instant, and pinned prices, that every portfolio was measured at.")
    kind: ScanKind = field(description="Whether it was scanned in its time, or made up for.")
    status: ScanStatus = field(description="How far it has got.")
    started_at: datetime = field(description="When it started, by the wall clock.")
    ended_at: datetime | None = field(description="When it ended; null while it runs.")
    due: int = field(description="Portfolios that were active when it started.")
    chunks: int = field(description="Parts it is cut into.")
    chunks_done: int = field(description="Parts that are done; the figures below are of these.")
    scanned: int = field(description="Portfolios measured so far.")
    stale: int = field(description="Those of them whose prices are missing or too old, so that nothing is decided.")
    breached: int = field(description="Those of them with the status BREACHED.")
    alerts: int = field(description="Alerts that were raised or escalated so far; a late run raises none.")
    failed: int = field(
        description="Portfolios that could not be measured so far: the log says why, or they have changed since `asOf`."
    )


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
        kind=run.kind,
        status=run.status,
        started_at=run.started_at,
        ended_at=run.ended_at,
        due=run.due,
        chunks=run.chunks,
        chunks_done=run.chunks_done,
        scanned=run.scanned,
        stale=run.stale,
        breached=run.breached,
        alerts=run.alerts,
        failed=run.failed,
    )
