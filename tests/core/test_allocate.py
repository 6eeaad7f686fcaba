"""Water-filling, and the wanted value of each sleeve."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.bands import Width
from app.core.optimize.allocate import PlanScope, SleeveNeed, wanted_values, water_fill
from tests.builders import written
from tests.core.samples import PROPERTY, decimals


def fill(gaps: str, amount: str) -> str:
    shared = water_fill([Decimal(gap) for gap in gaps.split()], Decimal(amount))
    return " ".join(str(text) for text in written(*shared))


@pytest.mark.parametrize(
    ("gaps", "amount", "shared"),
    [
        ("30 20 10", "60", "30 20 10"),
        ("30 20 10", "100", "30 20 10"),  # what is left over is not shared
        ("30 20 10", "30", "20 10 0"),
        ("30 20 10", "5", "5 0 0"),  # only the largest gap
        ("30 20 10", "10", "10 0 0"),  # down to the level of the next
        ("10 20 30", "12", "0 1 11"),
        ("20 20", "1", "0.5 0.5"),
        ("30 -20 0", "10", "10 0 0"),  # nobody without a gap gets anything
        ("30 20", "0", "0 0"),
        ("30 20", "-5", "0 0"),
        ("-1 0", "5", "0 0"),
        ("", "5", ""),
        ("2970.60 3231.00 1414.10 1406.40", "8863.50", "2930.95 3191.35 1374.45 1366.75"),
    ],
)
def test_the_largest_gaps_are_filled_down_to_one_level(gaps: str, amount: str, shared: str) -> None:
    assert fill(gaps, amount) == shared


@PROPERTY
@given(st.lists(decimals("-1000", "100000", 10), max_size=12), decimals("0", "500000", 10))
def test_water_fill_sums_to_the_amount_and_never_exceeds_a_gap(gaps: list[Decimal], amount: Decimal) -> None:
    shared = water_fill(gaps, amount)
    room = sum((gap for gap in gaps if gap > 0), Decimal(0))
    assert abs(sum(shared, Decimal(0)) - min(amount, room)) <= len(gaps) * Decimal("5E-21")
    assert all(0 <= part <= max(Decimal(0), gap) for gap, part in zip(gaps, shared, strict=True))
    # One level: whoever got something is left with the same gap, and nobody has a larger one.
    left = [gap - part for gap, part in zip(gaps, shared, strict=True)]
    for rest, part in zip(left, shared, strict=True):
        assert not part or rest == max(left)


def need(target: str, value: str, *, half: str = "5", breached: bool = False, fixed: bool = False) -> SleeveNeed:
    width = Width(Decimal(half), Decimal(half))
    return SleeveNeed(f"{target}/{value}", Decimal(target), Decimal(value), width, breached, not fixed, not fixed)


def wanted(
    *needs: SleeveNeed, size: str, scope: PlanScope, kept: str = "0", withdrawing: bool = False
) -> list[str | None]:
    return written(
        *wanted_values(needs, Decimal(size), scope=scope, kept=Decimal(kept), withdrawing=withdrawing),
    )


def test_full_brings_everyone_to_the_target() -> None:
    needs = need("50", "57"), need("30", "28"), need("20", "15")
    assert wanted(*needs, size="100", scope=PlanScope.FULL) == ["50", "30", "20"]


def test_breached_only_takes_from_those_above_only_what_it_needs() -> None:
    """B is 8 short; of that A gives 7, being the furthest above, and C the last 1 in band."""
    needs = need("50", "57", breached=True), need("30", "22", breached=True), need("20", "21")
    assert wanted(*needs, size="100", scope=PlanScope.BREACHED_ONLY) == ["50", "30", "20"]
    in_band = need("40", "44"), need("40", "42"), need("20", "14", breached=True)
    assert wanted(*in_band, size="100", scope=PlanScope.BREACHED_ONLY) == ["40", "40", "20"]
    edge = wanted(*in_band, size="100", scope=PlanScope.BREACHED_ONLY, kept="1")
    assert edge == ["43", "42", "15"]


def test_nobody_in_band_moves_when_nothing_is_breached() -> None:
    needs = need("50", "53"), need("50", "47")
    assert wanted(*needs, size="100", scope=PlanScope.BREACHED_ONLY) == ["53", "47"]
    assert wanted(*needs, size="110", scope=PlanScope.BREACHED_ONLY) == ["55", "55"]


def test_cash_flow_only_buys_or_only_sells() -> None:
    needs = need("50", "70"), need("50", "30")
    assert wanted(*needs, size="110", scope=PlanScope.CASH_FLOW) == ["70", "40"]
    assert wanted(*needs, size="100", scope=PlanScope.CASH_FLOW) == ["70", "30"]
    assert wanted(*needs, size="90", scope=PlanScope.CASH_FLOW) == ["70", "30"]
    assert wanted(*needs, size="90", scope=PlanScope.CASH_FLOW, withdrawing=True) == ["60", "30"]
    assert wanted(*needs, size="110", scope=PlanScope.CASH_FLOW, withdrawing=True) == ["70", "30"]


def test_who_may_not_be_traded_stays() -> None:
    needs = need("50", "70", fixed=True), need("30", "20"), need("20", "10")
    assert wanted(*needs, size="100", scope=PlanScope.FULL) == ["70", "30", "20"]
    stuck = need("50", "30", fixed=True), need("30", "50"), need("20", "20")
    assert wanted(*stuck, size="100", scope=PlanScope.FULL) == ["30", "30", "20"]
