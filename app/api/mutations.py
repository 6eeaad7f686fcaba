"""What can be changed. Every mutation returns what it changed, or the one error it ended with."""

from typing import Annotated

import strawberry

from app.actions import alerts, market, plans, portfolios, scans, targets
from app.actions import drift as drift_actions
from app.api.errors import UserError, payload
from app.api.inputs import (
    AlertAcknowledgeInput,
    AlertSnoozeInput,
    HoldingsImportInput,
    PricesRecordInput,
    RebalanceProposeInput,
    TargetsSetInput,
    balances_of,
    plan_request,
    price_drafts,
    target_drafts,
)
from app.api.inputs_market import AssetUpsertInput, asset_of
from app.api.inputs_portfolio import PortfolioCreateInput, PortfolioUpdateInput
from app.api.mutations_block import BlockMutation
from app.api.mutations_broker import BrokerMutation
from app.api.mutations_bulk import BulkMutation
from app.api.mutations_fills import FillsMutation
from app.api.mutations_halt import HaltMutation
from app.api.mutations_hook import HookMutation
from app.api.mutations_past import PastMutation
from app.api.mutations_plan import PlanMutation
from app.api.types import Account, Asset
from app.api.types_alert import DriftAlert, alert_of
from app.api.types_drift import Drift
from app.api.types_plan import RebalancePlan, plan_of
from app.api.types_portfolio import CallerInfo, Portfolio, Targets
from app.api.types_scan import HealthScan, scan_of

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of creating a portfolio.")
class PortfolioCreatePayload:
    portfolio: Portfolio | None = field(description="The new portfolio; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of changing a portfolio.")
class PortfolioUpdatePayload:
    portfolio: Portfolio | None = field(description="The changed portfolio; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of importing holdings.")
class HoldingsImportPayload:
    account: Account | None = field(description="The account; null when there are errors.")
    portfolio: Portfolio | None = field(description="Its portfolio with the new holdings; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of setting targets.")
class TargetsSetPayload:
    targets: Targets | None = field(description="The new version; without id and version after a dry run.")
    drift: Drift | None = field(description="Drift from the new targets; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of proposing a rebalance.")
class RebalanceProposePayload:
    plan: RebalancePlan | None = field(description="The plan; null when there are errors. A dry run's id is nobody's.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of acknowledging an alert.")
class AlertAcknowledgePayload:
    alert: DriftAlert | None = field(description="The alert; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of snoozing an alert.")
class AlertSnoozePayload:
    alert: DriftAlert | None = field(description="The alert; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of adding or changing an asset.")
class AssetUpsertPayload:
    asset: Asset | None = field(description="The asset; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of recording prices.")
class PricesRecordPayload:
    recorded: int | None = field(description="How many prices were recorded; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of starting a scan.")
class ScanStartPayload:
    scan: HealthScan | None = field(description="The scan of the current bucket, new or already there.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="What can be changed. Every mutation is scoped to the caller's own objects.")
class Mutation(
    BlockMutation,
    BrokerMutation,
    BulkMutation,
    FillsMutation,
    HaltMutation,
    HookMutation,
    PastMutation,
    PlanMutation,
):
    @field(description="Create a portfolio, with accounts, holdings and targets: all of it or nothing.")
    async def portfolio_create(
        self,
        info: CallerInfo,
        input: Annotated[PortfolioCreateInput, strawberry.argument(description="What to create.")],
    ) -> PortfolioCreatePayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            made = await portfolios.create(context, input.to_core(), input.idempotency_key)
            return {"portfolio": Portfolio.of(made)}

        return await payload(PortfolioCreatePayload, work())

    @field(description="Change the name, model, status or policy of a portfolio.")
    async def portfolio_update(
        self,
        info: CallerInfo,
        input: Annotated[PortfolioUpdateInput, strawberry.argument(description="What to change.")],
    ) -> PortfolioUpdatePayload:
        async def work() -> dict[str, object]:
            changed = await portfolios.update(
                await info.context.context(),
                input.portfolio_id,
                name=input.checked_name(),
                status=input.status,
                change=input.policy.apply_at("policy") if input.policy else None,
                model=input.checked_model(),
                expected=input.expected_version,
            )
            return {"portfolio": Portfolio.of(changed)}

        return await payload(PortfolioUpdatePayload, work())

    @field(description="Replace the holdings of one account, e.g. from a broker's statement.")
    async def holdings_import(
        self,
        info: CallerInfo,
        input: Annotated[HoldingsImportInput, strawberry.argument(description="What to import.")],
    ) -> HoldingsImportPayload:
        async def work() -> dict[str, object]:
            account, loaded = await portfolios.import_holdings(
                await info.context.context(),
                input.account_id,
                input.lot_drafts(),
                cash=input.checked_cash(),
                balances=balances_of(input.balances),
                key=input.idempotency_key,
            )
            return {"account": Account.of(account), "portfolio": Portfolio.of(loaded)}

        return await payload(HoldingsImportPayload, work())

    @field(description="Replace the targets of a portfolio by a new version. Entries must sum to exactly 100 %.")
    async def targets_set(
        self, info: CallerInfo, input: Annotated[TargetsSetInput, strawberry.argument(description="The new targets.")]
    ) -> TargetsSetPayload:
        async def work() -> dict[str, object]:
            loaded = await targets.set_targets(
                await info.context.context(),
                input.portfolio_id,
                target_drafts(input.entries, "entries"),
                expected=input.expected_version,
                note=input.checked_note(),
                dry_run=input.dry_run,
            )
            return {"targets": Targets.of(loaded), "drift": Drift.of(drift_actions.measure_loaded(loaded))}

        return await payload(TargetsSetPayload, work())

    @field(
        description="Propose a rebalance. Small portfolios come back READY at once; large ones come back QUEUED and "
        "are followed with the subscription `planUpdated`. An open plan before it is superseded."
    )
    async def rebalance_propose(
        self,
        info: CallerInfo,
        input: Annotated[RebalanceProposeInput, strawberry.argument(description="What to propose.")],
    ) -> RebalanceProposePayload:
        async def work() -> dict[str, object]:
            plan = await plans.propose(
                await info.context.context(),
                input.portfolio_id,
                plan_request(input),
                dry_run=input.dry_run,
                wait_s=input.wait,
                key=input.idempotency_key,
            )
            return {"plan": plan_of(plan)}

        return await payload(RebalanceProposePayload, work())

    @field(description="Mark an alert as seen: it is not told again until it escalates or ends.")
    async def alert_acknowledge(
        self, info: CallerInfo, input: Annotated[AlertAcknowledgeInput, strawberry.argument(description="Which alert.")]
    ) -> AlertAcknowledgePayload:
        async def work() -> dict[str, object]:
            return {"alert": alert_of(await alerts.acknowledge(await info.context.context(), input.alert_id))}

        return await payload(AlertAcknowledgePayload, work())

    @field(description="Be told of an alert again only later, unless it escalates or ends before.")
    async def alert_snooze(
        self,
        info: CallerInfo,
        input: Annotated[AlertSnoozeInput, strawberry.argument(description="What and how long.")],
    ) -> AlertSnoozePayload:
        async def work() -> dict[str, object]:
            context = await info.context.context()
            return {"alert": alert_of(await alerts.snooze(context, input.alert_id, input.checked_until()))}

        return await payload(AlertSnoozePayload, work())

    @field(description="Add or change an asset. Needs the role operator.")
    async def asset_upsert(
        self, info: CallerInfo, input: Annotated[AssetUpsertInput, strawberry.argument(description="The asset.")]
    ) -> AssetUpsertPayload:
        async def work() -> dict[str, object]:
            asset, price = await market.save_asset(await info.context.context(), asset_of(input))
            return {"asset": Asset.of(asset, price)}

        return await payload(AssetUpsertPayload, work())

    @field(description="Record prices, all or none. Needs the role operator.")
    async def prices_record(
        self, info: CallerInfo, input: Annotated[PricesRecordInput, strawberry.argument(description="The prices.")]
    ) -> PricesRecordPayload:
        async def work() -> dict[str, object]:
            return {"recorded": await market.record_prices(await info.context.context(), price_drafts(input))}

        return await payload(PricesRecordPayload, work())

    @field(
        description="Start the health scan of the current bucket now; one that was started before is returned. Needs "
        "the role operator."
    )
    async def scan_start(self, info: CallerInfo) -> ScanStartPayload:
        async def work() -> dict[str, object]:
            return {"scan": scan_of(await scans.start(await info.context.context()))}

        return await payload(ScanStartPayload, work())
