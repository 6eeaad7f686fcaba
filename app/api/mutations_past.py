"""What can be told of the past."""

from typing import Annotated

import strawberry

from app.actions import transactions
from app.api.errors import UserError, payload
from app.api.inputs_past import TransactionsImportInput
from app.api.types import Account
from app.api.types_portfolio import CallerInfo

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Result of importing transactions.")
class TransactionsImportPayload:
    account: Account | None = field(description="The account; null when there are errors.")
    recorded: int | None = field(description="How many transactions the request has; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class PastMutation:
    @field(
        description="Record purchases and sales of the past, all or none. They are facts, kept for good: they change "
        "neither lots nor cash, which `holdingsImport` says, but tell plans which losses a wash sale touches and what "
        "the year's gains are. Plans of the portfolio that were made without them are superseded."
    )
    async def transactions_import(
        self,
        info: CallerInfo,
        input: Annotated[TransactionsImportInput, strawberry.argument(description="What to record.")],
    ) -> TransactionsImportPayload:
        async def work() -> dict[str, object]:
            drafts = input.drafts()
            account = await transactions.record_for_account(
                await info.context.context(), input.account_id, drafts, input.history_from, input.idempotency_key
            )
            return {"account": Account.of(account), "recorded": len(drafts)}

        return await payload(TransactionsImportPayload, work())
