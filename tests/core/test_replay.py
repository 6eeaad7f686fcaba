"""Replays: two plans are the same to the last digit, or it is said where they are not; and when that can be told."""

from collections.abc import Mapping
from dataclasses import make_dataclass, replace
from decimal import Decimal
from typing import Any

import highspy
import pytest

from app.core.digest import shape
from app.core.optimize.problem import Limits
from app.core.plan import Plan
from app.core.replay import Difference, differences, head_of, obstacle, other_solver, shape_here
from tests.builders import propose, snapshot

LIMITS = Limits(1e-8, 500, 30.0)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Sell AAPL of two lots, buy BND."""
    held = "3 AAPL {150 USD 2024-01-05} @ 150, 5 AAPL {90 USD 2020-01-05}, 4 BND @ 50"
    return propose(snapshot(held, {"AAPL": "50", "BND": "50"}))


def test_the_same_plan_has_no_differences_whatever_its_holdings_were(plan: Plan) -> None:
    valuation = replace(plan.before.valuation, holdings=())
    stored = replace(plan, before=replace(plan.before, valuation=valuation))
    assert plan.before.valuation.holdings
    assert differences(stored, plan) == ()


def test_each_difference_is_told_with_its_place_and_both_values(plan: Plan) -> None:
    assert plan.proof
    first, second = plan.trades
    trade = replace(first.trade, quantity=first.trade.quantity + Decimal("0.00000001"), sales=first.trade.sales[:1])
    sale = first.trade.sales[1]
    again = replace(
        plan,
        trades=(replace(first, trade=trade), replace(second, explanation="Because.")),
        warnings=("Careful.",),
        summary=replace(plan.summary, saved=None),
        proof=replace(plan.proof, nodes=plan.proof.nodes + 1),
    )
    found = {one.at: (one.stored, one.again) for one in differences(plan, again)}
    assert list(found) == [
        "trades[0].trade.quantity",
        "trades[0].trade.sales[1]",
        "trades[1].explanation",
        "warnings[0]",
        "summary.saved",
        "proof.nodes",
    ]
    assert found["trades[0].trade.quantity"] == ("3.33333333333", "3.33333334333")
    assert found["trades[0].trade.sales[1]"][0].startswith(f"LotSale(lot=TaxLot(id={len(sale.lot.id)}:{sale.lot.id},")
    assert found["trades[0].trade.sales[1]"][1] == "none"
    assert found["trades[1].explanation"] == (second.explanation, "Because.")
    assert found["warnings[0]"] == ("none", "Careful.")
    assert found["proof.nodes"] == (str(plan.proof.nodes), str(plan.proof.nodes + 1))


def test_an_asset_is_the_same_under_another_name_and_another_under_another_id(plan: Plan) -> None:
    first, second = plan.trades

    def told(**changes: Any) -> tuple[Difference, ...]:
        trade = replace(first.trade, asset=replace(first.trade.asset, **changes))
        return differences(plan, replace(plan, trades=(replace(first, trade=trade), second)))

    assert told(name="Apple Inc.") == ()
    assert told(id="MSFT") == (Difference("trades[0].trade.asset.id", "AAPL", "MSFT"),)


def test_a_rate_that_only_one_plan_knows_is_a_difference(plan: Plan) -> None:
    valuation = replace(plan.after.valuation, rates={"EUR": Decimal("1.10"), **plan.after.valuation.rates})
    again = replace(plan, after=replace(plan.after, valuation=valuation))
    assert differences(plan, again) == (Difference("after.valuation.rates[EUR]", "none", "1.1"),)
    assert differences(again, plan) == (Difference("after.valuation.rates[EUR]", "1.1", "none"),)


def test_what_cannot_be_made_again_says_why() -> None:
    head = head_of(LIMITS, ended=True)
    assert obstacle(head) is None
    assert obstacle(replace(head, engine="exact-0")) == "it was made by the engine exact-0; this is exact-1"
    assert obstacle(replace(head, shape="0" * 64)) == (
        "it was made by a version whose portfolios, policies or assets have other fields than this one's"
    )
    assert obstacle(head_of(LIMITS, ended=False)) == (
        "the search was stopped by the clock after 30 s, before it came to its own end"
    )


def test_another_highs_than_then_is_told() -> None:
    head = head_of(LIMITS, ended=True)
    assert head.solver == highspy.Highs().version()  # type: ignore[no-untyped-call]
    assert other_solver(head) is None
    assert other_solver(replace(head, solver="1.2.3")) == (
        f"it was made with HiGHS 1.2.3, and again with HiGHS {head.solver}: where it is asked, answers may differ"
    )
    assert other_solver(replace(head, solver="")) == (
        f"it was made with no HiGHS, and again with HiGHS {head.solver}: where it is asked, answers may differ"
    )


def shape_with(outer: str = "Outer", inner: str = "Inner", name: str = "name") -> str:
    """Return the shape of a class that holds others in a tuple and in a mapping, or none."""
    held: Any = make_dataclass(inner, [(name, str)])
    parts = [("parts", tuple[held, ...]), ("more", Mapping[str, held] | None), ("number", Decimal)]
    return shape(make_dataclass(outer, parts))


def test_a_shape_is_another_with_every_name_in_it() -> None:
    assert shape_with() == shape_with()
    others = [shape_with(outer="Whole"), shape_with(inner="Part"), shape_with(name="title"), shape_here()]
    assert len({shape_with(), *others}) == 5
