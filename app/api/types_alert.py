"""The schema's types of alerts."""

from datetime import datetime

import strawberry
from strawberry import ID

from app.actions.alerts import Alert
from app.api.types import Node, PageInfo
from app.api.types_drift import DriftEntry
from app.core.alerts import AlertEventKind, AlertKind, AlertSeverity, AlertStatus

field = strawberry.field


@strawberry.type(
    description="Alert about one sleeve, or about the data of the whole portfolio. It opens once, escalates or "
    "resolves, and is not repeated while nothing changes."
)
class DriftAlert(Node):
    portfolio_id: ID = field(description="Global id of the portfolio that drifted.")
    kind: AlertKind = field(description="What it is about.")
    key: str | None = field(description="Key of the sleeve; null for the whole portfolio.")
    severity: AlertSeverity = field(description="How urgent it is.")
    status: AlertStatus = field(description="Where it is in its life.")
    message: str = field(description="Sentence that can be shown to a person.")
    entry: DriftEntry | None = field(description="The sleeve when the alert was raised or last escalated.")
    raised_at: datetime = field(description="When it was raised.")
    escalated_at: datetime | None = field(description="When it last became more urgent.")
    acknowledged_at: datetime | None = field(description="When a person acknowledged it.")
    resolved_at: datetime | None = field(description="When it stopped being true.")


def alert_of(alert: Alert) -> DriftAlert:
    """Return an alert as the schema shows it."""
    return DriftAlert(
        id=ID(alert.id),
        portfolio_id=ID(alert.portfolio_id),
        kind=alert.kind,
        key=alert.key,
        severity=alert.severity,
        status=alert.status,
        message=alert.message,
        entry=DriftEntry.of(alert.entry, alert.base_currency) if alert.entry else None,
        raised_at=alert.raised_at,
        escalated_at=alert.escalated_at,
        acknowledged_at=alert.acknowledged_at,
        resolved_at=alert.resolved_at,
    )


@strawberry.type(description="Page of alerts, newest first.")
class DriftAlertConnection:
    nodes: list[DriftAlert] = field(description="The alerts.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(description="Event in the stream of alerts.")
class DriftAlertEvent:
    cursor: str = field(description="Position in the stream; pass the last one as `after` to go on without loss.")
    kind: AlertEventKind = field(description="What happened.")
    alert: DriftAlert = field(description="The alert as it was then.")
