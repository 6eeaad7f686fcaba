"""Alpaca's trading API on this machine: as much of what it documents as orders need, spoken over real HTTP.

It was written from the documentation. Nobody has compared it with the real one.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

NOT_WELL: Final[dict[str, Any]] = {"message": "not well"}
CREATED: Final = "2024-06-03T16:00:00.123456Z"


@dataclass
class Alpaca:
    """What it knows: orders by client id, activities, positions. `hang_s` is how long it takes to answer what follows;
    `ill` is a status that it answers everything with; `lost` takes an order and does not say so."""

    port: int = 0
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    hang_s: float = 0
    ill: int = 0
    lost: bool = False
    refuse: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fill(self, client_id: str, units: str, price: str, *, status: str, filled: str, told: bool = True) -> None:
        """Fill a part of an order: `filled` is all of it so far; an activity that is not `told` comes later."""
        order = self.orders[client_id]
        order |= {"status": status, "filled_qty": filled, "filled_avg_price": price}
        number = len(self.activities) + 1
        if told:
            self.activities.append(
                {
                    "id": f"20240603120000{number:03}::{UUID(int=number)}",
                    "activity_type": "FILL",
                    "transaction_time": f"2024-06-03T16:00:{number % 60:02}.5Z",
                    "type": "fill" if status == "filled" else "partial_fill",
                    "price": price,
                    "qty": units,
                    "side": order["side"],
                    "symbol": order["symbol"],
                    "order_id": order["id"],
                    "cum_qty": filled,
                }
            )

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Return status and body of one answer."""
        if method == "POST" and path == "/v2/orders":
            return self._submit(body)
        if method == "GET" and path == "/v2/orders:by_client_order_id":
            order = self.orders.get(query["client_order_id"])
            return (200, order) if order else (404, {"code": 40410000, "message": "order not found"})
        if method == "DELETE" and path.startswith("/v2/orders/"):
            return self._cancel(path.rpartition("/")[2])
        if method == "GET" and path == "/v2/positions":
            return 200, self.positions
        if method == "GET" and path == "/v2/account/activities/FILL":
            assert query["direction"] == "asc"
            ids = [activity["id"] for activity in self.activities]
            start = ids.index(query["page_token"]) + 1 if "page_token" in query else 0
            return 200, self.activities[start : start + int(query["page_size"])]
        return 404, {"code": 40410000, "message": "endpoint not found."}

    def _submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.sent.append(body)
        if self.refuse:
            status, message = self.refuse
            return status, {"code": status * 100_000, "message": message}
        client_id = body["client_order_id"]
        if client_id in self.orders:
            return 422, {"code": 40010001, "message": "client_order_id must be unique"}
        known = {"filled_qty": "0", "filled_avg_price": None, "status": "accepted", "created_at": CREATED}
        self.orders[client_id] = {"id": str(UUID(int=len(self.orders) + 1000)), **body, **known}
        return (500, {"message": "internal server error"}) if self.lost else (200, self.orders[client_id])

    def _cancel(self, order_id: str) -> tuple[int, Any]:
        for order in self.orders.values():
            if order["id"] == order_id:
                if order["status"] in ("filled", "canceled", "expired", "rejected"):
                    return 422, {"code": 42210000, "message": f'order is already in "{order["status"]}" state'}
                order["status"] = "pending_cancel"
                return 204, None
        return 404, {"code": 40410000, "message": "order not found"}


@contextmanager
def serving() -> Iterator[Alpaca]:
    """Serve an empty Alpaca on a free port until the end."""
    alpaca = Alpaca()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"null")
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            alpaca.requests.append(f"{self.command} {parts.path}")
            known = (self.headers["APCA-API-KEY-ID"], self.headers["APCA-API-SECRET-KEY"]) == ("key", "secret")
            time.sleep(alpaca.hang_s)
            if alpaca.ill:
                status, answer = alpaca.ill, NOT_WELL
            elif known:
                status, answer = alpaca.answer(self.command, parts.path, query, body)
            else:
                status, answer = 401, {"code": 40110000, "message": "request is not authorized"}
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of callers that did not wait."""

    with Server(("127.0.0.1", 0), Handler) as server:
        alpaca.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield alpaca
        finally:
            server.shutdown()
            thread.join()
