"""How trades are worked as clients meet it: the rules of a policy, and each trade of a plan."""

from dataclasses import replace
from typing import Any, Final

from app.api.rest_answers import as_json
from app.api.types_execution import strategy_of
from app.core.plan import Plan, PlannedTrade
from app.core.policy import OrderStyle, Policy
from app.core.portfolio import AssetClass
from tests.api.conftest import Caller, portfolio_of
from tests.builders import asset, propose, sleeve, snapshot, swinging

RULES: Final[dict[str, Any]] = {
    "styles": [{"assetClass": "BOND", "style": "MARKET"}, {"assetClass": "FUND", "style": "NAV"}],
    "twapHorizon": "PT2H",
    "twapInterval": "PT10M",
    "volatilityLimit": "45.5",
    "participationLimit": "0.5",
    "collarDays": "1.5",
    "collarMin": "0.05",
    "collarMax": "3",
    "repriceAfter": "PT0S",
    "reprices": 0,
    "priceMoveLimit": "2.5",
    "fourEyes": True,
}
DEFAULTS: Final[dict[str, Any]] = {
    "styles": [],
    "twapHorizon": "PT1H",
    "twapInterval": "PT5M",
    "volatilityLimit": "60",
    "participationLimit": "1",
    "collarDays": "0.5",
    "collarMin": "0.1",
    "collarMax": "2",
    "repriceAfter": "PT15M",
    "reprices": 3,
    "priceMoveLimit": "5",
    "fourEyes": False,
}
EXECUTION: Final = """execution {
    __typename style rationale notBefore
    ... on LimitExecution { limitPrice { amount currency } offsetBps }
    ... on TwapExecution { duration slices sliceQuantity }
}"""


def rules_of(owner: Caller, portfolio_id: str) -> dict[str, Any]:
    fields = " ".join(["styles { assetClass style }", *(name for name in RULES if name != "styles")])
    query = f"query ($id: ID!) {{ portfolio(id: $id) {{ policy {{ {fields} }} }} }}"
    found: dict[str, Any] = owner.data(query, id=portfolio_id)["portfolio"]["policy"]
    return found


def change(owner: Caller, portfolio_id: str, **policy: object) -> None:
    payload = owner.mutate("portfolioUpdate", portfolioId=portfolio_id, policy=policy)
    assert payload["userErrors"] == []


def test_rules_of_execution_are_stored_and_changed_one_by_one(owner: Caller) -> None:
    portfolio = portfolio_of(owner)["id"]
    assert rules_of(owner, portfolio) == DEFAULTS
    change(owner, portfolio, **RULES)
    assert rules_of(owner, portfolio) == RULES
    change(owner, portfolio, priceMoveLimit=None, styles=[{"assetClass": "ETF", "style": "TWAP"}])
    changed = RULES | {"priceMoveLimit": None, "styles": [{"assetClass": "ETF", "style": "TWAP"}]}
    assert rules_of(owner, portfolio) == changed
    change(owner, portfolio, styles=[], reprices=1)
    assert rules_of(owner, portfolio) == changed | {"styles": [], "reprices": 1}


def test_trades_of_a_plan_say_how_they_are_worked_over_graphql_and_rest(owner: Caller) -> None:
    portfolio = portfolio_of(owner, targets=[{"key": "AAA", "percent": "40"}, {"key": "BBB", "percent": "60"}])["id"]
    change(owner, portfolio, styles=[{"assetClass": "STOCK", "style": "TWAP"}], twapHorizon="PT10M")
    asked = f"plan {{ id trades {{ side symbol price {{ amount }} {EXECUTION} }} }}"
    made = owner.mutate("rebalancePropose", asked, portfolioId=portfolio, scope="FULL")["plan"]
    sale = made["trades"][0]["execution"]
    assert (sale["__typename"], sale["style"], sale["duration"], sale["slices"]) == (
        *("TwapExecution", "TWAP", "PT10M", 3),
    )
    assert sale["rationale"].startswith("3 slices, one every PT5M: the policy says so for STOCK")
    stored = owner.rest("GET", f"{portfolio}/plans/{made['id']}").json()
    shown = [trade["execution"] for trade in made["trades"]]
    assert [trade["execution"] for trade in stored["trades"]] == [
        {name: value for name, value in one.items() if name != "__typename"} for one in shown
    ]
    change(owner, portfolio, styles=[])
    limited = owner.mutate("rebalancePropose", asked, portfolioId=portfolio, scope="FULL")["plan"]["trades"]
    assert [(trade["side"], trade["execution"]["__typename"]) for trade in limited] == [
        *(("SELL", "LimitExecution"), ("BUY", "LimitExecution")),
    ]
    # No history: the least collar of 0.1 %, rounded to cents inwards.
    assert [(trade["price"]["amount"], trade["execution"]["limitPrice"]["amount"]) for trade in limited] == [
        *(("100", "99.9"), ("50", "50.05")),
    ]
    assert [trade["execution"]["offsetBps"] for trade in limited] == ["-10", "10"]


def worked(plan: Plan) -> dict[str, Any]:
    """Return how each symbol of a plan is worked, as REST says it."""

    def shown(planned: PlannedTrade) -> object:
        assert planned.execution
        return as_json(strategy_of(planned.trade, planned.execution))

    return {planned.trade.asset.symbol: shown(planned) for planned in plan.trades}


def test_each_way_has_its_own_fields() -> None:
    kinds = {"ST": AssetClass.STOCK, "BTC": AssetClass.CRYPTO, "FD": AssetClass.FUND, "BD": AssetClass.BOND}
    start = snapshot(
        "100000 cash",
        {name: sleeve("25", name) for name in kinds},
        assets=[asset(name, kind) for name, kind in kinds.items()],
        prices={"ST": "33.33", "BTC": "50000", "FD": "10", "BD": "100"},
        policy=Policy(styles={AssetClass.BOND: OrderStyle.MARKET}),
    )
    found = worked(propose(replace(start, closes={"ST": swinging("20")})))
    said = {name: (one.pop("style"), one.pop("rationale")[:24], one.pop("notBefore")) for name, one in found.items()}
    assert said == {
        "ST": ("LIMIT", "One order for the sessio", None),
        "BTC": ("TWAP", "13 slices, one every PT5", None),
        "FD": ("NAV", "At net asset value: a fu", None),
        "BD": ("MARKET", "At market: the policy sa", None),
    }
    assert found == {
        "ST": {"limitPrice": {"amount": "33.53", "currency": "USD"}, "offsetBps": "60.01"},
        "BTC": {"duration": "PT1H", "slices": 13, "sliceQuantity": "0.038461538461538461"},
        "FD": {},
        "BD": {},
    }
