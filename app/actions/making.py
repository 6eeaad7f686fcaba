"""Making a plan: core decides, within the time it is given, and the clock is looked at here."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import NamedTuple

from app.actions.portfolios import Loaded
from app.context import Services, Watch
from app.core import past
from app.core import plan as core
from app.core.drift import Snapshot
from app.core.errors import LimitExceeded, NotFound
from app.core.money import EXACT
from app.core.optimize.problem import PLAN_LIMITS, Deadline, Limits
from app.core.past import Past
from app.core.plan import Plan, PlanRequest, PlanStatus, ProofStatus
from app.core.replay import Inputs, head_of
from app.core.trades import money
from app.store import inputs, reading
from app.store import past as past_rows
from app.store.db import Tx
from app.store.plans import Made


async def load(owner_id: int, tx: Tx, portfolio_id: str, now: datetime) -> tuple[Loaded, Past]:
    """Load all that a plan rests on: the portfolio, and what its taxpayer group has traded of late."""
    loaded = await reading.load_snapshot(owner_id, tx, portfolio_id, now, history=True)
    if loaded is None:
        raise NotFound("portfolio", portfolio_id, ["portfolioId"])
    return loaded, await past_rows.load_past(owner_id, tx, loaded.snapshot)


async def make(
    services: Services, loaded: Loaded, told: Past, request: PlanRequest, seconds: float, watch: Watch | None = None
) -> tuple[Made, bool]:
    """Make a plan within `seconds`, and say whether the search came to its own end."""
    searched, pinned = await services.run(search_told, loaded.snapshot, told, request, seconds, watch=watch or Watch())
    lifetime = timedelta(seconds=loaded.snapshot.policy.plan_lifetime_s)
    version = loaded.row.targets_version or None
    expires_at = loaded.snapshot.as_of + lifetime
    made = Made(searched.plan, version, pinned.digest, expires_at, searched.solve_ms, pinned.packed)
    return made, searched.ended


@dataclass(frozen=True, slots=True)
class Searched:
    """A plan, the limits it was made within, milliseconds rounded up, and whether nothing cut it short."""

    plan: Plan
    limits: Limits
    solve_ms: int
    ended: bool


class Pinned(NamedTuple):
    """What a plan was made from: its digest, and all of it, packed."""

    digest: str
    packed: bytes


def search_told(
    snapshot: Snapshot, told: Past, request: PlanRequest, seconds: float, *, watch: Callable[[int, float], bool]
) -> tuple[Searched, Pinned]:
    """Make a plan of a snapshot and what is told of the past; pin what it was made from beside it, off the loop."""
    known = past.with_facts(snapshot, told)
    searched = search(known, request, seconds, watch=watch)
    made_from = Inputs(head_of(searched.limits, ended=searched.ended), known, request)
    return searched, Pinned(made_from.digest, inputs.pack(made_from))


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

    plain_limits = replace(PLAN_LIMITS, seconds=seconds)
    limits = Deadline(
        plain_limits.gap, plain_limits.nodes, seconds, left_s=lambda: start + seconds - perf_counter(), on_cut=cut
    )
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
    return Searched(plan, plain_limits, math.ceil(taken_s * 1000), ended)
