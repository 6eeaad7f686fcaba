"""Plans: what is traded, what is left out, and why."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from app.core.bands import Destination
from app.core.costs import Costs
from app.core.errors import InvalidInput, InvalidState, StaleData
from app.core.optimize.allocate import PlanScope
from app.core.plan import Plan, PlanStatus
from app.core.policy import Objective, Policy
from app.core.portfolio import AssetClass
from app.core.targets import TargetDraft
from tests.builders import absolute, asset, propose, skips, sleeve, snapshot, statuses, trades, values, weights, written

HALVES: dict[str, str | TargetDraft] = {"A": "50", "B": "50"}
BREACHED, FULL, FLOW = PlanScope.BREACHED_ONLY, PlanScope.FULL, PlanScope.CASH_FLOW
RAISE, HARVEST = PlanScope.RAISE_CASH, PlanScope.HARVEST
INVESTING = (FULL, BREACHED, FLOW)
WITHOUT_FLOW = (*INVESTING, HARVEST)
ONE_PERCENT = Costs(rate=Decimal("0.01"))


def reasons(plan: Plan) -> list[str]:
    return [planned.reason.value for planned in plan.trades]


def test_sells_come_before_buys_and_say_why() -> None:
    plan = propose(snapshot("70 A @ 10, 30 B @ 10", HALVES))
    assert plan.status is PlanStatus.READY
    assert trades(plan) == ["SELL 20 A", "BUY 20 B"]
    assert reasons(plan) == ["REDUCE_OVERWEIGHT", "FILL_UNDERWEIGHT"]
    assert [planned.explanation for planned in plan.trades] == [
        "A is at 70 %, target 50 %, band 45 to 55 %; selling 20 A for 200.00. After all trades it is at 50 %. "
        "At 0.05 for each unit of money off target it removes 10.00; fee 0.00, spread 0.00, tax now 0.00. "
        "It is sold as long as tax and costs of selling and buying are below 10 % of it.",
        "B is at 30 %, target 50 %, band 45 to 55 %; buying 20 B for 200.00. After all trades it is at 50 %. "
        "At 0.05 for each unit of money off target it removes 10.00; fee 0.00, spread 0.00.",
    ]
    assert plan.summary.turnover == 20
    assert plan.summary.net_cash == 0
    assert statuses(plan.after) == {"A": "WITHIN", "B": "WITHIN"}


def test_nothing_to_do_on_target() -> None:
    for scope in WITHOUT_FLOW:
        plan = propose(snapshot("50 A @ 10, 50 B @ 10", HALVES), scope)
        assert (plan.status, plan.trades, plan.skipped) == (PlanStatus.NOTHING_TO_DO, (), ())
        assert plan.after.entries == plan.before.entries


def test_what_is_in_band_is_left_alone_with_a_reason() -> None:
    plan = propose(snapshot("54 A @ 10, 46 B @ 10", HALVES), BREACHED)
    assert plan.status is PlanStatus.NOTHING_TO_DO
    assert skips(plan) == ["SELL A: WITHIN_BAND", "BUY B: WITHIN_BAND"]
    assert plan.skipped[0].explanation == "Selling A is left out: 54 % is within its band of 45 to 55 %."
    assert trades(propose(snapshot("54 A @ 10, 46 B @ 10", HALVES), FULL)) == ["SELL 4 A", "BUY 4 B"]


def test_a_policy_without_sells_only_buys() -> None:
    start = snapshot("70 A @ 10, 30 B @ 10, 100 cash", HALVES, policy=Policy(allow_sells=False))
    plan = propose(start)
    assert trades(plan) == ["BUY 10 B"]
    assert skips(plan) == ["SELL A: SELLS_DISABLED"]


def test_no_sells_and_costs_still_spend_the_cash() -> None:
    """The gap of B is ninety times the cash, and so are the costs of filling it."""
    assets = [asset("A", costs=ONE_PERCENT), asset("B", costs=ONE_PERCENT)]
    start = snapshot("9900 A @ 10, 900 B @ 10, 1010 cash", HALVES, assets=assets, policy=Policy(allow_sells=False))
    plan = propose(start)
    assert 0 <= 1010 + plan.summary.net_cash < Decimal("0.01")
    assert plan.summary.bought > Decimal("999.99")


def test_excluded_assets_are_neither_bought_nor_sold() -> None:
    start = snapshot("70 A @ 10, 20 B @ 10, 10 C @ 10", {"A": "50", "B": "30", "C": "20"})
    plan = propose(start, exclude=["A"])
    assert trades(plan) == []
    assert skips(plan) == ["SELL A: EXCLUDED", "BUY B: NO_CASH", "BUY C: NO_CASH"]
    plan = propose(start, exclude=["C"])
    assert trades(plan) == ["SELL 20 A", "BUY 10 B"]
    assert skips(plan) == ["BUY C: EXCLUDED"]
    assert plan.summary.net_cash == 100


def test_what_cannot_be_traded_stays() -> None:
    start = snapshot("70 A @ 10, 30 B @ 10", HALVES, assets=[asset("A", tradable=False)])
    assert skips(propose(start)) == ["SELL A: NOT_TRADABLE", "BUY B: NO_CASH"]
    start = snapshot("70 A @ 10, 30 B @ 10", HALVES, assets=[asset("B", tradable=False)])
    assert skips(propose(start)) == ["BUY B: NOT_TRADABLE"]


def test_whole_shares_leave_as_little_off_target_as_they_can() -> None:
    assets = [asset("A", step="1"), asset("B", step="1")]
    plan = propose(snapshot("70 A @ 33, 10 B @ 7", HALVES, assets=assets))
    assert trades(plan) == ["SELL 34 A", "BUY 160 B"]  # 33.9 and 160 would be on target: 2 are left over
    assert plan.summary.net_cash == 2


def test_a_sale_that_rounds_down_below_the_minimum_is_dust() -> None:
    """Wanted are 1.2 shares, worth 120; what would be sold is one, worth 100. Three would be too many."""
    policy = Policy(min_trade=Decimal(250))
    start = snapshot("10 A @ 100, 7.6 B @ 100", HALVES, assets=[asset("A", step="1")], policy=policy)
    assert "SELL A: DUST" in skips(propose(start))


def test_less_than_one_step_is_left_out() -> None:
    assets = [asset("A", step="1"), asset("B", step="0.00000001")]
    plan = propose(snapshot("10.5 A @ 100, 9.8 B @ 100", HALVES, assets=assets))
    assert skips(plan) == ["SELL A: BELOW_MINIMUM", "BUY B: NO_CASH"]
    assert plan.skipped[0].explanation == "Selling A is left out: one step of A is 1, worth 100.00."


def test_a_venue_minimum_holds_except_for_a_full_exit() -> None:
    assets = [asset("A", min_notional="100"), asset("B", min_notional="100"), asset("X", min_notional="100")]
    plan = propose(snapshot("54 A @ 10, 45 B @ 10, 1 X @ 10", HALVES, assets=assets))
    assert trades(plan) == ["SELL 1 X"]
    assert reasons(plan) == ["EXIT_UNTARGETED"]
    assert skips(plan) == ["SELL A: BELOW_MINIMUM", "BUY B: BELOW_MINIMUM"]


def test_the_minimum_fee_is_paid_and_left_room_for() -> None:
    fee = Costs(minimum=Decimal(9), rate=Decimal("0.0025"))
    assets = [asset("A", costs=fee), asset("B", costs=fee)]
    plan = propose(snapshot("70 A @ 10, 30 B @ 10", HALVES, assets=assets))
    assert trades(plan) == ["SELL 20 A", "BUY 18.2 B"]  # 200 less 9 to sell and 9 to buy
    assert (plan.summary.fees, plan.summary.net_cash) == (Decimal(18), Decimal(0))


def test_a_fee_out_of_proportion_is_not_paid() -> None:
    assets = [asset("A", costs=Costs(minimum=Decimal(9))), asset("B", costs=Costs(minimum=Decimal(9)))]
    policy = Policy(max_fee=Decimal("4.5"))
    start = snapshot("70 A @ 10, 30 B @ 10", HALVES, assets=assets, policy=policy)
    plan = propose(start)
    assert trades(plan) == ["SELL 21.8 A", "BUY 20 B"]  # 9 on 200 is 4.5 %, on less it would be more
    assert plan.summary.net_cash == 0
    plan = propose(replace(start, policy=Policy(max_fee=Decimal("4.49"))))
    assert skips(plan) == ["SELL A: NOT_WORTH_COST", "BUY B: NOT_WORTH_COST"]
    assert plan.skipped[0].explanation == "Selling A is left out: its fee of 9.00 is 4.50 % of it."


def test_half_the_spread_is_paid_on_both_sides() -> None:
    spread = Costs(half_spread=Decimal("0.001"))
    assets = [asset("A", costs=spread), asset("B", costs=spread)]
    plan = propose(snapshot("7000 A @ 10, 3000 B @ 10", HALVES, assets=assets))
    sold, bought = plan.summary.sold, plan.summary.bought
    assert sold == 20_000
    assert Decimal("19960") < bought < Decimal("19960.04")
    assert plan.summary.spread == (sold + bought) / 1000
    assert 0 <= plan.summary.net_cash < Decimal("0.001")


def test_the_buffer_stays_in_cash() -> None:
    start = snapshot("40 A @ 10, 40 B @ 10, 200 cash", HALVES, policy=Policy(cash_buffer=Decimal(5)))
    plan = propose(start, FLOW)
    assert trades(plan) == ["BUY 7.5 A", "BUY 7.5 B"]
    assert plan.after.valuation.cash == 50


def test_fees_do_not_eat_the_buffer() -> None:
    """55 may be spent on gaps of 100 and 60, at a fee of 10 each: both cannot be paid."""
    fee = Costs(fixed=Decimal(10))
    policy = Policy(cash_buffer=Decimal(20), allow_sells=False, objective=Objective.MIN_DRIFT)
    start = snapshot(
        "20 A @ 10, 20 B @ 10, 54.5 C @ 10, 305 cash",
        {"A": "30", "B": "26", "C": "44"},
        assets=[asset("A", costs=fee), asset("B", costs=fee)],
        policy=policy,
    )
    plan = propose(start)
    assert [planned.trade.asset.symbol for planned in plan.trades] == ["A"]
    assert plan.after.valuation.cash is not None
    assert 250 <= plan.after.valuation.cash < 255


def test_only_a_full_plan_sells_to_fill_the_buffer() -> None:
    start = snapshot("70 A @ 10, 30 B @ 10", HALVES, policy=Policy(cash_buffer=Decimal(10)))
    full = propose(start, FULL)
    assert trades(full) == ["SELL 25 A", "BUY 15 B"]
    assert full.after.valuation.cash == 100
    assert trades(propose(start, BREACHED)) == ["SELL 20 A", "BUY 20 B"]


def test_a_cash_sleeve_is_filled_and_emptied() -> None:
    wanted: dict[str, str | TargetDraft] = {"A": "60", "CASH": "40"}
    assert trades(propose(snapshot("100 A @ 10", wanted))) == ["SELL 40 A"]
    assert trades(propose(snapshot("1000 cash", wanted, prices={"A": "10"}))) == ["BUY 60 A"]
    assert trades(propose(snapshot("30 A @ 10, 700 cash", wanted), BREACHED)) == ["BUY 30 A"]


def test_cash_above_its_target_is_there_to_be_invested() -> None:
    wanted: dict[str, str | TargetDraft] = {"A": "50", "B": "30", "CASH": "20"}
    start = snapshot("45 A @ 10, 30 B @ 10, 250 cash", wanted)
    assert trades(propose(start, FLOW)) == ["BUY 5 A"]
    assert propose(start, BREACHED).status is PlanStatus.NOTHING_TO_DO
    short_of_cash = snapshot("55 A @ 10, 30 B @ 10, 150 cash", wanted)
    assert propose(short_of_cash, FLOW).status is PlanStatus.NOTHING_TO_DO


def test_a_deposit_is_shared_with_the_cash_sleeve() -> None:
    start = snapshot("50 A @ 10, 50 B @ 10", {"A": "40", "B": "40", "CASH": "20"})
    plan = propose(start, FLOW, flow="300")  # of 1,300: 520, 520 and 260 wanted; 20, 20 and 260 short
    assert trades(plan) == ["BUY 2 A", "BUY 2 B"]
    assert plan.after.valuation.cash == 260


def test_a_deposit_arrives_in_the_first_account() -> None:
    plan = propose(snapshot({"one": "50 A @ 10", "two": "50 B @ 10"}, HALVES), FLOW, flow="100")
    assert trades(plan) == ["BUY 5 A in one", "BUY 5 B in one"]


def test_a_withdrawal_is_the_mirror_image_of_a_deposit() -> None:
    plan = propose(snapshot("70 A @ 10, 50 B @ 10, 30 C @ 10", {"A": "40", "B": "40", "C": "20"}), FLOW, flow="-300")
    assert trades(plan) == ["SELL 22 A", "SELL 2 B", "SELL 6 C"]
    assert reasons(plan) == ["REDUCE_OVERWEIGHT", "RAISE_CASH", "RAISE_CASH"]
    assert (plan.summary.net_cash, plan.after.valuation.cash) == (Decimal(300), Decimal(0))
    assert plan.warnings == ()


def test_cash_pays_a_withdrawal_first() -> None:
    start = snapshot("50 A @ 10, 50 B @ 10, 300 cash", HALVES)
    assert propose(start, FLOW, flow="-300").status is PlanStatus.NOTHING_TO_DO
    assert trades(propose(start, FLOW, flow="-400")) == ["SELL 5 A", "SELL 5 B"]


def test_a_withdrawal_is_taken_from_the_fullest_account_first() -> None:
    start = snapshot({"one": "50 A @ 10, 100 cash", "two": "50 B @ 10, 500 cash"}, HALVES)
    assert trades(propose(start, FULL, flow="-500")) == ["BUY 5 A in one", "BUY 5 B in one"]


@pytest.mark.parametrize("scope", [*INVESTING, RAISE])
def test_a_withdrawal_beyond_the_cash_sleeve_sells(scope: PlanScope) -> None:
    start = snapshot("60 A @ 100, 35 B @ 100, 500 cash", {"A": "60", "B": "35", "CASH": "5"})
    plan = propose(start, scope, flow="-2000")
    assert trades(plan) == ["SELL 12 A", "SELL 7 B"]
    assert values(plan.after) == {"A": "4800", "B": "2800", "CASH": "400"}
    assert plan.warnings == ()


@pytest.mark.parametrize("price", ["3", "7", "0.7", "181.37", "99999.99"])
@pytest.mark.parametrize(
    "costs",
    [
        Costs(),
        ONE_PERCENT,
        Costs(fixed=Decimal(7), rate=Decimal("0.0007"), minimum=Decimal(20), half_spread=Decimal("0.003")),
        Costs(rate=Decimal("0.3"), half_spread=Decimal("0.3")),
    ],
)
@pytest.mark.parametrize("step", ["0", "1"])
def test_a_withdrawal_raises_enough_after_costs_and_in_whole_shares(price: str, costs: Costs, step: str) -> None:
    assets = [asset("A", step=step, costs=costs), asset("B", step=step, costs=costs)]
    start = snapshot(f"30000 A @ {price}, 20000 B @ {price}", {"A": "60", "B": "40"}, assets=assets)
    plan = propose(start, FLOW, flow="-10000")
    assert plan.warnings == ()
    assert plan.summary.net_cash >= 10_000
    paid = Decimal(10_000) + sum(planned.trade.costs.total for planned in plan.trades)
    spare = Decimal("0.05") + (2 * Decimal(price) if step == "1" else 0)
    assert plan.summary.sold <= paid + spare
    assert plan.after.valuation.cash == plan.summary.net_cash - 10_000


def test_a_withdrawal_that_nothing_can_pay_is_said() -> None:
    start = snapshot("50 A @ 10, 50 B @ 10", HALVES, assets=[asset("A", tradable=False)])
    plan = propose(start, FLOW, flow="-800")
    assert trades(plan) == ["SELL 50 B"]
    assert plan.warnings == ("The withdrawal falls short by 300.00: nothing else can be sold.",)
    with pytest.raises(InvalidInput, match=r"1000.01 cannot be taken out of a portfolio worth 1000") as caught:
        propose(start, FLOW, flow="-1000.01")
    assert caught.value.path == ("cashFlow",)


def test_everything_can_be_taken_out() -> None:
    plan = propose(snapshot("50 A @ 10, 50 B @ 10, 10 cash", HALVES), FLOW, flow="-1010")
    assert trades(plan) == ["SELL 50 A", "SELL 50 B"]
    assert plan.after.valuation.value == 0


def test_cash_does_not_cross_from_one_account_to_another() -> None:
    start = snapshot({"one": "70 A @ 10", "two": "30 B @ 10, 50 cash"}, HALVES)
    plan = propose(start)
    assert trades(plan) == ["SELL 17.5 A in one", "BUY 17.5 B in one", "BUY 5 B in two"]
    apart = snapshot({"one": "70 A @ 10", "two": "30 B @ 10"}, HALVES, assets=[asset("A", tradable=False)])
    assert skips(propose(apart)) == ["SELL A: NOT_TRADABLE", "BUY B: NO_CASH"]


def test_a_sleeve_is_sold_from_several_accounts() -> None:
    start = snapshot({"one": "30 A @ 10", "two": "40 A, 30 B @ 10"}, {"A": "10", "B": "90"})
    plan = propose(start)
    assert trades(plan) == ["SELL 30 A in one", "SELL 30 A in two", "BUY 30 B in one", "BUY 30 B in two"]


def test_a_portfolio_that_is_all_cash_is_invested() -> None:
    start = snapshot("1000 cash", {"A": "60", "B": "40"}, prices={"A": "10", "B": "20"})
    for scope in INVESTING:
        plan = propose(start, scope)
        assert trades(plan) == ["BUY 60 A", "BUY 20 B"]
        assert reasons(plan) == ["FILL_UNDERWEIGHT" if scope is FULL else "INVEST_CASH"] * 2
        assert plan.summary.turnover is None
        assert weights(plan.after) == {"A": "60", "B": "40"}


def test_an_empty_portfolio_can_take_a_first_deposit() -> None:
    start = snapshot("", {"A": "60", "CASH": "40"}, prices={"A": "10"})
    assert trades(propose(start, FLOW, flow="100")) == ["BUY 6 A"]
    with pytest.raises(InvalidState, match="holds nothing and has no cash"):
        propose(start)


def test_what_cannot_be_bought_says_why_also_when_all_is_cash() -> None:
    wanted: dict[str, str | TargetDraft] = {"A": "50", "B": "30", "Bonds": sleeve("20", of=AssetClass.BOND)}
    for scope in INVESTING:
        plan = propose(snapshot("1000 cash", wanted, prices={"A": "10"}), scope)
        assert trades(plan) == ["BUY 50 A"]
        assert skips(plan) == ["BUY B: NO_PRICE", "BUY Bonds: NO_MEMBER"]


def test_a_class_sleeve_buys_its_largest_holding() -> None:
    start = snapshot("20 A @ 10, 30 B @ 10, 50 GLD @ 10", {"Stocks": sleeve("80", of=AssetClass.STOCK), "GLD": "20"})
    assert trades(propose(start)) == ["SELL 30 GLD", "BUY 30 B"]


def test_the_first_named_asset_is_bought_and_all_are_sold() -> None:
    start = snapshot("0.001 A @ 10, 40 B @ 10, 60 C @ 10", {"AB": sleeve("50", "A", "B"), "C": "50"})
    plan = propose(start)
    assert [planned.trade.asset.symbol for planned in plan.trades] == ["C", "A"]


def test_untargeted_holdings_are_sold_by_a_full_plan_and_when_breached() -> None:
    start = snapshot("50 A @ 10, 49.5 B @ 10, 0.5 X @ 10", HALVES)
    assert trades(propose(start, FULL)) == ["SELL 0.5 X", "BUY 0.5 B"]
    assert trades(propose(start, BREACHED)) == []
    large = snapshot("50 A @ 10, 30 B @ 10, 20 X @ 10", HALVES)
    plan = propose(large, BREACHED)
    assert trades(plan) == ["SELL 20 X", "BUY 20 B"]
    assert reasons(plan) == ["EXIT_UNTARGETED", "FILL_UNDERWEIGHT"]
    assert values(plan.after) == {"A": "500", "B": "500"}


def test_foreign_assets_are_priced_in_their_currency_and_worth_their_rate() -> None:
    start = snapshot(
        "70 SAP {100} @ 10, 100 cash",
        {"SAP": "50", "B": "50"},
        assets=[asset("SAP", currency="EUR")],
        rates={"EUR/USD": "1.25"},
        prices={"B": "10"},
    )
    plan = propose(start)  # 875 and 100 in cash: 487.50 each
    assert trades(plan) == ["SELL 31 SAP", "BUY 48.75 B"]
    sale = plan.trades[0].trade
    assert written(sale.price.value, sale.value) == ["10", "387.5"]


def test_foreign_cash_counts_but_is_not_spent() -> None:
    start = snapshot("50 A @ 10, 500 EUR cash, 100 cash", {"A": "100"}, rates={"EUR/USD": "1"})
    plan = propose(start)
    assert trades(plan) == ["BUY 10 A"]
    assert plan.after.valuation.cash == 500
    sleeved = replace(start, targets=snapshot("", {"A": "100", "CASH": "0"}).targets)
    assert trades(propose(sleeved)) == ["BUY 10 A"]


@pytest.mark.parametrize("age", [timedelta(days=4), timedelta(days=4, seconds=1)])
def test_nothing_is_bought_at_a_stale_price_or_rate(age: timedelta) -> None:
    fresh = age == timedelta(days=4)
    wanted: dict[str, str | TargetDraft] = {"A": "50", "SAP": "50"}
    for stale in ("SAP", "EUR/USD"):
        start = snapshot(
            "50 A @ 10, 500 cash",
            wanted,
            assets=[asset("SAP", currency="EUR")],
            prices={"SAP": "10"},
            rates={"EUR/USD": "1.25"},
            ages={stale: age},
        )
        plan = propose(start)
        assert trades(plan) == (["BUY 40 SAP"] if fresh else [])
        assert skips(plan) == ([] if fresh else ["BUY SAP: NO_PRICE"])


def test_no_plan_with_a_stale_price_of_what_is_held() -> None:
    start = snapshot("50 A @ 10, 5 BTC @ 10, 1 C", {"A": "50", "BTC": "50"}, ages={"BTC": timedelta(hours=2)})
    with pytest.raises(StaleData) as caught:
        propose(start)
    assert caught.value.symbols == ("C", "BTC")
    assert caught.value.oldest_price_at == start.as_of - timedelta(hours=2)
    assert caught.value.message == "no plan without fresh prices; missing or too old: C, BTC"


def test_no_plan_without_targets_or_value() -> None:
    with pytest.raises(InvalidState, match="has no targets") as caught:
        propose(snapshot("50 A @ 10"))
    assert caught.value.state == "NO_TARGETS"
    with pytest.raises(InvalidState, match="holds nothing"):
        propose(snapshot("", HALVES))


@pytest.mark.parametrize(
    ("destination", "kept", "traded"),
    [
        (Destination.TARGET, "0", "20"),
        (Destination.HALFWAY, "0", "17.5"),
        (Destination.BAND_EDGE, "0", "15"),
        (Destination.SHARE, "0.2", "19"),
        (Destination.SHARE, "0", "20"),
        (Destination.SHARE, "1", "15"),
    ],
)
def test_destinations(destination: Destination, kept: str, traded: str) -> None:
    policy = Policy(default_band=absolute("5"), destination=destination, band_kept=Decimal(kept))
    plan = propose(snapshot("70 A @ 10, 30 B @ 10", HALVES, policy=policy), BREACHED)
    assert trades(plan) == [f"SELL {traded} A", f"BUY {traded} B"]
    assert plan.after.breaches == 0


def test_the_largest_shortfall_is_bought_first() -> None:
    start = snapshot("10 A @ 10, 20 B @ 10, 5 C @ 10, 650 cash", {"A": "40", "B": "30", "C": "30"})
    assert trades(propose(start)) == ["BUY 30 A", "BUY 25 C", "BUY 10 B"]


def test_losses_are_pointed_out_where_they_count() -> None:
    wanted: dict[str, str | TargetDraft] = {"A": "50", "B": "50"}
    taxed = propose(snapshot("70 A {15} @ 10, 30 B @ 10", wanted))
    assert len(taxed.warnings) == 1
    assert taxed.warnings[0].startswith("Losses of 100.00 are realised; nobody has said which purchases there were")
    sheltered = propose(snapshot({"main TAX_EXEMPT": "70 A {15} @ 10, 30 B @ 10"}, wanted))
    assert sheltered.warnings == ()
    assert written(sheltered.summary.tax.long_term_gain, sheltered.summary.tax.estimated_tax) == ["0", "0"]


def test_a_planned_purchase_costs_what_it_takes() -> None:
    costs = Costs(fixed=Decimal(1), rate=Decimal("0.01"))
    start = snapshot("102 cash", {"A": "100"}, assets=[asset("A", costs=costs)], prices={"A": "10"})
    plan = propose(start)
    assert trades(plan) == ["BUY 10 A"]
    (holding,) = plan.after.valuation.holdings
    assert holding.basis == 102
    assert plan.after.valuation.cash == 0


def test_five_hundred_sleeves_are_planned() -> None:
    ledger = ", ".join(f"{3 if number % 2 else 1} S{number} @ 10" for number in range(500))
    plan = propose(snapshot(ledger, {f"S{number}": "0.2" for number in range(500)}))
    assert len(plan.trades) == 500
    assert plan.summary.sold == plan.summary.bought == 2500
    assert plan.after.max_abs_drift == 0


def test_withdrawal_is_paid_by_taxable_accounts_first() -> None:
    held = {"Pension TAX_DEFERRED": "50 A {5 USD 2020-01-02} @ 10", "Broker": "50 A {5 USD 2020-01-02}"}
    plan = propose(snapshot(held, {"A": "100"}), PlanScope.CASH_FLOW, flow="-300")
    assert [(item.trade.account_id, item.trade.quantity) for item in plan.trades] == [("Broker", Decimal(30))]
    assert plan.warnings == ()


def test_withdrawal_that_a_pension_must_pay_says_so() -> None:
    held = {"Pension TAX_DEFERRED": "50 A {5 USD 2020-01-02} @ 10", "Broker": "20 A {5 USD 2020-01-02}"}
    plan = propose(snapshot(held, {"A": "100"}), PlanScope.CASH_FLOW, flow="-300")
    assert sum(item.trade.quantity for item in plan.trades) == 30
    assert plan.warnings == (
        "100.00 of the withdrawal comes out of Pension (TAX_DEFERRED); taking money out of it may be taxed or "
        "penalised by itself, which is not in the estimate.",
    )


def test_excluded_symbol_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="AB is neither held nor targeted; is it misspelt") as refused:
        propose(snapshot("50 A @ 10, 50 B @ 10", {"A": "50", "B": "50"}), exclude=["A", "AB"])
    assert refused.value.path == ("exclude", "1")
