"""Jobs that make plans."""

from typing import Any

from app.actions import computing


async def plan_compute(ctx: dict[str, Any], owner_id: int, plan_id: str) -> None:
    """Make a queued plan."""
    await computing.compute(ctx["services"], owner_id, plan_id)
