"""What can be changed of brokers, and of who uses them."""

from typing import Annotated

import strawberry

from app.actions import market, portfolios
from app.api.errors import UserError, payload
from app.api.inputs_market import AccountUpdateInput, BrokerUpsertInput
from app.api.types import Account
from app.api.types_costs import Broker
from app.api.types_portfolio import CallerInfo, Portfolio

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of adding or changing a broker.")
class BrokerUpsertPayload:
    broker: Broker | None = field(description="The broker; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of changing an account.")
class AccountUpdatePayload:
    account: Account | None = field(description="The account; null when there are errors.")
    portfolio: Portfolio | None = field(description="Its portfolio at its new version; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class BrokerMutation:
    @field(description="Add or change a broker and its fees. Needs the role operator.")
    async def broker_upsert(
        self, info: CallerInfo, input: Annotated[BrokerUpsertInput, strawberry.argument(description="The broker.")]
    ) -> BrokerUpsertPayload:
        async def work() -> dict[str, object]:
            return {"broker": Broker.of(await market.save_broker(await info.context.context(), input.to_core()))}

        return await payload(BrokerUpsertPayload, work())

    @field(
        description="Say whose fees are paid in an account, and who works its orders. Plans of the portfolio that "
        "were made before are superseded."
    )
    async def account_update(
        self,
        info: CallerInfo,
        input: Annotated[AccountUpdateInput, strawberry.argument(description="What to change.")],
    ) -> AccountUpdatePayload:
        async def work() -> dict[str, object]:
            account, loaded = await portfolios.update_account(
                await info.context.context(),
                input.account_id,
                broker=input.checked_broker(),
                execution=input.execution,
                expected=input.expected_version,
            )
            return {"account": Account.of(account), "portfolio": Portfolio.of(loaded)}

        return await payload(AccountUpdatePayload, work())
