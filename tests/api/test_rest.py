"""The classic routes: statuses, headers and problems as HTTP means them."""

from typing import Any

import pytest

from tests.api.conftest import Caller, portfolio_of

HALVES = {"entries": [{"key": "AAA", "percent": "50"}, {"key": "BBB", "percent": 50}], "note": "half and half"}


@pytest.fixture
def portfolio(owner: Caller) -> str:
    return str(portfolio_of(owner)["id"])


# ---------------------------------------------------------------- targets


def test_targets_are_read_with_their_version(owner: Caller, portfolio: str) -> None:
    response = owner.rest("GET", f"{portfolio}/targets")
    assert (response.status_code, response.headers["etag"]) == (200, '"v1"')
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert (answer["portfolioId"], answer["version"], answer["note"]) == (portfolio, 1, None)
    assert [(entry["key"], entry["percent"]) for entry in answer["entries"]] == [("AAA", "60"), ("BBB", "40")]


def test_targets_that_were_never_set_are_not_found(owner: Caller) -> None:
    bare = portfolio_of(owner, targets=None)["id"]
    response = owner.rest("GET", f"{bare}/targets")
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    assert owner.rest("POST", f"{bare}/targets", HALVES, if_match='"v1"').status_code == 412
    assert owner.rest("POST", f"{bare}/targets", HALVES, if_match='"v0"').status_code == 201


def test_new_targets_are_a_new_version(owner: Caller, portfolio: str) -> None:
    response = owner.rest("POST", f"{portfolio}/targets", HALVES, if_match='"v1"')
    assert (response.status_code, response.headers["etag"]) == (201, '"v2"')
    assert (response.json()["version"], response.json()["note"]) == (2, "half and half")
    assert owner.rest("GET", f"{portfolio}/targets").json() == response.json()


def test_targets_read_before_somebody_changed_them_are_not_overwritten(owner: Caller, portfolio: str) -> None:
    assert owner.rest("POST", f"{portfolio}/targets", HALVES, if_match='"v1"').status_code == 201
    response = owner.rest("POST", f"{portfolio}/targets", HALVES, if_match='"v1"')
    assert (response.status_code, response.json()["code"]) == (412, "VERSION_CONFLICT")
    assert response.json()["detail"] == "targets is at version 2, not 1; read it again and repeat the change"
    assert owner.rest("POST", f"{portfolio}/targets", HALVES, if_match="*").status_code == 201
    assert owner.rest("POST", f"{portfolio}/targets", HALVES).status_code == 201


@pytest.mark.parametrize("etag", ["v1", '"1"', 'W/"v1"', '"v1", "v2"', '"vx"', '"v9999999999"', ""])
def test_etag_that_is_none_of_ours_is_refused(owner: Caller, portfolio: str, etag: str) -> None:
    response = owner.rest("POST", f"{portfolio}/targets", HALVES, if_match=etag)
    assert (response.status_code, response.json()["path"]) == (422, ["If-Match"])


def test_dry_run_checks_and_stores_nothing(owner: Caller, portfolio: str) -> None:
    before = owner.api.stored()
    response = owner.rest("POST", f"{portfolio}/targets?dry_run=true", HALVES)
    assert (response.status_code, "etag" in response.headers) == (200, False)
    assert (response.json()["version"], response.json()["id"]) == (None, None)
    stale = owner.rest("POST", f"{portfolio}/targets?dry_run=true", HALVES, **{"If-Match": '"v7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "VERSION_CONFLICT")
    wrong = owner.rest("POST", f"{portfolio}/targets?dry_run=true", {"entries": HALVES["entries"][:1]})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "TARGETS_SUM")
    assert owner.rest("POST", f"{portfolio}/targets?dry_run=yes", HALVES).json()["path"] == ["dry_run"]
    assert owner.api.stored() == before


# ---------------------------------------------------------------- plans


def test_plan_is_where_its_location_says(owner: Caller, portfolio: str) -> None:
    response = owner.rest("POST", f"{portfolio}/propose", {"scope": "FULL"})
    assert response.status_code == 201
    location = response.headers["location"]
    assert location == f"/api/rebalancing/{portfolio}/plans/{response.json()['id']}"
    found = owner.api.http.get(location, headers={"authorization": f"Bearer {owner.token}"})
    assert (found.status_code, found.json()) == (200, response.json())


def test_plan_needs_no_body(owner: Caller, portfolio: str) -> None:
    response = owner.rest("POST", f"{portfolio}/propose", b"")
    assert (response.status_code, response.json()["scope"]) == (201, "BREACHED_ONLY")


def test_plan_that_is_only_shown_is_nowhere(owner: Caller, portfolio: str) -> None:
    before = owner.api.stored()
    response = owner.rest("POST", f"{portfolio}/propose", {"dryRun": True})
    assert response.status_code == 200
    assert "location" not in response.headers
    assert owner.rest("GET", f"{portfolio}/plans/{response.json()['id']}").status_code == 404
    assert owner.api.stored() == before


def test_idempotency_key_makes_one_plan(owner: Caller, portfolio: str) -> None:
    first = owner.rest("POST", f"{portfolio}/propose", {"scope": "FULL"}, idempotency_key="k")
    again = owner.rest("POST", f"{portfolio}/propose", {"scope": "FULL"}, idempotency_key="k")
    other = owner.rest("POST", f"{portfolio}/propose", {"scope": "CASH_FLOW"}, idempotency_key="k")
    by_graphql = owner.mutate(
        "rebalancePropose", "plan { id }", portfolioId=portfolio, scope="FULL", idempotencyKey="k"
    )
    assert again.json()["id"] == first.json()["id"] == by_graphql["plan"]["id"]
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")


# ---------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "place"),
    [
        ("targets", b"", 400, "BAD_REQUEST", []),
        ("targets", b"nonsense", 400, "BAD_REQUEST", []),
        ("targets", b"null", 422, "INVALID", []),
        ("targets", b"[]", 422, "INVALID", []),
        ("targets", {}, 422, "TARGETS_SUM", ["entries"]),
        ("targets", {"entries": None}, 422, "TARGETS_SUM", ["entries"]),
        ("targets", {"entries": {}}, 422, "INVALID", ["entries"]),
        ("targets", {"entries": [5]}, 422, "INVALID", ["entries", "0"]),
        ("targets", {"entries": [], "nonsense": 1}, 422, "INVALID", []),
        ("targets", {"entries": [{"key": "AAA", "prcent": "1"}]}, 422, "REQUIRED", ["entries", "0", "percent"]),
        ("targets", {"entries": [{"key": "AAA", "percent": 99.5}]}, 422, "INVALID", ["entries", "0", "percent"]),
        ("targets", {"entries": [{"key": "AAA", "percent": "1e2"}]}, 422, "INVALID", ["entries", "0", "percent"]),
        ("targets", {"entries": [{"key": "AAA", "percent": True}]}, 422, "INVALID", ["entries", "0", "percent"]),
        ("targets", {"entries": [{"key": "a\u0000", "percent": 100}]}, 422, "INVALID", ["entries", "0", "key"]),
        ("targets", b'{"entries":[{"key":"AAA","percent":NaN}]}', 400, "BAD_REQUEST", []),
        ("targets", b'{"entries":[],"entries":[]}', 400, "BAD_REQUEST", []),
        ("propose", b"nonsense", 400, "BAD_REQUEST", []),
        ("propose", {"scope": "EVERYTHING"}, 422, "INVALID", ["scope"]),
        ("propose", {"scope": 5}, 422, "INVALID", ["scope"]),
        ("propose", {"cashFlow": 1.5}, 422, "INVALID", ["cashFlow"]),
        ("propose", {"exclude": ["a\u0000"]}, 422, "INVALID", ["exclude", "0"]),
        ("propose", {"exclude": "AAA"}, 422, "INVALID", ["exclude"]),
        ("propose", {"exclude": ["AAA"] * 501}, 422, "LIMIT_EXCEEDED", ["exclude"]),
        ("propose", {"noBuy": ["AAA", "ZZZ"]}, 422, "INVALID", ["noBuy", "1"]),
        ("propose", {"noSell": [5]}, 422, "INVALID", ["noSell", "0"]),
        ("propose", {"sellLots": ["lot_1"]}, 422, "INVALID", ["sellLots"]),
        ("propose", {"dryRun": "yes"}, 422, "INVALID", ["dryRun"]),
        ("propose", {"nonsense": 1}, 422, "INVALID", []),
    ],
)
def test_bad_body_is_a_problem_and_stores_nothing(
    owner: Caller, portfolio: str, path: str, body: Any, status: int, code: str, place: list[str]
) -> None:
    before = owner.api.stored()
    response = owner.rest("POST", f"{portfolio}/{path}", body, x_request_id="mine")
    problem = response.json()
    assert (response.status_code, problem["code"], problem["path"]) == (status, code, place)
    assert response.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["requestId"], problem["type"]) == (status, "mine", "about:blank")
    assert owner.api.stored() == before


def test_sum_of_targets_is_told_in_numbers(owner: Caller, portfolio: str) -> None:
    response = owner.rest("POST", f"{portfolio}/targets", {"entries": [{"key": "AAA", "percent": "99.5"}]})
    problem = response.json()
    assert problem["detail"] == "targets sum to 99.5; 0.5 is missing"
    assert (problem["sum"], problem["missing"]) == ("99.5", "0.5")


def test_bad_header_is_a_problem(owner: Caller, portfolio: str) -> None:
    late = owner.rest("POST", f"{portfolio}/propose", {}, prefer="wait=31")
    assert (late.status_code, late.json()["detail"]) == (422, "wait is 31 seconds; at most 30 are possible")
    keyed = owner.rest("POST", f"{portfolio}/propose", {}, idempotency_key="x" * 201)
    assert (keyed.status_code, keyed.json()["path"]) == (422, ["idempotencyKey"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("DELETE", "targets", 405), ("GET", "propose", 405), ("POST", "drift", 405), ("GET", "nonsense", 404)],
)
def test_route_that_is_not_there_answers_so(owner: Caller, portfolio: str, method: str, path: str, status: int) -> None:
    assert owner.rest(method, f"{portfolio}/{path}").status_code == status


def test_body_must_call_itself_json(owner: Caller, portfolio: str) -> None:
    response = owner.rest("POST", f"{portfolio}/targets", HALVES, content_type="text/plain")
    assert (response.status_code, response.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
