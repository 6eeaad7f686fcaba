"""Tolerance bands, and where a rebalance aims."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import bands
from app.core.bands import (
    NOTHING,
    SMART,
    Band,
    BandKind,
    Destination,
    Evidence,
    SideCosts,
    Width,
    below,
    two_sided,
)
from app.core.errors import InvalidInput
from app.core.money import root
from app.core.stats import Volatility
from tests.builders import absolute, hybrid, moving_band, relative
from tests.core.samples import PROPERTY, decimals, every_band


@pytest.mark.parametrize(
    ("band", "target", "half"),
    [
        (absolute("5"), "3", "5"),
        (absolute("0"), "50", "0"),
        (relative("25"), "0", "0"),
        (relative("20"), "40", "8"),
        (relative("20", floor="2"), "5", "2"),
        (relative("20", cap="4"), "40", "4"),
        (relative("20", floor="2", cap="2"), "40", "2"),
        (relative("0"), "40", "0"),
        (relative("100"), "40", "40"),
        (hybrid("5", "25"), "19.999999", "5"),  # 4.99999975 rounded half-even to 1e-6
        (hybrid("5", "25"), "19.99", "4.9975"),
        (hybrid("5", "25"), "20", "5"),
        (hybrid("5", "25"), "80", "5"),
        (SMART, "0", "1"),
        (SMART, "4", "1"),
        (SMART, "4.000004", "1.000001"),
        (SMART, "4.000002", "1"),  # 1.0000005, the tie goes to even
        (SMART, "4.000006", "1.000002"),  # 1.0000015, the tie goes to even
        (SMART, "19.9", "4.975"),
        (SMART, "100", "5"),
    ],
)
def test_half_widths(band: Band, target: str, half: str) -> None:
    assert bands.work_out(band, Decimal(target)).width == Width(Decimal(half), Decimal(half))


def test_edges_are_clipped_to_weights() -> None:
    five = Width(Decimal(5), Decimal(5))
    assert bands.lower(Decimal(3), five) == 0
    assert bands.upper(Decimal(97), five) == 100
    assert (bands.lower(Decimal(50), five), bands.upper(Decimal(50), five)) == (Decimal(45), Decimal(55))


@pytest.mark.parametrize(
    ("destination", "weight", "aim"),
    [
        (Destination.TARGET, "57", "50"),
        (Destination.TARGET, "43", "50"),
        (Destination.HALFWAY, "57", "52"),
        (Destination.HALFWAY, "43", "48"),
        (Destination.HALFWAY, "51", "51"),
        (Destination.BAND_EDGE, "57", "54"),
        (Destination.BAND_EDGE, "43", "46"),
        (Destination.SHARE, "57", "53.5"),
    ],
)
def test_destinations_keep_a_share_of_the_band(destination: Destination, weight: str, aim: str) -> None:
    kept = bands.share_kept(destination, Decimal("0.875"))
    assert bands.destination(Decimal(weight), Decimal(50), Width(Decimal(4), Decimal(4)), kept) == Decimal(aim)


TEN_PERCENT = Evidence({365: Volatility(Decimal(10), 250, 365)}, SideCosts(Decimal("0.0005")))
COST = Band(BandKind.COST)


@pytest.mark.parametrize(
    ("band", "target", "why"),
    [
        (absolute("5"), "3", "5 points, whatever the target."),
        (relative("20"), "40", "20 % of the target 40 is 8 points."),
        (SMART, "10", "25 % of the target 10 is 2.5 points, between the floor of 1 and the cap of 5."),
        (SMART, "60", "25 % of the target 60 is 15 points, above the cap of 5, which counts."),
        (SMART, "1", "25 % of the target 1 is 0.25 points, below the floor of 1, which counts."),
        (relative("20", floor="1"), "50", "20 % of the target 50 is 10 points, not below the floor of 1."),
        (hybrid("5", "25"), "10", "25 % of the target 10 is 2.5 points, not above the cap of 5."),
        (
            moving_band(),
            "50",
            "1.5 times the volatility of 10 % a year (250 daily returns in 365 days) times the target 50 "
            "is 7.5 points.",
        ),
        (
            two_sided(absolute("2"), below(relative("10"))),
            "50",
            "Below: 2 points, whatever the target. Above: 10 % of the target 50 is 5 points.",
        ),
    ],
)
def test_sentences_say_why(band: Band, target: str, why: str) -> None:
    assert bands.work_out(band, Decimal(target), TEN_PERCENT).why == why


def test_cost_band_is_the_cube_root_of_what_trading_costs() -> None:
    """60/40 with an aversion of 5 and a spread of 10 bp, half of it 5: 2.05 points; Vanguard's threshold is 2."""
    both = Evidence(buying=SideCosts(Decimal("0.0005")), selling=SideCosts(Decimal("0.0005")))
    worked = bands.work_out(COST, Decimal(60), both)
    assert worked.width == Width(Decimal("2.051971"), Decimal("2.051971"))
    assert worked.why == (
        "A cost of 0.05 % of what is traded, at a risk aversion of 5 and the target 60, is 2.051971 points."
    )
    assert bands.work_out(COST, Decimal(40), both).width == worked.width


def test_fixed_cost_counts_where_it_makes_the_wider_band() -> None:
    """h = (12 F / L x t^2 (1-t)^2)^(1/4): with F = 1e-5 of the base, t = 50 %, L = 5, h^4 = 1.5e-6."""
    evidence = Evidence(buying=SideCosts(Decimal("0.0005"), Decimal("0.00001")), selling=SideCosts(Decimal("0.0005")))
    worked = bands.work_out(COST, Decimal(50), evidence)
    assert worked.width == Width(Decimal("3.499636"), Decimal("2.108582"))
    assert worked.why.startswith("Below: A fixed cost of 0.001 % of the base, at a risk aversion of 5")


def test_aversion_narrows_a_cost_band_and_bounds_hold() -> None:
    calm = Evidence(buying=SideCosts(Decimal("0.004")), selling=SideCosts(Decimal("0.004")), aversion=Decimal("0.625"))
    assert bands.work_out(COST, Decimal(50), calm).width.down == Decimal("8.434327")  # 4 x that of 0.0005 and 5
    capped = Band(BandKind.COST, floor=Decimal(1), cap=Decimal(3))
    assert bands.work_out(capped, Decimal(50), calm).width.down == 3
    dear = Evidence(selling=SideCosts(Decimal(1), Decimal(10**6)), buying=SideCosts(Decimal(1), Decimal(10**6)))
    assert bands.work_out(COST, Decimal(50), dear).width.up == 100


@pytest.mark.parametrize(
    ("band", "target", "evidence", "reason"),
    [
        (moving_band(), "10", NOTHING, "A volatility needs 20 daily returns and 365 days have 0"),
        (
            moving_band(),
            "10",
            Evidence({365: Volatility(None, 19, 365)}),
            "A volatility needs 20 daily returns and 365 days have 19",
        ),
        (moving_band(), "10", Evidence({365: Volatility(Decimal(0), 20, 365)}), "Nothing moved in 20 daily returns"),
        (moving_band(), "100", TEN_PERCENT, "A VOLATILITY band says nothing of a target of 100"),
        (COST, "0", TEN_PERCENT, "A COST band says nothing of a target of 0"),
        (COST, "10", NOTHING, "No costs of trading are known"),
    ],
)
def test_smart_band_stands_in_where_a_formula_gives_nothing(
    band: Band, target: str, evidence: Evidence, reason: str
) -> None:
    worked, smart = bands.work_out(band, Decimal(target), evidence), bands.work_out(SMART, Decimal(target))
    assert worked.width.down == smart.width.down
    assert worked.why.removeprefix("Below: ").startswith(f"{reason}, so the SMART band stands in: {smart.why}")


def test_each_side_has_its_own_window() -> None:
    band = two_sided(moving_band("1", 90), below(moving_band("2", 365)))
    both = {90: Volatility(Decimal(20), 60, 90), 365: Volatility(Decimal(10), 250, 365)}
    worked = bands.work_out(band, Decimal(50), Evidence(both))
    assert worked.width == Width(Decimal(10), Decimal(10))
    assert (worked.volatility, worked.volatility_above) == (both[90], both[365])
    assert bands.windows_of(band) == {90, 365}


def test_wrong_numbers_of_the_side_above_are_refused_with_their_place() -> None:
    with pytest.raises(InvalidInput, match="band floor 3 is above its cap 2") as refused:
        bands.check(two_sided(SMART, below(relative("5", floor="3", cap="2"))))
    assert refused.value.path == ("above", "floor")


def evidences() -> st.SearchStrategy[Evidence]:
    volatility = st.builds(Volatility, st.none() | decimals("0", "300", 6), st.integers(0, 3000), st.just(365))
    costs = st.builds(SideCosts, decimals("0", "3", 18), decimals("0", "2", 18))
    known = st.dictionaries(st.integers(30, 3650), volatility, max_size=2)
    return st.builds(Evidence, known, costs, costs, decimals("0.1", "1000", 3))


@PROPERTY
@given(every_band(), decimals("0", "100", 6), evidences())
def test_a_band_contains_its_target_and_stays_within_weights(band: Band, target: Decimal, evidence: Evidence) -> None:
    known = {days: Volatility(Decimal(15), 250, days) for days in bands.windows_of(band)}
    worked = bands.work_out(bands.check(band), target, replace(evidence, volatility=known | dict(evidence.volatility)))
    width = worked.width
    assert width.down >= 0 <= width.up
    assert 0 <= bands.lower(target, width) <= target <= bands.upper(target, width) <= 100
    assert worked.why.endswith(".")


@PROPERTY
@given(decimals("0", "1000", 18), st.sampled_from([3, 4]))
def test_roots_are_within_half_a_unit_exactly(number: Decimal, degree: int) -> None:
    found = Fraction(root(Fraction(number), degree, 8))
    half = Fraction(1, 2 * 10**8)
    assert max(Fraction(0), found - half) ** degree <= Fraction(number) <= (found + half) ** degree


def test_roots_of_ties_go_to_even() -> None:
    assert root(Fraction(15, 10) ** 3, 3, 0) == 2
    assert root(Fraction(25, 10) ** 4, 4, 0) == 2
    assert [root(Fraction(number), 3, 0) for number in (0, 1, 8, 27, 10**90)] == [0, 1, 2, 3, Decimal(10**30)]
