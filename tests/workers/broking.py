"""A broker for tests, told what to do; and processes that are killed at any step they take."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from app.brokers.protocol import BrokerUnavailable
from app.context import Services
from app.core.order_values import ENDED, BrokerOrder, Fill, OrderStatus, Ticket
from app.store.db import Store, Tx
from tests.builders import AS_OF


class Killed(BaseException):
    """The process is gone: nothing after this is done, and nobody is told."""


@dataclass
class Fate:
    """Counts the steps of a process, and kills it at one of them."""

    at: int | None = None
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Killed


@dataclass
class ScriptedBroker:
    """Keeps orders by client id, as a real one does. `fills` says what it does of a ticket as soon as it has it.

    `silent` is how many more calls it hears, acts on and does not answer; `deaf`, how many it does not even hear.
    """

    fills: Callable[[Ticket], list[str]] = lambda ticket: [f"{ticket.quantity} @ {ticket.limit}"]
    fate: Fate = field(default_factory=Fate)
    silent: int = 0
    deaf: int = 0
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    reject: str = ""

    async def place(self, ticket: Ticket) -> BrokerOrder:
        self._heard("place", ticket)
        if ticket.client_id not in self.orders:
            status = OrderStatus.REJECTED if self.reject else OrderStatus.WORKING
            self.orders[ticket.client_id] = BrokerOrder(f"b-{ticket.client_id}", status, (), self.reject)
            self.tickets[ticket.client_id] = ticket
            for text in () if self.reject else self.fills(ticket):
                self.fill(ticket.client_id, text)
        self._answers()
        return self.orders[ticket.client_id]

    async def cancel(self, ticket: Ticket) -> None:
        self._heard("cancel", ticket)
        known = self.orders.get(ticket.client_id)
        if known and known.status not in ENDED:
            self.orders[ticket.client_id] = replace(known, status=OrderStatus.CANCELLED)
        self._answers()

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        self._heard("status", ticket)
        self._answers()
        return self.orders.get(ticket.client_id)

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        return None

    def fill(self, client_id: str, text: str) -> None:
        """Fill some of an order: `units @ price`."""
        known, ticket = self.orders[client_id], self.tickets[client_id]
        units, price = (Decimal(number) for number in text.split(" @ "))
        fills = (*known.fills, Fill(f"f{len(known.fills) + 1}", units, price, Decimal(0), AS_OF))
        whole = sum(fill.quantity for fill in fills) == ticket.quantity
        self.orders[client_id] = replace(known, fills=fills, status=OrderStatus.FILLED if whole else known.status)

    def filled(self) -> dict[str, Decimal]:
        """Return what the broker itself knows to be filled."""
        return {
            name: sum((fill.quantity for fill in known.fills), Decimal(0))
            for name, known in self.orders.items()
            if known.fills
        }

    def _heard(self, act: str, ticket: Ticket) -> None:
        self.fate.step()
        self.calls.append(f"{act} {ticket.client_id.partition('-')[2]}")
        if self.deaf:
            self.deaf -= 1
            raise BrokerUnavailable("the line is dead")

    def _answers(self) -> None:
        self.fate.step()
        if self.silent:
            self.silent -= 1
            raise BrokerUnavailable("no answer")


class MortalStore:
    """A store whose process may be killed before each transaction, and right after."""

    def __init__(self, store: Store, fate: Fate) -> None:
        self._store, self._fate = store, fate

    @asynccontextmanager
    async def owned(self, owner_id: int, **given: Any) -> AsyncIterator[Tx]:
        self._fate.step()
        async with self._store.owned(owner_id, **given) as tx:
            yield tx
        self._fate.step()

    @asynccontextmanager
    async def shared(self, **given: Any) -> AsyncIterator[Tx]:
        async with self._store.shared(**given) as tx:
            yield tx


def mortal(services: Services, fate: Fate) -> Services:
    store: Any = MortalStore(services.store, fate)
    return replace(services, store=store)


LEASE: timedelta = timedelta(seconds=16)
"""After this long nobody holds an order any more."""
