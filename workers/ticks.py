"""The job of price ticks."""

from typing import Any

from app.actions import ticks


async def prices_tick(ctx: dict[str, Any]) -> None:
    """Decide about the portfolios that rest on prices which changed."""
    await ticks.run(ctx["services"])
