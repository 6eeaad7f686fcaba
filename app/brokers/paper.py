"""The paper broker: orders are filled at recorded prices, in books of its own, as if it were far away.

Placing, cancelling and asking are one transaction each on its own books. Asking is what lets time pass for an order:
it is worked up to the domain's now, and what is then said of it stays. It holds no positions: what an account held
before its first order here, nobody has told it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from app.core import paper
from app.core.order_values import ENDED, BrokerOrder, Ticket
from app.core.paper import PaperOrder, PaperRules
from app.core.portfolio import Price

PRICES_AT_ONCE: Final = 5000  # of one asset; an order that was not asked for in a long time takes several rounds


class Page(Protocol):
    """The paper broker's books, open for one order: a transaction. `now` is the domain's."""

    @property
    def now(self) -> datetime: ...

    async def add(self, order: PaperOrder) -> None:
        """Write an order; one that is known by its client id stays as it is."""
        ...

    async def find(self, client_id: str) -> PaperOrder | None:
        """Return an order, locked."""
        ...

    async def save(self, before: PaperOrder, after: PaperOrder) -> None:
        """Write how an order has moved on."""
        ...

    async def prices(self, asset_id: str, since: datetime, until: datetime, most: int) -> Sequence[Price]:
        """Return the last price at or before `since`, and at most `most` after it up to `until`."""
        ...


Books = Callable[[], AbstractAsyncContextManager[Page]]
"""Opens the books. Raises BrokerUnavailable while they are away."""


class PaperBroker:
    """A broker that trades on paper."""

    def __init__(self, books: Books, rules: PaperRules) -> None:
        self._books, self._rules = books, rules

    async def place(self, ticket: Ticket) -> BrokerOrder:
        """Take an order in, or find the one that has its client id."""
        async with self._books() as page:
            await page.add(paper.accept(ticket, self._rules, page.now))
            order = await self._worked(page, ticket)
        assert order is not None
        return order.told

    async def cancel(self, ticket: Ticket) -> None:
        """Cancel what is not filled by now."""
        async with self._books() as page:
            order = await self._worked(page, ticket)
            if order is not None and order.status not in ENDED:
                await page.save(order, paper.cancel(order))

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        """Work an order up to now, and return how it stands."""
        async with self._books() as page:
            order = await self._worked(page, ticket)
        return None if order is None else order.told

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        """Return None: it keeps no positions."""
        return None

    async def _worked(self, page: Page, ticket: Ticket) -> PaperOrder | None:
        """Return an order worked up to now, a page of prices at a time."""
        order = await page.find(ticket.client_id)
        while order is not None and order.status not in ENDED:
            prices = await page.prices(order.ticket.asset.id, order.seen_until, page.now, PRICES_AT_ONCE)
            whole = sum(price.priced_at > order.seen_until for price in prices) < PRICES_AT_ONCE
            until = page.now if whole else prices[-1].priced_at
            moved = paper.progress(order, prices, self._rules, until)
            await page.save(order, moved)
            order = moved
            if whole:
                break
        return order
