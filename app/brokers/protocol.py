"""What every broker does for us. Placing the same client id twice is one order; asking never changes anything."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from app.core.order_values import BrokerOrder, Ticket


class BrokerUnavailable(Exception):
    """The broker did not answer, or not clearly: whether an order reached it is not known. Ask again later."""


class Broker(Protocol):
    """A broker. Each of these raises BrokerUnavailable where no clear answer came."""

    async def place(self, ticket: Ticket) -> BrokerOrder:
        """Hand in an order and return how it stands: WORKING, REJECTED with a message, or already filled.

        A second order under the same client id changes nothing, and answers how the first one stands.
        """
        ...

    async def cancel(self, ticket: Ticket) -> None:
        """Ask for an order to be cancelled. Whether it was, `status` says; fills may still come before."""
        ...

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        """Return how an order stands, with every fill so far; None when the broker certainly never got it."""
        ...

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        """Return units by asset symbol that the broker holds for an account, None where it keeps no books."""
        ...
