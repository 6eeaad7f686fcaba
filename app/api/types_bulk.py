"""The schema's types of bulks: one thing done for many portfolios."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID, Private

from app.actions import bulks
from app.api.paging import After, First, page_info, page_size
from app.api.scalars import CurrencyCode, Percent
from app.api.types import Money, Node, PageInfo, money, percent_or_none
from app.api.types_portfolio import CallerInfo
from app.core.bulks import Bulk as CoreBulk
from app.core.bulks import BulkFilter as CoreFilter
from app.core.bulks import BulkItem as CoreItem
from app.core.bulks import BulkKind, BulkStatus, BulkTotal, ItemStatus
from app.core.optimize.allocate import PlanScope

field = strawberry.field


@strawberry.type(description="An owner, as tokens name one: by issuer and subject together.")
class Owner:
    issuer: str = field(description="Who issues the owner's tokens.")
    subject: str = field(description="Subject of the owner's tokens.")


@strawberry.type(description="Which portfolios a bulk is about: active ones that meet everything that is given.")
class BulkFilter:
    owners: list[Owner] | None = field(description="Owners of the portfolios; null for the caller, or for everybody.")
    everybody: bool = field(description="True for the portfolios of all owners.")
    portfolio_ids: list[ID] | None = field(description="Only these portfolios; null for any.")
    model: str | None = field(description="Only those that follow the model of this name; null for any.")
    breached: bool = field(description="True for only those that are outside a band, as last watched.")
    proposed_in: ID | None = field(description="Only plans that this bulk proposed; null for any.")
    turnover_at_most: Percent | None = field(
        description="Only plans whose turnover is at most this percent of the base; null for any."
    )
    cost_at_most: Percent | None = field(
        description="Only plans whose fees, spread and impact are together at most this percent of the value before; "
        "null for any."
    )
    tax_at_most: Percent | None = field(
        description="Only plans whose estimated tax is at most this percent of the value before; null for any."
    )

    @classmethod
    def of(cls, given: CoreFilter) -> "BulkFilter":
        owners = [Owner(issuer=issuer, subject=subject) for issuer, subject in given.owners or ()]
        return cls(
            owners=owners or None,
            everybody=given.owners == (),
            portfolio_ids=None if given.portfolio_ids is None else [ID(one) for one in given.portfolio_ids],
            model=given.model,
            breached=given.breached,
            proposed_in=ID(given.proposed_in) if given.proposed_in else None,
            turnover_at_most=percent_or_none(given.turnover_at_most),
            cost_at_most=percent_or_none(given.cost_at_most),
            tax_at_most=percent_or_none(given.tax_at_most),
        )


@strawberry.type(description="How far a bulk has got.")
class BulkProgress:
    total: int = field(description="Portfolios it is about, as they were when it began.")
    done: int = field(description="Those of them that wait no more.")


@strawberry.type(description="How many portfolios of a bulk have come to the same.")
class BulkCount:
    status: ItemStatus = field(description="What became of them.")
    count: int = field(description="How many, 1 or more.")


@strawberry.type(
    description="Sums over the plans of a bulk in one base currency, as they were planned: of those that are READY, or "
    "that it approved. A dry run of `bulkApprove` sums those that would be approved."
)
class BulkTotals:
    currency: CurrencyCode = field(description="Base currency of their portfolios.")
    plans: int = field(description="Number of plans.")
    trades: int = field(description="Number of their trades.")
    bought: Money = field(description="Value of all purchases.")
    sold: Money = field(description="Value of all sales.")
    costs: Money = field(description="Expected fees, half spreads and impact.")
    estimated_tax: Money = field(description="Expected tax; negative is a saving.")

    @classmethod
    def of(cls, total: BulkTotal) -> "BulkTotals":
        return cls(
            currency=CurrencyCode(total.currency),
            plans=total.plans,
            trades=total.trades,
            bought=money(total.bought, total.currency),
            sold=money(total.sold, total.currency),
            costs=money(total.costs, total.currency),
            estimated_tax=money(total.tax, total.currency),
        )


@strawberry.type(description="One portfolio of a bulk, and what became of it.")
class BulkItem:
    place: int = field(description="Place in the bulk, from 1, by when portfolios were created.")
    owner: Owner = field(description="Whose portfolio it is.")
    portfolio_id: ID = field(description="Global id of the portfolio.")
    portfolio_name: str = field(description="Its name now.")
    plan_id: ID | None = field(description="Global id of the plan; null while there is none, or where none was begun.")
    status: ItemStatus = field(description="What became of it.")
    code: str | None = field(
        description='Why, as a code that errors have, e.g. "INVALID_STATE"; null where nothing was wrong.'
    )
    message: str | None = field(description="Why, as a sentence; null where nothing was wrong.")
    ended_at: datetime | None = field(description="When that was decided, by the domain clock; null while it waits.")

    @classmethod
    def of(cls, item: CoreItem) -> "BulkItem":
        issuer, subject = item.owner
        return cls(
            place=item.place,
            owner=Owner(issuer=issuer, subject=subject),
            portfolio_id=ID(item.portfolio_id),
            portfolio_name=item.portfolio_name,
            plan_id=ID(item.plan_id) if item.plan_id else None,
            status=item.status,
            code=item.code or None,
            message=item.message or None,
            ended_at=item.ended_at,
        )


@strawberry.type(description="Page of the portfolios of a bulk, in their places.")
class BulkItemConnection:
    nodes: list[BulkItem] = field(description="The portfolios.")
    page_info: PageInfo = field(description="Where this page stands.")


@strawberry.type(
    description="One thing done for many portfolios, each by itself: plans are proposed, or those that are READY are "
    "approved. Which portfolios is settled when it begins. Only who began it can see it."
)
class Bulk(Node):
    stored: Private[bool]
    kind: BulkKind = field(description="What is done for each portfolio.")
    status: BulkStatus = field(description="How far it has got.")
    filter: BulkFilter = field(description="Which portfolios it is about.")
    scope: PlanScope | None = field(description="What the plans cover that are proposed; null where they are approved.")
    exclude: list[str] = field(description="Symbols that the plans must not trade.")
    no_buy: list[str] = field(description="Symbols that the plans must not buy.")
    no_sell: list[str] = field(description="Symbols that the plans must not sell.")
    aggregate: bool | None = field(
        description="Whether the orders of one owner in one asset are put together; null where plans are proposed."
    )
    actor: str = field(description="Who began it: the subject, or the tool that acted for it.")
    created_at: datetime = field(description="When it began, by the domain clock.")
    ended_at: datetime | None = field(description="When the last portfolio waited no more; null before.")
    progress: BulkProgress = field(description="How far it has got.")
    counts: list[BulkCount] = field(description="Its portfolios by what became of them; only what occurs.")
    totals: list[BulkTotals] = field(description="Sums over its plans, by base currency.")

    @classmethod
    def of(cls, bulk: CoreBulk, *, stored: bool = True) -> "Bulk":
        """Return a bulk as the schema shows it; one that is not stored is a dry run's."""
        draft, request = bulk.draft, bulk.draft.request
        total = sum(bulk.counts.values())
        return cls(
            id=ID(bulk.id),
            stored=stored,
            kind=draft.kind,
            status=bulk.status,
            filter=BulkFilter.of(draft.filter),
            scope=request.scope if request else None,
            exclude=list(request.exclude) if request else [],
            no_buy=list(request.no_buy) if request else [],
            no_sell=list(request.no_sell) if request else [],
            aggregate=draft.pooled if draft.kind is BulkKind.APPROVE else None,
            actor=bulk.actor,
            created_at=bulk.created_at,
            ended_at=bulk.ended_at,
            progress=BulkProgress(total=total, done=total - bulk.counts.get(ItemStatus.WAITING, 0)),
            counts=[BulkCount(status=status, count=count) for status, count in bulk.counts.items() if count],
            totals=[BulkTotals.of(one) for one in bulk.totals],
        )

    @field(
        description="Its portfolios, and what became of each; null for a dry run, which keeps no list. Those of other "
        "owners are shown to callers with the role operator."
    )
    async def items(
        self,
        info: CallerInfo,
        first: First = 20,
        after: After = None,
        statuses: Annotated[
            list[ItemStatus] | None, strawberry.argument(description="Keep only portfolios of which this became.")
        ] = None,
    ) -> BulkItemConnection | None:
        if not self.stored:
            return None
        page = await bulks.items(await info.context.context(), self.id, page_size(first), after, statuses)
        return BulkItemConnection(nodes=[BulkItem.of(item) for item in page.items], page_info=page_info(page))


@strawberry.type(description="Page of bulks, newest first.")
class BulkConnection:
    nodes: list[Bulk] = field(description="The bulks.")
    page_info: PageInfo = field(description="Where this page stands.")
