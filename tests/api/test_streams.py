"""Server-sent events: what a client reads when nothing happens for a while, and how it learns that its token ended."""

import re
import time
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import httpx2
import pytest

from app.api import streams
from tests.api.conftest import Api, Caller, portfolio_of, scan

ENDED = {"errors": [{"message": "the token has ended; get a new one", "extensions": {"code": "UNAUTHENTICATED"}}]}


@pytest.mark.parametrize("quiet", ["driftAlerts { cursor }", "driftUpdated(portfolioId: $id) { status }"])
def test_quiet_stream_says_that_its_token_ended_and_is_complete(api: Api, owner: Caller, quiet: str) -> None:
    given = {"id": portfolio_of(owner)["id"]} if "$id" in quiet else {}
    body = {"query": f"subscription{' ($id: ID!)' if given else ''} {{ {quiet} }}", "variables": given}
    subject = owner.data("{ viewer { subject } }")["viewer"]["subject"]
    headers = {"authorization": f"Bearer {api.token(subject, ttl_s=2)}", "accept": "text/event-stream"}
    began = time.monotonic()
    with api.http.stream("POST", "/graphql", json=body, headers=headers) as response:
        events = [(event.event, event.json() if event.data else None) for event in httpx2.EventSource(response)]
    assert time.monotonic() - began < 3.5
    assert events[-2:] == [("next", ENDED), ("complete", None)]
    assert len(events) == 2 + len(given)


def follow(caller: Caller, portfolio_id: str, **headers: str) -> AbstractContextManager[httpx2.Response]:
    """Open the stream of a portfolio's alerts."""
    given = {"authorization": f"Bearer {caller.token}"} | {name.replace("_", "-"): to for name, to in headers.items()}
    return caller.api.http.stream("GET", f"/api/rebalancing/{portfolio_id}/drift/stream", headers=given)


def read(response: httpx2.Response, count: int) -> list[httpx2.ServerSentEvent]:
    """Read so many events."""
    return list(islice(httpx2.EventSource(response), count))


def test_stream_over_rest_is_refused_before_it_begins(owner: Caller, api: Api) -> None:
    portfolio_id, stranger = portfolio_of(owner)["id"], api.caller("curious")
    for caller, headers, status, code in (
        (stranger, {}, 404, "NOT_FOUND"),
        (owner, {"last_event_id": "x"}, 422, "INVALID"),
        (owner, {"authorization": "Bearer x"}, 401, "UNAUTHENTICATED"),
    ):
        with follow(caller, portfolio_id, **headers) as response:
            response.read()
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response.headers["content-type"] == "application/problem+json"
    assert owner.rest("HEAD", f"{portfolio_id}/drift/stream").headers["content-type"].startswith("text/event-stream")


def test_stream_over_rest_has_a_pulse_and_ends_with_the_token(
    owner: Caller, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PULSE_S", 0.5)
    portfolio_id, subject = portfolio_of(owner)["id"], owner.data("{ viewer { subject } }")["viewer"]["subject"]
    with follow(Caller(api, api.token(subject, ttl_s=2)), portfolio_id) as response:
        first, *pulses, last, nothing = response.read().decode().split("\n\n")
    assert re.fullmatch(r'id: ([\w-]+)\nevent: begin\ndata: {"cursor":"\1"}', first)
    assert pulses[:2] == [": still here", ": still here"]
    assert last == 'event: end\ndata: {"code":"UNAUTHENTICATED","detail":"the token has ended; get a new one"}'
    assert nothing == ""


def test_stream_over_rest_tells_of_one_portfolio_what_the_subscription_does(
    owner: Caller, api: Api, operator: Caller
) -> None:
    kept, other = portfolio_of(owner)["id"], portfolio_of(owner)["id"]
    after = owner.data("{ driftAlertsCursor }")["driftAlertsCursor"]
    owner.mutate(
        "targetsSet", portfolioId=kept, entries=[{"key": "AAA", "percent": "10"}, {"key": "BBB", "percent": "90"}]
    )
    owner.mutate(
        "targetsSet", portfolioId=other, entries=[{"key": "AAA", "percent": "9"}, {"key": "BBB", "percent": "91"}]
    )
    scan(api)
    with follow(owner, kept, last_event_id=after) as response:
        begun, *events = read(response, 3)
    assert (begun.event, begun.id) == ("begin", after)
    told: list[Any] = [event.json() for event in events]
    assert [(event.event, event.id) for event in events] == [("alert", one["cursor"]) for one in told]
    assert {(one["kind"], one["alert"]["portfolioId"]) for one in told} == {("RAISED", kept)}
    assert {one["alert"]["key"]: one["alert"]["entry"]["drift"] for one in told} == {"AAA": "50", "BBB": "-50"}
    with follow(owner, kept, last_event_id=told[0]["cursor"]) as response:
        assert read(response, 2)[1].json() == told[1]
