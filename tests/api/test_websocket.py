"""graphql-transport-ws with a client that follows no protocol unless told to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from app.api import graphql
from app.embedded import Endpoints
from tests.api.conftest import DEADLINE_S, PROTOCOL, Api, Caller, portfolio_of, running

ALERTS = "subscription { driftAlerts { cursor } }"
VERSION = "{ server { version } }"
LONG = "x" * 4000


def init(token: object) -> str:
    return json.dumps({"type": "connection_init", "payload": {"authorization": token}})


def subscribe(operation: str, query: object = ALERTS, **payload: object) -> str:
    return json.dumps({"id": operation, "type": "subscribe", "payload": {"query": query, **payload}})


def read(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=DEADLINE_S))


@contextmanager
def open_for(caller: Caller) -> Iterator[ClientConnection]:
    """Open a socket and go through its greeting."""
    with caller.api.socket() as socket:
        socket.send(init(f"Bearer {caller.token}"))
        assert read(socket) == {"type": "connection_ack"}
        yield socket


def closing_of(socket: ClientConnection, *, after: int = 0) -> tuple[int, str]:
    """Return the code and reason that the server closes with, after so many messages."""
    for _ in range(after):
        socket.recv(timeout=DEADLINE_S)
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=DEADLINE_S)
    assert closed.value.rcvd, "the connection broke instead of being closed"
    return closed.value.rcvd.code, closed.value.rcvd.reason


# ---------------------------------------------------------------- greeting


def test_socket_that_does_not_introduce_itself_is_closed(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql, "INIT_TIMEOUT", graphql.INIT_TIMEOUT / 50)
    with running(endpoints) as api, api.socket() as socket:
        assert closing_of(socket) == (4408, "Connection initialisation timeout")


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"connection_init"}',
        '{"type":"connection_init","payload":{}}',
        init(None),
        init(5),
        init("nonsense"),
        init("Bearer nonsense"),
        init(""),
    ],
)
def test_socket_without_a_good_token_is_closed(api: Api, frame: str) -> None:
    with api.socket() as socket:
        socket.send(frame)
        assert closing_of(socket) == (4403, "Forbidden")


@pytest.mark.parametrize("claims", [{"exp": 1}, {"iss": "elsewhere"}, {"aud": "elsewhere"}, {"sub": None}])
def test_socket_with_a_token_that_is_not_for_us_is_closed(api: Api, claims: dict[str, Any]) -> None:
    with api.socket() as socket:
        socket.send(init(f"Bearer {api.forged(**claims)}"))
        assert closing_of(socket) == (4403, "Forbidden")


def test_token_may_come_with_the_handshake(api: Api, owner: Caller) -> None:
    with api.socket(authorization=f"Bearer {owner.token}") as socket:
        socket.send('{"type":"connection_init"}')
        assert read(socket) == {"type": "connection_ack"}


def test_name_of_the_token_may_be_written_as_a_header_is(api: Api, owner: Caller) -> None:
    with api.socket() as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {owner.token}"}}))
        assert read(socket) == {"type": "connection_ack"}


def test_subscribing_before_the_greeting_closes(api: Api) -> None:
    with api.socket() as socket:
        socket.send(subscribe("1"))
        assert closing_of(socket) == (4401, "Unauthorized")


def test_second_greeting_closes(api: Api, owner: Caller) -> None:
    with open_for(owner) as socket:
        socket.send(init(f"Bearer {owner.token}"))
        assert closing_of(socket) == (4429, "Too many initialisation requests")


def test_legacy_protocol_is_not_spoken(api: Api) -> None:
    with api.socket(Subprotocol("graphql-ws")) as socket:
        assert socket.subprotocol is None
        assert closing_of(socket) == (4406, "Subprotocol not acceptable")


def test_protocol_is_agreed_on(api: Api) -> None:
    with api.socket(Subprotocol("graphql-ws"), PROTOCOL) as socket:
        assert socket.subprotocol == PROTOCOL


# ---------------------------------------------------------------- origins


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "file://", ""])
def test_page_of_another_origin_opens_nothing(api: Api, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, api.socket(origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_page_of_our_own_origin_may_open(api: Api) -> None:
    with api.socket(origin=f"http://127.0.0.1:{api.port}") as socket:
        assert socket.subprotocol == PROTOCOL


def test_page_of_a_listed_origin_may_open(endpoints: Endpoints) -> None:
    with running(endpoints, allowed_origins=("https://app.example",)) as api:
        with api.socket(origin="https://app.example") as socket:
            assert socket.subprotocol == PROTOCOL
        with pytest.raises(InvalidStatus), api.socket(origin="https://app.example.evil.example"):
            pass


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize(
    "frame",
    [
        "null",
        "true",
        "5",
        '"subscribe"',
        "[]",
        '[{"type":"ping"}]',
        "{}",
        "",
        "nonsense",
        '{"type":"ping"',
        '{"type":null}',
        '{"type":5}',
        '{"type":["ping"]}',
        '{"type":"nonsense"}',
        json.dumps({"type": LONG}),
        '{"type":"ping","payload":NaN}',
        '{"type":"ping","payload":"\\ud800"}',
        '{"type":"ping","type":"ping"}',
        '{"type":"ping","payload":' + "[" * 100 + "]" * 100 + "}",
        '{"type":"ping","payload":' + "[" * 30_000 + "]" * 30_000 + "}",
        '{"type":"subscribe"}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","payload":null}',
        '{"type":"subscribe","id":"1","payload":[]}',
        '{"type":"subscribe","id":"1","payload":{}}',
        '{"type":"subscribe","payload":{"query":"{ server { version } }"}}',
        '{"type":"subscribe","id":5,"payload":{"query":"{ server { version } }"}}',
        '{"type":"subscribe","id":null,"payload":{"query":"{ server { version } }"}}',
        subscribe("1", None),
        subscribe("1", 5),
        subscribe("1", [ALERTS]),
        subscribe("1", VERSION, variables=5),
        subscribe("1", VERSION, variables=[]),
        subscribe("1", VERSION, operationName=5),
        subscribe("1", VERSION, operationName=["A"]),
        '{"type":"complete"}',
        '{"type":"complete","id":5}',
        b"{}",
        b"\x00\xff",
    ],
    ids=lambda frame: str(frame)[:40],
)
def test_frame_that_is_no_message_closes_with_the_code_of_the_protocol(owner: Caller, frame: str | bytes) -> None:
    with open_for(owner) as socket:
        socket.send(frame)
        code, reason = closing_of(socket)
        assert code == 4400
        assert 0 < len(reason.encode()) <= 123


def test_message_that_is_too_large_closes(owner: Caller) -> None:
    with open_for(owner) as socket:
        socket.send(subscribe("1", VERSION + " " * 65_536))
        assert closing_of(socket)[0] == 1009


def test_largest_message_is_read(owner: Caller) -> None:
    with open_for(owner) as socket:
        frame = subscribe("1", VERSION)
        socket.send(frame[:-2] + " " * (65_536 - len(frame)) + frame[-2:])
        assert read(socket)["payload"]["data"] == {"server": {"version": "0.1.0"}}


def test_ping_is_answered_before_and_after_the_greeting(api: Api, owner: Caller) -> None:
    with api.socket() as socket:
        socket.send('{"type":"ping"}')
        assert read(socket) == {"type": "pong"}
    with open_for(owner) as socket:
        socket.send('{"type":"pong"}')
        socket.send('{"type":"ping","payload":{"a":1}}')
        assert read(socket) == {"type": "pong"}


# ---------------------------------------------------------------- operations


@pytest.mark.parametrize("operation", ["1", LONG, "", "\u00e9" * 200])
def test_id_that_is_in_use_closes(owner: Caller, operation: str) -> None:
    with open_for(owner) as socket:
        socket.send(subscribe(operation))
        socket.send(subscribe(operation))
        code, reason = closing_of(socket)
        assert code == 4409
        assert reason.startswith("Subscriber for ")


def test_id_can_be_used_again_when_its_operation_is_over(owner: Caller) -> None:
    with open_for(owner) as socket:
        for _ in range(2):
            socket.send(subscribe("1", VERSION))
            assert read(socket)["payload"] == {"data": {"server": {"version": "0.1.0"}}, "extensions": {"cost": 2}}
            assert read(socket) == {"id": "1", "type": "complete"}
        socket.send(subscribe("2"))
        socket.send('{"type":"complete","id":"2"}')
        socket.send('{"type":"complete","id":"never used"}')
        socket.send(subscribe("2", VERSION))
        assert read(socket)["id"] == "2"


def test_twenty_subscriptions_are_the_most(owner: Caller) -> None:
    with open_for(owner) as socket:
        for number in range(21):
            socket.send(subscribe(str(number)))
        refused = read(socket)
        assert (refused["id"], refused["type"]) == ("20", "error")
        assert refused["payload"][0]["message"] == "Subscription limit reached"
        socket.send('{"type":"complete","id":"3"}')
        socket.send('{"type":"ping"}')
        assert read(socket) == {"type": "pong"}
        socket.send(subscribe("again", VERSION))
        assert read(socket)["id"] == "again"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{", "Syntax Error: Expected Name, found <EOF>."),
        ("{ " + LONG + " " + LONG, "Syntax Error: Expected Name, found <EOF>."),
        ("{ portfolioz { id } }", "Cannot query field 'portfolioz' on type 'Query'."),
        ("subscription { driftAlertz { cursor } }", "Cannot query field 'driftAlertz' on type 'Subscription'."),
        ("query A { viewer { id } } query B { viewer { id } }", "the document has 2 operations; say in operationName"),
        ("fragment F on Query { viewer { id } }", "Can't get GraphQL operation type"),
        (
            "{ portfolios(first: 100) { nodes { plans(first: 100) { nodes { id } } } } }",
            "the document exceeds the limit",
        ),
        ("subscription { a: driftAlerts { cursor } planUpdated(planId: 1) { id } }", "Anonymous Subscription must"),
    ],
)
def test_document_that_cannot_be_executed_ends_only_its_operation(owner: Caller, query: str, message: str) -> None:
    with open_for(owner) as socket:
        socket.send(subscribe("bad", query))
        answer = read(socket)
        assert (answer["id"], answer["type"]) == ("bad", "error")
        assert answer["payload"][0]["message"].startswith(message)
        assert answer["payload"][0]["extensions"]["code"] in ("BAD_REQUEST", "COST_LIMIT")
        socket.send(subscribe("good", VERSION))
        assert read(socket)["id"] == "good"


def test_name_of_an_operation_that_is_not_there_ends_only_its_operation(owner: Caller) -> None:
    with open_for(owner) as socket:
        socket.send(subscribe("bad", VERSION, operationName=LONG))
        assert read(socket)["payload"][0]["message"] == f'Unknown operation named "{LONG}".'
        socket.send(subscribe("good", VERSION))
        assert read(socket)["id"] == "good"


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ('subscription { planUpdated(planId: "x") { id } }', "NOT_FOUND", "plan x does not exist"),
        (
            'subscription { driftAlerts(after: "x") { cursor } }',
            "INVALID",
            "the cursor is not one that was given out here",
        ),
    ],
)
def test_subscription_that_cannot_begin_says_why(owner: Caller, query: str, code: str, message: str) -> None:
    with open_for(owner) as socket:
        socket.send(subscribe("1", query))
        assert read(socket)["payload"]["errors"] == [{"message": message, "extensions": {"code": code}}]
        assert read(socket) == {"id": "1", "type": "complete"}


def test_mutation_over_a_socket_does_what_it_does_over_http(owner: Caller) -> None:
    made = 'mutation { portfolioCreate(input: { name: "By socket" }) { portfolio { name } userErrors { code } } }'
    with open_for(owner) as socket:
        socket.send(subscribe("1", made))
        payload = read(socket)["payload"]["data"]["portfolioCreate"]
    assert payload == {"portfolio": {"name": "By socket"}, "userErrors": []}
    nodes = owner.data("{ portfolios { nodes { name } } }")["portfolios"]["nodes"]
    assert nodes == [{"name": "By socket"}]


# ---------------------------------------------------------------- the end of a token


@pytest.mark.parametrize(
    "quiet", ["driftAlerts { cursor }", "driftUpdated(portfolioId: $id) { status }", "scanUpdated { id }"]
)
def test_socket_is_closed_when_its_token_ends(api: Api, owner: Caller, quiet: str) -> None:
    given = {"id": portfolio_of(owner)["id"]} if "$id" in quiet else {}
    query = f"subscription{' ($id: ID!)' if given else ''} {{ {quiet} }}"
    subject = owner.data("{ viewer { subject } }")["viewer"]["subject"]
    caller = Caller(api, api.token(subject, role="operator", ttl_s=2))
    with open_for(caller) as socket:
        socket.send(subscribe("1", query, variables=given))
        with suppress(ConnectionClosed):  # what is as it is now may come first; then nothing happens
            while True:
                assert read(socket)["payload"]["data"]
        assert closing_of(socket) == (4403, "Token ended")
