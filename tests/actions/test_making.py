"""A plan's time: one deadline for all that is asked for it, and what is said when it ended too soon."""

import random
from contextlib import suppress
from decimal import Decimal
from time import perf_counter

import pytest

from app.actions import making
from app.core.drift import Snapshot
from app.core.errors import LimitExceeded
from app.core.optimize import milp
from app.core.optimize.allocate import PlanScope
from app.core.optimize.problem import PLAN_LIMITS, Deadline, Lot
from app.core.plan import PlanRequest
from app.core.policy import Policy
from tests.builders import snapshot
from tests.core.optimize.small import entry, problem, sleeve, traded

FULL = PlanRequest(PlanScope.FULL)


def unwatched(_nodes: int, _gap: float) -> bool:
    return False


def household(sleeves: int, accounts: int, lots: int) -> Snapshot:
    """Make accounts whose lots gained and lost, far from equal targets; the same ones every time."""
    dice = random.Random(1)
    symbols = [f"S{number}" for number in range(sleeves)]
    prices = {symbol: dice.randint(10, 300) for symbol in symbols}
    ledgers = {}
    for number in range(accounts):
        held = [
            f"{dice.randint(1, 40)} {symbol} {{{prices[symbol] * dice.randint(40, 140) / 100} USD 2022-03-01}} "
            f"@ {prices[symbol]}"
            for symbol in dice.choices(symbols, k=lots)
        ]
        kind = ("", " TAX_DEFERRED", " TAX_EXEMPT")[number % 3]
        ledgers[f"a{number}{kind}"] = ", ".join([*held, f"{dice.randint(10, 3000)} cash"])
    policy = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(15))
    wanted = dict.fromkeys(symbols, str(Decimal(100) / sleeves))
    return snapshot(ledgers, wanted, policy=policy, prices={symbol: str(price) for symbol, price in prices.items()})


def test_one_deadline_holds_for_several_accounts() -> None:
    """Three seconds are what stating the problem, putting the answer into trades and explaining it may take beside."""
    start = household(sleeves=100, accounts=8, lots=80)
    began = perf_counter()
    with suppress(LimitExceeded):
        making.search(start, FULL, 1.0, watch=unwatched)
    assert perf_counter() - began < 4


def test_the_deadline_holds_for_each_of_several_questions() -> None:
    """A question that is asked when the time is over gets no time of its own: the answer is to do nothing."""
    asked = problem(sleeve(400, entry(0, Lot(600))), sleeve(200, entry(1)))
    held = milp.solve(asked, Deadline(left_s=lambda: -1.0))
    assert (traded(held), held.nodes) == ([[0.0], [0.0]], 0)
    assert traded(milp.solve(asked, Deadline(left_s=lambda: 5.0))) == [[-200.0], [200.0]]


def test_a_question_that_time_ended_is_told() -> None:
    cuts: list[int] = []
    limits = Deadline(PLAN_LIMITS.gap, PLAN_LIMITS.nodes, 1e-9, on_cut=lambda: cuts.append(1))
    milp.solve(problem(sleeve(400, entry(0, Lot(600))), sleeve(200, entry(1))), limits)
    assert cuts == [1]


def test_what_time_cut_short_before_anything_was_found_is_not_nothing_to_do() -> None:
    start = household(sleeves=50, accounts=6, lots=40)
    with pytest.raises(LimitExceeded, match=r"nothing better than doing nothing was found within 0\.01 s"):
        making.search(start, FULL, 0.01, watch=unwatched)
