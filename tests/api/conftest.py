"""The API as clients meet it: on a port of its own, in a thread beside the tests, on a database for all of them.

Tests keep apart by acting for owners of their own.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

import asyncpg
import httpx2
import jwt
import pytest
import uvicorn
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.actions import scans
from app.api import auth
from app.context import Services, on_thread, open_services, wall_now
from app.core.scalars import write_instant
from app.embedded import Endpoints
from app.main import create_app
from app.settings import Settings
from app.store import scans as scan_rows
from tests.conftest import Databases

SECRET: Final = "kYq7vT2m9XwR4zB8nL1cD6fH3jP5sG0a"
DEADLINE_S: Final = 20.0
PROTOCOL: Final = Subprotocol("graphql-transport-ws")

T = TypeVar("T")
_subjects = count(1)


@dataclass(frozen=True)
class Caller:
    """Somebody with a token: an owner, a tool that acts for one, an operator."""

    api: "Api"
    token: str

    def post(self, body: object, **headers: str) -> httpx2.Response:
        """Send a GraphQL request as it is; `accept` and the like are headers."""
        given = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.api.http.post("/graphql", content=content, headers=given)

    def answer(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the whole answer to a document."""
        answer: dict[str, Any] = self.post({"query": query, "variables": variables}).json()
        return answer

    def data(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the data of a document that must not fail."""
        answer = self.answer(query, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def mutate(self, mutation: str, selection: str = "__typename", **given: object) -> dict[str, Any]:
        """Call a mutation with its input; return the payload, which tells its errors in full."""
        name = mutation[0].upper() + mutation[1:]
        query = f"mutation ($input: {name}Input!) {{ {mutation}(input: $input) {{ {selection} {ERRORS} }} }}"
        payload: dict[str, Any] = self.data(query, input=given)[mutation]
        return payload

    def rest(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """Call a route under /api/rebalancing."""
        given = {"authorization": f"Bearer {self.token}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = None
        if method == "POST":
            given.setdefault("content-type", "application/json")
            content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        return self.api.http.request(method, f"/api/rebalancing/{path}", content=content, headers=given)


ERRORS: Final = """
userErrors {
  __typename code message path
  ... on NotFoundError { missingId }
  ... on TargetsSumError { sum missing }
  ... on VersionConflictError { expectedVersion actualVersion }
  ... on InvalidStateError { state }
}
"""


@dataclass(frozen=True)
class Api:
    """A running API."""

    settings: Settings
    endpoints: Endpoints
    port: int
    http: httpx2.Client
    rows: asyncio.Runner
    connection: "asyncpg.Connection[asyncpg.Record]"

    def token(self, subject: str, *, role: str | None = None, act: str | None = None, ttl_s: int = 600) -> str:
        return auth.issue(self.settings, subject=subject, now=wall_now(), ttl_s=ttl_s, role=role, act=act)

    def forged(self, **claims: object) -> str:
        """Sign claims as the issuer would, whatever they say; None leaves one out."""
        now = int(wall_now().timestamp())
        settings = self.settings
        usual = {"iss": settings.jwt_issuer, "aud": settings.jwt_audience, "sub": "x", "iat": now, "exp": now + 60}
        given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(given, settings.jwt_secret, algorithm="HS256")

    def caller(self, subject: str, *, role: str | None = None, act: str | None = None) -> Caller:
        """Return a caller; whoever calls for the first time has a row of their own from then on."""
        caller = Caller(self, self.token(subject, role=role, act=act))
        caller.data("{ viewer { id } }")
        return caller

    @contextmanager
    def socket(self, *protocols: Subprotocol, **headers: str) -> Iterator[ClientConnection]:
        """Open a socket at /graphql."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"ws://127.0.0.1:{self.port}/graphql"
        spoken = protocols or (PROTOCOL,)
        with connect(url, subprotocols=spoken, additional_headers=given, open_timeout=DEADLINE_S, proxy=None) as opened:
            yield opened

    def run(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Run an action on the API's database and Valkey, as a worker would."""

        async def within() -> T:
            async with open_services(self.settings, on_thread) as services:
                return await work(services)

        return asyncio.run(within())

    def sql(self, statement: str, *args: object) -> Any:
        """Return the value of a statement, as the role that owns the tables."""
        return self.rows.run(self.connection.fetchval(statement, *args))

    def stored(self) -> dict[str, str]:
        """Return the rows of each table as a count and a digest: what differs afterwards was written in between."""
        digest = "count(*) || ' ' || md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), ''))"
        each = " UNION ALL ".join(
            f"SELECT '{table}' AS t, {digest} AS d FROM \"{table}\" r" for table in self._tables()
        )
        found: dict[str, str] = json.loads(self.sql(f"SELECT json_object_agg(t, d) FROM ({each}) x"))
        return found

    def _tables(self) -> list[str]:
        # Partitions are told by the table they are parts of.
        tables: list[str] = self.sql(
            "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        return tables


@contextmanager
def running(endpoints: Endpoints, **given: Any) -> Iterator[Api]:
    """Run an API on a free port until the end."""
    settings = Settings(jwt_secret=SECRET, event_poll_s=0.2, scan_period_s=1, log_level="ERROR").model_copy(
        update={"database_url": endpoints.database_url, "redis_url": endpoints.redis_url, **given}
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            create_app(settings),
            http="httptools",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=65_536,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), "the API to start")
            assert server.started
            url = f"http://127.0.0.1:{port}"
            with httpx2.Client(base_url=url, timeout=DEADLINE_S, trust_env=False) as http, asyncio.Runner() as rows:
                connection = rows.run(asyncpg.connect(endpoints.migrate_database_url))
                yield Api(settings, endpoints, port, http, rows, connection)
                rows.run(connection.close())
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Look until something is so."""
    give_up_at = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < give_up_at, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def endpoints(databases: Databases) -> Iterator[Endpoints]:
    """Give a database that all tests of the API share."""
    with databases.new(migrated=True) as endpoints:
        yield endpoints


@pytest.fixture(scope="session")
def api(endpoints: Endpoints) -> Iterator[Api]:
    # E-mail can be asked for, and never gets anywhere: no worker sends it.
    with running(endpoints, smtp_url="smtp://127.0.0.1:9", mail_from="steelyard@example.com") as api:
        yield api


@pytest.fixture(scope="session")
def operator(api: Api) -> Caller:
    """Give an operator, and assets with prices: AAA 100 and BBB 50 dollars."""
    operator = api.caller("operator", role="operator")
    for symbol in ("AAA", "BBB"):
        assert operator.mutate("assetUpsert", symbol=symbol, assetClass="STOCK", name=symbol)["userErrors"] == []
    prices = [{"symbol": "AAA", "price": "100"}, {"symbol": "BBB", "price": "50"}]
    assert operator.mutate("pricesRecord", "recorded", prices=prices) == {"recorded": 2, "userErrors": []}
    return operator


@pytest.fixture
def owner(api: Api, operator: Caller) -> Caller:
    """Give an owner that no other test has."""
    return api.caller(f"owner-{next(_subjects)}")


def scan(api: Api) -> None:
    """Measure every portfolio, as the workers do in each bucket; a bucket is a second long here."""

    async def run(services: Services) -> None:
        give_up_at = time.monotonic() + DEADLINE_S
        while await scans.tick(services) is None:
            assert time.monotonic() < give_up_at, "no bucket began"
            await asyncio.sleep(0.05)
        async with services.store.shared() as tx:
            chunks = await scan_rows.unfinished_chunks(tx, 1000)
        for bucket, number in chunks:
            await scans.measure_chunk(services, write_instant(bucket), number)

    api.run(run)


def portfolio_of(owner: Caller, **given: object) -> dict[str, Any]:
    """Create a portfolio worth 1,000: 6 AAA and 8 BBB, 60 % and 40 % wanted, so that it is on target."""
    draft = {
        "name": "Core",
        "accounts": [
            {
                "name": "Main",
                "lots": [
                    {"symbol": "AAA", "quantity": "6", "unitCost": "80", "acquiredOn": "2020-01-02"},
                    {"symbol": "BBB", "quantity": "8", "unitCost": "40", "acquiredOn": "2020-01-02"},
                ],
            }
        ],
        "targets": [{"key": "AAA", "percent": "60"}, {"key": "BBB", "percent": "40"}],
        **given,
    }
    made = owner.mutate("portfolioCreate", "portfolio { id version accounts { id } targets { version } }", **draft)
    assert made["userErrors"] == [], made
    portfolio: dict[str, Any] = made["portfolio"]
    return portfolio
