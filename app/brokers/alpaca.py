"""Alpaca, through its own client: one account there works the orders of one account here.

The client comes with the extra `alpaca` and is loaded when it is needed. It is used for its calls alone, not for its
models: those carry quantities and prices as floats, and the API takes and gives them as text. An order is known there
by our client id, which Alpaca takes once and refuses ever after; so an order that was sent is found again, and one that
is sent twice is one. What it was filled at is read from the account's activities, fill by fill, and has to add up to
what the order says before the order is told as ended. Fees that Alpaca books later are not part of a fill.
"""

import asyncio
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

from app.brokers.protocol import BrokerUnavailable
from app.core.money import ZERO, plain
from app.core.order_values import ENDED, BrokerOrder, Fill, OrderStatus, OrderStyle, Ticket
from app.core.portfolio import AssetClass
from app.settings import Settings

TIMEOUT_S: Final = 4.0  # for connecting, and for each part of an answer; who asks waits little longer
PAGE: Final = 100  # activities in one answer, the most there are
PAGES_MAX: Final = 50
CURRENCY: Final = "USD"

REFUSED: Final = (400, 403, 422)  # malformed, not allowed or not enough money, not possible: certainly not taken
NOT_CANCELABLE: Final = (404, 422)
ENDS: Final = {
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
"""Every other status is of an order that may still be filled."""
REPLACED: Final = "replaced"


class AlpacaBroker:
    """Alpaca for one account; `connect` makes its client."""

    def __init__(self, account_id: str, connect: Callable[[], Any]) -> None:
        self._account_id, self._connect = account_id, connect
        self._client: Any = None

    @classmethod
    def of(cls, settings: Settings) -> "AlpacaBroker":
        """Return the broker of the settings."""
        key, secret, url = settings.alpaca_key_id, settings.alpaca_secret, settings.alpaca_url
        return cls(settings.alpaca_account, partial(_connect, key, secret, url))

    async def place(self, ticket: Ticket) -> BrokerOrder:
        """Send an order, or find the one that has its client id."""
        if fault := self._fault(ticket):
            return BrokerOrder("", OrderStatus.REJECTED, (), fault)
        return await asyncio.to_thread(self._place, ticket)

    async def cancel(self, ticket: Ticket) -> None:
        """Ask for an order to be cancelled; one that is over is left as it is."""
        await asyncio.to_thread(self._cancel, ticket)

    async def status(self, ticket: Ticket) -> BrokerOrder | None:
        """Return how an order stands with its fills, None where Alpaca knows no such client id."""
        return await asyncio.to_thread(self._status, ticket)

    async def positions(self, account_id: str) -> Mapping[str, Decimal] | None:
        """Return what Alpaca holds, None for an account that is not there; coins are called as here."""
        return await asyncio.to_thread(self._positions) if account_id == self._account_id else None

    def _fault(self, ticket: Ticket) -> str:
        if ticket.account_id != self._account_id:
            return "Alpaca is not set up for this account"
        if ticket.style is OrderStyle.NAV:
            return "Alpaca takes no orders at net asset value"
        if ticket.asset.currency != CURRENCY:
            return f"Alpaca trades in {CURRENCY}, {ticket.asset.symbol} is in {ticket.asset.currency}"
        return ""

    def _place(self, ticket: Ticket) -> BrokerOrder:
        try:
            order = self._call("post", "/orders", _request(ticket))
        except _Refused as refused:
            # It may be refused as one that was taken before: then that one counts.
            known = self._status(ticket)
            if known is None and "client_order_id" in refused.message:
                raise BrokerUnavailable(f"Alpaca knows {ticket.client_id}, but does not show it yet") from None
            return known or BrokerOrder("", OrderStatus.REJECTED, (), f"Alpaca: {refused.message}")
        return self._told(order)

    def _status(self, ticket: Ticket) -> BrokerOrder | None:
        order = self._find(ticket)
        return None if order is None else self._told(order)

    def _find(self, ticket: Ticket) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._call("get_order_by_client_id", ticket.client_id)
        except _Refused as refused:
            if refused.status == 404:
                return None
            raise BrokerUnavailable(f"Alpaca: {refused.message}") from None
        return found

    def _cancel(self, ticket: Ticket) -> None:
        order = self._find(ticket)
        if order is None or order["status"] in ENDS:
            return
        try:
            self._call("cancel_order_by_id", order["id"])
        except _Refused as refused:
            if refused.status not in NOT_CANCELABLE:
                raise BrokerUnavailable(f"Alpaca: {refused.message}") from None

    def _positions(self) -> Mapping[str, Decimal]:
        try:
            found = self._call("get_all_positions")
        except _Refused as refused:
            raise BrokerUnavailable(f"Alpaca: {refused.message}") from None
        return {_symbol_of(position): Decimal(position["qty"]) for position in found}

    def _told(self, order: Mapping[str, Any]) -> BrokerOrder:
        """Return an order with its fills; raise BrokerUnavailable while not all that it says is filled is told."""
        if order["status"] == REPLACED:
            raise BrokerUnavailable(f"order {order['client_order_id']} was replaced by hand at Alpaca; look there")
        status = ENDS.get(order["status"], OrderStatus.WORKING)
        due = Decimal(order["filled_qty"] or 0)
        fills = tuple(self._fills(order)) if due else ()
        filled = sum((fill.quantity for fill in fills), ZERO)
        if status in ENDED and filled != due:
            raise BrokerUnavailable(f"Alpaca filled {plain(due)} units, and has told of {plain(filled)} so far")
        return BrokerOrder(order["id"], status, fills)

    def _fills(self, order: Mapping[str, Any]) -> Iterator[Fill]:
        wanted = {"after": order["created_at"], "direction": "asc", "page_size": PAGE}
        for _ in range(PAGES_MAX):
            try:
                page = self._call("get", "/account/activities/FILL", wanted)
            except _Refused as refused:
                raise BrokerUnavailable(f"Alpaca: {refused.message}") from None
            yield from (_fill_of(told) for told in page if told["order_id"] == order["id"])
            if len(page) < PAGE:
                return
            wanted = wanted | {"page_token": page[-1]["id"]}
        raise BrokerUnavailable(f"Alpaca told of more than {PAGE * PAGES_MAX} fills since the order was made")

    def _call(self, name: str, *args: Any) -> Any:
        """Call the client; raise _Refused for a clear no, and BrokerUnavailable for anything but a clear answer."""
        if self._client is None:
            self._client = self._connect()
        from alpaca.common.exceptions import APIError

        try:
            return getattr(self._client, name)(*args)
        except APIError as error:
            if error.status_code in (*REFUSED, 404):
                raise _Refused(error.status_code, _message_of(error)) from None
            raise BrokerUnavailable(f"Alpaca answered {error.status_code}") from error
        except OSError as error:  # what the client's HTTP library raises, an answer that is no JSON among it
            raise BrokerUnavailable(f"Alpaca did not answer: {type(error).__name__}") from error


class _Refused(Exception):
    """Alpaca said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _connect(key: str, secret: str, url: str) -> Any:
    """Make the client: it waits TIMEOUT_S, where by itself it would wait for ever, and leaves repeating to us."""
    if not key or not secret:
        raise BrokerUnavailable("Alpaca is not set up: STEELYARD_ALPACA_KEY_ID and STEELYARD_ALPACA_SECRET are empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its streams, which we do not use, are old-fashioned
            from alpaca.trading.client import TradingClient
    except ImportError:
        raise BrokerUnavailable("Alpaca's client is not installed: install the extra `alpaca`") from None
    client = TradingClient(key, secret, raw_data=True, url_override=url.rstrip("/"))
    session: Any = client._session
    session.request = partial(session.request, timeout=TIMEOUT_S)
    client._retry = 0
    return client


def _request(ticket: Ticket) -> dict[str, str]:
    crypto = ticket.asset.asset_class is AssetClass.CRYPTO
    request = {
        "symbol": _symbol(ticket),
        "qty": plain(ticket.quantity),
        "side": ticket.side.value.lower(),
        "type": "market" if ticket.limit is None else "limit",
        "time_in_force": "gtc" if crypto else "day",
        "client_order_id": ticket.client_id,
    }
    return request if ticket.limit is None else request | {"limit_price": plain(ticket.limit)}


def _symbol(ticket: Ticket) -> str:
    """Return what Alpaca calls an asset: a coin is a pair."""
    symbol = ticket.asset.symbol
    return f"{symbol}/{CURRENCY}" if ticket.asset.asset_class is AssetClass.CRYPTO and "/" not in symbol else symbol


def _symbol_of(position: Mapping[str, Any]) -> str:
    symbol: str = position["symbol"]
    return symbol.removesuffix(CURRENCY).removesuffix("/") if position["asset_class"] == "crypto" else symbol


def _fill_of(told: Mapping[str, Any]) -> Fill:
    at = datetime.fromisoformat(told["transaction_time"])
    return Fill(told["id"], Decimal(told["qty"]), Decimal(told["price"]), ZERO, at)


def _message_of(error: Any) -> str:
    try:
        return str(error.message)
    except (ValueError, KeyError, TypeError):
        return f"status {error.status_code}"
