"""What can be read. Every field starts from the caller; nothing else is reachable."""

from datetime import datetime, timedelta
from typing import Annotated

import strawberry
from strawberry import ID

from app import __version__
from app.actions import alerts, health, market, plans, portfolios, scans
from app.api.limits import COST_MAX
from app.api.mutations_bulk import BulkQuery
from app.api.mutations_halt import HaltQuery
from app.api.paging import After, First, page_info, page_size
from app.api.queries_block import BlockQuery
from app.api.queries_hook import HookQuery
from app.api.scalars import Duration
from app.api.types import Asset, AssetConnection, BrokerConnection, Node
from app.api.types_alert import DriftAlertConnection, alert_of
from app.api.types_costs import Broker
from app.api.types_history import HealthOverview
from app.api.types_plan import RebalancePlan, plan_of
from app.api.types_portfolio import CallerInfo, Portfolio, PortfolioConnection
from app.api.types_scan import HealthScanConnection, scan_of
from app.core import ids
from app.core.alerts import AlertSeverity, AlertStatus
from app.core.drafts import model_name
from app.core.errors import NotFound

field = strawberry.field


@strawberry.type(description="The authenticated caller.")
class Viewer(Node):
    subject: str = field(description="Subject of the token: whose portfolios these are.")
    issuer: str = field(description="Who issued the token; an owner is issuer and subject together.")
    actor: str = field(description="Who really acts: the subject, or the tool that acts for it.")
    roles: list[str] = field(description='Roles of the token, e.g. "operator".')


@strawberry.type(description="About this server.")
class ServerInfo:
    version: str = field(description="Version of the server.")
    now: datetime = field(description="Time by the server's domain clock; in demo mode it runs fast.")
    demo: bool = field(description="True in demo mode, where some prices are simulated.")
    max_operation_cost: int = field(description="Most cost units that one operation may use.")
    scan_period: Duration = field(description="Length of a bucket of the health scan.")
    next_scan_at: datetime = field(description="When the next bucket starts, by the domain clock.")


@strawberry.type(description="What can be read.")
class Query(BlockQuery, BulkQuery, HaltQuery, HookQuery):
    @field(description="Object by its global id: a portfolio or a plan; null when it does not exist or is not yours.")
    async def node(
        self, info: CallerInfo, id: Annotated[ID, strawberry.argument(description="Global id.")]
    ) -> Node | None:
        if id.startswith(f"{ids.PORTFOLIO}_"):
            return await _portfolio(info, id)
        if id.startswith(f"{ids.PLAN}_"):
            return await _plan(info, id)
        return None

    @field(description="The authenticated caller.")
    async def viewer(self, info: CallerInfo) -> Viewer:
        context = await info.context.context()
        owner = context.owner
        return Viewer(
            id=ID(owner.public_id),
            subject=owner.subject,
            issuer=owner.issuer,
            actor=context.actor,
            roles=sorted(context.roles),
        )

    @field(description="About this server.")
    async def server(self, info: CallerInfo) -> ServerInfo:
        context = await info.context.context()
        settings = context.settings
        following = scans.bucket_of(context.now, settings.scan_period_s) + timedelta(seconds=settings.scan_period_s)
        return ServerInfo(
            version=__version__,
            now=context.now,
            demo=settings.demo,
            max_operation_cost=COST_MAX,
            scan_period=Duration(settings.scan_period_s),
            next_scan_at=following,
        )

    @field(description="One of the caller's portfolios; null when it does not exist or is not yours.")
    async def portfolio(
        self, info: CallerInfo, id: Annotated[ID, strawberry.argument(description="Global id of the portfolio.")]
    ) -> Portfolio | None:
        return await _portfolio(info, id)

    @field(description="The caller's portfolios, oldest first.")
    async def portfolios(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        model: Annotated[
            str | None,
            strawberry.argument(description="Keep only portfolios that follow the model of this name; all when null."),
        ] = None,
    ) -> PortfolioConnection:
        context = await info.context.context()
        wanted = None if model is None else model_name(model)
        page = await portfolios.page(context, page_size(first), after, model=wanted)
        return PortfolioConnection(nodes=[Portfolio.of(one) for one in page.items], page_info=page_info(page))

    @field(description="One plan; null when it does not exist or is not yours.")
    async def rebalance_plan(
        self, info: CallerInfo, id: Annotated[ID, strawberry.argument(description="Global id of the plan.")]
    ) -> RebalancePlan | None:
        return await _plan(info, id)

    @field(description="Alerts of all the caller's portfolios, newest first.")
    async def drift_alerts(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        statuses: Annotated[
            list[AlertStatus] | None,
            strawberry.argument(description="Keep only alerts in these states; all when null."),
        ] = None,
        min_severity: Annotated[
            AlertSeverity, strawberry.argument(description="Keep only alerts at least this urgent.")
        ] = AlertSeverity.INFO,
    ) -> DriftAlertConnection:
        context = await info.context.context()
        page = await alerts.page(context, page_size(first), after, statuses=statuses, least=min_severity)
        return DriftAlertConnection(nodes=[alert_of(alert) for alert in page.items], page_info=page_info(page))

    @field(
        description="Position in the stream of alerts now. Ask for it by itself, then list the alerts, then subscribe "
        "to `driftAlerts` with it as `after`: nothing that the list does not show is missed. Fields of one document "
        "are read side by side."
    )
    async def drift_alerts_cursor(self, info: CallerInfo) -> str:
        return await alerts.begin(await info.context.context())

    @field(description="Assets whose symbol or name starts with the text, by symbol.")
    async def assets(
        self,
        info: CallerInfo,
        search: Annotated[str, strawberry.argument(description="Text to look for; empty for all.")] = "",
        first: First = 20,
        after: After = None,
    ) -> AssetConnection:
        context = await info.context.context()
        page = await market.page(context, search, page_size(first), after)
        return AssetConnection(nodes=[Asset.of(*one) for one in page.items], page_info=page_info(page))

    @field(description="Brokers whose fees are known, in the order in which they were first recorded.")
    async def brokers(self, info: CallerInfo, first: First = 10, after: After = None) -> BrokerConnection:
        page = await market.broker_page(await info.context.context(), page_size(first), after)
        return BrokerConnection(nodes=[Broker.of(broker) for _, broker in page.items], page_info=page_info(page))

    @field(description="Runs of the health monitor, newest first. Needs the role operator.")
    async def health_scans(self, info: CallerInfo, first: First = 20, after: After = None) -> HealthScanConnection:
        context = await info.context.context()
        page = await scans.page(context, page_size(first), after)
        return HealthScanConnection(nodes=[scan_of(run) for run in page.items], page_info=page_info(page))

    @field(
        description="How all portfolios kept to their bands; the last 30 days unless told otherwise, at most 3660. "
        "Needs the role operator."
    )
    async def health_overview(
        self,
        info: CallerInfo,
        since: Annotated[datetime | None, strawberry.argument(description="Count buckets from this time on.")] = None,
        until: Annotated[datetime | None, strawberry.argument(description="Count buckets before this time.")] = None,
    ) -> HealthOverview:
        context = await info.context.context()
        return HealthOverview.of(await health.overview(context, since, until))


async def _portfolio(info: CallerInfo, portfolio_id: str) -> Portfolio | None:
    try:
        return Portfolio.of(await portfolios.find(await info.context.context(), portfolio_id))
    except NotFound:
        return None


async def _plan(info: CallerInfo, plan_id: str) -> RebalancePlan | None:
    try:
        return plan_of(await plans.find(await info.context.context(), plan_id))
    except NotFound:
        return None
