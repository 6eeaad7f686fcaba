"""The inputs of bulks, and how each becomes the draft that actions begin."""

from dataclasses import replace
from typing import Final

import strawberry
from strawberry import ID

from app.api.inputs import _at, _each
from app.api.scalars import Percent
from app.core.bulks import BulkDraft, BulkFilter, BulkKind
from app.core.drafts import asset_name, model_name
from app.core.errors import InvalidInput
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest

OWNERS_MAX: Final = 100
COUNT_MAX: Final = 100_000
KEY: Final = (
    "Any text that is unique to this request; a repeat returns the first bulk and does nothing twice. A dry run does "
    "not use it up."
)

field = strawberry.field


@strawberry.input(description="An owner, as tokens name one: by issuer and subject together.")
class OwnerInput:
    subject: str = field(description="Subject of the owner's tokens.")
    issuer: str | None = field(default=None, description="Who issues them; the issuer of the caller's own when null.")


@strawberry.input(
    description="Which portfolios to propose plans for: active ones that meet everything that is given; with nothing "
    "given, all of the caller's."
)
class BulkProposeFilterInput:
    owners: list[OwnerInput] | None = field(
        default=None,
        description="Whose portfolios, 1 to 100 owners; the caller's when null. Needs the role operator.",
    )
    everybody: bool = field(
        default=False, description="True for the portfolios of all owners. Needs the role operator."
    )
    portfolio_ids: list[ID] | None = field(default=None, description="Only these portfolios, at most 500.")
    model: str | None = field(default=None, description="Only those that follow the model of this name.")
    breached: bool = field(
        default=False,
        description="True for only those that are outside a band, as a scan or a price last found them: a sleeve, a "
        "holding without a target, or the portfolio as a whole.",
    )

    def to_core(self, issuer: str) -> BulkFilter:
        """Return the filter; `issuer` is that of the caller."""
        portfolios = self.portfolio_ids
        return BulkFilter(
            owners=self._owners(issuer),
            portfolio_ids=None if portfolios is None else _each(portfolios, str, "portfolioIds"),
            model=None if self.model is None else _at("model", lambda: model_name(self.model)),
            breached=self.breached,
        )

    def _owners(self, issuer: str) -> tuple[tuple[str, str], ...] | None:
        if self.owners is None:
            return () if self.everybody else None
        if self.everybody:
            raise InvalidInput("everybody means all owners; leave out owners, or everybody", ["everybody"])
        if not self.owners:
            raise InvalidInput("owners is empty; name one, or leave it out for your own portfolios", ["owners"])
        return _each(self.owners, lambda one: (one.issuer or issuer, one.subject), "owners", most=OWNERS_MAX)


@strawberry.input(
    description="Which plans to approve: those that are READY, of active portfolios, and meet everything that is "
    "given; with nothing given, all of the caller's."
)
class BulkApproveFilterInput(BulkProposeFilterInput):
    proposed_in: ID | None = field(default=None, description="Only plans that this bulk of the caller's proposed.")
    turnover_at_most: Percent | None = field(
        default=None, description="Only plans whose turnover is at most this percent of the base."
    )
    cost_at_most: Percent | None = field(
        default=None,
        description="Only plans whose fees, spread and impact are together at most this percent of the value before.",
    )
    tax_at_most: Percent | None = field(
        default=None, description="Only plans whose estimated tax is at most this percent of the value before."
    )

    def to_core(self, issuer: str) -> BulkFilter:
        return replace(
            super().to_core(issuer),
            proposed_in=self.proposed_in,
            turnover_at_most=self.turnover_at_most,
            cost_at_most=self.cost_at_most,
            tax_at_most=self.tax_at_most,
        )


@strawberry.input(description="What to propose, and for which portfolios.")
class BulkProposeInput:
    filter: BulkProposeFilterInput = field(description="Which portfolios.")
    scope: PlanScope = field(
        default=PlanScope.BREACHED_ONLY,
        description="What each plan covers. RAISE_CASH is refused: what to take out is a matter of each portfolio.",
    )
    exclude: list[str] = field(default_factory=list, description="Symbols that must not be traded; at most 500.")
    no_buy: list[str] = field(
        default_factory=list, description="Symbols that must not be bought, besides each policy's; at most 500."
    )
    no_sell: list[str] = field(
        default_factory=list, description="Symbols that must not be sold, besides each policy's; at most 500."
    )
    expected_portfolios: int | None = field(
        default=None,
        description="How many portfolios there are to be; when there are more or fewer by now, nothing is begun. Not "
        "compared when null.",
    )
    dry_run: bool = field(default=False, description="True to count the portfolios only, and begin nothing.")
    idempotency_key: str = field(description=KEY)

    def to_core(self, issuer: str) -> BulkDraft:
        """Return the draft; `issuer` is that of the caller."""
        if self.scope is PlanScope.RAISE_CASH:
            message = "RAISE_CASH takes out an amount of each portfolio's own; propose such plans one by one"
            raise InvalidInput(message, ["scope"])
        request = PlanRequest(
            self.scope,
            exclude=_each(self.exclude, asset_name, "exclude"),
            no_buy=_each(self.no_buy, asset_name, "noBuy"),
            no_sell=_each(self.no_sell, asset_name, "noSell"),
        )
        which = _at("filter", lambda: self.filter.to_core(issuer))
        expected = _count(self.expected_portfolios, "expectedPortfolios")
        return BulkDraft(BulkKind.PROPOSE, which, request, pooled=False, expected=expected)


@strawberry.input(description="Which plans to approve, and how.")
class BulkApproveInput:
    filter: BulkApproveFilterInput = field(description="Which plans.")
    aggregate: bool = field(
        default=True,
        description="True to put the orders in one asset of one owner's portfolios together, and share out what is "
        "filled pro rata; false to send each by itself.",
    )
    expected_plans: int | None = field(
        default=None,
        description="How many plans there are to be; when there are more or fewer by now, none is approved. Not "
        "compared when null.",
    )
    dry_run: bool = field(default=False, description="True to count and sum up the plans only, and approve none.")
    idempotency_key: str = field(description=KEY)

    def to_core(self, issuer: str) -> BulkDraft:
        """Return the draft; `issuer` is that of the caller."""
        which = _at("filter", lambda: self.filter.to_core(issuer))
        expected = _count(self.expected_plans, "expectedPlans")
        return BulkDraft(BulkKind.APPROVE, which, pooled=self.aggregate, expected=expected)


@strawberry.input(description="Which bulk to cancel.")
class BulkCancelInput:
    bulk_id: ID = field(description="Global id of the bulk.")


def _count(expected: int | None, what: str) -> int | None:
    if expected is not None and not 0 <= expected <= COUNT_MAX:
        raise InvalidInput(f"{what} is {expected}; it must be from 0 to {COUNT_MAX}", [what])
    return expected
