"""Plans are decided about, and what happened is looked up, over GraphQL and REST."""

import json
from hashlib import sha256
from typing import Any, Final

import pytest

from app.core import ids
from tests.api.conftest import Api, Caller, portfolio_of

PLAN: Final = """
plan {
  id status version approvedBy approvedAt reason cancelAskedAt trades { id side quantity symbol approved }
  summary { trades bought { amount } sold { amount } } after { entries { key actual } }
}
"""
HISTORY: Final = """
query ($id: ID!, $first: Int!, $after: String) {
  portfolio(id: $id) {
    history(first: $first, after: $after) {
      nodes { sequence kind subject actor at document text previousHash hash } pageInfo { hasNextPage endCursor }
    }
    auditTrail { whole lines lastHash firstBroken }
  }
}
"""


def proposed(owner: Caller, **given: object) -> tuple[str, dict[str, Any]]:
    """Make 6 AAA at 100 and 8 BBB at 50, wanted half and half, and plan for it."""
    halves = [{"key": "AAA", "percent": "50"}, {"key": "BBB", "percent": "50"}]
    portfolio = portfolio_of(owner, targets=halves, **given)["id"]
    plan = owner.mutate("rebalancePropose", PLAN, portfolioId=portfolio, scope="FULL")["plan"]
    assert [(one["side"], one["quantity"], one["symbol"]) for one in plan["trades"]] == [
        ("SELL", "1", "AAA"),
        ("BUY", "2", "BBB"),
    ]
    return portfolio, plan


def given_of(plan: dict[str, Any], **given: object) -> dict[str, Any]:
    return {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": plan["id"], **given}


def errors(payload: dict[str, Any]) -> list[tuple[str, list[str]]]:
    assert payload["plan"] is None
    return [(error["code"], error["path"]) for error in payload["userErrors"]]


def test_plan_is_approved_without_a_trade_which_stays_to_be_seen(owner: Caller) -> None:
    _, plan = proposed(owner)
    assert [trade["approved"] for trade in plan["trades"]] == [True, True]
    purchase = plan["trades"][1]["id"]
    approved = owner.mutate("planApprove", PLAN, **given_of(plan, excludeTradeIds=[purchase]))["plan"]
    assert (approved["status"], approved["version"]) == ("APPROVED", plan["version"] + 1)
    assert approved["approvedBy"].startswith("owner-")
    assert approved["approvedAt"] is not None
    assert [trade["approved"] for trade in approved["trades"]] == [True, False]
    assert approved["summary"] == {"trades": 1, "bought": {"amount": "0"}, "sold": {"amount": "100"}}
    assert [entry["actual"] for entry in approved["after"]["entries"]] == ["55.555556", "44.444444"]
    assert owner.mutate("planApprove", PLAN, **given_of(plan, excludeTradeIds=[purchase]))["plan"] == approved


def test_decisions_that_cannot_be_are_user_errors(owner: Caller) -> None:
    _, plan = proposed(owner)
    sale = plan["trades"][0]["id"]
    cases: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"expectedVersion": 1}, "VERSION_CONFLICT", ["input", "expectedVersion"]),
        ({"excludeTradeIds": ["tr_x"]}, "NOT_FOUND", ["input", "excludeTradeIds", "0"]),
        ({"excludeTradeIds": [sale]}, "INVALID", ["input", "excludeTradeIds"]),
        ({"excludeTradeIds": [sale, sale]}, "DUPLICATE", ["input", "excludeTradeIds", "1"]),
        ({"idempotencyKey": ""}, "INVALID", ["input", "idempotencyKey"]),
    ]
    for given, code, path in cases:
        assert errors(owner.mutate("planApprove", PLAN, **given_of(plan, **given))) == [(code, path)]
    rejected = owner.mutate("planReject", PLAN, planId=plan["id"], reason="no", expectedVersion=plan["version"])["plan"]
    assert (rejected["status"], rejected["reason"]) == ("REJECTED", "no")
    payload = owner.mutate("planApprove", PLAN, **given_of(plan))
    assert errors(payload) == [("INVALID_STATE", ["input", "planId"])]
    assert payload["userErrors"][0]["state"] == "REJECTED"
    assert errors(owner.mutate("planCancel", PLAN, planId=plan["id"])) == [("INVALID_STATE", ["input", "planId"])]


def test_four_eyes_are_a_matter_of_rights(owner: Caller, api: Api) -> None:
    portfolio, _ = proposed(owner)
    api.sql(
        "UPDATE portfolios SET policy = policy || '{\"four_eyes\": true}' WHERE public_id = $1",
        ids.decode(ids.PORTFOLIO, portfolio),
    )
    plan = owner.mutate("rebalancePropose", PLAN, portfolioId=portfolio, scope="FULL")["plan"]
    query = "mutation ($input: PlanApproveInput!) { planApprove(input: $input) { plan { id } } }"
    answer = owner.answer(query, input=given_of(plan))
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    path = f"{portfolio}/plans/{plan['id']}/approve"
    etag = f'"v{plan["version"]}"'
    response = owner.rest("POST", path, if_match=etag, idempotency_key="k")
    assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
    subject = owner.data("{ viewer { subject } }")["viewer"]["subject"]
    second = api.caller(subject, act="second")
    assert second.rest("POST", path, if_match=etag, idempotency_key="k").json()["approvedBy"] == "second"


# ---------------------------------------------------------------- REST


def test_plan_is_approved_over_rest_at_the_version_that_was_read(owner: Caller) -> None:
    portfolio, plan = proposed(owner)
    path = f"{portfolio}/plans/{plan['id']}"
    read = owner.rest("GET", path)
    assert read.headers["etag"] == f'"v{plan["version"]}"'
    purchase = plan["trades"][1]["id"]
    given = {"if_match": read.headers["etag"], "idempotency_key": "rest"}
    approved = owner.rest("POST", f"{path}/approve", {"excludeTradeIds": [purchase]}, **given)
    assert (approved.status_code, approved.headers["etag"]) == (200, f'"v{plan["version"] + 1}"')
    assert (approved.json()["status"], approved.json()["summary"]["trades"]) == ("APPROVED", 1)
    assert [trade["approved"] for trade in approved.json()["trades"]] == [True, False]
    again = owner.rest("POST", f"{path}/approve", {"excludeTradeIds": [purchase]}, **given)
    assert again.json() == approved.json()
    other = owner.rest("POST", f"{path}/approve", {}, **given)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")


@pytest.mark.parametrize("header", [{}, {"if_match": "*"}])
def test_without_a_version_nothing_is_approved_over_rest(owner: Caller, header: dict[str, str]) -> None:
    portfolio, plan = proposed(owner)
    path = f"{portfolio}/plans/{plan['id']}/approve"
    response = owner.rest("POST", path, idempotency_key="k", **header)
    assert (response.status_code, response.json()["code"], response.json()["path"]) == (428, "REQUIRED", ["If-Match"])
    assert response.json()["detail"] == (
        f'approving needs If-Match with the version that was looked at, such as "v{plan["version"]}" of the ETag'
    )
    assert owner.rest("GET", f"{portfolio}/plans/{plan['id']}").json()["status"] == "READY"


def test_what_is_wrong_with_approving_over_rest_has_its_status(owner: Caller) -> None:
    portfolio, plan = proposed(owner)
    path, etag = f"{portfolio}/plans/{plan['id']}", f'"v{plan["version"]}"'

    def refused(step: str, body: object = None, **headers: str) -> tuple[int, str, list[str]]:
        response = owner.rest("POST", f"{path}/{step}", body, **headers)
        answer = response.json()
        return response.status_code, answer["code"], answer.get("path")

    both = {"if_match": etag, "idempotency_key": "k"}
    assert refused("approve", if_match=etag) == (422, "REQUIRED", ["Idempotency-Key"])
    assert refused("approve", if_match="v2", idempotency_key="k") == (422, "INVALID", ["If-Match"])
    assert refused("approve", if_match='"v1"', idempotency_key="k")[:2] == (412, "VERSION_CONFLICT")
    assert refused("approve", {"excludeTradeIds": ["x"]}, **both) == (404, "NOT_FOUND", ["excludeTradeIds", "0"])
    assert refused("approve", {"excludeTradeIds": "x"}, **both) == (422, "INVALID", ["excludeTradeIds"])
    assert refused("approve", {"exclude": []}, **both)[:2] == (422, "INVALID")
    assert refused("reject", if_match='"v1"')[:2] == (412, "VERSION_CONFLICT")
    assert refused("reject", {"reason": " x"}) == (422, "INVALID", ["reason"])
    assert refused("cancel") == (409, "INVALID_STATE", ["planId"])
    rejected = owner.rest("POST", f"{path}/reject", {"reason": "no"}, if_match=etag)
    assert (rejected.status_code, rejected.json()["status"], rejected.json()["reason"]) == (200, "REJECTED", "no")
    assert refused("approve", **both) == (409, "INVALID_STATE", ["planId"])


def test_plan_that_is_executed_is_cancelled_later(owner: Caller, api: Api) -> None:
    portfolio, plan = proposed(owner)
    path = f"{portfolio}/plans/{plan['id']}"
    owner.mutate("planApprove", PLAN, **given_of(plan))
    api.sql("UPDATE plans SET status = 'EXECUTING' WHERE public_id = $1", ids.decode(ids.PLAN, plan["id"]))
    asked = owner.rest("POST", f"{path}/cancel", {"reason": "stop"})
    assert (asked.status_code, asked.json()["status"], asked.json()["reason"]) == (202, "EXECUTING", "stop")
    assert asked.json()["cancelAskedAt"] is not None
    assert owner.rest("POST", f"{path}/cancel").json() == asked.json()
    query = "query ($id: ID!) { rebalancePlan(id: $id) { status cancelAskedAt reason } }"
    shown = owner.data(query, id=plan["id"])["rebalancePlan"]
    assert shown == {name: asked.json()[name] for name in ("status", "cancelAskedAt", "reason")}


def test_plan_that_is_approved_is_cancelled_at_once(owner: Caller) -> None:
    portfolio, plan = proposed(owner)
    owner.mutate("planApprove", PLAN, **given_of(plan))
    cancelled = owner.rest("POST", f"{portfolio}/plans/{plan['id']}/cancel", {"reason": "stop"})
    assert (cancelled.status_code, cancelled.json()["status"], cancelled.json()["reason"]) == (200, "CANCELLED", "stop")


# ---------------------------------------------------------------- the audit trail


def history(owner: Caller, portfolio: str, first: int = 100, after: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = owner.data(HISTORY, id=portfolio, first=first, after=after)["portfolio"]
    return found


def test_history_is_read_page_by_page_and_verified_by_anybody(owner: Caller) -> None:
    portfolio, plan = proposed(owner)
    owner.mutate("planReject", PLAN, planId=plan["id"], reason="no")
    lines: list[dict[str, Any]] = []
    after, more = None, True
    while more:
        page = history(owner, portfolio, 2, after)["history"]
        lines += page["nodes"]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    lines.reverse()
    assert [(line["sequence"], line["kind"]) for line in lines] == [
        (1, "PORTFOLIO_CREATED"),
        (2, "HOLDINGS_IMPORTED"),
        (3, "TARGETS_SET"),
        (4, "PLAN_READY"),
        (5, "PLAN_REJECTED"),
    ]
    assert json.loads(lines[4]["document"])["reason"] == "no"
    assert lines[4]["subject"] == plan["id"]
    previous = "0" * 64
    for line in lines:
        assert line["previousHash"] == previous
        previous = sha256((previous + line["text"]).encode()).hexdigest()
        assert line["hash"] == previous
        text = json.loads(line["text"])
        assert (text["kind"], text["actor"], text["document"]) == (
            line["kind"],
            line["actor"],
            json.loads(line["document"]),
        )
    trail = {"whole": True, "lines": 5, "lastHash": previous, "firstBroken": None}
    assert history(owner, portfolio)["auditTrail"] == trail


def test_edit_behind_our_back_shows(owner: Caller, api: Api) -> None:
    portfolio, plan = proposed(owner)
    before = history(owner, portfolio)
    api.sql("SET session_replication_role = replica")
    api.sql("UPDATE rebalance_history SET actor = 'mallory' WHERE subject = $1", plan["id"])
    api.sql("SET session_replication_role = origin")
    trail = history(owner, portfolio)["auditTrail"]
    assert trail == {
        "whole": False,
        "lines": 3,
        "lastHash": before["history"]["nodes"][1]["hash"],
        "firstBroken": 4,
    }


def test_cursor_that_is_none_of_ours_is_refused(owner: Caller) -> None:
    portfolio, _ = proposed(owner)
    answer = owner.answer(HISTORY, id=portfolio, first=1, after="x")
    assert answer["errors"][0]["message"] == "the cursor is not one that was given out here"
