"""What a person is told of quantities, of what is left of a sleeve that is traded, and of small change."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.core.costs import Costs
from app.core.plan import Plan, TradeReason
from app.core.policy import LotMethod, Policy
from app.core.targets import TargetDraft
from app.core.tax import TaxFacts
from app.core.trades import TradeSide
from tests.builders import asset, propose, skips, sleeve, snapshot, trades, written

TAXED = Policy(short_term_rate=Decimal(30), long_term_rate=Decimal(20))


def sentence(plan: Plan, trade: str) -> str:
    return plan.trades[trades(plan).index(trade)].explanation


def test_quantities_without_a_step_have_8_decimals_or_more_where_a_unit_is_dear() -> None:
    """Of 1,000 a grain is worth at most 0.00000001: 1e-8 of C at 1, 1e-9 of A at 7, 1e-12 of B at 7,000."""
    prices = {"C": "1", "A": "7", "B": "7000"}
    start = snapshot("1000 cash", {"C": "33.3", "A": "33.3", "B": "33.4"}, prices=prices)
    found = {item.trade.asset.symbol: item.trade.quantity for item in propose(start).trades}
    assert written(found["C"], found["A"], found["B"]) == ["333", "47.571428571", "0.047714285714"]


def test_the_noise_of_a_float_is_not_told() -> None:
    """2,410 less 0.1 %, less 0.1 % of what is bought, at 30: 80.172827172827..., and a grain is 1e-9 of B."""
    costs = Costs(rate=Decimal("0.001"))
    assets = [replace(asset(symbol), costs=costs) for symbol in "AB"]
    start = snapshot("700 A @ 10, 100 B @ 30", {"A": "45.9", "B": "54.1"}, assets=assets)
    assert trades(propose(start)) == ["SELL 241 A", "BUY 80.172827172 B"]


@given(st.decimals("0.01", "500", places=2), st.decimals("1", "99", places=1), st.integers(1, 10**6))
def test_an_order_is_a_grain_or_ends_with_a_whole_lot(price: Decimal, share: Decimal, crumbs: int) -> None:
    held = Decimal(3) + Decimal(crumbs).scaleb(-18)
    start = snapshot(f"{held} A @ 100, 500 B @ {price}", {"A": str(share), "B": str(100 - share)})
    for item in propose(start).trades:
        units = item.trade.quantity
        assert (item.trade.side is TradeSide.SELL and units == held) or units == units.quantize(Decimal("1E-12"))


def test_a_full_exit_sells_every_decimal_there_is() -> None:
    plan = propose(snapshot("1.234567890123456789 Z @ 10, 1 A @ 10", {"A": "100"}))
    assert trades(plan) == ["SELL 1.234567890123456789 Z", "BUY 1.23456789012 A"]


def test_what_is_left_of_a_sleeve_that_is_sold_in_part_says_what_the_next_lot_costs() -> None:
    """20 A bought at 95 and 20 at 90 go, at 1 and 2 % of tax; the 40 bought at 20 would cost 16 %."""
    start = snapshot("40 A {20}, 20 A {90}, 20 A {95} @ 100, 20 B @ 100", {"A": "30", "B": "70"}, policy=TAXED)
    plan = propose(start)
    assert trades(plan) == ["SELL 40 A", "BUY 40 B"]
    assert skips(plan) == ["SELL A: TAX", "BUY B: NO_CASH"]
    assert written(*(skip.value for skip in plan.skipped)) == ["1000", "1000"]
    assert [skip.explanation for skip in plan.skipped] == [
        "Selling more A is left out: tax takes 16 % and costs 0 % of the cheapest lot that is left, before anything is "
        "bought; it is sold when both and the costs of buying are below 10 %.",
        "Buying more B is left out: wanted 1,000.00, but no more than 0.00 is left.",
    ]


def test_a_limit_that_stops_a_sale_half_way_is_named() -> None:
    policy = Policy(max_turnover=Decimal(10))
    plan = propose(snapshot("80 A @ 10, 20 B @ 10", {"A": "50", "B": "50"}, policy=policy))
    assert skips(plan) == ["SELL A: TURNOVER_LIMIT", "BUY B: TURNOVER_LIMIT"]
    assert plan.skipped[0].explanation == "Selling more A is left out: the plan trades the 10 % that the policy allows."


def test_less_than_a_step_is_not_called_left_out() -> None:
    stepped = [asset("A", step="1"), asset("B", step="1")]
    plan = propose(snapshot("10 A @ 300, 1 B @ 170", {"A": "50", "B": "50"}, assets=stepped))
    assert plan.trades
    assert skips(plan) == []


def test_under_a_fixed_method_the_lot_that_goes_next_decides() -> None:
    policy = replace(TAXED, lot_method=LotMethod.FIFO)
    lots = "40 A {20 2018-01-02}, 20 A {90 2019-01-02}, 20 A {120 2020-01-02} @ 100, 20 B @ 100"
    plan = propose(snapshot(lots, {"A": "50", "B": "50"}, policy=policy))
    assert plan.skipped[0].explanation == (
        "Selling A is left out: tax takes 16 % and costs 0 % of the lot that FIFO takes next, before anything is "
        "bought; it is sold when both and the costs of buying are below 10 %."
    )


def test_a_share_that_stays_says_what_it_is_worth() -> None:
    """Of S 410 is wanted. 16 B at 25 and 1 A at 10 come to that; without the A 10 is missing there and over in cash."""
    stepped = [asset(symbol, step="1") for symbol in "ABC"]
    wanted: dict[str, str | TargetDraft] = {"S": sleeve("41", "A", "B"), "C": "59"}
    start = snapshot("41 A {12} @ 10, 1 C @ 590", wanted, assets=stepped, prices={"B": "25"}, policy=TAXED)
    plan = propose(start)
    assert trades(plan) == ["SELL 40 A", "BUY 16 B"]
    # 2 x 0.05 x 10 of drift, less the credit of one more share: 80 % of 20 % of 2; and 0.0001 of trading.
    assert sentence(plan, "SELL 40 A").endswith(
        "The last 1 A stay as small change of whole shares: J would be higher by 0.68 if they went too."
    )


def test_a_loss_that_is_taken_out_of_a_sleeve_that_lacks_money_is_called_a_harvest() -> None:
    """B lacks money as much as C does: what B brings is as well off in C, and its loss is used."""
    wanted = {"A": "40", "B": "30", "C": "30"}
    start = snapshot("80 A {1} @ 10, 20 B {20} @ 10", wanted, prices={"C": "10"}, policy=TAXED)
    plan = propose(start)
    assert trades(plan) == ["SELL 20 B", "BUY 20 C"]
    assert plan.trades[0].reason is TradeReason.HARVEST_LOSS
    assert "it adds 10.00; fee 0.00" in plan.trades[0].explanation
    assert plan.trades[0].explanation.endswith(
        "The tax it saves now, less what comes later, is to be more than what selling and buying costs."
    )
    assert plan.skipped[1].explanation == (
        "Buying B is left out: B is sold at a loss in this plan, which is worth more."
    )


def test_what_sentences_say_of_tax_adds_up_to_the_year() -> None:
    """A loss of 1,600 this year: another is deducted from other income at 30 %, though it is long-term."""
    start = snapshot("100 A {12} @ 10", {"A": "50", "B": "50"}, prices={"B": "10"}, policy=TAXED)
    plan = propose(replace(start, tax=TaxFacts(short_gain=Decimal(-1600), known_from=date(2023, 1, 1))))
    assert trades(plan) == ["SELL 50 A", "BUY 50 B"]
    assert written(plan.summary.tax.estimated_tax) == ["-30"]
    assert "tax now -30.00, tax later 6.00" in plan.trades[0].explanation
