"""The API's composition root: settings to connections to routes, and the order in which they start and stop."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from app import logs
from app import settings as settings_module
from app.actions.live import Hub
from app.api import auth, metrics, rest
from app.api.edge import Edge, problem
from app.api.graphql import GraphQLApp
from app.api.schema import make_schema
from app.context import Services, new_request_id, on_thread, open_services
from app.settings import Settings


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Build the application; refuses to start with keys that are weak or missing."""
    settings = settings or settings_module.load()
    logs.configure(settings)
    auth.check(settings)
    verifier = auth.Verifier(settings)
    schema = make_schema(introspection=settings.introspection)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_services(settings, on_thread) as services:
            hub = Hub(services)
            watching = asyncio.create_task(hub.run())
            graphql = GraphQLApp(schema, services, verifier, hub)
            # Routes rather than a mount: a mount would redirect /graphql to /graphql/.
            app.router.routes += [
                Route("/graphql", graphql, methods=["GET", "POST"]),
                WebSocketRoute("/graphql", graphql),
                *rest.routes(services, verifier, hub),
                Route("/readyz", _ready(services)),
                *metrics.routes(services, hub),
            ]
            _before_stopping(hub.closing.set)
            try:
                yield
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching

    app = Starlette(
        routes=[Route("/healthz", _healthy)], lifespan=lifespan, exception_handlers={HTTPException: _no_such_route}
    )
    return Edge(app, settings, new_request_id)


def _before_stopping(act: Callable[[], None]) -> None:
    """Run `act` when we are told to stop: the server waits for open streams, so they must end first."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, partial(_act_first, loop, act, handler))


def _act_first(
    loop: asyncio.AbstractEventLoop,
    act: Callable[[], None],
    handler: Callable[[int, FrameType | None], Any],
    number: int,
    frame: FrameType | None,
) -> None:
    loop.call_soon_threadsafe(act)
    handler(number, frame)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "NOT_FOUND" if error.status_code == 404 else "BAD_REQUEST"
    body = problem(
        error.status_code, code, f"{request.method} {request.url.path}: {error.detail}", request.state.request_id
    )
    return Response(body, error.status_code, dict(error.headers or {}), "application/problem+json")


async def _healthy(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _ready(services: Services) -> Callable[[Request], Any]:
    async def ready(_: Request) -> JSONResponse:
        """Ready needs the database; without Redis everything works, only live updates and heavy plans come later."""
        database, redis = await asyncio.gather(services.store.ping(), services.bus.ping())
        answer = {"status": "ok" if database else "unavailable", "database": database, "redis": redis}
        return JSONResponse(answer, status_code=200 if database else 503)

    return ready
