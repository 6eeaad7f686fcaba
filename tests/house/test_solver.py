"""The API starts and plans without the packages that only make planning faster, or that only some plans need."""

import json
import subprocess
import sys

from tests.support import ROOT

STARTED = """
import sys
import app.main, app.api.schema, app.actions.making, app.terminal.offline
print(sorted({"numba", "llvmlite", "highspy"} & sys.modules.keys()))
"""
PLANNED = """
import sys
if "without" in sys.argv:
    sys.modules.update(numba=None, llvmlite=None, highspy=None)
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest, propose
from tests.builders import snapshot
start = snapshot("60 A {120 USD 2024-05-01} @ 100, 40 B @ 50, 30 C @ 20, 500 cash", {"A": "40", "B": "40", "C": "20"})
plan = propose(start, PlanRequest(PlanScope.FULL))
from app.core.digest import digest
print(plan.proof.engine, len(plan.trades), digest((plan.trades, plan.skipped, plan.proof, plan.summary)))
"""


def said(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_api_starts_without_the_solver_packages() -> None:
    assert json.loads(said(STARTED).replace("'", '"')) == []


def test_a_plan_is_the_same_bit_for_bit_without_numba_and_highs() -> None:
    plain = said(PLANNED)
    engine, trades, _ = plain.rsplit(" ", 2)
    assert (engine, trades) == ("branch and bound", "3")
    assert said(PLANNED, "without") == plain
