"""Plans that a worker makes: claimed, made in a process of its own, written; stopped when nobody wants them."""

import asyncio
import math
from concurrent.futures import BrokenExecutor
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog

from app.actions import making
from app.actions.access import domain_now
from app.actions.portfolios import Loaded
from app.bus.jobs import PLAN_COMPUTE
from app.context import Services, Watch, new_uuid
from app.core.errors import SteelyardError
from app.core.money import round_half_even
from app.core.past import Past
from app.store import plans
from app.store.db import StoreUnavailable
from app.store.plans import Claimed, Made, Progress

ATTEMPTS_MAX: Final = 5
SWEEP_MAX: Final = 1000
PROGRESS_S: Final = 0.5
GAP_PLACES: Final = 10

log = structlog.get_logger(__name__)


async def compute(services: Services, owner_id: int, plan_id: str) -> None:
    """Make a queued plan: claim it, read, compute, write. Run twice it does no harm: the last claim writes."""
    now = await domain_now(services)
    async with services.store.owned(owner_id) as tx:
        claimed = await plans.claim_plan(owner_id, tx, plan_id, now)
    if claimed is None:
        return
    await services.bus.nudge("plan", [owner_id])
    if claimed.version > ATTEMPTS_MAX + 1:
        message = f"making it was tried {ATTEMPTS_MAX} times and never ended; it may need more memory than there is"
        await _fail(services, owner_id, claimed, "INTERNAL", message, now)
        return
    async with services.store.owned(owner_id, reading=True) as tx:
        loaded, told = await making.load(owner_id, tx, claimed.portfolio_id, now)
    try:
        made = await _make_watched(services, owner_id, claimed, loaded, told)
        if made is None:
            return
        async with services.store.owned(owner_id) as tx:
            await plans.finish_plan(owner_id, tx, claimed, made, actor="worker", now=now, new_uuid=new_uuid)
    except (StoreUnavailable, BrokenExecutor):
        raise  # what is away comes back, and the sweeper asks again
    except SteelyardError as error:
        await _fail(services, owner_id, claimed, error.code, error.message, now)
    except Exception:  # our mistake: the plan ends here, or the sweeper would try it for ever
        log.exception("plan_not_made", plan=plan_id)
        await _fail(services, owner_id, claimed, "INTERNAL", "internal error; the worker's log says which", now)
    await services.bus.nudge("plan", [owner_id])


async def _make_watched(services: Services, owner_id: int, claimed: Claimed, loaded: Loaded, told: Past) -> Made | None:
    """Make a plan and tell how far it is now and then; None when it is wanted no longer, and the search was stopped."""
    watch, limit_s = Watch(), services.settings.solver_s
    made = asyncio.create_task(making.make(services, loaded, told, claimed.request, limit_s, watch))
    try:
        while not (await asyncio.wait([made], timeout=PROGRESS_S))[0]:
            if not await _tell_progress(services, owner_id, claimed, watch):
                log.info("plan_stopped", plan=claimed.public_id)
                return None
        return (await made)[0]
    finally:
        watch.stopped = True
        made.cancel()
        await asyncio.gather(made, return_exceptions=True)  # it may have failed while it was found to be unwanted


async def _tell_progress(services: Services, owner_id: int, claimed: Claimed, watch: Watch) -> bool:
    """Write how far a plan is; False when nobody wants it any more."""
    now = await domain_now(services)
    gap = round_half_even(Decimal(watch.gap), GAP_PLACES) if math.isfinite(watch.gap) else None
    async with services.store.owned(owner_id) as tx:
        wanted = await plans.note_progress(owner_id, tx, claimed, Progress(watch.nodes, gap), now)
    await services.bus.nudge("plan", [owner_id])
    return wanted


async def _fail(services: Services, owner_id: int, claimed: Claimed, code: str, message: str, now: datetime) -> None:
    async with services.store.owned(owner_id) as tx:
        await plans.fail_plan(owner_id, tx, claimed, code=code, message=message, actor="worker", now=now)


async def scan_unfinished(services: Services) -> int:
    """Put plans that wait, or whose worker died, back into the queue; the database is the truth."""
    async with services.store.shared() as tx:
        waiting = await plans.scan_unfinished_plans(tx, SWEEP_MAX)
    for owner_id, plan_id in waiting:
        await services.bus.enqueue(PLAN_COMPUTE, owner_id, plan_id, unique=plan_id)
    return len(waiting)
