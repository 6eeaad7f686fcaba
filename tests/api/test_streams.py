"""Server-sent events: what a client reads when nothing happens for a while, and how it learns that its token ended."""

import time

import httpx2
import pytest

from tests.api.conftest import Api, Caller, portfolio_of

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
