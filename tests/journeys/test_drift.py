"""Holdings and prices in, drift out; GraphQL and REST agree to the digit."""

from typing import Any

from tests.support import Person, Steelyard, selection_of


async def an_awkward_portfolio(steelyard: Steelyard) -> tuple[Person, str]:
    """Two accounts, two currencies, a price of 18 decimals, a cash sleeve and a holding without a target."""
    operator, alice = steelyard.operator, steelyard.person("alice")
    await operator.list_asset("EUR", "1.0837", assetClass="CASH")
    await operator.list_asset("DRUS", "187.33")
    await operator.list_asset("DREU", "71.09", currency="EUR", assetClass="ETF")
    await operator.list_asset("DRCOIN", "0.000012345678901234", assetClass="CRYPTO")
    await operator.list_asset("DRODD", "3.7")
    euros = [{"amount": "10", "currency": "EUR"}]
    lots: list[dict[str, Any]] = [
        {"symbol": "DRUS", "quantity": "12.345678", "unitCost": "150.5", "acquiredOn": "2021-02-03"},
        {"symbol": "DREU", "quantity": "41", "unitCost": "80", "acquiredOn": "2024-01-15"},
    ]
    more = [{"symbol": "DRCOIN", "quantity": "98765432.1"}, {"symbol": "DRODD", "quantity": "7"}]
    portfolio_id = await alice.create(
        accounts=[
            {"name": "Broker", "cash": "333.33", "lots": lots},
            {"name": "Pension", "kind": "TAX_DEFERRED", "balances": euros, "lots": more},
        ],
        targets=[
            {"key": "DRUS", "percent": "33.333333", "band": {"absolute": "2.5"}},
            {"key": "World", "percent": "41.666667", "assets": ["DREU"], "band": {"hybrid": {}}},
            {"key": "Coins", "percent": "20", "assets": ["DRCOIN"], "band": {"relative": "12.5", "cap": "2"}},
            {"key": "CASH", "percent": "5"},
        ],
        policy={"minTrade": "10", "longTermRate": "15", "shortTermRate": "35"},
    )
    return alice, portfolio_id


async def test_holdings_and_prices_in_drift_out(steelyard: Steelyard) -> None:
    operator, alice = steelyard.operator, steelyard.person("dora")
    await operator.list_asset("DRA", "100")
    await operator.list_asset("DRB", "50", assetClass="BOND")
    portfolio_id = await alice.create(
        accounts=[{"name": "Main", "cash": "100"}],
        targets=[{"key": "DRA", "percent": 60, "band": {"absolute": 5}}, {"key": "DRB", "percent": 40}],
    )
    account = (await alice.ask("query ($id: ID!) { portfolio(id: $id) { accounts { id } } }", id=portfolio_id))[
        "portfolio"
    ]["accounts"][0]["id"]
    lots = [{"symbol": "DRA", "quantity": "6"}, {"symbol": "DRB", "quantity": "8"}]
    await alice.done("holdingsImport", "account { id }", accountId=account, lots=lots)
    await operator.record({"DRA": "150"})
    drift = (await alice.send("GET", f"/api/rebalancing/{portfolio_id}/drift")).json()
    assert {name: drift[name] for name in ("status", "breaches", "maxAbsDrift", "turnoverToTarget")} == {
        "status": "BREACHED",
        "breaches": 2,
        "maxAbsDrift": "9.230769",
        "turnoverToTarget": "9.230769",
    }
    assert drift["value"] == {"amount": "1400", "currency": "USD"}
    assert drift["base"] == {"amount": "1300", "currency": "USD"}
    entries = drift["entries"]
    assert [(entry["key"], entry["actual"], entry["drift"], entry["toTarget"]["amount"]) for entry in entries] == [
        ("DRA", "69.230769", "9.230769", "-120"),
        ("DRB", "30.769231", "-9.230769", "120"),
    ]


async def test_rest_and_graphql_agree_on_drift_to_the_digit(steelyard: Steelyard) -> None:
    alice, portfolio_id = await an_awkward_portfolio(steelyard)
    query = f"query ($id: ID!) {{ portfolio(id: $id) {{ drift {{ {selection_of('Drift')} }} }} }}"
    asked = (await alice.ask(query, id=portfolio_id))["portfolio"]["drift"]
    rest = await alice.send("GET", f"/api/rebalancing/{portfolio_id}/drift")
    assert rest.status_code == 200
    assert rest.json() == asked
    assert asked["status"] == "BREACHED"
    assert [entry["key"] for entry in asked["entries"] if not entry["targeted"]] == ["DRODD"]
    # 12.345678 x 187.33 + 41 x 71.09 EUR + 98765432.1 x 0.000012345678901234 + 7 x 3.7 + 333.33 + 10 EUR
    assert asked["value"] == {"amount": "7060.7587239882292332114", "currency": "USD"}


async def test_rest_and_graphql_agree_on_targets_to_the_digit(steelyard: Steelyard) -> None:
    alice, portfolio_id = await an_awkward_portfolio(steelyard)
    query = f"query ($id: ID!) {{ portfolio(id: $id) {{ targets {{ {selection_of('Targets')} }} }} }}"
    asked = (await alice.ask(query, id=portfolio_id))["portfolio"]["targets"]
    rest = await alice.send("GET", f"/api/rebalancing/{portfolio_id}/targets")
    assert (rest.status_code, rest.headers["etag"]) == (200, '"v1"')
    assert rest.json() == asked
    assert [(entry["key"], entry["percent"]) for entry in asked["entries"]] == [
        ("DRUS", "33.333333"),
        ("World", "41.666667"),
        ("Coins", "20"),
        ("CASH", "5"),
    ]


async def test_rest_and_graphql_agree_on_a_proposal_to_the_digit(steelyard: Steelyard) -> None:
    alice, portfolio_id = await an_awkward_portfolio(steelyard)
    everything = selection_of("RebalancePlan")
    key = f"same-{portfolio_id}"
    payload = await alice.done(
        "rebalancePropose", f"plan {{ {everything} }}", portfolioId=portfolio_id, scope="FULL", idempotencyKey=key
    )
    path = f"/api/rebalancing/{portfolio_id}/propose"
    rest = await alice.send("POST", path, {"scope": "FULL"}, {"idempotency-key": key})
    assert rest.status_code == 201
    assert rest.json() == payload["plan"]
    assert (await alice.send("GET", rest.headers["location"])).json() == payload["plan"]
    assert payload["plan"]["status"] == "READY"
    assert len(payload["plan"]["trades"]) >= 3
    assert any(trade["lots"] for trade in payload["plan"]["trades"])


async def test_a_stranger_sees_no_drift_and_no_targets_by_any_way(steelyard: Steelyard) -> None:
    _, portfolio_id = await an_awkward_portfolio(steelyard)
    mallory = steelyard.person("mallory")
    for what in ("drift", "targets"):
        answer = await mallory.send("GET", f"/api/rebalancing/{portfolio_id}/{what}")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert await mallory.ask("query ($id: ID!) { portfolio(id: $id) { id } }", id=portfolio_id) == {"portfolio": None}
    payload = await mallory.change("rebalancePropose", "plan { id }", portfolioId=portfolio_id)
    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [
        ("NOT_FOUND", ["input", "portfolioId"])
    ]
