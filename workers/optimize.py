"""Jobs that make plans."""

from typing import Any

from app.actions import plans


async def plan_compute(ctx: dict[str, Any], owner_id: int, plan_id: str) -> None:
    """Make a queued plan."""
    await plans.compute(ctx["services"], owner_id, plan_id)
