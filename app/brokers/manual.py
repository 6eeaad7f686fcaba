"""The manual broker: a person works the orders, and records what came of them.

An order is handed over by being shown. Asking for it to be cancelled is shown too, as its status; it ends when the
person says that nothing more will come of it. What people recorded is read where they recorded it.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

from app.core.manual import Recorded
from app.core.order_values import BrokerOrder, Ticket

Read = Callable[[str], Awaitable[Recorded | None]]
"""Reads what people recorded of an order, by its client id; None where nobody has such an order. Raises
BrokerUnavailable while that cannot be read."""


class ManualBroker:
    """A person who trades by hand."""

    def __init__(self, read: Read) -> None:
        self._read = read

    async def place(self, ticket: Ticket) -> BrokerOrder:
        """Return how an order stands: WORKING, as long as nobody recorded anything."""
        recorded = await self._read(ticket.client_id) or Recorded(ticket.quantity)
        return recorded.told(ticket.client_id)

    async def cancel(self, ticket: Ticket) -> None:
        """Do nothing: the person sees that the order is to be cancelled, and says when it is."""

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        """Return what was recorded of an order."""
        recorded = await self._read(ticket.client_id)
        return None if recorded is None else recorded.told(ticket.client_id)

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        """Return None: nobody told us what the person's broker holds."""
        return None
