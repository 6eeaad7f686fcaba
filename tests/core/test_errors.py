"""What went wrong in one process is told in another."""

import pickle
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.core import errors
from app.core.errors import SteelyardError

AT = datetime(2026, 1, 5, tzinfo=UTC)
ERRORS = [
    SteelyardError("x", ["a", 1]),
    errors.InvalidInput("x", ["a"]),
    errors.TargetsSum("x", ["a"], Decimal(99), Decimal(1)),
    errors.NotFound("portfolio", "pf_1"),
    errors.VersionConflict("targets", 1, 2),
    errors.InvalidState("x", "EXPIRED"),
    errors.StaleData("x", ["A"], AT),
    errors.SolverMissing("x"),
    errors.SolverFailed("x"),
    errors.Forbidden("x"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_processes_as_it_is(error: SteelyardError) -> None:
    told = pickle.loads(pickle.dumps(error.under("input")))
    assert type(told) is type(error)
    assert str(told) == str(error)
    assert vars(told) == vars(error)
