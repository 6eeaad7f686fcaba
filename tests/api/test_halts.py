"""The kill switch as clients meet it: owners halt what is theirs, operators everything, and it is said who and why."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import Caller, portfolio_of

HALT = "portfolio { id haltedAt }"
ALL = "{ tradingHalt { haltedAt haltedBy reason } }"
NOBODY = {"haltedAt": None, "haltedBy": None, "reason": None}


@pytest.fixture(autouse=True)
def _resumed(operator: Caller) -> Iterator[None]:
    """Leave nothing halted behind."""
    yield
    operator.data("mutation { tradingResume { halt { haltedAt } } }")


def test_portfolio_is_halted_and_resumed(owner: Caller) -> None:
    portfolio_id = portfolio_of(owner)["id"]
    read = "query ($id: ID!) { portfolio(id: $id) { haltedAt version } }"
    before = owner.data(read, id=portfolio_id)["portfolio"]
    assert before["haltedAt"] is None
    halted = owner.mutate("portfolioHalt", HALT, portfolioId=portfolio_id, reason="the news")
    assert halted["userErrors"] == []
    assert halted["portfolio"]["haltedAt"] is not None
    again = owner.mutate("portfolioHalt", HALT, portfolioId=portfolio_id)
    assert again == halted
    assert owner.data(read, id=portfolio_id)["portfolio"]["version"] == before["version"]
    resumed = owner.mutate("portfolioResume", HALT, portfolioId=portfolio_id)
    assert resumed == {"portfolio": {"id": portfolio_id, "haltedAt": None}, "userErrors": []}
    history = "query ($id: ID!) { portfolio(id: $id) { history(first: 100) { nodes { kind } } } }"
    kinds = [line["kind"] for line in owner.data(history, id=portfolio_id)["portfolio"]["history"]["nodes"]]
    assert sorted(kind for kind in kinds if kind.startswith("PORTFOLIO_")) == [
        "PORTFOLIO_CREATED",
        "PORTFOLIO_HALTED",
        "PORTFOLIO_RESUMED",
    ]


def test_operator_halts_everybody_and_everybody_sees_it(operator: Caller, owner: Caller) -> None:
    assert owner.data(ALL)["tradingHalt"] == NOBODY
    asked = 'mutation { tradingHalt(input: {reason: "%s"}) { halt { haltedBy reason } userErrors { path } } }'
    halted = {"haltedBy": "operator", "reason": "the exchange is on fire"}
    first = operator.data(asked % "the exchange is on fire")["tradingHalt"]
    assert first == {"halt": halted, "userErrors": []}
    assert operator.data(asked % "still")["tradingHalt"]["halt"] == halted
    seen = owner.data(ALL)["tradingHalt"]
    assert {name: seen[name] for name in halted} == halted
    assert seen["haltedAt"] is not None
    operator.data("mutation { tradingResume { halt { haltedAt } userErrors { path } } }")
    assert owner.data(ALL)["tradingHalt"] == NOBODY


@pytest.mark.parametrize("reason", ["", "x" * 501, "a\nb"])
def test_reason_of_a_halt_for_all_is_a_line_of_text(operator: Caller, reason: str) -> None:
    asked = "mutation ($input: TradingHaltInput!) { tradingHalt(input: $input) { userErrors { code path } } }"
    errors = operator.data(asked, input={"reason": reason})["tradingHalt"]["userErrors"]
    assert [(error["code"], error["path"]) for error in errors] == [("INVALID", ["input", "reason"])]
    assert operator.data(ALL)["tradingHalt"] == NOBODY


def test_halted_portfolio_refuses_to_approve(owner: Caller) -> None:
    targets = [{"key": "AAA", "percent": "20"}, {"key": "BBB", "percent": "80"}]
    portfolio_id = portfolio_of(owner, targets=targets)["id"]
    plan = owner.mutate("rebalancePropose", "plan { id version }", portfolioId=portfolio_id, scope="FULL")["plan"]
    owner.mutate("portfolioHalt", HALT, portfolioId=portfolio_id)
    given = {"planId": plan["id"], "expectedVersion": plan["version"], "idempotencyKey": plan["id"]}
    refused = owner.mutate("planApprove", "plan { status }", **given)
    assert [error["code"] for error in refused["userErrors"]] == ["INVALID_STATE"]
