"""What can be followed live, over graphql-transport-ws or server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

import strawberry
from strawberry import ID

from app.actions import alerts, following, plans, scans
from app.api.mutations_bulk import BulkSubscription
from app.api.scalars import Duration
from app.api.types_alert import DriftAlertEvent, alert_of
from app.api.types_drift import Drift
from app.api.types_plan import RebalancePlan, plan_of
from app.api.types_portfolio import CallerInfo
from app.api.types_scan import HealthScan, scan_of
from app.core.alerts import AlertSeverity


@strawberry.type(description="What can be followed live, over graphql-transport-ws or server-sent events.")
class Subscription(BulkSubscription):
    @strawberry.subscription(
        description="Alerts as they are raised, escalated, told again, acknowledged, snoozed and resolved: each event "
        "once, in the order of commits. With `after`, first everything since that cursor; without, from now on."
    )
    async def drift_alerts(
        self,
        info: CallerInfo,
        portfolio_ids: Annotated[
            list[ID] | None,
            strawberry.argument(
                description="Only of these portfolios, and what is about all of the caller's; everything when null."
            ),
        ] = None,
        min_severity: Annotated[
            AlertSeverity, strawberry.argument(description="Only alerts that are or were at least this urgent.")
        ] = AlertSeverity.INFO,
        after: Annotated[str | None, strawberry.argument(description="Cursor of the last event that was seen.")] = None,
    ) -> AsyncIterator[DriftAlertEvent]:
        context = await info.context.context()
        async for event in alerts.stream(context, info.context.hub, after, portfolio_ids, min_severity):
            info.context.check_token()
            yield DriftAlertEvent(cursor=event.cursor, kind=event.kind, alert=alert_of(event.alert))

    @strawberry.subscription(
        description="A plan: as it is now, then every change of it and its orders until it is over."
    )
    async def plan_updated(
        self, info: CallerInfo, plan_id: Annotated[ID, strawberry.argument(description="Global id of the plan.")]
    ) -> AsyncIterator[RebalancePlan]:
        context = await info.context.context()
        async for plan in plans.stream(context, info.context.hub, plan_id):
            info.context.check_token()
            yield plan_of(plan)

    @strawberry.subscription(
        description="Drift of a portfolio: as it is now, then every change, when its targets, holdings or policy do, "
        "or the price of something it rests on, or when a price has become too old. At most one answer in each `every`."
    )
    async def drift_updated(
        self,
        info: CallerInfo,
        portfolio_id: Annotated[ID, strawberry.argument(description="Global id of the portfolio.")],
        every: Annotated[
            Duration, strawberry.argument(description="Least time between two answers, from PT1S to PT1H.")
        ] = Duration(1),
    ) -> AsyncIterator[Drift]:
        context = await info.context.context()
        async for report in following.drift(context, info.context.hub, portfolio_id, every):
            info.context.check_token()
            yield Drift.of(report)

    @strawberry.subscription(
        description="The newest run of the health monitor: as it is now, then every change of it, or of a newer one, "
        "for ever. Needs the role operator."
    )
    async def scan_updated(self, info: CallerInfo) -> AsyncIterator[HealthScan]:
        context = await info.context.context()
        async for run in scans.stream(context, info.context.hub):
            info.context.check_token()
            yield scan_of(run)
