"""Plans that nobody asked for: a policy may have one proposed when a breach opens. It is never executed by itself."""

from datetime import datetime
from typing import Final

import structlog

from app.actions.access import domain_now
from app.bus.jobs import PLAN_COMPUTE
from app.context import Services, new_uuid
from app.core.optimize.allocate import PlanScope
from app.core.plan import MONITOR, PlanRequest
from app.store import plans, portfolios, proposals
from app.store.proposals import Due

DUE_MAX: Final = 500

log = structlog.get_logger(__name__)


async def scan_propose(services: Services) -> int:
    """Queue a plan for each portfolio that one is due for, and return how many. The database is the truth."""
    now = await domain_now(services)
    async with services.store.shared(reading=True) as tx:
        found = await proposals.scan_due_proposals(tx, now, DUE_MAX)
    queued = 0
    for due in found:
        plan_id = await _propose(services, due, now)
        if plan_id is not None:
            queued += 1
            await services.bus.enqueue(PLAN_COMPUTE, due.owner_id, plan_id, unique=plan_id)
            await services.bus.nudge("plan", [due.owner_id])
    return queued


async def _propose(services: Services, due: Due, now: datetime) -> str | None:
    """Store one plan, queued; None when it is no longer due, as seen under the portfolio's lock."""
    async with services.store.owned(due.owner_id) as tx:
        await portfolios.lock_portfolio(due.owner_id, tx, due.portfolio_id)
        if not await proposals.scan_due_proposals(tx, now, 1, [due.row_id]):
            return None
        plan_id = await plans.save_plan(
            due.owner_id,
            tx,
            due.row_id,
            PlanRequest(PlanScope.BREACHED_ONLY),
            requested_by=MONITOR,
            now=now,
            new_uuid=new_uuid,
        )
    log.info("plan_proposed", portfolio=due.portfolio_id, plan=plan_id)
    return plan_id
