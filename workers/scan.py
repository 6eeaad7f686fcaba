"""Jobs of the health monitor."""

from typing import Any

from app.actions import scans


async def scan_tick(ctx: dict[str, Any]) -> None:
    """Open the scan of the current bucket, if nobody has yet."""
    await scans.tick(ctx["services"])


async def scan_chunk(ctx: dict[str, Any], bucket: str, number: int) -> None:
    """Measure one chunk of portfolios."""
    await scans.measure_chunk(ctx["services"], bucket, number)
