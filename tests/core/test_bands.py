"""Tolerance bands, and where a rebalance aims."""

from decimal import Decimal

import pytest
from hypothesis import given

from app.core import bands
from app.core.bands import SMART, Band, Destination, Width
from tests.builders import absolute, hybrid, relative
from tests.core.samples import PROPERTY, band_kinds, decimals


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


@PROPERTY
@given(band_kinds(), decimals("0", "100", 6))
def test_a_band_contains_its_target_and_stays_within_weights(band: Band, target: Decimal) -> None:
    width = bands.work_out(bands.check(band), target).width
    assert width.down >= 0 <= width.up
    assert 0 <= bands.lower(target, width) <= target <= bands.upper(target, width) <= 100
