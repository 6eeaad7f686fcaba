"""Steelyard as people meet it: API and workers in processes of their own, and callers over HTTP, SSE and WebSockets.

A `Steelyard` starts the processes on given servers and stops them all. A `Person` has a token and calls the API; what
a person follows is collected in a `Feed` by clients that know nothing of us (`gql`, `httpx2`).
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx2
from gql import Client, GraphQLRequest
from gql.transport.websockets import WebsocketsTransport
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_composite_type,
)

from app.actions import access
from app.api import auth
from app.context import OPERATOR, Context, Services, on_thread, open_services, wall_now
from app.embedded import Endpoints, dying_with
from app.settings import Settings
from app.store.clock import Clock, read_clock, set_clock
from app.store.events import current_cursor

ROOT: Final = Path(__file__).parents[1]
SECRET: Final = "9f1c3b7a5d2e8064b7d1f3a9c5e70812d4b6f8a0c2e41357"
START_S: Final = 30.0
WITHIN_S: Final = 20.0

# So slow that no test lives to see the domain clock move by itself.
STANDING: Final = Decimal("1e-18")

ALERTS: Final = """
subscription ($after: String, $least: AlertSeverity! = INFO, $only: [ID!]) {
  driftAlerts(after: $after, minSeverity: $least, portfolioIds: $only) {
    cursor kind alert { id portfolioId kind key severity status acknowledgedAt entry { actual drift } }
  }
}
"""


async def until(true: Callable[[], Awaitable[bool]], within_s: float = WITHIN_S) -> float:
    """Wait until something is true and return how long it took."""
    began = time.monotonic()
    while not await true():
        assert time.monotonic() - began < within_s, f"not true within {within_s} s"
        await asyncio.sleep(0.03)
    return time.monotonic() - began


class Child:
    """One process of ours. It dies with the test run, however that ends."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdout=written,
                stderr=written,
                start_new_session=True,
                preexec_fn=dying_with(os.getpid(), signal.SIGKILL),
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a crash or the kernel would."""
        self._process.kill()
        self._process.wait()

    def stop(self, within_s: float = 30.0) -> int:
        """Ask it to end, and return its exit code."""
        self._process.terminate()
        return self._process.wait(within_s)

    def signal(self, signum: signal.Signals) -> None:
        self._process.send_signal(signum)

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4000:]


class Steelyard:
    """Processes of ours on given servers. The domain clock is moved by hand only, once it was made to stand."""

    def __init__(self, endpoints: Endpoints, folder: Path, **settings: object) -> None:
        self.endpoints = endpoints
        self._folder = folder
        self._children: list[Child] = []
        self.api: Child | None = None
        self.workers: list[Child] = []
        self.port = _free_port()
        self._given: dict[str, object] = {"jwt_secret": SECRET, "port": self.port, "stop_timeout_s": 5, **settings}
        self.http = f"http://127.0.0.1:{self.port}"

    def settings(self, **others: object) -> Settings:
        urls = {"database_url": self.endpoints.database_url, "redis_url": self.endpoints.redis_url}
        return Settings().model_copy(update={**urls, **self._given, **others})

    def serve(self, **others: object) -> Child:
        """Start the API and wait until it is ready."""
        self.api = child = self._start("api", ("-m", "app", "serve"), others)
        deadline = time.monotonic() + START_S
        while True:
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.http}/readyz", timeout=2, verify=False).status_code == 200:
                    return child
            assert child.running, child.said()
            assert time.monotonic() < deadline, child.said()
            time.sleep(0.05)

    def work(self, queue: str = "all", **others: object) -> Child:
        """Start one more worker."""
        self.workers.append(self._start(f"worker-{queue}", ("-m", "workers", "--queue", queue), others))
        return self.workers[-1]

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Let the workers do nothing for a while, as if there were none."""
        for worker in self.workers:
            worker.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for worker in self.workers:
                worker.signal(signal.SIGCONT)

    def close(self) -> None:
        """End whatever still runs."""
        for child in reversed(self._children):
            if child.running:
                child.kill()

    def _start(self, name: str, arguments: Sequence[str], others: Mapping[str, object]) -> Child:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("STEELYARD_")}
        ours = {f"STEELYARD_{key.upper()}": str(value) for key, value in {**self._given, **others}.items()}
        urls = {"DATABASE_URL": self.endpoints.database_url, "REDIS_URL": self.endpoints.redis_url}
        log = self._folder / f"{name}-{len(self._children)}.log"
        child = Child(arguments, {**kept, **ours, **urls}, log)
        self._children.append(child)
        return child

    def person(self, subject: str, role: str | None = None, act: str | None = None) -> "Person":
        token = auth.issue(self.settings(), subject=subject, now=wall_now(), ttl_s=3600, role=role, act=act)
        return Person(self, subject, token)

    @property
    def operator(self) -> "Person":
        return self.person("operator", OPERATOR)

    @asynccontextmanager
    async def services(self, **others: object) -> AsyncIterator[Services]:
        """Open what a process of ours has, in the test's own."""
        async with open_services(self.settings(**others), on_thread) as services:
            yield services

    async def stand(self, at: datetime) -> None:
        """Make the domain clock stand at an instant."""
        async with self.services() as services:
            await stand(services, at)

    async def later(self, by: timedelta = timedelta(hours=1)) -> None:
        """Move the domain clock on, and let it stand there."""
        async with self.services() as services:
            await later(services, by)

    async def scan(self) -> dict[str, Any]:
        """Start the scan of the current bucket, if nobody did, wait until it has ended and return its figures."""
        operator = self.operator
        scan = (await operator.ask("mutation { scanStart { scan { id } } }"))["scanStart"]["scan"]
        query = "{ healthScans(first: 20) { nodes { id bucket endedAt due scanned breached alerts failed } } }"
        found: dict[str, Any] = {}

        async def ended() -> bool:
            runs = (await operator.ask(query))["healthScans"]["nodes"]
            found.update(next(run for run in runs if run["id"] == scan["id"]))
            return found["endedAt"] is not None

        await until(ended)
        return found

    async def next_hour(self) -> dict[str, Any]:
        """Move the clock on by an hour and scan."""
        await self.later()
        return await self.scan()

    async def until_passed(self) -> float:
        """Wait until no price waits to be looked at."""
        waiting = """
            SELECT count(*) FROM relay_cursors c
            WHERE c.until IS NOT NULL OR EXISTS (SELECT FROM prices p WHERE p.xid >= c.xid)
        """

        async def passed() -> bool:
            return await self.rows(waiting) == [(0,)]

        return await until(passed, 30)

    async def cursor(self) -> str:
        """Return a cursor that lies between everything until now and everything from now on."""
        async with self.services() as services, services.store.shared() as tx:
            return await current_cursor(tx)

    async def rows(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        """Run one statement as the owner of the tables."""
        connection = await asyncpg.connect(self.endpoints.migrate_database_url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *args)]
        finally:
            await connection.close()


@dataclass
class Feed:
    """What a subscriber has received so far, and how it ended, if it did."""

    received: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None
    ended: bool = False

    async def until(self, count: int, within_s: float = WITHIN_S) -> list[dict[str, Any]]:
        """Wait for `count` events in all and return them."""

        async def enough() -> bool:
            assert not self.ended or len(self.received) >= count, f"ended after {self.received}: {self.error!r}"
            return len(self.received) >= count

        await until(enough, within_s)
        return self.received

    async def until_end(self, within_s: float = WITHIN_S) -> None:
        async def over() -> bool:
            return self.ended

        await until(over, within_s)

    async def silence(self, for_s: float) -> None:
        """Give what should not come the time to come."""
        before = len(self.received)
        await asyncio.sleep(for_s)
        assert self.received[before:] == []


@dataclass(frozen=True)
class Person:
    """Somebody with a token."""

    steelyard: Steelyard
    subject: str
    token: str

    async def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send one request, with JSON if there is a body."""
        given = {"authorization": f"Bearer {self.token}", **(headers or {})}
        async with httpx2.AsyncClient(verify=False, timeout=40, trust_env=False) as client:
            return await client.request(method, self.steelyard.http + path, json=body, headers=given)

    async def answer(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask GraphQL and return the whole answer, errors included."""
        response = await self.send("POST", "/graphql", {"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask GraphQL and return the data; errors are not expected."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def change(self, mutation: str, selection: str, **given: object) -> dict[str, Any]:
        """Run one mutation with an input, and return its payload with `userErrors`."""
        kind = mutation[0].upper() + mutation[1:] + "Input"
        errors = "userErrors { __typename message code path ... on TargetsSumError { sum missing } }"
        document = f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} {errors} }} }}"
        payload: dict[str, Any] = (await self.ask(document, input=given))[mutation]
        return payload

    async def done(self, mutation: str, selection: str, **given: object) -> dict[str, Any]:
        """Run one mutation that has to succeed."""
        payload = await self.change(mutation, selection, **given)
        assert payload["userErrors"] == []
        return payload

    async def list_asset(self, symbol: str, price: str | None = None, **fields: object) -> None:
        """As an operator: add an asset, a stock unless told otherwise, and its price."""
        await self.done("assetUpsert", "asset { id }", symbol=symbol, **{"assetClass": "STOCK", **fields})
        if price is not None:
            await self.record({symbol: price})

    async def record(self, prices: Mapping[str, str]) -> None:
        """As an operator: record prices of now."""
        drafts = [{"symbol": symbol, "price": price} for symbol, price in prices.items()]
        payload = await self.done("pricesRecord", "recorded", prices=drafts)
        assert payload["recorded"] == len(prices)

    async def create(self, **given: object) -> str:
        """Create a portfolio and return its id."""
        payload = await self.done("portfolioCreate", "portfolio { id }", **{"name": "Savings", **given})
        return str(payload["portfolio"]["id"])

    @asynccontextmanager
    async def on_socket(self, query: str, **variables: object) -> AsyncIterator[Feed]:
        """Follow a subscription over graphql-transport-ws."""
        transport = WebsocketsTransport(
            url=self.steelyard.http.replace("http", "ws") + "/graphql",
            init_payload={"authorization": f"Bearer {self.token}"},
        )
        async with Client(transport=transport) as session:
            request = GraphQLRequest(query, variable_values=variables)
            async with _collecting(session.subscribe(request)) as feed:
                yield feed

    @asynccontextmanager
    async def on_stream(self, query: str, **variables: object) -> AsyncIterator[Feed]:
        """Follow a subscription over server-sent events."""
        async with _collecting(self._events(query, variables)) as feed:
            yield feed

    async def _events(self, query: str, variables: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]:
        headers = {"authorization": f"Bearer {self.token}", "accept": "text/event-stream"}
        body = {"query": query, "variables": variables}
        async with (
            httpx2.AsyncClient(verify=False, timeout=None, trust_env=False) as client,
            client.stream("POST", self.steelyard.http + "/graphql", json=body, headers=headers) as response,
        ):
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("data:") and (data := line.removeprefix("data:").strip()):
                    answer = json.loads(data)
                    assert "errors" not in answer, answer["errors"]
                    yield answer["data"]


@asynccontextmanager
async def _collecting(answers: AsyncIterator[dict[str, Any]]) -> AsyncIterator[Feed]:
    feed = Feed()

    async def collect() -> None:
        try:
            async for answer in answers:
                [event] = answer.values()
                feed.received.append(event)
        except Exception as error:
            feed.error = error
        finally:
            feed.ended = True

    task = asyncio.create_task(collect())
    try:
        yield feed
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def stand(services: Services, at: datetime) -> None:
    """Make the domain clock stand at an instant."""
    async with services.store.shared() as tx:
        await set_clock(tx, Clock(wall_now(), at, STANDING))


async def later(services: Services, by: timedelta = timedelta(hours=1)) -> None:
    """Move a standing domain clock on."""
    async with services.store.shared() as tx:
        clock = await read_clock(tx)
        assert clock.rate == STANDING, "make the clock stand first"
        await set_clock(tx, Clock(wall_now(), clock.anchored_domain + by, STANDING))


async def enter(services: Services, subject: str, role: str | None = None) -> Context:
    """Return the context of somebody who calls now."""
    roles = frozenset({role} if role else ())
    return await access.enter(services, issuer="steelyard", subject=subject, tool=None, roles=roles)


@cache
def _schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


def selection_of(type_name: str) -> str:
    """Write the selection of everything a schema type has, as deep as it goes; fields with arguments are left out."""
    kind = _schema().type_map[type_name]
    if isinstance(kind, GraphQLInterfaceType):
        made = _schema().get_possible_types(kind)
        return " ".join(f"... on {one.name} {{ {selection_of(one.name)} }}" for one in made)
    assert isinstance(kind, GraphQLObjectType)
    return " ".join(_selected(name, field) for name, field in kind.fields.items() if not field.args)


def _selected(name: str, field: GraphQLField) -> str:
    named = get_named_type(field.type)
    return f"{name} {{ {selection_of(named.name)} }}" if is_composite_type(named) else name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
