"""Drift of sleeves and portfolios: statuses, edges, and what has no target."""

from datetime import timedelta
from decimal import Decimal

import pytest

from app.core.bands import BandKind, Side, two_sided
from app.core.drift import DriftStatus, Report, measure
from app.core.money import plain
from app.core.policy import Policy
from app.core.portfolio import AssetClass
from app.core.targets import TargetDraft
from tests.builders import (
    absolute,
    asset,
    bands_of,
    drifts,
    relative,
    sleeve,
    snapshot,
    statuses,
    values,
    weights,
    written,
)

HALVES: dict[str, str | TargetDraft] = {"A": "50", "B": "50"}
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("a", "b", "status"),
    [
        ("55", "45", "WARNING"),  # exactly on the edge is within the band
        ("55.000000000000000001", "45", "BREACHED"),
        ("54.999999999999999999", "45", "WARNING"),
        ("54", "46", "WARNING"),  # exactly 80 % of the band
        ("53.999999999999999999", "46", "WITHIN"),
        ("50", "50", "WITHIN"),
        ("45", "55", "WARNING"),
        ("44.999999999999999999", "55", "BREACHED"),
    ],
)
def test_status_around_the_edges(a: str, b: str, status: str) -> None:
    report = measure(snapshot(f"{a} A @ 1, {b} B @ 1", HALVES, band=absolute("5")))
    assert statuses(report) == {"A": status, "B": status}
    assert report.status.value == status
    assert report.breaches == (2 if status == "BREACHED" else 0)


@pytest.mark.parametrize(
    ("a", "status", "used"),
    [
        ("58", "WARNING", "100"),  # 8 above is the edge
        ("58.000001", "BREACHED", "100.000012"),
        ("56.4", "WARNING", "80"),
        ("56", "WITHIN", "75"),
        ("48", "WARNING", "100"),  # 2 below is the edge
        ("47.999999", "BREACHED", "100.00005"),
        ("48.5", "WITHIN", "75"),
        ("50", "WITHIN", "0"),
    ],
)
def test_each_side_of_a_band_is_judged_by_its_own_width(a: str, status: str, used: str) -> None:
    below, above = (Side(BandKind.ABSOLUTE, absolute=Decimal(points)) for points in (2, 8))
    rest = plain(100 - Decimal(a))
    wanted = {"A": sleeve("50", band=two_sided(below, above)), "B": sleeve("50", band=absolute("50"))}
    entry = measure(snapshot(f"{a} A @ 1, {rest} B @ 1", wanted)).entries[0]
    assert written(entry.lower, entry.upper) == ["48", "58"]
    assert (entry.status.value, written(entry.band_used)) == (status, [used])


def test_a_breach_too_small_to_show_is_still_a_breach() -> None:
    report = measure(snapshot("550000000.000000000000000001 A @ 1, 450000000 B @ 1", HALVES, band=absolute("5")))
    assert weights(report) == {"A": "55", "B": "45"}
    assert bands_of(report) == {"A": "45..55", "B": "45..55"}
    assert statuses(report) == {"A": "BREACHED", "B": "BREACHED"}


def test_all_figures_of_an_entry() -> None:
    entry = measure(snapshot("57 A @ 1, 43 B @ 1", HALVES, band=relative("20"))).entries[0]
    assert written(entry.target, entry.actual, entry.drift) == ["50", "57", "7"]
    assert written(entry.relative_drift, entry.band_used) == ["14", "70"]
    assert written(entry.lower, entry.upper) == ["40", "60"]
    assert written(entry.value, entry.to_target) == ["57", "-7"]
    assert (entry.targeted, entry.stale) == (True, False)


def test_warnings_begin_where_the_policy_says() -> None:
    at_half = Policy(default_band=absolute("10"), warn_at=Decimal(50))
    assert statuses(measure(snapshot("55 A @ 1, 45 B @ 1", HALVES, policy=at_half)))["A"] == "WARNING"
    never = Policy(default_band=absolute("10"), warn_at=Decimal(100))
    assert statuses(measure(snapshot("59 A @ 1, 41 B @ 1", HALVES, policy=never)))["A"] == "WITHIN"
    always = Policy(default_band=absolute("10"), warn_at=Decimal(0))
    found = measure(snapshot("50 A @ 1, 49.99 B @ 1", HALVES, policy=always))
    assert statuses(found) == {"A": "WARNING", "B": "WARNING"}
    assert statuses(measure(snapshot("50 A @ 1, 50 B @ 1", HALVES, policy=always)))["A"] == "WITHIN"


def test_a_band_of_no_width_is_breached_by_any_drift() -> None:
    on_target = measure(snapshot("50 A @ 1, 50 B @ 1", HALVES, band=absolute("0")))
    assert statuses(on_target) == {"A": "WITHIN", "B": "WITHIN"}
    assert [entry.band_used for entry in on_target.entries] == [0, 0]
    off = measure(snapshot("50.000000000000000001 A @ 1, 50 B @ 1", HALVES, band=absolute("0")))
    assert statuses(off) == {"A": "BREACHED", "B": "BREACHED"}
    assert [entry.band_used for entry in off.entries] == [None, None]


def test_a_target_of_zero_has_no_relative_drift() -> None:
    report = measure(snapshot("99 A @ 1, 1 B @ 1", {"A": "100", "B": "0"}))
    entry = report.entries[1]
    assert written(entry.drift, entry.relative_drift) == ["1", None]
    assert entry.status is DriftStatus.WARNING
    assert bands_of(report)["B"] == "0..1"
    assert statuses(measure(snapshot("98.9 A @ 1, 1.1 B @ 1", {"A": "100", "B": "0"})))["B"] == "BREACHED"


def test_a_target_that_is_not_held_is_underweight() -> None:
    report = measure(snapshot("100 A @ 1", HALVES))
    assert drifts(report) == {"A": "50", "B": "-50"}
    assert report.entries[1].members == ()


def test_cash_counts_only_when_it_is_a_sleeve() -> None:
    held = "60 A @ 1, 40 B @ 1, 100 cash"
    without = measure(snapshot(held, {"A": "60", "B": "40"}))
    assert without.base == 100
    assert weights(without) == {"A": "60", "B": "40"}
    with_cash = measure(snapshot(held, {"A": "30", "CASH": "50", "B": "20"}))
    assert with_cash.base == 200
    assert weights(with_cash) == {"A": "30", "CASH": "50", "B": "20"}
    assert list(values(with_cash)) == ["A", "CASH", "B"]


def test_cash_of_all_accounts_and_currencies_is_one_sleeve() -> None:
    start = snapshot(
        {"one": "150 A @ 1, 10 cash", "two": "20 EUR cash"}, {"A": "80", "CASH": "20"}, rates={"EUR/USD": "2"}
    )
    assert values(measure(start)) == {"A": "150", "CASH": "50"}


def test_what_has_no_target_is_listed_after_the_targets_by_symbol() -> None:
    report = measure(snapshot("80 A @ 1, 15 Z @ 1, 5 C @ 1", {"A": "100"}, band=absolute("10")))
    assert drifts(report) == {"A": "-20", "C": "5", "Z": "15"}
    assert [entry.targeted for entry in report.entries] == [True, False, False]
    assert statuses(report) == {"A": "BREACHED", "C": "WITHIN", "Z": "BREACHED"}
    assert bands_of(report) == {"A": "90..100", "C": "0..10", "Z": "0..10"}
    assert report.turnover_to_target == 20


def test_untargeted_keys_step_aside_for_sleeves() -> None:
    wanted = {"GOLD": sleeve("50", "A"), "B": sleeve("50", "B")}
    foreign = asset("GOLD", currency="EUR", venue="XETR")
    start = snapshot(
        "50 A @ 1, 50 B @ 1, 1 GOLD @ 1, 1 GOLD:XETR @ 1, 1 CASH @ 1",
        wanted,
        assets=[foreign, asset("CASH")],
        rates={"EUR/USD": "1"},
    )
    assert list(values(measure(start)))[2:] == ["CASH:USD", "GOLD:EUR", "GOLD:USD"]


def test_sleeves_by_class_take_what_is_named_nowhere() -> None:
    start = snapshot(
        "30 A @ 1, 20 B @ 1, 10 C @ 1, 40 BTC @ 1",
        {"Stocks": sleeve("50", of=AssetClass.STOCK), "Mine": sleeve("10", "C"), "Coins": sleeve("40", "ETH", "BTC")},
    )
    report = measure(start)
    assert values(report) == {"Stocks": "50", "Mine": "10", "Coins": "40"}
    assert {m.asset.symbol: plain(m.weight) for m in report.entries[0].members} == {"A": "30", "B": "20"}


def test_members_are_added_over_accounts() -> None:
    report = measure(snapshot({"one": "10 A @ 2", "two": "5 A, 70 B @ 1"}, HALVES))
    (member,) = report.entries[0].members
    assert written(member.quantity, member.value, member.weight) == ["15", "30", "30"]


def no_figures(report: Report) -> bool:
    figures = (report.entries, report.max_abs_drift, report.turnover_to_target, report.breaches)
    return figures == ((), None, None, 0)


def test_without_targets_there_is_no_drift() -> None:
    report = measure(snapshot("10 A @ 1, 5 cash"))
    assert report.status is DriftStatus.NO_TARGETS
    assert report.base == 10
    assert report.targets_version is None
    assert no_figures(report)
    assert measure(snapshot("10 A")).status is DriftStatus.NO_TARGETS  # worse than the missing price


@pytest.mark.parametrize(("held", "wanted"), [("", {"A": "100"}), ("5 cash", {"A": "100"}), ("", {"CASH": "100"})])
def test_without_value_there_is_no_drift(held: str, wanted: dict[str, str | TargetDraft]) -> None:
    report = measure(snapshot(held, wanted))
    assert report.status is DriftStatus.NO_VALUE
    assert report.base == 0
    assert no_figures(report)


def test_only_cash_is_value_enough_for_a_cash_sleeve() -> None:
    assert drifts(measure(snapshot("5 cash", {"A": "60", "CASH": "40"}))) == {"A": "-60", "CASH": "60"}


def test_a_missing_price_leaves_no_entries() -> None:
    report = measure(snapshot("50 A @ 1, 50 B", HALVES))
    assert (report.status, report.base, report.stale) == (DriftStatus.DATA_STALE, None, True)
    assert no_figures(report)


def test_an_old_price_flags_its_entries() -> None:
    report = measure(snapshot("90 A @ 1, 10 B @ 1", HALVES, ages={"B": 5 * DAY}))
    assert report.status is DriftStatus.DATA_STALE
    assert [entry.stale for entry in report.entries] == [False, True]
    assert drifts(report) == {"A": "40", "B": "-40"}


def test_a_targeted_asset_without_price_that_is_not_held_makes_nothing_stale() -> None:
    report = measure(snapshot("50 A @ 1", HALVES))
    assert (report.status, report.stale) == (DriftStatus.BREACHED, False)


def test_weights_are_never_adjusted_to_add_up() -> None:
    report = measure(snapshot("1 A @ 1, 1 B @ 1, 1 C @ 1", {"A": "33.333333", "B": "33.333333", "C": "33.333334"}))
    assert weights(report) == {"A": "33.333333", "B": "33.333333", "C": "33.333333"}
    assert drifts(report) == {"A": "0", "B": "0", "C": "-0.000001"}
    assert [plain(entry.to_target) for entry in report.entries] == ["-0.00000001", "-0.00000001", "0.00000002"]


def test_numbers_at_their_bounds_are_measured_exactly() -> None:
    biggest = "999999999999999.999999999999999999"
    start = snapshot(
        f"{biggest} A @ 999999999999.999999999999999999, 0.000000000000000001 B @ 0.000000000000000001, 1 EUR cash",
        {"A": "99.999999", "B": "0", "CASH": "0.000001"},
        assets=[asset("A", currency="EUR"), asset("B", currency="EUR")],
        rates={"EUR/USD": "0.00123456789012"},
        policy=Policy(default_band=relative("33.333333"), warn_at=Decimal("77.777777")),
    )
    report = measure(start)
    assert statuses(report)["A"] == "WITHIN"
    assert statuses(report)["B"] == "BREACHED"
