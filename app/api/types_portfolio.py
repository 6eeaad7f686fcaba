"""The schema's portfolio: its head is attributes; what is derived is worked out from one snapshot when asked for."""

from datetime import datetime
from functools import cached_property
from typing import Annotated, TypeAlias

import strawberry
from strawberry import ID, Info, Private

from app.actions import alerts as alert_actions
from app.actions import audit
from app.actions import drift as drift_actions
from app.actions import health as health_actions
from app.actions import plans as plan_actions
from app.actions import portfolios as portfolio_actions
from app.actions import targets as target_actions
from app.actions.portfolios import Loaded, TargetsMeta
from app.api.graphql import Caller
from app.api.inputs import TargetEntryInput, target_drafts
from app.api.paging import After, First, page_info, page_size
from app.api.scalars import CurrencyCode
from app.api.selection import asks_for
from app.api.types import (
    Account,
    HoldingConnection,
    Money,
    Node,
    PageInfo,
    RebalancePolicy,
    TargetEntry,
    holdings_of,
    money,
)
from app.api.types_alert import DriftAlertConnection, alert_of
from app.api.types_audit import AuditTrail, HistoryLineConnection
from app.api.types_drift import Drift
from app.api.types_history import DriftLogConnection, PortfolioHealth
from app.api.types_plan import RebalancePlanConnection, plan_of
from app.core.alerts import AlertStatus
from app.core.drift import Snapshot, bands_of
from app.core.errors import InvalidInput
from app.core.health import Resolution
from app.core.plan import PlanStatus
from app.core.portfolio import PortfolioStatus, Valuation, value
from app.core.targets import Targets as CoreTargets

field = strawberry.field

CallerInfo: TypeAlias = Info[Caller, None]


@strawberry.type(description="One version of a portfolio's targets. Never changes; a change makes a new version.")
class Targets:
    id: ID | None = field(description="Global id of this version; null for a what-if that was not stored.")
    portfolio_id: ID = field(description="Portfolio the targets belong to.")
    version: int | None = field(description="1 for the first version, then counting up; null for a what-if.")
    entries: list[TargetEntry] = field(description="Targets by sleeve; they always sum to exactly 100 %.")
    effective_at: datetime | None = field(description="When this version came into force; null for a what-if.")
    author: str | None = field(description="Who set it; null for a what-if.")
    note: str | None = field(description="Why it was set; null when nothing was said.")

    @classmethod
    def of(cls, loaded: Loaded) -> "Targets":
        """Return the targets in force, or those of a what-if, which have no version."""
        assert loaded.snapshot.targets is not None
        return cls.version_of(loaded.row.public_id, loaded.snapshot, loaded.snapshot.targets, loaded.row.targets)

    @classmethod
    def version_of(
        cls, portfolio_id: str, snapshot: Snapshot, targets: CoreTargets, meta: TargetsMeta | None
    ) -> "Targets":
        worked = bands_of(snapshot, targets)
        return cls(
            id=ID(meta.id) if meta else None,
            portfolio_id=ID(portfolio_id),
            version=meta.version if meta else None,
            entries=[TargetEntry.of(entry, snapshot, worked[entry.key]) for entry in targets.entries],
            effective_at=meta.effective_at if meta else None,
            author=meta.author if meta else None,
            note=(meta.note or None) if meta else None,
        )


@strawberry.type(description="Page of versions of the targets, newest first.")
class TargetsConnection:
    nodes: list[Targets] = field(description="The versions.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(description="Accounts that are managed together towards one set of targets.")
class Portfolio(Node):
    loaded: Private[Loaded]
    name: str = field(description="Name chosen by the owner.")
    model: str | None = field(description="Name of the model portfolio that it follows; null for none.")
    base_currency: CurrencyCode = field(description="Currency in which values are reported.")
    status: PortfolioStatus = field(description="Whether it is watched.")
    version: int = field(
        description="Grows with its name, model, status, policy and holdings; `expectedVersion` of `portfolioUpdate`."
    )
    created_at: datetime = field(description="When it was created.")
    updated_at: datetime = field(description="When it last changed.")
    halted_at: datetime | None = field(description="Since when its owner lets no order be sent; null while they are.")

    @classmethod
    def of(cls, loaded: Loaded) -> "Portfolio":
        head = loaded.row
        return cls(
            id=ID(head.public_id),
            loaded=loaded,
            name=head.name,
            model=head.model,
            base_currency=CurrencyCode(head.base_currency),
            status=head.status,
            version=head.version,
            created_at=head.created_at,
            updated_at=head.updated_at,
            halted_at=head.halted_at,
        )

    @cached_property
    def valuation(self) -> Valuation:
        snapshot = self.loaded.snapshot
        return value(snapshot.portfolio, snapshot.market, snapshot.policy.max_price_age_s, snapshot.as_of)

    @field(description="Total market value, cash included; null while a price or rate is missing.")
    def value(self) -> Money | None:
        total = self.valuation.value
        return None if total is None else money(total, self.base_currency)

    @field(description="Cash in all accounts in the base currency; null while a rate is missing.")
    def cash(self) -> Money | None:
        cash = self.valuation.cash
        return None if cash is None else money(cash, self.base_currency)

    @field(description="Accounts of the portfolio.")
    def accounts(self) -> list[Account]:
        return [Account.of(account) for account in self.loaded.snapshot.portfolio.accounts]

    @field(description="What is held: one for each asset and account.")
    def holdings(self, first: First = 100, after: After = None) -> HoldingConnection:
        page = portfolio_actions.holdings_page(self.valuation, page_size(first), after)
        nodes = holdings_of(self.loaded.snapshot, self.valuation, page.items)
        return HoldingConnection(nodes=nodes, page_info=page_info(page))

    @field(description="Targets in force; null until they are set for the first time.")
    def targets(self) -> Targets | None:
        return Targets.of(self.loaded) if self.loaded.snapshot.targets else None

    @field(description="How the portfolio is watched and rebalanced.")
    def policy(self) -> RebalancePolicy:
        return RebalancePolicy.of(self.loaded.snapshot.policy)

    @field(
        description="Drift from the targets at the latest prices; with `at`, as the last scan by then measured it, and "
        "null before the first."
    )
    async def drift(
        self,
        info: CallerInfo,
        against: Annotated[
            list[TargetEntryInput] | None,
            strawberry.argument(description="Compare with these targets instead of those in force; nothing is stored."),
        ] = None,
        at: Annotated[
            datetime | None, strawberry.argument(description="Answer from the drift log; not together with against.")
        ] = None,
    ) -> Drift | None:
        if against is None and at is None:
            return Drift.live(self.loaded)
        context = await info.context.context()
        if at is None:
            drafts = target_drafts(against or [], "against")
            return Drift.live(await drift_actions.what_if(context, self.loaded, drafts))
        if against is not None:
            raise InvalidInput("against is a what-if at the latest prices; leave out at, or against", ["at"])
        report = await drift_actions.measured_at(context, self.loaded, at)
        return Drift.of(report) if report else None

    @field(description="All versions of the targets, newest first.")
    async def targets_history(self, info: CallerInfo, first: First = 20, after: After = None) -> TargetsConnection:
        context = await info.context.context()
        page = await target_actions.history(context, self.loaded, page_size(first), after)
        nodes = [Targets.version_of(self.id, snapshot, targets, meta) for snapshot, targets, meta in page.items]
        return TargetsConnection(nodes=nodes, page_info=page_info(page))

    @field(
        description="What the health scans measured, newest first, in stretches of time, with what was missed. Older "
        "than the server keeps every measurement there are days and weeks only."
    )
    async def drift_history(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        since: Annotated[datetime | None, strawberry.argument(description="Keep buckets from this time on.")] = None,
        until: Annotated[datetime | None, strawberry.argument(description="Keep buckets before this time.")] = None,
        resolution: Annotated[Resolution, strawberry.argument(description="Length of a stretch.")] = Resolution.HOUR,
    ) -> DriftLogConnection:
        context = await info.context.context()
        full = asks_for(info, "nodes", "drift")
        page = await drift_actions.history(
            context, self.loaded, page_size(first), after, resolution, since, until, full=full
        )
        return DriftLogConnection.of(page)

    @field(description="How it kept to its bands; the last 30 days unless told otherwise, at most 3660.")
    async def health(
        self,
        info: CallerInfo,
        since: Annotated[datetime | None, strawberry.argument(description="Count buckets from this time on.")] = None,
        until: Annotated[datetime | None, strawberry.argument(description="Count buckets before this time.")] = None,
    ) -> PortfolioHealth:
        context = await info.context.context()
        return PortfolioHealth.of(await health_actions.of_portfolio(context, self.loaded, since, until))

    @field(description="Alerts, newest first, also those about all of the owner's portfolios.")
    async def alerts(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        statuses: Annotated[
            list[AlertStatus] | None, strawberry.argument(description="Keep only alerts in these states.")
        ] = None,
    ) -> DriftAlertConnection:
        context = await info.context.context()
        page = await alert_actions.page(context, page_size(first), after, portfolio_id=self.id, statuses=statuses)
        return DriftAlertConnection(nodes=[alert_of(alert) for alert in page.items], page_info=page_info(page))

    @field(description="Plans, newest first.")
    async def plans(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        statuses: Annotated[
            list[PlanStatus] | None, strawberry.argument(description="Keep only plans in these states.")
        ] = None,
    ) -> RebalancePlanConnection:
        context = await info.context.context()
        page = await plan_actions.page(context, self.id, page_size(first), after, statuses=statuses)
        return RebalancePlanConnection(nodes=[plan_of(plan) for plan in page.items], page_info=page_info(page))

    @field(description="What happened to it, newest first: every change, who made it, before and after.")
    async def history(self, info: CallerInfo, first: First = 20, after: After = None) -> HistoryLineConnection:
        context = await info.context.context()
        return HistoryLineConnection.of(await audit.history(context, self.loaded, page_size(first), after))

    @field(description="Whether its history is whole; all of it is gone through.")
    async def audit_trail(self, info: CallerInfo) -> AuditTrail:
        return AuditTrail.of(await audit.check(await info.context.context(), self.loaded))


@strawberry.type(description="Page of portfolios, oldest first.")
class PortfolioConnection:
    nodes: list[Portfolio] = field(description="The portfolios.")
    page_info: PageInfo = field(description="Where this page stands.")
