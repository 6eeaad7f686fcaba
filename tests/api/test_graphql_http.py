"""GraphQL over HTTP: what is answered to documents, to bodies, and to callers of every kind."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from app.api import edge
from app.embedded import Endpoints
from app.store.db import Tx
from tests.api.conftest import Api, Caller, portfolio_of, running

NEWER = "application/graphql-response+json"
CLASSIC = "application/json"
VERSION = "{ server { version } }"
NESTED = "{ a " * 900 + "}" * 900

# What cannot be executed: documents that do not parse, do not validate, exceed a limit or choose nothing.
REFUSED = [
    ("{", "Syntax Error: Expected Name, found <EOF>."),
    (NESTED, "Syntax Error: Document is nested too deeply."),
    ("{ nonsense }", "Cannot query field 'nonsense' on type 'Query'."),
    ("{ portfolioz { id } }", "Cannot query field 'portfolioz' on type 'Query'."),
    ("{ viewer { idd } }", "Cannot query field 'idd' on type 'Viewer'."),
    ("{ portfolio { id } }", "Argument 'Query.portfolio(id:)' of type 'ID!' is required, but it was not provided."),
    ("{ portfolio(id: 1, idd: 2) { id } }", "Unknown argument 'idd' on field 'Query.portfolio'."),
    ("{ a: __typename @nope }", "Unknown directive '@nope'."),
    ("{ portfolios(first: 1.5) { nodes { id } } }", "Int cannot represent non-integer value: 1.5"),
    ("query A { viewer { id } } query B { viewer { id } }", "the document has 2 operations;"),
]


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """Return the one error of an answer that has no data, not even null."""
    answer = response.json()
    assert set(answer) == {"errors"}
    assert len(answer["errors"]) == 1
    error: dict[str, Any] = answer["errors"][0]
    return error


# ---------------------------------------------------------------- documents


@pytest.mark.parametrize(("accept", "status"), [(NEWER, 400), (CLASSIC, 200), ("*/*", 200)])
@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_document_that_cannot_be_executed_is_refused_without_data(
    owner: Caller, query: str, message: str, accept: str, status: int
) -> None:
    response = owner.post({"query": query}, accept=accept)
    error = error_of(response)
    assert response.status_code == status
    assert response.headers["content-type"] == (NEWER if accept == NEWER else CLASSIC)
    assert error["message"].startswith(message)
    assert "Did you mean" not in response.text
    assert error["extensions"]["code"] in ("BAD_REQUEST", "COST_LIMIT")


@pytest.mark.parametrize("accept", [NEWER, CLASSIC])
def test_answer_takes_the_media_type_that_is_accepted(owner: Caller, accept: str) -> None:
    response = owner.post({"query": VERSION}, accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, accept)
    assert response.json() == {"data": {"server": {"version": "0.1.0"}}, "extensions": {"cost": 2}}


@pytest.mark.parametrize("accept", [NEWER, CLASSIC])
def test_error_of_a_field_is_partial_success(owner: Caller, accept: str) -> None:
    response = owner.post({"query": "{ portfolios(first: 0) { nodes { id } } }"}, accept=accept)
    answer = response.json()
    assert (response.status_code, answer["data"]) == (200, None)
    assert answer["errors"][0]["path"] == ["portfolios"]
    assert answer["errors"][0]["message"] == "first is 0; it must be from 1 to 100"


def test_operation_is_chosen_by_its_name(owner: Caller) -> None:
    query = "query A { viewer { subject } } query B { server { version } }"
    chosen = owner.post({"query": query, "operationName": "B"})
    assert chosen.json()["data"] == {"server": {"version": "0.1.0"}}
    unknown = owner.post({"query": query, "operationName": "C"})
    assert (unknown.status_code, error_of(unknown)["message"]) == (400, 'Unknown operation named "C".')


def test_subscription_needs_a_stream(owner: Caller) -> None:
    response = owner.post({"query": "subscription { driftAlerts { cursor } }"})
    assert response.status_code == 400
    assert error_of(response)["message"] == "subscriptions are not allowed when using POST"


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{ viewer { id } }", 2),
        ("{ portfolios(first: 3) { nodes { id drift { status } } } }", 1 + 3 * (1 + 1 + 2)),
        ("query ($n: Int!) { portfolios(first: $n) { nodes { id } } }", 1 + 5 * 2),
    ],
)
def test_cost_is_answered(owner: Caller, query: str, cost: int) -> None:
    assert owner.answer(query, n=5)["extensions"] == {"cost": cost}


def test_what_costs_too_much_is_refused_with_the_numbers(owner: Caller) -> None:
    query = "{ portfolios(first: 100) { nodes { plans(first: 100) { nodes { id } } } } }"
    response = owner.post({"query": query}, accept=NEWER)
    assert response.status_code == 400
    assert error_of(response)["extensions"] == {
        "code": "COST_LIMIT",
        "limit": "cost",
        "found": 20_201,
        "allowed": 10_000,
    }


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"5",
        b"[]",
        b'[{"query":"{ viewer { id } }"}]',
        b"{}",
        b"nope",
        b'{"query":null}',
        b'{"query":5}',
        b'{"query":""}',
        b'{"query":"{ viewer { id } }","variables":[]}',
        b'{"query":"{ viewer { id } }","variables":5}',
        b'{"query":"{ viewer { id } }","variables":{"a":NaN}}',
        b'{"query":"{ viewer { id } }","variables":{"a":1e999}}',
        b'{"query":"{ viewer { id } }","extensions":5}',
        b'{"query":"{ viewer { id } }","operationName":"X"}',
        b'{"query":"{ viewer { id } }","operationName":5}',
        b'{"query":"{ viewer { id } }","query":"{ viewer { id } }"}',
        b'{"query":"\xff"}',
        b'{"query":"\\ud800"}',
        b'{"query":"{ viewer { id } }"',
    ],
)
def test_body_that_is_no_request_is_a_bad_request(owner: Caller, body: bytes) -> None:
    response = owner.post(body)
    assert response.status_code == 400
    assert error_of(response)["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_answered(api: Api, owner: Caller, method: str) -> None:
    headers = {"authorization": f"Bearer {owner.token}", "content-type": CLASSIC}
    response = api.http.request(method, "/graphql", params={"query": VERSION}, headers=headers)
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]
    assert "0.1.0" not in response.text


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_body_must_call_itself_json(owner: Caller, content_type: str) -> None:
    assert owner.post({"query": VERSION}, content_type=content_type).status_code == 415


def test_body_over_the_limit_is_refused(owner: Caller) -> None:
    response = owner.post(b'{"query":"' + b" " * 1_048_576 + b'"}')
    assert response.status_code == 413
    assert response.json()["code"] == "BODY_TOO_LARGE"


# ---------------------------------------------------------------- scalars


@pytest.mark.parametrize(
    "value",
    ["1.5", "1e3", "NaN", "Infinity", "-Infinity", "0x10", "1_000", " 1", "1.", ".5", "", "\u0661", "+1", "9" * 41],
)
def test_number_that_is_not_plain_is_refused(owner: Caller, value: str) -> None:
    """Also where it is plain as a string, as a JSON number or a literal it is not."""
    made = "mutation ($input: HoldingsImportInput!) { holdingsImport(input: $input) { userErrors { code } } }"
    lot = {"symbol": "AAA", "quantity": value if value != "1.5" else 1.5}
    answer = owner.answer(made, input={"accountId": "x", "lots": [lot]})
    assert "data" not in answer
    assert answer["errors"][0]["message"].startswith("Variable '$input' has invalid value")
    assert answer["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("literal", ["1.5", "1e3", "true", "null", "[1]", "A", '"1e3"', '"NaN"', '""'])
def test_literal_that_is_not_plain_is_refused(owner: Caller, literal: str) -> None:
    query = f'{{ portfolio(id: "x") {{ drift(against: [{{ key: "AAA", percent: {literal} }}]) {{ status }} }} }}'
    response = owner.post({"query": query}, accept=NEWER)
    assert response.status_code == 400
    assert error_of(response)["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize("literal", ["60", '"60"', '"60.000000"', '"060"'])
def test_integers_and_plain_strings_are_numbers(owner: Caller, literal: str) -> None:
    portfolio = portfolio_of(owner)["id"]
    entries = f'[{{ key: "AAA", percent: {literal} }}, {{ key: "BBB", percent: 40 }}]'
    query = f'{{ portfolio(id: "{portfolio}") {{ drift(against: {entries}) {{ entries {{ target }} }} }} }}'
    targets = owner.data(query)["portfolio"]["drift"]["entries"]
    assert [entry["target"] for entry in targets] == ["60", "40"]


# ---------------------------------------------------------------- callers


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "the token has no claim 'exp'"),
        ({"iss": "elsewhere"}, "the token names another issuer or audience"),
        ({"aud": "elsewhere"}, "the token names another issuer or audience"),
        ({"sub": ""}, "the token's sub must be 1 to 255 printable characters"),
        ({"exp": 4_000_000_000}, "the token lives longer than 86400 s"),
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/api/rebalancing/pf_x/targets", "/api/rebalancing/pf_x/propose"])
def test_token_that_is_not_good_is_refused(api: Api, path: str, claims: dict[str, Any], reason: str) -> None:
    headers = {"authorization": f"Bearer {api.forged(**claims)}", "content-type": CLASSIC}
    response = api.http.post(path, content=b'{"query":"{ viewer { id } }"}', headers=headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert "UNAUTHENTICATED" in response.text
    assert reason in response.text


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer x", "Basic eDp5", "Bearer a.b.c"])
def test_caller_without_a_token_is_refused(api: Api, given: str | None) -> None:
    headers = {"content-type": CLASSIC} | ({} if given is None else {"authorization": given})
    response = api.http.post("/graphql", content=b'{"query":"{ viewer { id } }"}', headers=headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert error_of(response)["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize(
    "query",
    [
        '{ a: healthScans { nodes { id } } b: assets(search: "AAA") { nodes { symbol } } }',
        "mutation { scanStart { userErrors { code } } }",
        'mutation { tradingHalt(input: { reason: "mine" }) { userErrors { code } } }',
        "mutation { tradingResume { userErrors { code } } }",
        'mutation { assetUpsert(input: { symbol: "X", assetClass: STOCK }) { userErrors { code } } }',
        'mutation { brokerUpsert(input: { name: "X" }) { userErrors { code } } }',
        'mutation { pricesRecord(input: { prices: [{ symbol: "AAA", price: 1 }] }) { userErrors { code } } }',
    ],
)
def test_what_needs_the_operator_is_forbidden_to_others(api: Api, owner: Caller, query: str) -> None:
    before = api.stored()
    answer = owner.answer(query)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "FORBIDDEN"}]
    assert answer["errors"][0]["message"] == "this needs the role operator"
    assert answer["data"] is None
    assert api.stored() == before


def test_role_that_is_not_known_gives_nothing(api: Api) -> None:
    caller = Caller(api, api.forged(sub="root", role=["root", "admin"]))
    assert caller.data("{ viewer { roles } }") == {"viewer": {"roles": []}}
    assert caller.answer("mutation { scanStart { __typename } }")["errors"][0]["extensions"] == {"code": "FORBIDDEN"}


# ---------------------------------------------------------------- what every answer carries


def test_request_id_is_kept_and_made(owner: Caller) -> None:
    assert owner.post({"query": VERSION}, x_request_id="mine-1").headers["x-request-id"] == "mine-1"
    made = owner.post({"query": VERSION}, x_request_id="not mine; drop").headers["x-request-id"]
    assert edge.REQUEST_ID.fullmatch(made)
    assert made.startswith("rq_")


def test_answers_are_not_kept_and_say_nothing_of_the_server(owner: Caller) -> None:
    headers = owner.post({"query": VERSION}).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


# ---------------------------------------------------------------- when something fails here


def test_failure_of_ours_is_masked(
    api: Api, owner: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Tx, sql: str, *args: object) -> Any:
        raise RuntimeError(f"secret insides: {sql}")

    monkeypatch.setattr(Tx, "fetch", broken)
    graphql = owner.post({"query": "{ portfolios { nodes { id } } }"})
    rest = owner.rest("GET", "pf_x/drift")
    assert graphql.json()["errors"][0]["message"] == "internal error; the request id is in the logs"
    assert graphql.json()["errors"][0]["extensions"] == {"code": "INTERNAL"}
    assert (rest.status_code, rest.json()["code"]) == (500, "INTERNAL")
    assert "secret insides" not in graphql.text + rest.text
    assert "secret insides" in caplog.text
    assert graphql.headers["x-request-id"] in caplog.text
    assert owner.token not in caplog.text


def test_database_that_is_away_is_said_and_comes_back(endpoints: Endpoints, tmp_path: Path) -> None:
    folder = Path(parse_qs(urlsplit(endpoints.database_url).query)["host"][0])
    way = tmp_path / "run"
    url = endpoints.database_url.replace(str(folder), str(way))
    with running(replace(endpoints, database_url=url)) as api:
        caller = Caller(api, api.token("alice"))
        away = caller.answer("{ viewer { id } }")
        rest = caller.rest("GET", "pf_x/drift")
        ready = api.http.get("/readyz")
        assert away["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        assert away["errors"][0]["message"] == "the service is not available at present; try again"
        assert (rest.status_code, rest.json()["code"]) == (503, "UNAVAILABLE")
        assert (ready.status_code, ready.json()["database"]) == (503, False)
        assert api.http.get("/healthz").json() == {"status": "ok"}
        way.symlink_to(folder)
        assert caller.data("{ viewer { subject } }") == {"viewer": {"subject": "alice"}}
        assert api.http.get("/readyz").json() == {"status": "ok", "database": True, "redis": True}


def test_introspection_can_be_turned_off(endpoints: Endpoints) -> None:
    with running(endpoints, introspection=False) as api:
        caller = api.caller("alice")
        assert caller.data("{ __typename }") == {"__typename": "Query"}
        answer = caller.answer("{ __schema { types { name } } }")
        assert "data" not in answer
        assert json.dumps(answer).count("BAD_REQUEST") == len(answer["errors"])
