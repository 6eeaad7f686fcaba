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
    description="Alert about a sleeve, a holding without target, a portfolio as a whole, a plan, or the data of all "
    "the owner's portfolios. It opens once, escalates or resolves, and is told again only as the policy's "
    "`remindAfter` says."
)
class DriftAlert(Node):
    portfolio_id: ID | None = field(
        description="Global id of the portfolio; null for DATA_STALE, which is about all the owner's portfolios."
    )
    kind: AlertKind = field(description="What it is about.")
    key: str | None = field(
        description="Key of the sleeve, or name of the holding without target; null for the portfolio as a whole."
    )
    severity: AlertSeverity = field(description="How urgent it is: the worst it has been.")
    status: AlertStatus = field(description="Where it is in its life.")
    message: str = field(description="Sentence that can be shown to a person.")
    entry: DriftEntry | None = field(description="The sleeve when this was last raised, escalated or reminded.")
    raised_at: datetime = field(description="When it was raised.")
    escalated_at: datetime | None = field(description="When it last became more urgent.")
    acknowledged_at: datetime | None = field(description="When a person acknowledged it.")
    reminded_at: datetime | None = field(description="When it was last told again.")
    snoozed_until: datetime | None = field(description="Until when it is not told again, unless it escalates or ends.")
    resolved_at: datetime | None = field(description="When it stopped being true.")


def alert_of(alert: Alert) -> DriftAlert:
    """Return an alert as the schema shows it."""
    return DriftAlert(
        id=ID(alert.id),
        portfolio_id=ID(alert.portfolio_id) if alert.portfolio_id else None,
        kind=alert.kind,
        key=alert.key,
        severity=alert.severity,
        status=alert.status,
        message=alert.message,
        entry=DriftEntry.of(alert.entry, alert.base_currency) if alert.entry and alert.base_currency else None,
        raised_at=alert.raised_at,
        escalated_at=alert.escalated_at,
        acknowledged_at=alert.acknowledged_at,
        reminded_at=alert.reminded_at,
        snoozed_until=alert.snoozed_until,
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
