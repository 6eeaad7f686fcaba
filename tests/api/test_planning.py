"""Planning as clients meet it: the rules of a policy, what a request names, and how good a plan is proven to be."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from app.api.rest_answers import as_json
from app.api.types_plan import plan_of
from app.core import plan as core
from app.core.costs import TradeCosts
from app.core.optimize.allocate import PlanScope
from app.core.plan import PlanRequest, PlanStatus, Proof, ProofStatus, TaxEstimate, WaitAdvice
from app.store.plan_reading import StoredPlan
from tests.api.conftest import Caller, portfolio_of
from tests.builders import AS_OF, snapshot

RULES: Final[dict[str, Any]] = {
    "objective": "MIN_DRIFT",
    "driftPrice": "0.125",
    "taxRegime": "NONE",
    "washRule": "STRICT",
    "cryptoWashes": True,
    "lossCredit": "75.5",
    "yearlyLossCap": "1500",
    "minHarvest": "200.25",
    "minHarvestShare": "3",
    "maxTurnover": "20",
    "taxBudget": "500",
    "improvement": "50",
    "noBuy": ["BBB", "BRK.B"],
    "noSell": ["AAA"],
    "lotMethod": "SPEC_ID",
}
DEFAULTS: Final[dict[str, Any]] = {
    "objective": "BALANCED",
    "driftPrice": None,
    "taxRegime": "US",
    "washRule": "PRICED",
    "cryptoWashes": False,
    "lossCredit": "80",
    "yearlyLossCap": "3000",
    "minHarvest": "0",
    "minHarvestShare": "0",
    "maxTurnover": None,
    "taxBudget": None,
    "improvement": None,
    "noBuy": [],
    "noSell": [],
    "lotMethod": "MIN_TAX",
}


def rules_of(owner: Caller, portfolio_id: str) -> dict[str, Any]:
    query = f"query ($id: ID!) {{ portfolio(id: $id) {{ policy {{ {' '.join(RULES)} }} }} }}"
    found: dict[str, Any] = owner.data(query, id=portfolio_id)["portfolio"]["policy"]
    return found


def change(owner: Caller, portfolio_id: str, **policy: object) -> None:
    payload = owner.mutate("portfolioUpdate", portfolioId=portfolio_id, policy=policy)
    assert payload["userErrors"] == []


def lot_ids(owner: Caller, portfolio_id: str) -> list[str]:
    query = "query ($id: ID!) { portfolio(id: $id) { holdings { nodes { lots { id } } } } }"
    nodes = owner.data(query, id=portfolio_id)["portfolio"]["holdings"]["nodes"]
    return [lot["id"] for node in nodes for lot in node["lots"]]


def test_rules_are_stored_changed_one_by_one_and_ended_by_null(owner: Caller) -> None:
    portfolio = portfolio_of(owner)["id"]
    assert rules_of(owner, portfolio) == DEFAULTS
    change(owner, portfolio, **RULES)
    assert rules_of(owner, portfolio) == RULES
    change(owner, portfolio, minHarvest="1")
    assert rules_of(owner, portfolio) == RULES | {"minHarvest": "1"}
    ended = {"driftPrice": None, "maxTurnover": None, "taxBudget": None, "improvement": None}
    change(owner, portfolio, noBuy=[], **ended)
    assert rules_of(owner, portfolio) == RULES | ended | {"minHarvest": "1", "noBuy": []}


def test_plan_says_what_was_asked_over_graphql_and_rest(owner: Caller) -> None:
    portfolio = portfolio_of(owner)["id"]
    change(owner, portfolio, lotMethod="SPEC_ID")
    named = {"noBuy": ["AAA"], "noSell": ["BBB"], "sellLots": lot_ids(owner, portfolio)[:1]}
    asked = "plan { id scope noBuy noSell sellLots }"
    made = owner.mutate("rebalancePropose", asked, portfolioId=portfolio, scope="FULL", **named)
    assert made["plan"] == {"id": made["plan"]["id"], "scope": "FULL", **named}
    stored = owner.rest("GET", f"{portfolio}/plans/{made['plan']['id']}").json()
    assert {name: stored[name] for name in named} == named
    shown = owner.rest("POST", f"{portfolio}/propose", {"scope": "FULL", "dryRun": True, **named}).json()
    assert {name: shown[name] for name in named} == named


def test_lot_that_is_not_open_here_cannot_be_named(owner: Caller) -> None:
    portfolio, other = portfolio_of(owner)["id"], portfolio_of(owner)["id"]
    change(owner, portfolio, lotMethod="SPEC_ID")
    foreign = lot_ids(owner, other)[0]
    named = [*lot_ids(owner, portfolio), foreign]
    payload = owner.mutate("rebalancePropose", portfolioId=portfolio, sellLots=named)
    assert [(error["message"], error["path"]) for error in payload["userErrors"]] == [
        (f"lot {foreign} does not exist", ["input", "sellLots", "2"])
    ]


def proven() -> StoredPlan:
    """A plan with all that an optimiser says of it."""
    held = snapshot("10 AAPL {150 USD 2024-01-05} @ 180, 200 cash", {"AAPL": "50", "BND": "50"}, prices={"BND": "71"})
    plan = core.propose(held, PlanRequest(PlanScope.FULL))
    first, *rest = plan.trades
    costs = TradeCosts(Decimal(1), Decimal("0.5"), Decimal("0.25"))
    plan = replace(
        plan,
        trades=(replace(first, trade=replace(first.trade, costs=costs)), *rest),
        summary=replace(
            plan.summary,
            fees=Decimal(1),
            spread=Decimal("0.5"),
            impact=Decimal("0.25"),
            saved=Decimal("-1.5"),
            tax=TaxEstimate(*(Decimal(number) for number in ("-20", "30", "-1.5", "20.1", "5.05", "0.3"))),
        ),
        proof=Proof(
            status=ProofStatus.OPTIMAL,
            objective=Decimal("12.5"),
            bound=Decimal("12.5"),
            gap=Decimal(0),
            hold=Decimal(99),
            nodes=2**40,
            engine="sleeves-1",
        ),
        advice=(WaitAdvice("AAPL", "lot_1", date(2024, 6, 10), 7, Decimal("12.34"), "Wait 7 days."),),
    )
    return StoredPlan(
        *("pl_1", "pf_1", "USD", PlanStatus.READY, 2, plan.request, "exact-1", 1, "alice", AS_OF),
        plan=plan,
        trade_ids=tuple(f"tr_{place}" for place, _ in enumerate(plan.trades)),
        accounts={account.id: account.name for account in held.portfolio.accounts},
        solve_ms=7,
    )


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def test_plan_shows_how_good_it_is_what_it_costs_and_what_waiting_saves() -> None:
    shown = as_json(plan_of(proven()))
    assert shown["optimal"] is True
    assert shown["proof"] == {
        "status": "OPTIMAL",
        "objective": usd("12.5"),
        "bound": usd("12.5"),
        "gap": "0",
        "hold": usd("99"),
        "nodes": 2**31 - 1,
        "engine": "sleeves-1",
        "solveMs": 7,
    }
    assert shown["advice"] == [
        {"symbol": "AAPL", "lotId": "lot_1", "longFrom": "2024-06-10", "days": 7, "saves": usd("12.34"),
         "text": "Wait 7 days."}
    ]  # fmt: skip
    costs = {"fee": usd("1"), "spread": usd("0.5"), "impact": usd("0.25"), "total": usd("1.75")}
    assert (shown["summary"]["costs"], shown["trades"][0]["costs"]) == (costs, costs)
    assert shown["summary"]["tax"] == {
        "shortTermGain": usd("-20"),
        "longTermGain": usd("30"),
        "lossesHarvested": usd("20.1"),
        "washSaleDisallowed": usd("5.05"),
        "forfeited": usd("0.3"),
        "estimatedTax": usd("-1.5"),
    }
    assert shown["summary"]["savedAgainstNaive"] == usd("-1.5")


def test_plan_without_a_proof_says_so() -> None:
    stored = proven()
    assert stored.plan
    old = replace(stored, plan=replace(stored.plan, proof=None, advice=()), solve_ms=None)
    shown = as_json(plan_of(old))
    assert (shown["optimal"], shown["proof"], shown["advice"]) == (False, None, [])
