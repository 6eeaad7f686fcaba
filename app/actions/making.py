"""Making a plan: core decides, within the time it is given, and the clock is looked at here."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import perf_counter

from app.actions.portfolios import Loaded
from app.context import Services, Watch
from app.core import past
from app.core import plan as core
from app.core.digest import digest
from app.core.drift import Snapshot
from app.core.errors import LimitExceeded, NotFound
from app.core.money import EXACT
from app.core.optimize.problem import PLAN_LIMITS
from app.core.past import Past
from app.core.plan import ENGINE, Plan, PlanRequest, PlanStatus, ProofStatus
from app.core.tax import TaxFacts
from app.core.trades import money
from app.store import past as past_rows
from app.store import reading
from app.store.db import Tx
from app.store.plans import Made


async def load(owner_id: int, tx: Tx, portfolio_id: str, now: datetime) -> tuple[Loaded, Past]:
    """Load all that a plan rests on: the portfolio, and what its taxpayer group has traded of late."""
    loaded = await reading.load_snapshot(owner_id, tx, portfolio_id, now)
    if loaded is None:
        raise NotFound("portfolio", portfolio_id, ["portfolioId"])
    return loaded, await past_rows.load_past(owner_id, tx, loaded.snapshot)


async def make(
    services: Services, loaded: Loaded, told: Past, request: PlanRequest, seconds: float, watch: Watch | None = None
) -> tuple[Made, bool]:
    """Make a plan within `seconds`, and say whether the search came to its own end."""
    searched: Searched = await services.run(
        search_told, loaded.snapshot, told, request, seconds, watch=watch or Watch()
    )
    snapshot = replace(loaded.snapshot, tax=searched.facts)
    lifetime = timedelta(seconds=snapshot.policy.plan_lifetime_s)
    pinned = digest((ENGINE, snapshot, request))
    version = loaded.row.targets_version or None
    made = Made(searched.plan, version, pinned, snapshot.as_of + lifetime, searched.solve_ms)
    return made, searched.ended


@dataclass(frozen=True, slots=True)
class Searched:
    """A plan, the facts of the past that it goes by, milliseconds rounded up, and whether nothing cut it short."""

    plan: Plan
    facts: TaxFacts
    solve_ms: int
    ended: bool


def search_told(
    snapshot: Snapshot, told: Past, request: PlanRequest, seconds: float, *, watch: Callable[[int, float], bool]
) -> Searched:
    """Make a plan of a snapshot and what is told of the past."""
    return search(past.with_facts(snapshot, told), request, seconds, watch=watch)


def search(
    snapshot: Snapshot, request: PlanRequest, seconds: float, *, watch: Callable[[int, float], bool]
) -> Searched:
    """Make a plan, in the process where it is made: waiting for a turn does not count, nor does the past's ledger.

    Raises LimitExceeded when the time ended before anything better than doing nothing was found: that nothing is to be
    done is only said where it is proven, or where the search came to its own end.
    """
    start, stopped = perf_counter(), False

    def cut() -> None:
        nonlocal stopped
        stopped = True

    def over(nodes: int, gap: float) -> bool:
        if watch(nodes, gap) or perf_counter() - start > seconds:
            cut()
        return stopped

    limits = replace(PLAN_LIMITS, seconds=seconds, left=lambda: start + seconds - perf_counter(), cut=cut)
    plan = core.propose(snapshot, request, limits=limits, watch=over)
    taken_s = perf_counter() - start
    ended = not stopped and taken_s <= seconds
    proof = plan.proof
    assert proof is not None, "a plan that is made has a proof"
    if not ended and plan.status is PlanStatus.NOTHING_TO_DO and proof.status is not ProofStatus.OPTIMAL:
        most = money(EXACT.subtract(proof.objective, proof.bound))
        raise LimitExceeded(
            f"nothing better than doing nothing was found within {seconds:g} s, but up to {most} of the objective may "
            "be gained; allow more time, let a worker make the plan (no dryRun), or ask again when less is going on"
        )
    return Searched(plan, snapshot.tax, math.ceil(taken_s * 1000), ended)
