"""The model that a portfolio follows: a name, by which portfolios are found; no plan rests on it."""

import json
from typing import Any

import pytest

from tests.api.conftest import Api, Caller, portfolio_of

NO_NAME = "model must be 1 to 100 characters without control characters or space around it"
FOUND = "query ($model: String) { portfolios(model: $model) { nodes { name model } } }"


def found(owner: Caller, model: str | None = None) -> list[tuple[str, str | None]]:
    nodes = owner.data(FOUND, model=model)["portfolios"]["nodes"]
    return [(node["name"], node["model"]) for node in nodes]


def changed(owner: Caller, portfolio_id: str, **given: object) -> dict[str, Any]:
    payload = owner.mutate("portfolioUpdate", "portfolio { name model version }", portfolioId=portfolio_id, **given)
    assert payload["userErrors"] == []
    portfolio: dict[str, Any] = payload["portfolio"]
    return portfolio


def test_portfolios_are_found_by_their_model_and_only_ones_own(owner: Caller, api: Api) -> None:
    for name, model in (("A", "60/40 Balanced"), ("B", None), ("C", "60/40 Balanced"), ("D", "Growth")):
        portfolio_of(owner, name=name, model=model)
    balanced = [("A", "60/40 Balanced"), ("C", "60/40 Balanced")]
    assert found(owner, "60/40 Balanced") == balanced
    assert found(owner, "Growth") == [("D", "Growth")]
    assert found(owner, "growth") == []
    assert [name for name, _ in found(owner)] == ["A", "B", "C", "D"]
    assert found(api.caller("model-stranger"), "60/40 Balanced") == []
    page = 'query ($after: String) { portfolios(model: "60/40 Balanced", first: 1, after: $after) { %s } }'
    page %= "nodes { name } pageInfo { hasNextPage endCursor }"
    first = owner.data(page)["portfolios"]
    assert (first["nodes"], first["pageInfo"]["hasNextPage"]) == ([{"name": "A"}], True)
    second = owner.data(page, after=first["pageInfo"]["endCursor"])["portfolios"]
    assert (second["nodes"], second["pageInfo"]["hasNextPage"]) == ([{"name": "C"}], False)


@pytest.mark.parametrize("model", ["", " x", "M" * 101, "a\nb"])
def test_model_that_is_no_name_is_refused(owner: Caller, model: str) -> None:
    answer = owner.answer(FOUND, model=model)
    told = [(error["message"], error["extensions"]["code"]) for error in answer["errors"]]
    assert told == [(NO_NAME, "INVALID")]
    given = {"portfolioUpdate": {"portfolioId": portfolio_of(owner)["id"]}, "portfolioCreate": {"name": "New"}}
    for mutation, rest in given.items():
        (error,) = owner.mutate(mutation, **rest, model=model)["userErrors"]
        assert (error["message"], error["code"], error["path"]) == (NO_NAME, "INVALID", ["input", "model"])


def test_model_is_changed_stays_where_it_is_not_given_and_is_taken_away_by_null(owner: Caller) -> None:
    portfolio_id = portfolio_of(owner)["id"]
    assert changed(owner, portfolio_id, model="Growth") == {"name": "Core", "model": "Growth", "version": 3}
    assert changed(owner, portfolio_id, name="New") == {"name": "New", "model": "Growth", "version": 4}
    assert changed(owner, portfolio_id, model=None) == {"name": "New", "model": None, "version": 5}
    query = "query ($id: ID!) { portfolio(id: $id) { history(first: 3) { nodes { kind actor document } } } }"
    lines = owner.data(query, id=portfolio_id)["portfolio"]["history"]["nodes"]
    documents = [json.loads(line["document"]) for line in lines]
    told = [((one["before"]["name"], one["before"]["model"]), (one["name"], one["model"])) for one in documents]
    assert told == [
        (("New", "Growth"), ("New", None)),
        (("Core", "Growth"), ("New", "Growth")),
        (("Core", None), ("Core", "Growth")),
    ]
    assert {line["kind"] for line in lines} == {"PORTFOLIO_UPDATED"}


def test_plan_outlives_a_change_of_the_model_alone(owner: Caller) -> None:
    targets = [{"key": "AAA", "percent": "20"}, {"key": "BBB", "percent": "80"}]
    portfolio_id = portfolio_of(owner, targets=targets)["id"]
    asked = "plan { id status version }"
    plan = owner.mutate("rebalancePropose", asked, portfolioId=portfolio_id, scope="FULL")["plan"]
    assert plan["status"] == "READY"
    changed(owner, portfolio_id, model="Growth")
    given = {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": "once"}
    assert owner.mutate("planApprove", "plan { status }", **given) == {"plan": {"status": "APPROVED"}, "userErrors": []}
    changed(owner, portfolio_id, model="Income")
    query = "query ($id: ID!) { rebalancePlan(id: $id) { status } }"
    assert owner.data(query, id=plan["id"])["rebalancePlan"]["status"] == "APPROVED"
