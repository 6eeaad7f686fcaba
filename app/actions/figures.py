"""The figures that those who run the house watch."""

from app.actions.access import domain_now
from app.context import Services
from app.store import metrics
from app.store.metrics import Figures as Figures


async def read(services: Services) -> Figures:
    """Read the figures of now from the database."""
    now = await domain_now(services)
    async with services.store.shared(reading=True) as tx:
        return await metrics.scan_figures(tx, now)
