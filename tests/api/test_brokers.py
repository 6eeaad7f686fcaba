"""Brokers and costs as clients meet them: recorded by operators, named by accounts, charged in plans."""

from typing import Any, Final

from tests.api.conftest import Caller, portfolio_of

NORDIC: Final[dict[str, Any]] = {
    "name": "Nordic",
    "currency": "USD",
    "conversion": "0.25",
    "fees": [
        {
            "assetClass": "STOCK",
            "fixed": "0",
            "rate": "0.25",
            "minimum": "9",
            "cap": None,
            "tiers": [{"above": "0", "fixed": "0", "rate": "0.15", "minimum": "49", "cap": "500"}],
        }
    ],
}
LINE: Final = "fixed rate minimum cap tiers { above fixed rate minimum cap }"
BROKER: Final = f"name currency conversion fees {{ assetClass {LINE} }}"
COSTS: Final = f"costs {{ halfSpread {LINE} }} liquidity {{ dailyVolume dailyVolatility impactFactor }}"
PROPOSED: Final = "plan { id trades { side value { amount } costs { fee { amount } impact { amount } } } }"


def record(operator: Caller, **changes: Any) -> None:
    payload = operator.mutate("brokerUpsert", f"broker {{ {BROKER} }}", **{**NORDIC, **changes})
    assert payload == {"broker": {**NORDIC, **changes}, "userErrors": []}


def listed(caller: Caller) -> dict[str, Any]:
    found = caller.data(f"{{ brokers(first: 10) {{ nodes {{ {BROKER} }} }} }}")["brokers"]["nodes"]
    return {broker["name"]: broker for broker in found}


def test_everybody_reads_what_an_operator_recorded_last(operator: Caller, owner: Caller) -> None:
    record(operator, name="Dear")
    record(operator, name="Dear", conversion="1", fees=[])
    assert listed(owner)["Dear"] == {**NORDIC, "name": "Dear", "conversion": "1", "fees": []}


def test_brokers_are_listed_page_by_page(operator: Caller, owner: Caller) -> None:
    for name in ("Åre", "Zürich"):
        record(operator, name=name)
    names = list(listed(owner))
    asked = "brokers(first: 1, after: $after) { nodes { name } pageInfo { hasNextPage endCursor } }"
    query = f"query ($after: String) {{ {asked} }}"
    found, after = [], None
    while True:
        page = owner.data(query, after=after)["brokers"]
        found += [node["name"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == names
    assert names[-2:] == ["Åre", "Zürich"]


def test_costs_and_liquidity_of_an_asset_are_answered_as_given(operator: Caller, owner: Caller) -> None:
    line = {name: NORDIC["fees"][0][name] for name in ("fixed", "rate", "minimum", "cap", "tiers")}
    given: dict[str, Any] = {
        "costs": {"halfSpread": "0.01", **line, "cap": "77"},
        "liquidity": {"dailyVolume": "1000.5", "dailyVolatility": "1.25", "impactFactor": "0.8"},
    }
    asset = {"symbol": "DEEP", "assetClass": "ETF"}
    assert operator.mutate("assetUpsert", f"asset {{ {COSTS} }}", **asset, **given)["asset"] == given
    (found,) = owner.data(f'{{ assets(search: "DEEP") {{ nodes {{ {COSTS} }} }} }}')["assets"]["nodes"]
    assert found == given
    bare = operator.mutate("assetUpsert", f"asset {{ {COSTS} }}", **asset)["asset"]
    free: dict[str, Any] = {"halfSpread": "0", "fixed": "0", "rate": "0", "minimum": "0", "cap": None, "tiers": []}
    assert bare == {"costs": free, "liquidity": None}


def test_account_pays_the_fees_of_the_broker_it_names(operator: Caller, owner: Caller) -> None:
    """400 of 1,000 in AAA at 100 go to BBB: 9 each at the broker, nothing without it."""
    record(operator)
    even = [{"key": "AAA", "percent": "20"}, {"key": "BBB", "percent": "80"}]
    made = portfolio_of(owner, targets=even)
    account = made["accounts"][0]["id"]
    assert fees(owner, made["id"]) == {"0"}
    plan = owner.mutate("rebalancePropose", "plan { id }", portfolioId=made["id"], scope="FULL")["plan"]["id"]
    changed = owner.mutate(
        "accountUpdate", "account { broker } portfolio { version }", accountId=account, broker="Nordic"
    )
    assert changed == {"account": {"broker": "Nordic"}, "portfolio": {"version": made["version"] + 1}, "userErrors": []}
    assert owner.data("query ($id: ID!) { rebalancePlan(id: $id) { status } }", id=plan) == {
        "rebalancePlan": {"status": "SUPERSEDED"}
    }
    assert fees(owner, made["id"]) == {"9"}
    late = owner.mutate("accountUpdate", accountId=account, broker=None, expectedVersion=made["version"])
    assert [error["code"] for error in late["userErrors"]] == ["VERSION_CONFLICT"]
    gone = owner.mutate("accountUpdate", "account { broker }", accountId=account, broker=None)
    assert gone == {"account": {"broker": None}, "userErrors": []}
    assert fees(owner, made["id"]) == {"0"}


def fees(owner: Caller, portfolio_id: str) -> set[str]:
    """Return the different fees of a plan's trades."""
    made = owner.mutate("rebalancePropose", PROPOSED, portfolioId=portfolio_id, scope="FULL", dryRun=True)
    assert {trade["side"] for trade in made["plan"]["trades"]} == {"SELL", "BUY"}
    return {trade["costs"]["fee"]["amount"] for trade in made["plan"]["trades"]}


def test_account_is_created_with_a_broker(operator: Caller, owner: Caller) -> None:
    record(operator)
    account = {"name": "Main", "broker": "Nordic", "lots": []}
    made = owner.mutate("portfolioCreate", "portfolio { accounts { broker } }", name="New", accounts=[account])
    assert made == {"portfolio": {"accounts": [{"broker": "Nordic"}]}, "userErrors": []}


def test_plan_is_refused_where_the_brokers_currency_has_no_rate(operator: Caller, owner: Caller) -> None:
    record(operator, name="Far", currency="XTS")
    lots = [{"symbol": "AAA", "quantity": "6", "unitCost": "80"}]
    accounts = [{"name": "Main", "broker": "Far", "lots": lots}]
    made = portfolio_of(owner, accounts=accounts, targets=[{"key": "BBB", "percent": "100"}])
    (error,) = owner.mutate("rebalancePropose", portfolioId=made["id"], scope="FULL")["userErrors"]
    assert (error["code"], error["message"]) == ("STALE_DATA", "There is no rate for XTS/USD, in which Far charges")


def test_account_says_who_works_its_orders(owner: Caller) -> None:
    made = portfolio_of(owner, accounts=[{"name": "By hand"}, {"name": "On paper", "execution": "PAPER"}])
    query = "query ($id: ID!) { portfolio(id: $id) { version accounts { name execution broker } } }"
    before = owner.data(query, id=made["id"])["portfolio"]
    assert [account["execution"] for account in before["accounts"]] == ["MANUAL", "PAPER"]
    account = made["accounts"][0]["id"]
    changed = owner.mutate("accountUpdate", "account { execution broker }", accountId=account, execution="PAPER")
    assert changed == {"account": {"execution": "PAPER", "broker": None}, "userErrors": []}
    after = owner.data(query, id=made["id"])["portfolio"]
    assert [account["execution"] for account in after["accounts"]] == ["PAPER", "PAPER"]
    assert after["version"] == before["version"] + 1


def test_broker_and_execution_are_changed_apart_or_together(operator: Caller, owner: Caller) -> None:
    record(operator, name="Apart")
    account = portfolio_of(owner)["accounts"][0]["id"]

    def update(**given: object) -> Any:
        return owner.mutate("accountUpdate", "account { broker execution }", accountId=account, **given)["account"]

    assert update(broker="Apart", execution="PAPER") == {"broker": "Apart", "execution": "PAPER"}
    assert update(execution="MANUAL") == {"broker": "Apart", "execution": "MANUAL"}
    assert update(broker=None) == {"broker": None, "execution": "MANUAL"}
    assert owner.mutate("accountUpdate", accountId=account)["userErrors"][0]["code"] == "REQUIRED"


def test_alpaca_is_for_the_account_that_the_operator_named_alone(owner: Caller) -> None:
    account = portfolio_of(owner)["accounts"][0]["id"]
    (error,) = owner.mutate("accountUpdate", accountId=account, execution="ALPACA")["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID", ["input", "execution"])
    assert f"the operator has to name {account} in STEELYARD_ALPACA_ACCOUNT" in error["message"]
    accounts = [{"name": "Main"}, {"name": "Live", "execution": "ALPACA"}]
    (error,) = owner.mutate("portfolioCreate", name="Live", accounts=accounts)["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID", ["input", "accounts", "1", "execution"])
