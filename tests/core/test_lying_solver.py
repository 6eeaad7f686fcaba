"""HiGHS is of the world: what contradicts itself there is an error with a sentence, and never hides what is known."""

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest

from app.core.bands import Destination
from app.core.drift import Snapshot
from app.core.errors import SolverFailed
from app.core.optimize import highs
from app.core.optimize.highs import Found, Program, Stop
from app.core.policy import Policy
from tests.builders import propose, snapshot, trades

Solve = Callable[..., Found]


def two_accounts() -> Snapshot:
    """Only HiGHS knows several accounts."""
    return snapshot({"main": "70 A @ 10, 30 B @ 10", "ira TAX_EXEMPT": "40 A, 10 B"}, {"A": "50", "B": "50"})


def lie(monkeypatch: pytest.MonkeyPatch, from_question: int) -> list[int]:
    """Let HiGHS find from a question on that nothing is possible; return the list of questions that it was asked."""
    asked: list[int] = []
    honest: Solve = highs.solve

    def solve(program: Program, stop: Stop, *, warm: bool) -> Found:
        asked.append(len(asked) + 1)
        found = honest(program, stop, warm=warm)
        return replace(found, x=None, bound=inf, infeasible=True) if len(asked) >= from_question else found

    monkeypatch.setattr(highs, "solve", solve)
    return asked


def test_a_false_infeasible_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lie(monkeypatch, 1)
    with pytest.raises(SolverFailed) as told:
        propose(two_accounts())
    assert told.value.message == (
        "the solver says that no plan is possible, not even with as little cash left as it found itself: its answers "
        "contradict each other. Nothing is planned for the 2 targets of a portfolio worth 1,500.00; leave out what is "
        "tiny beside the rest (exclude), or ask again at other prices"
    )


def test_a_false_infeasible_later_leaves_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over is shared alike by a second question; without its answer, the first is as good."""
    ledger = {"main": "50 A @ 10, 46 B @ 10, 20 C @ 10, 100 cash", "ira TAX_EXEMPT": "5 A, 5 B, 40 cash"}
    wanted = snapshot(ledger, {"A": "50", "B": "50"}, policy=Policy(destination=Destination.HALFWAY))
    honest = propose(wanted)
    asked = lie(monkeypatch, 2)
    plan = propose(wanted)
    assert len(asked) > 1
    assert trades(plan)
    assert honest.proof
    assert plan.proof
    assert plan.proof.objective == honest.proof.objective
    assert plan.proof.bound == honest.proof.bound
