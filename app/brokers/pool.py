"""The pool: a broker in front of a broker. Orders that name a pool are put together there, and filled pro rata.

An order in the pool is WORKING from when it has come. To cancel it is to let it leave: at once while it waits, and when
the block that it is in was cancelled. Who puts orders together, and works the blocks, is told elsewhere.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from app.brokers.protocol import Broker
from app.core.order_values import BrokerOrder, Ticket


class Books(Protocol):
    """The pool's books. Each of these raises BrokerUnavailable while they are away."""

    async def join(self, ticket: Ticket) -> None:
        """Take an order in; one that is known by its client id stays as it is."""
        ...

    async def leave(self, client_id: str) -> None:
        """Let an order leave; one that is not there, or has ended, stays as it is."""
        ...

    async def find(self, client_id: str) -> BrokerOrder | None:
        """Return how an order stands, None where it never came; one whose block is UNKNOWN is away as well."""
        ...


class Pooled:
    """A broker whose orders may go through a pool."""

    def __init__(self, inner: Broker, books: Books) -> None:
        self._inner, self._books = inner, books

    async def place(self, ticket: Ticket) -> BrokerOrder:
        """Take an order into its pool, or find the one that has its client id there."""
        if ticket.pool is None:
            return await self._inner.place(ticket)
        await self._books.join(ticket)
        order = await self._books.find(ticket.client_id)
        assert order is not None
        return order

    async def cancel(self, ticket: Ticket) -> None:
        """Ask for an order to leave its pool."""
        if ticket.pool is None:
            await self._inner.cancel(ticket)
        else:
            await self._books.leave(ticket.client_id)

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        """Return how an order stands by its pool's books, with all that it was handed out."""
        return await (self._inner.status(ticket) if ticket.pool is None else self._books.find(ticket.client_id))

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        """Return what the broker behind it holds."""
        return await self._inner.positions(account_id)
