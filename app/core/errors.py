"""What can go wrong in the world, as one tree. (What can go wrong in our code is an assertion.)

SteelyardError                 code                   HTTP
├── InvalidInput               INVALID                422   malformed or out of range
│   ├── Required               REQUIRED               422   a needed value is absent
│   ├── Duplicate              DUPLICATE              422   the same thing is given twice
│   └── TargetsSum             TARGETS_SUM            422   targets do not sum to exactly 100
├── NotFound                   NOT_FOUND              404   absent, or somebody else's: never told apart
├── VersionConflict            VERSION_CONFLICT       409   changed since it was read
├── IdempotencyMismatch        IDEMPOTENCY_MISMATCH   409   same key, other input
├── InvalidState               INVALID_STATE          409   the object's state does not allow it
├── StaleData                  STALE_DATA             409   a held asset has no price fresh enough
├── LimitExceeded              LIMIT_EXCEEDED         422   more than a named bound allows
├── SolverMissing              SOLVER_MISSING         422   the plan needs a solver that is not installed
├── SolverFailed               SOLVER_FAILED          422   a solver's answers contradict each other
└── AccessError
    ├── Unauthenticated        UNAUTHENTICATED        401   no token, or not a good one
    └── Forbidden              FORBIDDEN              403   the role does not allow the operation

Every message says what was found, with the numbers, and what to do. `path` names the input field by field.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any


class SteelyardError(Exception):
    """An expected failure with a stable code, the path of the input at fault and a sentence for a person."""

    code = "INVALID"

    def __init__(self, message: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = tuple(str(step) for step in path)

    def under(self, *steps: str | int) -> "SteelyardError":
        """Put `steps` before the path, as the error passes outwards through the input."""
        self.path = (*(str(step) for step in steps), *self.path)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross from one process to another as it is, whatever its constructor takes."""
        return _revived, (type(self), self.args, vars(self))


def _revived(kind: type[SteelyardError], args: tuple[Any, ...], state: dict[str, Any]) -> SteelyardError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class InvalidInput(SteelyardError):
    code = "INVALID"


class Required(InvalidInput):
    code = "REQUIRED"


class Duplicate(InvalidInput):
    code = "DUPLICATE"


class TargetsSum(InvalidInput):
    code = "TARGETS_SUM"

    def __init__(self, message: str, path: Sequence[str | int], total: Decimal, missing: Decimal) -> None:
        super().__init__(message, path)
        self.total = total
        self.missing = missing


class NotFound(SteelyardError):
    code = "NOT_FOUND"

    def __init__(self, what: str, missing_id: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(f"{what} {missing_id} does not exist", path)
        self.missing_id = missing_id


class VersionConflict(SteelyardError):
    code = "VERSION_CONFLICT"

    def __init__(self, what: str, expected: int, actual: int, path: Sequence[str | int] = ()) -> None:
        super().__init__(f"{what} is at version {actual}, not {expected}; read it again and repeat the change", path)
        self.expected = expected
        self.actual = actual


class IdempotencyMismatch(SteelyardError):
    code = "IDEMPOTENCY_MISMATCH"


class InvalidState(SteelyardError):
    code = "INVALID_STATE"

    def __init__(self, message: str, state: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(message, path)
        self.state = state


class StaleData(SteelyardError):
    code = "STALE_DATA"

    def __init__(
        self,
        message: str,
        symbols: Sequence[str],
        oldest_price_at: datetime | None,
        path: Sequence[str | int] = (),
    ) -> None:
        super().__init__(message, path)
        self.symbols = tuple(symbols)
        self.oldest_price_at = oldest_price_at


class LimitExceeded(SteelyardError):
    code = "LIMIT_EXCEEDED"


class SolverMissing(SteelyardError):
    code = "SOLVER_MISSING"


class SolverFailed(SteelyardError):
    code = "SOLVER_FAILED"


class AccessError(SteelyardError):
    code = "UNAUTHENTICATED"


class Unauthenticated(AccessError):
    code = "UNAUTHENTICATED"


class Forbidden(AccessError):
    code = "FORBIDDEN"
