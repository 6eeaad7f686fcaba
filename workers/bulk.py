"""The job of bulks."""

from typing import Any

from app.actions import bulks
from app.bus.jobs import BULK_RUN
from app.context import Services, wall_now


async def bulk_run(ctx: dict[str, Any], owner_id: int, bulk_id: str) -> None:
    """Work on a bulk for a while, once in this process, and then wait in line again."""
    services: Services = ctx["services"]
    running: set[str] = ctx["bulks"]
    if bulk_id in running:
        return
    running.add(bulk_id)
    try:
        more = await bulks.run(services, owner_id, bulk_id)
    finally:
        running.discard(bulk_id)
    if more:
        # This job has its name until it has ended, so the next has another.
        await services.bus.enqueue(BULK_RUN, owner_id, bulk_id, unique=f"{bulk_id}:{wall_now():%H%M%S}")
