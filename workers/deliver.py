"""Messages to hooks: every worker relays and sends them."""

from app.actions.deliver import Deliverer
from app.context import Services


async def deliver_forever(services: Services) -> None:
    """Relay what happened to the hooks, and send what is due, until cancelled."""
    await Deliverer(services).run()
