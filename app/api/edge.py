"""The edge: what every request passes before, and every answer after, anything else of ours sees it.

Pure ASGI and outermost, so that each answer carries a request id, whoever makes it. A request body is read here, within
its size and its time, and handed on whole; answers are streamed through as they come.
"""

import asyncio
import json
import re
from collections.abc import Callable
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.actions import strict
from app.core.errors import InvalidInput
from app.settings import Settings

BODY_TIMEOUT_S = 10.0
"""For a whole body, so that nobody holds a connection by sending it in crumbs."""
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
CSV_SUFFIX = ".csv"
"""A path that ends so takes text/csv; every other takes JSON."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CONTENT_LENGTH = re.compile(r"[0-9]{1,18}")
AUTHORITY = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
DEFAULT_PORTS = {"http": "80", "https": "443"}

log = structlog.get_logger(__name__)


class MalformedBody(InvalidInput):
    """The body is not the JSON it claims to be. Unlike other invalid input this is HTTP 400."""

    code = "BAD_REQUEST"


class Edge:
    """Wraps the whole application. `new_request_id` makes the ids of requests that bring none."""

    def __init__(self, app: ASGIApp, settings: Settings, new_request_id: Callable[[], str]) -> None:
        self._app = app
        self._body_max_bytes = settings.body_max_bytes
        self._allowed_origins = frozenset(origin.lower() for origin in settings.allowed_origins)
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = self._request_id(headers)
        scope = {**scope, "state": {**scope.get("state", {}), "request_id": request_id}}
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["type"] == "http":
                await self._http(scope, headers, receive, Answer(scope, send, request_id))
            else:
                await self._websocket(scope, headers, receive, send, request_id)

    def _request_id(self, headers: Headers) -> str:
        given = headers.get("x-request-id", "")
        return given if REQUEST_ID.fullmatch(given) else self._new_request_id()

    async def _http(self, scope: Scope, headers: Headers, receive: Receive, answer: "Answer") -> None:
        try:
            _check_head(scope, headers)
            body = await self._body(headers, receive)
        except Refusal as refusal:
            await answer.refuse(refusal)
            return
        if body is None:
            return  # the client left; there is nobody to answer
        try:
            await self._app(scope, _replay(body, receive), answer.send)
        except Exception:
            if answer.started:
                raise
            log.exception("request_failed")
            await answer.refuse(Refusal(500, "INTERNAL", "something went wrong here; quote the request id"))
        finally:
            log.info("request", method=scope["method"], path=scope["path"], status=answer.status)

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """Return the whole body, or None when the client leaves before it is complete."""
        stated = headers.get("content-length")
        if stated is not None and not CONTENT_LENGTH.fullmatch(stated):
            raise Refusal(400, "BAD_REQUEST", "Content-Length is not a number")
        if stated is not None and int(stated) > self._body_max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self._body_max_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Refusal(408, "BODY_TIMEOUT", f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None

    def _too_large(self) -> "Refusal":
        return Refusal(413, "BODY_TOO_LARGE", f"the body is larger than {self._body_max_bytes} bytes")

    async def _websocket(self, scope: Scope, headers: Headers, receive: Receive, send: Send, request_id: str) -> None:
        if not self._origin_is_ours(headers):
            await receive()  # the handshake is answered after it was seen
            refusal = Refusal(403, "FORBIDDEN", "this origin may not open sockets; add it to STEELYARD_ALLOWED_ORIGINS")
            await _refuse_handshake(scope, send, refusal, request_id)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                message = _with_edge_headers(message, request_id)
            await send(message)

        await self._app(scope, receive, send_with_id)

    def _origin_is_ours(self, headers: Headers) -> bool:
        origins = headers.getlist("origin")
        if not origins:
            return True  # not a browser, so nobody whose credentials could be borrowed
        if len(origins) > 1:
            return False
        origin = origins[0].lower()
        if origin in self._allowed_origins:
            return True
        scheme, _, authority = origin.partition("://")
        if scheme not in DEFAULT_PORTS:
            return False
        # A proxy may have ended TLS, so only the origin knows the scheme that a port left out stands for.
        asked = _authority(headers.get("host", "").lower(), scheme)
        return asked is not None and _authority(authority, scheme) == asked


class Refusal(Exception):
    """A request the edge does not let in."""

    def __init__(self, status: int, code: str, detail: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers


class Answer:
    """The way back of one HTTP request."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._http1 = scope.get("http_version", "1.1").startswith("1")
        self._send = send
        self._request_id = request_id
        self.started = False
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            message = _with_edge_headers(message, self._request_id)
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        body = problem(refusal.status, refusal.code, refusal.detail, self._request_id)
        headers = [*_problem_headers(body), *refusal.headers]
        if self._http1:
            headers.append((b"connection", b"close"))  # there may be a body that was not read
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def problem(status: int, code: str, detail: str, request_id: str) -> bytes:
    """Return the body of an application/problem+json answer."""
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": request_id,
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def strict_json(body: bytes) -> object:
    """Parse a JSON body strictly; raise MalformedBody for what is refused."""
    try:
        return strict.parse(body.decode(), "the body")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start} does not fit") from None
    except InvalidInput as error:
        raise MalformedBody(error.message) from None


def _check_head(scope: Scope, headers: Headers) -> None:
    """Refuse by the headers alone what need not be read.

    That a body must call itself JSON is the wall against forged cross-site requests: a page elsewhere can send forms,
    files and plain text without asking, and nothing else.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        detail = "encoded bodies are not read; send it without Content-Encoding"
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", detail, (b"accept-encoding", b"identity"))
    if scope["method"] not in METHODS_WITH_BODY:
        return
    wanted = "text/csv" if scope["path"].endswith(CSV_SUFFIX) else "application/json"
    given = headers.getlist("content-type")
    if len(given) != 1 or not _is_media_type(given[0], wanted):
        detail = f"send the body as {wanted} in UTF-8, and say so in Content-Type"
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", detail, (b"accept-post", wanted.encode()))


def _is_media_type(header: str, wanted: str) -> bool:
    name, *parameters = (part.strip().lower() for part in header.split(";"))
    charsets = [parameter for parameter in parameters if parameter.startswith("charset")]
    return name == wanted and all(charset in ("charset=utf-8", 'charset="utf-8"') for charset in charsets)


def _authority(text: str, scheme: str) -> tuple[str, str] | None:
    found = AUTHORITY.fullmatch(text)
    return None if found is None else (found[1], found[2] or DEFAULT_PORTS[scheme])


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the body once and then what the client does next, which is to leave."""
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed


def _with_edge_headers(message: Message, request_id: str) -> Message:
    headers = MutableHeaders(raw=list(message.get("headers", [])))
    headers["x-request-id"] = request_id
    headers["x-content-type-options"] = "nosniff"
    if "public" not in headers.get("cache-control", ""):  # only what says it is everybody's may be kept
        headers["cache-control"] = "no-store"
    if "server" in headers:
        del headers["server"]
    return {**message, "headers": headers.raw}


def _problem_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]


async def _refuse_handshake(scope: Scope, send: Send, refusal: Refusal, request_id: str) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})  # before the accept: the server answers 403
        return
    body = problem(refusal.status, refusal.code, refusal.detail, request_id)
    start: Message = {
        "type": "websocket.http.response.start",
        "status": refusal.status,
        "headers": _problem_headers(body),
    }
    await send(_with_edge_headers(start, request_id))
    await send({"type": "websocket.http.response.body", "body": body})
