"""Core's errors as the API shows them: user errors in payloads, codes at the top, problems over REST. The one place.

Expected failures of a mutation are `userErrors` of its payload; a caller's right, the document and outages are
top-level `errors` with `extensions.code`; REST answers problem+json with the status of `HTTP_STATUS`.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry import ID
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from app.actions.access import Unavailable
from app.api.scalars import Percent
from app.core import errors as core

field = strawberry.field


@strawberry.enum(description="Stable codes of expected failures. Codes may be added; treat unknown ones as INVALID.")
class ErrorCode(Enum):
    INVALID = strawberry.enum_value("INVALID", description="The value is malformed or out of range.")
    REQUIRED = strawberry.enum_value("REQUIRED", description="A required value is missing.")
    DUPLICATE = strawberry.enum_value("DUPLICATE", description="The same asset, class or key is given more than once.")
    TARGETS_SUM = strawberry.enum_value("TARGETS_SUM", description="Targets do not sum to exactly 100 %.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="It does not exist or is not yours; never told apart.")
    VERSION_CONFLICT = strawberry.enum_value("VERSION_CONFLICT", description="It changed since you read it.")
    INVALID_STATE = strawberry.enum_value("INVALID_STATE", description="Its state does not allow the operation.")
    STALE_DATA = strawberry.enum_value("STALE_DATA", description="Prices are missing or older than the policy allows.")
    IDEMPOTENCY_MISMATCH = strawberry.enum_value(
        "IDEMPOTENCY_MISMATCH", description="The same idempotency key was used with a different input."
    )
    LIMIT_EXCEEDED = strawberry.enum_value("LIMIT_EXCEEDED", description="More than a documented limit allows.")
    SOLVER_MISSING = strawberry.enum_value(
        "SOLVER_MISSING", description="The plan needs a solver that the operator has not installed."
    )
    SOLVER_FAILED = strawberry.enum_value(
        "SOLVER_FAILED", description="What the solver answers contradicts itself; there is no plan for these numbers."
    )


@strawberry.interface(description="Expected, actionable failure of a mutation; nothing was stored.")
class UserError:
    message: str = field(description="Sentence that can be shown to a person.")
    code: ErrorCode = field(description="Stable machine-readable code to branch on.")
    path: list[str] = field(description='Path of the input at fault, e.g. ["input", "entries", "2", "percent"].')


@strawberry.type(description="A value is missing, malformed, duplicated, out of range or over a limit.")
class InvalidInputError(UserError):
    pass


@strawberry.type(description="The targets do not sum to exactly 100 %.")
class TargetsSumError(UserError):
    sum: Percent = field(description="Sum that was given.")
    missing: Percent = field(description="How much must be added (positive) or taken away (negative) to reach 100 %.")


@strawberry.type(description="The object does not exist or is not yours.")
class NotFoundError(UserError):
    missing_id: ID = field(description="The id that was not found.")


@strawberry.type(description="The object changed since you read it; read it again and repeat the change.")
class VersionConflictError(UserError):
    expected_version: int = field(description="Version the caller expected.")
    actual_version: int = field(description="Version that is current.")


@strawberry.type(description="The object's state does not allow the operation.")
class InvalidStateError(UserError):
    state: str = field(description="State the object is in.")


@strawberry.type(description="Prices are missing or older than the policy allows.")
class StaleDataError(UserError):
    symbols: list[str] = field(description="Symbols, or currency pairs, without a fresh price.")
    oldest_price_at: datetime | None = field(description="Time of the oldest price that was needed, if there is any.")


@strawberry.type(description="The idempotency key was used before with another input.")
class IdempotencyError(UserError):
    pass


USER_ERROR_TYPES: Final = (
    InvalidInputError,
    TargetsSumError,
    NotFoundError,
    VersionConflictError,
    InvalidStateError,
    StaleDataError,
    IdempotencyError,
)

HTTP_STATUS: Final = {
    "NOT_FOUND": 404,
    "VERSION_CONFLICT": 409,
    "IDEMPOTENCY_MISMATCH": 409,
    "INVALID_STATE": 409,
    "STALE_DATA": 409,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "BAD_REQUEST": 400,
}


def user_error(error: core.SteelyardError) -> UserError:
    """Return the payload's form of an expected failure."""
    common: dict[str, Any] = {
        "message": error.message,
        "code": ErrorCode[error.code],
        "path": ["input", *error.path],
    }
    match error:
        case core.TargetsSum():
            return TargetsSumError(**common, sum=Percent(error.total), missing=Percent(error.missing))
        case core.NotFound():
            return NotFoundError(**common, missing_id=ID(error.missing_id))
        case core.VersionConflict():
            return VersionConflictError(**common, expected_version=error.expected, actual_version=error.actual)
        case core.InvalidState():
            return InvalidStateError(**common, state=error.state)
        case core.StaleData():
            return StaleDataError(**common, symbols=list(error.symbols), oldest_price_at=error.oldest_price_at)
        case core.IdempotencyMismatch():
            return IdempotencyError(**common)
    return InvalidInputError(**common)


UNKNOWN_OPERATION: Final = CannotGetOperationTypeError | InvalidOperationTypeError
"""The document has no such operation, or not one of a kind that can be answered here: the caller's mistake."""

P = TypeVar("P")


async def payload(make: Callable[..., P], work: Awaitable[dict[str, Any]]) -> P:
    """Return a mutation's payload: what the work returns, or nulls and the one error it ended with."""
    try:
        return make(**await work, user_errors=[])
    except core.AccessError:
        raise
    except core.SteelyardError as error:
        empty = {name: None for name in make.__annotations__ if name != "user_errors"}
        return make(**empty, user_errors=[user_error(error)])


def public(error: GraphQLError) -> GraphQLError:
    """Return the error as the caller may see it: its code in `extensions`, and nothing of our insides."""
    original = error.original_error
    if isinstance(original, core.SteelyardError):
        return _with_code(error, original.message, original.code)
    if isinstance(original, Unavailable):
        return _with_code(error, "the service is not available at present; try again", "UNAVAILABLE")
    if original is not None and is_internal(original):
        return _with_code(error, "internal error; the request id is in the logs", "INTERNAL")
    code = (error.extensions or {}).get("code", "BAD_REQUEST")
    return _with_code(error, error.message, str(code), error.extensions)


def is_internal(error: BaseException) -> bool:
    """Say whether an error is ours, and so belongs into the log with its trace."""
    return not isinstance(error, core.SteelyardError | GraphQLError | Unavailable | UNKNOWN_OPERATION)


def _with_code(error: GraphQLError, message: str, code: str, extensions: dict[str, Any] | None = None) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**(extensions or {}), "code": code},
    )
