"""The kill switch: inputs, payloads and mutations, and what can be read of it."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from app.actions import halts
from app.api.errors import UserError, payload
from app.api.types_portfolio import CallerInfo, Portfolio

field = strawberry.field

ERRORS = "What was wrong; empty on success."


@strawberry.type(description="Whether trading is halted for all portfolios of all owners.")
class TradingHalt:
    halted_at: datetime | None = field(description="Since when no orders are sent; null while they are.")
    halted_by: str | None = field(description="Who halted it; null while it is not.")
    reason: str | None = field(description="Why; null while it is not.")

    @classmethod
    def of(cls, found: halts.TradingHalt) -> "TradingHalt":
        return cls(halted_at=found.halted_at, halted_by=found.halted_by or None, reason=found.reason or None)


@strawberry.input(description="Which portfolio to halt.")
class PortfolioHaltInput:
    portfolio_id: ID = field(description="Global id of the portfolio.")
    reason: str = field(default="", description="Why, for the history; at most 500 characters.")


@strawberry.input(description="Which portfolio to let trade again.")
class PortfolioResumeInput:
    portfolio_id: ID = field(description="Global id of the portfolio.")


@strawberry.input(description="Why trading is halted for all.")
class TradingHaltInput:
    reason: str = field(description="Why, in words that owners may read; at most 500 characters.")


@strawberry.type(description="Result of halting a portfolio.")
class PortfolioHaltPayload:
    portfolio: Portfolio | None = field(description="The portfolio, halted; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of letting a portfolio trade again.")
class PortfolioResumePayload:
    portfolio: Portfolio | None = field(description="The portfolio; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of halting trading for all.")
class TradingHaltPayload:
    halt: TradingHalt | None = field(description="How it is now; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type(description="Result of letting everybody trade again.")
class TradingResumePayload:
    halt: TradingHalt | None = field(description="How it is now; null when there are errors.")
    user_errors: list[UserError] = field(description=ERRORS)


@strawberry.type
class HaltQuery:
    @field(description="Whether operators have halted trading for all.")
    async def trading_halt(self, info: CallerInfo) -> TradingHalt:
        return TradingHalt.of(await halts.trading(await info.context.context()))


@strawberry.type
class HaltMutation:
    @field(
        description="Halt a portfolio: no order of it is sent, those that work are cancelled, and plans that are "
        "executed wait. Halted twice is halted."
    )
    async def portfolio_halt(
        self,
        info: CallerInfo,
        input: Annotated[PortfolioHaltInput, strawberry.argument(description="Which portfolio, and why.")],
    ) -> PortfolioHaltPayload:
        async def work() -> dict[str, object]:
            halted = await halts.halt(await info.context.context(), input.portfolio_id, input.reason)
            return {"portfolio": Portfolio.of(halted)}

        return await payload(PortfolioHaltPayload, work())

    @field(description="End the halt of a portfolio: what was cancelled by it, and what waited, is sent again.")
    async def portfolio_resume(
        self,
        info: CallerInfo,
        input: Annotated[PortfolioResumeInput, strawberry.argument(description="Which portfolio.")],
    ) -> PortfolioResumePayload:
        async def work() -> dict[str, object]:
            return {"portfolio": Portfolio.of(await halts.resume(await info.context.context(), input.portfolio_id))}

        return await payload(PortfolioResumePayload, work())

    @field(
        description="Halt trading for all: nobody's orders are sent, those that work are cancelled. Needs the role "
        "operator."
    )
    async def trading_halt(
        self, info: CallerInfo, input: Annotated[TradingHaltInput, strawberry.argument(description="Why.")]
    ) -> TradingHaltPayload:
        async def work() -> dict[str, object]:
            return {"halt": TradingHalt.of(await halts.halt_all(await info.context.context(), input.reason))}

        return await payload(TradingHaltPayload, work())

    @field(
        description="End the halt for all; portfolios that are halted by themselves stay so. Needs the role operator."
    )
    async def trading_resume(self, info: CallerInfo) -> TradingResumePayload:
        async def work() -> dict[str, object]:
            return {"halt": TradingHalt.of(await halts.resume_all(await info.context.context()))}

        return await payload(TradingResumePayload, work())
