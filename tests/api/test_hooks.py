"""Webhooks and e-mail over the API: secrets are shown once, requests are answered once, and there are at most 20."""

import http.server
import re
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from standardwebhooks import Webhook

from app.embedded import Endpoints
from tests.api.conftest import Api, Caller, running

URL: Final = "https://93.184.216.34/hook"
ALERTS: Final = ["ALERT_RAISED"]
ALL: Final = "id url events minSeverity enabled disabledReason failures previousSecretUntil"


def test_the_secret_is_shown_where_it_is_made_and_nowhere_else(api: Api, owner: Caller) -> None:
    made = owner.mutate("webhookCreate", f"webhook {{ {ALL} }} secret", url=URL, events=ALERTS)
    webhook = made["webhook"]
    assert made["secret"].startswith("whsec_")
    assert {name: webhook[name] for name in ("url", "events", "minSeverity", "enabled")} == {
        "url": URL,
        "events": ["ALERT_RAISED", "ALERT_DIGEST"],
        "minSeverity": "INFO",
        "enabled": True,
    }
    rotated = owner.mutate("webhookRotateSecret", f"webhook {{ {ALL} }} secret", webhookId=webhook["id"])
    assert rotated["secret"] != made["secret"]
    assert rotated["webhook"]["previousSecretUntil"] is not None
    shown = owner.post({"query": f"{{ webhooks {{ nodes {{ {ALL} deliveries {{ nodes {{ id }} }} }} }} }}"}).text
    assert "whsec_" not in shown
    changed = owner.mutate("webhookUpdate", f"webhook {{ {ALL} }}", webhookId=webhook["id"], enabled=False)
    assert changed["webhook"]["disabledReason"] == "disabled by its owner"
    gone = owner.mutate("webhookDelete", "deletedId", webhookId=webhook["id"])
    assert gone == {"deletedId": webhook["id"], "userErrors": []}
    assert owner.data("{ webhooks { nodes { id } } }") == {"webhooks": {"nodes": []}}


def test_a_repeat_gets_the_same_answer_until_the_secret_is_another(owner: Caller) -> None:
    given = {"url": URL, "events": ALERTS, "idempotencyKey": "once"}
    first, again = (owner.mutate("webhookCreate", "webhook { id } secret", **given) for _ in range(2))
    assert first == again
    owner.mutate("webhookRotateSecret", webhookId=first["webhook"]["id"])
    later = owner.mutate("webhookCreate", "webhook { id } secret", **given)
    assert later == {**first, "secret": None}
    other = owner.mutate("webhookCreate", "webhook { id }", **{**given, "minSeverity": "CRITICAL"})
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_MISMATCH"]


def test_twenty_are_enough(owner: Caller) -> None:
    for number in range(19):
        assert owner.mutate("webhookCreate", url=f"{URL}/{number}", events=ALERTS)["userErrors"] == []
    assert owner.mutate("emailCreate", address="a@example.com", events=ALERTS)["userErrors"] == []
    for mutation, given in (("webhookCreate", {"url": URL}), ("emailCreate", {"address": "b@example.com"})):
        [error] = owner.mutate(mutation, events=ALERTS, **given)["userErrors"]
        assert error["code"] == "LIMIT_EXCEEDED"
        assert error["message"] == "there are 20 webhooks and e-mails already; at most 20 are allowed"
    page = owner.data("{ webhooks(first: 5) { nodes { url } pageInfo { hasNextPage endCursor } } }")["webhooks"]
    assert page["pageInfo"]["hasNextPage"]
    rest = owner.data(f'{{ webhooks(first: 100, after: "{page["pageInfo"]["endCursor"]}") {{ nodes {{ url }} }} }}')
    urls = [node["url"] for node in page["nodes"] + rest["webhooks"]["nodes"]]
    assert urls == [f"{URL}/{number}" for number in range(19)]


@pytest.fixture
def local(endpoints: Endpoints) -> Iterator[Api]:
    """Give an API that may call this machine."""
    with running(endpoints, webhook_loopback=True) as api:
        yield api


def test_a_sample_is_sent_at_once_and_not_stored(local: Api) -> None:
    got = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    owner = local.caller("samples")
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            made = owner.mutate("webhookCreate", "webhook { id } secret", url=url, events=["PLAN_READY"])
            before = local.stored()
            given = {"webhookId": made["webhook"]["id"], "event": "ALERT_ESCALATED"}
            sent = owner.mutate("webhookTest", "statusCode latencyMs error", **given)
            after = local.stored()
            assert {table for table in after if after[table] != before[table]} == {"allowances"}
        finally:
            server.shutdown()
            thread.join()
        refused = owner.mutate("webhookTest", "statusCode error", **given)
    assert (sent["statusCode"], sent["error"], sent["userErrors"]) == (204, None, [])
    assert 0 <= sent["latencyMs"] < 5000
    assert (refused["statusCode"], refused["userErrors"]) == (None, [])
    assert refused["error"]
    [(headers, body)] = got
    verified = Webhook(made["secret"]).verify(body, {name.lower(): value for name, value in headers.items()})
    assert verified["type"] == "alert.escalated"


def test_ten_samples_a_minute_are_the_most_whichever_webhook_they_go_to(local: Api) -> None:
    owner = local.caller("many-samples")
    hooks = [
        owner.mutate("webhookCreate", "webhook { id }", url=f"http://127.0.0.1:9/{number}", events=ALERTS)["webhook"][
            "id"
        ]
        for number in range(2)
    ]
    answers = [
        owner.mutate("webhookTest", "error", webhookId=hooks[number % 2], event="ALERT_RAISED") for number in range(11)
    ]
    assert [len(answer["userErrors"]) for answer in answers] == [0] * 10 + [1]
    [error] = answers[-1]["userErrors"]
    assert error["code"] == "LIMIT_EXCEEDED"
    assert re.fullmatch(
        r"10 samples were sent within PT1M, which is the most; try again at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        error["message"],
    )


def test_a_code_may_be_asked_for_again_five_times_an_hour_however_it_is_asked_for(owner: Caller) -> None:
    given: dict[str, Any] = {"address": "a@example.com", "events": ALERTS}
    email_id = owner.mutate("emailCreate", "email { id }", idempotencyKey="k", **given)["email"]["id"]
    owner.mutate("emailCreate", idempotencyKey="k", **given)
    again = [owner.mutate("emailUpdate", emailId=email_id, address="a@example.com") for _ in range(4)]
    owner.mutate("emailDelete", emailId=email_id)
    again.append(owner.mutate("emailCreate", **given))
    assert [answer["userErrors"] for answer in again] == [[]] * 5
    [error] = owner.mutate("emailCreate", **given)["userErrors"]
    assert error["code"] == "LIMIT_EXCEEDED"
    assert error["message"].startswith("6 codes were sent within PT1H, which is the most; try again at 20")
    assert owner.data("{ emails { nodes { address } } }")["emails"]["nodes"] == [{"address": "a@example.com"}]
