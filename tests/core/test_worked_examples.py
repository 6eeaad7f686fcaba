"""Numbers that others published, which ours must reproduce. Each test names its source.

Where a source says the opposite of us (the sign of drift, what happens exactly on the edge), the docstring says so.
"""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from app.core.bands import SMART, Band, BandKind, Destination, destination, share_kept
from app.core.costs import Costs
from app.core.drift import Snapshot, measure
from app.core.errors import StaleData, TargetsSum
from app.core.execution import limit_of, slices_of, slices_planned
from app.core.lots import GainTerm, term
from app.core.money import QUANTITY_PLACES, floor_to_step, plain, quotient_down
from app.core.optimize.allocate import PlanScope
from app.core.order_values import Execution
from app.core.plan import PlanStatus
from app.core.policy import OrderStyle, Policy
from app.core.stats import Volatility
from app.core.targets import TargetDraft
from app.core.trades import TradeSide
from tests.builders import (
    absolute,
    asset,
    bands_of,
    drifts,
    hybrid,
    moving_band,
    propose,
    relative,
    skips,
    sleeve,
    snapshot,
    statuses,
    swinging,
    trades,
    values,
    weights,
)

HALF_PERCENT = Policy(collar_min=Decimal("0.5"), collar_max=Decimal("0.5"))


def test_d1_drift_of_four_equal_sleeves() -> None:
    """Betterment, support article 987453: targets of 25 % each, now 30/20/30/20: total 20 %, drift 10 %."""
    start = snapshot(
        "30 US @ 1, 20 INTL @ 1, 30 EM @ 1, 20 BOND @ 1", {"US": "25", "INTL": "25", "EM": "25", "BOND": "25"}
    )
    report = measure(start)
    assert drifts(report) == {"US": "5", "INTL": "-5", "EM": "5", "BOND": "-5"}
    assert report.turnover_to_target == 10
    assert report.max_abs_drift == 5


def test_d2_weights_target_values_and_drift() -> None:
    """Lumibot, drift rebalancer: values 1500/1000/800, targets 50/30/20. Its drift has the opposite sign."""
    report = measure(snapshot("15 A @ 100, 10 B @ 100, 8 C @ 100", {"A": "50", "B": "30", "C": "20"}))
    assert report.base == 3300
    assert weights(report) == {"A": "45.454545", "B": "30.30303", "C": "24.242424"}
    assert drifts(report) == {"A": "-4.545455", "B": "0.30303", "C": "4.242424"}
    assert {e.key: plain(e.value + e.to_target) for e in report.entries} == {"A": "1650", "B": "990", "C": "660"}


def test_d4_absolute_and_relative_drift_order_differently() -> None:
    """Tamarac, deviation: Fixed Income 45 against 50: 5 points or 10 %; Large Cap 6 against 10: 4 points or 40 %."""
    start = snapshot("45 FI @ 1, 6 LC @ 1, 49 REST @ 1", {"FI": "50", "LC": "10", "REST": "40"})
    fixed_income, large_cap, _ = measure(start).entries
    assert (fixed_income.drift, fixed_income.relative_drift) == (Decimal(-5), Decimal(-10))
    assert (large_cap.drift, large_cap.relative_drift) == (Decimal(-4), Decimal(-40))


@pytest.mark.parametrize(
    ("band", "percent", "expected"),
    [
        # Swedroe's 5/25 rule, as affluentsavvy, the White Coat Investor and Bogleheads print it.
        (hybrid("5", "25"), "10", "7.5..12.5"),
        (hybrid("5", "25"), "5", "3.75..6.25"),
        (hybrid("5", "25"), "60", "55..65"),
        (hybrid("5", "25"), "20", "15..25"),
        (SMART, "10", "7.5..12.5"),
        (SMART, "60", "55..65"),
        # wealthfolio, hybrid of 20 % and one point: max(20 % of the target, 1 point).
        (relative("20", floor="1"), "50", "40..60"),
        (relative("20", floor="1"), "10", "8..12"),
        (relative("20", floor="1"), "1", "0..2"),
        # beancount, issue 4: a target of 40 % and a band of 20 % of it.
        (relative("20"), "40", "32..48"),
    ],
)
def test_d6_d7_d9_published_bands(band: Band, percent: str, expected: str) -> None:
    rest = plain(100 - Decimal(percent))
    report = measure(snapshot(f"{percent} A @ 1, {rest} B @ 1", {"A": sleeve(percent, "A", band=band), "B": rest}))
    assert bands_of(report)["A"] == expected


def test_d6_bank_of_baroda_brings_equity_back_to_seventy() -> None:
    """Bank of Baroda: 1,000,000 at 70/30, equity at 65 %: trade 50,000. A 10 % sleeve of 700,000 is 70,000, band
    52,500 to 87,500 (the page prints 87,000, a slip)."""
    start = snapshot("6500 EQ @ 100, 3500 DEBT @ 100", {"EQ": "70", "DEBT": "30"}, band=absolute("3"))
    assert trades(propose(start)) == ["SELL 500 DEBT", "BUY 500 EQ"]
    sub = measure(snapshot("700 X @ 100, 6300 Y @ 100", {"X": "10", "Y": "90"}, band=hybrid("5", "25")))
    assert sub.base == 700_000
    entry = sub.entries[0]
    assert [weight * 7000 for weight in (entry.lower, entry.target, entry.upper)] == [52_500, 70_000, 87_500]


@pytest.mark.parametrize(
    ("target", "volatility", "expected", "halfway"),
    [("5.5", "10", "4.675..6.325", "5.0875 5.9125"), ("50", "10", "42.5..57.5", "46.25 53.75")],
)
def test_d8_bands_of_one_and_a_half_volatilities(target: str, volatility: str, expected: str, halfway: str) -> None:
    """rebalance package, bands of 1.5 standard deviations: 5.5 % at 10 % is 4.675 to 6.325, destinations half way."""
    entry, _ = measure(swung(target, target, volatility)).entries
    assert f"{plain(entry.lower)}..{plain(entry.upper)}" == expected
    assert entry.volatility == Volatility(Decimal(volatility), 250, 365)
    share = share_kept(Destination.HALFWAY, Decimal(0))
    aims = [destination(edge, entry.target, entry.width, share) for edge in (Decimal(0), Decimal(100))]
    assert " ".join(map(plain, aims)) == halfway


@pytest.mark.parametrize(
    ("target", "actual", "volatility", "status"),
    [
        ("50", "66.7", "10", "BREACHED"),
        ("50", "33.3", "40", "WITHIN"),  # 20 to 80
        ("10", "11.5", "10", "WARNING"),  # exactly at the edge, where the package triggers and we do not
    ],
)
def test_d8_what_is_out_of_a_volatility_band(target: str, actual: str, volatility: str, status: str) -> None:
    """rebalance package: 66.7 against 50 at 10 % is out; 33.3 against 50 at 40 % is in."""
    assert measure(swung(target, actual, volatility)).entries[0].status.value == status


def swung(target: str, actual: str, volatility: str) -> Snapshot:
    """A sleeve with a volatility band, and the rest."""
    rest, other = (plain(100 - Decimal(percent)) for percent in (target, actual))
    wanted: dict[str, str | TargetDraft] = {"A": sleeve(target, "A", band=moving_band()), "B": rest}
    start = snapshot(f"{actual} A @ 1, {other} B @ 1", wanted)
    return replace(start, closes={"A": swinging(volatility)})


def test_cost_band_of_sixty_forty_is_two_points() -> None:
    """60/40, aversion 5, a spread of 10 bp: 2.05 points; Vanguard's published threshold is 2."""
    spread = Costs(half_spread=Decimal("0.0005"))
    start = snapshot(
        "60 STOCKS @ 1, 40 BONDS @ 1",
        {"STOCKS": "60", "BONDS": "40"},
        band=Band(BandKind.COST),
        assets=[asset("STOCKS", costs=spread), asset("BONDS", costs=spread)],
    )
    assert bands_of(measure(start)) == {"STOCKS": "57.948029..62.051971", "BONDS": "37.948029..42.051971"}


def test_d11_vanguard_200_175_trades_a_quarter_point() -> None:
    """Vanguard, threshold 200 bp, destination 175 bp: a deviation of 200 bp trades 25 bp. 200/100 trades 100."""
    # A cent beyond 200 bp of a million, so that it is outside: exactly on the edge we are within.
    start = "620000.01 STOCKS @ 1, 379999.99 BONDS @ 1"
    wanted = {"STOCKS": "60", "BONDS": "40"}
    for kept, sold in (("0.875", "2500.01"), ("0.5", "10000.01")):
        policy = Policy(default_band=absolute("2"), destination=Destination.SHARE, band_kept=Decimal(kept))
        plan = propose(snapshot(start, wanted, policy=policy), PlanScope.BREACHED_ONLY)
        assert trades(plan) == [f"SELL {sold} STOCKS", f"BUY {sold} BONDS"]


@pytest.mark.parametrize(("destination", "units"), [(Destination.TARGET, 20), (Destination.BAND_EDGE, 10)])
def test_d12_destination_target_or_edge(destination: Destination, units: int) -> None:
    """Accordant rebalancing-engine: 120/80 shares at 150, 50/50, tolerance 5 points: target 20/20, edge 10/10."""
    policy = Policy(default_band=absolute("5"), destination=destination)
    start = snapshot("120 A @ 150, 80 B @ 150", {"A": "50", "B": "50"}, policy=policy)
    before = measure(start)
    assert before.valuation.value == 30_000
    assert weights(before) == {"A": "60", "B": "40"}
    assert trades(propose(start)) == [f"SELL {units} A", f"BUY {units} B"]


def test_d14_three_sleeves_of_which_one_is_on_target() -> None:
    """Accordant rebalancing-engine: 150/50/50 at 100, targets 40/40/20: sell 50, buy 50, nothing."""
    start = snapshot("150 A @ 100, 50 B @ 100, 50 C @ 100", {"A": "40", "B": "40", "C": "20"})
    assert trades(propose(start)) == ["SELL 50 A", "BUY 50 B"]


def test_d15_trades_below_the_minimum_are_left_out_with_a_reason() -> None:
    """Accordant rebalancing-engine: 105/95 at 10, 50/50, tolerance 1 point, smallest trade 1000: two notes of 50."""
    policy = Policy(default_band=absolute("1"), min_trade=Decimal(1000))
    plan = propose(snapshot("105 A @ 10, 95 B @ 10", {"A": "50", "B": "50"}, policy=policy), PlanScope.BREACHED_ONLY)
    assert statuses(plan.before) == {"A": "BREACHED", "B": "BREACHED"}
    assert weights(plan.before) == {"A": "52.5", "B": "47.5"}
    assert plan.status is PlanStatus.NOTHING_TO_DO
    assert skips(plan) == ["SELL A: DUST", "BUY B: DUST"]
    assert [skip.value for skip in plan.skipped] == [50, 50]
    assert plan.summary.net_cash == 0


def test_d16_missing_price_and_wrong_sum_are_errors() -> None:
    """Accordant rebalancing-engine: a missing price is an error; targets of 50 and 60 do not sum to 100 %."""
    with pytest.raises(StaleData, match="missing or too old: B"):
        propose(snapshot("1 A @ 10, 1 B", {"A": "50", "B": "50"}))
    with pytest.raises(TargetsSum, match="targets sum to 110; 10 is too much"):
        snapshot("1 A @ 10, 1 B @ 10", {"A": "50", "B": "60"})


def test_d19_weights_come_from_what_is_held() -> None:
    """Wealth-Vault, whose page shows these as constants: BTC 12000, ETH 8000, AAPL 5000, USD 1000."""
    targets = {"BTC": "40", "ETH": "30", "AAPL": "25", "CASH": "5"}
    report = measure(snapshot("0.2 BTC @ 60000, 2 ETH @ 4000, 25 AAPL @ 200, 1000 cash", targets))
    assert weights(report) == {"BTC": "46.153846", "ETH": "30.769231", "AAPL": "19.230769", "CASH": "3.846154"}
    half = measure(snapshot("0.1 BTC @ 60000, 2 ETH @ 4000, 25 AAPL @ 200, 1000 cash", targets))
    assert weights(half) == {"BTC": "30", "ETH": "40", "AAPL": "25", "CASH": "5"}


def test_c1_deposit_is_filled_in_without_buying_the_overweight_sleeve() -> None:
    """wealthfolio, issue 1248: 24,469.50 in five sleeves and 8,863.50 in cash; sized on 33,333.00, Bonds not bought."""
    start = snapshot(
        "13491.80 Bonds @ 1, 3696.00 Dividend @ 1, 3435.60 Gold @ 1, 1919.20 CN @ 1, 1926.90 Nasdaq @ 1, 8863.50 cash",
        {"Bonds": "40", "Dividend": "20", "Gold": "20", "CN": "10", "Nasdaq": "10"},
    )
    plan = propose(start, PlanScope.CASH_FLOW)
    assert trades(plan) == ["BUY 3191.35 Gold", "BUY 2930.95 Dividend", "BUY 1374.45 CN", "BUY 1366.75 Nasdaq"]
    assert plan.summary.bought == Decimal("8863.50")
    assert plan.after.base == Decimal("33333.00")
    assert weights(plan.after) == {
        "Bonds": "40.475805",
        "Dividend": "19.881049",
        "Gold": "19.881049",
        "CN": "9.881049",
        "Nasdaq": "9.881049",
    }
    assert sum(entry.value for entry in plan.after.entries) == Decimal("33333.00")


def test_c9_idle_cash_is_planned_although_all_is_in_band() -> None:
    """wealthfolio, issue 1444: with everything in band and cash lying idle, a plan must still be offered."""
    start = snapshot("60 A @ 10, 40 B @ 10, 500 cash", {"A": "60", "B": "40"})
    for scope in (PlanScope.FULL, PlanScope.BREACHED_ONLY, PlanScope.CASH_FLOW):
        plan = propose(start, scope)
        assert set(statuses(plan.before).values()) == {"WITHIN"}
        assert trades(plan) == ["BUY 30 A", "BUY 20 B"]
        assert values(plan.after) == {"A": "900", "B": "600"}


@pytest.mark.parametrize(
    ("bought", "sold", "expected"),
    [
        ("2012-09-19", "2013-09-19", GainTerm.SHORT),  # J. K. Lasser: long-term from 20 September 2013
        ("2012-09-19", "2013-09-20", GainTerm.LONG),
        ("2023-02-01", "2024-02-01", GainTerm.SHORT),  # legalgist: 1 February to 1 February is not long
        ("2023-02-01", "2024-02-02", GainTerm.LONG),
        ("2023-06-01", "2024-06-01", GainTerm.SHORT),  # 366 days, and still not more than one year
        ("2023-06-01", "2024-06-02", GainTerm.LONG),
        ("2023-02-28", "2024-02-29", GainTerm.SHORT),
        ("2023-02-28", "2024-03-01", GainTerm.LONG),
        ("2024-02-28", "2025-02-28", GainTerm.SHORT),
        ("2024-02-28", "2025-03-01", GainTerm.LONG),
        ("2024-02-29", "2025-02-28", GainTerm.SHORT),
        ("2024-02-29", "2025-03-01", GainTerm.LONG),
    ],
)
def test_t13_more_than_one_year_by_the_calendar(bought: str, sold: str, expected: GainTerm) -> None:
    assert term(date.fromisoformat(bought), date.fromisoformat(sold)) is expected


def test_o1_whole_shares_and_fractions_of_a_budget() -> None:
    """Lumibot's orders, without its limit price: 1000 at 100.50 buys 9 whole shares; cash 500 buys 4, cash 50 none."""
    for cash, expected in (("1000", ["BUY 9 A"]), ("500", ["BUY 4 A"]), ("50", [])):
        start = snapshot(f"{cash} cash", {"A": "100"}, assets=[asset("A", step="1")], prices={"A": "100.5"})
        assert trades(propose(start)) == expected
    fraction = asset("A", step="0.000000001")
    start = snapshot("950 cash", {"A": "100"}, assets=[fraction], prices={"A": "100.5"})
    assert trades(propose(start)) == ["BUY 9.452736318 A"]


@pytest.mark.parametrize(
    ("cash", "step", "bought"),
    [("1000", "1", "9"), ("500", "1", "4"), ("50", "1", "0"), ("950", "0.000000001", "9.452736318")],
)
def test_o1_units_bought_at_the_limit_price(cash: str, step: str, bought: str) -> None:
    """Lumibot, drift rebalancer: a target of 1000 at 100, limit slippage 0.5 %: limit 100.50, 9 whole shares."""
    limit = limit_of(TradeSide.BUY, Decimal(100), HALF_PERCENT, None, Decimal("0.01"))
    assert limit == Decimal("100.50")
    units = quotient_down(Decimal(cash), limit, QUANTITY_PLACES)
    assert floor_to_step(units, Decimal(step)) == Decimal(bought)


def test_o1_limits_of_both_sides() -> None:
    """Lumibot, drift rebalancer: from 120 the limit sells at 119.4 and buys at 120.6. 90 of a share of 100 is none."""
    limits = [limit_of(side, Decimal(120), HALF_PERCENT, None, Decimal("0.01")) for side in TradeSide]
    assert limits == [Decimal("120.6"), Decimal("119.4")]
    assert floor_to_step(quotient_down(Decimal(90), Decimal(100), QUANTITY_PLACES), Decimal(1)) == 0


def test_o2_slices_of_ten_seconds_every_five() -> None:
    """Hummingbot, TWAP: 100 in 10 s with an interval of 5 s: three orders of 33.33 each."""
    policy = Policy(twap_horizon_s=10, twap_interval_s=5)
    execution = Execution(OrderStyle.TWAP, "", slices=slices_planned(policy))
    cents = slices_of(Decimal(100), execution, asset("BTC", step="0.01"), Decimal(1))
    assert cents == (Decimal("33.33"), Decimal("33.33"), Decimal("33.34"))
    first, second, last = slices_of(Decimal(100), execution, asset("BTC"), Decimal(1))
    assert first == second == Decimal("33.333333333333333333")
    assert first + second + last == 100
