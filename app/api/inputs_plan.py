"""The inputs of decisions about plans."""

import strawberry
from strawberry import ID

from app.api.inputs import MAX_ARRAY, NOTE_MAX
from app.core import scalars
from app.core.errors import InvalidInput, LimitExceeded

field = strawberry.field


@strawberry.input(description="Which plan to approve, and what of it.")
class PlanApproveInput:
    plan_id: ID = field(description="Global id of the plan.")
    expected_version: int = field(description="Version that was reviewed; a plan that changed since is not approved.")
    idempotency_key: str = field(
        description="Any text that is unique to this request; a repeat is answered as the first time and executes "
        "nothing twice."
    )
    exclude_trade_ids: list[ID] = field(
        default_factory=list, description="Trades to leave out, by their global ids; not all of them."
    )

    def checked_exclude(self) -> list[str]:
        return check_exclude(self.exclude_trade_ids)


@strawberry.input(description="Which plan to reject, and why.")
class PlanRejectInput:
    plan_id: ID = field(description="Global id of the plan.")
    reason: str | None = field(default=None, description="Why it is rejected, up to 1000 characters.")
    expected_version: int | None = field(default=None, description="Version that was reviewed; not compared when null.")

    def checked_reason(self) -> str:
        return check_reason(self.reason)


@strawberry.input(description="Which plan to cancel, and why.")
class PlanCancelInput:
    plan_id: ID = field(description="Global id of the plan.")
    reason: str | None = field(default=None, description="Why it is cancelled, up to 1000 characters.")

    def checked_reason(self) -> str:
        return check_reason(self.reason)


def check_exclude(trade_ids: list[ID]) -> list[str]:
    """Bound how many trades are named."""
    if len(trade_ids) > MAX_ARRAY:
        message = f"there are {len(trade_ids)} items; at most {MAX_ARRAY} are allowed"
        raise LimitExceeded(message, ["excludeTradeIds"])
    return [str(trade_id) for trade_id in trade_ids]


def check_reason(reason: str | None) -> str:
    """Check a reason; none is an empty one."""
    try:
        return scalars.text(reason, "reason", longest=NOTE_MAX) if reason else ""
    except InvalidInput as error:
        raise error.under("reason") from None
