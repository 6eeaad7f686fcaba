"""The valid that turns invalid: what is archived, grows old, or was asked before with another input."""

import copy

from tests.api.conftest import Api, Caller, portfolio_of


def test_archived_portfolio_is_read_only(api: Api, owner: Caller) -> None:
    made = portfolio_of(owner)
    portfolio, account = made["id"], made["accounts"][0]["id"]
    entries = [{"key": "AAA", "percent": "100"}]
    attempts = [
        ("portfolioUpdate", {"portfolioId": portfolio, "name": "Other"}, "portfolioId"),
        ("targetsSet", {"portfolioId": portfolio, "entries": entries}, "portfolioId"),
        ("holdingsImport", {"accountId": account, "lots": [{"symbol": "AAA", "quantity": "1"}]}, "accountId"),
        ("rebalancePropose", {"portfolioId": portfolio}, "portfolioId"),
    ]
    assert owner.mutate("portfolioUpdate", portfolioId=portfolio, status="ARCHIVED")["userErrors"] == []
    before = api.stored()
    for mutation, given, place in attempts:
        error = owner.mutate(mutation, **copy.deepcopy(given))["userErrors"][0]
        assert (error["code"], error["state"], error["path"]) == ("INVALID_STATE", "ARCHIVED", ["input", place])
        assert error["message"] == "the portfolio is archived; make it ACTIVE first"
    assert api.stored() == before
    assert owner.mutate("portfolioUpdate", portfolioId=portfolio, status="ACTIVE")["userErrors"] == []
    for mutation, given, _ in attempts:
        assert owner.mutate(mutation, **given)["userErrors"] == []


def test_price_that_grows_old_stops_plans_and_a_fresh_one_allows_them(owner: Caller, operator: Caller) -> None:
    symbol = "OLD"
    operator.mutate("assetUpsert", symbol=symbol, assetClass="STOCK", name=symbol)
    old = {"symbol": symbol, "price": "10", "pricedAt": "2020-01-02T00:00:00Z"}
    operator.mutate("pricesRecord", prices=[old])
    lots = [{"symbol": symbol, "quantity": "1"}]
    made = portfolio_of(owner, accounts=[{"lots": lots}], targets=[{"key": symbol, "percent": "100"}])
    error = owner.mutate("rebalancePropose", portfolioId=made["id"], scope="FULL")["userErrors"][0]
    assert (error["__typename"], error["code"]) == ("StaleDataError", "STALE_DATA")
    assert symbol in error["message"]
    operator.mutate("pricesRecord", prices=[{"symbol": symbol, "price": "10"}])
    again = owner.mutate("rebalancePropose", "plan { status }", portfolioId=made["id"], scope="FULL")
    assert again == {"plan": {"status": "NOTHING_TO_DO"}, "userErrors": []}


def test_key_that_was_used_for_another_request_is_refused(api: Api, owner: Caller) -> None:
    portfolio = portfolio_of(owner)["id"]
    first = owner.mutate("rebalancePropose", "plan { id }", portfolioId=portfolio, idempotencyKey="k", scope="FULL")
    before = api.stored()
    again = owner.mutate("rebalancePropose", "plan { id }", portfolioId=portfolio, idempotencyKey="k", scope="FULL")
    other = owner.mutate("rebalancePropose", portfolioId=portfolio, idempotencyKey="k", scope="CASH_FLOW")
    create = owner.mutate("portfolioCreate", name="Other", idempotencyKey="k")
    assert again == first
    for payload in (other, create):
        error = payload["userErrors"][0]
        assert (error["__typename"], error["code"]) == ("IdempotencyError", "IDEMPOTENCY_MISMATCH")
        assert error["message"] == "the key k was used for another request; take a new key"
        assert error["path"] == ["input", "idempotencyKey"]
    assert api.stored() == before
