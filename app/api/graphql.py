"""GraphQL over HTTP, server-sent events and graphql-transport-ws: the way from a request to the schema and back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import orjson
import structlog
from cross_web import HTTPException
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.dataloader import DataLoader
from strawberry.exceptions import ConnectionRejectionError
from strawberry.extensions import SchemaExtension
from strawberry.http import GraphQLHTTPResponse
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.types.unset import UNSET

from app.actions import access, blocks, drift
from app.actions.blocks import Share
from app.actions.live import Hub
from app.actions.pages import Page
from app.actions.portfolios import Loaded
from app.api import edge, errors, streams
from app.api.auth import Principal, Verifier, bearer
from app.context import Context, Services, wall_now
from app.core.drift import Report
from app.core.errors import Unauthenticated
from app.core.order_values import Block

INIT_TIMEOUT: Final = timedelta(seconds=10)
SUBSCRIPTIONS_MAX: Final = 20
MESSAGE_MAX: Final = 65_536
TOKEN_ENDED: Final = 4403
ENDED_MESSAGE: Final = "the token has ended; get a new one"
ENDED_ANSWER: Final = {"errors": [{"message": ENDED_MESSAGE, "extensions": {"code": Unauthenticated.code}}]}
ENDED_EVENTS: Final = (
    f"event: next\r\ndata: {orjson.dumps(ENDED_ANSWER).decode()}\r\n\r\nevent: complete\r\ndata: \r\n\r\n"
)
RESTARTING: Final = 1012
MALFORMED: Final = 4400
REASON_MAX: Final = 123
GRAPHQL_JSON: Final = "application/graphql-response+json"

log = structlog.get_logger(__name__)


@dataclass
class Caller:
    """What resolvers see: who is calling, over HTTP or on a socket."""

    services: Services
    verifier: Verifier
    hub: Hub
    socket: WebSocket | None = None
    principal: Principal | None = None
    connection_params: dict[str, Any] = field(default_factory=dict)
    _context: Context | None = None

    def __post_init__(self) -> None:
        # Without a cache, as a socket lives long: it only gathers what one answer asks for into one statement.
        self.tracking_errors: DataLoader[tuple[Loaded, Report], Decimal | None] = DataLoader(
            self._tracking_errors, cache=False
        )
        self.blocks: DataLoader[str, Block | None] = DataLoader(self._blocks, cache=False)
        self.block_shares: DataLoader[tuple[str, int, str | None], Page[Share]] = DataLoader(
            self._block_shares, cache=False
        )

    async def _tracking_errors(self, asked: list[tuple[Loaded, Report]]) -> list[Decimal | None]:
        return await drift.tracking_errors(await self.context(), asked)

    async def _blocks(self, client_ids: list[str]) -> list[Block | None]:
        return await blocks.of_orders(await self.context(), client_ids)

    async def _block_shares(self, asked: list[tuple[str, int, str | None]]) -> list[Page[Share]]:
        return await blocks.shares(await self.context(), asked)

    async def context(self) -> Context:
        """Return the caller's context: one instant for a whole HTTP request, a fresh one for each call on a socket."""
        assert self.principal is not None
        if self._context is not None:
            return self._context
        self.check_token()
        context = await access.enter(
            self.services,
            issuer=self.principal.issuer,
            subject=self.principal.subject,
            tool=self.principal.act,
            roles=self.principal.roles,
        )
        if self.socket is None:
            self._context = context
        return context

    def check_token(self) -> None:
        """End a stream, or refuse a call on a socket, when the token has ended."""
        if self.principal is None or self.principal.expires_at <= wall_now():
            raise Unauthenticated(ENDED_MESSAGE)

    async def authenticate(self, header: str | None) -> None:
        self.principal = await self.verifier.verify(bearer(header), wall_now())

    def carry(self, stream: AsyncIterator[str], farewell: str, pulse: str | None = None) -> AsyncIterator[str]:
        """Hand on the caller's server-sent events until they, the token or this process end."""
        assert self.principal is not None
        left_s = (self.principal.expires_at - wall_now()).total_seconds()
        return streams.carry(stream, self.hub.closing, left_s=left_s, farewell=farewell, pulse=pulse)


class PublicErrors(SchemaExtension):
    """Gives every error its public form, in answers and in streams; what is ours alone goes to the log."""

    streamed = False

    def on_operation(self) -> Iterator[None]:
        self.streamed = False
        yield
        if not self.streamed:
            self._process(self.execution_context.result)

    def on_stream_result(self, result: object) -> Iterator[None]:
        self.streamed = True
        self._process(result)
        yield

    def _process(self, result: object) -> None:
        found = getattr(result, "errors", None)
        if found:
            result.errors = [errors.public(error) for error in found]  # type: ignore[attr-defined]


def log_errors(found: list[GraphQLError]) -> None:
    """Log the errors that are ours; the caller's own mistakes are the caller's business."""
    for error in found:
        original = error.original_error
        if original is not None and errors.is_internal(original):
            log.error("resolver_failed", path=error.path, exc_info=original)


class Socket(ASGIWebSocketAdapter):
    """Closes with a reason that fits: a longer one, which may hold what the client sent, would break the socket."""

    async def close(self, code: int, reason: str) -> None:
        await super().close(code, reason.encode()[:REASON_MAX].decode(errors="ignore"))


class TransportHandler(BaseGraphQLTransportWSHandler[Any, Any]):
    """Closes with the protocol's codes: 4400 for a frame that is no message, 4403 when the token ends."""

    end: asyncio.Task[None] | None = None
    cut: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        self.cut = asyncio.create_task(self._close_when_stopping())
        await super().handle()

    async def _close_when_stopping(self) -> None:
        """Close before the server does, and without completing the subscriptions: a client then connects again."""
        await self.context.hub.closing.wait()
        await self.websocket.close(code=RESTARTING, reason="Service restart")

    async def handle_message(self, message: Any) -> None:
        well_formed = isinstance(message, dict) and isinstance(message.get("type"), str)
        if well_formed and message["type"] in ("subscribe", "complete"):
            well_formed = isinstance(message.get("id"), str)
        if well_formed and message["type"] == "subscribe":
            payload = message.get("payload")
            well_formed = isinstance(payload, dict) and isinstance(payload.get("query"), str)
            well_formed = well_formed and isinstance(payload.get("variables"), dict | None)
            well_formed = well_formed and isinstance(payload.get("operationName"), str | None)
        if not well_formed:
            await self.websocket.close(code=MALFORMED, reason="Malformed message")
            return
        await super().handle_message(message)
        principal = self.context.principal
        if self.connection_acknowledged and self.end is None and principal is not None:
            self.end = asyncio.create_task(self._close_at(principal))

    async def _close_at(self, principal: Principal) -> None:
        left_s = (principal.expires_at - wall_now()).total_seconds()
        await asyncio.sleep(max(0.0, left_s))
        await self.websocket.close(code=TOKEN_ENDED, reason="Token ended")

    async def shutdown(self) -> None:
        for task in (self.end, self.cut):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        await super().shutdown()


class GraphQLApp(GraphQL[Caller, None]):
    """The endpoint /graphql. Nobody without a token gets past it."""

    graphql_transport_ws_handler_class = TransportHandler
    websocket_adapter_class = Socket

    def __init__(self, schema: Any, services: Services, verifier: Verifier, hub: Hub) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=SUBSCRIPTIONS_MAX,
            # The edge has checked the origin of the handshake already.
            allowed_origins=["*"],
        )
        self.services, self.verifier, self.hub = services, verifier, hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.run(WebSocket(scope, receive=receive, send=send))
            return
        request = Request(scope, receive)
        if request.method == "POST":
            response = await self._respond(request)
        else:
            response = _refusal(405, "send the document in the body of a POST", "BAD_REQUEST", {"Allow": "POST"})
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            return await self.run(request)
        except HTTPException as error:
            return _refusal(error.status_code, error.reason, "BAD_REQUEST", {})
        except edge.MalformedBody as error:
            return _refusal(400, error.message, error.code, {})
        except Unauthenticated as error:
            return _refusal(401, error.message, error.code, {"WWW-Authenticate": "Bearer"})

    async def get_context(self, request: Request | WebSocket, response: Any) -> Caller:
        caller = Caller(self.services, self.verifier, self.hub)
        if isinstance(request, WebSocket):
            caller.socket = request
        else:
            await caller.authenticate(request.headers.get("authorization"))
            request.state.caller = caller
        return caller

    async def on_ws_connect(self, context: Caller) -> Any:
        """Authenticate a socket by `authorization` of the connection_init payload, or of the handshake."""
        assert context.socket is not None
        given = {str(name).lower(): value for name, value in context.connection_params.items()}
        header = given.get("authorization") or context.socket.headers.get("authorization")
        try:
            await context.authenticate(header if isinstance(header, str) else None)
        except Unauthenticated:
            raise ConnectionRejectionError from None
        return UNSET

    def decode_json(self, data: str | bytes) -> object:
        """Parse a body or a frame strictly. Frames that are no JSON close the socket with the protocol's code."""
        raw = data.encode() if isinstance(data, str) else data
        if isinstance(data, str) and len(raw) > MESSAGE_MAX:
            raise json.JSONDecodeError("message too large", "", 0)
        try:
            found = edge.strict_json(raw)
        except edge.MalformedBody:
            if isinstance(data, str):
                raise json.JSONDecodeError("malformed", "", 0) from None
            raise
        if isinstance(data, bytes) and not isinstance(found, dict):
            raise edge.MalformedBody("the body must be one JSON object; batches are not answered")
        return found

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        answer = await super().process_result(request, result)
        # Variables that do not fit are found at execution, but before any field: then no error has a path.
        executed = result.data is not None or any(error.path for error in result.errors or ())
        if isinstance(result, PreExecutionError) or not executed:
            answer.pop("data", None)
        return answer

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        accepted = request.headers.get("accept", "")
        return Response(media_type=GRAPHQL_JSON if GRAPHQL_JSON in accepted else "application/json")

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """Answer as GraphQL over HTTP says: with the newer media type, what was not executed is a 400."""
        refused = "data" not in response_data and sub_response.media_type == GRAPHQL_JSON
        body = self.encode_json(response_data)
        return Response(body, status_code=400 if refused else 200, media_type=sub_response.media_type)

    async def create_streaming_response(
        self,
        request: Request | WebSocket,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        caller: Caller = request.state.caller
        return StreamingResponse(caller.carry(stream(), ENDED_EVENTS), headers=dict(headers))


def _refusal(status: int, message: str, code: str, headers: dict[str, str]) -> Response:
    body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
    return Response(body, status_code=status, headers=headers, media_type="application/json")
