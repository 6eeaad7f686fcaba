"""The edge: what it lets in, what it refuses and how, and what it puts on every answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.api import edge
from app.core.errors import InvalidInput
from app.settings import Settings

JSON_TYPE = {"content-type": "application/json"}


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def whoami(request: Request) -> Response:
    bound = structlog.contextvars.get_contextvars()
    return JSONResponse({"state": request.state.request_id, "log": bound["request_id"]})


async def asset(request: Request) -> Response:
    return PlainTextResponse("x", headers={"cache-control": "public, max-age=60", "server": "secret/1.0"})


async def events(request: Request) -> Response:
    async def stream() -> AsyncIterator[str]:
        yield "data: 1\n\n"
        yield "data: 2\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-cache"})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(websocket.state.request_id)
    await websocket.close()


ROUTES = [
    Route("/echo", echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    Route("/lots.csv", echo, methods=["POST"]),
    Route("/whoami", whoami),
    Route("/asset", asset),
    Route("/events", events),
    WebSocketRoute("/socket", socket),
]


def edge_of(app: Any = None, **given_settings: Any) -> edge.Edge:
    counter = iter(range(1, 1000))
    return edge.Edge(app or Starlette(routes=ROUTES), Settings(**given_settings), lambda: f"made-{next(counter)}")


def client(**given_settings: Any) -> TestClient:
    return TestClient(edge_of(**given_settings), base_url="http://steelyard.test:8000")


def refusal_of(response: Any) -> tuple[int, str]:
    """Check the shape of a problem, and return its status and code."""
    assert response.headers["content-type"] == "application/problem+json"
    members = response.json()
    assert sorted(members) == ["code", "detail", "requestId", "status", "title", "type"]
    assert members["type"] == "about:blank"
    assert members["status"] == response.status_code
    assert members["requestId"] == response.headers["x-request-id"]
    return response.status_code, members["code"]


# ---------------------------------------------------------------- direct calls, for what no client would send


async def call(app: edge.Edge, arriving: Iterable[Message], **given: Any) -> list[Message]:
    """Call the application as a server does; when nothing more arrives, it waits for ever."""
    waiting = list(arriving)
    sent: list[Message] = []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/echo",
        "raw_path": b"/echo",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        **given,
    }
    await app(scope, receive, send)
    return sent


def chunk(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


# ---------------------------------------------------------------- size and time


@pytest.mark.parametrize(("size", "status"), [(0, 200), (2048, 200), (2049, 413)])
def test_body_is_limited_by_its_stated_length(size: int, status: int) -> None:
    response = client(body_max_bytes=2048).post("/echo", content=b"x" * size, headers=JSON_TYPE)
    assert response.status_code == status
    if status == 413:
        assert refusal_of(response) == (413, "BODY_TOO_LARGE")
        assert response.json()["detail"] == "the body is larger than 2048 bytes"
        assert response.headers["connection"] == "close"
    else:
        assert response.content == b"x" * size


async def test_oversized_body_is_refused_unread_when_its_length_is_stated() -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2049")]
    sent = await call(edge_of(body_max_bytes=2048), [], headers=headers)
    assert sent[0]["status"] == 413


async def test_body_without_length_is_limited_as_it_arrives() -> None:
    within = await call(edge_of(body_max_bytes=2048), [chunk(b"x" * 1024), chunk(b"x" * 1024, more=False)])
    assert within[0]["status"] == 200
    outside = await call(edge_of(body_max_bytes=2048), [chunk(b"x" * 1024), chunk(b"x" * 1025)])
    assert outside[0]["status"] == 413


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xd9\xa1", b"1" * 19, b""])
async def test_length_that_is_no_number_is_refused(length: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    assert (await call(edge_of(), [], headers=headers))[0]["status"] == 400


async def test_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "BODY_TIMEOUT_S", 0.02)
    sent = await call(edge_of(), [chunk(b"{")])
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "BODY_TIMEOUT"


async def test_client_that_leaves_gets_no_answer() -> None:
    assert await call(edge_of(), [chunk(b"{"), {"type": "http.disconnect"}]) == []


# ---------------------------------------------------------------- media types


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        ("/echo", "application/json", 200),
        ("/echo", "application/json; charset=UTF-8", 200),
        ("/echo", 'APPLICATION/JSON;charset="utf-8"', 200),
        ("/echo", "application/json; charset=latin-1", 415),
        ("/echo", "application/jsonp", 415),
        ("/echo", "text/plain", 415),
        ("/echo", "text/plain; application/json", 415),
        ("/echo", "text/csv", 415),
        ("/echo", "multipart/form-data; boundary=x", 415),
        ("/echo", "application/x-www-form-urlencoded", 415),
        ("/echo", None, 415),
        ("/lots.csv", "text/csv; charset=utf-8", 200),
        ("/lots.csv", "application/json", 415),
    ],
)
def test_body_must_say_that_it_is_json_or_csv(path: str, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = client().post(path, content=b"{}", headers=headers)
    assert response.status_code == status
    if status == 415:
        assert refusal_of(response) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_every_method_with_a_body_is_behind_the_wall(method: str) -> None:
    response = client().request(method, "/echo", content=b"{}", headers={"content-type": "text/plain"})
    assert refusal_of(response) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_two_content_types_are_refused() -> None:
    headers = [(b"content-type", b"application/json"), (b"content-type", b"text/plain")]
    assert (await call(edge_of(), [], headers=headers))[0]["status"] == 415


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("identity, gzip", 415), ("identity", 200)])
def test_encoded_body_is_refused(coding: str, status: int) -> None:
    response = client().post("/echo", content=b"{}", headers={**JSON_TYPE, "content-encoding": coding})
    assert response.status_code == status
    if status == 415:
        assert refusal_of(response) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert response.headers["accept-encoding"] == "identity"


# ---------------------------------------------------------------- request ids and headers


@pytest.mark.parametrize(
    ("given_id", "used"),
    [
        ("job-7_A.b", "job-7_A.b"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "made-1"),
        ("a b", "made-1"),
        ("a\nb", "made-1"),
        ("", "made-1"),
        (None, "made-1"),
    ],
)
def test_request_id_is_taken_if_sane_and_answered_and_logged(given_id: str | None, used: str) -> None:
    headers = {} if given_id is None else {b"x-request-id": given_id.encode()}
    response = client().get("/whoami", headers=headers)
    assert response.json() == {"state": used, "log": used}
    assert response.headers["x-request-id"] == used
    assert structlog.contextvars.get_contextvars() == {}


def test_answer_is_not_sniffed_kept_or_signed() -> None:
    response = client().get("/whoami")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "server" not in response.headers


def test_only_what_is_public_may_be_kept() -> None:
    response = client().get("/asset")
    assert response.headers["cache-control"] == "public, max-age=60"
    assert "server" not in response.headers


def test_not_found_carries_a_request_id_too() -> None:
    assert client().get("/nowhere").headers["x-request-id"] == "made-1"


async def test_failure_is_answered_without_internals() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the password is swordfish")

    sent = await call(edge_of(app), [chunk(b"{}", more=False)])
    assert sent[0]["status"] == 500
    problem = json.loads(sent[1]["body"])
    assert (problem["code"], problem["requestId"]) == ("INTERNAL", "made-1")
    assert b"swordfish" not in sent[1]["body"]


async def test_failure_after_the_start_of_the_answer_is_passed_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        await call(edge_of(app), [chunk(b"{}", more=False)])


# ---------------------------------------------------------------- streams


async def test_stream_goes_out_event_by_event_and_sees_the_client_leave() -> None:
    leaving = asyncio.Event()
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-cache")]})
        seen.append((await receive())["type"])
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            assert sent[-1]["body"] == event
        leaving.set()
        seen.append((await receive())["type"])

    sent: list[Message] = []
    arriving = [chunk(b"", more=False)]

    async def receive() -> Message:
        if arriving:
            return arriving.pop()
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/events", "headers": []}
    await edge_of(app)(scope, receive, send)
    assert seen == ["http.request", "http.disconnect"]
    assert (b"cache-control", b"no-store") in sent[0]["headers"]


def test_server_sent_events_arrive_whole() -> None:
    assert client().get("/events").text == "data: 1\n\ndata: 2\n\n"


def test_lifespan_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])
        await Starlette(routes=ROUTES)(scope, receive, send)

    with TestClient(edge_of(app)):
        assert seen == ["lifespan"]


# ---------------------------------------------------------------- sockets

OWN = "steelyard.test:8000"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, OWN, True),
        ("http://steelyard.test:8000", OWN, True),
        ("HTTP://Steelyard.Test:8000", OWN, True),
        ("https://steelyard.test:8000", OWN, True),
        ("https://steelyard.test", "steelyard.test", True),
        ("https://steelyard.test", "steelyard.test:443", True),
        ("http://steelyard.test:80", "steelyard.test", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://dash.example.com", OWN, True),
        ("https://dash.example.com:444", OWN, False),
        ("http://dash.example.com", OWN, False),
        ("http://steelyard.test:8001", OWN, False),
        ("http://steelyard.test", OWN, False),
        ("http://evil.example", OWN, False),
        ("http://steelyard.test:8000.evil.example", OWN, False),
        ("http://steelyard.test:8000@evil.example", OWN, False),
        ("ftp://steelyard.test:8000", OWN, False),
        ("null", OWN, False),
        ("", OWN, False),
        ("steelyard.test:8000", OWN, False),
    ],
)
def test_socket_opens_for_our_own_and_allowed_origins(origin: str | None, host: str, allowed: bool) -> None:
    headers = {"host": host} if origin is None else {"host": host, "origin": origin}
    caller = client(allowed_origins=("https://Dash.example.com",))
    if allowed:
        with caller.websocket_connect("/socket", headers=headers) as opened:
            assert opened.receive_json() == "made-1"
            assert (b"x-request-id", b"made-1") in (opened.extra_headers or [])
    else:
        with pytest.raises(WebSocketDenialResponse) as denied, caller.websocket_connect("/socket", headers=headers):
            pass
        assert refusal_of(denied.value) == (403, "FORBIDDEN")


async def test_refused_handshake_is_closed_where_no_answer_can_be_sent() -> None:
    sent = await call(
        edge_of(), [{"type": "websocket.connect"}], type="websocket", headers=[(b"origin", b"http://evil.example")]
    )
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_two_origins_are_refused() -> None:
    headers = [(b"host", b"a"), (b"origin", b"http://a"), (b"origin", b"http://evil.example")]
    sent = await call(edge_of(), [{"type": "websocket.connect"}], type="websocket", headers=headers)
    assert sent == [{"type": "websocket.close", "code": 1008}]


# ---------------------------------------------------------------- strict JSON


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, "x", null, true], "b": {"c": "1.50"}}', {"a": [1, "x", None, True], "b": {"c": "1.50"}}),
        (b' "\\ud83d\\ude00" ', "\U0001f600"),
        ('"é"'.encode(), "é"),
        (b"12345678901234567890123", 12345678901234567890123),
        (b'{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
        (b"[" * 32 + b"1" + b"]" * 32, eval("[" * 32 + "1" + "]" * 32)),
    ],
)
def test_json_is_read(body: bytes, value: object) -> None:
    assert edge.strict_json(body) == value


def test_fraction_comes_back_as_float_for_the_scalars_to_refuse() -> None:
    assert edge.strict_json(b"[1.5, 1e2, 1]") == [1.5, 100.0, 1]
    assert [type(number) for number in edge.strict_json(b"[1.5, 1e2, 1]")] == [float, float, int]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON: Expecting value, line 1 column 1"),
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes, line 1 column 2"),
        (b"{} {}", "the body is not JSON: Extra data, line 1 column 4"),
        (b'"\x01"', "the body is not JSON: Invalid control character at, line 1 column 2"),
        (b"\xef\xbb\xbf{}", "the body is not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig), line 1 column 1"),
        (b'"\xff"', "the body is not UTF-8: byte 1 does not fit"),
        ("{}".encode("utf-16"), "the body is not UTF-8: byte 0 does not fit"),
        (b'"\xed\xa0\x80"', "the body is not UTF-8: byte 1 does not fit"),
        (b"NaN", "the body holds NaN, which is not JSON"),
        (b"[-Infinity]", "the body holds -Infinity, which is not JSON"),
        (b"[1e999]", "the body holds the number 1e999, which is too large"),
        (b"1" * 5000, "the body holds a number with too many digits"),
        (b'{"a": 1, "a": 1}', "the body gives 'a' twice in one object"),
        (b'[{"b": 0, "a": 1, "\\u0061": 2}]', "the body gives 'a' twice in one object"),
        (b'["\\ud800"]', "the body holds half of a surrogate pair"),
        (b'{"\\uDFFF": 1}', "the body holds half of a surrogate pair"),
        (b'{"a": ["\\ude00\\ud83d"]}', "the body holds half of a surrogate pair"),
        (b"[" * 33 + b"]" * 33, "the body nests deeper than 32 levels"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "the body nests deeper than 32 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "the body nests deeper than 32 levels"),
    ],
)
def test_what_parsers_read_differently_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(edge.MalformedBody) as caught:
        edge.strict_json(body)
    assert caught.value.message == message
    assert caught.value.code == "BAD_REQUEST"
    assert isinstance(caught.value, InvalidInput)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.booleans())
def test_what_is_written_is_read_again(value: object, ascii_only: bool) -> None:
    assert edge.strict_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with suppress(edge.MalformedBody):
        assert edge.strict_json(body) == json.loads(body)
