"""`steelyard trigger`: a sample to each webhook that takes it, and a plain word about each."""

import asyncio
import json
from typing import Any

import pytest

from tests.cli.shell import steelyard
from tests.courier.internet import Answer, Receiver, answer, receiver

HOOKS = [
    {"id": "wh_1", "url": "https://a.example/in", "events": ["ALERT_RAISED", "PLAN_READY"], "enabled": True},
    {"id": "wh_2", "url": "https://b.example/\x1b[2J", "events": ["ALERT_RAISED"], "enabled": True},
    {"id": "wh_3", "url": "https://c.example/in", "events": ["ALERT_RAISED"], "enabled": False},
    {"id": "wh_4", "url": "https://d.example/in", "events": ["TARGETS_CHANGED"], "enabled": True},
]
ARRIVED: dict[str, Any] = {"statusCode": 204, "latencyMs": 12, "error": None, "userErrors": []}
REFUSED = {"statusCode": 500, "latencyMs": 7, "error": "answered 500", "userErrors": []}
UNKNOWN = {
    "statusCode": None,
    "latencyMs": None,
    "error": None,
    "userErrors": [{"code": "NOT_FOUND", "message": "webhook wh_2 does not exist", "path": ["input", "webhookId"]}],
}


def say(*answers: object) -> Answer:
    """Answer one GraphQL request after another."""
    left = iter(answers)

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(next(left)).encode()
        await answer("200 OK", "content-type: application/json", "connection: close", body=body)(reader, writer)

    return write


def with_hooks(*payloads: dict[str, Any]) -> Answer:
    return say({"data": {"webhooks": {"nodes": HOOKS}}}, *({"data": {"webhookTest": payload}} for payload in payloads))


async def triggered(there: Receiver, event: str = "ALERT_RAISED") -> tuple[int, str, str]:
    """Run the command beside the server, which is in the test's own loop."""
    given = {"STEELYARD_TOKEN": "a-token"}
    said = await asyncio.to_thread(steelyard, "trigger", event, "--url", there.url("/"), given=given)
    return said.code, said.out, said.err


async def test_each_webhook_that_takes_the_event_gets_a_sample() -> None:
    async with receiver(with_hooks(ARRIVED, ARRIVED)) as there:
        code, out, err = await triggered(there)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "arrived  ALERT_RAISED  wh_1  https://a.example/in  204  12 ms",
        "arrived  ALERT_RAISED  wh_2  https://b.example/\\x1b[2J  204  12 ms",
    ]
    bodies = [json.loads(request.body) for request in there.received]
    assert [body["variables"] for body in bodies] == [
        {},
        {"input": {"webhookId": "wh_1", "event": "ALERT_RAISED"}},
        {"input": {"webhookId": "wh_2", "event": "ALERT_RAISED"}},
    ]
    assert {request.line for request in there.received} == {"POST /graphql HTTP/1.1"}
    assert {request.headers["authorization"] for request in there.received} == {"Bearer a-token"}


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (REFUSED, "failed  ALERT_RAISED  wh_2  https://b.example/\\x1b[2J  500  7 ms  answered 500"),
        (UNKNOWN, "failed  ALERT_RAISED  wh_2  https://b.example/\\x1b[2J  webhook wh_2 does not exist"),
    ],
)
async def test_sample_that_does_not_arrive_fails_the_command(payload: dict[str, Any], line: str) -> None:
    async with receiver(with_hooks(ARRIVED, payload)) as there:
        code, out, err = await triggered(there)
    assert (code, out.splitlines()[1], err) == (1, line, "")


@pytest.mark.parametrize(
    ("said", "event", "error"),
    [
        (
            with_hooks(),
            "ALERT_DIGEST",
            "error: none of your 4 webhooks takes ALERT_DIGEST; create one with webhookCreate\n",
        ),
        (
            with_hooks(),
            "alert",
            "error: event is 'alert'; it must be one of ALERT_RAISED, ALERT_ESCALATED, ALERT_REMINDED, ALERT_RESOLVED, "
            "ALERT_DIGEST, PLAN_READY, TARGETS_CHANGED\n",
        ),
        (
            say({"data": None, "errors": [{"message": "too deep", "extensions": {"code": "LIMIT_EXCEEDED"}}]}),
            "PLAN_READY",
            "error: the API answers LIMIT_EXCEEDED: too deep\n",
        ),
        (say([1]), "PLAN_READY", "error: url: the answer is no JSON object; is there a Steelyard at this address?\n"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(said: Answer, event: str, error: str) -> None:
    async with receiver(said) as there:
        assert await triggered(there, event) == (1, "", error)


REFUSAL = b'{"errors": [{"message": "the token has expired"}]}'


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (
            "401 Unauthorized",
            REFUSAL,
            "token: the API refuses the token: the token has expired (401); make a new one with `steelyard token`, "
            "or get one from your issuer",
        ),
        ("404 Not Found", b"", "url: {url}/graphql answers 404; is there a Steelyard at this address?"),
        ("503 Away", b"", "url: {url} answers 503; is it running?"),
    ],
)
async def test_answer_of_something_else_is_said_plainly(status: str, body: bytes, error: str) -> None:
    async with receiver(answer(status, body=body)) as there:
        said = await triggered(there)
    assert said == (1, "", f"error: {error.format(url=there.url(''))}\n")


async def test_api_that_is_away_is_said_plainly() -> None:
    async with receiver(answer("200 OK")) as there:
        pass
    code, out, err = await triggered(there)
    assert (code, out) == (1, "")
    assert err == f"error: url: {there.url('')} cannot be reached: All connection attempts failed; is it running?\n"


@pytest.mark.parametrize("command", [["trigger", "PLAN_READY"], ["listen"]])
def test_address_and_token_are_needed(command: list[str]) -> None:
    assert steelyard(*command).error().startswith("token: which token? give --token or set STEELYARD_TOKEN; ")
    assert steelyard(*command, "--token", "x", "--url", "localhost:8000").error() == (
        "url: 'localhost:8000' is no address; write that of the API, e.g. http://127.0.0.1:8000"
    )
